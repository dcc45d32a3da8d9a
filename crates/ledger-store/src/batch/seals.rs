//! Where seals go: the data alone says so ([`ledger_record::proof::seal`]), so their places and what they
//! say is read next are the same however messages are cut into batches.
//!
//! What a seal says of the map is filled in at the commit.

use ledger_core::time::Timestamp;
use ledger_record::key;
use ledger_record::record::{Coordinates, Stream};
use rocksdb::WriteBatch;

use super::{Batch, Pending};
use crate::error::AppendError;

impl Batch<'_> {
    /// Takes a tick: seals what is unsealed. The tick itself leaves nothing but its offset, as a gap.
    pub fn tick(&mut self, at: Coordinates) -> Result<(), AppendError> {
        self.gap(&at.source, at.offset, at.offset + 1)?;
        self.seal_unsealed(after(at))
    }

    /// Seals what is unsealed, if anything is, as at the end of an import; `next` is what is read next.
    pub fn seal_unsealed(&mut self, next: Coordinates) -> Result<(), AppendError> {
        self.check_usable()?;
        if self.evidence.is_due() {
            self.seal(next);
        }
        Ok(())
    }

    /// Seals what is unsealed if the record that comes now begins another minute.
    pub(super) fn seal_before(&mut self, from: &Coordinates, recorded: Timestamp) {
        if self.evidence.is_due_before(recorded) {
            self.seal(from.clone());
        }
    }

    pub(super) fn seal(&mut self, next: Coordinates) {
        let head = &mut self.next;
        let seq = self.evidence.seal(head.next_position, next, head.duplicates, head.refused);
        let key = key::log::log(&Stream::Seals, seq);
        self.records.push(Pending { key, value: Vec::new(), seq });
        head.next_position += 1;
    }

    /// Adds the audit trail to the write, and with it what the seals say.
    pub(super) fn put_evidence(&mut self, write: &mut WriteBatch) -> Result<(), AppendError> {
        let in_flight = self.shard.in_flight.as_ref();
        if in_flight.is_some_and(|batch| self.shard.evidence.looks_back(&self.evidence, batch.first)) {
            self.shard.settle()?;
        }
        let shard = &mut *self.shard;
        let first = shard.head.next_position;
        let seals = shard.evidence.write(&mut self.evidence, first, &shard.open.database, write)?;
        let unwritten = self.records.iter_mut().filter(|record| record.value.is_empty());
        for (record, value) in unwritten.zip(seals) {
            record.value = value;
        }
        Ok(())
    }
}

/// The coordinates behind these.
pub(super) fn after(from: Coordinates) -> Coordinates {
    Coordinates { offset: from.offset.saturating_add(1), ..from }
}
