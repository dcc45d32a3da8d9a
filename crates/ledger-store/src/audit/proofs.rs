//! What proofs are made of, as of one moment.
//!
//! The tree can be asked at every size up to [`Snapshot::tree_size`], the map as of the last seal only. A
//! bundle is made from one snapshot: [`Snapshot::last_seal`] is the last leaf of the checkpoint at size
//! `seal.position + 1`.
//!
//! ```text
//! tree      tree_root(size)   inclusion(index, size)   consistency(from, to)   tree_node(node)
//! map       prove_stream(stream)                        at the last seal
//! leaves    leaf(position)    linked(positions, links)   leaf_line(record, secret)
//! seals     last_seal()       sealed_size()      records(&Stream::Seals, from_seq)
//! ```

use ledger_record::key::evidence::{LeafRow, MapCell, MapKey};
use ledger_record::key::{self, Family};
use ledger_record::proof::Hash;
use ledger_record::proof::line::stream_id;
use ledger_record::proof::map::{self, Entry, Path, Proof};
use ledger_record::proof::tree::{self, Node};
use ledger_record::record::{Record, Stream};
use rocksdb::ReadOptions;

use crate::audit::map::{entry, join};
use crate::audit::recover;
use crate::db::database::{Database, damaged};
use crate::db::scan::prefixed;
use crate::error::{Damage, ReadError};
use crate::read::snapshot::Snapshot;

/// What is stored of a leaf: its hash, and the pinned realm that its line shows.
pub type StoredLeaf = LeafRow;

impl Snapshot<'_> {
    /// How many leaves the tree has: the position of the next record.
    pub fn tree_size(&self) -> Result<u64, ReadError> {
        Ok(self.head()?.next_position)
    }

    /// The leaf with an index, which is its position.
    pub fn leaf(&self, position: u64) -> Result<Option<StoredLeaf>, ReadError> {
        leaf(self.database(), position, &self.options())
    }

    /// A full node of the tree, for [`tree::root`] and the other functions there.
    pub fn tree_node(&self, node: Node) -> Result<Hash, ReadError> {
        crate::audit::tree::node(self.database(), node, || self.options())
    }

    /// The root of the tree at a size, which must be at most [`Self::tree_size`].
    pub fn tree_root(&self, size: u64) -> Result<Hash, ReadError> {
        tree::root(size, |node| self.tree_node(node))
    }

    /// The proof that a leaf is in the tree of a size; the index must be below the size.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, ReadError> {
        tree::inclusion(index, size, |node| self.tree_node(node))
    }

    /// The proof that the tree of a size is the beginning of the tree of another.
    pub fn consistency(&self, from: u64, to: u64) -> Result<Vec<Hash>, ReadError> {
        tree::consistency(from, to, |node| self.tree_node(node))
    }

    /// The last seal, as it is stored. All of them: [`Self::records`] of [`Stream::Seals`].
    pub fn last_seal(&self) -> Result<Option<Record>, ReadError> {
        recover::last_seal(self.database(), self.options())
    }

    /// How many leaves there are up to the last seal and with it; 0 without a seal.
    pub fn sealed_size(&self) -> Result<u64, ReadError> {
        Ok(recover::sealed_size(self.last_seal()?.as_ref()))
    }

    /// The way of a stream through the map of the last seal.
    pub fn prove_stream(&self, stream: &Stream) -> Result<Proof, ReadError> {
        let id = stream_id(stream);
        let ways = ProofPath::read(self, id)?;
        map::prove(id, |path| ways.node(path))
    }
}

/// The stored leaf with an index.
pub(super) fn leaf(
    database: &Database,
    position: u64,
    options: &ReadOptions,
) -> Result<Option<LeafRow>, ReadError> {
    let at = key::position(position);
    let Some(value) = database.get(Family::Leaves, &at, options)? else { return Ok(None) };
    Ok(Some(LeafRow::decode(&value).map_err(|error| damaged(Family::Leaves, &at, error))?))
}

/// Everything of the map that the way of one stream touches.
struct ProofPath<'s> {
    snapshot: &'s Snapshot<'s>,
    /// Depth 0 to 8, and, below the stream's first byte, 8 to 16: children of `i` at `2i` and `2i + 1`.
    upper: Vec<Option<MapCell>>,
    lower: Vec<Option<MapCell>>,
    /// The streams that share its first two bytes.
    entries: Vec<Entry>,
}

impl<'s> ProofPath<'s> {
    fn read(snapshot: &'s Snapshot<'s>, stream: Hash) -> Result<Self, ReadError> {
        let [first, second, ..] = stream.0;
        let upper = cells(snapshot, MapKey::EIGHTHS.to_vec())?;
        let lower = cells(snapshot, [&MapKey::SIXTEENTHS[..], &[first]].concat())?;
        let entries = entries(snapshot, &[first, second])?;
        Ok(Self { snapshot, upper, lower, entries })
    }

    /// The node at a path that the stream's own path passes, or passes by.
    fn node(&self, path: Path) -> Result<map::Node, ReadError> {
        let depth = usize::from(path.depth);
        let bits = usize::from(u16::from_be_bytes([path.bits.0[0], path.bits.0[1]]));
        let cell = match depth {
            0..=8 => self.upper.get((1 << depth) + (bits >> (16 - depth))),
            9..=16 => self.lower.get((1 << (depth - 8)) + ((bits & 0xff) >> (16 - depth))),
            _ => {
                let begins = |entry: &&Entry| shares(entry.stream, path);
                let below: Vec<Entry> = self.entries.iter().filter(begins).copied().collect();
                return Ok(map::below(path.depth, &below));
            }
        };
        match cell.copied().flatten() {
            None => Ok(map::Node::Missing),
            Some(MapCell { is_lone: false, hash }) => Ok(map::Node::Inner(hash)),
            Some(MapCell { is_lone: true, .. }) => self.lone(path),
        }
    }

    /// The leaf of the only stream below a path.
    fn lone(&self, path: Path) -> Result<map::Node, ReadError> {
        let whole = usize::from(path.depth / 8);
        let below = entries(self.snapshot, path.bits.0.get(..whole).unwrap_or_default())?;
        let mut found = below.into_iter().filter(|entry| shares(entry.stream, path));
        let entry = found
            .next()
            .ok_or_else(|| damaged(Family::Map, &MapKey::Stream(path.bits).encode(), Damage::Missing))?;
        Ok(map::Node::Leaf(entry))
    }
}

fn shares(stream: Hash, path: Path) -> bool {
    let differing = stream.0.iter().zip(path.bits.0).map(|(a, b)| a ^ b);
    let mut shared = 0;
    for byte in differing {
        shared += byte.leading_zeros();
        if byte != 0 {
            break;
        }
    }
    shared >= u32::from(path.depth)
}

/// The nodes with a prefix of keys and one more byte, and those above them.
fn cells(snapshot: &Snapshot<'_>, prefix: Vec<u8>) -> Result<Vec<Option<MapCell>>, ReadError> {
    let mut cells = vec![None; 512];
    let mut rows = snapshot.database().scan(Family::Map, prefixed(prefix), snapshot.options())?;
    while let Some((key, value)) = rows.step()? {
        let cell = MapCell::decode(value).map_err(|error| damaged(Family::Map, key, error))?;
        let last = key.last().copied().map_or(0, usize::from);
        if let Some(slot) = cells.get_mut(256 + last) {
            *slot = Some(cell);
        }
    }
    for at in (1..256).rev() {
        cells[at] = join(cells[2 * at], cells[2 * at + 1]);
    }
    Ok(cells)
}

fn entries(snapshot: &Snapshot<'_>, prefix: &[u8]) -> Result<Vec<Entry>, ReadError> {
    let range = prefixed(MapKey::streams(prefix));
    let mut rows = snapshot.database().scan(Family::Map, range, snapshot.options())?;
    let mut entries = Vec::new();
    while let Some((key, value)) = rows.step()? {
        entries.push(entry(key, value)?);
    }
    Ok(entries)
}
