//! The audit trail in the write path: leaves, tree, map and seals, in the same write as the records.
//!
//! ```text
//! offer, refuse ─→ Draft: the line without `p`  ┐ commit: one pass in order of position
//! tick, minute, 4096 leaves, end ─→ a seal's place ┘   p ─→ line ─→ leaf hash ─→ frontier ─→ nodes of the tree
//!                                                        └─→ unsealed heads ─→ at a seal: map ─→ its line
//! ```
//!
//! While a batch takes messages it only notes what their lines say and where seals go; hashing waits for the
//! commit, as most of it rests on the leaf before. The pass works on the writer's [`State`], which it takes
//! away: when it fails, the state is gone, and the next batch reads it again from the store, as opening does.
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

mod draft;
mod map;
mod pass;
mod proofs;
mod recover;
mod tree;

use std::collections::VecDeque;

use foldhash::HashMap;
use ledger_record::proof::Hash;
use ledger_record::proof::frontier::Frontier;
use ledger_record::proof::line::LedgerSecret;
use ledger_record::proof::map::Head;
use ledger_record::proof::seal::Placement;
use rocksdb::ReadOptions;

use crate::database::Database;
use crate::error::ReadError;
pub(crate) use draft::Draft;
pub(crate) use map::{cell_of, entry, join};
pub use proofs::StoredLeaf;
pub(crate) use recover::last_seal;

/// What the writer keeps of the audit trail between batches.
#[derive(Debug)]
pub(crate) struct Evidence {
    secret: LedgerSecret,
    placement: Placement,
    /// Seals so far: the seq of the last one.
    seals: u64,
    /// None: to be read from the store.
    state: Option<State>,
}

/// The running values of the log.
#[derive(Debug)]
struct State {
    frontier: Frontier,
    recent: Recent,
    top: map::Top,
    /// Heads of the streams that changed since the last seal, by id.
    unsealed: HashMap<Hash, Head>,
    /// Streams with a record.
    streams: u64,
}

impl Evidence {
    /// Goes on with a log of that size.
    pub(crate) fn start(secret: LedgerSecret, database: &Database, size: u64) -> Result<Self, ReadError> {
        let last = recover::last_seal(database, ReadOptions::default())?;
        let placement = recover::placement(database, last.as_ref(), size)?;
        let seals = last.as_ref().map_or(0, |seal| seal.seq);
        let state = Some(State::recover(database, last.as_ref(), size)?);
        Ok(Self { secret, placement, seals, state })
    }

    /// What a batch of about so many leaves begins with.
    pub(crate) fn draft(&self, leaves: usize) -> Draft {
        Draft::new(self.placement, self.seals, leaves)
    }

    /// Whether the pass over a batch looks in the store for something that begins at a position `since` or later, which
    /// is not there yet.
    pub(crate) fn looks_back(&self, draft: &Draft, since: u64) -> bool {
        let Some(state) = &self.state else { return true };
        let has_left_memory = |leaf: &draft::Noted| match leaf {
            draft::Noted::Record(_, draft::Previous::At(position)) => {
                (since..state.recent.size).contains(position)
                    && !state.recent.keeps(*position, draft.leaves.len())
            }
            // Perhaps among the unsealed heads, but not behind the next seal.
            draft::Noted::Record(_, draft::Previous::Stored(_)) => true,
            draft::Noted::Record(_, draft::Previous::None) | draft::Noted::Seal(..) => false,
        };
        state.top.is_full() || draft.leaves.iter().any(has_left_memory)
    }

    fn take_state(&mut self, database: &Database, size: u64) -> Result<State, ReadError> {
        match self.state.take() {
            Some(state) => Ok(state),
            None => {
                State::recover(database, recover::last_seal(database, ReadOptions::default())?.as_ref(), size)
            }
        }
    }
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
