//! The tree of RFC 6962 over SHA-256: roots, and proofs that a leaf is in it and that it only grew.
//!
//! ```text
//! leaf   SHA-256(00 ‖ line)          parent  SHA-256(01 ‖ left ‖ right)          empty tree  SHA-256()
//! ```
//!
//! What is kept of a tree are the roots of its full subtrees, which never change once they are full: node
//! (level, index) covers the leaves from `index · 2^level`, `2^level` of them. The functions here ask for
//! them, and [`Frontier`](super::frontier::Frontier) reports which ones a new leaf makes. Everything else is
//! computed from at most one full subtree for each level.
//!
//! Checking a proof needs no nodes. It is strict: an index beyond the size, a proof too short or too long is
//! refused, so a proof has one form.

use crate::hash::Hash;

/// A full subtree: of `2^level` leaves, the `index`-th of that level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// 0 for a leaf.
    pub level: u8,
    /// From 0, from the left.
    pub index: u64,
}

/// The leaf is not in the tree, or the tree is not the beginning of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the proof does not hold")]
pub struct InvalidProof;

/// The root of the tree without leaves.
#[must_use]
pub fn empty_root() -> Hash {
    Hash::of(&[])
}

/// The hash of a leaf.
#[must_use]
pub fn leaf_hash(line: &[u8]) -> Hash {
    Hash::of(&[&[0], line])
}

/// The hash of an inner node.
#[must_use]
pub fn parent(left: Hash, right: Hash) -> Hash {
    Hash::of(&[&[1], &left.0, &right.0])
}

/// The root of the tree of a size.
pub fn root<E>(size: u64, mut lookup: impl FnMut(Node) -> Result<Hash, E>) -> Result<Hash, E> {
    if size == 0 { Ok(empty_root()) } else { subtree(0, size, &mut lookup) }
}

/// The proof that a leaf is in the tree of a size: the siblings on the way from it to the root. The index
/// must be below the size.
pub fn inclusion<E>(
    index: u64,
    size: u64,
    mut lookup: impl FnMut(Node) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    let (mut begin, mut end) = (0, size);
    let mut siblings = Vec::new();
    while end - begin > 1 {
        let middle = begin + split(end - begin);
        if index < middle {
            siblings.push(subtree(middle, end, &mut lookup)?);
            end = middle;
        } else {
            siblings.push(subtree(begin, middle, &mut lookup)?);
            begin = middle;
        }
    }
    siblings.reverse();
    Ok(siblings)
}

/// The proof that the tree of size `from` is the beginning of the tree of size `to`. Empty when `from` is 0
/// or `to`.
pub fn consistency<E>(
    from: u64,
    to: u64,
    mut lookup: impl FnMut(Node) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    let mut siblings = Vec::new();
    if from == 0 || from >= to {
        return Ok(siblings);
    }
    let (mut begin, mut end) = (0, to);
    // Down to the subtree that ends where the old tree ends.
    while end != from {
        let middle = begin + split(end - begin);
        if from <= middle {
            siblings.push(subtree(middle, end, &mut lookup)?);
            end = middle;
        } else {
            siblings.push(subtree(begin, middle, &mut lookup)?);
            begin = middle;
        }
    }
    // Where that subtree is the whole old tree, the verifier has its root.
    if begin != 0 {
        siblings.push(subtree(begin, end, &mut lookup)?);
    }
    siblings.reverse();
    Ok(siblings)
}

/// The root of the leaves from `begin` to `end`, which must be a subtree of some tree.
fn subtree<E>(begin: u64, end: u64, lookup: &mut impl FnMut(Node) -> Result<Hash, E>) -> Result<Hash, E> {
    let leaves = end - begin;
    if leaves.is_power_of_two() {
        let level = leaves.trailing_zeros();
        return lookup(Node { level: u8::try_from(level).unwrap_or(u8::MAX), index: begin >> level });
    }
    let middle = begin + split(leaves);
    let left = subtree(begin, middle, lookup)?;
    Ok(parent(left, subtree(middle, end, lookup)?))
}

/// The largest power of two below a number above 1.
const fn split(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}

/// Checks that a leaf is in the tree of a size and root.
pub fn verify_inclusion(
    leaf: Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: Hash,
) -> Result<(), InvalidProof> {
    if index >= size {
        return Err(InvalidProof);
    }
    let (mut at, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in proof {
        if last == 0 {
            return Err(InvalidProof);
        }
        if at % 2 == 1 || at == last {
            hash = parent(*sibling, hash);
            // A node at the right edge without a sibling moves up as it is.
            while at % 2 == 0 && at != 0 {
                (at, last) = (at / 2, last / 2);
            }
        } else {
            hash = parent(hash, *sibling);
        }
        (at, last) = (at / 2, last / 2);
    }
    if last == 0 && hash == root { Ok(()) } else { Err(InvalidProof) }
}

/// Checks that the tree of size `from` is the beginning of the tree of size `to`. The tree without leaves is
/// the beginning of every tree.
pub fn verify_consistency(
    from: u64,
    to: u64,
    from_root: Hash,
    to_root: Hash,
    proof: &[Hash],
) -> Result<(), InvalidProof> {
    let checked = |holds: bool| if holds { Ok(()) } else { Err(InvalidProof) };
    if from > to {
        return Err(InvalidProof);
    }
    if from == to {
        return checked(proof.is_empty() && from_root == to_root);
    }
    if from == 0 {
        return checked(proof.is_empty());
    }
    // A full old tree is a node of the new one, and its root is not repeated.
    let (first, rest) = if from.is_power_of_two() {
        (from_root, proof)
    } else {
        let (first, rest) = proof.split_first().ok_or(InvalidProof)?;
        (*first, rest)
    };
    let shift = (from - 1).trailing_ones();
    let (mut at, mut last) = ((from - 1) >> shift, (to - 1) >> shift);
    let (mut old, mut new) = (first, first);
    for sibling in rest {
        if last == 0 {
            return Err(InvalidProof);
        }
        if at % 2 == 1 || at == last {
            old = parent(*sibling, old);
            new = parent(*sibling, new);
            while at % 2 == 0 && at != 0 {
                (at, last) = (at / 2, last / 2);
            }
        } else {
            new = parent(new, *sibling);
        }
        (at, last) = (at / 2, last / 2);
    }
    checked(last == 0 && old == from_root && new == to_root)
}
