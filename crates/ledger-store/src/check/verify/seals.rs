//! The stored seals, one by one.

use ledger_record::key::log::SEALS;
use ledger_record::key::{self, Family};
use ledger_record::record::{Content, Record, Seal, Stream};

use crate::check::verify::{VerifyError, check_rules};
use crate::db::database::damaged;
use crate::error::{Damage, ReadError};
use crate::read::snapshot::Snapshot;

/// The seals that follow, and how many were read.
pub(super) struct Seals<'a>(Box<dyn Iterator<Item = Result<Record, ReadError>> + Send + 'a>, u64);

pub(super) struct StoredSeal {
    pub(super) record: Record,
    pub(super) seal: Seal,
}

impl<'a> Seals<'a> {
    pub(super) fn of(snapshot: &Snapshot<'a>) -> Result<Self, ReadError> {
        Ok(Self(Box::new(snapshot.records(&Stream::Seals, 0)?), 0))
    }

    /// The next one, which must be the one at that position.
    pub(super) fn next(&mut self, position: u64) -> Result<StoredSeal, VerifyError> {
        let Self(seals, count) = self;
        *count += 1;
        let expected = key::log::log(&Stream::Seals, *count);
        let missing = || ReadError::from(damaged(Family::Log, &expected, Damage::Missing));
        let record = seals.next().ok_or_else(missing)??;
        check_rules(&record)?;
        let Content::Seal(seal) = record.content else { return Err(missing().into()) };
        if (record.position, record.seq) != (position, *count) {
            let at = key::position(position);
            return Err(ReadError::from(damaged(Family::Positions, &at, Damage::Misplaced)).into());
        }
        Ok(StoredSeal { record, seal })
    }

    /// None is left.
    pub(super) fn finish(mut self) -> Result<(), ReadError> {
        let Some(record) = self.0.next().transpose()? else { return Ok(()) };
        let at = key::log::log(&record.stream, record.seq);
        Err(damaged(Family::Log, &at, Damage::Misplaced).into())
    }
}

/// Whether a position refers to a seal.
pub(super) fn is_seal(reference: &[u8]) -> bool {
    reference.first() == Some(&SEALS)
}
