//! What a cursor belongs to: of each shard, the leaf of the record before a place that it covers, and the first leaf.
//!
//! A leaf is over its record, where that lies, and the history of its stream, so the same leaf at the same position is the
//! same log: after a restart, and on every replica. A refilled ledger has another first leaf. One that was brought back from
//! a backup and went on in its own way has another last one.

use ledger_store::{ReadError, Reader, Snapshot};

const LEAF_BYTES: usize = 4;

/// The beginning of a leaf: it tells logs apart that are mixed up, not those that are forged.
type LeafStart = [u8; LEAF_BYTES];

/// A log, as far as a cursor has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogMark {
    /// So many records.
    pub(super) size: u64,
    first: LeafStart,
    last: LeafStart,
}

/// How a log compares with a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Same,
    /// It is shorter: it may become the same.
    Ahead,
    Other,
}

impl LogMark {
    pub(super) const BYTES: usize = 2 * LEAF_BYTES;

    /// The log of a snapshot up to this position; none: nothing is before it.
    pub(super) fn of(snapshot: &Snapshot<'_>, size: u64) -> Result<Option<Self>, ReadError> {
        let Some(last) = size.checked_sub(1) else { return Ok(None) };
        let (Some(first), Some(last)) = (leaf(snapshot, 0)?, leaf(snapshot, last)?) else { return Ok(None) };
        Ok(Some(Self { size, first, last }))
    }

    pub(super) fn fit(&self, reader: &Reader) -> Result<Fit, ReadError> {
        // Read first: what is in the snapshot may be more.
        let end = reader.next_position();
        let snapshot = reader.snapshot();
        if end == 0 {
            return Ok(Fit::Ahead);
        }
        if leaf(&snapshot, 0)? != Some(self.first) {
            return Ok(Fit::Other);
        }
        if end < self.size {
            return Ok(Fit::Ahead);
        }
        let is_same = leaf(&snapshot, self.size - 1)? == Some(self.last);
        Ok(if is_same { Fit::Same } else { Fit::Other })
    }

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let (first, last) = bytes.split_at_mut(LEAF_BYTES);
        first.copy_from_slice(&self.first);
        last.copy_from_slice(&self.last);
        bytes
    }

    pub(super) fn from_bytes(size: u64, bytes: &[u8]) -> Option<Self> {
        let (first, last) = bytes.split_at_checked(LEAF_BYTES)?;
        Some(Self { size, first: first.try_into().ok()?, last: last.try_into().ok()? })
    }
}

fn leaf(snapshot: &Snapshot<'_>, position: u64) -> Result<Option<LeafStart>, ReadError> {
    let leaf = snapshot.leaf(position)?;
    Ok(leaf.and_then(|leaf| leaf.hash.0.first_chunk().copied()))
}
