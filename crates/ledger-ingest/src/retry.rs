//! One event, once more, without Kafka: recorded in every shard that it is for, or in none.
//!
//! Unlike an import, nothing is noted of an event that is refused again: its message is in quarantine already,
//! and the next try must be as good as this one. An event that is recorded is recognized by its id.

use std::sync::Arc;

use ledger_core::event::Event;
use ledger_core::limits::FUTURE_MAX_MS;
use ledger_core::time::Timestamp;
use ledger_record::record::Coordinates;
use ledger_record::rejection::{Refused, RefusedBody, Rejection};
use ledger_record::rows::SourcePosition;
use ledger_store::{AppendError, AppendResult, DataDir, FutureLimit, IncomingEvent};
use sha2::{Digest, Sha256};

use crate::decode::{Decoded, Message, decode, to_native_json};
use crate::import::{ImportError, ImportTarget, open_targets};
use crate::placing::Placement;

/// What is tried again.
#[derive(Debug, Clone)]
pub struct Retry {
    /// Name of the source, without the `import:`. Each event that is recorded is a line of it.
    pub source: String,
    /// The topic whose shards take the event.
    pub topic: String,
    /// How that topic's producers place client keys.
    pub placing: Placement,
    /// The event.
    pub event: Event,
    /// The clock: an event more than 24 hours after it is refused.
    pub now: Timestamp,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retried {
    /// It is recorded now.
    Recorded,
    /// It was recorded before.
    Repeated,
}

/// Why it was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// It is refused still; nothing was written.
    #[error(transparent)]
    Refused(#[from] Rejection),
    /// The shards cannot be opened.
    #[error(transparent)]
    Open(#[from] ImportError),
    /// A shard cannot be written.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Why no event can be made of a refused message.
#[derive(Debug, thiserror::Error)]
pub enum NotDecoded {
    /// There was nothing in it.
    #[error("it had no body")]
    NoBody,
    /// It is not here.
    #[error("only the SHA-256 was kept, as it was no JSON")]
    NotKept,
    /// It is of no tenant and no app.
    #[error("it is a tick, with which nothing was lost")]
    Tick,
    /// It is refused still.
    #[error(transparent)]
    Rejected(#[from] Rejection),
}

/// Decodes what was kept of a refused message with the decoder of today. Its key is left aside: it is keyed anew.
pub fn decode_again(refused: &Refused) -> Result<Event, NotDecoded> {
    let text = match &refused.body {
        RefusedBody::Absent => return Err(NotDecoded::NoBody),
        RefusedBody::Digest { .. } => return Err(NotDecoded::NotKept),
        RefusedBody::Json(text) => text,
    };
    let headers = refused.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let headers: Vec<_> = headers.collect();
    let value = Some(text.as_bytes());
    match decode(&Message { key: None, value, headers: &headers, timestamp: refused.source_time })? {
        Decoded::Event(incoming) => Ok(incoming.event),
        Decoded::Tick => Err(NotDecoded::Tick),
    }
}

/// Offers the event to every shard that it is for, and writes when none refuses it.
pub fn retry(data: &DataDir, again: &Retry) -> Result<Retried, RetryError> {
    let Retry { event, now, .. } = again;
    let name: Arc<str> = format!("import:{}", again.source).into();
    let (mut targets, partitioner) = open_targets(data, &again.topic, None, &again.placing, &name)?;
    let partitions = u32::try_from(targets.len()).unwrap_or(u32::MAX);
    let only = event.client().and_then(|client| partitioner.partition(client.as_bytes(), partitions));
    let sha256: [u8; 32] = Sha256::digest(to_native_json(event)).into();

    let mut batches = Vec::new();
    for ImportTarget { shard, taken, source, .. } in &mut targets {
        if only.is_some_and(|only| only != source.partition) {
            continue;
        }
        let line = *taken + 1;
        let place = |offset| Coordinates { source: Arc::clone(&name), partition: source.partition, offset };
        let arrival = IncomingEvent {
            from: place(line),
            source_time: event.time,
            event: event.clone(),
            time_defaulted: false,
            future: FutureLimit::At(now.plus_millis(FUTURE_MAX_MS)),
        };
        let mut batch = shard.begin();
        match batch.offer(arrival)? {
            AppendResult::Appended { .. } => {
                // As at the end of any import.
                batch.seal_unsealed(place(line + 1))?;
                batch.advance(&name, SourcePosition::Import { lines: line, sha256 });
                batches.push(batch);
            }
            AppendResult::Duplicate { .. } => {}
            AppendResult::Refused(rejection) => return Err(rejection.into()),
        }
    }
    if batches.is_empty() {
        return Ok(Retried::Repeated);
    }
    for batch in batches {
        batch.commit()?;
    }
    Ok(Retried::Recorded)
}

#[cfg(test)]
mod tests {
    use ledger_record::proof::line::LedgerSecret;
    use ledger_record::rejection::Reason;
    use ledger_store::{Partitioner, ShardId, SourceIdentity, StoreOptions};

    use super::*;

    const DAY: i64 = 86_400_000;
    /// 2026-01-01T00:00:00Z
    const NEW_YEAR: i64 = 1_767_225_600_000;

    fn try_at(data: &DataDir, event: &Event, now: i64) -> Result<Retried, RetryError> {
        let now = Timestamp::from_millis(NEW_YEAR + now);
        let placing = Placement { set: Some(Partitioner::Murmur2), kafka: None };
        let (source, topic) = ("retry:x".to_owned(), "t".to_owned());
        let retried = Retry { source, topic, placing, event: event.clone(), now };
        retry(data, &retried)
    }

    fn heads(data: &DataDir) -> Vec<u64> {
        let shards = (0..3).map(|partition| ShardId { topic: "t".to_owned(), partition });
        shards.map(|id| data.open_shard(&id).unwrap().head().next_position).collect()
    }

    #[test]
    fn an_event_can_be_tried_until_it_is_recorded_and_never_twice() {
        let scratch = tempfile::tempdir().unwrap();
        let data = DataDir::open(scratch.path(), StoreOptions::default(), LedgerSecret::from_bytes([7; 32]))
            .unwrap();
        data.bind("t", &SourceIdentity { cluster_id: None, topic_id: None, partitions: 3 }).unwrap();
        for (id, body, shards) in [
            ("one", r#""type":"enabled","clientKey":"c""#, 1),
            ("all", r#""type":"policy-set","policy":{"mode":"off"}"#, 3),
        ] {
            let text = format!(r#"{{"id":"{id}","time":"2026-01-05T00:00:00Z","appKey":"a",{body}}}"#);
            let event = decode(&Message { value: Some(text.as_bytes()), ..Message::default() });
            let event = event.unwrap().event().unwrap().clone();
            let before = heads(&data);
            for early in [0, DAY, 2 * DAY] {
                let refused = try_at(&data, &event, early);
                assert!(
                    matches!(&refused, Err(RetryError::Refused(why)) if why.reason == Reason::TimeInFuture),
                    "{refused:?}"
                );
            }
            assert_eq!(heads(&data), before, "what is refused leaves no trace");
            assert_eq!(try_at(&data, &event, 4 * DAY).unwrap(), Retried::Recorded);
            let recorded = heads(&data);
            assert_eq!(recorded.iter().zip(&before).filter(|(after, before)| after > before).count(), shards);
            for later in [4 * DAY, 5 * DAY] {
                assert_eq!(try_at(&data, &event, later).unwrap(), Retried::Repeated);
            }
            assert_eq!(heads(&data), recorded);
        }
    }
}
