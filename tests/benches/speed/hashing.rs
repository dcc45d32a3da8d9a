//! The SHA-256 that `verify` cannot do without: the same inputs, hashed by one thread that does nothing else.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hint::black_box;
use std::time::Duration;

use ledger_record::proof::line::{LeafContext, LedgerSecret, RecordLeaf, commitment, leaf_hash, stream_id};
use ledger_record::proof::map::{self, Entry, Head, Node, Path};
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
    let mut nodes = Nodes::new();
    for record in snapshot.records_from(0).expect("the log") {
        let record = record.expect("a record");
        if matches!(record.content, Content::Seal(_)) {
            let heads: Vec<(Hash, Head)> = unsealed.drain().collect();
            let written = put(&mut nodes, &heads);
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
        let head = Head { seq: record.seq, index: record.position, leaf: stream };
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

type Nodes = HashMap<(u16, Hash), Node>;

struct Line {
    stream: Hash,
    seq: u64,
    payload: String,
    text: String,
}

fn line(record: &Record, secret: &LedgerSecret) -> Line {
    let beside = LeafContext { previous: Hash::ZERO, pinned_realm: None };
    let leaf = RecordLeaf::of(record, beside, secret).expect("a line");
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

/// Puts streams into the map; returns the number of hashed nodes.
fn put(nodes: &mut Nodes, heads: &[(Hash, Head)]) -> usize {
    let mut changed: Vec<Entry> =
        heads.iter().map(|(stream, head)| Entry { stream: *stream, commitment: head.commitment() }).collect();
    changed.sort_unstable();
    let lookup = |Path { depth, bits }| {
        Ok::<_, Infallible>(nodes.get(&(depth, bits)).copied().unwrap_or(Node::Missing))
    };
    let Ok((_, written)) = map::update(&changed, lookup);
    let count = written.len();
    nodes.extend(written.into_iter().map(|(Path { depth, bits }, node)| ((depth, bits), node)));
    count
}

fn add(took: &mut Took, work: impl FnOnce()) {
    let watch = Watch::start();
    work();
    let more = watch.stop();
    took.wall += more.wall;
    took.cpu += more.cpu;
}
