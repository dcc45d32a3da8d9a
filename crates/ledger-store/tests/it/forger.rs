//! An attacker with the disk, the ledger secret and the signing key, who makes every hash match again.

use std::collections::BTreeMap;
use std::path::Path;

use ledger_record::key::evidence::{LeafRow, MapKey};
use ledger_record::key::placed::{self, row_of};
use ledger_record::key::{self, Family, LogKey};
use ledger_record::proof::Hash;
use ledger_record::proof::frontier::Frontier;
use ledger_record::proof::line::{Leaf, LeafContext, LedgerSecret, leaf_hash, stream_id};
use ledger_record::proof::map::{self, MapEntry, MapNode, StreamHead};
use ledger_record::proof::note::Checkpoint;
use ledger_record::record::{Content, Record, Stream};
use rocksdb::{DB, IteratorMode, Options};

/// From this number of leaves on, inner nodes of the tree are stored; the forger does not change them.
const NODES_STORED_AT: u64 = 256;

/// The last records of all streams, by stream.
pub(crate) type Heads = BTreeMap<Hash, StreamHead>;

/// A shard, opened without the program.
pub(crate) struct Forger {
    db: DB,
    secret: LedgerSecret,
    origin: String,
}

impl Forger {
    pub(crate) fn open(shard: &Path, origin: &str, secret: LedgerSecret) -> Self {
        let options = Options::default();
        let families = DB::list_cf(&options, shard).unwrap();
        let db = DB::open_cf(&options, shard, families).unwrap();
        Self { db, secret, origin: origin.to_owned() }
    }

    pub(crate) fn get(&self, family: Family, key: &[u8]) -> Vec<u8> {
        self.db.get_cf(self.db.cf_handle(family.as_str()).unwrap(), key).unwrap().unwrap()
    }

    pub(crate) fn put(&self, family: Family, key: &[u8], value: &[u8]) {
        self.db.put_cf(self.db.cf_handle(family.as_str()).unwrap(), key, value).unwrap();
    }

    pub(crate) fn delete(&self, family: Family, key: &[u8]) {
        self.db.delete_cf(self.db.cf_handle(family.as_str()).unwrap(), key).unwrap();
    }

    fn keys(&self, family: Family) -> Vec<Box<[u8]>> {
        let family = self.db.cf_handle(family.as_str()).unwrap();
        self.db.iterator_cf(family, IteratorMode::Start).map(|row| row.unwrap().0).collect()
    }

    /// The entries in the row of a position.
    fn entries(&self, family: Family, position: u64) -> Vec<Vec<u8>> {
        let row = self.get(family, &key::position(row_of(position)));
        placed::entries(&row).map(|entry| entry.unwrap().to_vec()).collect()
    }

    fn placed(&self, family: Family, position: u64) -> Vec<u8> {
        self.entries(family, position).swap_remove(index(position))
    }

    fn put_leaf(&self, position: u64, leaf: LeafRow) {
        let mut entries = self.entries(Family::Leaves, position);
        entries[index(position)] = leaf.encode();
        let mut row = Vec::new();
        for entry in entries {
            placed::push(&mut row, &entry);
        }
        self.put(Family::Leaves, &key::position(row_of(position)), &row);
    }

    /// How many leaves the log has.
    pub(crate) fn size(&self) -> u64 {
        let last = self.keys(Family::Positions).pop().unwrap();
        let entries = self.entries(Family::Positions, key::parse_u64(&last).unwrap());
        key::parse_u64(&last).unwrap() + entries.len() as u64
    }

    pub(crate) fn record(&self, position: u64) -> Record {
        let at = self.placed(Family::Positions, position);
        let LogKey { stream, seq } = LogKey::decode(&at).unwrap();
        Record::decode(stream, seq, &self.get(Family::Log, &at)).unwrap()
    }

    /// Replaces the record.
    pub(crate) fn rewrite(&self, position: u64, change: impl FnOnce(&mut Record)) {
        let mut record = self.record(position);
        change(&mut record);
        self.put(Family::Log, &key::log::log(&record.stream, record.seq), &record.encode());
    }

    /// The head of a stream at this number of records.
    pub(crate) fn head(&self, stream: &Stream, seq: u64) -> StreamHead {
        let record = Record::decode(stream.clone(), seq, &self.get(Family::Log, &key::log::log(stream, seq)));
        let index = record.unwrap().position;
        StreamHead { seq, index, leaf: self.leaf(index).hash }
    }

    fn leaf(&self, position: u64) -> LeafRow {
        LeafRow::decode(&self.placed(Family::Leaves, position)).unwrap()
    }

    /// Rewrites leaves, chains, seals and the map from the records, as an honest ledger would, except that the last
    /// seal has the heads that `told` leaves.
    pub(crate) fn rehash(&self, told: impl FnOnce(&mut Heads)) -> Checkpoint {
        let size = self.size();
        assert!(size < NODES_STORED_AT, "{size} leaves");
        let (mut heads, mut frontier) = (Heads::new(), Frontier::default());
        for position in 0..size - 1 {
            frontier.push(self.leaf_anew(position, &mut heads));
        }
        told(&mut heads);
        let streams: Vec<MapEntry> = entries(&heads);
        frontier.push(self.leaf_anew(size - 1, &mut heads));
        assert!(matches!(self.record(size - 1).content, Content::Seal(_)), "the last leaf is a seal");
        self.write_map(&streams);
        Checkpoint { origin: self.origin.clone(), size, root: frontier.root() }
    }

    /// Writes the leaf and returns its hash; moves `heads` past it.
    fn leaf_anew(&self, position: u64, heads: &mut Heads) -> Hash {
        self.rewrite(position, |record| {
            if let Content::Seal(seal) = &mut record.content {
                let entries = entries(heads);
                (seal.map_root, seal.streams) = (map::root(&entries), entries.len() as u64);
            }
        });
        let (record, before) = (self.record(position), self.leaf(position));
        let stream = stream_id(&record.stream);
        let previous = heads.get(&stream).map_or(Hash::ZERO, |head| head.leaf);
        let beside = LeafContext { previous, pinned_realm: before.pinned_realm };
        let leaf = leaf_hash(&Leaf::from_record(&record, beside, &self.secret).unwrap().write().unwrap());
        self.put_leaf(position, LeafRow { hash: leaf, ..before });
        if record.stream != Stream::Seals {
            heads.insert(stream, StreamHead { seq: record.seq, index: position, leaf });
        }
        leaf
    }

    fn write_map(&self, streams: &[MapEntry]) {
        for key in self.keys(Family::Map) {
            self.delete(Family::Map, &key);
        }
        for entry in streams {
            self.put(Family::Map, &MapKey::Stream(entry.stream).encode(), &entry.commitment.0);
            let [first, second, ..] = entry.stream.0;
            let cell = |depth: u16, key: MapKey| {
                let prefix = &entry.stream.0[..usize::from(depth / 8)];
                let below: Vec<MapEntry> =
                    streams.iter().filter(|other| other.stream.0.starts_with(prefix)).copied().collect();
                let node = MapNode::over_streams(depth, &below).unwrap();
                self.put(Family::Map, &key.encode(), &node.encode());
            };
            cell(8, MapKey::Eighth(first));
            cell(16, MapKey::Sixteenth([first, second]));
        }
    }
}

fn entries(heads: &Heads) -> Vec<MapEntry> {
    heads.iter().map(|(stream, head)| MapEntry { stream: *stream, commitment: head.commitment() }).collect()
}

/// The place of a position in its row.
fn index(position: u64) -> usize {
    usize::try_from(position - row_of(position)).unwrap()
}
