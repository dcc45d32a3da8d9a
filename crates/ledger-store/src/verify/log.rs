//! Pass 2: the log by position, out of what the streams told. What is stored there ([`Rows`]), what the seals say
//! ([`Sealed`]) and the map that they say it of ([`Parts`]) rest on nothing of each other, and are gone through side
//! by side.

use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use ledger_record::key::log::REJECTED;
use ledger_record::key::{self, Family};
use ledger_record::proof::Hash;
use ledger_record::proof::frontier::Frontier;
use ledger_record::proof::line::{LedgerSecret, SealLeaf};
use ledger_record::proof::log::{self as whole, Passed, Sealing};
use ledger_record::proof::map::{Entry, Head};
use ledger_record::proof::note::Checkpoint;
use ledger_record::record::{Content, Record, Seal, Stream};

use super::map::Parts;
use super::rows::Rows;
use super::sources::Sources;
use super::table::Table;
use super::{Fault, VerifyError, check_rules, joined};
use crate::database::damaged;
use crate::error::{Damage, ReadError};
use crate::snapshot::Snapshot;

/// The log so far.
pub(super) struct Pass<'s, 'a> {
    rows: Rows<'s, 'a>,
    sealed: Sealed<'s, 'a>,
    map: Parts,
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
        let (sealing, heads) = (Sealing::default(), Vec::new());
        let sealed = Sealed { sources, seals: Seals::of(snapshot)?, sealing, heads };
        Ok(Self { rows: Rows::new(snapshot, secret, signed, sources)?, sealed, map: Parts::default() })
    }

    /// Takes in the records of the table; `done` counts them.
    pub(super) fn take_in(&mut self, table: &Table, done: &AtomicU64) -> Result<(), VerifyError> {
        let Self { rows, sealed, map } = self;
        let (says, said) = sync_channel(SEALS_AHEAD);
        let ended = thread::scope(|scope| {
            let map = scope.spawn(|| follow(map, said));
            // It hangs up when it is through.
            let sealed = scope.spawn(move || sealed.take_in(table, &says));
            let stored = rows.take_in(table, done);
            std::iter::once(stored).chain([map, sealed].map(joined))
        });
        // What comes first in the log is told.
        let broken = ended.filter_map(Result::err).min_by_key(|broken| broken.position);
        broken.map_or(Ok(()), |broken| Err(broken.error))
    }

    /// Closes the accounts; answers the tree, the seals, and how many repeats there were.
    pub(super) fn finish(self) -> Result<(Frontier, Sealing, u64), VerifyError> {
        let (tree, repeats) = self.rows.finish()?;
        Ok((tree, self.sealed.sealing, repeats))
    }
}

/// Seals whose changes wait for the map to take them in.
const SEALS_AHEAD: usize = 4;

/// What a seal says of the map.
struct Said {
    position: u64,
    root: Hash,
    /// Since the seal before: sorted by id, each once.
    changed: Vec<Entry>,
}

/// Lets the map grow as the seals tell, and compares what they say of it.
fn follow(map: &mut Parts, said: Receiver<Said>) -> Result<(), Broken> {
    for Said { position, root, changed } in said {
        if map.update(&changed) != root {
            let error = Fault::Log { position, fault: whole::Fault::Map }.into();
            return Err(Broken { position, error });
        }
    }
    Ok(())
}

/// What the seals say.
struct Sealed<'s, 'a> {
    sources: &'s Sources,
    seals: Seals<'a>,
    sealing: Sealing,
    /// Seq of the last record of each stream, by its number.
    heads: Vec<u64>,
}

impl Sealed<'_, '_> {
    fn take_in(&mut self, table: &Table, map: &SyncSender<Said>) -> Result<(), Broken> {
        for position in table.window().clone() {
            self.position(position, table, map).map_err(|error| Broken { position, error })?;
        }
        Ok(())
    }

    fn position(&mut self, position: u64, table: &Table, map: &SyncSender<Said>) -> Result<(), VerifyError> {
        let says = |fault| Fault::Log { position, fault };
        let Some(slot) = table.get(position) else {
            // Where no stream has a record, there is a seal, or nothing.
            let StoredSeal { record, seal } = self.seals.next(position)?;
            let leaf = SealLeaf::of(&record, &seal);
            let sealed = self.sealing.seal(&leaf, position, |changed| {
                // Nobody takes it any more: the map was false before.
                let _no_one = map.send(Said { position, root: leaf.map_root, changed });
                leaf.map_root
            });
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
