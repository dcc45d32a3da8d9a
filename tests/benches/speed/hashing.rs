//! The SHA-256 that `verify` cannot do without: the same inputs, hashed by one thread that does nothing else.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use ledger_record::proof::line::{LeafContext, LedgerSecret, RecordLeaf, commitment, leaf_hash, stream_id};
use ledger_record::proof::map::{self, StreamHead};
use ledger_record::proof::{Hash, payload, tree};
use ledger_record::record::{Content, Record};
use ledger_store::Reader;

use super::measure::{Took, Watch};

/// Records whose lines are in memory at a time.
const AT_A_TIME: usize = 100_000;

/// Salts, commitments to payloads, lines, and the nodes of the tree over them; heads and nodes of the map at each
/// seal. Making what is hashed is not counted.
pub(crate) fn hash_what_is_verified(reader: &Reader, secret: &LedgerSecret) -> Took {
    let snapshot = reader.snapshot();
    let mut took = Took { wall: Duration::ZERO, cpu: Duration::ZERO };
    let (mut lines, mut unsealed) = (Vec::new(), HashMap::new());
    let mut map = MapShape::default();
    for record in snapshot.records_from(0).expect("the log") {
        let record = record.expect("a record");
        if matches!(record.content, Content::Seal(_)) {
            let heads: Vec<(Hash, StreamHead)> = unsealed.drain().collect();
            let written = map.put(&heads);
            add(&mut took, || {
                for (_, head) in &heads {
                    black_box(head.commitment());
                }
                for (stream, _) in heads.iter().cycle().take(written) {
                    black_box(map::parent(Hash::ZERO, *stream));
                }
            });
            continue;
        }
        let stream = stream_id(&record.stream);
        let head = StreamHead { seq: record.seq, index: record.position, leaf: stream };
        unsealed.insert(stream, head);
        lines.push(line(&record, secret));
        if lines.len() == AT_A_TIME {
            hash_lines(&mut took, &lines, secret);
            lines.clear();
        }
    }
    hash_lines(&mut took, &lines, secret);
    took
}

struct Line {
    stream: Hash,
    seq: u64,
    payload: String,
    text: String,
}

fn line(record: &Record, secret: &LedgerSecret) -> Line {
    let beside = LeafContext { previous: Hash::ZERO, pinned_realm: None };
    let leaf = RecordLeaf::from_record(record, beside, secret).expect("a line");
    Line { stream: leaf.stream, seq: leaf.seq, payload: payload::of(record), text: leaf.write() }
}

fn hash_lines(took: &mut Took, lines: &[Line], secret: &LedgerSecret) {
    add(took, || {
        let mut before = Hash::ZERO;
        for Line { stream, seq, payload, text } in lines {
            black_box(commitment(&secret.salt(*stream, *seq), payload.as_bytes()));
            let leaf = leaf_hash(text);
            before = tree::parent(before, leaf);
        }
        black_box(before);
    });
}

/// The streams of a map, sorted: they tell which nodes an update hashes.
#[derive(Default)]
struct MapShape {
    streams: Vec<Hash>,
}

impl MapShape {
    /// Puts streams into the map; returns how many nodes that hashes.
    fn put(&mut self, heads: &[(Hash, StreamHead)]) -> usize {
        let mut changed: Vec<Hash> = heads.iter().map(|(stream, _)| *stream).collect();
        changed.sort_unstable();
        self.streams.extend_from_slice(&changed);
        // Two sorted runs, which the stable sort merges.
        self.streams.sort();
        self.streams.dedup();
        hashed(&self.streams, &changed, 0)
    }
}

/// The nodes over streams that share the first `depth` bits, if one of them changed.
fn hashed(streams: &[Hash], changed: &[Hash], depth: usize) -> usize {
    match (streams, changed) {
        (_, []) => 0,
        ([_], _) => 1,
        _ => {
            let is_left = |stream: &Hash| stream.0[depth / 8] & (0x80 >> (depth % 8)) == 0;
            let (left, right) = streams.split_at(streams.partition_point(is_left));
            let (to_left, to_right) = changed.split_at(changed.partition_point(is_left));
            1 + hashed(left, to_left, depth + 1) + hashed(right, to_right, depth + 1)
        }
    }
}

fn add(took: &mut Took, work: impl FnOnce()) {
    let watch = Watch::start();
    work();
    let more = watch.stop();
    took.wall += more.wall;
    took.cpu += more.cpu;
}
