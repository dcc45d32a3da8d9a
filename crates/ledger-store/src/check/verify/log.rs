//! Pass 2: the log by position, out of what the streams told. The leaves ([`Leaves`]), the references, offsets and
//! seals ([`Order`]), and the map that these say it of ([`Parts`]) rest on nothing of each other, and are gone through
//! side by side.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use ledger_record::key::evidence::LeafRow;
use ledger_record::key::log::{APP, REJECTED, SEALS, SUCCESSION};
use ledger_record::key::{self, Family};
use ledger_record::proof::frontier::Frontier;
use ledger_record::proof::line::{LedgerSecret, SealLeaf, leaf_hash};
use ledger_record::proof::log::{self as whole, PassedRecord, Sealing};
use ledger_record::proof::map::StreamHead;
use ledger_record::proof::note::Checkpoint;
use ledger_record::record::{Content, Record, Seal, Stream};

use crate::audit::{grow, leaf_of};
use crate::check::verify::map::{AHEAD, Parts, SealClaim};
use crate::check::verify::offsets::{Accounted, Offsets, Sources};
use crate::check::verify::sweep::{Slot, Table};
use crate::check::verify::{ShardFault, VerifyError, check_rules, joined};
use crate::db::database::damaged;
use crate::db::placed::PlacedEntries;
use crate::error::{Damage, ReadError};
use crate::read::snapshot::Snapshot;

/// The log so far.
pub(super) struct LogPass<'s, 'a> {
    leaves: Leaves<'s, 'a>,
    order: Order<'s, 'a>,
    map: Parts,
}

/// What is wrong, and where.
pub(super) struct Broken {
    pub(super) position: u64,
    pub(super) error: VerifyError,
}

impl<'s, 'a> LogPass<'s, 'a> {
    pub(super) fn new(
        snapshot: &'s Snapshot<'a>,
        secret: &'s LedgerSecret,
        signed: &'s [Checkpoint],
        sources: &'s Sources,
    ) -> Result<Self, VerifyError> {
        let leaves = Leaves::new(snapshot, secret, signed)?;
        Ok(Self { leaves, order: Order::new(snapshot, sources)?, map: Parts::default() })
    }

    /// Takes in the records of the table; `done` counts them.
    pub(super) fn check(&mut self, table: &Table, done: &AtomicU64) -> Result<(), VerifyError> {
        let Self { leaves, order, map } = self;
        let (sender, claims) = sync_channel(AHEAD);
        let ended = thread::scope(|scope| {
            let map = scope.spawn(move || map.follow(claims));
            let leaves = scope.spawn(|| leaves.check(table, done));
            let order = order.check(table, &sender);
            // The map ends when no more is said.
            drop(sender);
            [joined(leaves), joined(map), order]
        });
        // What comes first in the log is told.
        let broken = ended.into_iter().filter_map(Result::err).min_by_key(|broken| broken.position);
        broken.map_or(Ok(()), |broken| Err(broken.error))
    }

    /// Closes the accounts; answers the tree, the seals, and what the accounts came to.
    pub(super) fn finish(self) -> Result<(Frontier, Sealing, Accounted), VerifyError> {
        let tree = self.leaves.finish()?;
        let (sealing, accounted) = self.order.finish()?;
        Ok((tree, sealing, accounted))
    }
}

/// The leaves by position: they are those that the records make, and the tree over them is the stored and the signed one.
struct Leaves<'s, 'a> {
    snapshot: &'s Snapshot<'a>,
    secret: &'s LedgerSecret,
    signed: &'s [Checkpoint],
    rows: PlacedEntries<'a>,
    seals: Seals<'a>,
    tree: Frontier,
}

impl<'s, 'a> Leaves<'s, 'a> {
    pub(super) fn new(
        snapshot: &'s Snapshot<'a>,
        secret: &'s LedgerSecret,
        signed: &'s [Checkpoint],
    ) -> Result<Self, VerifyError> {
        let rows = PlacedEntries::all(snapshot.database, Family::Leaves, snapshot.sweeping());
        let (rows, seals) = (rows.map_err(ReadError::from)?, Seals::new(snapshot)?);
        let leaves = Self { snapshot, secret, signed, rows, seals, tree: Frontier::default() };
        leaves.compare_signed()?;
        Ok(leaves)
    }

    /// Compares what is stored with the records of the table; `done` counts them.
    pub(super) fn check(&mut self, table: &Table, done: &AtomicU64) -> Result<(), Broken> {
        for position in table.window().clone() {
            self.position(position, table).map_err(|error| Broken { position, error })?;
            done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn position(&mut self, position: u64, table: &Table) -> Result<(), VerifyError> {
        let stored = leaf_of(position, self.rows.expect(position)?)?;
        match table.get(position) {
            Some(slot) if slot.leaf == stored => {}
            Some(_) => return Err(self.other_leaf(position, stored)?.into()),
            None if stored == self.leaf_of_seal(position)? => {}
            None => return Err(ShardFault::Leaf { position }.into()),
        }
        self.grow(stored)
    }

    /// Why a stored leaf is not the one that follows from the records: is it the realm alone?
    fn other_leaf(&self, position: u64, stored: LeafRow) -> Result<ShardFault, ReadError> {
        let Some(record) = self.snapshot.record_at(position)? else {
            return Ok(ShardFault::Leaf { position });
        };
        let line = self.snapshot.leaf_line(&record, self.secret)?;
        Ok(match record.stream {
            Stream::Tenant(client) if leaf_hash(&line) == stored.hash => {
                ShardFault::Realm { client, seq: record.seq }
            }
            _ => ShardFault::Leaf { position },
        })
    }

    /// Where no stream has a record, there is a seal.
    fn leaf_of_seal(&mut self, position: u64) -> Result<LeafRow, VerifyError> {
        let StoredSeal { record, seal } = self.seals.next(position)?;
        let line =
            SealLeaf::from_record(&record, &seal).write().map_err(|_| ShardFault::Leaf { position })?;
        Ok(LeafRow { hash: leaf_hash(&line), pinned_realm: None })
    }

    fn grow(&mut self, leaf: LeafRow) -> Result<(), VerifyError> {
        let mut full = Vec::new();
        grow(&mut self.tree, leaf.hash, |node, hash| full.push((node, hash)));
        for (node, hash) in full {
            if self.snapshot.tree_node(node)? != hash {
                return Err(ShardFault::Node { level: node.level, index: node.index }.into());
            }
        }
        Ok(self.compare_signed()?)
    }

    fn compare_signed(&self) -> Result<(), ShardFault> {
        let size = self.tree.size();
        match self.signed.iter().find(|signed| signed.size == size && signed.root != self.tree.root()) {
            Some(other) => Err(ShardFault::Signed { size: other.size }),
            None => Ok(()),
        }
    }

    /// No leaf is left, and nothing longer was signed; answers the tree.
    pub(super) fn finish(mut self) -> Result<Frontier, VerifyError> {
        self.rows.expect_end()?;
        match self.signed.iter().find(|signed| signed.size > self.tree.size()) {
            Some(signed) => Err(ShardFault::Shorter { size: signed.size, found: self.tree.size() }.into()),
            None => Ok(self.tree),
        }
    }
}

/// The records by position: each position refers to its record, the offsets of the sources follow each other, and the
/// seals stand where they must and say what is true.
struct Order<'s, 'a> {
    sources: &'s Sources,
    positions: PlacedEntries<'a>,
    seals: Seals<'a>,
    sealing: Sealing,
    offsets: Offsets<'s>,
    /// Seq of the last record of each stream, by its number.
    heads: Vec<u64>,
    /// What the map was not told yet, and how many changes that is.
    claims: Vec<SealClaim>,
    changes: usize,
}

/// So many changes are told together: for a few, nobody need be woken.
const CHANGES_AT_A_TIME: usize = if cfg!(test) { 8 } else { 512 };

impl<'s, 'a> Order<'s, 'a> {
    pub(super) fn new(snapshot: &'s Snapshot<'a>, sources: &'s Sources) -> Result<Self, ReadError> {
        Ok(Self {
            sources,
            positions: PlacedEntries::all(snapshot.database, Family::Positions, snapshot.sweeping())?,
            seals: Seals::new(snapshot)?,
            sealing: Sealing::default(),
            offsets: Offsets::new(snapshot)?,
            heads: Vec::new(),
            claims: Vec::new(),
            changes: 0,
        })
    }

    /// Compares what is stored with the records of the table, and tells what the seals say of the map.
    pub(super) fn check(&mut self, table: &Table, map: &SyncSender<Vec<SealClaim>>) -> Result<(), Broken> {
        let mut positions = table.window().clone();
        let ended = positions.try_for_each(|position| {
            self.position(position, table).map_err(|error| Broken { position, error })?;
            if self.changes >= CHANGES_AT_A_TIME {
                self.send(map);
            }
            Ok(())
        });
        self.send(map);
        ended
    }

    fn send(&mut self, map: &SyncSender<Vec<SealClaim>>) {
        // Where nobody takes it any more, the map was false before.
        let _disconnected = map.send(std::mem::take(&mut self.claims));
        self.changes = 0;
    }

    fn position(&mut self, position: u64, table: &Table) -> Result<(), VerifyError> {
        let reference = self.positions.expect(position)?;
        match table.get(position) {
            Some(slot) => {
                let number = slot.stream as usize;
                if number >= self.heads.len() {
                    self.heads.resize(number + 1, 0);
                }
                self.heads[number] += 1;
                let seq = self.heads[number];
                if !table.stream(slot.stream).is_record(reference, seq) {
                    let at = key::position(position);
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
            return Err(ShardFault::Log { position, fault: whole::LogFault::Succession }.into());
        }
        let passed = PassedRecord {
            stream: stream.id,
            head: StreamHead { seq, index: position, leaf: slot.leaf.hash },
            recorded: slot.recorded,
            source: self.sources.name(slot.source),
            offset: slot.offset,
            is_rejected: stream.kind() == Some(REJECTED),
            is_succession,
        };
        Ok(self.sealing.record(&passed).map_err(|fault| ShardFault::Log { position, fault })?)
    }

    fn seal(&mut self, position: u64, reference: &[u8]) -> Result<(), VerifyError> {
        let StoredSeal { record, seal } = self.seals.next(position)?;
        if key::log::log(&record.stream, record.seq) != reference {
            let at = key::position(position);
            return Err(ReadError::from(damaged(Family::Positions, &at, Damage::Misplaced)).into());
        }
        let source = self.sources.number(&record.source);
        if !self.offsets.agree(source, record.source.offset, seal.duplicates)? {
            return Err(ShardFault::Repeats { position }.into());
        }
        let leaf = SealLeaf::from_record(&record, &seal);
        let sealed = self.sealing.seal(&leaf, position, |changed| {
            self.changes += changed.len();
            self.claims.push(SealClaim { position, root: leaf.map_root, changed });
            leaf.map_root
        });
        Ok(sealed.map_err(|fault: whole::LogFault| ShardFault::Log { position, fault })?)
    }

    /// Closes the accounts; answers the seals, and what the accounts came to.
    pub(super) fn finish(mut self) -> Result<(Sealing, Accounted), VerifyError> {
        // Positions beyond the end, and seals that no position has, are of a longer log.
        self.positions.expect_end()?;
        self.seals.finish()?;
        Ok((self.sealing, self.offsets.finish()?))
    }
}

/// The seals that follow, and how many were read.
struct Seals<'a>(Box<dyn Iterator<Item = Result<Record, ReadError>> + Send + 'a>, u64);

struct StoredSeal {
    record: Record,
    seal: Seal,
}

impl<'a> Seals<'a> {
    pub(super) fn new(snapshot: &Snapshot<'a>) -> Result<Self, ReadError> {
        Ok(Self(Box::new(snapshot.records(&Stream::Seals, 0)?), 0))
    }

    /// The next one, which must be the one at that position.
    fn next(&mut self, position: u64) -> Result<StoredSeal, VerifyError> {
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
fn is_seal(reference: &[u8]) -> bool {
    reference.first() == Some(&SEALS)
}
