//! The map while it changes: its upper half in memory, its streams in the store, and those read last in memory.

use ledger_record::key::Family;
use ledger_record::key::evidence::{self, MapCell, MapKey};
use ledger_record::proof::Hash;
use ledger_record::proof::map::{self, Entry, Node};
use rocksdb::{ReadOptions, WriteBatch};

use crate::db::database::{Database, damaged};
use crate::db::scan::{Scan, prefixed};
use crate::error::{Damage, ReadError, StorageError};

/// Depth to which the map is kept in memory, and below which it is computed from its streams.
const DEPTH: u16 = 16;

/// How many nodes that depth has.
const WIDTH: usize = 1 << DEPTH;

/// Above so many, what was read of the streams is forgotten between two batches: 8 MiB.
const STREAMS_KEPT: usize = if cfg!(test) { 64 } else { 131_072 };

/// The nodes down to depth 16: the root at 1, the children of `i` at `2i` and `2i + 1`.
pub(super) struct UpperLevels {
    /// Zero: nothing.
    hashes: Vec<[u8; 32]>,
    lone: Vec<bool>,
    /// All streams below each node at depth 16, sorted by id; none: nothing is there, or it is not known.
    below: Vec<Vec<Entry>>,
    /// How many streams `below` holds.
    kept: usize,
}

impl std::fmt::Debug for UpperLevels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Top").field("root", &self.root()).finish_non_exhaustive()
    }
}

impl Default for UpperLevels {
    fn default() -> Self {
        Self {
            hashes: vec![[0; 32]; 2 * WIDTH],
            lone: vec![false; 2 * WIDTH],
            below: vec![Vec::new(); WIDTH],
            kept: 0,
        }
    }
}

impl UpperLevels {
    pub(super) fn root(&self) -> Hash {
        self.hash(1)
    }

    fn hash(&self, at: usize) -> Hash {
        self.hashes.get(at).copied().map_or(Hash::ZERO, Hash)
    }

    fn cell(&self, at: usize) -> Option<MapCell> {
        let hash = self.hash(at);
        (hash != Hash::ZERO).then(|| MapCell { is_lone: self.lone.get(at).copied().unwrap_or(false), hash })
    }

    fn set(&mut self, at: usize, cell: Option<MapCell>) {
        if let (Some(hash), Some(lone)) = (self.hashes.get_mut(at), self.lone.get_mut(at)) {
            *hash = cell.map_or([0; 32], |cell| cell.hash.0);
            *lone = cell.is_some_and(|cell| cell.is_lone);
        }
    }

    fn join(&mut self, at: usize) {
        let joined = join(self.cell(2 * at), self.cell(2 * at + 1));
        self.set(at, joined);
    }

    fn forget_streams(&mut self) {
        if self.kept > STREAMS_KEPT {
            self.below.fill(Vec::new());
            self.kept = 0;
        }
    }

    /// Puts streams below one node, with what is stored there unless it is known; sorted by id, each once.
    fn put_below(&mut self, path: usize, stored: Vec<Entry>, changed: &[Entry]) {
        let Some(below) = self.below.get_mut(path) else { return };
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
        let node = cell_of(map::below(DEPTH, below));
        self.set(WIDTH + path, node);
    }

    fn knows_below(&self, path: usize) -> bool {
        // Where nothing was, nothing is stored either.
        self.cell(WIDTH + path).is_none() || self.below.get(path).is_some_and(|known| !known.is_empty())
    }

    /// The upper half of a stored map.
    pub(super) fn restore(database: &Database) -> Result<Self, ReadError> {
        let mut top = Self::default();
        let mut rows =
            database.scan(Family::Map, prefixed(MapKey::SIXTEENTHS.to_vec()), ReadOptions::default())?;
        while let Some((key, value)) = rows.step()? {
            let bad = |error| damaged(Family::Map, key, error);
            let MapKey::Sixteenth(path) = MapKey::decode(key).map_err(bad)? else {
                return Err(damaged(Family::Map, key, Damage::Misplaced).into());
            };
            top.set(WIDTH + sixteenth(path), Some(MapCell::decode(value).map_err(bad)?));
        }
        for at in (1..WIDTH).rev() {
            top.join(at);
        }
        Ok(top)
    }
}

/// The node over two children; a lone stream's leaf lies as far up as it is alone.
pub(crate) fn join(left: Option<MapCell>, right: Option<MapCell>) -> Option<MapCell> {
    match (left, right) {
        (None, None) => None,
        (Some(cell), None) | (None, Some(cell)) if cell.is_lone => Some(cell),
        (left, right) => {
            let hash = |cell: Option<MapCell>| cell.map_or(Hash::ZERO, |cell| cell.hash);
            Some(MapCell { is_lone: false, hash: map::parent(hash(left), hash(right)) })
        }
    }
}

pub(crate) fn cell_of(node: Node) -> Option<MapCell> {
    match node {
        Node::Missing => None,
        Node::Leaf(_) => Some(MapCell { is_lone: true, hash: node.hash() }),
        Node::Inner(hash) => Some(MapCell { is_lone: false, hash }),
    }
}

fn sixteenth(path: [u8; 2]) -> usize {
    usize::from(u16::from_be_bytes(path))
}

fn path_of(stream: Hash) -> [u8; 2] {
    [stream.0[0], stream.0[1]]
}

/// What the seals of a batch change in the map.
pub(super) struct Changes<'a> {
    /// The streams as they are stored.
    stored: Scan<'a>,
    /// The streams that changed, in order of the seals.
    changed: Vec<Entry>,
}

impl<'a> Changes<'a> {
    pub(super) fn new(database: &'a Database, top: &mut UpperLevels) -> Result<Self, StorageError> {
        // Not later: what a batch puts is in the store only when the batch is.
        top.forget_streams();
        let range = prefixed(MapKey::streams(&[]));
        let stored = database.scan(Family::Map, range, ReadOptions::default())?;
        Ok(Self { stored, changed: Vec::new() })
    }

    /// Puts streams into the map, sorted by id, each once; answers its root.
    pub(super) fn put(&mut self, top: &mut UpperLevels, changed: &[Entry]) -> Result<Hash, ReadError> {
        let mut parents = Vec::new();
        for group in changed.chunk_by(|a, b| path_of(a.stream) == path_of(b.stream)) {
            let Some(path) = group.first().map(|entry| path_of(entry.stream)) else { continue };
            let at = sixteenth(path);
            let stored = if top.knows_below(at) { Vec::new() } else { self.stored_below(path)? };
            top.put_below(at, stored, group);
            let node = WIDTH + at;
            parents.push(node / 2);
        }
        while let Some(true) = parents.first().map(|at| *at > 0) {
            parents.dedup();
            for at in &mut parents {
                top.join(*at);
                *at /= 2;
            }
        }
        self.changed.extend_from_slice(changed);
        Ok(top.root())
    }

    fn stored_below(&mut self, path: [u8; 2]) -> Result<Vec<Entry>, ReadError> {
        let start = MapKey::streams(&path);
        let mut below = Vec::new();
        let mut row = self.stored.skip_to(&start)?;
        while let Some((key, value)) = row.filter(|(key, _)| key.starts_with(&start)) {
            below.push(entry(key, value)?);
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
            if let Some(cell) = top.cell((1 << 8) + usize::from(byte)) {
                write.put_cf(family, MapKey::Eighth(byte).encode(), cell.encode());
            }
        }
        for path in paths {
            if let Some(cell) = top.cell(WIDTH + sixteenth(path)) {
                write.put_cf(family, MapKey::Sixteenth(path).encode(), cell.encode());
            }
        }
        for states in self.changed.chunk_by(|a, b| a.stream == b.stream) {
            if let Some(Entry { stream, commitment }) = states.last() {
                write.put_cf(family, MapKey::Stream(*stream).encode(), commitment.0);
            }
        }
        Ok(())
    }
}

/// A stored stream.
pub(crate) fn entry(key: &[u8], value: &[u8]) -> Result<Entry, ReadError> {
    let bad = |error| damaged(Family::Map, key, error);
    let MapKey::Stream(stream) = MapKey::decode(key).map_err(bad)? else {
        return Err(damaged(Family::Map, key, Damage::Misplaced).into());
    };
    Ok(Entry { stream, commitment: evidence::hash(value).map_err(bad)? })
}
