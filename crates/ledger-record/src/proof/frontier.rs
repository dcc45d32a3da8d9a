//! As much of a tree as is needed to let it grow: its largest full subtrees, one for each bit of its size.
//!
//! They hash to the root, so a frontier with the root of a published checkpoint *is* the frontier of that tree,
//! wherever its hashes come from; and whatever grows out of it has that tree as its beginning.

use super::tree::{self, Node};
use crate::hash::Hash;

/// The right edge of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    /// By level; only those of the bits that the size has are meant.
    subtrees: Vec<Hash>,
}

impl Frontier {
    /// The edge of the tree of a size, out of its full subtrees.
    pub fn read<E>(size: u64, mut lookup: impl FnMut(Node) -> Result<Hash, E>) -> Result<Self, E> {
        let levels = u64::BITS - size.leading_zeros();
        let mut subtrees = Vec::new();
        for level in 0..levels {
            let full = size >> level;
            subtrees.push(if full % 2 == 1 {
                lookup(Node { level: u8::try_from(level).unwrap_or(u8::MAX), index: full - 1 })?
            } else {
                Hash::ZERO
            });
        }
        Ok(Self { size, subtrees })
    }

    /// How many leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Grows by one leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.grow(leaf, |_, _| {});
    }

    /// Grows by one leaf; tells of the inner nodes that it makes full.
    pub fn grow(&mut self, leaf: Hash, mut full: impl FnMut(Node, Hash)) {
        let mut hash = leaf;
        let (mut level, mut at) = (0_u8, 0);
        while self.size >> level & 1 == 1 {
            hash = tree::parent(self.subtrees[at], hash);
            (level, at) = (level + 1, at + 1);
            full(Node { level, index: self.size >> level }, hash);
        }
        if at == self.subtrees.len() {
            self.subtrees.push(hash);
        } else {
            self.subtrees[at] = hash;
        }
        self.size += 1;
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        let full = (0..self.subtrees.len()).filter(|level| self.size >> level & 1 == 1);
        let root = full.map(|level| self.subtrees[level]).reduce(|right, left| tree::parent(left, right));
        root.unwrap_or_else(tree::empty_root)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn grows_as_the_tree_does_from_wherever_it_is_taken_up() {
        let mut nodes = BTreeMap::new();
        let mut growing = Frontier::default();
        assert_eq!(growing.root(), tree::empty_root());
        for size in 0..200_u64 {
            let leaf = tree::leaf_hash(&size.to_be_bytes());
            nodes.insert(Node { level: 0, index: size }, leaf);
            for level in (1..8).take_while(|level| (size + 1).is_multiple_of(1 << level)) {
                let index = size >> level;
                let child = |index| nodes[&Node { level: level - 1, index }];
                nodes.insert(Node { level, index }, tree::parent(child(2 * index), child(2 * index + 1)));
            }
            growing.push(leaf);
            let lookup = |node: Node| Ok::<_, Infallible>(nodes[&node]);
            assert_eq!(Ok(growing.root()), tree::root(size + 1, lookup));
            let read = Frontier::read(size + 1, lookup).unwrap();
            assert_eq!((read.size(), read.root()), (growing.size(), growing.root()));
            let mut next = (read, growing.clone());
            next.0.push(leaf);
            next.1.push(leaf);
            assert_eq!(next.0.root(), next.1.root());
        }
    }
}
