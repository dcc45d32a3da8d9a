//! The tree while it grows, and its nodes out of those that are stored.

use ledger_record::key::{self, Family, evidence};
use ledger_record::proof::Hash;
use ledger_record::proof::frontier::Frontier;
use ledger_record::proof::tree::{Node, parent};
use rocksdb::ReadOptions;

use crate::db::database::{Database, damaged};
use crate::error::{Damage, ReadError};

/// Takes in a leaf; tells of the nodes that become full and are stored.
pub(super) fn grow(frontier: &mut Frontier, leaf: Hash, mut store: impl FnMut(Node, Hash)) {
    frontier.grow(leaf, |node, hash| {
        if node.level.is_multiple_of(evidence::TREE_STEP) {
            store(node, hash);
        }
    });
}

/// The frontier of a stored tree.
pub(super) fn restore(database: &Database, size: u64) -> Result<Frontier, ReadError> {
    Frontier::read(size, |at| node(database, at, ReadOptions::default))
}

/// A full node. What is not stored is computed from at most 128 nodes that are.
pub(super) fn node(
    database: &Database,
    node: Node,
    options: impl Fn() -> ReadOptions,
) -> Result<Hash, ReadError> {
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
    let family = if first.level == 0 { Family::Leaves } else { Family::Tree };
    let key_of = |index| match first.level {
        0 => key::position(index).to_vec(),
        _ => evidence::tree_node(Node { index, ..first }).to_vec(),
    };
    let end = first.index.saturating_add(count);
    let mut rows = database.scan(family, key_of(first.index)..key_of(end), options)?;
    let mut hashes = Vec::new();
    for index in first.index..end {
        let at = key_of(index);
        let row = rows.step()?.filter(|(key, _)| *key == at);
        let (_, value) = row.ok_or_else(|| damaged(family, &at, Damage::Missing))?;
        let hash = match first.level {
            0 => evidence::LeafRow::decode(value).map(|row| row.hash),
            _ => evidence::hash(value),
        };
        hashes.push(hash.map_err(|error| damaged(family, &at, error))?);
    }
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use ledger_record::proof::tree;

    use super::*;

    #[test]
    fn stores_every_eighth_level_as_it_becomes_full() {
        let leaf = |number: u64| Hash::of(&[&number.to_be_bytes()]);
        let (mut frontier, mut stored) = (Frontier::default(), BTreeMap::new());
        let mut nodes = BTreeMap::new();
        for size in 0..70_000 {
            grow(&mut frontier, leaf(size), |node, hash| assert_eq!(stored.insert(node, hash), None));
            nodes.extend(tree::append(size, leaf(size), |node| Ok::<_, Infallible>(nodes[&node])).unwrap());
        }
        let expected = nodes.into_iter().filter(|(node, _)| node.level > 0 && node.level % 8 == 0);
        assert_eq!(stored, expected.collect());
        assert_eq!(stored.len(), 70_000 / 256 + 1);
    }
}
