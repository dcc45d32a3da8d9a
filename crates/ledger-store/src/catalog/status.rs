//! How fresh a shard is, and how far its partition was published.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ledger_core::time::Timestamp;

use crate::catalog::checkpoints::{Checkpoints, SignedCheckpoint};
use crate::error::stop::Halted;
use crate::source::Partitioner;

/// How far a shard is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Phase {
    /// On disk, but nothing feeds it now.
    #[default]
    Idle,
    /// Reads what the source had before.
    CatchingUp,
    /// Has recorded everything up to an end of its source.
    Live,
    /// Stopped on purpose; needs a person.
    Halted,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 4] = [Self::Idle, Self::CatchingUp, Self::Live, Self::Halted];

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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Freshness {
    /// How far it is.
    pub phase: Phase,
    /// This process feeds it, or fed it when it stopped: what is recorded is its to publish.
    pub is_ours: bool,
    /// The next offset to read from the source.
    pub next_offset: Option<u64>,
    /// The end of the source, as last told.
    pub end_offset: Option<u64>,
    /// Where the end of the source was when it was first come to, while not all before it is recorded.
    pub live_from: Option<u64>,
    /// Source messages not yet read, as far as known.
    pub lag_events: Option<u64>,
    /// Since when messages wait, once it has been at the end of its source.
    pub behind_since: Option<Instant>,
    /// Recorded time of the last message read, to tell the lag in seconds.
    pub last_source_time: Option<Timestamp>,
    /// Why it stopped: a stable code, and what the operator can do.
    pub halted: Option<Halted>,
    /// Tenants of this shard that another shard has too.
    pub split_tenants: u64,
    /// How the producers of its topic place keys, once that is known.
    pub partitioner: Option<Partitioner>,
    /// Tenants that were looked at and whose row was not the fold of their log.
    pub mismatched_tenants: u64,
    /// App-level events of other shards of the topic that this one lacks.
    pub missing_app_events: u64,
    /// Which, and what sends them.
    pub missing_copies: Option<Halted>,
    /// Why nothing more of its log is signed, although it goes on.
    pub unsigned: Option<Halted>,
    /// That something has not been sealed for longer than it should take.
    pub stalled: Option<Halted>,
    /// Why nothing comes from its source, although it is read: out of reach, or behind a transaction.
    pub held_up: Option<Halted>,
}

impl Freshness {
    /// The reader has come to the end of the source. The writer may still have some of what is before it in hand.
    pub fn come_to_end(&mut self, end: Option<u64>) {
        if self.phase == Phase::CatchingUp {
            self.live_from = self.live_from.or(end);
            self.go_live();
        }
    }

    /// Ends catching up once everything before the end is recorded.
    pub fn go_live(&mut self) {
        if self.phase == Phase::CatchingUp && self.live_from.is_some_and(|end| self.next_offset >= Some(end))
        {
            (self.phase, self.live_from) = (Phase::Live, None);
        }
    }

    /// Seconds between the last message read and `now`, but no more than messages have been waiting: after a
    /// quiet day the first message is not a day late. 0 when nothing is waiting.
    #[must_use]
    pub fn lag_seconds(&self, now: Timestamp) -> Option<u64> {
        if self.lag_events? == 0 {
            return Some(0);
        }
        let age = self.last_source_time.map(|last| now.millis_since(last).max(0) / 1000);
        let age = age.and_then(|seconds| u64::try_from(seconds).ok());
        let waiting = self.behind_since.map(|since| since.elapsed().as_secs());
        [age, waiting].into_iter().flatten().min()
    }

    /// Keeps `behind_since` in step with a change of the lag.
    fn note_lag(&mut self, before: Option<u64>) {
        match (before, self.lag_events) {
            (Some(0), Some(1..)) => self.behind_since = Some(Instant::now()),
            (_, Some(0) | None) => self.behind_since = None,
            (_, Some(1..)) => {}
        }
    }
}

/// The freshness of one shard, written by its worker, and the bell that rings after each commit.
#[derive(Debug, Default)]
pub struct ShardStatus {
    now: Mutex<Freshness>,
    checkpoints: Checkpoints,
    published: GroupPublished,
    committed: Condvar,
    commits: Mutex<u64>,
}

impl ShardStatus {
    /// The freshness at this moment.
    pub fn freshness(&self) -> Freshness {
        self.lock().clone()
    }

    /// Changes the freshness.
    pub fn update(&self, change: impl FnOnce(&mut Freshness)) {
        let mut now = self.lock();
        let lag = now.lag_events;
        change(&mut now);
        now.note_lag(lag);
    }

    /// Nothing feeds the shard any more, so nobody tells how far behind it is. A reason to halt stands.
    pub fn set_idle(&self) {
        self.update(|now| {
            if now.phase != Phase::Halted {
                now.phase = Phase::Idle;
            }
            (now.end_offset, now.lag_events, now.held_up) = (None, None, None);
        });
    }

    /// Tells why nothing comes from the source, or that something does again. How much waits in a source that is
    /// out of reach nobody knows.
    pub fn set_source_blocked(&self, why: Option<Halted>, is_lag_known: bool) {
        self.update(|now| {
            if !is_lag_known {
                (now.end_offset, now.lag_events) = (None, None);
            }
            now.held_up = why;
        });
    }

    /// The last signed checkpoint that is known and that the log agrees with.
    pub fn checkpoint(&self) -> Option<Arc<SignedCheckpoint>> {
        self.checkpoints.last()
    }

    /// Another one instead.
    pub fn set_checkpoint(&self, checkpoint: SignedCheckpoint) {
        self.checkpoints.set(checkpoint);
    }

    /// Those that are signed, and those that are waited for.
    pub const fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// Stops the shard in the eyes of everyone who asks. The first reason stands.
    pub fn halt(&self, halted: Halted) {
        self.update(|now| {
            now.phase = Phase::Halted;
            now.halted.get_or_insert(halted);
            now.held_up = None;
        });
        self.notify_commit();
    }

    /// Halts it for another reason than before, if it had one.
    pub fn halt_for(&self, halted: Halted) {
        self.update(|now| now.halted = None);
        self.halt(halted);
    }

    /// Tells everyone who waits that something was committed.
    pub fn notify_commit(&self) {
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

/// The next offset of the source to publish, by output topic.
pub type PublishedOffsets = BTreeMap<String, u64>;

/// How far the records of a partition were published, by whichever process of the group had it.
///
/// The cursor of a shard ([`PublisherCursor`](crate::PublisherCursor)) is a position in one data directory. A partition
/// that comes to another directory is published from where the group stopped, so the group's progress counts in offsets
/// of the source, which all directories share. The owner of the partition commits it to Kafka beside the group's offset.
#[derive(Debug, Default)]
pub struct GroupPublished(Mutex<Option<PublishedOffsets>>);

impl ShardStatus {
    /// How far the group has published the shard's partition.
    pub const fn published(&self) -> &GroupPublished {
        &self.published
    }
}

impl GroupPublished {
    /// None until the group's progress was read, and after the partition was released.
    pub fn get(&self) -> Option<PublishedOffsets> {
        self.lock().clone()
    }

    /// The next offset to publish to one topic; none as for [`get`](Self::get).
    pub fn next(&self, topic: &str) -> Option<u64> {
        self.lock().as_ref().map(|offsets| offsets.get(topic).copied().unwrap_or(0))
    }

    /// What the group committed, as read when the partition was assigned. This process may be further.
    pub fn learn(&self, committed: PublishedOffsets) {
        self.lock().get_or_insert_default();
        for (topic, offset) in committed {
            self.advance(&topic, offset);
        }
    }

    /// The partition was released: its next owner goes on from what was committed.
    pub fn forget(&self) {
        *self.lock() = None;
    }

    /// Everything before this offset was acknowledged on this topic. It never goes back.
    pub fn advance(&self, topic: &str, next_offset: u64) {
        if let Some(offsets) = &mut *self.lock() {
            let known = offsets.entry(topic.to_owned()).or_default();
            *known = next_offset.max(*known);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<PublishedOffsets>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
