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

use ledger_record::key::evidence::LeafRow;
use ledger_record::key::{Family, evidence};
use ledger_record::proof::Hash;
use ledger_record::proof::frontier::Frontier;
use ledger_record::proof::tree::{self, Node, parent};
use ledger_record::record::Record;
use rocksdb::ReadOptions;

use crate::audit::{self, leaf_of};
use crate::db::database::{Database, damaged};
use crate::db::placed::{PlacedEntries, placed_at};
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
        full_node(self.database(), node, || self.options())
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

    /// The last seal, as it is stored. All of them: [`Self::records`] of `Stream::Seals`.
    pub fn last_seal(&self) -> Result<Option<Record>, ReadError> {
        audit::last_seal(self.database(), self.options())
    }

    /// How many leaves there are up to the last seal and with it; 0 without a seal.
    pub fn sealed_size(&self) -> Result<u64, ReadError> {
        Ok(audit::sealed_size(self.last_seal()?.as_ref()))
    }
}

/// The stored leaf with an index.
pub(super) fn leaf(
    database: &Database,
    position: u64,
    options: &ReadOptions,
) -> Result<Option<LeafRow>, ReadError> {
    let entry = placed_at(database, Family::Leaves, position, options)?;
    entry.map(|entry| leaf_of(position, &entry)).transpose()
}

/// Takes in a leaf; tells of the nodes that become full and are stored.
pub(crate) fn grow(frontier: &mut Frontier, leaf: Hash, mut store: impl FnMut(Node, Hash)) {
    frontier.grow(leaf, |node, hash| {
        if node.level.is_multiple_of(evidence::TREE_STEP) {
            store(node, hash);
        }
    });
}

/// The frontier of a stored tree.
pub(super) fn restore(database: &Database, size: u64) -> Result<Frontier, ReadError> {
    Frontier::read(size, |at| full_node(database, at, ReadOptions::default))
}

/// A full node. What is not stored is computed from at most 128 nodes that are.
fn full_node(database: &Database, node: Node, options: impl Fn() -> ReadOptions) -> Result<Hash, ReadError> {
    let up = u32::from(node.level % evidence::TREE_STEP);
    let stored = Node { level: node.level - node.level % evidence::TREE_STEP, index: node.index << up };
    let mut hashes = stored_nodes(database, stored, 1 << up, options())?;
    while hashes.len() > 1 {
        hashes =
            hashes.chunks(2).map(|pair| pair.iter().copied().reduce(parent).unwrap_or_default()).collect();
    }
    Ok(hashes.pop().unwrap_or_default())
}

/// So many stored nodes of one level, in order.
fn stored_nodes(
    database: &Database,
    first: Node,
    count: u64,
    options: ReadOptions,
) -> Result<Vec<Hash>, ReadError> {
    let indices = first.index..first.index.saturating_add(count);
    if first.level == 0 {
        let mut leaves = PlacedEntries::new(database, Family::Leaves, indices.clone(), options)?;
        return indices.map(|index| Ok(leaf_of(index, leaves.expect(index)?)?.hash)).collect();
    }
    let key_of = |index| evidence::tree_node(Node { index, ..first }).to_vec();
    let mut rows = database.scan(Family::Tree, key_of(indices.start)..key_of(indices.end), options)?;
    let mut hashes = Vec::new();
    for index in indices {
        let at = key_of(index);
        let row = rows.step()?.filter(|(key, _)| *key == at);
        let (_, value) = row.ok_or_else(|| damaged(Family::Tree, &at, Damage::Missing))?;
        hashes.push(evidence::hash(value).map_err(|error| damaged(Family::Tree, &at, error))?);
    }
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn stores_every_eighth_level_as_it_becomes_full() {
        let leaf = |number: u64| Hash::of(&[&number.to_be_bytes()]);
        let (mut frontier, mut stored) = (Frontier::default(), BTreeMap::new());
        let (mut whole, mut nodes) = (Frontier::default(), BTreeMap::new());
        for size in 0..70_000 {
            grow(&mut frontier, leaf(size), |node, hash| assert_eq!(stored.insert(node, hash), None));
            whole.grow(leaf(size), |node, hash| assert_eq!(nodes.insert(node, hash), None));
        }
        let expected = nodes.into_iter().filter(|(node, _)| node.level % 8 == 0);
        assert_eq!(stored, expected.collect());
        assert_eq!(stored.len(), 70_000 / 256 + 1);
    }
}
