//! Pass 2: the log by position, out of what the streams told.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use ledger_record::key::evidence::{LeafRow, TREE_STEP};
use ledger_record::key::log::SEALS;
use ledger_record::key::{self, Family};
use ledger_record::proof::Hash;
use ledger_record::proof::frontier::Frontier;
use ledger_record::proof::line::{Beside, Leaf, LedgerSecret, SealLeaf, leaf_hash, stream_id};
use ledger_record::proof::log::{Passed, Sealing};
use ledger_record::proof::map::Head;
use ledger_record::proof::note::Checkpoint;
use ledger_record::record::{Content, Record, Stream};

use super::offsets::Offsets;
use super::table::{Slot, Table};
use super::{Fault, VerifyError, check_rules};
use crate::database::damaged;
use crate::decode;
use crate::error::{Damage, ReadError};
use crate::scan::{Scan, everything};
use crate::snapshot::Snapshot;

type Seals<'a> = Box<dyn Iterator<Item = Result<Record, ReadError>> + 'a>;

/// The log so far.
pub(super) struct Pass<'s, 'a> {
    snapshot: &'s Snapshot<'a>,
    secret: &'s LedgerSecret,
    signed: &'s [Checkpoint],
    /// `source/partition`, by number.
    sources: &'s [String],
    positions: Scan<'a>,
    leaves: Scan<'a>,
    seals: Seals<'a>,
    tree: Frontier,
    /// Seq and leaf of the last record of each stream, by its number.
    heads: Vec<(u64, Hash)>,
    sealing: Sealing,
    offsets: Offsets<'s>,
}

/// What is stored of a position.
struct Stored {
    position: u64,
    /// The key of the record in the log.
    reference: Vec<u8>,
    leaf: LeafRow,
}

impl<'s, 'a> Pass<'s, 'a> {
    pub(super) fn new(
        snapshot: &'s Snapshot<'a>,
        secret: &'s LedgerSecret,
        signed: &'s [Checkpoint],
        sources: &'s [String],
    ) -> Result<Self, VerifyError> {
        let scan = |family| snapshot.database.scan(family, everything(), snapshot.sweeping());
        let pass = Self {
            snapshot,
            secret,
            signed,
            sources,
            positions: scan(Family::Positions).map_err(ReadError::from)?,
            leaves: scan(Family::Leaves).map_err(ReadError::from)?,
            seals: Box::new(snapshot.records(&Stream::Seals, 0)?),
            tree: Frontier::default(),
            heads: Vec::new(),
            sealing: Sealing::default(),
            offsets: Offsets::new(snapshot)?,
        };
        pass.compare_signed()?;
        Ok(pass)
    }

    /// Takes in the records of the table; `done` counts them.
    pub(super) fn take_in(&mut self, table: &Table, done: &AtomicU64) -> Result<(), VerifyError> {
        let window: Range<u64> = table.window().clone();
        for position in window {
            let stored = self.stored(position)?;
            if stored.reference.first() == Some(&SEALS) {
                self.seal(&stored)?;
            } else {
                let slot = table.get(position);
                let missing = || damaged(Family::Log, &stored.reference, Damage::Missing);
                let slot = slot.ok_or_else(|| ReadError::from(missing()))?;
                self.record(&stored, &slot, table.stream(slot.stream))?;
            }
            self.grow(stored.leaf.hash)?;
            done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn stored(&mut self, position: u64) -> Result<Stored, ReadError> {
        let at = key::position(position);
        let missing = |family| damaged(family, &at, Damage::Missing);
        let reference = self.positions.step()?.filter(|(key, _)| *key == at);
        let (_, reference) = reference.ok_or_else(|| missing(Family::Positions))?;
        let row = self.leaves.step()?.filter(|(key, _)| *key == at);
        let (_, row) = row.ok_or_else(|| missing(Family::Leaves))?;
        let leaf = LeafRow::decode(row).map_err(|error| damaged(Family::Leaves, &at, error))?;
        Ok(Stored { position, reference: reference.to_vec(), leaf })
    }

    fn record(&mut self, stored: &Stored, slot: &Slot, stream: Hash) -> Result<(), VerifyError> {
        let position = stored.position;
        let number = slot.stream as usize;
        if number >= self.heads.len() {
            self.heads.resize(number + 1, (0, Hash::ZERO));
        }
        let (seq, previous) = self.heads[number];
        let refers_to = decode::log_key(&stored.reference)?;
        if refers_to.seq != seq + 1 || stream_id(&refers_to.stream) != stream {
            let at = key::position(position);
            return Err(ReadError::from(damaged(Family::Positions, &at, Damage::Misplaced)).into());
        }
        if slot.leaf != stored.leaf {
            return Err(self.other_leaf(stored, &refers_to.stream, previous)?.into());
        }
        let leaf = stored.leaf.hash;
        self.heads[number] = (seq + 1, leaf);
        let source = self.sources.get(usize::from(slot.source)).map_or("", String::as_str);
        let head = Head { seq: seq + 1, index: position, leaf };
        let is_rejected = matches!(refers_to.stream, Stream::Rejected);
        let (recorded, offset) = (slot.recorded, slot.offset);
        let passed = Passed { stream, head, recorded, source, offset, is_rejected };
        self.sealing.record(&passed).map_err(|fault| Fault::Log { position, fault })?;
        self.offsets.record(usize::from(slot.source), offset)
    }

    /// Why a stored leaf is not the one that follows from the records: is it the realm alone?
    fn other_leaf(&self, stored: &Stored, stream: &Stream, previous: Hash) -> Result<Fault, ReadError> {
        let Stored { position, leaf, .. } = *stored;
        let Some(record) = self.snapshot.record_at(position)? else { return Ok(Fault::Leaf { position }) };
        let beside = Beside { previous, pinned_realm: leaf.pinned_realm };
        let line = Leaf::of(&record, beside, self.secret).ok().and_then(|leaf| leaf.write().ok());
        Ok(match stream {
            Stream::Tenant(client) if line.is_some_and(|line| leaf_hash(&line) == leaf.hash) => {
                Fault::Realm { client: client.clone(), seq: record.seq }
            }
            _ => Fault::Leaf { position },
        })
    }

    fn seal(&mut self, stored: &Stored) -> Result<(), VerifyError> {
        let position = stored.position;
        let missing = || ReadError::from(damaged(Family::Log, &stored.reference, Damage::Missing));
        let record = self.seals.next().ok_or_else(missing)??;
        check_rules(&record)?;
        let Content::Seal(seal) = &record.content else { return Err(missing().into()) };
        let is_it = key::log::log(&record.stream, record.seq) == stored.reference;
        if !is_it || record.position != position || record.seq != self.sealing.count() + 1 {
            let at = key::position(position);
            return Err(ReadError::from(damaged(Family::Positions, &at, Damage::Misplaced)).into());
        }
        let leaf = SealLeaf::of(&record, seal);
        let line = leaf.write().map_err(|_| Fault::Leaf { position })?;
        if stored.leaf != (LeafRow { hash: leaf_hash(&line), pinned_realm: None }) {
            return Err(Fault::Leaf { position }.into());
        }
        self.sealing.seal(&leaf, position).map_err(|fault| Fault::Log { position, fault })?;
        let source =
            self.sources.iter().position(|name| leaf.next.rsplit_once('/').is_some_and(|(of, _)| of == name));
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

    /// Closes the accounts; answers how many seals and repeats there were, the last seal and the tree.
    pub(super) fn finish(mut self) -> Result<(Frontier, Sealing, u64), VerifyError> {
        // Positions and leaves beyond the end, and seals that no position has, are of a longer log.
        let beyond =
            |family| ReadError::from(damaged(family, &key::position(self.tree.size()), Damage::Misplaced));
        if self.positions.step().map_err(ReadError::from)?.is_some() {
            return Err(beyond(Family::Positions).into());
        }
        if self.leaves.step().map_err(ReadError::from)?.is_some() {
            return Err(beyond(Family::Leaves).into());
        }
        if let Some(record) = self.seals.next() {
            let record = record?;
            let at = key::log::log(&record.stream, record.seq);
            return Err(ReadError::from(damaged(Family::Log, &at, Damage::Misplaced)).into());
        }
        if let Some(signed) = self.signed.iter().find(|signed| signed.size > self.tree.size()) {
            return Err(Fault::Shorter { size: signed.size, found: self.tree.size() }.into());
        }
        let repeats = self.offsets.finish()?;
        Ok((self.tree, self.sealing, repeats))
    }
}
