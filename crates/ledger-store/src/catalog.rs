//! Which shards this process serves, and how fresh each one is.
//!
//! Ingest writes here, the API reads: the one thing the two share besides the data. A shard is listed from
//! the moment it is open; its [`ShardStatus`] says whether it is being filled, caught up, or halted and why
//! (invariant I-9: a shard that stops does not stop the others).
//!
//! The processes of a group share the partitions of a topic. What the topics are is told with
//! [`Catalog::expect`], so that a process knows which part of the ledger it has no word in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ledger_core::time::Timestamp;

use crate::audit::checkpoints::{Checkpoints, SignedCheckpoint};
use crate::read::published::GroupPublished;
use crate::{Partitioner, Reader, ShardId, TornTenants};

/// The shards served by this process.
#[derive(Debug, Default)]
pub struct Catalog {
    shards: RwLock<BTreeMap<ShardId, Served>>,
    failed: RwLock<BTreeMap<ShardId, Halted>>,
    torn: TornTenants,
    /// Partitions of each topic of the group; none: not known yet.
    expected: RwLock<BTreeMap<String, Option<u32>>>,
    /// Why the brokers give this process nothing, whatever it is assigned.
    away: RwLock<Option<Halted>>,
}

/// A part of the ledger that this process does not feed, so that another one may know more of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Elsewhere {
    /// All of a topic, whose partitions are not known here.
    Topic(String),
    /// One shard: never seen here, or given up.
    Shard(ShardId),
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(topic) => f.write_str(topic),
            Self::Shard(shard) => shard.fmt(f),
        }
    }
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
        // What it remembers counts from the first moment. One that does not read is its own trouble, and told there.
        let loaded = self.torn.load(&served.reader);
        self.write().insert(id, served);
        if loaded.is_ok() {
            self.show_torn();
        }
    }

    /// Tenants that more than one of the shards has, as far as that was looked at.
    pub const fn torn(&self) -> &TornTenants {
        &self.torn
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

    /// Why nothing goes on in this process: every shard that the group has given to it is halted, for reasons that
    /// only a person ends. None as long as one goes on, or may.
    pub fn all_halted(&self) -> Option<Vec<(ShardId, Halted)>> {
        let mut halted: Vec<_> = self.failed();
        for (id, served) in self.all() {
            let now = served.status.freshness();
            if now.is_ours {
                halted.push((id, now.halted?));
            }
        }
        let is_for_good = !halted.is_empty() && halted.iter().all(|(_, halted)| halted.needs_person());
        is_for_good.then_some(halted)
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

    /// Tells why the brokers give this process nothing, or that they do again.
    pub fn set_away(&self, why: Option<Halted>) {
        *self.away.write().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Why the brokers give this process nothing, if so: also when that has cost it its place in the group.
    pub fn away(&self) -> Option<Halted> {
        self.away.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells that the group shares this topic, and how many partitions it has, as soon as that is known.
    pub fn expect(&self, topic: &str, partitions: Option<u32>) {
        let mut expected = self.expected.write().unwrap_or_else(PoisonError::into_inner);
        let known = expected.entry(topic.to_owned()).or_default();
        *known = partitions.or(*known);
    }

    /// What this process does not feed, in order. A shard that halted here, or that could not be opened, is
    /// still this process's to answer for.
    pub fn elsewhere(&self) -> Vec<Elsewhere> {
        let (served, failed) = (self.all(), self.failed());
        let listed: BTreeSet<_> =
            served.iter().map(|(id, _)| id).chain(failed.iter().map(|(id, _)| id)).collect();
        let given_up = served.iter().filter(|(_, served)| !served.status.freshness().is_ours);
        let mut elsewhere: Vec<_> = given_up.map(|(id, _)| Elsewhere::Shard(id.clone())).collect();
        for (topic, partitions) in &*self.expected.read().unwrap_or_else(PoisonError::into_inner) {
            let Some(partitions) = *partitions else {
                elsewhere.push(Elsewhere::Topic(topic.clone()));
                continue;
            };
            let all = (0..partitions).map(|partition| ShardId { topic: topic.clone(), partition });
            elsewhere.extend(all.filter(|id| !listed.contains(id)).map(Elsewhere::Shard));
        }
        elsewhere.sort();
        elsewhere
    }

    /// The group has taken the shard from this process: it answers on, but speaks for the shard no longer.
    pub fn give_up(&self, id: &ShardId) {
        self.failed.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        if let Some(served) = self.get(id) {
            served.status.update(|now| now.is_ours = false);
        }
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<ShardId, Served>> {
        self.shards.write().unwrap_or_else(PoisonError::into_inner)
    }
}

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

/// Why a shard stopped, or does not do all it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halted {
    /// Stable, for alerts: a [`crate::StopCode`], or why nothing is signed.
    pub code: &'static str,
    /// What happened, and what the operator can do.
    pub message: String,
}

/// The freshness of one shard, written by its worker, and the bell that rings after each commit.
#[derive(Debug, Default)]
pub struct ShardStatus {
    now: Mutex<Freshness>,
    checkpoints: Checkpoints,
    pub(crate) published: GroupPublished,
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
    pub fn rest(&self) {
        self.update(|now| {
            if now.phase != Phase::Halted {
                now.phase = Phase::Idle;
            }
            (now.end_offset, now.lag_events, now.held_up) = (None, None, None);
        });
    }

    /// Tells why nothing comes from the source, or that something does again. How much waits in a source that is
    /// out of reach nobody knows.
    pub fn hold_up(&self, why: Option<Halted>, is_lag_known: bool) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StopCode;

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
            now.lag_events = Some(3);
            now.last_source_time = Some(Timestamp::from_millis(1_000));
        });
        assert_eq!(status.freshness().lag_seconds(Timestamp::from_millis(61_000)), Some(60));
        status.update(|now| now.lag_events = Some(0));
        assert_eq!(status.freshness().lag_seconds(Timestamp::from_millis(61_000)), Some(0));
    }

    #[test]
    fn the_first_message_after_a_quiet_day_is_not_a_day_late() {
        let status = ShardStatus::default();
        let (then, now) = (Timestamp::from_millis(0), Timestamp::from_millis(86_400_000));
        status.update(|now| {
            now.lag_events = Some(7);
            now.last_source_time = Some(then);
        });
        assert_eq!(status.freshness().lag_seconds(now), Some(86_400), "it never was at the end");
        status.update(|now| now.lag_events = Some(0));
        status.update(|now| now.lag_events = Some(7));
        assert_eq!(status.freshness().lag_seconds(now), Some(0));
        let a_minute = Duration::from_mins(1);
        status.update(|now| now.behind_since = Instant::now().checked_sub(a_minute));
        assert_eq!(status.freshness().lag_seconds(now), Some(60), "it waits");
        status.rest();
        assert_eq!(status.freshness().lag_seconds(now), None);
        status.update(|now| now.lag_events = Some(7));
        assert_eq!(status.freshness().lag_seconds(now), Some(86_400), "what came meanwhile nobody saw");
    }

    #[test]
    fn what_is_not_fed_here_is_elsewhere() {
        let catalog = Catalog::default();
        let shard = |partition| ShardId { topic: "t".to_owned(), partition };
        catalog.expect("t", None);
        assert_eq!(catalog.elsewhere(), [Elsewhere::Topic("t".to_owned())]);
        catalog.expect("t", Some(2));
        catalog.expect("t", None);
        assert_eq!(catalog.elsewhere(), [0, 1].map(|partition| Elsewhere::Shard(shard(partition))));
        catalog.fail(shard(1), Halted { code: "store", message: "the disk is gone".to_owned() });
        assert_eq!(catalog.elsewhere(), [Elsewhere::Shard(shard(0))], "a failure is its own trouble");
        catalog.give_up(&shard(1));
        assert_eq!(catalog.elsewhere().len(), 2, "and the next owner's no longer");
        assert!(catalog.failed().is_empty());
    }

    #[test]
    fn all_is_halted_only_when_no_shard_goes_on_or_may() {
        let catalog = Catalog::default();
        let shard = |partition| ShardId { topic: "t".to_owned(), partition };
        let halted = |code| Halted::new(code, &shard(0), "it is so");
        assert_eq!(catalog.all_halted(), None, "nothing is assigned");
        catalog.fail(shard(0), halted(StopCode::ShardDamaged));
        assert_eq!(catalog.all_halted(), Some(vec![(shard(0), halted(StopCode::ShardDamaged))]));
        catalog.fail(shard(1), halted(StopCode::DiskFull));
        assert_eq!(catalog.all_halted(), None, "one goes on when there is room");
        catalog.give_up(&shard(1));
        assert!(catalog.all_halted().is_some(), "and is another process's now");
    }

    #[test]
    fn a_waiter_wakes_on_a_commit_and_on_time() {
        let status = Arc::new(ShardStatus::default());
        assert_eq!(status.wait_commit(0, Duration::from_millis(1)), 0);
        let ringing = Arc::clone(&status);
        let bell = std::thread::spawn(move || ringing.notify_commit());
        assert_eq!(status.wait_commit(0, Duration::from_secs(10)), 1);
        assert!(bell.join().is_ok());
    }
}
