//! Nothing passes unseen (I-4): a source that lost, changed or took back messages halts the shard with the range, the
//! other shards continue, and messages of aborted transactions are never read.

mod clocks;
mod running;

use std::sync::Arc;
use std::time::Duration;

use ledger_ingest::consume::Ingest;
use ledger_ingest::kafka::KafkaOptions;
use ledger_record::record::Stream;
use ledger_record::rows::SourcePosition;
use ledger_store::{Catalog, DataDir, Phase, Reader, ShardId, StoreOptions};
use ledger_tests::kafka::{self, Cluster, Ending, Message};
use ledger_tests::{scratch, wait};

const TWO: i32 = 2;

fn options(cluster: &Cluster, stem: &str) -> KafkaOptions {
    KafkaOptions {
        brokers: cluster.bootstrap().to_owned(),
        topics: vec![kafka::unique_name(stem)],
        group: kafka::unique_name("group"),
        decisions_topic: None,
        dead_letter_topic: None,
        check_interval: Duration::from_secs(1),
        ..KafkaOptions::default()
    }
}

fn create(cluster: &Cluster, topic: &str, partitions: i32) {
    cluster.create_topic(topic, partitions, &[("message.timestamp.type", "LogAppendTime")]);
}

/// The options of a ledger whose topic has been created.
fn created(cluster: &Cluster, stem: &str, partitions: i32) -> KafkaOptions {
    let options = options(cluster, stem);
    create(cluster, &options.topics[0], partitions);
    options
}

fn events(partition: i32, from: usize, count: usize) -> Vec<Message> {
    let event = |number: usize| {
        let client = format!("tenant-{partition}");
        let value = format!(
            r#"{{"id":"e-{number}","type":"enabled","time":"2024-03-01T00:00:00Z","clientKey":"{client}","appKey":"app"}}"#
        );
        Message::new(client, value).to_partition(partition)
    };
    (from..from + count).map(event).collect()
}

/// Runs ingestion until `done` holds; returns the freshness of the shards.
fn ingest_until(
    options: &KafkaOptions,
    dir: &std::path::Path,
    done: impl Fn(&Catalog) -> bool,
) -> Vec<(ShardId, ledger_store::Freshness)> {
    ledger_tests::show_logs();
    let data = Arc::new(DataDir::open(dir, StoreOptions::default(), ledger_tests::secret()).unwrap());
    let catalog = Arc::new(Catalog::default());
    let ingest = Ingest::start(Arc::clone(&data), Arc::clone(&catalog), options).unwrap();
    wait::until_or(|| done(&catalog), || format!("{:?}", catalog.all()));
    let found = catalog.all().into_iter().map(|(id, served)| (id, served.status.freshness())).collect();
    ingest.stop();
    found
}

fn read_to(catalog: &Catalog, partition: u32, offset: u64) -> bool {
    catalog.all().iter().any(|(id, served)| {
        let now = served.status.freshness();
        id.partition == partition && now.phase == Phase::Live && now.next_offset >= Some(offset)
    })
}

fn halted(catalog: &Catalog, partition: u32) -> bool {
    catalog
        .all()
        .iter()
        .any(|(id, served)| id.partition == partition && served.status.freshness().phase == Phase::Halted)
}

/// The shard of the first partition, read from disk.
fn reader(dir: &std::path::Path, topic: &str) -> Reader {
    let data = DataDir::open_existing_read_only(dir, StoreOptions::default()).unwrap();
    data.read_shard(&ShardId { topic: topic.to_owned(), partition: 0 }).unwrap()
}

fn gaps(reader: &Reader, topic: &str) -> Vec<(u64, u64)> {
    reader.snapshot().gaps(topic).unwrap().map(Result::unwrap).collect()
}

/// The late beginnings that `verify` reports, with everything else true.
fn late_beginnings(reader: &Reader) -> Vec<(String, u64)> {
    let verified = reader.snapshot().verify(&ledger_tests::secret(), &[], &mut |_, _| {});
    verified.unwrap().late_beginnings
}

fn reason(found: &[(ShardId, ledger_store::Freshness)], partition: u32) -> (&'static str, String) {
    let (_, now) = found.iter().find(|(id, _)| id.partition == partition).unwrap();
    let halted = now.halted.clone().unwrap();
    (halted.code, halted.message)
}

#[test]
fn retention_gap_halts_that_shard_only() {
    let cluster = kafka::shared();
    let options = created(cluster, "retention", TWO);
    let topic = &options.topics[0];
    cluster.produce(topic, &events(0, 0, 10));
    cluster.produce(topic, &events(1, 0, 10));
    let dir = scratch::directory();
    ingest_until(&options, dir.path(), |catalog| read_to(catalog, 0, 10) && read_to(catalog, 1, 10));
    cluster.produce(topic, &events(0, 10, 10));
    cluster.produce(topic, &events(1, 10, 10));
    cluster.delete_records_before(topic, 0, 15);

    let found = ingest_until(&options, dir.path(), |catalog| halted(catalog, 0) && read_to(catalog, 1, 20));
    let (code, message) = reason(&found, 0);
    assert_eq!(code, "retention-gap");
    assert!(message.contains(&format!("offsets 10 to 15 (exclusive) of {topic}/0")), "{message}");
}

#[test]
fn unopenable_shard_does_not_stop_the_others() {
    let cluster = kafka::shared();
    let options = created(cluster, "damaged", TWO);
    let topic = &options.topics[0];
    let dir = scratch::directory();
    for partition in 0..TWO {
        cluster.produce(topic, &events(partition, 0, 10));
    }
    ingest_until(&options, dir.path(), |catalog| read_to(catalog, 0, 10) && read_to(catalog, 1, 10));
    let damaged = dir.path().join("shards").join(topic).join("0").join("CURRENT");
    std::fs::write(damaged, "no such manifest\n").unwrap();
    cluster.produce(topic, &events(1, 10, 10));

    let could_not_open = |catalog: &Catalog| {
        let failed = catalog.failed();
        failed.iter().any(|(id, halted)| {
            id.partition == 0
                && halted.code == "shard-damaged"
                && halted.message.contains("/0.away and restart: Kafka fills it anew")
        })
    };
    ingest_until(&options, dir.path(), |catalog| could_not_open(catalog) && read_to(catalog, 1, 20));
}

#[test]
fn topic_beginning_late_is_read_only_when_accepted() {
    let cluster = kafka::shared();
    let options = created(cluster, "begins-late", 1);
    let topic = &options.topics[0];
    cluster.produce(topic, &events(0, 0, 10));
    cluster.delete_records_before(topic, 0, 4);
    let dir = scratch::directory();
    let found = ingest_until(&options, dir.path(), |catalog| halted(catalog, 0));
    let (code, message) = reason(&found, 0);
    assert_eq!(code, "history-incomplete");
    assert!(message.contains("offsets 0 to 4 (exclusive) are gone"), "{message}");

    let accepting = KafkaOptions { accept_incomplete_history: true, ..options.clone() };
    ingest_until(&accepting, dir.path(), |catalog| read_to(catalog, 0, 10));
    let reader = reader(dir.path(), topic);
    assert_eq!(gaps(&reader, topic), []);
    assert_eq!(late_beginnings(&reader), [(topic.clone(), 4)]);
}

#[test]
fn empty_offsets_before_the_first_message_are_a_gap() {
    let cluster = kafka::shared();
    let options = created(cluster, "aborted-first", 1);
    let topic = &options.topics[0];
    cluster.produce_in_transaction(topic, &events(0, 0, 5), Ending::Abort);
    cluster.produce(topic, &events(0, 5, 2));
    let dir = scratch::directory();
    ingest_until(&options, dir.path(), |catalog| read_to(catalog, 0, 8));
    let reader = reader(dir.path(), topic);
    assert_eq!(gaps(&reader, topic), [(0, 6)]);
    assert_eq!(late_beginnings(&reader), []);
}

#[test]
fn recreated_longer_topic_halts_the_shard() {
    let cluster = kafka::shared();
    let options = created(cluster, "recreated", 1);
    let topic = &options.topics[0];
    cluster.produce(topic, &events(0, 0, 10));
    let dir = scratch::directory();
    ingest_until(&options, dir.path(), |catalog| read_to(catalog, 0, 10));
    cluster.delete_topic(topic);
    create(cluster, topic, 1);
    cluster.produce(topic, &events(0, 100, 30));

    let found = ingest_until(&options, dir.path(), |catalog| halted(catalog, 0));
    assert_eq!(reason(&found, 0).0, "topic-recreated");
}

#[test]
fn repartitioned_topic_halts_its_shards() {
    let cluster = kafka::shared();
    let options = created(cluster, "repartitioned", 1);
    let topic = &options.topics[0];
    cluster.produce(topic, &events(0, 0, 10));
    let dir = scratch::directory();
    ingest_until(&options, dir.path(), |catalog| read_to(catalog, 0, 10));
    cluster.add_partitions(topic, 2);

    let found = ingest_until(&options, dir.path(), |catalog| halted(catalog, 0));
    assert_eq!(reason(&found, 0).0, "topic-repartitioned");
}

#[test]
fn aborted_transaction_is_skipped_as_a_gap() {
    let cluster = kafka::shared();
    let options = created(cluster, "transactions", 1);
    let topic = &options.topics[0];
    cluster.produce_in_transaction(topic, &events(0, 0, 5), Ending::Commit);
    cluster.produce_in_transaction(topic, &events(0, 5, 5), Ending::Abort);
    cluster.produce(topic, &events(0, 10, 1));
    let dir = scratch::directory();
    // Five events, a commit marker, five aborted events, an abort marker, one event.
    ingest_until(&options, dir.path(), |catalog| read_to(catalog, 0, 13));

    let reader = reader(dir.path(), topic);
    let snapshot = reader.snapshot();
    let records = snapshot.records_from(0).unwrap().map(Result::unwrap);
    let came_in = records.filter(|record| record.stream != Stream::Seals);
    let offsets: Vec<u64> = came_in.map(|record| record.source.offset).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 4, 12]);
    assert_eq!(gaps(&reader, topic), [(5, 12)]);
    assert_eq!(late_beginnings(&reader), []);
    let positions = snapshot.source_positions().unwrap();
    assert!(matches!(&positions[..], [(_, SourcePosition::Kafka { next_offset: 13, .. })]), "{positions:?}");
}

/// A tombstone, and an event with a null header.
#[test]
fn tombstones_follow_the_setting_and_null_headers_are_absent() {
    let cluster = kafka::shared();
    let options = created(cluster, "tombstones", 1);
    let topic = &options.topics[0];
    let tombstone = Message { key: Some(b"tenant-0".to_vec()), ..Message::default() };
    let mut null_header = events(0, 1, 1).remove(0);
    null_header.headers.push(("ce_specversion".to_owned(), None));
    let mut messages = events(0, 0, 1);
    messages.extend([tombstone.clone(), null_header, tombstone.clone(), tombstone]);
    cluster.produce(topic, &messages);

    let refusing = scratch::directory();
    ingest_until(&options, refusing.path(), |catalog| read_to(catalog, 0, 5));
    let refused = |dir: &std::path::Path| {
        let reader = reader(dir, topic);
        let records = reader.snapshot().records(&Stream::Rejected, 1).unwrap().map(Result::unwrap);
        records.map(|record| record.source.offset).collect::<Vec<_>>()
    };
    assert_eq!(refused(refusing.path()), [1, 3, 4]);

    let counting = scratch::directory();
    let counts = KafkaOptions {
        tombstones: "count".to_owned(),
        group: kafka::unique_name("group"),
        ..options.clone()
    };
    ingest_until(&counts, counting.path(), |catalog| read_to(catalog, 0, 5));
    assert_eq!(refused(counting.path()), Vec::<u64>::new());
    let reader = reader(counting.path(), topic);
    assert_eq!(gaps(&reader, topic), [(1, 2), (3, 5)]);
    assert_eq!(late_beginnings(&reader), []);
}

/// A transactional producer leaves a commit marker after its last message: an offset without a message.
#[test]
fn retention_of_a_trailing_marker_is_no_gap() {
    let cluster = kafka::shared();
    let options = created(cluster, "markers", 1);
    let topic = &options.topics[0];
    cluster.produce_in_transaction(topic, &events(0, 0, 5), Ending::Commit);
    let dir = scratch::directory();
    ingest_until(&options, dir.path(), |catalog| read_to(catalog, 0, 6));
    assert_eq!(gaps(&reader(dir.path(), topic), topic), [(5, 6)]);
    cluster.produce_in_transaction(topic, &events(0, 5, 3), Ending::Abort);
    ingest_until(&options, dir.path(), |catalog| read_to(catalog, 0, 10));
    cluster.delete_records_before(topic, 0, 10);
    cluster.produce(topic, &events(0, 8, 2));

    let found = ingest_until(&options, dir.path(), |catalog| halted(catalog, 0) || read_to(catalog, 0, 12));
    assert_eq!(found[0].1.halted, None);
    let reader = reader(dir.path(), topic);
    assert_eq!(gaps(&reader, topic), [(5, 10)]);
    assert_eq!(late_beginnings(&reader), []);
}

#[test]
fn tenant_in_two_partitions_is_reported() {
    let cluster = kafka::shared();
    let options = created(cluster, "torn", TWO);
    let topic = &options.topics[0];
    let torn =
        events(0, 0, 1).into_iter().chain(events(0, 1, 1).into_iter().map(|event| event.to_partition(1)));
    cluster.produce(topic, &torn.chain(events(1, 2, 1)).collect::<Vec<_>>());
    let dir = scratch::directory();
    let found =
        ingest_until(&options, dir.path(), |catalog| read_to(catalog, 0, 1) && read_to(catalog, 1, 2));
    let split: u64 = found.iter().map(|(_, now)| now.split_tenants).sum();
    assert_eq!(split, 2, "one tenant is torn, and both its shards say so");
}
