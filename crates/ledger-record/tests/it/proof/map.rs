//! The map against its definition, and its proofs.

use std::collections::BTreeMap;

use ledger_record::proof::Hash;
use ledger_record::proof::map::{End, MapEntry, MapNode, Proof, StreamHead, WholeMap, root, verify};
use proptest::collection::vec;
use proptest::prelude::*;

use super::stored_map::StoredMap;

fn entry(stream: Hash, seq: u64) -> MapEntry {
    MapEntry { stream, commitment: StreamHead { seq, index: seq * 3, leaf: stream }.commitment() }
}

fn stream(number: u64) -> Hash {
    Hash::of(&[&number.to_be_bytes()])
}

#[derive(Default)]
struct Stored {
    map: WholeMap,
    entries: BTreeMap<Hash, MapEntry>,
}

impl Stored {
    fn update(&mut self, mut changed: Vec<MapEntry>) -> Hash {
        changed.sort_unstable();
        let root = self.map.update(&changed);
        self.entries.extend(changed.into_iter().map(|entry| (entry.stream, entry)));
        MapNode::hash_of(root)
    }

    fn sorted(&self) -> Vec<MapEntry> {
        self.entries.values().copied().collect()
    }

    fn prove(&self, stream: Hash) -> Proof {
        StoredMap::new(self.sorted()).prove(stream)
    }
}

/// The definition of the root, bit by bit.
fn naive(entries: &[MapEntry], depth: usize) -> Hash {
    match entries {
        [] => Hash::ZERO,
        [entry] => Hash::of(&[&[2], &entry.stream.0, &entry.commitment.0]),
        _ => {
            let is_left = |entry: &&MapEntry| entry.stream.0[depth / 8] >> (7 - depth % 8) & 1 == 0;
            let (left, right): (Vec<&MapEntry>, Vec<&MapEntry>) = entries.iter().partition(is_left);
            let [left, right] = [left, right].map(|side| side.into_iter().copied().collect::<Vec<_>>());
            Hash::of(&[&[3], &naive(&left, depth + 1).0, &naive(&right, depth + 1).0])
        }
    }
}

#[test]
fn proof_shows_the_head_or_its_absence() {
    let mut stored = Stored::default();
    assert_eq!(verify(stream(1), &stored.prove(stream(1)), Hash::ZERO), Ok(()));
    let top = stored.update((0..50).map(|number| entry(stream(number), 1)).collect());
    let mut ends = [0; 2];
    for number in 0..200 {
        let proof = stored.prove(stream(number));
        assert_eq!(verify(stream(number), &proof, top), Ok(()));
        match proof.end {
            End::Own(commitment) => assert_eq!(commitment, entry(stream(number), 1).commitment),
            End::Missing => ends[0] += 1,
            End::Other(_) => ends[1] += 1,
        }
        assert_eq!(matches!(proof.end, End::Own(_)), number < 50);
    }
    assert!(ends[0] > 0 && ends[1] > 0, "absence has two forms: {ends:?}");
}

#[test]
fn altered_proof_is_refused() {
    let mut stored = Stored::default();
    let top = stored.update((0..50).map(|number| entry(stream(number), 2)).collect());
    for number in 0..100 {
        let (id, proof) = (stream(number), stored.prove(stream(number)));
        let refused = |changed: Proof| assert!(verify(id, &changed, top).is_err(), "{changed:?}");
        let other = entry(stream(number + 1), 2);
        for end in [End::Own(entry(id, 1).commitment), End::Own(entry(id, 3).commitment), End::Missing] {
            if end != proof.end {
                refused(Proof { end, ..proof.clone() });
            }
        }
        if proof.end != End::Other(other) {
            refused(Proof { end: End::Other(other), ..proof.clone() });
        }
        refused(Proof { siblings: proof.siblings[1..].to_vec(), ..proof.clone() });
        refused(Proof { siblings: [&[Hash::ZERO], &proof.siblings[..]].concat(), ..proof.clone() });
        refused(Proof { siblings: [&proof.siblings[..1], &proof.siblings[..]].concat(), ..proof.clone() });
        refused(Proof { siblings: vec![stream(0); 257], ..proof.clone() });
        for at in 0..proof.siblings.len() {
            let mut changed = proof.clone();
            changed.siblings[at].0[31] ^= 1;
            refused(changed);
        }
    }
}

#[test]
fn streams_with_a_long_common_prefix_are_distinguished() {
    let mut near = stream(1);
    near.0[31] ^= 1;
    let mut stored = Stored::default();
    let top = stored.update(vec![entry(stream(1), 1), entry(near, 1), entry(stream(2), 1)]);
    assert_eq!(top, naive(&stored.sorted(), 0));
    let proof = stored.prove(near);
    assert_eq!(proof.siblings.len(), 256);
    assert_eq!(verify(near, &proof, top), Ok(()));
    assert!(verify(stream(1), &proof, top).is_err());
}

/// The size of a completeness proof without its records, with a million streams: at most 2.5 KB, of which a
/// checkpoint, a seal and its 24 hashes take about 1,500 bytes.
#[test]
fn proofs_stay_short_with_a_million_streams() {
    let stored = StoredMap::new((0..1_000_000).map(|number| entry(stream(number), 1)).collect());
    let top = root(&stored.sorted);
    let lengths: Vec<usize> = (0..1000)
        .map(|number| {
            let proof = stored.prove(stream(number * 999));
            assert_eq!(verify(stream(number * 999), &proof, top), Ok(()));
            proof.siblings.len() * (Hash::ZERO.to_text().len() + 3)
        })
        .collect();
    let mean = lengths.iter().sum::<usize>() / lengths.len();
    assert!(mean <= 1_000, "{mean} bytes of siblings on average");
}

#[test]
fn part_of_the_map_equals_the_node_at_its_path() {
    let stored = StoredMap::new((0..400).map(|number| entry(stream(number), 1)).collect());
    for (at, node) in &stored.nodes {
        let depth = u16::try_from(at.ilog2()).unwrap();
        let part = stored.below(depth, at - (1 << depth));
        assert_eq!(MapNode::over_streams(depth, part), Some(*node), "{at}");
        assert_eq!(node.hash, naive(part, usize::from(depth)), "{at}");
    }
    assert_eq!(MapNode::over_streams(7, &[]), None);
}

proptest! {
    #[test]
    fn update_order_does_not_change_the_map(batches in vec(vec((0..60_u64, 1..9_u64), 0..20), 1..8)) {
        let mut stored = Stored::default();
        for batch in batches {
            let changed: BTreeMap<u64, u64> = batch.into_iter().collect();
            let root_now = stored.update(changed.into_iter().map(|(n, seq)| entry(stream(n), seq)).collect());
            prop_assert_eq!(root_now, naive(&stored.sorted(), 0));
            prop_assert_eq!(root_now, root(&stored.sorted()));
            for number in 0..60 {
                let proof = stored.prove(stream(number));
                let expected = stored.entries.get(&stream(number)).map(|entry| entry.commitment);
                let shown = match proof.end { End::Own(commitment) => Some(commitment), _ => None };
                prop_assert_eq!(shown, expected);
                prop_assert_eq!(verify(stream(number), &proof, root_now), Ok(()));
            }
        }
    }
}
