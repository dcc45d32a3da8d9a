//! What the streams tell of each record, in order of position: what the second pass compares and builds on.

use std::ops::Range;

use ledger_core::time::Timestamp;
use ledger_record::key::evidence::LeafRow;
use ledger_record::proof::Hash;

/// What is remembered of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// Number of its stream.
    pub(super) stream: u32,
    /// Number of its source.
    pub(super) source: u16,
    /// Its leaf as it follows from the records.
    pub(super) leaf: LeafRow,
    pub(super) recorded: Timestamp,
    pub(super) offset: u64,
}

/// The records of a range of positions.
#[derive(Debug)]
pub(super) struct Table {
    /// How many positions there are in all.
    size: u64,
    window: Range<u64>,
    slots: Vec<Option<Slot>>,
    /// Ids of the streams, by number.
    streams: Vec<Hash>,
}

impl Table {
    pub(super) fn new(size: u64, window: Range<u64>) -> Self {
        let length = usize::try_from(window.end.saturating_sub(window.start)).unwrap_or(usize::MAX);
        Self { size, window, slots: vec![None; length], streams: Vec::new() }
    }

    pub(super) const fn window(&self) -> &Range<u64> {
        &self.window
    }

    /// Gives a stream its number.
    pub(super) fn name(&mut self, number: u32, id: Hash) {
        let at = number as usize;
        if at >= self.streams.len() {
            self.streams.resize(at + 1, Hash::ZERO);
        }
        self.streams[at] = id;
    }

    /// The id of a stream.
    pub(super) fn stream(&self, number: u32) -> Hash {
        self.streams.get(number as usize).copied().unwrap_or_default()
    }

    /// Puts a record in its place, if it is within the range; whether there is such a place, and it was free.
    pub(super) fn put(&mut self, position: u64, slot: Slot) -> bool {
        if !self.window.contains(&position) {
            return position < self.size;
        }
        let place = self.index(position).and_then(|at| self.slots.get_mut(at));
        place.is_some_and(|place| place.replace(slot).is_none())
    }

    pub(super) fn get(&self, position: u64) -> Option<Slot> {
        *self.slots.get(self.index(position)?)?
    }

    fn index(&self, position: u64) -> Option<usize> {
        usize::try_from(position.checked_sub(self.window.start)?).ok()
    }
}
