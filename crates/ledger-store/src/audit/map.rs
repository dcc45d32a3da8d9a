//! The map as rows: changed by the writer with its upper levels in memory, read for proofs, and checked as a whole.

use ledger_record::key::Family;
use ledger_record::key::evidence::{self, MapKey};
use ledger_record::proof::Hash;
use ledger_record::proof::line::stream_id;
use ledger_record::proof::map::{MapEntry, MapNode, Proof, prove};
use ledger_record::record::Stream;
use rocksdb::{ReadOptions, WriteBatch};

use crate::db::database::{Database, damaged};
use crate::db::scan::{Scan, prefixed};
use crate::error::{Damage, ReadError, StorageError};
use crate::read::snapshot::Snapshot;

/// Depth of the lowest nodes that are stored: below it the map is computed from its streams.
const DEPTH: u16 = 16;

/// How many nodes that depth has.
const WIDTH: usize = 1 << DEPTH;

/// The writer keeps the map in memory down to a depth from here to [`DEPTH`].
const DEPTH_LEAST: u16 = 8;

/// What a node at that depth takes, with those above it and the list of streams below it.
const NODE_BYTES: usize = 2 * size_of::<Option<MapNode>>() + size_of::<Vec<MapEntry>>();

/// The depth to which a map of so many streams is kept by a shard that has so many bytes for evidence: one or two
/// nodes for each stream.
pub(super) fn depth_for(streams: u64, bytes: usize) -> u16 {
    let fits = |depth: &u16| NODE_BYTES << depth <= bytes / 2;
    let wanted = u16::try_from(streams.max(1).ilog2() + 1).unwrap_or(DEPTH).clamp(DEPTH_LEAST, DEPTH);
    (DEPTH_LEAST..=wanted).rev().find(fits).unwrap_or(DEPTH_LEAST)
}

/// The nodes of a map, or below one node of it, down to a depth: the first at 1, the children of `i` at `2i` and
/// `2i + 1`.
#[derive(PartialEq, Eq)]
struct Levels(Vec<Option<MapNode>>);

impl Levels {
    fn new(depth: u16) -> Self {
        Self(vec![None; 2 << depth])
    }

    /// The stored nodes whose keys are this prefix and so many bits, and those above them.
    fn read(
        database: &Database,
        prefix: Vec<u8>,
        depth: u16,
        options: ReadOptions,
    ) -> Result<Self, ReadError> {
        let mut levels = Self::new(depth);
        let mut rows = database.scan(Family::Map, prefixed(prefix), options)?;
        while let Some((key, value)) = rows.step()? {
            let bad = |error| damaged(Family::Map, key, error);
            let at = match MapKey::decode(key).map_err(bad)? {
                MapKey::Eighth(byte) => usize::from(byte),
                MapKey::Sixteenth(path) => sixteenth(path),
                MapKey::Stream(_) => return Err(damaged(Family::Map, key, Damage::Misplaced).into()),
            };
            let first = 1 << depth;
            levels.set(first + at % first, Some(MapNode::decode(value).map_err(bad)?));
        }
        levels.join_all();
        Ok(levels)
    }

    fn node(&self, at: usize) -> Option<MapNode> {
        self.0.get(at).copied().flatten()
    }

    fn set(&mut self, at: usize, node: Option<MapNode>) {
        if let Some(slot) = self.0.get_mut(at) {
            *slot = node;
        }
    }

    fn join(&mut self, at: usize) {
        self.set(at, MapNode::over(self.node(2 * at), self.node(2 * at + 1)));
    }

    fn join_all(&mut self) {
        for at in (1..self.0.len() / 2).rev() {
            self.join(at);
        }
    }

    fn root(&self) -> Hash {
        MapNode::hash_of(self.node(1))
    }
}

/// What the writer keeps of the map between two batches.
pub(super) struct UpperLevels {
    depth: u16,
    levels: Levels,
    /// All streams below each of the lowest nodes, sorted by id; none: nothing is there, or it is not known.
    below: Vec<Vec<MapEntry>>,
    /// How many streams `below` holds.
    kept: usize,
    /// What is below this node is forgotten next.
    oldest: usize,
}

impl std::fmt::Debug for UpperLevels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpperLevels").field("root", &self.root()).finish_non_exhaustive()
    }
}

impl UpperLevels {
    /// The upper levels of a stored map, to a depth.
    pub(super) fn restore(database: &Database, depth: u16) -> Result<Self, ReadError> {
        let mut all = Levels::read(database, MapKey::SIXTEENTHS.to_vec(), DEPTH, ReadOptions::default())?;
        all.0.truncate(2 << depth);
        all.0.shrink_to_fit();
        Ok(Self { depth, levels: all, below: vec![Vec::new(); 1 << depth], kept: 0, oldest: 0 })
    }

    /// Keeps the stored map to another depth; a small difference is none.
    pub(super) fn deepen(&mut self, database: &Database, depth: u16) -> Result<(), ReadError> {
        if depth > self.depth || depth + 1 < self.depth {
            *self = Self::restore(database, depth)?;
        }
        Ok(())
    }

    /// A node that is stored, of a stream that changed.
    fn node_at_depth(&self, path: [u8; 2]) -> Option<MapNode> {
        if self.depth == DEPTH {
            return self.levels.node(WIDTH + sixteenth(path));
        }
        let below = self.below.get(sixteenth(path) >> (DEPTH - self.depth))?;
        let start = below.partition_point(|entry| path_of(entry.stream) < path);
        let end = below.partition_point(|entry| path_of(entry.stream) <= path);
        MapNode::over_streams(DEPTH, below.get(start..end)?)
    }

    /// About what it takes.
    pub(super) fn bytes(&self) -> usize {
        (NODE_BYTES << self.depth) + self.kept * size_of::<MapEntry>()
    }

    pub(super) fn root(&self) -> Hash {
        self.levels.root()
    }

    /// Forgets streams, those first that were not looked at for a round, until it takes so many bytes.
    pub(super) fn forget_streams(&mut self, most_bytes: usize) {
        let most = most_bytes.saturating_sub(NODE_BYTES << self.depth) / size_of::<MapEntry>();
        let most = if cfg!(test) { most.min(64) } else { most };
        while self.kept > most {
            let forgotten = std::mem::take(&mut self.below[self.oldest]);
            self.kept -= forgotten.len();
            self.oldest = (self.oldest + 1) % self.below.len();
        }
    }

    /// Puts streams below one node, with what is stored there unless it is known; sorted by id, each once.
    fn put_below(&mut self, lowest: usize, stored: Vec<MapEntry>, changed: &[MapEntry]) {
        let Some(below) = self.below.get_mut(lowest) else { return };
        self.kept -= below.len();
        if below.is_empty() {
            *below = stored;
        }
        for entry in changed {
            match below.binary_search_by_key(&entry.stream, |known| known.stream) {
                Ok(at) => below[at] = *entry,
                Err(at) => {
                    // Mostly it stays at the one or two there are.
                    below.reserve_exact(1);
                    below.insert(at, *entry);
                }
            }
        }
        self.kept += below.len();
        self.levels.set((1 << self.depth) + lowest, MapNode::over_streams(self.depth, below));
    }

    fn knows_below(&self, lowest: usize) -> bool {
        // Where nothing was, nothing is stored either.
        self.levels.node((1 << self.depth) + lowest).is_none()
            || self.below.get(lowest).is_some_and(|known| !known.is_empty())
    }
}

fn sixteenth(path: [u8; 2]) -> usize {
    usize::from(u16::from_be_bytes(path))
}

/// Which of the nodes at a depth, at most [`DEPTH`], a stream is below.
fn node_at(depth: u16, stream: Hash) -> usize {
    sixteenth(path_of(stream)) >> (DEPTH - depth)
}

fn path_of(stream: Hash) -> [u8; 2] {
    [stream.0[0], stream.0[1]]
}

/// What the seals of a batch change in the map.
pub(super) struct Changes<'a> {
    /// The streams as they are stored.
    stored: Scan<'a>,
    /// The streams that changed, in order of the seals.
    changed: Vec<MapEntry>,
}

impl<'a> Changes<'a> {
    pub(super) fn new(database: &'a Database) -> Result<Self, StorageError> {
        let range = prefixed(MapKey::streams(&[]));
        let stored = database.scan(Family::Map, range, ReadOptions::default())?;
        Ok(Self { stored, changed: Vec::new() })
    }

    /// Puts streams into the map, sorted by id, each once. Returns its root.
    pub(super) fn put(&mut self, top: &mut UpperLevels, changed: &[MapEntry]) -> Result<Hash, ReadError> {
        let mut parents = Vec::new();
        let depth = top.depth;
        for group in changed.chunk_by(|a, b| node_at(depth, a.stream) == node_at(depth, b.stream)) {
            let Some(lowest) = group.first().map(|entry| node_at(depth, entry.stream)) else { continue };
            let stored = if top.knows_below(lowest) { Vec::new() } else { self.stored_below(depth, lowest)? };
            top.put_below(lowest, stored, group);
            let node = (1 << depth) + lowest;
            parents.push(node / 2);
        }
        // A level at a time: its nodes depend on none of each other, so that a processor need not wait for one to hash
        // the next. Down each path and up again took a tenth more.
        while let Some(true) = parents.first().map(|at| *at > 0) {
            parents.dedup();
            for at in &mut parents {
                top.levels.join(*at);
                *at /= 2;
            }
        }
        self.changed.extend_from_slice(changed);
        Ok(top.root())
    }

    fn stored_below(&mut self, depth: u16, lowest: usize) -> Result<Vec<MapEntry>, ReadError> {
        let first = u16::try_from(lowest << (DEPTH - depth)).unwrap_or(u16::MAX);
        let mut below = Vec::new();
        let mut row = self.stored.skip_to(&MapKey::streams(&first.to_be_bytes()))?;
        while let Some((key, value)) = row {
            let entry = entry(key, value)?;
            if node_at(depth, entry.stream) != lowest {
                break;
            }
            below.push(entry);
            row = self.stored.step()?;
        }
        Ok(below)
    }

    /// Adds the rows that changed, in the order of their keys.
    pub(super) fn write(
        &mut self,
        top: &UpperLevels,
        database: &Database,
        write: &mut WriteBatch,
    ) -> Result<(), StorageError> {
        let family = database.family(Family::Map)?;
        // Stable: of a stream that several seals have, the last one counts.
        self.changed.sort_by_key(|entry| entry.stream);
        let mut paths: Vec<[u8; 2]> = self.changed.iter().map(|entry| path_of(entry.stream)).collect();
        paths.dedup();
        for paths in paths.chunk_by(|a, b| a[0] == b[0]) {
            let Some([byte, _]) = paths.first().copied() else { continue };
            if let Some(node) = top.levels.node((1 << 8) + usize::from(byte)) {
                write.put_cf(family, MapKey::Eighth(byte).encode(), node.encode());
            }
        }
        for path in paths {
            if let Some(node) = top.node_at_depth(path) {
                write.put_cf(family, MapKey::Sixteenth(path).encode(), node.encode());
            }
        }
        for states in self.changed.chunk_by(|a, b| a.stream == b.stream) {
            if let Some(MapEntry { stream, commitment }) = states.last() {
                write.put_cf(family, MapKey::Stream(*stream).encode(), commitment.0);
            }
        }
        Ok(())
    }
}

/// A stored stream.
fn entry(key: &[u8], value: &[u8]) -> Result<MapEntry, ReadError> {
    let bad = |error| damaged(Family::Map, key, error);
    let MapKey::Stream(stream) = MapKey::decode(key).map_err(bad)? else {
        return Err(damaged(Family::Map, key, Damage::Misplaced).into());
    };
    Ok(MapEntry { stream, commitment: evidence::hash(value).map_err(bad)? })
}

impl Snapshot<'_> {
    /// The way of a stream through the map of the last seal.
    pub fn prove_stream(&self, stream: &Stream) -> Result<Proof, ReadError> {
        let id = stream_id(stream);
        let [first, second, ..] = id.0;
        let below_first = [&MapKey::SIXTEENTHS[..], &[first]].concat();
        let upper = Levels::read(self.database(), MapKey::EIGHTHS.to_vec(), 8, self.options())?;
        let lower = Levels::read(self.database(), below_first, 8, self.options())?;
        let node = |depth: u16, is_beside: bool| -> Result<Option<MapNode>, ReadError> {
            let (levels, byte, depth) =
                if depth <= 8 { (&upper, first, depth) } else { (&lower, second, depth - 8) };
            let own = (1 << depth) + (usize::from(byte) >> (8 - depth));
            Ok(levels.node(own ^ usize::from(is_beside)))
        };
        prove(id, DEPTH, node, |depth| {
            let below = self.streams_beside(id, depth)?;
            // A stream that was lost would else be proven not to be there.
            if MapNode::over_streams(depth, &below) != node(depth, false)? {
                return Err(damaged(Family::Map, &MapKey::Stream(id).encode(), Damage::Missing).into());
            }
            Ok(below)
        })
    }

    /// The stored streams that share so many first bits with one, sorted by id.
    fn streams_beside(&self, stream: Hash, depth: u16) -> Result<Vec<MapEntry>, ReadError> {
        let whole_bytes = usize::from(depth / 8);
        let range = prefixed(MapKey::streams(stream.0.get(..whole_bytes).unwrap_or_default()));
        let mut rows = self.database().scan(Family::Map, range, self.options())?;
        let mut entries = Vec::new();
        while let Some((key, value)) = rows.step()? {
            entries.push(entry(key, value)?);
        }
        entries.retain(|entry| shared_bits(entry.stream, stream) >= usize::from(depth));
        Ok(entries)
    }

    /// Whether the stored map has this root and so many streams, and each stored node is the one over its streams.
    pub(crate) fn map_is(&self, root: Hash, streams: u64) -> Result<bool, ReadError> {
        let read =
            |prefix: [u8; 1], depth| Levels::read(self.database(), prefix.to_vec(), depth, self.sweeping());
        let (eighths, sixteenths) = (read(MapKey::EIGHTHS, 8)?, read(MapKey::SIXTEENTHS, DEPTH)?);
        let (mut made, mut found, mut group) = (Levels::new(DEPTH), 0, Vec::<MapEntry>::new());
        let mut close = |group: &mut Vec<MapEntry>| {
            if let Some(first) = group.first() {
                made.set(WIDTH + sixteenth(path_of(first.stream)), MapNode::over_streams(DEPTH, group));
            }
            group.clear();
        };
        let range = prefixed(MapKey::streams(&[]));
        let mut rows = self.database().scan(Family::Map, range, self.sweeping())?;
        while let Some((key, value)) = rows.step()? {
            let entry = entry(key, value)?;
            if group.last().is_some_and(|last| path_of(last.stream) != path_of(entry.stream)) {
                close(&mut group);
            }
            group.push(entry);
            found += 1;
        }
        close(&mut group);
        made.join_all();
        let is_stored = sixteenths == made && made.0.starts_with(&eighths.0);
        Ok(is_stored && made.root() == root && found == streams)
    }
}

/// How many first bits two ids have in common.
fn shared_bits(one: Hash, other: Hash) -> usize {
    let mut bytes = one.0.iter().zip(other.0).enumerate();
    let differing = bytes.find(|(_, (one, other))| *one != other);
    differing.map_or(256, |(at, (one, other))| 8 * at + (one ^ other).leading_zeros() as usize)
}
