//! What the streams tell of each record, in order of position: what the second pass compares and builds on.

use std::ops::Range;
use std::thread;

use ledger_core::time::Timestamp;
use ledger_record::key;
use ledger_record::key::evidence::LeafRow;
use ledger_record::proof::Hash;
use ledger_record::proof::line::stream_id;
use ledger_record::record::Stream;

use crate::check::verify::joined;

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
    /// Pieces of [`PIECE`] slots.
    slots: Vec<Vec<Option<Slot>>>,
    /// By number.
    streams: Vec<Named>,
}

/// A stream that has a number.
#[derive(Debug, Clone, Default)]
pub(super) struct Named {
    pub(super) id: Hash,
    /// What the keys of its records begin with.
    prefix: Box<[u8]>,
}

impl Named {
    pub(super) fn new(stream: &Stream) -> Self {
        Self { id: stream_id(stream), prefix: key::log::stream_prefix(stream).into() }
    }

    pub(super) fn kind(&self) -> Option<u8> {
        self.prefix.first().copied()
    }

    /// Whether a key of the log is that of the stream's record with a seq.
    pub(super) fn is_record(&self, key: &[u8], seq: u64) -> bool {
        key.split_last_chunk() == Some((&*self.prefix, &seq.to_be_bytes()))
    }
}

/// To get so much memory from the system takes a while: pieces are made side by side.
const PIECE: usize = 1 << if cfg!(test) { 7 } else { 20 };

impl Table {
    pub(super) fn new(size: u64, window: Range<u64>) -> Self {
        let length = usize::try_from(window.end.saturating_sub(window.start)).unwrap_or(usize::MAX);
        let slots = thread::scope(|scope| {
            let pieces = (0..length).step_by(PIECE).map(|from| PIECE.min(length - from));
            let made: Vec<_> = pieces.map(|length| scope.spawn(move || vec![None; length])).collect();
            made.into_iter().map(joined).collect()
        });
        Self { size, window, slots, streams: Vec::new() }
    }

    pub(super) const fn window(&self) -> &Range<u64> {
        &self.window
    }

    /// Gives a stream its number.
    pub(super) fn name(&mut self, number: u32, stream: Named) {
        let at = number as usize;
        if at >= self.streams.len() {
            self.streams.resize(at + 1, Named::default());
        }
        self.streams[at] = stream;
    }

    /// The stream of a record that is here.
    pub(super) fn stream(&self, number: u32) -> &Named {
        &self.streams[number as usize]
    }

    /// Puts a record in its place, if it is within the range; whether there is such a place, and it was free.
    pub(super) fn put(&mut self, position: u64, slot: Slot) -> bool {
        if !self.window.contains(&position) {
            return position < self.size;
        }
        let place = self.place(position).and_then(|(piece, at)| self.slots.get_mut(piece)?.get_mut(at));
        place.is_some_and(|place| place.replace(slot).is_none())
    }

    pub(super) fn get(&self, position: u64) -> Option<Slot> {
        let (piece, at) = self.place(position)?;
        *self.slots.get(piece)?.get(at)?
    }

    /// Piece, and place in it.
    fn place(&self, position: u64) -> Option<(usize, usize)> {
        let at = usize::try_from(position.checked_sub(self.window.start)?).ok()?;
        Some((at / PIECE, at % PIECE))
    }
}
