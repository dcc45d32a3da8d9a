//! The size of a proof in a large log; the tree and the map are really built.

use std::collections::BTreeMap;
use std::convert::Infallible;

use ledger_record::proof::Hash;
use ledger_record::proof::bundle::{Bundle, SealPart, StreamPart};
use ledger_record::proof::line::{SealLeaf, stream_id};
use ledger_record::proof::map::{self, MapEntry, StreamHead};
use ledger_record::proof::note::Checkpoint;
use ledger_record::proof::tree;
use ledger_record::proof::verify::verify;
use ledger_record::record::Stream;

use super::bundle::keys;
use super::ledger::{ORIGIN, client, key};
use super::stored_map::StoredMap;
use super::tree::append;

const TENANTS: u64 = 1_000_000;
const LEAVES: u64 = 10_000_000;

/// The part of a growing tree that its next leaf needs.
#[derive(Default)]
struct Edge(BTreeMap<tree::Node, Hash>);

impl Edge {
    fn push(&mut self, index: u64, leaf: Hash) {
        let made = append(index, leaf, self.lookup()).unwrap();
        for (node, hash) in made {
            if let Some(level) = node.level.checked_sub(1) {
                for child in [2 * node.index, 2 * node.index + 1] {
                    self.0.remove(&tree::Node { level, index: child });
                }
            }
            self.0.insert(node, hash);
        }
    }

    fn lookup(&self) -> impl FnMut(tree::Node) -> Result<Hash, Infallible> {
        |node| Ok(self.0[&node])
    }
}

fn tenant(number: u64) -> Stream {
    Stream::Tenant(client(&format!("tenant-{number}.example.net")))
}

/// The heads of all tenants: the last ten leaves of each are at the end of the log.
fn map_of_all() -> StoredMap {
    let head = |number: u64| StreamHead {
        seq: 10,
        index: LEAVES - 2 - number,
        leaf: Hash::of(&[&number.to_be_bytes()]),
    };
    let entry =
        |number| MapEntry { stream: stream_id(&tenant(number)), commitment: head(number).commitment() };
    StoredMap::new((0..TENANTS).map(entry).collect())
}

/// At most 2.5 KB.
#[test]
fn completeness_proof_is_short_in_a_large_log() {
    let map = map_of_all();
    let map_root = map::root(&map.sorted);
    let seal = SealLeaf {
        index: LEAVES - 1,
        map_root,
        streams: TENANTS,
        next: "realm.lifecycle/7/10123456".to_owned(),
        duplicates: 12_345,
        rejected: 123,
        recorded: ledger_core::time::Timestamp::from_millis(1_772_359_200_456),
    };
    let entry = seal.write().unwrap();
    let mut edge = Edge::default();
    for index in 0..LEAVES - 1 {
        edge.push(index, tree::leaf_hash(&index.to_be_bytes()));
    }
    let proof_edge = edge.0.clone();
    edge.push(LEAVES - 1, tree::leaf_hash(entry.as_bytes()));
    let root = tree::root(LEAVES, edge.lookup()).unwrap();
    let proof = tree::inclusion(LEAVES - 1, LEAVES, |node| Ok::<_, Infallible>(proof_edge[&node])).unwrap();
    let note = Checkpoint { origin: ORIGIN.to_owned(), size: LEAVES, root }.sign(&[&key(1)]);
    let mut lengths = Vec::new();
    for number in 0..500 {
        let nobody = client(&format!("nobody-{number}.example.net"));
        let way = map.prove(stream_id(&Stream::Tenant(nobody.clone())));
        let bundle = Bundle {
            client: nobody,
            origin: ORIGIN.to_owned(),
            note: note.clone(),
            seal: SealPart { index: LEAVES - 1, entry: entry.clone(), proof: proof.clone() },
            history: StreamPart::new(way, Vec::new()),
            apps: Vec::new(),
            consistency: None,
        };
        let text = bundle.write();
        assert_eq!(verify(&text, &keys(), None).unwrap().records, []);
        lengths.push(text.len());
    }
    let longest = lengths.iter().max().copied().unwrap();
    assert!((2_000..=2_500).contains(&longest), "{longest}");
}
