//! The pass over a batch's leaves when it is written.

use std::collections::{BTreeMap, HashMap};

use ledger_core::realm::Realm;
use ledger_core::state::Rule;
use ledger_core::tenant::Outcome;
use ledger_core::time::Timestamp;
use ledger_record::key::evidence::LeafRow;
use ledger_record::key::{self, Family, evidence};
use ledger_record::proof::Hash;
use ledger_record::proof::line::{self, LeafContext, SealLeaf, TooLarge, leaf_hash, stream_id};
use ledger_record::proof::map::{MapEntry, StreamHead};
use ledger_record::proof::tree::Node;
use ledger_record::record::{Content, Coordinates, RULES, Record, Seal, Stream};
use rocksdb::{ReadOptions, WriteBatch};

use crate::audit::map::Changes;
use crate::audit::previous_leaves::leaves;
use crate::audit::{AuditWriter, Begin, Recent, proofs};
use crate::db::database::{Database, damaged};
use crate::db::decode;
use crate::db::placed::missing;
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
    /// Hashes the leaves of a batch that begins at `first`, and adds their rows and the seals to its write. Returns the
    /// records, seals included.
    pub(crate) fn append(
        &mut self,
        mut pending: PendingLeaves,
        first: u64,
        database: &Database,
        write: &mut WriteBatch,
    ) -> Result<impl ExactSizeIterator<Item = Record> + use<>, WriteError> {
        if !pending.leaves.is_empty() {
            self.fit(database)?;
        }
        let fetched = fetch(database, &self.recent, &pending.leaves, first)?;
        let (leaves, nodes, seals) = (Vec::with_capacity(pending.leaves.len()), Vec::new(), Vec::new());
        let mut pass = LeafPass { database, trail: self, first, leaves, nodes, map: None, fetched, seals };
        for leaf in &mut pending.leaves {
            match leaf {
                PendingLeaf::Record(pending) => pass.record(pending)?,
                PendingLeaf::Seal(record, seal) => pass.seal(record, *seal)?,
            }
        }
        pass.put(write)?;
        Ok(pending.leaves.into_iter().map(|leaf| match leaf {
            PendingLeaf::Record(PendingRecord { record, .. }) | PendingLeaf::Seal(record, _) => record,
        }))
    }
}

impl LeafPass<'_> {
    fn position(&self) -> u64 {
        self.first + self.leaves.len() as u64
    }

    fn record(&mut self, pending: &PendingRecord) -> Result<(), ReadError> {
        let &PendingRecord { ref record, stream, rule, pinned_realm, previous } = pending;
        let previous = match previous {
            Previous::None => Hash::ZERO,
            Previous::At(position) => self.leaf_at(position)?,
            Previous::Stored => self.last_of(record, stream)?,
        };
        let hash = self.trail.hasher.hash(rule, record, stream, LeafContext { previous, pinned_realm });
        let head = StreamHead { seq: record.seq, index: self.position(), leaf: hash };
        self.trail.unsealed.insert(stream, head);
        self.trail.streams += u64::from(record.seq == 1);
        self.push(LeafRow { hash, pinned_realm });
        Ok(())
    }

    fn seal(&mut self, record: &mut Record, seal: Seal) -> Result<(), WriteError> {
        let unsealed = self.trail.unsealed.drain();
        let mut changed: Vec<MapEntry> =
            unsealed.map(|(stream, head)| MapEntry { stream, commitment: head.commitment() }).collect();
        changed.sort_unstable();
        let mut map = match self.map.take() {
            Some(map) => map,
            None => Changes::new(self.database)?,
        };
        let map_root = map.put(&mut self.trail.top, &changed)?;
        self.map = Some(map);
        let seal = Seal { map_root, streams: self.trail.streams, ..seal };
        record.content = Content::Seal(seal);
        let line = SealLeaf::from_record(record, &seal).write()?;
        self.seals.push(record.clone());
        self.push(LeafRow { hash: leaf_hash(&line), pinned_realm: None });
        Ok(())
    }

    fn push(&mut self, leaf: LeafRow) {
        let nodes = &mut self.nodes;
        proofs::grow(&mut self.trail.frontier, leaf.hash, |node, hash| nodes.push((node, hash)));
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
            .ok_or_else(|| missing(Family::Leaves, position))
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
            .ok_or_else(|| missing(Family::Leaves, position))?
            .hash)
    }

    fn put(&mut self, write: &mut WriteBatch) -> Result<(), WriteError> {
        // Seals are the last streams of the log, and follow each other: so everything is put in order.
        let family = self.database.family(Family::Log)?;
        for seal in &self.seals {
            write.put_cf(family, key::log::log(&seal.stream, seal.seq), seal.encode());
        }
        let family = self.database.family(Family::Leaves)?;
        let (rows, mut entry) = (&mut self.trail.last_row, Vec::new());
        for leaf in &self.leaves {
            entry.clear();
            leaf.encode_into(&mut entry);
            rows.push(&entry, |key, row| write.put_cf(family, key, row));
        }
        rows.put_rest(|key, row| write.put_cf(family, key, row));
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
        PendingLeaf::Record(PendingRecord { previous: Previous::At(position), .. }) => Some(*position),
        PendingLeaf::Record(_) | PendingLeaf::Seal(..) => None,
    });
    let is_stored = |position: &u64| *position < first && !recent.keeps(*position, noted.len());
    let mut positions: Vec<u64> = previous.filter(is_stored).collect();
    positions.sort_unstable();
    positions.dedup();
    let rows = leaves(database, &positions, &ReadOptions::default())?;
    Ok(positions.into_iter().zip(rows).map(|(position, row)| (position, row.hash)).collect())
}

/// The leaves of a batch, by position.
#[derive(Debug)]
pub(crate) struct PendingLeaves {
    end: Begin,
    /// Somebody follows the writer and takes whole records; else they go without their outcomes from here on, which are
    /// most of what they take in memory.
    whole: bool,
    pub(super) leaves: Vec<PendingLeaf>,
    /// Position of the last record of the streams that have no row to tell it.
    last: BTreeMap<Stream, u64>,
}

#[derive(Debug)]
pub(super) enum PendingLeaf {
    /// A record.
    Record(PendingRecord),
    /// A seal as it will be, but for what it says of the map.
    Seal(Record, Seal),
}

/// A record, and what its line shows that it does not say by itself.
#[derive(Debug)]
pub(super) struct PendingRecord {
    record: Record,
    /// The id of its stream.
    stream: Hash,
    rule: Option<Rule>,
    pinned_realm: Option<Realm>,
    previous: Previous,
}

/// What is known of the leaf of a tenant's record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TenantLeaf {
    /// The id of the tenant's stream.
    pub(crate) stream: Hash,
    pub(crate) pinned_realm: Option<Realm>,
    /// Position of its record before.
    pub(crate) previous: Option<u64>,
}

/// The record before, in the same stream.
#[derive(Debug, Clone, Copy)]
pub(super) enum Previous {
    /// There is none.
    None,
    /// It has this position.
    At(u64),
    /// It is in the store.
    Stored,
}

impl PendingLeaves {
    pub(super) fn new(begin: Begin, leaves: usize, whole: bool) -> Self {
        Self { end: begin, whole, leaves: Vec::with_capacity(leaves), last: BTreeMap::new() }
    }

    /// Whether its records have their outcomes.
    pub(crate) const fn is_whole(&self) -> bool {
        self.whole
    }

    /// What the next batch begins with.
    pub(crate) const fn end(&self) -> Begin {
        self.end
    }

    /// Whether a seal goes in before a record of that recorded time.
    pub(crate) fn is_due_before(&self, recorded: Timestamp) -> bool {
        self.end.placement.is_due_before(recorded)
    }

    /// Whether anything is unsealed.
    pub(crate) fn is_due(&self) -> bool {
        self.end.placement.is_due_at_tick()
    }

    /// Notes a record, with what is known of its leaf if it is a tenant's. Answers whether a seal goes in after it.
    pub(crate) fn record(&mut self, mut record: Record, leaf: Option<TenantLeaf>) -> Result<bool, TooLarge> {
        line::check(&record)?;
        let leaf = leaf.unwrap_or_else(|| TenantLeaf {
            stream: stream_id(&record.stream),
            pinned_realm: None,
            previous: self.last.insert(record.stream.clone(), record.position),
        });
        let TenantLeaf { stream, pinned_realm, previous } = leaf;
        let previous = match (record.seq, previous) {
            (1, _) => Previous::None,
            (_, Some(position)) => Previous::At(position),
            (_, None) => Previous::Stored,
        };
        let is_full = self.end.placement.record(record.recorded);
        let rule = line::rule(&record);
        if !self.whole
            && let Content::Event { outcome, .. } = &mut record.content
        {
            *outcome = Outcome::default();
        }
        let pending = PendingRecord { record, stream, rule, pinned_realm, previous };
        self.leaves.push(PendingLeaf::Record(pending));
        Ok(is_full)
    }

    /// Notes a seal; answers its seq.
    pub(crate) fn seal(&mut self, position: u64, next: Coordinates, duplicates: u64, refused: u64) -> u64 {
        self.end.seals += 1;
        let seal = Seal { map_root: Hash::ZERO, streams: 0, duplicates, refused };
        let record = Record {
            position,
            stream: Stream::Seals,
            seq: self.end.seals,
            source: next,
            recorded: self.end.placement.last().unwrap_or(Timestamp::from_millis(0)),
            rules: RULES,
            content: Content::Seal(seal),
        };
        self.leaves.push(PendingLeaf::Seal(record, seal));
        self.end.placement.sealed();
        self.end.seals
    }
}
