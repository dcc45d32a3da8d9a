//! Whether the source gives what it has.
//!
//! Brokers that are away, a topic that was deleted and a transaction that nobody ends look the same to a reader:
//! no message comes, and no error. So each comparison of shard and source leaves word here, and what goes on for
//! too long is told: the shard stays where it is, but nobody takes it for caught up.

use std::time::{Duration, Instant};

use ledger_store::{Halted, ShardId, StopCode};
use rdkafka::error::KafkaError;

/// So many check intervals without an answer are too many.
const SILENT_AFTER: u32 = 2;

/// So many comparisons in a row with the same open transaction before everything else are too many.
const HELD_AFTER: u32 = 3;

/// The results of the comparisons so far.
#[derive(Debug)]
pub(super) struct SourceHealth {
    /// When the source last answered.
    heard: Instant,
    /// The last comparison got no answer.
    silent: bool,
    /// Where a transaction holds up the reader, and how many comparisons found that.
    held: Option<(u64, u32)>,
}

impl SourceHealth {
    pub(super) fn new(now: Instant) -> Self {
        Self { heard: now, silent: false, held: None }
    }

    /// The last comparison got no answer: the next one is due soon.
    pub(super) fn is_silent(&self) -> bool {
        self.silent
    }

    /// A message came, or the end.
    pub(super) fn heard(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// The source answered: messages can be read up to `committed`, and there are some up to `high`. Returns what
    /// is to be reported of that.
    pub(super) fn answered(&mut self, now: Instant, shard: &ShardId, at: SourceEnds) -> Option<Halted> {
        (self.heard, self.silent) = (now, false);
        let SourceEnds { next, committed, high } = at;
        let is_held = committed == next && high > next;
        let before = self.held.filter(|(place, _)| *place == next).map_or(0, |(_, times)| times);
        self.held = is_held.then_some((next, before + 1));
        (is_held && before + 1 >= HELD_AFTER).then(|| {
            let facts = format!(
                "{shard} has offsets up to {high}, but a transaction that does not end keeps {next} and all after it \
                 back"
            );
            Halted::new(StopCode::TransactionHanging, shard, facts)
        })
    }

    /// The source gave no answer. Returns what is to be reported of that.
    pub(super) fn unanswered(
        &mut self,
        now: Instant,
        shard: &ShardId,
        interval: Duration,
        error: &KafkaError,
    ) -> Option<Halted> {
        self.silent = true;
        let since = now.saturating_duration_since(self.heard);
        (since >= interval * SILENT_AFTER).then(|| {
            let facts = format!("nothing was heard of {shard} for {}s: {error}", since.as_secs());
            Halted::new(StopCode::SourceUnreachable, shard, facts)
        })
    }
}

/// How far a partition can be read, and how far it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct SourceEnds {
    /// The next offset to read.
    pub(super) next: u64,
    /// The end of what is committed.
    pub(super) committed: u64,
    /// The end.
    pub(super) high: u64,
}

#[cfg(test)]
mod tests {
    use rdkafka::error::RDKafkaErrorCode;

    use super::*;

    const INTERVAL: Duration = Duration::from_mins(1);

    fn shard() -> ShardId {
        ShardId { topic: "t".to_owned(), partition: 3 }
    }

    #[test]
    fn brokers_that_do_not_answer_are_told_after_two_intervals() {
        let start = Instant::now();
        let mut watch = SourceHealth::new(start);
        let error = KafkaError::MetadataFetch(RDKafkaErrorCode::BrokerTransportFailure);
        let code_after = |watch: &mut SourceHealth, seconds| {
            let now = start + Duration::from_secs(seconds);
            watch.unanswered(now, &shard(), INTERVAL, &error).map(|told| told.code)
        };
        assert_eq!(
            [60, 119, 120].map(|seconds| code_after(&mut watch, seconds)),
            [None, None, Some("source-unreachable")]
        );
        assert!(watch.is_silent());
        watch.heard(start + Duration::from_secs(150));
        assert!(!watch.is_silent());
        assert_eq!(code_after(&mut watch, 200), None);
    }

    #[test]
    fn a_transaction_that_does_not_end_is_told_and_one_that_goes_on_is_not() {
        let now = Instant::now();
        let told = |ends: &[(u64, u64, u64)]| {
            let mut watch = SourceHealth::new(now);
            let told = ends.iter().map(|&(next, committed, high)| {
                watch.answered(now, &shard(), SourceEnds { next, committed, high }).map(|told| told.code)
            });
            told.collect::<Vec<_>>()
        };
        let hanging = Some("transaction-hanging");
        assert_eq!(told(&[(7, 7, 9), (7, 7, 9), (7, 7, 20), (7, 7, 30)]), [None, None, hanging, hanging]);
        assert_eq!(told(&[(7, 7, 9), (7, 7, 9), (9, 9, 12), (9, 9, 12)]), [None; 4], "each of them ended");
        assert_eq!(told(&[(7, 9, 9), (7, 9, 9), (7, 9, 9)]), [None; 3], "the reader itself is behind");
        assert_eq!(told(&[(9, 9, 9), (9, 9, 9), (9, 9, 9)]), [None; 3], "there is nothing to read");
    }
}
