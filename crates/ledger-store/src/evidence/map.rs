//! The map while it changes: its upper half in memory, its streams in the store.

use std::collections::{BTreeMap, BTreeSet};

use ledger_record::key::Family;
use ledger_record::key::evidence::{self, MapCell, MapKey};
use ledger_record::proof::Hash;
use ledger_record::proof::map::{self, Entry, Node};
use rocksdb::{ReadOptions, WriteBatch};

use crate::database::{Database, damaged};
use crate::error::{Damage, ReadError, StorageError};
use crate::scan::{Scan, prefixed};

/// Depth to which the map is kept in memory, and below which it is computed from its streams.
const DEPTH: u16 = 16;

/// How many nodes that depth has.
const WIDTH: usize = 1 << DEPTH;

/// The nodes down to depth 16: the root at 1, the children of `i` at `2i` and `2i + 1`.
pub(super) struct Top {
    /// Zero: nothing.
    hashes: Vec<[u8; 32]>,
    lone: Vec<bool>,
}

impl std::fmt::Debug for Top {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Top").field("root", &self.root()).finish_non_exhaustive()
    }
}

impl Default for Top {
    fn default() -> Self {
        Self { hashes: vec![[0; 32]; 2 * WIDTH], lone: vec![false; 2 * WIDTH] }
    }
}

impl Top {
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
    /// Commitments of the streams that changed, by id.
    entries: BTreeMap<Hash, Hash>,
    paths: BTreeSet<[u8; 2]>,
}

impl<'a> Changes<'a> {
    pub(super) fn new(database: &'a Database) -> Result<Self, StorageError> {
        let range = prefixed(MapKey::streams(&[]));
        let stored = database.scan(Family::Map, range, ReadOptions::default())?;
        Ok(Self { stored, entries: BTreeMap::new(), paths: BTreeSet::new() })
    }

    /// Puts streams into the map, sorted by id, each once; answers its root.
    pub(super) fn put(&mut self, top: &mut Top, changed: &[Entry]) -> Result<Hash, ReadError> {
        let mut parents = Vec::new();
        for group in changed.chunk_by(|a, b| path_of(a.stream) == path_of(b.stream)) {
            let Some(path) = group.first().map(|entry| path_of(entry.stream)) else { continue };
            self.entries.extend(group.iter().map(|entry| (entry.stream, entry.commitment)));
            let at = WIDTH + sixteenth(path);
            // Where nothing was, nothing is stored either.
            let stored = if top.cell(at).is_some() { self.stored_below(path)? } else { BTreeMap::new() };
            top.set(at, cell_of(map::below(DEPTH, &self.merged(path, stored))));
            self.paths.insert(path);
            parents.push(at / 2);
        }
        while let Some(true) = parents.first().map(|at| *at > 0) {
            parents.dedup();
            for at in &mut parents {
                top.join(*at);
                *at /= 2;
            }
        }
        Ok(top.root())
    }

    fn stored_below(&mut self, path: [u8; 2]) -> Result<BTreeMap<Hash, Hash>, ReadError> {
        let start = MapKey::streams(&path);
        let mut below = BTreeMap::new();
        let mut row = self.stored.skip_to(&start)?;
        while let Some((key, value)) = row.filter(|(key, _)| key.starts_with(&start)) {
            let entry = entry(key, value)?;
            below.insert(entry.stream, entry.commitment);
            row = self.stored.step()?;
        }
        Ok(below)
    }

    /// All streams below a path, what this batch put there included.
    fn merged(&self, path: [u8; 2], mut below: BTreeMap<Hash, Hash>) -> Vec<Entry> {
        let mut first = Hash::ZERO;
        first.0[..2].copy_from_slice(&path);
        let new = self.entries.range(first..).take_while(|(stream, _)| path_of(**stream) == path);
        below.extend(new.map(|(stream, commitment)| (*stream, *commitment)));
        below.into_iter().map(|(stream, commitment)| Entry { stream, commitment }).collect()
    }

    /// Adds the rows that changed, in the order of their keys.
    pub(super) fn write(
        &self,
        top: &Top,
        database: &Database,
        write: &mut WriteBatch,
    ) -> Result<(), StorageError> {
        let family = database.family(Family::Map)?;
        let eighths: BTreeSet<u8> = self.paths.iter().map(|[first, _]| *first).collect();
        for byte in eighths {
            if let Some(cell) = top.cell((1 << 8) + usize::from(byte)) {
                write.put_cf(family, MapKey::Eighth(byte).encode(), cell.encode());
            }
        }
        for path in &self.paths {
            if let Some(cell) = top.cell(WIDTH + sixteenth(*path)) {
                write.put_cf(family, MapKey::Sixteenth(*path).encode(), cell.encode());
            }
        }
        for (stream, commitment) in &self.entries {
            write.put_cf(family, MapKey::Stream(*stream).encode(), commitment.0);
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
