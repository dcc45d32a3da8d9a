//! Pass 2: the log by position, out of what the streams told. What is stored there ([`Rows`]) and what the seals say
//! ([`Sealed`]) rest on nothing of each other, and are gone through side by side.

use std::sync::atomic::AtomicU64;
use std::thread;

use ledger_record::key::log::REJECTED;
use ledger_record::key::{self, Family};
use ledger_record::proof::frontier::Frontier;
use ledger_record::proof::line::{LedgerSecret, SealLeaf};
use ledger_record::proof::log::{Passed, Sealing};
use ledger_record::proof::map::Head;
use ledger_record::proof::note::Checkpoint;
use ledger_record::record::{Content, Record, Seal, Stream};

use super::map::Parts;
use super::rows::Rows;
use super::sources::Sources;
use super::table::Table;
use super::{Fault, VerifyError, check_rules};
use crate::database::damaged;
use crate::error::{Damage, ReadError};
use crate::snapshot::Snapshot;

/// The log so far.
pub(super) struct Pass<'s, 'a> {
    rows: Rows<'s, 'a>,
    sealed: Sealed<'s, 'a>,
}

/// What is wrong, and where.
pub(super) struct Broken {
    pub(super) position: u64,
    pub(super) error: VerifyError,
}

impl<'s, 'a> Pass<'s, 'a> {
    pub(super) fn new(
        snapshot: &'s Snapshot<'a>,
        secret: &'s LedgerSecret,
        signed: &'s [Checkpoint],
        sources: &'s Sources,
    ) -> Result<Self, VerifyError> {
        let (map, sealing, heads) = (Parts::default(), Sealing::default(), Vec::new());
        let sealed = Sealed { sources, seals: Seals::of(snapshot)?, map, sealing, heads };
        Ok(Self { rows: Rows::new(snapshot, secret, signed, sources)?, sealed })
    }

    /// Takes in the records of the table; `done` counts them.
    pub(super) fn take_in(&mut self, table: &Table, done: &AtomicU64) -> Result<(), VerifyError> {
        let Self { rows, sealed } = self;
        let (stored, said) = thread::scope(|scope| {
            let sealed = scope.spawn(|| sealed.take_in(table));
            let stored = rows.take_in(table, done);
            (stored, sealed.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        // What comes first in the log is told.
        match (stored, said) {
            (Err(stored), Err(said)) if said.position < stored.position => Err(said.error),
            (Err(broken), _) | (Ok(()), Err(broken)) => Err(broken.error),
            (Ok(()), Ok(())) => Ok(()),
        }
    }

    /// Closes the accounts; answers the tree, the seals, and how many repeats there were.
    pub(super) fn finish(self) -> Result<(Frontier, Sealing, u64), VerifyError> {
        let (tree, repeats) = self.rows.finish()?;
        Ok((tree, self.sealed.sealing, repeats))
    }
}

/// What the seals say.
struct Sealed<'s, 'a> {
    sources: &'s Sources,
    seals: Seals<'a>,
    map: Parts,
    sealing: Sealing,
    /// Seq of the last record of each stream, by its number.
    heads: Vec<u64>,
}

impl Sealed<'_, '_> {
    fn take_in(&mut self, table: &Table) -> Result<(), Broken> {
        for position in table.window().clone() {
            self.position(position, table).map_err(|error| Broken { position, error })?;
        }
        Ok(())
    }

    fn position(&mut self, position: u64, table: &Table) -> Result<(), VerifyError> {
        let says = |fault| Fault::Log { position, fault };
        let Some(slot) = table.get(position) else {
            // Where no stream has a record, there is a seal, or nothing.
            let StoredSeal { record, seal } = self.seals.next(position)?;
            let leaf = SealLeaf::of(&record, &seal);
            let sealed = self.sealing.seal(&leaf, position, |changed| self.map.update(changed));
            return Ok(sealed.map_err(says)?);
        };
        let number = slot.stream as usize;
        if number >= self.heads.len() {
            self.heads.resize(number + 1, 0);
        }
        self.heads[number] += 1;
        let stream = table.stream(slot.stream);
        let passed = Passed {
            stream: stream.id,
            head: Head { seq: self.heads[number], index: position, leaf: slot.leaf.hash },
            recorded: slot.recorded,
            source: self.sources.name(slot.source),
            offset: slot.offset,
            is_rejected: stream.kind() == Some(REJECTED),
        };
        Ok(self.sealing.record(&passed).map_err(says)?)
    }
}

/// The stored seals, one by one.
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
