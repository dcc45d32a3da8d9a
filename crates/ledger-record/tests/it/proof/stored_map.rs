//! A map whose upper nodes are kept, as a store keeps them: what proofs are read from.

use std::collections::BTreeMap;
use std::convert::Infallible;

use ledger_record::proof::Hash;
use ledger_record::proof::map::{MapEntry, MapNode, Proof, prove};

const DEPTH: u16 = 16;

pub(crate) struct StoredMap {
    pub(crate) sorted: Vec<MapEntry>,
    /// The root at 1, the children of `i` at `2i` and `2i + 1`.
    pub(crate) nodes: BTreeMap<usize, MapNode>,
}

fn word(stream: Hash) -> usize {
    usize::from(u16::from_be_bytes([stream.0[0], stream.0[1]]))
}

impl StoredMap {
    pub(crate) fn new(mut entries: Vec<MapEntry>) -> Self {
        entries.sort_unstable();
        let mut map = Self { sorted: entries, nodes: BTreeMap::new() };
        map.fill(1, 0);
        map
    }

    fn fill(&mut self, at: usize, depth: u16) -> Option<MapNode> {
        let prefix = at - (1 << depth);
        let node = match self.below(depth, prefix) {
            [] => None,
            below if depth == DEPTH => MapNode::over_streams(depth, below),
            _ => MapNode::over(self.fill(2 * at, depth + 1), self.fill(2 * at + 1, depth + 1)),
        };
        self.nodes.extend(node.map(|node| (at, node)));
        node
    }

    pub(crate) fn below(&self, depth: u16, prefix: usize) -> &[MapEntry] {
        let of = |entry: &MapEntry| word(entry.stream) >> (DEPTH - depth);
        let from = self.sorted.partition_point(|entry| of(entry) < prefix);
        let until = self.sorted.partition_point(|entry| of(entry) <= prefix);
        &self.sorted[from..until]
    }

    pub(crate) fn prove(&self, stream: Hash) -> Proof {
        let node = |depth: u16, is_beside: bool| {
            let at = (1 << depth) + (word(stream) >> (DEPTH - depth));
            Ok::<_, Infallible>(self.nodes.get(&(at ^ usize::from(is_beside))).copied())
        };
        let Ok(proof) = prove(stream, DEPTH, node, |depth| {
            Ok(self.below(depth, word(stream) >> (DEPTH - depth)).to_vec())
        });
        proof
    }
}
