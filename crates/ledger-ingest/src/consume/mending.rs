//! Shards that the disk halted are tried again: a write that failed poisons its shard until it is opened anew.
//!
//! ```text
//!   halted by the disk ─► back-off ─► does a file of the data directory take bytes? ─► close ─► open ─► start
//!                            ▲                 no                                                 fails │
//!                            └──────────────────┴───────────────────────────────────────────────────────┘
//! ```
//!
//! Until the disk takes bytes again the shard stays open and answers from what is recorded. Here is when a shard is tried;
//! the owner of the partitions does the rest.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ledger_store::{Halted, ShardId, StopCode};

use crate::attempts::Backoff;

/// How soon a shard is tried again for the first time.
const FIRST_REST: Duration = Duration::from_secs(1);

/// How long it rests at the most.
const LONGEST_REST: Duration = Duration::from_mins(1);

/// So much longer than it rested a shard must have run to begin with the first rest again.
const STEADY: u32 = 4;

/// When shards are tried again.
#[derive(Debug, Default)]
pub(super) struct Mending(BTreeMap<ShardId, Attempt>);

#[derive(Debug, Clone, Copy)]
struct Attempt {
    backoff: Backoff,
    rest: Duration,
    due: Instant,
}

impl Attempt {
    fn first(now: Instant) -> Self {
        let mut backoff = Backoff::new(FIRST_REST, LONGEST_REST);
        let rest = backoff.rest();
        Self { backoff, rest, due: now + rest }
    }
}

impl Mending {
    /// Whether a shard that is halted is to be tried now; the next time is later.
    pub(super) fn is_due(&mut self, id: &ShardId, now: Instant) -> bool {
        let attempt = self.0.entry(id.clone()).or_insert_with(|| Attempt::first(now));
        // It ran for a while since, so this is another failure.
        if now.saturating_duration_since(attempt.due) > attempt.rest * STEADY {
            *attempt = Attempt::first(now);
        }
        let is_due = now >= attempt.due;
        if is_due {
            attempt.rest = attempt.backoff.rest();
            attempt.due = now + attempt.rest;
        }
        is_due
    }
}

/// Whether opening a shard anew can mend it.
pub(super) fn is_of_disk(halted: &Halted) -> bool {
    matches!(
        StopCode::parse(halted.code),
        Some(
            StopCode::DiskFull
                | StopCode::DiskReadOnly
                | StopCode::DiskFailed
                | StopCode::FilesExhausted
                | StopCode::ShardLocked
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_tried_again_later_each_time_and_soon_after_it_ran() {
        let (id, start) = (ShardId { topic: "t".to_owned(), partition: 0 }, Instant::now());
        let mut mending = Mending::default();
        let mut tried = Vec::new();
        for second in 0..200 {
            if mending.is_due(&id, start + Duration::from_secs(second)) {
                tried.push(second);
            }
        }
        assert_eq!(tried, [1, 3, 7, 15, 31, 63, 123, 183]);
        let another = start + Duration::from_hours(1);
        assert!(!mending.is_due(&id, another));
        assert!(mending.is_due(&id, another + FIRST_REST));
    }

    #[test]
    fn what_the_disk_did_is_tried_again_and_what_a_person_must_mend_is_not() {
        let halted = |code: StopCode| Halted { code: code.as_str(), message: String::new() };
        let tried = StopCode::ALL.iter().filter(|code| is_of_disk(&halted(**code)));
        let tried: Vec<_> = tried.map(|code| code.as_str()).collect();
        assert_eq!(tried, ["disk-full", "disk-read-only", "disk-failed", "files-exhausted", "shard-locked"]);
    }
}
