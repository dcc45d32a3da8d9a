//! Which shards this process serves, and how fresh each one is.
//!
//! Ingest writes here, the API reads: the one thing the two share besides the data. A shard is listed from
//! the moment it is open; its [`ShardStatus`] says whether it is being filled, caught up, or halted and why
//! (invariant I-9: a shard that stops does not stop the others).
//!
//! The processes of a group share the partitions of a topic. What the topics are is told with
//! [`Catalog::expect`], so that a process knows which part of the ledger it has no word in.

pub(crate) mod checkpoints;
pub(crate) mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use crate::catalog::status::ShardStatus;
use crate::check::torn::{TornTenants, Unread, are_all};
use crate::data_dir::DataDir;
use crate::error::stop::Halted;
use crate::error::{ReadError, StorageError};
use crate::read::reader::Reader;
use crate::source::ShardId;

/// The shards served by this process.
#[derive(Debug, Default)]
pub struct Catalog {
    shards: RwLock<BTreeMap<ShardId, Served>>,
    failed: RwLock<BTreeMap<ShardId, Halted>>,
    torn: TornTenants,
    /// Partitions of each topic of the group; none: not known yet.
    expected: RwLock<BTreeMap<String, Option<u32>>>,
    /// Assigned shards that are being opened.
    opening: RwLock<Vec<ShardId>>,
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

    /// Notes the assigned shards that are being opened: they count, and are not ready.
    pub fn set_opening(&self, shards: Vec<ShardId>) {
        *self.opening.write().unwrap_or_else(PoisonError::into_inner) = shards;
    }

    /// The assigned shards that are being opened, in order.
    pub fn opening(&self) -> Vec<ShardId> {
        self.opening.read().unwrap_or_else(PoisonError::into_inner).clone()
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
        if !self.opening().is_empty() {
            return None;
        }
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

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<ShardId, Served>> {
        self.shards.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Catalog {
    /// The torn tenants of the shards that are served, as of now.
    pub fn torn_now(&self) -> Result<&TornTenants, ReadError> {
        if self.torn().catch_up(&self.readers())? {
            self.show_torn();
        }
        Ok(self.torn())
    }

    /// The same, without the shards that do not read, and which those are.
    pub fn torn_of_those_that_read(&self) -> (&TornTenants, Unread) {
        let (is_news, unread) = self.torn().catch_up_each(&self.readers());
        if is_news {
            self.show_torn();
        }
        (self.torn(), unread)
    }

    /// Writes what was found out into the shards of a data directory that is served.
    pub fn remember_torn(&self, data: &DataDir) -> Result<(), StorageError> {
        let readers = self.readers();
        self.torn().remember(&readers, || are_all(data, &readers))
    }

    /// Every shard says how many of its tenants are torn.
    pub(crate) fn show_torn(&self) {
        for (id, served) in self.all() {
            let count = self.torn().count(&id);
            served.status.update(|now| now.split_tenants = count);
        }
    }

    fn readers(&self) -> Vec<Reader> {
        self.all().into_iter().map(|(_, served)| served.reader).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    use ledger_core::time::Timestamp;

    use crate::catalog::status::Phase;
    use crate::error::stop::StopCode;

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
        status.set_idle();
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
        catalog.set_opening(vec![shard(2)]);
        assert_eq!(catalog.all_halted(), None, "one is being opened, and may go on");
        catalog.fail(shard(2), halted(StopCode::ShardDamaged));
        catalog.set_opening(Vec::new());
        assert!(catalog.all_halted().is_some() && catalog.opening().is_empty());
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
