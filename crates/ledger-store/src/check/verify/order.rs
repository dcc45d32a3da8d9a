//! Pass 2, the records by position: each position refers to its record, the offsets of the sources follow each other,
//! and the seals stand where they must and say what is true.

use std::sync::mpsc::SyncSender;

use ledger_record::key::log::{APP, REJECTED, SUCCESSION};
use ledger_record::key::{self, Family};
use ledger_record::proof::line::SealLeaf;
use ledger_record::proof::log::{self as whole, Passed, Sealing};
use ledger_record::proof::map::Head;

use crate::check::verify::log::Broken;
use crate::check::verify::map::SealClaim;
use crate::check::verify::offsets::{Accounted, Offsets};
use crate::check::verify::seals::{Seals, StoredSeal, is_seal};
use crate::check::verify::sources::Sources;
use crate::check::verify::table::{Slot, Table};
use crate::check::verify::{Fault, VerifyError};
use crate::db::database::damaged;
use crate::db::scan::{Scan, everything};
use crate::error::{Damage, ReadError};
use crate::read::snapshot::Snapshot;

pub(super) struct Order<'s, 'a> {
    sources: &'s Sources,
    positions: Scan<'a>,
    seals: Seals<'a>,
    sealing: Sealing,
    offsets: Offsets<'s>,
    /// Seq of the last record of each stream, by its number.
    heads: Vec<u64>,
    /// What the map was not told yet, and how many changes that is.
    said: Vec<SealClaim>,
    changes: usize,
}

/// So many changes are told together: for a few, nobody need be woken.
const CHANGES_AT_A_TIME: usize = if cfg!(test) { 8 } else { 512 };

impl<'s, 'a> Order<'s, 'a> {
    pub(super) fn new(snapshot: &'s Snapshot<'a>, sources: &'s Sources) -> Result<Self, ReadError> {
        Ok(Self {
            sources,
            positions: snapshot.database.scan(Family::Positions, everything(), snapshot.sweeping())?,
            seals: Seals::of(snapshot)?,
            sealing: Sealing::default(),
            offsets: Offsets::new(snapshot)?,
            heads: Vec::new(),
            said: Vec::new(),
            changes: 0,
        })
    }

    /// Compares what is stored with the records of the table, and tells what the seals say of the map.
    pub(super) fn take_in(&mut self, table: &Table, map: &SyncSender<Vec<SealClaim>>) -> Result<(), Broken> {
        let mut positions = table.window().clone();
        let ended = positions.try_for_each(|position| {
            self.position(position, table).map_err(|error| Broken { position, error })?;
            if self.changes >= CHANGES_AT_A_TIME {
                self.tell(map);
            }
            Ok(())
        });
        self.tell(map);
        ended
    }

    fn tell(&mut self, map: &SyncSender<Vec<SealClaim>>) {
        // Where nobody takes it any more, the map was false before.
        let _no_one = map.send(std::mem::take(&mut self.said));
        self.changes = 0;
    }

    fn position(&mut self, position: u64, table: &Table) -> Result<(), VerifyError> {
        let at = key::position(position);
        let row = self.positions.step().map_err(ReadError::from)?.filter(|(key, _)| *key == at);
        let (_, reference) =
            row.ok_or_else(|| ReadError::from(damaged(Family::Positions, &at, Damage::Missing)))?;
        match table.get(position) {
            Some(slot) => {
                let number = slot.stream as usize;
                if number >= self.heads.len() {
                    self.heads.resize(number + 1, 0);
                }
                self.heads[number] += 1;
                let seq = self.heads[number];
                if !table.stream(slot.stream).is_record(reference, seq) {
                    return Err(ReadError::from(damaged(Family::Positions, &at, Damage::Misplaced)).into());
                }
                self.record(position, &slot, seq, table)
            }
            None if is_seal(reference) => {
                let reference = reference.to_vec();
                self.seal(position, &reference)
            }
            None => Err(ReadError::from(damaged(Family::Log, reference, Damage::Missing)).into()),
        }
    }

    fn record(&mut self, position: u64, slot: &Slot, seq: u64, table: &Table) -> Result<(), VerifyError> {
        let stream = table.stream(slot.stream);
        self.offsets.record(usize::from(slot.source), slot.offset, stream.kind() == Some(APP))?;
        let is_succession = stream.kind() == Some(SUCCESSION);
        if is_succession && position + 1 != seq {
            return Err(Fault::Log { position, fault: whole::Fault::Succession }.into());
        }
        let passed = Passed {
            stream: stream.id,
            head: Head { seq, index: position, leaf: slot.leaf.hash },
            recorded: slot.recorded,
            source: self.sources.name(slot.source),
            offset: slot.offset,
            is_rejected: stream.kind() == Some(REJECTED),
            is_succession,
        };
        Ok(self.sealing.record(&passed).map_err(|fault| Fault::Log { position, fault })?)
    }

    fn seal(&mut self, position: u64, reference: &[u8]) -> Result<(), VerifyError> {
        let StoredSeal { record, seal } = self.seals.next(position)?;
        if key::log::log(&record.stream, record.seq) != reference {
            let at = key::position(position);
            return Err(ReadError::from(damaged(Family::Positions, &at, Damage::Misplaced)).into());
        }
        let source = self.sources.number(&record.source);
        if !self.offsets.agree(source, record.source.offset, seal.duplicates)? {
            return Err(Fault::Repeats { position }.into());
        }
        let leaf = SealLeaf::of(&record, &seal);
        let sealed = self.sealing.seal(&leaf, position, |changed| {
            self.changes += changed.len();
            self.said.push(SealClaim { position, root: leaf.map_root, changed });
            leaf.map_root
        });
        Ok(sealed.map_err(|fault: whole::Fault| Fault::Log { position, fault })?)
    }

    /// Closes the accounts; answers the seals, and what the accounts came to.
    pub(super) fn finish(mut self) -> Result<(Sealing, Accounted), VerifyError> {
        // Positions beyond the end, and seals that no position has, are of a longer log.
        if let Some((at, _)) = self.positions.step().map_err(ReadError::from)? {
            return Err(ReadError::from(damaged(Family::Positions, at, Damage::Misplaced)).into());
        }
        self.seals.finish()?;
        Ok((self.sealing, self.offsets.finish()?))
    }
}
