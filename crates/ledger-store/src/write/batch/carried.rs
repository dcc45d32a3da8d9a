//! What only a refill appends ([`crate::refill()`]): names of the old logs, and refused messages with their old times.

use ledger_core::time::Timestamp;
use ledger_record::proof::Hash;
use ledger_record::record::{Content, Coordinates, Stream};
use ledger_record::rejection::Refused;

use crate::error::AppendError;
use crate::write::batch::Batch;

impl Batch<'_> {
    /// Names a log before. These are the first records of a shard, and all have the same recorded time: so no seal
    /// comes between them.
    pub(crate) fn succeed(
        &mut self,
        before: Coordinates,
        root: Hash,
        recorded: Timestamp,
    ) -> Result<(), AppendError> {
        self.check_usable()?;
        let seq = self.next.next_position + 1;
        let content = Content::Succession(root);
        let pushed = self.push(Stream::Succession, seq, before, recorded, content, None, None);
        self.failed = pushed.is_err();
        pushed.map(|_| ())
    }

    /// Puts a refused message in quarantine with the recorded time that it had. Only a repeat of an event that is now
    /// refused can be later than that.
    pub(crate) fn refuse_again(
        &mut self,
        from: Coordinates,
        refused: Refused,
        recorded: Timestamp,
    ) -> Result<(), AppendError> {
        self.check_usable()?;
        let recorded = self.next.recorded.map_or(recorded, |last| last.max(recorded));
        self.refuse_at(from, refused, recorded).map(|_| ())
    }

    /// The next event is recorded at this instant at the earliest.
    pub(crate) fn keep_floor(&mut self, recorded: Option<Timestamp>) {
        self.next.recorded = self.next.recorded.max(recorded);
    }
}
