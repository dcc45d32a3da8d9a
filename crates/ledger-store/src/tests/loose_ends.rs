//! Lies that a single comparison finds: each test fails without its comparison.

use ledger_core::tenant::{Entry, Tenant};
use ledger_core::timeline::AppTimelines;
use ledger_record::key::evidence::MapKey;
use ledger_record::key::{self, DuplicateKey, GapKey, KeyError};
use ledger_record::proof::line::stream_id;
use ledger_record::proof::map::{MapEntry, MapNode};
use ledger_record::proof::{Hash, log};
use ledger_record::record::{Content, RULES, Record, Stream};
use ledger_record::rows::{FirstIds, TenantRow};

use crate::check::verify::{ShardFault, VerifyError};
use crate::error::{Damage, ReadError};
use crate::tests::verifying::{delete, eventful, fault, put, rewrite_with_leaf, seals, verified};
use crate::tests::*;

fn stored(reader: &Reader, family: Family, key: &[u8]) -> Vec<u8> {
    reader.database().get(family, key, &ReadOptions::default()).unwrap().unwrap().to_vec()
}

/// The family of the unreadable row and the reason.
#[track_caller]
fn damaged(reader: &Reader) -> (Family, String) {
    match verified(reader) {
        Err(VerifyError::Read(ReadError::Damaged(damaged))) => (damaged.family, damaged.cause.to_string()),
        other => panic!("not found: {other:?}"),
    }
}

fn last_of(reader: &Reader, name: &str) -> Record {
    reader.snapshot().records(&Stream::Tenant(client(name)), 1).unwrap().last().unwrap().unwrap()
}

#[test]
fn row_under_another_key_is_found() {
    let ledger = Ledger::new();
    let shard = eventful(&ledger);
    let reader = shard.reader();
    // The row keeps its place in the order, so only the key differs.
    let longer = |key: &[u8]| [key, &[0]].concat();
    let at = key::position(0);
    for family in [Family::Positions, Family::Leaves] {
        let row = stored(&reader, family, &at);
        delete(&reader, family, &at);
        put(&reader, family, &longer(&at), &row);
        assert_eq!(damaged(&reader), (family, Damage::Key(KeyError::Divided).to_string()));
        delete(&reader, family, &longer(&at));
        put(&reader, family, &at, &row);
    }
    let last = last_of(&reader, "birch");
    let at = key::log::log(&last.stream, last.seq);
    let other = [&key::log::stream_prefix(&last.stream)[..], &[1], &last.seq.to_be_bytes()].concat();
    delete(&reader, Family::Log, &at);
    put(&reader, Family::Log, &other, &last.encode());
    assert!(verified(&reader).is_err());
    delete(&reader, Family::Log, &other);
    put(&reader, Family::Log, &at, &last.encode());
    assert!(verified(&reader).is_ok());
}

#[test]
fn leaf_without_record_is_found() {
    let ledger = Ledger::new();
    let shard = eventful(&ledger);
    let reader = shard.reader();
    let size = reader.snapshot().tree_size().unwrap();
    let leaf = placed(&reader, Family::Leaves, size - 1);
    put_placed(&reader, Family::Leaves, size, &leaf);
    assert_eq!(damaged(&reader), (Family::Leaves, Damage::Misplaced.to_string()));
}

#[test]
fn rows_without_records_and_records_without_rows_are_found() {
    let ledger = Ledger::new();
    let shard = eventful(&ledger);
    let reader = shard.reader();
    let row = stored(&reader, Family::Tenants, b"cedar");
    // Before all others, between them, after them.
    for name in ["aaron", "boris", "dune"] {
        put(&reader, Family::Tenants, name.as_bytes(), &row);
        assert_eq!(fault(&reader), ShardFault::State(client(name)));
        delete(&reader, Family::Tenants, name.as_bytes());
    }
    delete(&reader, Family::Tenants, b"cedar");
    assert_eq!(fault(&reader), ShardFault::State(client("cedar")), "the last one");
    put(&reader, Family::Tenants, b"cedar", &row);
    delete(&reader, Family::Apps, b"other");
    assert_eq!(fault(&reader), ShardFault::App(app("other")), "the last one");
}

/// Adds a forged tenant with a matching state and without any app.
fn forge_tenant(reader: &Reader, name: &str, position: u64, like: &Record) {
    let event = product_moved(name, "forged", 5, "EU");
    let mut tenant = Tenant::default();
    let outcome = tenant.append(Entry { seq: 1, event: &event }, &AppTimelines::default());
    let mut first_ids = FirstIds::default();
    first_ids.push(1, &event);
    let content = Content::Event { event, time_defaulted: false, outcome };
    let stream = Stream::Tenant(client(name));
    let record = Record { stream, seq: 1, position, content, ..like.clone() };
    put(reader, Family::Log, &key::log::log(&record.stream, 1), &record.encode());
    let row = TenantRow { seq: 1, position, first_ids, tenant };
    put(reader, Family::Tenants, name.as_bytes(), &row.encode());
}

#[test]
fn tenant_record_without_its_own_position_is_found() {
    let (small, large) = (Ledger::new(), Ledger::new());
    let mut shard = large.shard();
    append(&mut shard, (0..300).map(|n| installed("cedar", "app", &format!("e{n}"), n, "EU")));
    // The verifier's table covers the large shard in parts.
    for reader in [eventful(&small).reader(), shard.reader()] {
        let like = last_of(&reader, "cedar");
        // The record at that position sorts after the forged one or before it, or the position does not exist.
        for (name, position) in [("aaron", like.position), ("dune", like.position), ("dune", 1000)] {
            forge_tenant(&reader, name, position, &like);
            assert_eq!(
                damaged(&reader),
                (Family::Positions, Damage::Misplaced.to_string()),
                "{name} at {position}"
            );
            delete(&reader, Family::Tenants, name.as_bytes());
            delete(&reader, Family::Log, &key::log::log(&Stream::Tenant(client(name)), 1));
        }
        assert!(verified(&reader).is_ok());
    }
}

#[test]
fn record_of_an_unread_source_is_found() {
    let ledger = Ledger::new();
    let shard = eventful(&ledger);
    let reader = shard.reader();
    let last = last_of(&reader, "birch");
    let twice = |source: &str, offset| ShardFault::OffsetTwice { source_name: source.to_owned(), offset };
    for (source, partition) in [(TOPIC, 1), ("realm.other", 0)] {
        rewrite_with_leaf(&reader, last.position, |record| {
            record.source = Coordinates { source: source.into(), partition, ..record.source.clone() };
        });
        assert_eq!(fault(&reader), twice(&format!("{source}/{partition}"), 15));
    }
    rewrite_with_leaf(&reader, last.position, |record| record.source = last.source.clone());
    assert!(verified(&reader).is_ok());
    // Without its row a source is not accounted for: nothing would be missing.
    delete(&reader, Family::Meta, &MetaKey::Source(TOPIC.to_owned()).encode());
    assert_eq!(fault(&reader), twice(&format!("{TOPIC}/0"), 0));
}

#[test]
fn duplicates_and_gaps_after_the_last_record_are_counted() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    let mut batch = shard.begin();
    let event = || installed("acme", "app", "e1", 1, "EU");
    batch.offer(arrival(0, event())).unwrap();
    // One right before a seal, which counts it; one at the end.
    batch.offer(arrival(1, event())).unwrap();
    batch.tick(from_offset(2)).unwrap();
    batch.offer(arrival(3, event())).unwrap();
    batch.gap(TOPIC, 4, 6).unwrap();
    batch.advance(TOPIC, kafka(6));
    batch.commit().unwrap();
    let reader = shard.reader();
    assert_eq!(verified(&reader).unwrap().duplicates, 2);
    let beyond = GapKey { source: TOPIC.to_owned(), first_offset: 100 }.encode();
    put(&reader, Family::Gaps, &beyond, &key::reference(101));
    let missing = ShardFault::OffsetsMissing { source_name: TOPIC.to_owned(), from: 6, until: 100 };
    assert_eq!(fault(&reader), missing);
    delete(&reader, Family::Gaps, &beyond);
    put(&reader, Family::Duplicates, &DuplicateKey { source: TOPIC.to_owned(), offset: 3 }.encode(), b"x");
    assert_eq!(damaged(&reader).0, Family::Duplicates);
    delete(&reader, Family::Duplicates, &DuplicateKey { source: TOPIC.to_owned(), offset: 3 }.encode());
    put(&reader, Family::Duplicates, &DuplicateKey { source: TOPIC.to_owned(), offset: 7 }.encode(), b"x");
    assert_eq!(damaged(&reader).0, Family::Duplicates, "one that would not be missed");
}

#[test]
fn imported_lines_beside_a_topic_are_accounted_for() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    let file = "import:history";
    let line = |number, id: &str| {
        let from = Coordinates { source: file.into(), partition: 0, offset: number };
        IncomingEvent { from, ..arrival(0, installed("acme", "app", id, 1, "EU")) }
    };
    let taken = |lines| SourcePosition::Import { lines, sha256: [3; 32] };
    let mut batch = shard.begin();
    batch.offer(line(1, "e1")).unwrap();
    // The lines between belong to other shards.
    batch.offer(line(5, "e5")).unwrap();
    batch.advance(file, taken(7));
    for offset in [0, 1] {
        batch.offer(arrival(offset, installed("birch", "app", "e1", 1, "US"))).unwrap();
    }
    batch.tick(from_offset(2)).unwrap();
    batch.advance(TOPIC, kafka(3));
    batch.commit().unwrap();
    let reader = shard.reader();
    assert_eq!(verified(&reader).unwrap().duplicates, 1);
    put(&reader, Family::Meta, &MetaKey::Source(file.to_owned()).encode(), &taken(4).encode());
    assert_eq!(fault(&reader), ShardFault::OffsetTwice { source_name: file.to_owned(), offset: 5 });
    put(&reader, Family::Meta, &MetaKey::Source(file.to_owned()).encode(), &taken(7).encode());
    let position = seals(&reader)[0];
    rewrite_with_leaf(&reader, position, |record| {
        if let Content::Seal(seal) = &mut record.content {
            seal.duplicates = 0;
        }
    });
    assert_eq!(fault(&reader), ShardFault::Repeats { position });
}

#[test]
fn lie_in_any_of_many_seals_is_found() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    let mut batch = shard.begin();
    for offset in 0..108 {
        if offset % 9 == 8 {
            batch.tick(from_offset(offset)).unwrap();
        } else {
            batch.offer(arrival(offset, installed(&format!("t{offset}"), "app", "e1", 1, "EU"))).unwrap();
        }
    }
    batch.advance(TOPIC, kafka(108));
    batch.commit().unwrap();
    let reader = shard.reader();
    assert_eq!(verified(&reader).unwrap().seals, 12);
    for position in seals(&reader) {
        let mut good = Hash::ZERO;
        rewrite_with_leaf(&reader, position, |record| {
            if let Content::Seal(seal) = &mut record.content {
                good = std::mem::replace(&mut seal.map_root, Hash::of(&[b"a lie"]));
            }
        });
        assert_eq!(fault(&reader), ShardFault::Log { position, fault: log::LogFault::Map });
        rewrite_with_leaf(&reader, position, |record| {
            if let Content::Seal(seal) = &mut record.content {
                seal.map_root = good;
            }
        });
    }
    assert!(verified(&reader).is_ok());
}

#[test]
fn consistent_map_differing_from_the_last_seal_is_found() {
    let ledger = Ledger::new();
    let shard = eventful(&ledger);
    let reader = shard.reader();
    let stream = stream_id(&Stream::Tenant(client("acme")));
    let [first, second, ..] = stream.0;
    let nodes = [MapKey::Eighth(first), MapKey::Sixteenth([first, second])].map(|node| node.encode());
    let cell = |commitment| MapNode::lone(MapEntry { stream, commitment });
    let at = MapKey::Stream(stream).encode();
    let good = cell(Hash(stored(&reader, Family::Map, &at).try_into().unwrap()));
    let stale = Hash::of(&[b"a stale head"]);
    put(&reader, Family::Map, &at, &stale.0);
    for node in &nodes {
        assert_eq!(MapNode::decode(&stored(&reader, Family::Map, node)), Ok(good), "alone below it");
        put(&reader, Family::Map, node, &cell(stale).encode());
    }
    assert_eq!(fault(&reader), ShardFault::Map);
}

#[test]
fn records_of_unknown_rules_are_inconclusive() {
    let ledger = Ledger::new();
    let shard = eventful(&ledger);
    let reader = shard.reader();
    let rules = RULES + 1;
    // An app record, a tenant record, a refusal, a seal.
    for position in [0, last_of(&reader, "birch").position, 3, seals(&reader)[1]] {
        rewrite_with_leaf(&reader, position, |record| record.rules = rules);
        let found = verified(&reader);
        assert!(
            matches!(found, Err(VerifyError::UnknownRules { position: of, rules: by }) if (of, by) == (position, rules)),
            "{found:?}"
        );
        rewrite_with_leaf(&reader, position, |record| record.rules = RULES);
    }
    assert!(verified(&reader).is_ok());
}
