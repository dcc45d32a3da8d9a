//! The map of every stream's head: a binary prefix tree, so that "this is all of it" and "there is none" can
//! be proven.
//!
//! ```text
//! leaf     SHA-256(02 ‖ stream id ‖ c)      c = SHA-256("realm-ledger/head/v1" 00 ‖ n u64 BE ‖ index u64 BE
//! parent   SHA-256(03 ‖ left ‖ right)                    ‖ leaf hash of the last record)
//! missing child: 32 zero bytes
//! ```
//!
//! A stream's leaf lies on the path that the bits of its id tell, from the most significant one: 0 is left, 1
//! is right; and as far up as it is alone there. So a set of streams has one map, and a stream has one place
//! in it: where its path ends at another's leaf or at nothing, it is not in the map. The map without streams
//! has the missing child for its root.
//!
//! Nodes are stored by their path. The functions ask for them and say which ones changed: only those on the
//! paths of the streams that changed. Nothing is ever taken out.

mod whole;

pub use whole::Whole;

use super::hash::Hash;
use super::tree::InvalidProof;

/// The last record of a stream: how many there are, and which leaf is the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Seq of the last record.
    pub seq: u64,
    /// Its index in the log.
    pub index: u64,
    /// Its leaf hash.
    pub leaf: Hash,
}

impl Head {
    /// What the map holds of it.
    #[must_use]
    pub fn commitment(self) -> Hash {
        let Self { seq, index, leaf } = self;
        Hash::of(&[b"realm-ledger/head/v1\0", &seq.to_be_bytes(), &index.to_be_bytes(), &leaf.0])
    }
}

/// A stream in the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The stream's id.
    pub stream: Hash,
    /// [`Head::commitment`]
    pub commitment: Hash,
}

/// Where a node is: the first `depth` bits of the ids below it; the others are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    /// 0 for the root, up to 256.
    pub depth: u16,
    /// The bits.
    pub bits: Hash,
}

/// What is stored at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// Nothing: what a lookup answers where nothing is stored. Never written.
    Missing,
    /// The only stream below the path.
    Leaf(Entry),
    /// The hash over both children.
    Inner(Hash),
}

/// Where the path of a stream that is not in the map ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// At the stream's own leaf.
    Own(Hash),
    /// At nothing.
    Missing,
    /// At the leaf of another stream.
    Other(Entry),
}

/// The way of a stream through the map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Where it ends; of the own leaf the commitment.
    pub end: End,
    /// The siblings from there up to the root.
    pub siblings: Vec<Hash>,
}

impl Path {
    /// The root.
    pub const ROOT: Self = Self { depth: 0, bits: Hash::ZERO };

    fn child(self, right: bool) -> Self {
        let mut bits = self.bits;
        if right {
            bits.0[usize::from(self.depth / 8)] |= 0x80 >> (self.depth % 8);
        }
        Self { depth: self.depth + 1, bits }
    }
}

/// Which way the path of a stream goes at a depth.
fn goes_right(stream: Hash, depth: u16) -> bool {
    stream.0[usize::from(depth / 8)] & (0x80 >> (depth % 8)) != 0
}

impl Entry {
    fn hash(self) -> Hash {
        Hash::of(&[&[2], &self.stream.0, &self.commitment.0])
    }
}

/// The hash of an inner node.
#[must_use]
pub fn parent(left: Hash, right: Hash) -> Hash {
    Hash::of(&[&[3], &left.0, &right.0])
}

impl Node {
    /// The hash that stands for the node in its parent, and at the root of the map.
    #[must_use]
    pub fn hash(self) -> Hash {
        match self {
            Self::Missing => Hash::ZERO,
            Self::Leaf(entry) => entry.hash(),
            Self::Inner(hash) => hash,
        }
    }
}

/// The root of the map of these streams, sorted by id, each once.
#[must_use]
pub fn root(sorted: &[Entry]) -> Hash {
    build(Path::ROOT, sorted, &mut |_, _| {}).hash()
}

/// The node over these streams, sorted by id, each once, which share the first `depth` bits: a part of the
/// map, where the rest of it is known.
#[must_use]
pub fn below(depth: u16, sorted: &[Entry]) -> Node {
    build(Path { depth, bits: Hash::ZERO }, sorted, &mut |_, _| {})
}

/// Puts streams into the map, sorted by id, each once; one that is there gets its new head. Answers the new
/// root and the nodes to store, children first.
pub fn update<E>(
    changed: &[Entry],
    mut lookup: impl FnMut(Path) -> Result<Node, E>,
) -> Result<(Hash, Vec<(Path, Node)>), E> {
    let mut written = Vec::new();
    let before = lookup(Path::ROOT)?;
    let after = merge(Path::ROOT, before, changed, &mut lookup, &mut written)?;
    Ok((after.hash(), written))
}

fn merge<E>(
    path: Path,
    node: Node,
    changed: &[Entry],
    lookup: &mut impl FnMut(Path) -> Result<Node, E>,
    written: &mut Vec<(Path, Node)>,
) -> Result<Node, E> {
    if changed.is_empty() {
        return Ok(node);
    }
    let mut write = |path, node| written.push((path, node));
    match node {
        Node::Missing => Ok(build(path, changed, &mut write)),
        Node::Leaf(entry) => match changed.binary_search_by_key(&entry.stream, |change| change.stream) {
            Ok(_) => Ok(build(path, changed, &mut write)),
            Err(place) => {
                let all = [&changed[..place], &[entry], &changed[place..]].concat();
                Ok(build(path, &all, &mut write))
            }
        },
        Node::Inner(_) => {
            let (left, right) = divide(changed, path.depth);
            let mut child = |right_side, changed| {
                let at = path.child(right_side);
                let before = lookup(at)?;
                merge(at, before, changed, lookup, written)
            };
            let (left, right) = (child(false, left)?, child(true, right)?);
            let inner = Node::Inner(parent(left.hash(), right.hash()));
            written.push((path, inner));
            Ok(inner)
        }
    }
}

/// The part of the map that holds these streams and no others.
fn build(path: Path, sorted: &[Entry], write: &mut impl FnMut(Path, Node)) -> Node {
    let node = match sorted {
        [] => return Node::Missing,
        [entry] => Node::Leaf(*entry),
        _ => {
            let (left, right) = divide(sorted, path.depth);
            let left = build(path.child(false), left, write);
            let right = build(path.child(true), right, write);
            Node::Inner(parent(left.hash(), right.hash()))
        }
    };
    write(path, node);
    node
}

fn divide(sorted: &[Entry], depth: u16) -> (&[Entry], &[Entry]) {
    sorted.split_at(sorted.partition_point(|entry| !goes_right(entry.stream, depth)))
}

/// The proof that a stream is in the map, with its head, or is not.
pub fn prove<E>(stream: Hash, mut lookup: impl FnMut(Path) -> Result<Node, E>) -> Result<Proof, E> {
    let (mut path, mut siblings) = (Path::ROOT, Vec::new());
    loop {
        let end = match lookup(path)? {
            Node::Missing => End::Missing,
            Node::Leaf(entry) if entry.stream == stream => End::Own(entry.commitment),
            Node::Leaf(entry) => End::Other(entry),
            Node::Inner(_) => {
                let right = goes_right(stream, path.depth);
                siblings.push(lookup(path.child(!right))?.hash());
                path = path.child(right);
                continue;
            }
        };
        siblings.reverse();
        return Ok(Proof { end, siblings });
    }
}

/// Checks that the way of a stream through the map of that root is as the proof says.
pub fn verify(stream: Hash, proof: &Proof, root: Hash) -> Result<(), InvalidProof> {
    let depth = u16::try_from(proof.siblings.len()).map_err(|_| InvalidProof)?;
    if depth > 256 {
        return Err(InvalidProof);
    }
    let end = match proof.end {
        End::Own(commitment) => Entry { stream, commitment }.hash(),
        End::Missing => Hash::ZERO,
        End::Other(entry) => {
            let shares_path = (0..depth).all(|at| goes_right(entry.stream, at) == goes_right(stream, at));
            if entry.stream == stream || !shares_path {
                return Err(InvalidProof);
            }
            entry.hash()
        }
    };
    // Beside a leaf or a missing child there is something, or the end would lie further up.
    if proof.siblings.first() == Some(&Hash::ZERO) {
        return Err(InvalidProof);
    }
    let climbed = (0..depth).rev().zip(&proof.siblings).fold(end, |hash, (at, sibling)| {
        if goes_right(stream, at) { parent(*sibling, hash) } else { parent(hash, *sibling) }
    });
    if climbed == root { Ok(()) } else { Err(InvalidProof) }
}
