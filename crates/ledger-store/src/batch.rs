//! A batch.
use std::marker::PhantomData;

use ledger_core::event::Event;
use ledger_core::time::Timestamp;
use ledger_record::record::Coordinates;
use ledger_record::rejection::{Refused, Rejection};
use ledger_record::rows::{ShardHead, SourcePosition};

use crate::error::AppendError;

/// A message that decoded.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Where it came from.
    pub from: Coordinates,
    /// The source's own timestamp of it.
    pub source_time: Timestamp,
    /// What it says.
    pub event: Event,
    /// The event's time was taken from `source_time`.
    pub time_defaulted: bool,
    /// How late the event's time may be.
    pub future: FutureLimit,
}

/// The last event time that is taken (rules 7, `time-in-future`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FutureLimit {
    /// 24 h after the time it is recorded with: what a partition says alone, so that replicas agree.
    AfterRecorded,
    /// This instant: 24 h after the clock at import.
    At(Timestamp),
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// It is a record now.
    Appended {
        /// In the shard.
        position: u64,
        /// In its stream.
        seq: u64,
        /// It sorted before something already applied.
        late: bool,
        /// The first record of its tenant in this shard.
        new_tenant: bool,
    },
    /// It repeats a record, and was counted.
    Duplicate {
        /// Position of the original.
        position: u64,
        /// Seq of the original.
        seq: u64,
    },
    /// It cannot be recorded, and nothing was done: [`Batch::refuse`] it, redacted.
    Refused(Rejection),
}

/// What a commit made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Where the shard stands now.
    pub head: ShardHead,
    /// Records appended, refused ones included.
    pub records: u64,
    /// Bytes written.
    pub bytes: usize,
}

/// Messages that become durable together.
#[derive(Debug)]
pub struct Batch<'a> {
    shard: PhantomData<&'a mut ()>,
}

impl Batch<'_> {
    /// Takes a message that decoded: appended, counted as a repeat, or handed back as refused.
    pub fn offer(&mut self, _arrival: Arrival) -> Result<Offer, AppendError> {
        todo!()
    }
    /// Puts a refused message in quarantine; answers its position.
    pub fn refuse(&mut self, _from: Coordinates, _refused: Refused) -> Result<u64, AppendError> {
        todo!()
    }
    /// Notes that the source has nothing at the offsets `[from, to)`. Neighbours become one.
    pub fn gap(&mut self, _source: &str, _from: u64, _to: u64) -> Result<(), AppendError> {
        todo!()
    }
    /// Notes how far a source was read. The last word of a batch counts.
    pub fn advance(&mut self, _source: &str, _position: SourcePosition) {
        todo!()
    }
    /// Messages taken so far: appended, repeated, refused.
    pub fn len(&self) -> usize {
        todo!()
    }
    /// Nothing was taken so far; positions and gaps may have been noted all the same.
    pub fn is_empty(&self) -> bool {
        todo!()
    }
    /// Bytes of the records taken so far.
    pub fn bytes(&self) -> usize {
        todo!()
    }
    /// Makes everything durable in one synced write. When that fails the shard is poisoned.
    pub fn commit(self) -> Result<Committed, AppendError> {
        todo!()
    }
}
