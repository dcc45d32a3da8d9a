//! Which shards this process serves, and how fresh each one is.
//!
//! Ingest writes here, the API reads: the one thing the two share besides the data. A shard is listed from
//! the moment it is open; its [`ShardStatus`] says whether it is being filled, caught up, or halted and why
//! (invariant I-9: a shard that stops does not stop the others).

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use ledger_core::time::Timestamp;
use ledger_record::proof::note::Checkpoint;

use crate::{Reader, ShardId};

/// The shards served by this process.
#[derive(Debug, Default)]
pub struct Catalog {
    shards: RwLock<BTreeMap<ShardId, Served>>,
    failed: RwLock<BTreeMap<ShardId, Halted>>,
}

/// A shard that is served: where to read, and how fresh it is.
#[derive(Debug, Clone)]
pub struct Served {
    /// Reads of the shard.
    pub reader: Reader,
    /// How fresh it is.
    pub status: Arc<ShardStatus>,
}

impl Catalog {
    /// Lists a shard; a shard of the same id is replaced.
    pub fn insert(&self, id: ShardId, served: Served) {
        self.failed.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
        self.write().insert(id, served);
    }

    /// Notes a shard that could not even be opened.
    pub fn fail(&self, id: ShardId, halted: Halted) {
        self.failed.write().unwrap_or_else(PoisonError::into_inner).insert(id, halted);
    }

    /// The shards that could not even be opened, and why.
    pub fn failed(&self) -> Vec<(ShardId, Halted)> {
        let failed = self.failed.read().unwrap_or_else(PoisonError::into_inner);
        failed.iter().map(|(id, halted)| (id.clone(), halted.clone())).collect()
    }

    /// Takes a shard off the list.
    pub fn remove(&self, id: &ShardId) {
        self.write().remove(id);
    }

    /// Every shard, in order.
    pub fn all(&self) -> Vec<(ShardId, Served)> {
        let shards = self.shards.read().unwrap_or_else(PoisonError::into_inner);
        shards.iter().map(|(id, served)| (id.clone(), served.clone())).collect()
    }

    /// One shard.
    pub fn get(&self, id: &ShardId) -> Option<Served> {
        self.shards.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<ShardId, Served>> {
        self.shards.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far a shard is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// On disk, but nothing feeds it now.
    Idle,
    /// Reads what the source had before.
    CatchingUp,
    /// Has seen the end of its source.
    Live,
    /// Stopped on purpose; needs a person.
    Halted,
}

impl Phase {
    /// The word used everywhere outside.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "IDLE",
            Self::CatchingUp => "CATCHING_UP",
            Self::Live => "LIVE",
            Self::Halted => "HALTED",
        }
    }
}

/// A moment of a shard's freshness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freshness {
    /// How far it is.
    pub phase: Phase,
    /// This process feeds it, or fed it when it stopped: what is recorded is its to publish.
    pub is_ours: bool,
    /// The next offset to read from the source.
    pub next_offset: Option<u64>,
    /// The end of the source, as last told.
    pub end_offset: Option<u64>,
    /// Source messages not yet read, as far as known.
    pub lag_events: Option<u64>,
    /// Recorded time of the last message read, to tell the lag in seconds.
    pub last_source_time: Option<Timestamp>,
    /// Why it stopped: a stable code, and what the operator can do.
    pub halted: Option<Halted>,
    /// Tenants of this shard that another shard has too.
    pub split_tenants: u64,
    /// Tenants that were looked at and whose row was not the fold of their log.
    pub mismatched_tenants: u64,
    /// Why nothing more of its log is signed, although it goes on.
    pub unsigned: Option<Halted>,
    /// That something has not been sealed for longer than it should take.
    pub stalled: Option<Halted>,
}

impl Freshness {
    /// Seconds between the last message read and `now`; 0 when nothing is waiting.
    #[must_use]
    pub fn lag_seconds(&self, now: Timestamp) -> Option<u64> {
        if self.lag_events? == 0 {
            return Some(0);
        }
        let behind_ms = now.millis_since(self.last_source_time?).max(0);
        u64::try_from(behind_ms / 1000).ok()
    }
}

/// A signed checkpoint that the shard's log agrees with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The signed note.
    pub note: String,
}

/// Why a shard stopped, or does not do all it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halted {
    /// Stable, for alerts: `retention-gap`, `topic-recreated`…
    pub code: &'static str,
    /// What happened, and what the operator can do.
    pub message: String,
}

/// The freshness of one shard, written by its worker, and the bell that rings after each commit.
#[derive(Debug)]
pub struct ShardStatus {
    now: Mutex<Freshness>,
    checkpoint: Mutex<Option<Arc<SignedCheckpoint>>>,
    committed: Condvar,
    commits: Mutex<u64>,
}

impl Default for ShardStatus {
    fn default() -> Self {
        Self {
            now: Mutex::new(Freshness {
                phase: Phase::Idle,
                is_ours: false,
                next_offset: None,
                end_offset: None,
                lag_events: None,
                last_source_time: None,
                halted: None,
                split_tenants: 0,
                mismatched_tenants: 0,
                unsigned: None,
                stalled: None,
            }),
            checkpoint: Mutex::new(None),
            committed: Condvar::new(),
            commits: Mutex::new(0),
        }
    }
}

impl ShardStatus {
    /// The freshness at this moment.
    pub fn freshness(&self) -> Freshness {
        self.lock().clone()
    }

    /// Changes the freshness.
    pub fn update(&self, change: impl FnOnce(&mut Freshness)) {
        change(&mut self.lock());
    }

    /// The last signed checkpoint that is known and that the log agrees with.
    pub fn checkpoint(&self) -> Option<Arc<SignedCheckpoint>> {
        self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Another one instead.
    pub fn set_checkpoint(&self, checkpoint: SignedCheckpoint) {
        *self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(checkpoint));
    }

    /// Stops the shard in the eyes of everyone who asks. The first reason stands.
    pub fn halt(&self, halted: Halted) {
        self.update(|now| {
            now.phase = Phase::Halted;
            now.halted.get_or_insert(halted);
        });
        self.ring();
    }

    /// Tells everyone who waits that something was committed.
    pub fn ring(&self) {
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        *commits = commits.wrapping_add(1);
        self.committed.notify_all();
    }

    /// Waits until something was committed since the count `seen`, or until the time is over. Answers the
    /// new count.
    pub fn wait_commit(&self, seen: u64, timeout: Duration) -> u64 {
        let commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.committed.wait_timeout_while(commits, timeout, |count| *count == seen);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, Freshness> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_to_halt_stands() {
        let status = ShardStatus::default();
        status.halt(Halted { code: "retention-gap", message: "first".to_owned() });
        status.halt(Halted { code: "store", message: "second".to_owned() });
        let now = status.freshness();
        assert_eq!(now.phase, Phase::Halted);
        assert_eq!(now.halted.map(|halted| halted.message), Some("first".to_owned()));
    }

    #[test]
    fn lag_in_seconds_is_nothing_when_nothing_waits() {
        let status = ShardStatus::default();
        status.update(|now| {
            now.lag_events = Some(0);
            now.last_source_time = Some(Timestamp::from_millis(1_000));
        });
        assert_eq!(status.freshness().lag_seconds(Timestamp::from_millis(61_000)), Some(0));
        status.update(|now| now.lag_events = Some(3));
        assert_eq!(status.freshness().lag_seconds(Timestamp::from_millis(61_000)), Some(60));
    }

    #[test]
    fn a_waiter_wakes_on_a_commit_and_on_time() {
        let status = Arc::new(ShardStatus::default());
        assert_eq!(status.wait_commit(0, Duration::from_millis(1)), 0);
        let ringing = Arc::clone(&status);
        let bell = std::thread::spawn(move || ringing.ring());
        assert_eq!(status.wait_commit(0, Duration::from_secs(10)), 1);
        assert!(bell.join().is_ok());
    }
}
