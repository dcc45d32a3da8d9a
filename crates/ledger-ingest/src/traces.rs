//! The trace context of messages, from the reader that meets them to the publisher of what was decided.
//!
//! ```text
//!   message ─ header traceparent ─► reader: note ─► kept by (shard, offset) ─► publisher: of_decision ─► header of its messages
//!                                                                                └► DecisionSpans::decided: a span below it
//! ```
//!
//! In: [`install`] by whoever sends spans somewhere. Until then the reader looks at no header for it. Nothing of it is stored
//! (I-5), and what is kept is bounded: a restart, or a publisher that is far behind, loses a trace and never a decision.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use ledger_record::record::Record;
use ledger_store::ShardId;

/// The header with the trace context of a message, as W3C has it.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// Messages of a shard whose context is kept; the oldest makes room.
const KEPT_OF_A_SHARD: usize = 10_000;

/// Longer than any version of the header.
const TRACEPARENT_MAX_BYTES: usize = 256;

/// What was decided, for a span.
#[derive(Debug)]
pub struct TracedDecision<'d> {
    /// Whose partition it came from.
    pub shard: &'d ShardId,
    /// Its record.
    pub record: &'d Record,
    /// When its message was taken.
    pub taken: SystemTime,
}

/// Makes spans of decisions.
pub trait DecisionSpans: fmt::Debug + Send + Sync {
    /// A decision below the span of this `traceparent` is about to be published. What its messages are to have as
    /// theirs; none: that was no trace context.
    fn decided(&self, traceparent: &str, decision: &TracedDecision<'_>) -> Option<String>;
}

/// What is known of a message.
#[derive(Debug)]
struct Noted {
    traceparent: String,
    taken: SystemTime,
    /// Whether its span was made, and what its messages have of it.
    is_decided: bool,
    own: Option<String>,
}

/// The contexts that wait for their decisions to be published.
#[derive(Debug)]
pub(crate) struct Traces {
    spans: Arc<dyn DecisionSpans>,
    noted: Mutex<HashMap<ShardId, BTreeMap<u64, Noted>>>,
}

static INSTALLED: OnceLock<Traces> = OnceLock::new();

/// From now on spans are made of decisions, for the whole process; the first call counts.
pub fn install(spans: Arc<dyn DecisionSpans>) {
    INSTALLED.get_or_init(|| Traces { spans, noted: Mutex::default() });
}

/// None: nobody wants spans.
pub(crate) fn installed() -> Option<&'static Traces> {
    INSTALLED.get()
}

impl Traces {
    fn lock(&self) -> MutexGuard<'_, HashMap<ShardId, BTreeMap<u64, Noted>>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message was taken.
    pub(crate) fn note(&self, shard: &ShardId, offset: u64, headers: &[(&str, &[u8])]) {
        let header = headers.iter().find(|(name, _)| *name == TRACEPARENT);
        let Some(traceparent) = header.and_then(|(_, value)| std::str::from_utf8(value).ok()) else { return };
        if traceparent.len() > TRACEPARENT_MAX_BYTES {
            return;
        }
        let noted = Noted {
            traceparent: traceparent.to_owned(),
            taken: SystemTime::now(),
            is_decided: false,
            own: None,
        };
        let mut all = self.lock();
        let of_shard = all.entry(shard.clone()).or_default();
        of_shard.insert(offset, noted);
        if of_shard.len() > KEPT_OF_A_SHARD {
            of_shard.pop_first();
        }
    }

    /// What the messages about a record have as their `traceparent`. Sent again they have the same.
    pub(crate) fn of_decision(&self, shard: &ShardId, record: &Record) -> Option<String> {
        let mut all = self.lock();
        let noted = all.get_mut(shard)?.get_mut(&record.source.offset)?;
        if !noted.is_decided {
            let decision = TracedDecision { shard, record, taken: noted.taken };
            noted.own = self.spans.decided(&noted.traceparent, &decision);
            noted.is_decided = true;
        }
        noted.own.clone()
    }

    /// All of a shard was published that comes before this offset.
    pub(crate) fn published(&self, shard: &ShardId, next_offset: u64) {
        if let Some(of_shard) = self.lock().get_mut(shard) {
            *of_shard = of_shard.split_off(&next_offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct NoSpans;

    impl DecisionSpans for NoSpans {
        fn decided(&self, _: &str, _: &TracedDecision<'_>) -> Option<String> {
            None
        }
    }

    #[test]
    fn contexts_are_bounded_and_go_when_they_are_published() {
        let traces = Traces { spans: Arc::new(NoSpans), noted: Mutex::default() };
        let shard = ShardId { topic: "t".to_owned(), partition: 0 };
        let kept = || traces.lock().get(&shard).map_or(0, BTreeMap::len);
        let note = |offset, value: &str| traces.note(&shard, offset, &[(TRACEPARENT, value.as_bytes())]);
        traces.note(&shard, 0, &[("other", b"x")]);
        note(1, &"x".repeat(TRACEPARENT_MAX_BYTES + 1));
        assert_eq!(kept(), 0);
        for offset in 0..=KEPT_OF_A_SHARD as u64 {
            note(offset, "00-a-b-01");
        }
        assert_eq!(kept(), KEPT_OF_A_SHARD);
        assert!(!traces.lock()[&shard].contains_key(&0), "the oldest made room");
        traces.published(&shard, KEPT_OF_A_SHARD as u64);
        assert_eq!(kept(), 1);
    }
}
