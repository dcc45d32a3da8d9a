//! Pass 2, the leaves by position: they are those that the records make, and the tree over them is the stored and the
//! signed one.

use std::sync::atomic::{AtomicU64, Ordering};

use ledger_record::key::Family;
use ledger_record::key::evidence::{LeafRow, TREE_STEP};
use ledger_record::proof::frontier::Frontier;
use ledger_record::proof::line::{LedgerSecret, SealLeaf, leaf_hash};
use ledger_record::proof::note::Checkpoint;
use ledger_record::record::Stream;

use crate::audit::leaf_at;
use crate::check::verify::log::Broken;
use crate::check::verify::seals::{Seals, StoredSeal};
use crate::check::verify::table::Table;
use crate::check::verify::{Fault, VerifyError};
use crate::db::database::damaged;
use crate::db::scan::{Scan, everything};
use crate::error::{Damage, ReadError};
use crate::read::snapshot::Snapshot;

pub(super) struct Leaves<'s, 'a> {
    snapshot: &'s Snapshot<'a>,
    secret: &'s LedgerSecret,
    signed: &'s [Checkpoint],
    rows: Scan<'a>,
    seals: Seals<'a>,
    tree: Frontier,
}

impl<'s, 'a> Leaves<'s, 'a> {
    pub(super) fn new(
        snapshot: &'s Snapshot<'a>,
        secret: &'s LedgerSecret,
        signed: &'s [Checkpoint],
    ) -> Result<Self, VerifyError> {
        let rows = snapshot.database.scan(Family::Leaves, everything(), snapshot.sweeping());
        let (rows, seals) = (rows.map_err(ReadError::from)?, Seals::of(snapshot)?);
        let leaves = Self { snapshot, secret, signed, rows, seals, tree: Frontier::default() };
        leaves.compare_signed()?;
        Ok(leaves)
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
        let stored = leaf_at(position, self.rows.step().map_err(ReadError::from)?)?;
        match table.get(position) {
            Some(slot) if slot.leaf == stored => {}
            Some(_) => return Err(self.other_leaf(position, stored)?.into()),
            None if stored == self.leaf_of_seal(position)? => {}
            None => return Err(Fault::Leaf { position }.into()),
        }
        self.grow(stored)
    }

    /// Why a stored leaf is not the one that follows from the records: is it the realm alone?
    fn other_leaf(&self, position: u64, stored: LeafRow) -> Result<Fault, ReadError> {
        let Some(record) = self.snapshot.record_at(position)? else { return Ok(Fault::Leaf { position }) };
        let line = self.snapshot.leaf_line(&record, self.secret)?;
        Ok(match record.stream {
            Stream::Tenant(client) if leaf_hash(&line) == stored.hash => {
                Fault::Realm { client, seq: record.seq }
            }
            _ => Fault::Leaf { position },
        })
    }

    /// Where no stream has a record, there is a seal.
    fn leaf_of_seal(&mut self, position: u64) -> Result<LeafRow, VerifyError> {
        let StoredSeal { record, seal } = self.seals.next(position)?;
        let line = SealLeaf::of(&record, &seal).write().map_err(|_| Fault::Leaf { position })?;
        Ok(LeafRow { hash: leaf_hash(&line), pinned_realm: None })
    }

    fn grow(&mut self, leaf: LeafRow) -> Result<(), VerifyError> {
        let mut full = Vec::new();
        self.tree.grow(leaf.hash, |node, hash| {
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

    /// No leaf is left, and nothing longer was signed; answers the tree.
    pub(super) fn finish(mut self) -> Result<Frontier, VerifyError> {
        if let Some((at, _)) = self.rows.step().map_err(ReadError::from)? {
            return Err(ReadError::from(damaged(Family::Leaves, at, Damage::Misplaced)).into());
        }
        match self.signed.iter().find(|signed| signed.size > self.tree.size()) {
            Some(signed) => Err(Fault::Shorter { size: signed.size, found: self.tree.size() }.into()),
            None => Ok(self.tree),
        }
    }
}
