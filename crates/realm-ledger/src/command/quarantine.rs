//! `quarantine list`, `show` and `retry`.
//!
//! A retry must not make one copy of a ledger differ from another (I-5), nor append an event twice (I-3). So the event
//! takes the way of any other: a ledger that Kafka feeds gets it from the lifecycle topic, keyed as `publish` keys, where
//! every copy sees it; one that was only imported imports it, from a source of its own that is taken once; a
//! journal that is the source takes it as one more line. The refused record stays, as evidence of what came.

use std::ops::ControlFlow;

use ledger_api::query::{QuarantineItemQuery, QuarantineQuery, Raw};
use ledger_core::event::Event;
use ledger_ingest::decode::{Decoded, Message, decode, to_native_json};
use ledger_ingest::publish::Sender;
use ledger_ingest::retry::{Retried, Retry, RetryError, retry};
use ledger_record::json::time::parse_instant;
use ledger_store::{DataDir, ShardId};
use serde_json::Value;
use serde_json::value::RawValue;

use super::import::{placing_of, report_unsigned};
use super::publish::remembered;
use super::{Context, brokers_flag, data_dir_flag, now, open_read_only};
use crate::ask_error::NOT_FOUND;
use crate::backend::{Backend, FIRST_PAGE};
use crate::cli::{ItemName, QuarantineCommand, QuarantineItem, QuarantineRetry, QuarantineShow};
use crate::config::{Config, Loaded};
use crate::local::{self, LocalImport};
use crate::output::{QUARANTINE, items_at, text_at};
use crate::{Exit, Failure, evidence, secret};

pub(super) fn run(context: &mut Context<'_, '_>, command: QuarantineCommand) -> Result<Exit, Failure> {
    match command {
        QuarantineCommand::List(target) => {
            let backend = context.backend(&target)?;
            let mut printer = context.printer(QUARANTINE);
            for_each_item(&backend, |item| {
                printer.item(item)?;
                Ok(ControlFlow::Continue(()))
            })?;
            let has_any = printer.finish()?;
            context.end_list(has_any, "nothing is in quarantine");
            Ok(Exit::Done)
        }
        QuarantineCommand::Show(QuarantineShow { item, target }) => {
            let backend = context.backend(&target)?;
            let item = fetch(&backend, &find(&backend, item)?)?;
            context.print_one(&item)?;
            Ok(Exit::Done)
        }
        QuarantineCommand::Retry(args) => run_retry(context, args),
    }
}

/// Calls for each item, page by page, until the call breaks.
fn for_each_item(
    backend: &Backend,
    mut call: impl FnMut(&RawValue) -> Result<ControlFlow<()>, Failure>,
) -> Result<(), Failure> {
    let mut query = QuarantineQuery { reason: None, page: FIRST_PAGE };
    loop {
        let answer = backend.ask(&query)?;
        for item in &answer.items {
            if call(item)?.is_break() {
                return Ok(());
            }
        }
        query.page.cursor = answer.next_cursor;
        if query.page.cursor.is_none() {
            return Ok(());
        }
    }
}

/// The item of a name. A message that is named by where it came from is looked for among all.
fn find(backend: &Backend, name: ItemName) -> Result<QuarantineItem, Failure> {
    let from = match name {
        ItemName::Item(item) => return Ok(item),
        from @ ItemName::From { .. } => from.to_string(),
    };
    let mut found = None;
    for_each_item(backend, |item| {
        let item: Value = serde_json::from_str(item.get())?;
        let [name, partition, offset] =
            ["/source/name", "/source/partition", "/source/offset"].map(|pointer| text_at(&item, pointer));
        if format!("{name}/{partition}@{offset}") != from {
            return Ok(ControlFlow::Continue(()));
        }
        let shard =
            ShardId { topic: text_at(&item, "/topic"), partition: text_at(&item, "/partition").parse()? };
        found = Some(QuarantineItem { shard, seq: text_at(&item, "/seq").parse()? });
        Ok(ControlFlow::Break(()))
    })?;
    found.ok_or_else(|| Failure::new(format!("no refused message is from {from}")))
}

fn fetch(backend: &Backend, item: &QuarantineItem) -> Result<Raw, Failure> {
    let QuarantineItem { shard: ShardId { topic, partition }, seq } = item.clone();
    let answer = backend.ask(&QuarantineItemQuery { topic, partition, seq }).map_err(|error| {
        let is_unknown = error.code() == Some(NOT_FOUND);
        let failure = Failure::from(error);
        if is_unknown {
            failure.hint("`realm-ledger quarantine list` has every item and its name")
        } else {
            failure
        }
    })?;
    Ok(answer.item)
}

fn run_retry(context: &mut Context<'_, '_>, args: QuarantineRetry) -> Result<Exit, Failure> {
    let QuarantineRetry { item, brokers, target } = args;
    let backend = context.backend(&target)?;
    let item = find(&backend, item)?;
    let event = decode_again(&item, &fetch(&backend, &item)?)?;
    let named_brokers = brokers.brokers.is_some();
    let loaded = context.loaded([data_dir_flag(target.data_dir), brokers_flag(brokers.brokers)])?;
    if named_brokers || target.url.is_some() || is_fed_by_kafka(&loaded.config, &item)? {
        send(context, &loaded.config, &item, &event)
    } else if local::is_local(&loaded.config) {
        append_to_journal(context, &loaded.config, &item, &event)
    } else {
        append(context, &loaded, &item, event)
    }
}

/// Decodes what was kept with the decoder of today. Its key is left aside: it is keyed anew.
fn decode_again(item: &QuarantineItem, kept: &RawValue) -> Result<Event, Failure> {
    const CORRECT: &str = "the source has the bytes; correct it there, then `publish` or `import` it";
    let kept: Value = serde_json::from_str(kept.get())?;
    if kept.get("body").is_none() {
        return Err(Failure::new(format!("item {item} had no body")).hint(CORRECT));
    }
    let Some(text) = kept.pointer("/body/json").and_then(Value::as_str) else {
        let message = format!("of item {item} only the SHA-256 was kept, as it was no JSON");
        return Err(Failure::new(message).hint(CORRECT));
    };
    let headers = items_at(&kept, "/headers").iter();
    let headers: Vec<_> =
        headers.map(|header| (text_at(header, "/name"), text_at(header, "/value"))).collect();
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let timestamp = parse_instant(&text_at(&kept, "/sourceTime")).ok();
    let message = Message { key: None, value: Some(text.as_bytes()), headers: &headers, timestamp };
    match decode(&message) {
        Ok(Decoded::Event(incoming)) => Ok(incoming.event),
        Ok(Decoded::Tick) => {
            let message = format!("item {item} is a tick, with which nothing was lost");
            Err(Failure::new(message).hint("`publish --tick` sends another"))
        }
        Err(rejection) => {
            let message = format!("item {item} is still no event, and was not sent");
            Err(Failure::caused(message, rejection).hint("correct the event, then `publish` or `import` it"))
        }
    }
}

/// A topic whose cluster is known has been read from Kafka.
fn is_fed_by_kafka(config: &Config, item: &QuarantineItem) -> Result<bool, Failure> {
    let identity = open_read_only(config)?.identity(&item.shard.topic)?;
    Ok(identity.is_some_and(|identity| identity.cluster_id.is_some()))
}

fn send(
    context: &mut Context<'_, '_>,
    config: &Config,
    item: &QuarantineItem,
    event: &Event,
) -> Result<Exit, Failure> {
    let mut options = config.kafka.clone();
    options.topics = vec![item.shard.topic.clone()];
    options.partitioner = remembered(config, &options)?;
    let mut sender = Sender::connect(&options)?;
    sender.send(&to_native_json(event))?;
    sender.settle()?;
    context.report(&format!("item {item} was sent to {} once more", item.shard.topic));
    Ok(Exit::Done)
}

fn append(
    context: &mut Context<'_, '_>,
    loaded: &Loaded,
    item: &QuarantineItem,
    event: Event,
) -> Result<Exit, Failure> {
    let config = &loaded.config;
    let (data, _) = secret::open(config)?;
    let (source, topic) = (format!("retry:{item}"), item.shard.topic.clone());
    let again = Retry { source, topic, placing: placing_of(loaded), event, now: now() };
    let retried = retry(&data, &again).map_err(|error| match error {
        RetryError::Refused(rejection) => {
            let message = format!("item {item} was refused again, and is not recorded");
            Failure::caused(message, rejection).hint(LATER)
        }
        error => error.into(),
    })?;
    report_retried(context, config, &data, item, retried)
}

/// What to do about an event that is refused still.
const LATER: &str = "retry it once the reason is gone, or correct the event and `import` it";

/// Where a journal is the source the event is a line of it. One that is refused again is refused twice then.
fn append_to_journal(
    context: &mut Context<'_, '_>,
    config: &Config,
    item: &QuarantineItem,
    event: &Event,
) -> Result<Exit, Failure> {
    let (data, _) = secret::open(config)?;
    let journal = local::open_journal(config, &data)?;
    let options = local::import_options(config, None);
    let mut importing = LocalImport::open(&options, &data, &journal)?;
    journal.append_blocking(&to_native_json(event), now())?;
    importing.read_on()?;
    let applied = importing.finish(&journal)?.applied;
    if applied.refused > 0 {
        evidence::sign_imported(config, &data, &item.shard.topic)?;
        return Err(Failure::new(format!("item {item} was refused again")).hint(LATER));
    }
    let retried = if applied.appended > 0 { Retried::Recorded } else { Retried::Repeated };
    report_retried(context, config, &data, item, retried)
}

fn report_retried(
    context: &mut Context<'_, '_>,
    config: &Config,
    data: &DataDir,
    item: &QuarantineItem,
    retried: Retried,
) -> Result<Exit, Failure> {
    evidence::sign_imported(config, data, &item.shard.topic)?;
    context.report(&match retried {
        Retried::Recorded => format!("item {item} is recorded now"),
        Retried::Repeated => format!("the event of item {item} is recorded already; nothing to do"),
    });
    report_unsigned(context, config)?;
    Ok(Exit::Done)
}
