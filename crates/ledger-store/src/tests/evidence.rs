//! The stored evidence equals what the pure functions compute from the log's leaves.

use std::convert::Infallible;

use ledger_record::key::{self, MapKey};
use ledger_record::proof::bundle::{Bundle, RecordPart, SealPart, StreamPart};
use ledger_record::proof::frontier::Frontier;
use ledger_record::proof::line::{Leaf, SealLeaf, leaf_hash, stream_id};
use ledger_record::proof::map::{self, End, MapEntry, StreamHead};
use ledger_record::proof::note::{Checkpoint, SignerKey};
use ledger_record::proof::seal::LEAVES;
use ledger_record::proof::verify::verify;
use ledger_record::proof::{Hash, payload, tree};
use ledger_record::record::{Content, Record, Stream};

use crate::error::Damage;
use crate::read::snapshot::Snapshot;
use crate::tests::verifying::delete;
use crate::tests::*;
use crate::{AppendError, OpenError, ReadError, WriteError};

/// Every leaf recomputed from its record has the stored hash; tree, map and seals match the leaves.
pub(super) fn assert_evidence(snapshot: &Snapshot<'_>) {
    let mut heads = BTreeMap::<Hash, StreamHead>::new();
    let (mut grown, mut nodes) = (Frontier::default(), BTreeMap::new());
    let size = snapshot.tree_size().unwrap();
    let mut links = crate::PreviousLeaves::default();
    for linked in snapshot.linked(0..size, &mut links).unwrap() {
        let (record, beside) = linked.unwrap();
        let (index, line) = (record.position, crate::line_of(&record, beside, &secret()).unwrap());
        let leaf = leaf_hash(&line);
        assert_eq!(snapshot.leaf(index).unwrap().unwrap().hash, leaf, "{line}");
        nodes.insert(tree::Node { level: 0, index }, leaf);
        grown.grow(leaf, |node, hash| assert_eq!(nodes.insert(node, hash), None));
        match Leaf::parse(&line).unwrap() {
            Leaf::Seal(seal) => {
                assert_eq!(seal.index, index);
                assert_eq!(seal.map_root, map_root(&heads));
                assert_eq!(seal.streams, heads.len() as u64);
                assert!(index > 0 && !is_seal(snapshot, index - 1), "an empty seal at {index}");
            }
            Leaf::Record(record) => {
                let before = heads.insert(record.stream, StreamHead { seq: record.seq, index, leaf });
                assert_eq!(record.previous, before.map_or(Hash::ZERO, |head| head.leaf));
                assert_eq!(record.seq, before.map_or(0, |head| head.seq) + 1);
            }
        }
    }
    for size in [0, size / 3, size / 2, size.saturating_sub(1), size] {
        let lookup = |node| Ok::<_, Infallible>(nodes[&node]);
        assert_eq!(snapshot.tree_root(size).unwrap(), tree::root(size, lookup).unwrap(), "{size}");
    }
}

fn is_seal(snapshot: &Snapshot<'_>, index: u64) -> bool {
    snapshot.record_at(index).unwrap().unwrap().stream == Stream::Seals
}

fn map_root(heads: &BTreeMap<Hash, StreamHead>) -> Hash {
    let entries =
        heads.iter().map(|(stream, head)| MapEntry { stream: *stream, commitment: head.commitment() });
    map::root(&entries.collect::<Vec<_>>())
}

/// Position, next offset, duplicates and refusals so far of every seal.
fn seals(reader: &Reader) -> Vec<(u64, u64, u64, u64)> {
    let snapshot = reader.snapshot();
    let seals = snapshot.records(&Stream::Seals, 1).unwrap().map(Result::unwrap).map(|seal| {
        let Content::Seal(says) = seal.content else { panic!() };
        (seal.position, seal.source.offset, says.duplicates, says.refused)
    });
    seals.collect()
}

/// Recorded this number of seconds after the start of a minute.
fn recorded(offset: u64, second: i64, event: Event) -> IncomingEvent {
    let past_minute_ms = hour(RECORDED_HOUR).as_millis() % 60_000;
    let source_time = hour(RECORDED_HOUR).plus_millis(1000 * second - past_minute_ms);
    IncomingEvent { source_time, ..arrival(offset, event) }
}

#[test]
fn seals_follow_ticks_and_minutes_and_never_repeat() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    let mut batch = shard.begin();
    batch.tick(from_offset(0)).unwrap();
    batch.offer(recorded(1, 0, installed("acme", "app", "e1", 1, "EU"))).unwrap();
    batch.offer(recorded(2, 59, installed("birch", "app", "e1", 1, "EU"))).unwrap();
    batch.offer(recorded(3, 59, installed("birch", "app", "e1", 1, "EU"))).unwrap();
    batch.tick(from_offset(4)).unwrap();
    batch.tick(from_offset(5)).unwrap();
    // Another minute: sealed leaves are not sealed again.
    batch.offer(recorded(6, 60, uninstalled("acme", "app", "e2", 2))).unwrap();
    batch.refuse(from_offset(7), refused(hour(RECORDED_HOUR))).unwrap();
    batch.offer(recorded(8, 120, uninstalled("birch", "app", "e2", 2))).unwrap();
    // A duplicate is no record, so it begins no minute.
    batch.offer(recorded(9, 600, uninstalled("birch", "app", "e2", 2))).unwrap();
    batch.commit().unwrap();
    let reader = shard.reader();
    assert_eq!(seals(&reader), [(2, 5, 1, 0), (5, 8, 1, 1)]);
    assert_eq!(
        reader.snapshot().gaps(TOPIC).unwrap().map(Result::unwrap).collect::<Vec<_>>(),
        [(0, 1), (4, 6)]
    );
    assert_whole(&reader);
}

#[test]
fn seals_follow_leaf_counts_regardless_of_batches() {
    let (ledger, cut) = (Ledger::new(), Ledger::new());
    let count = 2 * LEAVES + 10;
    let event = |number: u64| installed(&format!("t{}", number % 700), "app", &format!("e{number}"), 1, "EU");
    let mut whole = ledger.shard();
    append(&mut whole, (0..count).map(event));
    let reader = whole.reader();
    assert_eq!(seals(&reader), [(LEAVES, LEAVES, 0, 0), (2 * LEAVES + 1, 2 * LEAVES, 0, 0)]);
    assert_whole(&reader);

    let mut shard = cut.shard();
    for first in (0..count).step_by(1000) {
        let mut batch = shard.begin();
        for number in first..count.min(first + 1000) {
            batch.offer(arrival(number, event(number))).unwrap();
        }
        batch.advance(TOPIC, kafka(count.min(first + 1000)));
        batch.commit().unwrap();
        drop(shard);
        shard = cut.shard();
    }
    assert_eq!(dump(&shard.reader()), dump(&reader));
}

#[test]
fn stream_continues_after_its_last_leaf_left_the_cache() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    for batch in 0..8 {
        let numbers = 300 * batch..300 * (batch + 1);
        let event = |number| installed(&format!("t{}", number % 700), "app", &format!("e{number}"), 1, "EU");
        append(&mut shard, numbers.map(event));
    }
    assert_whole(&shard.reader());
}

#[test]
fn linked_leaves_are_right_after_a_hole_in_the_range() {
    let ledger = Ledger::new();
    let shard = verifying::eventful(&ledger);
    let reader = shard.reader();
    let snapshot = reader.snapshot();
    let size = snapshot.tree_size().unwrap();
    let mut links = crate::PreviousLeaves::default();
    // With a hole in the range, and again from the beginning.
    for range in [0..size / 4, size / 2..size, 0..size] {
        for linked in snapshot.linked(range, &mut links).unwrap() {
            let (record, beside) = linked.unwrap();
            let line = crate::line_of(&record, beside, &secret()).unwrap();
            let stored = snapshot.leaf(record.position).unwrap().unwrap();
            assert_eq!(leaf_hash(&line), stored.hash, "{line}");
        }
    }
}

#[test]
fn end_of_import_seals_once() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    let end = |shard: &mut Shard| {
        let mut batch = shard.begin();
        batch.seal_unsealed(from_offset(9)).unwrap();
        batch.commit().unwrap()
    };
    assert_eq!(end(&mut shard).records, 0);
    append(&mut shard, [installed("acme", "app", "e1", 1, "EU")]);
    assert_eq!(end(&mut shard).head.next_position, 2);
    assert_eq!(end(&mut shard).records, 0);
    assert_eq!(seals(&shard.reader()), [(1, 9, 0, 0)]);
}

#[test]
fn timestamps_beyond_a_leaf_are_clamped() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    let mut batch = shard.begin();
    let event = || installed("acme", "app", "e1", 1, "EU");
    let first = IncomingEvent { source_time: Timestamp::MIN, ..arrival(0, event()) };
    assert!(
        matches!(batch.offer(first).unwrap(), AppendResult::Refused(_)),
        "from the future, seen from there"
    );
    batch.refuse(from_offset(0), refused(Timestamp::MIN)).unwrap();
    batch.offer(IncomingEvent { source_time: Timestamp::MAX, ..arrival(1, event()) }).unwrap();
    batch.refuse(from_offset(2), refused(Timestamp::MAX)).unwrap();
    batch.commit().unwrap();
    assert_whole(&shard.reader());
}

/// The bundle of a tenant, as of the last seal.
fn bundle(snapshot: &Snapshot<'_>, of: &str, apps: &[&str], key: &SignerKey) -> Bundle {
    let seal = snapshot.last_seal().unwrap().unwrap();
    let size = seal.position + 1;
    let root = snapshot.tree_root(size).unwrap();
    let line = |record: &Record| snapshot.leaf_line(record, &secret()).unwrap();
    let part = |stream: Stream| {
        let records = snapshot.records(&stream, 1).unwrap().map(Result::unwrap);
        let records = records.filter(|record| record.position < size).map(|record| RecordPart {
            index: record.position,
            entry: line(&record),
            opening: Some((Hash(secret().salt(stream_id(&stream), record.seq)), payload::of(&record))),
            proof: snapshot.inclusion(record.position, size).unwrap(),
        });
        StreamPart::new(snapshot.prove_stream(&stream).unwrap(), records.collect())
    };
    Bundle {
        client: client(of),
        origin: "ledger/0".to_owned(),
        note: Checkpoint { origin: "ledger/0".to_owned(), size, root }.sign(&[key]),
        seal: SealPart {
            index: seal.position,
            entry: line(&seal),
            proof: snapshot.inclusion(seal.position, size).unwrap(),
        },
        history: part(Stream::Tenant(client(of))),
        apps: apps.iter().map(|of| (app(of), part(Stream::App(app(of))))).collect(),
        consistency: None,
    }
}

#[test]
fn stored_bundle_and_absence_proof_are_valid() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    append(&mut shard, [policy_set("app", "p1", 0, 10), installed("acme", "app", "e1", 3, "EU")]);
    append(&mut shard, (0..900).map(|number| installed(&format!("t{number}"), "app", "e1", 1, "EU")));
    append(
        &mut shard,
        [
            uninstalled("acme", "app", "e2", 4),
            installed("acme", "app", "e3", 5, "US"),
            product_moved("acme", "e4", 2, "US"),
            descriptor_published("app", "p2", 4, &["EU"]),
        ],
    );
    let mut batch = shard.begin();
    batch.tick(from_offset(906)).unwrap();
    batch.commit().unwrap();
    append(&mut shard, [uninstalled("acme", "app", "e9", 9)]);
    drop(shard);
    let shard = ledger.shard();
    let reader = shard.reader();
    let (snapshot, key) = (reader.snapshot(), SignerKey::from_seed("ledger/0", [1; 32]).unwrap());
    let judged = |bundle: Bundle| verify(&bundle.write(), &[key.verifier()], None).unwrap();
    let verified = judged(bundle(&snapshot, "acme", &["app"], &key));
    assert_eq!(verified.records.len(), 4);
    assert!(verified.decisions_follow());
    assert_eq!(judged(bundle(&snapshot, "t7", &["app"], &key)).records.len(), 1);
    for number in 0..40 {
        assert_eq!(judged(bundle(&snapshot, &format!("nobody-{number}"), &[], &key)).records.len(), 0);
    }
    let seal = snapshot.last_seal().unwrap().unwrap();
    let Content::Seal(says) = &seal.content else { panic!() };
    assert_eq!(verified.seal, SealLeaf::from_record(&seal, says));
    let consistency = snapshot.consistency(300, seal.position + 1).unwrap();
    let roots = [300, seal.position + 1].map(|size| snapshot.tree_root(size).unwrap());
    tree::verify_consistency(300, seal.position + 1, roots[0], roots[1], &consistency).unwrap();
}

/// A shard with a record each of fifty tenants, and a seal.
fn fifty_sealed(ledger: &Ledger) -> Shard {
    let mut shard = ledger.shard();
    append(&mut shard, (0..50).map(|number| installed(&format!("t{number}"), "app", "e1", 1, "EU")));
    let mut batch = shard.begin();
    batch.tick(from_offset(50)).unwrap();
    batch.commit().unwrap();
    shard
}

#[test]
fn lost_stream_row_is_damage_and_no_proof_of_absence() {
    let ledger = Ledger::new();
    let shard = fifty_sealed(&ledger);
    let stream = Stream::Tenant(client("t7"));
    let reader = shard.reader();
    assert!(matches!(reader.snapshot().prove_stream(&stream).unwrap().end, End::Own(_)));
    let row = MapKey::Stream(stream_id(&stream)).encode();
    delete(&reader, Family::Map, &row);
    let refused = reader.snapshot().prove_stream(&stream).unwrap_err();
    assert!(matches!(refused, ReadError::Damaged(_)), "{refused}");
}

fn change_row(ledger: &Ledger, family: Family, change: impl Fn(&[u8], &[u8]) -> Option<Vec<u8>>) {
    let database = ledger.data.open_database(&shard_id(0)).unwrap();
    let mut rows = Vec::new();
    let mut scan = database.scan(family, everything(), ReadOptions::default()).unwrap();
    while let Some((key, value)) = scan.step().unwrap() {
        rows.push((key.to_vec(), value.to_vec()));
    }
    drop(scan);
    let mut write = rocksdb::WriteBatch::default();
    for (key, value) in rows {
        let handle = database.family(family).unwrap();
        match change(&key, &value) {
            Some(value) => write.put_cf(handle, key, value),
            None => write.delete_cf(handle, key),
        }
    }
    database.write(write, &crate::db::tuning::durable()).unwrap();
}

#[test]
fn map_differing_from_the_last_seal_refuses_to_open() {
    let ledger = Ledger::new();
    drop(fifty_sealed(&ledger));
    let second = |key: &[u8], value: &[u8]| {
        let mut value = value.to_vec();
        if key[0] == 2 {
            value[7] ^= 1;
        }
        Some(value)
    };
    change_row(&ledger, Family::Map, second);
    let Err(OpenError::Damaged(damaged)) = ledger.data.open_shard(&shard_id(0)) else { panic!() };
    assert_eq!(damaged.family, Family::Map);
    assert!(matches!(damaged.cause, Damage::Contradicted));
    change_row(&ledger, Family::Map, second);
    assert_whole(&ledger.shard().reader());
}

#[test]
fn commit_missing_a_leaf_writes_nothing_and_poisons() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    append(&mut shard, (0..300).map(|number| installed(&format!("t{number}"), "app", "e1", 1, "EU")));
    let mut batch = shard.begin();
    batch.tick(from_offset(300)).unwrap();
    batch.commit().unwrap();
    drop(shard);
    let cut_off = |key: &[u8], value: &[u8]| {
        Some(if key == key::position(0) { value[..31].to_vec() } else { value.to_vec() })
    };
    change_row(&ledger, Family::Leaves, cut_off);
    let mut shard = ledger.shard();
    let before = dump(&shard.reader());
    let mut batch = shard.begin();
    batch.offer(arrival(301, uninstalled("t70", "app", "e2", 2))).unwrap();
    batch.offer(arrival(302, uninstalled("t0", "app", "e2", 2))).unwrap();
    let Err(AppendError::Poisoned(poison)) = batch.commit() else { panic!() };
    assert!(matches!(poison.cause, WriteError::Damaged(_)), "{poison:?}");
    assert_eq!(poison.next_position, 301);
    assert_eq!(dump(&shard.reader()), before);
    drop(shard);
    let mut shard = ledger.shard();
    append(&mut shard, [uninstalled("t70", "app", "e2", 2)]);
    let reader = shard.reader();
    let snapshot = reader.snapshot();
    let line = snapshot.leaf_line(&snapshot.record_at(301).unwrap().unwrap(), &secret()).unwrap();
    assert_eq!(reader.snapshot().leaf(301).unwrap().unwrap().hash, leaf_hash(&line));
}
