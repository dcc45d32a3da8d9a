//! The tree against the public vectors, against its definition, and against two foreign implementations.

use std::collections::BTreeMap;
use std::convert::Infallible;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ledger_record::proof::Hash;
use ledger_record::proof::tree::{
    self, Node, consistency, inclusion, leaf_hash, root, verify_consistency, verify_inclusion,
};
use proptest::prelude::*;
use serde::Deserialize;
use sha2::Sha256;

const INCLUSION: &str = include_str!("../../../../../tests/fixtures/vectors/rfc6962/inclusion.ndjson");
const CONSISTENCY: &str = include_str!("../../../../../tests/fixtures/vectors/rfc6962/consistency.ndjson");

/// "Roots" of 12 bytes that the vectors accept or ignore. Our hash type cannot represent them.
const NOT_EVEN_HASHES: [&str; 3] = ["additional/2", "additional/3", "additional/4"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InclusionVector {
    name: String,
    leaf_idx: u64,
    tree_size: u64,
    root: String,
    leaf_hash: String,
    proof: Vec<String>,
    want_err: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConsistencyVector {
    name: String,
    size1: u64,
    size2: u64,
    root1: String,
    root2: String,
    proof: Vec<String>,
    want_err: bool,
}

fn hash(text: &str) -> Option<Hash> {
    STANDARD.decode(text).unwrap().try_into().ok().map(Hash)
}

fn hashes(texts: &[String]) -> Option<Vec<Hash>> {
    texts.iter().map(|text| hash(text)).collect()
}

#[test]
fn public_inclusion_vectors_hold() {
    let mut count = 0;
    for line in INCLUSION.lines() {
        let vector: InclusionVector = serde_json::from_str(line).unwrap();
        let accepted = (|| {
            let (leaf, root) = (hash(&vector.leaf_hash)?, hash(&vector.root)?);
            verify_inclusion(leaf, vector.leaf_idx, vector.tree_size, &hashes(&vector.proof)?, root).ok()
        })();
        assert_eq!(accepted.is_none(), vector.want_err, "{}", vector.name);
        count += 1;
    }
    assert_eq!(count, 98);
}

#[test]
fn public_consistency_vectors_hold() {
    let mut count = 0;
    for line in CONSISTENCY.lines() {
        let vector: ConsistencyVector = serde_json::from_str(line).unwrap();
        let accepted = (|| {
            let (root1, root2) = (hash(&vector.root1)?, hash(&vector.root2)?);
            verify_consistency(vector.size1, vector.size2, root1, root2, &hashes(&vector.proof)?).ok()
        })();
        let must_fail = vector.want_err || NOT_EVEN_HASHES.contains(&vector.name.as_str());
        assert_eq!(accepted.is_none(), must_fail, "{}", vector.name);
        count += 1;
    }
    assert_eq!(count, 97);
}

/// The nodes that become full when a leaf is appended to a tree of a size, the leaf itself first.
pub(crate) fn append<E>(
    size: u64,
    leaf: Hash,
    mut lookup: impl FnMut(Node) -> Result<Hash, E>,
) -> Result<Vec<(Node, Hash)>, E> {
    let mut node = Node { level: 0, index: size };
    let mut hash = leaf;
    let mut made = vec![(node, hash)];
    while node.index % 2 == 1 {
        let left = lookup(Node { level: node.level, index: node.index - 1 })?;
        hash = tree::parent(left, hash);
        node = Node { level: node.level + 1, index: node.index / 2 };
        made.push((node, hash));
    }
    Ok(made)
}

/// The leaves of a log and the nodes made by appending them.
struct Log {
    leaves: Vec<Vec<u8>>,
    nodes: BTreeMap<Node, Hash>,
}

impl Log {
    fn of(size: u64) -> Self {
        let mut log = Self { leaves: Vec::new(), nodes: BTreeMap::new() };
        for index in 0..size {
            let leaf = format!("leaf {index}").into_bytes();
            let made = append(index, leaf_hash(&leaf), log.lookup()).unwrap();
            for (node, hash) in made {
                assert_eq!(log.nodes.insert(node, hash), None, "a node is made once");
            }
            log.leaves.push(leaf);
        }
        log
    }

    fn lookup(&self) -> impl FnMut(Node) -> Result<Hash, Infallible> {
        |node| Ok(self.nodes[&node])
    }

    /// The root by the definition of RFC 6962.
    fn naive_root(&self, size: u64) -> Hash {
        naive(&self.leaves[..usize::try_from(size).unwrap()])
    }
}

fn naive(leaves: &[Vec<u8>]) -> Hash {
    match leaves {
        [] => tree::empty_root(),
        [leaf] => leaf_hash(leaf),
        _ => {
            let mut middle = 1;
            while middle * 2 < leaves.len() {
                middle *= 2;
            }
            tree::parent(naive(&leaves[..middle]), naive(&leaves[middle..]))
        }
    }
}

#[test]
fn small_tree_proofs_hold_for_their_place_only() {
    const SIZE: u64 = 40;
    let log = Log::of(SIZE);
    for size in 0..=SIZE {
        let top = root(size, log.lookup()).unwrap();
        assert_eq!(top, log.naive_root(size), "{size}");
        for index in 0..size {
            let leaf = leaf_hash(&log.leaves[usize::try_from(index).unwrap()]);
            let proof = inclusion(index, size, log.lookup()).unwrap();
            for other_index in 0..=size {
                for other_size in 0..=SIZE {
                    // An equal path in both trees is the same proof; the root distinguishes them.
                    let other_root = root(other_size, log.lookup()).unwrap();
                    let holds = verify_inclusion(leaf, other_index, other_size, &proof, other_root).is_ok();
                    assert_eq!(holds, (other_index, other_size) == (index, size));
                }
            }
        }
        for from in 0..=size {
            let proof = consistency(from, size, log.lookup()).unwrap();
            let old = root(from, log.lookup()).unwrap();
            assert_eq!(verify_consistency(from, size, old, top, &proof), Ok(()), "{from} {size}");
            if !proof.is_empty() {
                assert!(verify_consistency(from, size, old, top, &proof[1..]).is_err());
                assert!(verify_consistency(from, size, old, top, &proof[..proof.len() - 1]).is_err());
                assert!(verify_consistency(from, size, top, old, &proof).is_err());
                let longer = [&proof[..], &proof[..1]].concat();
                assert!(verify_consistency(from, size, old, top, &longer).is_err());
            }
        }
    }
}

#[test]
fn ct_merkle_makes_and_accepts_the_same_proofs() {
    let mut theirs: MemoryBackedTree<Sha256, Vec<u8>> = MemoryBackedTree::new();
    let log = Log::of(70);
    for (size, leaf) in (1..).zip(&log.leaves) {
        theirs.push(leaf.clone());
        let top = root(size, log.lookup()).unwrap();
        assert_eq!(theirs.root().as_bytes().as_slice(), top.0);
        let index = size * 7 % size.div_ceil(2);
        let ours = inclusion(index, size, log.lookup()).unwrap();
        let proof = theirs.prove_inclusion(usize::try_from(index).unwrap());
        assert_eq!(proof.as_bytes(), ours.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>());
        let from = size.div_ceil(3);
        let ours = consistency(from, size, log.lookup()).unwrap();
        let added = usize::try_from(size - from).unwrap();
        let proof = theirs.prove_consistency(added);
        assert_eq!(proof.as_bytes(), ours.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>());
    }
}

#[test]
fn tlog_tiles_accepts_the_proofs() {
    use tlog_tiles::{check_record, check_tree, record_hash};
    let log = Log::of(70);
    let foreign = |hash: Hash| tlog_tiles::Hash(hash.0);
    for (index, leaf) in (0..).zip(&log.leaves) {
        assert_eq!(record_hash(leaf).0, leaf_hash(leaf).0);
        let top = foreign(root(70, log.lookup()).unwrap());
        let proof = inclusion(index, 70, log.lookup()).unwrap().into_iter().map(foreign).collect();
        check_record(&proof, 70, top, index, record_hash(leaf)).unwrap();
        let from = index + 1;
        let proof = consistency(from, 70, log.lookup()).unwrap().into_iter().map(foreign).collect();
        check_tree(&proof, 70, top, from, foreign(root(from, log.lookup()).unwrap())).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn large_tree_proofs_hold(size in 1..3000_u64, at in any::<u64>(), from in any::<u64>()) {
        let log = Log::of(size);
        let (index, from) = (at % size, from % (size + 1));
        let top = root(size, log.lookup()).unwrap();
        prop_assert_eq!(top, log.naive_root(size));
        let leaf = leaf_hash(&log.leaves[usize::try_from(index).unwrap()]);
        let proof = inclusion(index, size, log.lookup()).unwrap();
        prop_assert_eq!(verify_inclusion(leaf, index, size, &proof, top), Ok(()));
        let old = root(from, log.lookup()).unwrap();
        let proof = consistency(from, size, log.lookup()).unwrap();
        prop_assert_eq!(verify_consistency(from, size, old, top, &proof), Ok(()));
    }
}
