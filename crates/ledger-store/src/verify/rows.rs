//! Pass 2, what is stored by position: references, leaves, the tree, and the offsets of the sources.

use std::sync::atomic::{AtomicU64, Ordering};

use ledger_record::key::evidence::{LeafRow, TREE_STEP};
use ledger_record::key::log::SEALS;
use ledger_record::key::{self, Family};
use ledger_record::proof::Hash;
use ledger_record::proof::frontier::Frontier;
use ledger_record::proof::line::{Beside, LedgerSecret, RecordLeaf, SealLeaf, leaf_hash};
use ledger_record::proof::note::Checkpoint;
use ledger_record::record::Stream;

use super::log::{Broken, Seals, StoredSeal};
use super::offsets::Offsets;
use super::sources::Sources;
use super::table::Table;
use super::{Fault, VerifyError};
use crate::database::damaged;
use crate::error::{Damage, ReadError};
use crate::scan::{Scan, everything};
use crate::snapshot::Snapshot;

pub(super) struct Rows<'s, 'a> {
    snapshot: &'s Snapshot<'a>,
    secret: &'s LedgerSecret,
    signed: &'s [Checkpoint],
    sources: &'s Sources,
    positions: Scan<'a>,
    leaves: Scan<'a>,
    seals: Seals<'a>,
    tree: Frontier,
    /// Seq and leaf of the last record of each stream, by its number.
    heads: Vec<(u64, Hash)>,
    offsets: Offsets<'s>,
}

impl<'s, 'a> Rows<'s, 'a> {
    pub(super) fn new(
        snapshot: &'s Snapshot<'a>,
        secret: &'s LedgerSecret,
        signed: &'s [Checkpoint],
        sources: &'s Sources,
    ) -> Result<Self, VerifyError> {
        let scan = |family| snapshot.database.scan(family, everything(), snapshot.sweeping());
        let rows = Self {
            snapshot,
            secret,
            signed,
            sources,
            positions: scan(Family::Positions).map_err(ReadError::from)?,
            leaves: scan(Family::Leaves).map_err(ReadError::from)?,
            seals: Seals::of(snapshot)?,
            tree: Frontier::default(),
            heads: Vec::new(),
            offsets: Offsets::new(snapshot)?,
        };
        rows.compare_signed()?;
        Ok(rows)
    }

    /// Compares what is stored with the records of the table; `done` counts them.
    pub(super) fn take_in(&mut self, table: &Table, done: &AtomicU64) -> Result<(), Broken> {
        for position in table.window().clone() {
            self.position(position, table).map_err(|error| Broken { position, error })?;
            done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn position(&mut self, position: u64, table: &Table) -> Result<(), VerifyError> {
        let at = key::position(position);
        let missing = |family| ReadError::from(damaged(family, &at, Damage::Missing));
        let row = self.leaves.step().map_err(ReadError::from)?.filter(|(key, _)| *key == at);
        let (_, row) = row.ok_or_else(|| missing(Family::Leaves))?;
        let leaf =
            LeafRow::decode(row).map_err(|error| ReadError::from(damaged(Family::Leaves, &at, error)))?;
        let row = self.positions.step().map_err(ReadError::from)?.filter(|(key, _)| *key == at);
        let (_, reference) = row.ok_or_else(|| missing(Family::Positions))?;
        if reference.first() == Some(&SEALS) {
            let reference = reference.to_vec();
            self.seal(position, &reference, leaf)?;
        } else {
            let gone = || ReadError::from(damaged(Family::Log, reference, Damage::Missing));
            let slot = table.get(position).ok_or_else(gone)?;
            let number = slot.stream as usize;
            if number >= self.heads.len() {
                self.heads.resize(number + 1, (0, Hash::ZERO));
            }
            let (seq, previous) = self.heads[number];
            if !table.stream(slot.stream).is_record(reference, seq + 1) {
                return Err(ReadError::from(damaged(Family::Positions, &at, Damage::Misplaced)).into());
            }
            if slot.leaf != leaf {
                return Err(self.other_leaf(position, leaf, previous)?.into());
            }
            self.heads[number] = (seq + 1, leaf.hash);
            self.offsets.record(usize::from(slot.source), slot.offset)?;
        }
        self.grow(leaf.hash)
    }

    /// Why a stored leaf is not the one that follows from the records: is it the realm alone?
    fn other_leaf(&self, position: u64, leaf: LeafRow, previous: Hash) -> Result<Fault, ReadError> {
        let Some(record) = self.snapshot.record_at(position)? else { return Ok(Fault::Leaf { position }) };
        let beside = Beside { previous, pinned_realm: leaf.pinned_realm };
        let line = RecordLeaf::of(&record, beside, self.secret).map(|leaf| leaf.write()).ok();
        Ok(match record.stream {
            Stream::Tenant(client) if line.is_some_and(|line| leaf_hash(&line) == leaf.hash) => {
                Fault::Realm { client, seq: record.seq }
            }
            _ => Fault::Leaf { position },
        })
    }

    fn seal(&mut self, position: u64, reference: &[u8], stored: LeafRow) -> Result<(), VerifyError> {
        let StoredSeal { record, seal } = self.seals.next(position)?;
        if key::log::log(&record.stream, record.seq) != reference {
            let at = key::position(position);
            return Err(ReadError::from(damaged(Family::Positions, &at, Damage::Misplaced)).into());
        }
        let line = SealLeaf::of(&record, &seal).write().map_err(|_| Fault::Leaf { position })?;
        if stored != (LeafRow { hash: leaf_hash(&line), pinned_realm: None }) {
            return Err(Fault::Leaf { position }.into());
        }
        let source = self.sources.number(&record.source);
        if !self.offsets.agree(source, record.source.offset, seal.duplicates)? {
            return Err(Fault::Repeats { position }.into());
        }
        Ok(())
    }

    fn grow(&mut self, leaf: Hash) -> Result<(), VerifyError> {
        let mut full = Vec::new();
        self.tree.grow(leaf, |node, hash| {
            if node.level.is_multiple_of(TREE_STEP) {
                full.push((node, hash));
            }
        });
        for (node, hash) in full {
            if self.snapshot.tree_node(node)? != hash {
                return Err(Fault::Node { level: node.level, index: node.index }.into());
            }
        }
        Ok(self.compare_signed()?)
    }

    fn compare_signed(&self) -> Result<(), Fault> {
        let size = self.tree.size();
        match self.signed.iter().find(|signed| signed.size == size && signed.root != self.tree.root()) {
            Some(other) => Err(Fault::Signed { size: other.size }),
            None => Ok(()),
        }
    }

    /// Closes the accounts; answers the tree, and how many repeats there were.
    pub(super) fn finish(mut self) -> Result<(Frontier, u64), VerifyError> {
        // Positions and leaves beyond the end, and seals that no position has, are of a longer log.
        let beyond =
            |family| ReadError::from(damaged(family, &key::position(self.tree.size()), Damage::Misplaced));
        if self.positions.step().map_err(ReadError::from)?.is_some() {
            return Err(beyond(Family::Positions).into());
        }
        if self.leaves.step().map_err(ReadError::from)?.is_some() {
            return Err(beyond(Family::Leaves).into());
        }
        self.seals.finish()?;
        if let Some(signed) = self.signed.iter().find(|signed| signed.size > self.tree.size()) {
            return Err(Fault::Shorter { size: signed.size, found: self.tree.size() }.into());
        }
        let repeats = self.offsets.finish()?;
        Ok((self.tree, repeats))
    }
}
