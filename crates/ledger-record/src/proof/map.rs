//! The map of every stream's head: a binary prefix tree, so that "this is all of it" and "there is none" can
//! be proven.
//!
//! ```text
//! leaf     SHA-256(02 ‖ stream id ‖ c)      c = SHA-256("realm-ledger/head/v1" 00 ‖ n u64 BE ‖ index u64 BE
//! parent   SHA-256(03 ‖ left ‖ right)                    ‖ leaf hash of the last record)
//! missing child: 32 zero bytes
//! ```
//!
//! A stream's leaf lies on the path that the bits of its id give, from the most significant one: 0 is left, 1
//! is right; and as far up as it is alone there. So a set of streams has one map, and a stream has one place
//! in it: where its path ends at another's leaf or at nothing, it is not in the map. The map without streams
//! has the missing child for its root. Nothing is ever taken out.
//!
//! Here is what a node is ([`MapNode`]), what proves a stream ([`prove()`], [`verify`]), and a map in memory for whoever checks
//! a log from its first line ([`WholeMap`]). The store keeps the nodes as rows and says how.

use super::tree::InvalidProof;
use crate::hash::Hash;

/// The last record of a stream: how many there are, and which leaf is the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamHead {
    /// Seq of the last record.
    pub seq: u64,
    /// Its index in the log.
    pub index: u64,
    /// Its leaf hash.
    pub leaf: Hash,
}

impl StreamHead {
    /// What the map holds of it.
    #[must_use]
    pub fn commitment(self) -> Hash {
        let Self { seq, index, leaf } = self;
        Hash::of(&[b"realm-ledger/head/v1\0", &seq.to_be_bytes(), &index.to_be_bytes(), &leaf.0])
    }
}

/// A stream in the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MapEntry {
    /// The stream's id.
    pub stream: Hash,
    /// [`StreamHead::commitment`]
    pub commitment: Hash,
}

impl MapEntry {
    fn hash(self) -> Hash {
        Hash::of(&[&[2], &self.stream.0, &self.commitment.0])
    }
}

/// The hash of an inner node.
#[must_use]
pub fn parent(left: Hash, right: Hash) -> Hash {
    Hash::of(&[&[3], &left.0, &right.0])
}

/// A node with at least one stream below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapNode {
    /// It is the leaf of the only stream below.
    pub is_lone: bool,
    /// The node's hash.
    pub hash: Hash,
}

impl MapNode {
    /// The leaf of a stream that is alone.
    #[must_use]
    pub fn lone(entry: MapEntry) -> Self {
        Self { is_lone: true, hash: entry.hash() }
    }

    /// The node over two children; a lone stream's leaf lies as far up as it is alone.
    #[must_use]
    pub fn over(left: Option<Self>, right: Option<Self>) -> Option<Self> {
        match (left, right) {
            (None, None) => None,
            (Some(node), None) | (None, Some(node)) if node.is_lone => Some(node),
            (left, right) => {
                Some(Self { is_lone: false, hash: parent(Self::hash_of(left), Self::hash_of(right)) })
            }
        }
    }

    /// The node over these streams, sorted by id, each once, which share the first `depth` bits.
    #[must_use]
    pub fn over_streams(depth: u16, sorted: &[MapEntry]) -> Option<Self> {
        match sorted {
            [] => None,
            [entry] => Some(Self::lone(*entry)),
            _ => {
                let (left, right) = divide(sorted, depth);
                Self::over(Self::over_streams(depth + 1, left), Self::over_streams(depth + 1, right))
            }
        }
    }

    /// The hash that stands for a node in its parent, and at the root of the map.
    #[must_use]
    pub fn hash_of(node: Option<Self>) -> Hash {
        node.map_or(Hash::ZERO, |node| node.hash)
    }
}

/// The root of the map of these streams, sorted by id, each once.
#[must_use]
pub fn root(sorted: &[MapEntry]) -> Hash {
    MapNode::hash_of(MapNode::over_streams(0, sorted))
}

/// Which way the path of a stream goes at a depth.
fn goes_right(stream: Hash, depth: u16) -> bool {
    stream.0[usize::from(depth / 8)] & (0x80 >> (depth % 8)) != 0
}

fn divide(sorted: &[MapEntry], depth: u16) -> (&[MapEntry], &[MapEntry]) {
    sorted.split_at(sorted.partition_point(|entry| !goes_right(entry.stream, depth)))
}

/// A whole map in memory, or a part of it, while it grows.
///
/// The hash of a node stands in the one above it, beside its sibling's, so that nothing else is looked up on the way.
/// A stream takes some 130 bytes.
#[derive(Debug, Default)]
pub struct WholeMap {
    depth: u16,
    root: WholeNode,
    inner: Vec<[WholeNode; 2]>,
    streams: Vec<Hash>,
}

/// A node as the one above it keeps it.
#[derive(Debug, Clone, Copy, Default)]
struct WholeNode {
    hash: Hash,
    below: Below,
}

#[derive(Debug, Clone, Copy, Default)]
enum Below {
    #[default]
    Nothing,
    /// A stream alone, by its place in the list.
    Stream(usize),
    /// Children, by their place in the list.
    Children(usize),
}

impl WholeMap {
    /// The part of a map that holds the streams which share so many first bits.
    #[must_use]
    pub fn below(depth: u16) -> Self {
        Self { depth, ..Self::default() }
    }

    /// Puts streams into it, sorted by id, each once. Returns its root.
    pub fn update(&mut self, changed: &[MapEntry]) -> Option<MapNode> {
        self.fetch(changed);
        self.root = self.put(self.root, self.depth, changed);
        let WholeNode { hash, below } = self.root;
        match below {
            Below::Nothing => None,
            Below::Stream(_) => Some(MapNode { is_lone: true, hash }),
            Below::Children(_) => Some(MapNode { is_lone: false, hash }),
        }
    }

    /// Looks at every node above what changes, a level at a time. A large map does not fit into the caches of a
    /// processor: here the nodes of a level are waited for together, in [`Self::put`] each would be for itself.
    fn fetch(&self, changed: &[MapEntry]) {
        let (mut level, mut depth) = (vec![(self.root.below, changed)], self.depth);
        while !level.is_empty() {
            let mut next = Vec::with_capacity(2 * level.len());
            for (below, changed) in level {
                let (Below::Children(place), false) = (below, changed.is_empty()) else { continue };
                let [left, right] = &self.inner[place];
                let (to_left, to_right) = divide(changed, depth);
                next.extend([(left.below, to_left), (right.below, to_right)]);
            }
            (level, depth) = (next, depth + 1);
        }
    }

    /// Puts streams below a node. One above many of them is hashed once.
    fn put(&mut self, at: WholeNode, depth: u16, changed: &[MapEntry]) -> WholeNode {
        let [left, right] = match (at.below, changed) {
            (_, []) => return at,
            (Below::Nothing, [entry]) => {
                self.streams.push(entry.stream);
                return WholeNode { hash: entry.hash(), below: Below::Stream(self.streams.len() - 1) };
            }
            (Below::Stream(place), [entry]) if self.streams[place] == entry.stream => {
                return WholeNode { hash: entry.hash(), ..at };
            }
            (Below::Nothing, _) => [WholeNode::default(); 2],
            (Below::Stream(place), _) if goes_right(self.streams[place], depth) => [WholeNode::default(), at],
            (Below::Stream(_), _) => [at, WholeNode::default()],
            (Below::Children(place), _) => self.inner[place],
        };
        let (to_left, to_right) = divide(changed, depth);
        let children = [self.put(left, depth + 1, to_left), self.put(right, depth + 1, to_right)];
        let place = if let Below::Children(place) = at.below {
            self.inner[place] = children;
            place
        } else {
            self.inner.push(children);
            self.inner.len() - 1
        };
        WholeNode { hash: parent(children[0].hash, children[1].hash), below: Below::Children(place) }
    }
}

/// Where the path of a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// At the stream's own leaf.
    Own(Hash),
    /// At nothing.
    Missing,
    /// At the leaf of another stream.
    Other(MapEntry),
}

/// The way of a stream through the map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Where it ends; of the own leaf the commitment.
    pub end: End,
    /// The siblings from there up to the root.
    pub siblings: Vec<Hash>,
}

/// The proof that a stream is in the map, with its head, or is not. `node` reads the node at a depth on the stream's own
/// path (`false`) or beside it (`true`), down to `kept`; `streams` reads the streams that share so many first bits with
/// it, sorted by id: below the first lone node, or below `kept`.
pub fn prove<E>(
    stream: Hash,
    kept: u16,
    mut node: impl FnMut(u16, bool) -> Result<Option<MapNode>, E>,
    streams: impl FnOnce(u16) -> Result<Vec<MapEntry>, E>,
) -> Result<Proof, E> {
    let (mut depth, mut siblings) = (0, Vec::new());
    let below = loop {
        match node(depth, false)? {
            None => break Vec::new(),
            Some(found) if found.is_lone || depth == kept => break streams(depth)?,
            Some(_) => {
                depth += 1;
                siblings.push(MapNode::hash_of(node(depth, true)?));
            }
        }
    };
    let mut below = &below[..];
    let end = loop {
        match below {
            [] => break End::Missing,
            [entry] if entry.stream == stream => break End::Own(entry.commitment),
            [entry] => break End::Other(*entry),
            _ => {
                let (left, right) = divide(below, depth);
                let (own, other) = if goes_right(stream, depth) { (right, left) } else { (left, right) };
                depth += 1;
                siblings.push(MapNode::hash_of(MapNode::over_streams(depth, other)));
                below = own;
            }
        }
    };
    siblings.reverse();
    Ok(Proof { end, siblings })
}

/// Checks that the way of a stream through the map of that root is as the proof says.
pub fn verify(stream: Hash, proof: &Proof, root: Hash) -> Result<(), InvalidProof> {
    let depth = u16::try_from(proof.siblings.len()).map_err(|_| InvalidProof)?;
    if depth > 256 {
        return Err(InvalidProof);
    }
    let end = match proof.end {
        End::Own(commitment) => MapEntry { stream, commitment }.hash(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_root_of_the_same_map_whatever_it_was_put_together_from() {
        // Ids that share long beginnings, and others.
        let stream = |number: u64| match number % 3 {
            0 => Hash([0; 32]),
            _ => Hash::of(&[&(number % 40).to_be_bytes()]),
        };
        let entry = |number: u64| {
            let mut stream = stream(number);
            stream.0[31] = u8::try_from(number % 11).unwrap();
            MapEntry { stream, commitment: Hash::of(&[&number.to_le_bytes()]) }
        };
        let mut whole = WholeMap::default();
        let mut all = std::collections::BTreeMap::new();
        assert_eq!(whole.update(&[]), None);
        for seal in 0..60 {
            let changed: std::collections::BTreeMap<Hash, MapEntry> =
                (7 * seal..8 * seal + 3).map(entry).map(|entry| (entry.stream, entry)).collect();
            all.extend(changed.clone());
            let [changed, all] = [&changed, &all].map(|map| map.values().copied().collect::<Vec<_>>());
            assert_eq!(whole.update(&changed).unwrap().hash, root(&all), "seal {seal}");
        }
        assert!(all.len() > 100);
    }
}
