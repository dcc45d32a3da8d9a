//! The pass over a batch's leaves when it is written.

use std::collections::HashMap;

use ledger_core::realm::Realm;
use ledger_record::key::evidence::LeafRow;
use ledger_record::key::{self, Family, evidence};
use ledger_record::proof::Hash;
use ledger_record::proof::line::{LeafContext, SealLeaf, leaf_hash, stream_id};
use ledger_record::proof::map::{Entry, Head};
use ledger_record::proof::tree::Node;
use ledger_record::record::{Content, Record, Seal};
use rocksdb::{ReadOptions, WriteBatch};

use crate::audit::AuditWriter;
use crate::audit::Recent;
use crate::audit::map::Changes;
use crate::audit::pending_leaves::{PendingLeaf, PendingLeaves, Previous};
use crate::audit::proofs;
use crate::audit::tree;
use crate::db::database::{Database, damaged};
use crate::db::decode;
use crate::error::{Damage, ReadError, WriteError};

/// A batch's leaves on their way into the store.
struct LeafPass<'a> {
    database: &'a Database,
    trail: &'a mut AuditWriter,
    /// Position of the first leaf.
    first: u64,
    leaves: Vec<LeafRow>,
    nodes: Vec<(Node, Hash)>,
    map: Option<Changes<'a>>,
    /// Leaf hashes, by position, that were read because nothing in memory has them.
    fetched: HashMap<u64, Hash>,
    seals: Vec<Record>,
}

impl AuditWriter {
    /// Hashes the leaves of a batch that begins at `first`, and adds their rows and the seals to its write.
    pub(crate) fn take_in(
        &mut self,
        draft: PendingLeaves,
        first: u64,
        database: &Database,
        write: &mut WriteBatch,
    ) -> Result<(), WriteError> {
        if draft.leaves.is_empty() {
            return Ok(());
        }
        let fetched = fetch(database, &self.recent, &draft.leaves, first)?;
        let (leaves, nodes, seals) = (Vec::with_capacity(draft.leaves.len()), Vec::new(), Vec::new());
        let mut pass = LeafPass { database, trail: self, first, leaves, nodes, map: None, fetched, seals };
        for leaf in draft.leaves {
            match leaf {
                PendingLeaf::Record(record, pinned_realm, previous) => {
                    pass.record(&record, pinned_realm, previous)?;
                }
                PendingLeaf::Seal(record, seal) => pass.seal(record, seal)?,
            }
        }
        pass.put(write)
    }
}

impl LeafPass<'_> {
    fn position(&self) -> u64 {
        self.first + self.leaves.len() as u64
    }

    fn record(
        &mut self,
        record: &Record,
        pinned_realm: Option<Realm>,
        previous: Previous,
    ) -> Result<(), ReadError> {
        let stream = stream_id(&record.stream);
        let previous = match previous {
            Previous::None => Hash::ZERO,
            Previous::At(position) => self.leaf_at(position)?,
            Previous::Stored => self.last_of(record, stream)?,
        };
        let hash = self.trail.hasher.hash(record, stream, LeafContext { previous, pinned_realm });
        let head = Head { seq: record.seq, index: self.position(), leaf: hash };
        self.trail.unsealed.insert(stream, head);
        self.trail.streams += u64::from(record.seq == 1);
        self.take_in(LeafRow { hash, pinned_realm });
        Ok(())
    }

    fn seal(&mut self, mut record: Record, seal: Seal) -> Result<(), WriteError> {
        let unsealed = self.trail.unsealed.drain();
        let mut changed: Vec<Entry> =
            unsealed.map(|(stream, head)| Entry { stream, commitment: head.commitment() }).collect();
        changed.sort_unstable();
        let mut map = match self.map.take() {
            Some(map) => map,
            None => Changes::new(self.database, &mut self.trail.top)?,
        };
        let map_root = map.put(&mut self.trail.top, &changed)?;
        self.map = Some(map);
        let seal = Seal { map_root, streams: self.trail.streams, ..seal };
        record.content = Content::Seal(seal);
        let line = SealLeaf::of(&record, &seal).write()?;
        self.seals.push(record);
        self.take_in(LeafRow { hash: leaf_hash(&line), pinned_realm: None });
        Ok(())
    }

    fn take_in(&mut self, leaf: LeafRow) {
        let nodes = &mut self.nodes;
        tree::grow(&mut self.trail.frontier, leaf.hash, |node, hash| nodes.push((node, hash)));
        self.trail.recent.push(leaf.hash);
        self.leaves.push(leaf);
    }

    fn leaf_at(&self, position: u64) -> Result<Hash, ReadError> {
        let here = position
            .checked_sub(self.first)
            .and_then(|at| self.leaves.get(usize::try_from(at).ok()?))
            .map(|leaf| leaf.hash);
        here.or_else(|| self.trail.recent.get(position))
            .or_else(|| self.fetched.get(&position).copied())
            .ok_or_else(|| damaged(Family::Leaves, &key::position(position), Damage::Missing).into())
    }

    /// The leaf before, in a stream of which no row tells where it is.
    fn last_of(&self, record: &Record, stream: Hash) -> Result<Hash, ReadError> {
        if let Some(head) = self.trail.unsealed.get(&stream) {
            return Ok(head.leaf);
        }
        let at = key::log::log(&record.stream, record.seq.saturating_sub(1));
        let value = self
            .database
            .get(Family::Log, &at, &ReadOptions::default())?
            .ok_or_else(|| damaged(Family::Log, &at, Damage::Missing))?;
        let position = decode::record(&at, &value)?.position;
        Ok(proofs::leaf(self.database, position, &ReadOptions::default())?
            .ok_or_else(|| damaged(Family::Leaves, &key::position(position), Damage::Missing))?
            .hash)
    }

    fn put(&mut self, write: &mut WriteBatch) -> Result<(), WriteError> {
        // Seals are the last streams of the log, and follow each other: so everything is put in order.
        let family = self.database.family(Family::Log)?;
        for seal in &self.seals {
            write.put_cf(family, key::log::log(&seal.stream, seal.seq), seal.encode());
        }
        let family = self.database.family(Family::Leaves)?;
        for (position, leaf) in (self.first..).zip(&self.leaves) {
            write.put_cf(family, key::position(position), leaf.encode());
        }
        self.nodes.sort_unstable();
        let family = self.database.family(Family::Tree)?;
        for (node, hash) in &self.nodes {
            write.put_cf(family, evidence::tree_node(*node), hash.0);
        }
        if let Some(map) = &mut self.map {
            map.write(&self.trail.top, self.database, write)?;
        }
        Ok(())
    }
}

/// The leaf hashes that records name and that nothing in memory has, in one read.
fn fetch(
    database: &Database,
    recent: &Recent,
    noted: &[PendingLeaf],
    first: u64,
) -> Result<HashMap<u64, Hash>, ReadError> {
    let previous = noted.iter().filter_map(|noted| match noted {
        PendingLeaf::Record(_, _, Previous::At(position)) => Some(*position),
        PendingLeaf::Record(_, _, Previous::None | Previous::Stored) | PendingLeaf::Seal(..) => None,
    });
    let is_stored = |position: &u64| *position < first && !recent.keeps(*position, noted.len());
    let mut positions: Vec<u64> = previous.filter(is_stored).collect();
    positions.sort_unstable();
    positions.dedup();
    let keys: Vec<Vec<u8>> = positions.iter().map(|position| key::position(*position).to_vec()).collect();
    let values = database.get_many(Family::Leaves, &keys, &ReadOptions::default())?;
    let mut fetched = HashMap::with_capacity(positions.len());
    for (position, value) in positions.into_iter().zip(values) {
        let Some(value) = value else { continue };
        let bad = |error| damaged(Family::Leaves, &key::position(position), error);
        fetched.insert(position, LeafRow::decode(&value).map_err(bad)?.hash);
    }
    Ok(fetched)
}
