//! A true shard verifies, and each lie written to the disk is found and named.

use ledger_core::state::Rule;
use ledger_record::key::evidence::{LeafRow, MapKey};
use ledger_record::key::{self, DuplicateKey, GapKey};
use ledger_record::proof::line::{Leaf, leaf_hash, stream_id};
use ledger_record::proof::log;
use ledger_record::proof::note::Checkpoint;
use ledger_record::record::{Content, Record, Stream};
use rocksdb::{WriteBatch, WriteOptions};

use crate::check::verify::{ShardFault, VerifiedShard, VerifyError};
use crate::tests::*;

/// Several tenants and apps, late events of both kinds, a repeat, a refusal, empty offsets, seals.
pub(super) fn eventful(ledger: &Ledger) -> Shard {
    let mut shard = ledger.shard();
    let mut batch = shard.begin();
    batch.offer(arrival(0, descriptor_published("app", "d1", 0, &["EU", "US"]))).unwrap();
    batch.offer(arrival(1, installed("acme", "app", "e1", 1, "EU"))).unwrap();
    batch.offer(arrival(2, installed("birch", "app", "e1", 1, "US"))).unwrap();
    batch.refuse(from_offset(3), refused(hour(RECORDED_HOUR))).unwrap();
    batch.tick(from_offset(4)).unwrap();
    batch.offer(arrival(5, uninstalled("acme", "app", "e2", 30))).unwrap();
    batch.offer(arrival(6, uninstalled("acme", "app", "e2", 30))).unwrap();
    batch.gap(TOPIC, 7, 9).unwrap();
    batch.offer(arrival(9, installed("acme", "app", "e3", 900, "US"))).unwrap();
    batch.tick(from_offset(10)).unwrap();
    // Late: between install and uninstall, and for both tenants.
    batch.offer(arrival(11, policy_set("app", "p1", 20, 3))).unwrap();
    batch.offer(arrival(12, product_moved("acme", "e4", 10, "US"))).unwrap();
    batch.offer(arrival(13, installed("cedar", "other", "e1", 5, "EU"))).unwrap();
    batch.tick(from_offset(14)).unwrap();
    batch.offer(arrival(15, uninstalled("birch", "app", "e2", 950))).unwrap();
    batch.advance(TOPIC, kafka(16));
    batch.commit().unwrap();
    shard
}

pub(super) fn verified(reader: &Reader) -> Result<VerifiedShard, VerifyError> {
    reader.snapshot().verify(&secret(), &[], &mut |_, _| {})
}

#[track_caller]
pub(super) fn fault(reader: &Reader) -> ShardFault {
    match verified(reader) {
        Err(VerifyError::Differs(fault)) => fault,
        other => panic!("not found: {other:?}"),
    }
}

pub(super) fn put(reader: &Reader, family: Family, key: &[u8], value: &[u8]) {
    let mut batch = WriteBatch::default();
    batch.put_cf(reader.database().family(family).unwrap(), key, value);
    reader.database().write(batch, &WriteOptions::default()).unwrap();
}

pub(super) fn delete(reader: &Reader, family: Family, key: &[u8]) {
    let mut batch = WriteBatch::default();
    batch.delete_cf(reader.database().family(family).unwrap(), key);
    reader.database().write(batch, &WriteOptions::default()).unwrap();
}

/// Changes a record as an attacker with knowledge of the formats would.
pub(super) fn rewrite(reader: &Reader, position: u64, change: impl FnOnce(&mut Record)) -> Record {
    let mut record = reader.snapshot().record_at(position).unwrap().unwrap();
    change(&mut record);
    put(reader, Family::Log, &key::log::log(&record.stream, record.seq), &record.encode());
    record
}

/// The same by an attacker with the secret, who adjusts the leaf.
pub(super) fn rewrite_with_leaf(reader: &Reader, position: u64, change: impl FnOnce(&mut Record)) {
    let record = rewrite(reader, position, change);
    let snapshot = reader.snapshot();
    let stored = snapshot.leaf(position).unwrap().unwrap();
    let line = snapshot.leaf_line(&record, &secret()).unwrap();
    let row = LeafRow { hash: leaf_hash(&line), ..stored };
    put_placed(reader, Family::Leaves, position, &row.encode());
}

pub(super) fn seals(reader: &Reader) -> Vec<u64> {
    let snapshot = reader.snapshot();
    snapshot.records(&Stream::Seals, 1).unwrap().map(|seal| seal.unwrap().position).collect()
}

#[test]
fn true_shard_verifies() {
    let ledger = Ledger::new();
    let shard = eventful(&ledger);
    let reader = shard.reader();
    let mut told = Vec::new();
    let found = reader.snapshot().verify(&secret(), &[], &mut |done, of| told.push((done, of))).unwrap();
    let snapshot = reader.snapshot();
    let size = snapshot.tree_size().unwrap();
    assert_eq!((found.size, found.root), (size, snapshot.tree_root(size).unwrap()));
    assert_eq!((found.tenants, found.refused, found.duplicates, found.seals), (3, 1, 1, 3));
    assert_eq!(told.last(), Some(&(2 * size, 2 * size)));
    assert!(verified(&Ledger::new().shard().reader()).is_ok(), "an empty one");
}

#[test]
fn large_shard_verifies_with_every_stored_node() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    append(
        &mut shard,
        (0..700).map(|n| installed(&format!("t{}", n % 90), "app", &format!("e{n}"), n, "EU")),
    );
    let mut batch = shard.begin();
    batch.tick(from_offset(700)).unwrap();
    batch.advance(TOPIC, kafka(701));
    batch.commit().unwrap();
    let reader = shard.reader();
    assert_eq!(verified(&reader).unwrap().tenants, 90);
    let node = ledger_record::proof::tree::Node { level: 8, index: 1 };
    put(&reader, Family::Tree, &ledger_record::key::evidence::tree_node(node), &[1; 32]);
    assert_eq!(fault(&reader), ShardFault::Node { level: 8, index: 1 });
}

#[test]
fn signed_checkpoint_is_compared() {
    let ledger = Ledger::new();
    let shard = eventful(&ledger);
    let reader = shard.reader();
    let snapshot = reader.snapshot();
    let size = seals(&reader)[1] + 1;
    let origin = "ledger.example.com/realm.lifecycle/0".to_owned();
    let signed = Checkpoint { origin, size, root: snapshot.tree_root(size).unwrap() };
    assert!(snapshot.verify(&secret(), std::slice::from_ref(&signed), &mut |_, _| {}).is_ok());
    let other = Checkpoint { root: snapshot.tree_root(size - 1).unwrap(), ..signed.clone() };
    let found = snapshot.verify(&secret(), &[other], &mut |_, _| {});
    assert!(matches!(found, Err(VerifyError::Differs(ShardFault::Signed { .. }))), "{found:?}");
    let empty = Checkpoint { size: 0, ..signed.clone() };
    let found = snapshot.verify(&secret(), &[empty], &mut |_, _| {});
    assert!(matches!(found, Err(VerifyError::Differs(ShardFault::Signed { size: 0 }))), "{found:?}");
    let later = Checkpoint { size: 1000, ..signed.clone() };
    let found = snapshot.verify(&secret(), &[later], &mut |_, _| {});
    assert!(matches!(found, Err(VerifyError::Differs(ShardFault::Shorter { .. }))), "{found:?}");
}

#[test]
fn rewritten_record_is_found() {
    let ledger = Ledger::new();
    let shard = eventful(&ledger);
    let reader = shard.reader();
    let size = reader.snapshot().tree_size().unwrap();
    for position in 0..size {
        let record = reader.snapshot().record_at(position).unwrap().unwrap();
        let at = key::log::log(&record.stream, record.seq);
        rewrite(&reader, position, |record| record.recorded = record.recorded.plus_millis(1));
        assert_eq!(fault(&reader), ShardFault::Leaf { position });
        put(&reader, Family::Log, &at, &record.encode());
    }
    assert!(verified(&reader).is_ok());
}

#[test]
fn every_flipped_stored_bit_is_found() {
    let ledger = Ledger::new();
    let shard = eventful(&ledger);
    let reader = shard.reader();
    // A rebuild compares ids and the index; only the source knows which record was duplicated; local rows are no
    // evidence.
    let others = [Family::Ids, Family::Index, Family::Duplicates];
    let is_own = |key: &[u8]| MetaKey::is_own(key) || key == MetaKey::Identity.encode();
    for family in Family::ALL.iter().copied().filter(|family| !others.contains(family)) {
        let mut rows = Vec::new();
        let mut scan = reader.database().scan(family, everything(), ReadOptions::default()).unwrap();
        while let Some((key, value)) = scan.step().unwrap() {
            if family != Family::Meta || !is_own(key) {
                rows.push((key.to_vec(), value.to_vec()));
            }
        }
        for (key, value) in rows {
            for bit in 0..8 * value.len() {
                let mut changed = value.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                put(&reader, family, &key, &changed);
                assert!(verified(&reader).is_err(), "bit {bit} of {key:?} in {}", family.as_str());
            }
            put(&reader, family, &key, &value);
        }
    }
    assert!(verified(&reader).is_ok());
}

#[test]
fn stream_left_out_of_the_map_is_found() {
    let ledger = Ledger::new();
    let shard = eventful(&ledger);
    let reader = shard.reader();
    let position = seals(&reader)[2];
    let entries = |without: &str| {
        let mut scan = reader.database().scan(Family::Map, everything(), ReadOptions::default()).unwrap();
        let mut entries = Vec::new();
        while let Some((key, value)) = scan.step().unwrap() {
            if let Ok(MapKey::Stream(stream)) = MapKey::decode(key) {
                let commitment = ledger_record::key::evidence::hash(value).unwrap();
                entries.push(ledger_record::proof::map::MapEntry { stream, commitment });
            }
        }
        let hidden = stream_id(&Stream::Tenant(client(without)));
        entries.retain(|entry| entry.stream != hidden);
        entries
    };
    let lying = ledger_record::proof::map::root(&entries("cedar"));
    rewrite_with_leaf(&reader, position, |record| {
        if let Content::Seal(seal) = &mut record.content {
            seal.map_root = lying;
            seal.streams -= 1;
        }
    });
    assert_eq!(fault(&reader), ShardFault::Log { position, fault: log::LogFault::Map });
}

#[test]
fn stale_head_is_found_in_seal_and_stored_map() {
    let ledger = Ledger::new();
    let shard = eventful(&ledger);
    let reader = shard.reader();
    let at = MapKey::Stream(stream_id(&Stream::Tenant(client("acme")))).encode();
    let good = reader.database().get(Family::Map, &at, &ReadOptions::default()).unwrap().unwrap().to_vec();
    put(&reader, Family::Map, &at, &[3; 32]);
    assert_eq!(fault(&reader), ShardFault::Map);
    put(&reader, Family::Map, &at, &good);
    let [first, second, _] = seals(&reader)[..] else { panic!("three seals") };
    let Content::Seal(before) = reader.snapshot().record_at(first).unwrap().unwrap().content else {
        panic!()
    };
    rewrite_with_leaf(&reader, second, |record| {
        if let Content::Seal(seal) = &mut record.content {
            seal.map_root = before.map_root;
        }
    });
    assert_eq!(fault(&reader), ShardFault::Log { position: second, fault: log::LogFault::Map });
}

#[test]
fn rewritten_state_is_found() {
    let ledger = Ledger::new();
    let shard = eventful(&ledger);
    let reader = shard.reader();
    let mut row = reader.snapshot().tenant(&client("acme")).unwrap().unwrap();
    row.tenant.product_realm = Some(realm("AU"));
    put(&reader, Family::Tenants, b"acme", &row.encode());
    assert_eq!(fault(&reader), ShardFault::State(client("acme")));
    delete(&reader, Family::Tenants, b"acme");
    assert_eq!(fault(&reader), ShardFault::State(client("acme")));
}

#[test]
fn rewritten_outcome_with_matching_leaf_is_found() {
    let ledger = Ledger::new();
    let shard = eventful(&ledger);
    let reader = shard.reader();
    let snapshot = reader.snapshot();
    let last = snapshot.records(&Stream::Tenant(client("birch")), 2).unwrap().next().unwrap().unwrap();
    drop(snapshot);
    // Parts outside the leaf are found by refolding the records.
    rewrite_with_leaf(&reader, last.position, |record| {
        if let Content::Event { outcome, .. } = &mut record.content {
            outcome.late = !outcome.late;
        }
    });
    assert_eq!(fault(&reader), ShardFault::Outcome { client: client("birch"), seq: 2 });
    put(&reader, Family::Log, &key::log::log(&last.stream, last.seq), &last.encode());
    // Parts inside the leaf are found by the chain and the seals, once a later leaf depends on it.
    rewrite_with_leaf(&reader, 1, |record| {
        if let Content::Event { outcome, .. } = &mut record.content {
            let decision = outcome.changes[0].decision.as_mut().unwrap();
            decision.rule = Rule::ALL.iter().copied().find(|rule| *rule != decision.rule).unwrap();
        }
    });
    assert!(matches!(
        fault(&reader),
        ShardFault::Log { fault: log::LogFault::Map | log::LogFault::Previous, .. }
    ));
}

#[test]
fn wrong_realm_in_a_leaf_is_found() {
    let ledger = Ledger::new();
    let shard = eventful(&ledger);
    let reader = shard.reader();
    let snapshot = reader.snapshot();
    let last = snapshot.records(&Stream::Tenant(client("birch")), 2).unwrap().next().unwrap().unwrap();
    let stored = snapshot.leaf(last.position).unwrap().unwrap();
    let mut leaf = Leaf::parse(&snapshot.leaf_line(&last, &secret()).unwrap()).unwrap();
    if let Leaf::Record(leaf) = &mut leaf {
        leaf.pinned_realm = Some(realm("AU"));
    }
    let row = LeafRow { hash: leaf_hash(&leaf.write().unwrap()), pinned_realm: Some(realm("AU")) };
    assert_ne!(row.pinned_realm, stored.pinned_realm);
    put_placed(&reader, Family::Leaves, last.position, &row.encode());
    assert_eq!(fault(&reader), ShardFault::Realm { client: client("birch"), seq: 2 });
}

#[test]
fn missing_or_repeated_offsets_are_found() {
    let ledger = Ledger::new();
    let shard = eventful(&ledger);
    let reader = shard.reader();
    let missing = |from, until| ShardFault::OffsetsMissing { source_name: TOPIC.to_owned(), from, until };
    let gap = |first_offset| GapKey { source: TOPIC.to_owned(), first_offset }.encode();
    let good =
        reader.database().get(Family::Gaps, &gap(7), &ReadOptions::default()).unwrap().unwrap().to_vec();
    delete(&reader, Family::Gaps, &gap(7));
    assert_eq!(fault(&reader), missing(7, 9));
    put(&reader, Family::Gaps, &gap(7), &good);
    let repeat = DuplicateKey { source: TOPIC.to_owned(), offset: 6 }.encode();
    let good = reader
        .database()
        .get(Family::Duplicates, &repeat, &ReadOptions::default())
        .unwrap()
        .unwrap()
        .to_vec();
    delete(&reader, Family::Duplicates, &repeat);
    assert_eq!(fault(&reader), missing(6, 7));
    put(&reader, Family::Duplicates, &repeat, &good);
    let twice = DuplicateKey { source: TOPIC.to_owned(), offset: 5 }.encode();
    put(&reader, Family::Duplicates, &twice, &good);
    assert!(matches!(fault(&reader), ShardFault::OffsetTwice { offset: 5, .. }));
    delete(&reader, Family::Duplicates, &twice);
    put(&reader, Family::Meta, &MetaKey::Source(TOPIC.to_owned()).encode(), &kafka(20).encode());
    assert_eq!(fault(&reader), missing(16, 20));
}

#[test]
fn late_beginning_is_accepted_only_where_noted() {
    let late = |note: Option<u64>| {
        let ledger = Ledger::new();
        let mut shard = ledger.shard();
        let mut batch = shard.begin();
        if let Some(first) = note {
            batch.begin_late(TOPIC, first);
        }
        batch.gap(TOPIC, 4, 6).unwrap();
        batch.offer(arrival(6, installed("acme", "app", "e1", 1, "EU"))).unwrap();
        batch.advance(TOPIC, kafka(7));
        batch.commit().unwrap();
        verified(&shard.reader()).map(|verified| verified.late_beginnings).map_err(|error| match error {
            VerifyError::Differs(fault) => fault,
            other => panic!("{other:?}"),
        })
    };
    let missing = |from, until| ShardFault::OffsetsMissing { source_name: TOPIC.to_owned(), from, until };
    assert_eq!(late(None), Err(missing(0, 4)));
    assert_eq!(late(Some(3)), Err(missing(3, 4)));
    assert_eq!(late(Some(4)), Ok(vec![(TOPIC.to_owned(), 4)]));
}

#[test]
fn wrong_corrections_are_found() {
    let ledger = Ledger::new();
    let shard = eventful(&ledger);
    let reader = shard.reader();
    let mut scan = reader.database().scan(Family::Corrections, everything(), ReadOptions::default()).unwrap();
    let mut rows = Vec::new();
    while let Some((key, value)) = scan.step().unwrap() {
        rows.push((key.to_vec(), value.to_vec()));
    }
    assert!(!rows.is_empty());
    for (at, _) in &rows {
        let good = reader
            .database()
            .get(Family::Corrections, at, &ReadOptions::default())
            .unwrap()
            .unwrap()
            .to_vec();
        delete(&reader, Family::Corrections, at);
        assert!(matches!(fault(&reader), ShardFault::Corrections { .. }));
        put(&reader, Family::Corrections, at, &good);
    }
    let (at, good) = &rows[0];
    let other = [&at[..], b"x"].concat();
    // The same number of corrections, but of another tenant.
    delete(&reader, Family::Corrections, at);
    put(&reader, Family::Corrections, &other, good);
    assert!(matches!(fault(&reader), ShardFault::Corrections { .. }));
    put(&reader, Family::Corrections, at, good);
    assert!(matches!(fault(&reader), ShardFault::Count { .. }));
}
