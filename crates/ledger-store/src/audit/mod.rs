//! The audit trail in the write path: leaves, tree, map and seals, in the same write as the records.
//!
//! ```text
//! offer, refuse ─→ Draft: the records              ┐ write: one pass in order of position
//! tick, minute, 4096 leaves, end ─→ a seal's place ┘   p ─→ line ─→ leaf hash ─→ frontier ─→ nodes of the tree
//!                                                        └─→ unsealed heads ─→ at a seal: map ─→ its line
//! ```
//!
//! While a batch takes messages it only keeps its records and notes where seals go. Hashing rests on the leaf
//! before, and is done by the thread that writes ([`crate::write::pending_commit`]): what it looks up is in the store by then,
//! and the next batch is made meanwhile. When the pass fails, nothing was written, and the shard is poisoned: the
//! [`AuditWriter`] is between two batches then, and opening the shard anew reads it from the store.
//!
//! # What is kept in memory
//!
//! | what | for | at most |
//! | --- | --- | --- |
//! | frontier | the roots of the full subtrees | one hash for each level |
//! | recent leaf hashes | `p` of streams that go on soon | 2 MiB |
//! | upper half of the map, to depth 16 | the way from a stream to the root | 6 MB |
//! | streams of the map that were read | the neighbours of a stream that changes | 8 MiB, and what a batch reads |
//! | unsealed heads | what the next seal puts into the map | 4096 streams |
//!
//! # The map on disk
//!
//! A row for each stream, and one for each node at depth 8 and 16; below 16 the map is computed from the
//! streams that share these two bytes of their ids: 16 of a million. So a stream that changed costs at a
//! seal the reading of its neighbours, unless they are kept, some 35 hashes and 64 bytes written; pages of
//! several levels would save a few hashes, and write ten times as much.

pub(crate) mod checkpoints;
mod map;
mod pass;
mod pending_leaves;
mod previous_leaves;
mod proofs;
pub(crate) mod prove;
mod recover;
mod tree;

use std::collections::VecDeque;

use foldhash::HashMap;
use ledger_record::proof::Hash;
use ledger_record::proof::frontier::Frontier;
use ledger_record::proof::line::LeafHasher;
use ledger_record::proof::map::Head;
use ledger_record::proof::seal::Placement;

pub(crate) use map::{cell_of, entry, join};
pub(crate) use pending_leaves::PendingLeaves;
pub(crate) use previous_leaves::leaf_at;
pub use previous_leaves::{PreviousLeaves, line_of};
pub use proofs::StoredLeaf;
pub(crate) use recover::{last_seal, recover};

/// What batches begin with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begin {
    placement: Placement,
    /// Seals so far: the seq of the last one.
    seals: u64,
}

impl Begin {
    /// For a batch of about so many leaves.
    pub(crate) fn draft(self, leaves: usize) -> PendingLeaves {
        PendingLeaves::new(self, leaves)
    }
}

/// The running values of the log, as the store has it.
#[derive(Debug)]
pub(crate) struct AuditWriter {
    hasher: LeafHasher,
    frontier: Frontier,
    recent: Recent,
    top: map::UpperLevels,
    /// Heads of the streams that changed since the last seal, by id.
    unsealed: HashMap<Hash, Head>,
    /// Streams with a record.
    streams: u64,
}

/// The last leaf hashes.
#[derive(Debug, Default)]
struct Recent {
    hashes: VecDeque<Hash>,
    size: u64,
}

/// Few in tests, so that they run out of it.
const RECENT_LEAVES: usize = if cfg!(test) { 512 } else { 65_536 };

impl Recent {
    const fn after(size: u64) -> Self {
        Self { hashes: VecDeque::new(), size }
    }

    fn push(&mut self, hash: Hash) {
        if self.hashes.len() == RECENT_LEAVES {
            self.hashes.pop_front();
        }
        self.hashes.push_back(hash);
        self.size += 1;
    }

    /// Whether it is here now, and still will be when so many more were pushed.
    fn keeps(&self, position: u64, more: usize) -> bool {
        let oldest = (self.size + more as u64).saturating_sub(RECENT_LEAVES as u64);
        position >= oldest && self.get(position).is_some()
    }

    fn get(&self, position: u64) -> Option<Hash> {
        let back = usize::try_from(self.size.checked_sub(position)?).ok()?;
        self.hashes.get(self.hashes.len().checked_sub(back)?).copied()
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
