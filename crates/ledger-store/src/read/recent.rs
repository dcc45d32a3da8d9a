//! The records of the last batches, for those that follow the writer: see [`Follower`].
//!
//! Reading a record back from the memtables costs half as much as putting it there, so the thread that writes hands
//! over what it would drop. It keeps nothing before a first batch is asked for, nothing above the share of
//! memory of all shards together, and nothing of a shard without a writer. What was not kept is in the log: a follower that
//! fell behind reads there until it meets what is kept. Followers share the batches, and each drops its own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledger_core::tenant::Change;
use ledger_record::record::Record;

use crate::db::memory::{Memory, MemoryPart, MemoryUse};

/// Batches that are durable and not asked for yet.
#[derive(Debug)]
pub(crate) struct RecentRecords {
    kept: Mutex<Kept>,
    memory: Arc<Memory>,
}

/// Who follows the writer of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follower {
    /// Decisions go to their topic.
    Publisher,
    /// Decisions go to whoever subscribed to them.
    Subscriptions,
}

/// What each follower has not asked for, by position; none while it does not follow.
#[derive(Debug, Default)]
struct Kept {
    publisher: Option<VecDeque<Arc<RecentBatch>>>,
    subscriptions: Option<VecDeque<Arc<RecentBatch>>>,
}

impl Kept {
    fn of(&mut self, follower: Follower) -> &mut Option<VecDeque<Arc<RecentBatch>>> {
        match follower {
            Follower::Publisher => &mut self.publisher,
            Follower::Subscriptions => &mut self.subscriptions,
        }
    }

    fn followed(&mut self) -> impl Iterator<Item = &mut VecDeque<Arc<RecentBatch>>> {
        self.publisher.iter_mut().chain(&mut self.subscriptions)
    }
}

/// The records of a batch, by position, without gaps.
#[derive(Debug)]
pub struct RecentBatch {
    records: Vec<Record>,
    _held: MemoryUse,
}

impl RecentRecords {
    pub(crate) fn new(memory: Arc<Memory>) -> Self {
        Self { kept: Mutex::default(), memory }
    }

    /// Whether anyone follows the writer.
    pub(crate) fn is_followed(&self) -> bool {
        self.lock().followed().next().is_some()
    }

    /// Keeps the records of a batch, which have so many bytes when stored, if anyone follows and there is room.
    pub(crate) fn keep(&self, records: impl ExactSizeIterator<Item = Record>, stored_bytes: usize) {
        // Most records have one change, which takes more than it does when stored.
        let bytes = records.len() * (size_of::<Record>() + size_of::<Change>()) + stored_bytes;
        let held = self.memory.used(MemoryPart::Recent).unwrap_or(0);
        if self.lock().followed().next().is_none() || held + bytes > self.memory.share(MemoryPart::Recent) {
            return;
        }
        let held = MemoryUse::of(Arc::clone(&self.memory), MemoryPart::Recent, bytes);
        let batch = Arc::new(RecentBatch { records: records.collect(), _held: held });
        self.lock().followed().for_each(|batches| batches.push_back(Arc::clone(&batch)));
    }

    /// Gives up the batch that has the record at a position, and drops those before. From here on batches are kept for
    /// this follower.
    pub(crate) fn take(&self, follower: Follower, position: u64) -> Option<Arc<RecentBatch>> {
        let mut kept = self.lock();
        let batches = kept.of(follower).get_or_insert_default();
        while batches.front()?.next_position() <= position {
            batches.pop_front();
        }
        batches.pop_front_if(|batch| batch.first_position() <= position)
    }

    /// Keeps nothing more for this follower.
    pub(crate) fn leave(&self, follower: Follower) {
        *self.lock().of(follower) = None;
    }

    /// Keeps nothing any more: the writer ended.
    pub(crate) fn clear(&self) {
        *self.lock() = Kept::default();
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RecentBatch {
    /// Its records from a position on.
    pub fn records_from(&self, position: u64) -> &[Record] {
        let before = position.saturating_sub(self.first_position());
        usize::try_from(before).ok().and_then(|before| self.records.get(before..)).unwrap_or_default()
    }

    fn first_position(&self) -> u64 {
        self.records.first().map_or(0, |record| record.position)
    }

    fn next_position(&self) -> u64 {
        self.first_position() + self.records.len() as u64
    }
}
