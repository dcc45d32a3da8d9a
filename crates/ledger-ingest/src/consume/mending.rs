//! Shards that the disk halted are tried again: a write that failed poisons its shard until it is opened anew.
//!
//! ```text
//!   halted by the disk ─► back-off ─► does a file of the data directory take bytes? ─► close ─► open ─► assign anew
//!                            ▲                 no                                                 fails │
//!                            └──────────────────┴───────────────────────────────────────────────────────┘
//! ```
//!
//! Until the disk takes bytes again the shard stays open and answers from what is recorded. All of this is done on the
//! group's thread, between two polls, so that no rebalance comes in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger_store::{Halted, Served, ShardId, ShardStatus, StopCode, with_causes};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tracing::{debug, info, warn};

use crate::consume::membership::Membership;
use crate::kafka::shard::KafkaPartition as _;

/// How soon a shard is tried again for the first time.
const FIRST_REST: Duration = Duration::from_secs(1);

/// How long it rests at the most.
const LONGEST_REST: Duration = Duration::from_mins(1);

/// So much longer than it rested a shard must have run to begin with the first rest again.
const STEADY: u32 = 4;

/// How long the threads of a halted shard may take to end: they do nothing any more.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// When shards are tried again.
#[derive(Debug, Default)]
pub(super) struct Mending(BTreeMap<ShardId, Attempt>);

#[derive(Debug, Clone, Copy)]
struct Attempt {
    rest: Duration,
    due: Instant,
}

impl Mending {
    /// Whether a shard that is halted is to be tried now; the next time is later.
    fn is_due(&mut self, id: &ShardId, now: Instant) -> bool {
        let first = Attempt { rest: FIRST_REST, due: now + FIRST_REST };
        let attempt = self.0.entry(id.clone()).or_insert(first);
        // It ran for a while since, so this is another failure.
        if now.saturating_duration_since(attempt.due) > attempt.rest * STEADY {
            *attempt = first;
        }
        let is_due = now >= attempt.due;
        if is_due {
            attempt.rest = (attempt.rest * 2).min(LONGEST_REST);
            attempt.due = now + attempt.rest;
        }
        is_due
    }
}

/// Whether opening a shard anew can mend it.
fn is_of_disk(halted: &Halted) -> bool {
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

impl Membership {
    /// Tries the shards again that the disk halted and whose rest is over.
    pub(super) fn mend(&self, base: &BaseConsumer<Self>, mending: &mut Mending) {
        let now = Instant::now();
        let failed: BTreeMap<ShardId, Halted> = self.catalog().failed().into_iter().collect();
        let halted = self.assigned().into_iter().filter_map(|id| {
            let status = self.catalog().get(&id).map(|served| served.status);
            let of_status = || status.as_ref().and_then(|status| status.freshness().halted);
            let halted = failed.get(&id).cloned().or_else(of_status).filter(is_of_disk)?;
            Some((id, halted, status))
        });
        let due: Vec<_> = halted.filter(|(id, ..)| mending.is_due(id, now)).collect();
        if due.is_empty() {
            return;
        }
        if let Err(error) = self.data().probe() {
            debug!(error = with_causes(&error), "the disk that halted shards is not mended yet");
            return;
        }
        for (id, halted, status) in due {
            self.open_once_more(base, &id, halted, status.unwrap_or_default());
        }
    }

    fn open_once_more(
        &self,
        base: &BaseConsumer<Self>,
        id: &ShardId,
        halted: Halted,
        status: Arc<ShardStatus>,
    ) {
        info!(shard = %id, code = halted.code, "the shard that the disk halted is opened anew");
        // What is asked meanwhile is refused with the reason: the shard is not there, and not empty.
        self.catalog().fail(id.clone(), halted.clone());
        self.end_worker(id, Instant::now() + END_TIMEOUT);
        self.catalog().remove(id);
        let mut alone = id.alone();
        let assigned = base.incremental_unassign(&alone).and_then(|()| self.assign(base, &mut alone));
        if let Err(error) = assigned {
            warn!(shard = %id, %error, "the partition could not be assigned anew");
        }
        if self.catalog().get(id).is_none() {
            self.serve_as_it_is(id, halted, status);
        }
    }

    /// A shard that still cannot be written answers from what is on disk.
    fn serve_as_it_is(&self, id: &ShardId, halted: Halted, status: Arc<ShardStatus>) {
        let Ok(reader) = self.data().read_shard(id) else { return };
        let why = self.catalog().failed().into_iter().find(|(failed, _)| failed == id);
        status.halt_for(why.map_or(halted, |(_, why)| why));
        self.catalog().insert(id.clone(), Served { reader, status });
    }
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
