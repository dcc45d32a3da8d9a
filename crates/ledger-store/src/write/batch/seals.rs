//! Where seals go: the data alone says so ([`ledger_record::proof::seal`]), so their places and what they
//! say is read next are the same however messages are cut into batches.
//!
//! What a seal says of the map is filled in when it is written.

use ledger_core::time::Timestamp;
use ledger_record::key;
use ledger_record::record::{Coordinates, Stream};

use crate::error::AppendError;
use crate::write::batch::Batch;
use crate::write::batch::Pending;

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
}

/// The coordinates behind these.
pub(super) fn after(from: Coordinates) -> Coordinates {
    Coordinates { offset: from.offset.saturating_add(1), ..from }
}
