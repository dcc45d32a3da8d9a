//! `quarantine list`, `show` and `retry`.
//!
//! A retry must not make one copy of a ledger differ from another (I-5), nor take an event twice (I-3). So it
//! takes the way of any event: a ledger that Kafka feeds gets it from the lifecycle topic, keyed as `publish`
//! keys, where every copy sees it; one that was only imported imports it, from a source of its own that is
//! taken once. The refused record stays what it is, evidence of what came.

use std::ops::ControlFlow;

use ledger_api::query::{QuarantineItemQuery, QuarantineQuery, Raw};
use ledger_core::event::Event;
use ledger_ingest::decode::{Decoded, Message, decode, to_native_json};
use ledger_ingest::placing::Placement;
use ledger_ingest::publish::Sender;
use ledger_ingest::retry::{self, Retried, Retry};
use ledger_record::json::time::parse_instant;
use ledger_record::rejection::Rejection;
use ledger_store::{DataDir, ShardId};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::import::{placing_of, say_unsigned};
use super::publish::remembered;
use super::{Context, brokers_flag, data_dir_flag, now};
use crate::backend::{Backend, FIRST_PAGE, NOT_FOUND};
use crate::cli::{Everything, Item, ItemName, Quarantine, QuarantineRetry, QuarantineShow};
use crate::config::Config;
use crate::output::QUARANTINE;
use crate::{Exit, Failure, evidence, secret};

/// Why an item is not fed through again.
#[derive(Debug, thiserror::Error)]
enum RetryError {
    #[error("of item {item} only the SHA-256 was kept, as it was no JSON")]
    DigestOnly { item: Item },
    #[error("item {item} had no body")]
    NoBody { item: Item },
    #[error("item {item} is still no event, and was not sent")]
    StillRefused {
        item: Item,
        #[source]
        rejection: Rejection,
    },
    #[error("item {item} is a tick, with which nothing was lost")]
    Tick { item: Item },
    #[error("item {item} was refused again, and is not recorded")]
    RefusedAgain {
        item: Item,
        #[source]
        rejection: Rejection,
    },
}

/// No refused message came from there.
#[derive(Debug, thiserror::Error)]
#[error("no refused message is from {name}")]
struct NotRefused {
    name: ItemName,
}

/// As much of an item as tells it from others.
#[derive(Deserialize)]
struct Listed {
    topic: String,
    partition: u32,
    seq: u64,
    source: Source,
}

#[derive(Deserialize)]
struct Source {
    name: String,
    partition: u32,
    offset: u64,
}

/// As much of an item as a retry needs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    source_time: Option<String>,
    #[serde(default)]
    headers: Vec<Header>,
    body: Option<Body>,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct Body {
    json: Option<String>,
}

pub(super) fn run(context: &mut Context<'_, '_>, command: Quarantine) -> Result<Exit, Failure> {
    match command {
        Quarantine::List(args) => list(context, &args),
        Quarantine::Show(QuarantineShow { item, place }) => {
            let backend = context.backend(&place)?;
            let item = fetch(&backend, &find(&backend, item)?)?;
            context.print_one(&item)?;
            Ok(Exit::Done)
        }
        Quarantine::Retry(args) => once_more(context, args),
    }
}

fn list(context: &mut Context<'_, '_>, args: &Everything) -> Result<Exit, Failure> {
    let backend = context.backend(&args.place)?;
    let mut printer = context.printer(QUARANTINE);
    for_each(&backend, |item| {
        printer.item(item)?;
        Ok(ControlFlow::Continue(()))
    })?;
    let has_any = printer.finish()?;
    context.end_list(has_any, "nothing is in quarantine");
    Ok(Exit::Done)
}

/// Calls for each item, page by page, until told to stop.
fn for_each(
    backend: &Backend,
    mut work: impl FnMut(&RawValue) -> Result<ControlFlow<()>, Failure>,
) -> Result<(), Failure> {
    let mut query = QuarantineQuery { reason: None, page: FIRST_PAGE };
    loop {
        let answer = backend.ask(&query)?;
        for item in &answer.items {
            if work(item)?.is_break() {
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
fn find(backend: &Backend, name: ItemName) -> Result<Item, Failure> {
    let from = match &name {
        ItemName::Item(item) => return Ok(item.clone()),
        ItemName::From { source, partition, offset } => (source, *partition, *offset),
    };
    let mut found = None;
    for_each(backend, |item| {
        let Listed { topic, partition, seq, source } =
            serde_json::from_str(item.get()).map_err(Failure::new)?;
        if (&source.name, source.partition, source.offset) != from {
            return Ok(ControlFlow::Continue(()));
        }
        found = Some(Item { shard: ShardId { topic, partition }, seq });
        Ok(ControlFlow::Break(()))
    })?;
    found.ok_or_else(|| Failure::new(NotRefused { name }))
}

fn fetch(backend: &Backend, item: &Item) -> Result<Raw, Failure> {
    let Item { shard: ShardId { topic, partition }, seq } = item.clone();
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

fn once_more(context: &mut Context<'_, '_>, args: QuarantineRetry) -> Result<Exit, Failure> {
    let QuarantineRetry { item, brokers, place } = args;
    let backend = context.backend(&place)?;
    let item = find(&backend, item)?;
    let kept = fetch(&backend, &item)?;
    let event = read_again(&item, &kept)?;
    let mut flags = data_dir_flag(place.data_dir.as_deref());
    let named_brokers = brokers.brokers.is_some();
    flags.extend(brokers_flag(brokers.brokers));
    let loaded = context.config(&flags)?;
    let placing = placing_of(&loaded);
    let config = loaded.config;
    let by_kafka = named_brokers || place.url.is_some() || is_fed_by_kafka(&config, &item)?;
    if by_kafka {
        send(context, &config, &item, &event)
    } else {
        take(context, &config, &item, event, placing)
    }
}

/// What was kept, through the decoder of today. Its key is left aside: it is keyed anew.
fn read_again(item: &Item, kept: &RawValue) -> Result<Event, Failure> {
    let kept: Kept = serde_json::from_str(kept.get()).map_err(Failure::new)?;
    let text = match kept.body {
        None => return Err(RetryError::NoBody { item: item.clone() }.into()),
        Some(Body { json: None }) => return Err(RetryError::DigestOnly { item: item.clone() }.into()),
        Some(Body { json: Some(text) }) => text,
    };
    let headers: Vec<(String, Vec<u8>)> =
        kept.headers.into_iter().map(|header| (header.name, header.value.into_bytes())).collect();
    let timestamp = kept.source_time.and_then(|text| parse_instant(&text).ok());
    let message = Message { key: None, value: Some(text.as_bytes()), headers: &headers, timestamp };
    match decode(&message) {
        Ok(Decoded::Event(incoming)) => Ok(incoming.event),
        Ok(Decoded::Tick) => Err(RetryError::Tick { item: item.clone() }.into()),
        Err(rejection) => Err(RetryError::StillRefused { item: item.clone(), rejection }.into()),
    }
}

/// A topic whose cluster is known has been read from Kafka.
fn is_fed_by_kafka(config: &Config, item: &Item) -> Result<bool, Failure> {
    let data = DataDir::open_existing_read_only(&config.data_dir, config.store.clone())?;
    Ok(data.identity(&item.shard.topic)?.is_some_and(|identity| identity.cluster_id.is_some()))
}

fn send(context: &mut Context<'_, '_>, config: &Config, item: &Item, event: &Event) -> Result<Exit, Failure> {
    let mut options = config.kafka.clone();
    options.topics = vec![item.shard.topic.clone()];
    options.partitioner = remembered(config, &options)?;
    let mut sender = Sender::connect(&options)?;
    sender.send(&to_native_json(event))?;
    sender.settle()?;
    context.say(&format!("item {item} was sent to {} once more", item.shard.topic));
    Ok(Exit::Done)
}

fn take(
    context: &mut Context<'_, '_>,
    config: &Config,
    item: &Item,
    event: Event,
    placing: Placement,
) -> Result<Exit, Failure> {
    let data = secret::open(config)?.data;
    let (source, topic) = (format!("retry:{item}"), item.shard.topic.clone());
    let again = Retry { source, topic, placing, event, now: now() };
    let retried = retry::retry(&data, &again).map_err(|error| match error {
        retry::RetryError::Refused(rejection) => {
            Failure::from(RetryError::RefusedAgain { item: item.clone(), rejection })
        }
        retry::RetryError::Open(error) => error.into(),
        retry::RetryError::Append(error) => Failure::new(error),
    })?;
    evidence::sign_imported(config, &data, &item.shard.topic)?;
    context.say(&match retried {
        Retried::Recorded => format!("item {item} is recorded now"),
        Retried::Repeated => format!("the event of item {item} is recorded already; nothing to do"),
    });
    say_unsigned(context, config)
}

impl From<RetryError> for Failure {
    fn from(error: RetryError) -> Self {
        let hint = match error {
            RetryError::DigestOnly { .. } | RetryError::NoBody { .. } => {
                "the source has the bytes; correct it there, then `publish` or `import` it"
            }
            RetryError::StillRefused { .. } => "correct the event, then `publish` or `import` it",
            RetryError::Tick { .. } => "`publish --tick` sends another",
            RetryError::RefusedAgain { .. } => {
                "retry it once the reason is gone, or correct the event and `import` it"
            }
        };
        Self::new(error).hint(hint)
    }
}
