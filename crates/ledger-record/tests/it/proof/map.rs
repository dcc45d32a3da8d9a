//! The map against its definition, and its proofs.

use std::collections::BTreeMap;
use std::convert::Infallible;

use ledger_record::proof::Hash;
use ledger_record::proof::map::{End, Entry, Head, Node, Path, Proof, below, prove, root, update, verify};
use proptest::collection::vec;
use proptest::prelude::*;

fn entry(stream: Hash, seq: u64) -> Entry {
    Entry { stream, commitment: Head { seq, index: seq * 3, leaf: stream }.commitment() }
}

fn stream(number: u64) -> Hash {
    Hash::of(&[&number.to_be_bytes()])
}

#[derive(Default)]
struct Stored {
    nodes: BTreeMap<Path, Node>,
    entries: BTreeMap<Hash, Entry>,
}

impl Stored {
    fn update(&mut self, mut changed: Vec<Entry>) -> Hash {
        changed.sort_unstable();
        let (root, written) = update(&changed, self.lookup()).unwrap();
        self.nodes.extend(written);
        self.entries.extend(changed.into_iter().map(|entry| (entry.stream, entry)));
        root
    }

    fn lookup(&self) -> impl FnMut(Path) -> Result<Node, Infallible> {
        |path| Ok(self.nodes.get(&path).copied().unwrap_or(Node::Missing))
    }

    fn sorted(&self) -> Vec<Entry> {
        self.entries.values().copied().collect()
    }

    fn prove(&self, stream: Hash) -> Proof {
        prove(stream, self.lookup()).unwrap()
    }
}

/// The definition of the root, bit by bit.
fn naive(entries: &[Entry], depth: usize) -> Hash {
    match entries {
        [] => Hash::ZERO,
        [entry] => Hash::of(&[&[2], &entry.stream.0, &entry.commitment.0]),
        _ => {
            let is_left = |entry: &&Entry| entry.stream.0[depth / 8] >> (7 - depth % 8) & 1 == 0;
            let (left, right): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(is_left);
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

#[test]
fn update_writes_only_the_changed_path() {
    let mut stored = Stored::default();
    stored.update((0..1000).map(|number| entry(stream(number), 1)).collect());
    let way = stored.prove(stream(7)).siblings.len();
    let (_, written) = update(&[entry(stream(7), 2)], stored.lookup()).unwrap();
    assert_eq!(written.len(), way + 1);
}

/// The size of a completeness proof without its records, with a million streams: at most 2.5 KB, of which a
/// checkpoint, a seal and its 24 hashes take about 1,500 bytes.
#[test]
fn proofs_stay_short_with_a_million_streams() {
    let mut entries: Vec<Entry> = (0..1_000_000).map(|number| entry(stream(number), 1)).collect();
    entries.sort_unstable();
    let mut nodes = BTreeMap::new();
    let (top, written) = update(&entries, |_| Ok::<_, Infallible>(Node::Missing)).unwrap();
    assert_eq!(top, root(&entries));
    nodes.extend(written);
    let lookup = |path| Ok::<_, Infallible>(nodes.get(&path).copied().unwrap_or(Node::Missing));
    let lengths: Vec<usize> = (0..1000)
        .map(|number| {
            let proof = prove(stream(number * 999), lookup).unwrap();
            assert_eq!(verify(stream(number * 999), &proof, top), Ok(()));
            proof.siblings.len() * (Hash::ZERO.to_text().len() + 3)
        })
        .collect();
    let mean = lengths.iter().sum::<usize>() / lengths.len();
    assert!(mean <= 1_000, "{mean} bytes of siblings on average");
}

#[test]
fn part_of_the_map_equals_the_node_at_its_path() {
    let mut entries: Vec<_> = (0..400).map(|number| entry(stream(number), 1)).collect();
    entries.sort_unstable();
    let mut stored = Stored::default();
    stored.update(entries.clone());
    for (path, node) in &stored.nodes {
        let begins = |entry: &&Entry| {
            let bit = |hash: Hash, at: u16| hash.0[usize::from(at / 8)] >> (7 - at % 8) & 1;
            (0..path.depth).all(|at| bit(entry.stream, at) == bit(path.bits, at))
        };
        let part: Vec<Entry> = entries.iter().filter(begins).copied().collect();
        assert_eq!(below(path.depth, &part), *node, "{path:?}");
    }
    assert_eq!(below(7, &[]), Node::Missing);
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
