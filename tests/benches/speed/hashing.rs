//! The SHA-256 that `verify` cannot do without: the same inputs, hashed by one thread that does nothing else.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hint::black_box;
use std::time::Duration;

use ledger_record::proof::line::{LeafContext, LedgerSecret, RecordLeaf, commitment, leaf_hash, stream_id};
use ledger_record::proof::map::{self, MapEntry, NodeStore, StreamHead, WholeMap, WholeNode};
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
    let mut map = CountingMap::default();
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

/// A map that counts the nodes that it hashes.
#[derive(Default)]
struct CountingMap {
    map: WholeMap,
    root: WholeNode,
    hashed: usize,
}

impl CountingMap {
    /// Puts streams into the map; returns how many nodes that hashed.
    fn put(&mut self, heads: &[(Hash, StreamHead)]) -> usize {
        let entry =
            |(stream, head): &(Hash, StreamHead)| MapEntry { stream: *stream, commitment: head.commitment() };
        let mut changed: Vec<MapEntry> = heads.iter().map(entry).collect();
        changed.sort_unstable();
        self.hashed = 0;
        let Ok(root) = map::update(self, self.root, 0, &changed);
        self.root = root;
        self.hashed
    }
}

impl NodeStore for CountingMap {
    type At = WholeNode;
    type Error = Infallible;

    fn put_streams(
        &mut self,
        at: WholeNode,
        depth: u16,
        changed: &[MapEntry],
    ) -> Result<Option<WholeNode>, Infallible> {
        let put = self.map.put_streams(at, depth, changed)?;
        self.hashed += usize::from(put.is_some());
        Ok(put)
    }

    fn children(&self, at: WholeNode, depth: u16) -> [WholeNode; 2] {
        self.map.children(at, depth)
    }

    fn join(&mut self, at: WholeNode, children: [WholeNode; 2]) -> WholeNode {
        self.hashed += 1;
        self.map.join(at, children)
    }
}

fn add(took: &mut Took, work: impl FnOnce()) {
    let watch = Watch::start();
    work();
    let more = watch.stop();
    took.wall += more.wall;
    took.cpu += more.cpu;
}
