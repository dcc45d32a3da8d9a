//! The audit trail in the write path: leaves, tree, map and seals, in the same write as the records.
//!
//! ```text
//! offer, refuse ─→ PendingLeaves: the records      ┐ write: one pass in order of position
//! tick, minute, 4096 leaves, end ─→ a seal's place ┘   p ─→ line ─→ leaf hash ─→ frontier ─→ nodes of the tree
//!                                                        └─→ unsealed heads ─→ at a seal: map ─→ its line
//! ```
//!
//! While a batch takes messages it only keeps its records and notes where seals go. A leaf names the one before it, so
//! the thread that writes hashes them: what it looks up is in the store by then, and the writer makes the next batch
//! meanwhile. When the pass fails, nothing was written, and the shard is poisoned: the [`AuditWriter`] is between two
//! batches then, and opening the shard anew reads it from the store.
//!
//! # What is kept in memory
//!
//! | what | for | at most |
//! | --- | --- | --- |
//! | frontier | the roots of the full subtrees | one hash for each level |
//! | recent leaf hashes | `p` of streams that go on soon | 2 MiB, and a quarter of the shard's share |
//! | upper levels of the map, about as many nodes as it has streams | the way from a stream to the root | 6 MB, and half of the share |
//! | streams of the map that were read | the neighbours of a stream that changes | the rest of the share, and what a batch reads |
//! | unsealed heads | what the next seal puts into the map | 4096 streams |
//!
//! # The map on disk
//!
//! A row for each stream, and one for each node at depth 8 and 16; below 16 the map is computed from the
//! streams that share these two bytes of their ids: 16 of a million. So a stream that changed costs at a
//! seal the reading of its neighbours, unless they are kept, some 35 hashes and 64 bytes written; pages of
//! several levels would save a few hashes, and write ten times as much.

pub(crate) mod bundle;
mod leaf_pass;
mod map;
mod previous_leaves;
mod proofs;

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use ledger_record::key::{self, Family, LogKey, MapKey};
use ledger_record::proof::Hash;
use ledger_record::proof::frontier::Frontier;
use ledger_record::proof::line::{LeafHasher, LedgerSecret, stream_id};
use ledger_record::proof::map::StreamHead;
use ledger_record::proof::seal::SealPlacement;
use ledger_record::record::{Content, Record, Stream};
use rocksdb::ReadOptions;

use crate::audit::map::UpperLevels;
use crate::db::database::{Database, damaged};
use crate::db::decode;
use crate::db::memory::{Memory, MemoryPart, MemoryUse};
use crate::db::placed::{LastRow, PlacedEntries, missing};
use crate::db::scan::prefixed;
use crate::error::{Damage, ReadError};

pub(crate) use leaf_pass::{PendingLeaves, TenantLeaf};
pub(crate) use previous_leaves::leaf_of;
pub use previous_leaves::{PreviousLeaves, line_of};
pub use proofs::StoredLeaf;
pub(crate) use proofs::grow;

/// What batches begin with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begin {
    placement: SealPlacement,
    /// Seals so far: the seq of the last one.
    seals: u64,
}

impl Begin {
    /// For a batch of about so many leaves; `whole` if its records are wanted afterwards.
    pub(crate) fn pending_leaves(self, leaves: usize, whole: bool) -> PendingLeaves {
        PendingLeaves::new(self, leaves, whole)
    }
}

/// The running values of the log, as the store has it.
#[derive(Debug)]
pub(crate) struct AuditWriter {
    hasher: LeafHasher,
    frontier: Frontier,
    recent: Recent,
    top: map::UpperLevels,
    counted: MemoryUse,
    memory: Arc<Memory>,
    /// Heads of the streams that changed since the last seal, by id.
    unsealed: HashMap<Hash, StreamHead>,
    /// Streams with a record.
    streams: u64,
    /// Where leaves are added.
    last_row: LastRow,
}

/// The last leaf hashes.
#[derive(Debug, Default)]
struct Recent {
    hashes: VecDeque<Hash>,
    size: u64,
    /// How many are kept.
    most: usize,
}

/// The most that are kept: few in tests, so that they run out of it.
const RECENT_LEAVES: usize = if cfg!(test) { 512 } else { 65_536 };

impl Recent {
    const fn after(size: u64) -> Self {
        Self { hashes: VecDeque::new(), size, most: RECENT_LEAVES }
    }

    /// Keeps what so many bytes hold; not while a batch relies on what is there.
    fn fit(&mut self, bytes: usize) {
        self.most = (bytes / size_of::<Hash>()).min(RECENT_LEAVES);
        self.hashes.drain(..self.hashes.len().saturating_sub(self.most));
        self.hashes.shrink_to(self.most);
    }

    fn push(&mut self, hash: Hash) {
        self.hashes.push_back(hash);
        if self.hashes.len() > self.most {
            self.hashes.pop_front();
        }
        self.size += 1;
    }

    /// Whether it is here now, and still will be when so many more were pushed.
    fn keeps(&self, position: u64, more: usize) -> bool {
        let oldest = (self.size + more as u64).saturating_sub(self.most as u64);
        position >= oldest && self.get(position).is_some()
    }

    fn get(&self, position: u64) -> Option<Hash> {
        let back = usize::try_from(self.size.checked_sub(position)?).ok()?;
        self.hashes.get(self.hashes.len().checked_sub(back)?).copied()
    }
}

/// The last seal.
pub(crate) fn last_seal(database: &Database, options: ReadOptions) -> Result<Option<Record>, ReadError> {
    let range = prefixed(key::log::stream_prefix(&Stream::Seals));
    let mut seals = database.scan(Family::Log, range, options)?;
    seals.last()?.map(|(key, value)| decode::record(key, value)).transpose()
}

/// How many leaves are sealed, given the last seal.
fn sealed_size(last: Option<&Record>) -> u64 {
    last.map_or(0, |seal| seal.position + 1)
}

/// Where seals go from here on.
fn placement(database: &Database, last: Option<&Record>, size: u64) -> Result<SealPlacement, ReadError> {
    let unsealed = size.saturating_sub(sealed_size(last));
    let Some(position) = size.checked_sub(1) else { return Ok(SealPlacement::default()) };
    let record = decode::stored_record(database, position, &ReadOptions::default())?
        .ok_or_else(|| missing(Family::Positions, position))?;
    Ok(SealPlacement::resume(unsealed, Some(record.recorded)))
}

/// The audit trail of a log of that size.
pub(crate) fn recover(
    secret: LedgerSecret,
    memory: &Arc<Memory>,
    database: &Database,
    size: u64,
) -> Result<(Begin, AuditWriter), ReadError> {
    let last = last_seal(database, ReadOptions::default())?;
    let placement = placement(database, last.as_ref(), size)?;
    let seals = last.as_ref().map_or(0, |seal| seal.seq);
    Ok((Begin { placement, seals }, AuditWriter::recover(secret, memory, database, last.as_ref(), size)?))
}

impl AuditWriter {
    /// The running values of a log of that size, whose last seal is given.
    fn recover(
        secret: LedgerSecret,
        memory: &Arc<Memory>,
        database: &Database,
        last: Option<&Record>,
        size: u64,
    ) -> Result<Self, ReadError> {
        let sealed = match last.map(|seal| &seal.content) {
            Some(Content::Seal(seal)) => Some(*seal),
            _ => None,
        };
        let streams = sealed.map_or(0, |seal| seal.streams);
        let share = memory.shard_share(MemoryPart::Evidence);
        let top = UpperLevels::restore(database, map::depth_for(streams, share))?;
        if sealed.map_or(Hash::ZERO, |seal| seal.map_root) != top.root() {
            return Err(damaged(Family::Map, &MapKey::SIXTEENTHS, Damage::Contradicted).into());
        }
        let mut trail = Self {
            hasher: LeafHasher::new(secret),
            frontier: proofs::restore(database, size)?,
            recent: Recent::after(size),
            top,
            counted: MemoryUse::new(Arc::clone(memory), MemoryPart::Evidence),
            memory: Arc::clone(memory),
            unsealed: HashMap::new(),
            streams,
            last_row: LastRow::read(database, Family::Leaves, size)?,
        };
        trail.read_unsealed(database, sealed_size(last), size)?;
        Ok(trail)
    }

    /// Keeps what the share of the shard allows; between two batches only, as what a batch puts is in the store only
    /// when the batch is.
    fn fit(&mut self, database: &Database) -> Result<(), ReadError> {
        let share = self.memory.shard_share(MemoryPart::Evidence);
        self.recent.fit(share / 4);
        let recent_bytes = self.recent.most * size_of::<Hash>();
        self.top.deepen(database, map::depth_for(self.streams, share))?;
        self.top.forget_streams(share.saturating_sub(recent_bytes));
        self.counted.set(recent_bytes + self.top.bytes());
        Ok(())
    }

    fn read_unsealed(&mut self, database: &Database, from: u64, size: u64) -> Result<(), ReadError> {
        let read = |family| PlacedEntries::new(database, family, from..size, ReadOptions::default());
        let (mut positions, mut leaves) = (read(Family::Positions)?, read(Family::Leaves)?);
        for index in from..size {
            let LogKey { stream, seq } = decode::reference(index, positions.expect(index)?)?;
            let row = leaf_of(index, leaves.expect(index)?)?;
            self.unsealed.insert(stream_id(&stream), StreamHead { seq, index, leaf: row.hash });
            self.streams += u64::from(seq == 1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_leaves_are_found_by_position_as_long_as_they_are_kept() {
        let hash = |number: u64| Hash::of(&[&number.to_be_bytes()]);
        let mut recent = Recent::after(7);
        assert_eq!(recent.get(6), None);
        let kept = RECENT_LEAVES as u64;
        for position in 7..kept + 10 {
            recent.push(hash(position));
        }
        assert_eq!(recent.get(9), None);
        assert_eq!(recent.get(10), Some(hash(10)));
        assert_eq!(recent.get(kept + 9), Some(hash(kept + 9)));
        assert_eq!(recent.get(kept + 10), None);
        assert!(recent.keeps(10, 0) && !recent.keeps(10, 1) && !recent.keeps(9, 0));
        assert!(recent.keeps(kept + 9, RECENT_LEAVES - 1) && !recent.keeps(kept + 9, RECENT_LEAVES));
    }
}
