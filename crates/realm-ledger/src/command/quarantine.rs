//! `quarantine list`, `show` and `retry`.
//!
//! A retry must not make one copy of a ledger differ from another (I-5), nor append an event twice (I-3). So the event
//! takes the way of any other: a server publishes it, for who may operate; a ledger that Kafka feeds gets it from the
//! lifecycle topic, keyed as `publish` keys, where every copy sees it; one that was only imported imports it, from a source
//! of its own that is taken once; a journal that is the source takes it as one more line. The refused record stays, as
//! evidence of what came.

use std::ops::ControlFlow;

use ledger_api::query::{QuarantineItemQuery, QuarantineQuery, Raw, request};
use ledger_core::event::Event;
use ledger_ingest::decode::to_native_json;
use ledger_ingest::publish::Sender;
use ledger_ingest::retry::{NotDecoded, Retried, Retry, RetryError, decode_again, retry};
use ledger_record::rejection::Refused;
use ledger_store::{DataDir, ShardId};
use serde_json::Value;
use serde_json::value::RawValue;

use super::import::{placing_of, report_unsigned};
use super::publish::remembered;
use super::submit::{dry_run_parameter, report_answer};
use super::{Context, brokers_flag, data_dir_flag, now, open_read_only};
use crate::ask_error::{AskError, NOT_FOUND};
use crate::backend::{Backend, FIRST_PAGE, Remote};
use crate::cli::{ItemName, QuarantineCommand, QuarantineItem, QuarantineRetry, QuarantineShow};
use crate::config::{Config, Loaded};
use crate::local::{self, LocalImport};
use crate::output::{QUARANTINE, text_at};
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
    Ok(backend.ask(&query_of(item)).map_err(of_item)?.item)
}

fn query_of(QuarantineItem { shard, seq }: &QuarantineItem) -> QuarantineItemQuery {
    let ShardId { topic, partition } = shard.clone();
    QuarantineItemQuery { topic, partition, seq: *seq }
}

fn of_item(error: AskError) -> Failure {
    let is_unknown = error.code() == Some(NOT_FOUND);
    let failure = Failure::from(error);
    if is_unknown {
        failure.hint("`realm-ledger quarantine list` has every item and its name")
    } else {
        failure
    }
}

fn run_retry(context: &mut Context<'_, '_>, args: QuarantineRetry) -> Result<Exit, Failure> {
    let QuarantineRetry { item, brokers, dry_run, target } = args;
    let backend = context.backend(&target)?;
    let item = find(&backend, item)?;
    let local = match &backend {
        Backend::Remote(server) => return retry_at(context, server, &item, dry_run),
        Backend::Local(local) => local,
    };
    let event = decoded(&item, &local.refused(&query_of(&item)).map_err(of_item)?)?;
    let named_brokers = brokers.is_some();
    let loaded = context.loaded([data_dir_flag(target.data_dir), brokers_flag(brokers)])?;
    if named_brokers || is_fed_by_kafka(&loaded.config, &item)? {
        send(context, &loaded.config, &item, &event)
    } else if local::is_local(&loaded.config) {
        append_to_journal(context, &loaded.config, &item, &event)
    } else {
        append(context, &loaded, &item, event)
    }
}

/// The event of what was kept.
fn decoded(item: &QuarantineItem, refused: &Refused) -> Result<Event, Failure> {
    const CORRECT: &str = "the source has the bytes; correct it there, then `publish` or `import` it";
    decode_again(refused).map_err(|error| match error {
        NotDecoded::NoBody | NotDecoded::NotKept => {
            Failure::new(format!("item {item} cannot be sent: {error}")).hint(CORRECT)
        }
        NotDecoded::Tick => {
            Failure::new(format!("item {item}: {error}")).hint("`publish --tick` sends another")
        }
        NotDecoded::Rejected(rejection) => {
            let message = format!("item {item} is still no event, and was not sent");
            Failure::caused(message, rejection).hint("correct the event, then `publish` or `import` it")
        }
    })
}

/// A server publishes it itself, where its token allows that.
fn retry_at(
    context: &mut Context<'_, '_>,
    server: &Remote,
    item: &QuarantineItem,
    dry_run: bool,
) -> Result<Exit, Failure> {
    let path = format!("{}/retry", request(&query_of(item)).path);
    let answer = server.order_for_text(&path, dry_run_parameter(dry_run), String::new());
    report_answer(context, &answer.map_err(of_item)?, dry_run)
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
