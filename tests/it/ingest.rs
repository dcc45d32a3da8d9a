//! Ingestion from a real broker: sent messages are exactly those that are recorded, published and refused.

mod accounts;
pub(crate) mod published;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger_ingest::consume::Ingest;
use ledger_ingest::kafka::KafkaOptions;
use ledger_ingest::publish::Publisher;
use ledger_store::{Catalog, DataDir, Phase, Reader, ShardId, StoreOptions};
use ledger_tests::kafka::{self, Cluster};
use ledger_tests::workload::{Mix, Sent, stream};

const PARTITIONS: i32 = 6;

/// Topics of one test, and the options that name them.
fn topics(cluster: &Cluster, stem: &str) -> KafkaOptions {
    let options = KafkaOptions {
        brokers: cluster.bootstrap().to_owned(),
        topics: vec![kafka::unique_name(stem)],
        group: kafka::unique_name("group"),
        decisions_topic: Some(kafka::unique_name("decisions")),
        dead_letter_topic: Some(kafka::unique_name("dead")),
        ..KafkaOptions::default()
    };
    let settings = [("message.timestamp.type", "LogAppendTime"), ("max.message.bytes", "4194304")];
    cluster.create_topic(&options.topics[0], PARTITIONS, &settings);
    for output in [&options.decisions_topic, &options.dead_letter_topic].into_iter().flatten() {
        cluster.create_topic(output, 3, &[]);
    }
    options
}

/// Ingests until every shard has read to the end of its partition, then stops in order.
fn ingest_all(cluster: &Cluster, options: &KafkaOptions, dir: &Path) {
    ledger_tests::show_logs();
    let data = Arc::new(DataDir::open(dir, StoreOptions::default(), ledger_tests::secret()).unwrap());
    let catalog = Arc::new(Catalog::default());
    let ingest = Ingest::start(Arc::clone(&data), Arc::clone(&catalog), options).unwrap();
    let publisher = Publisher::start(&catalog, options).unwrap().unwrap();
    wait_until_read(cluster, &catalog, &options.topics[0]);
    ingest.stop();
    publisher.stop();
}

fn wait_until_read(cluster: &Cluster, catalog: &Catalog, topic: &str) {
    let deadline = Instant::now() + Duration::from_mins(5);
    loop {
        let shards = catalog.all();
        let read = |partition: i32| {
            let (_, high) = cluster.watermarks(topic, partition);
            shards.iter().any(|(id, served)| {
                let now = served.status.freshness();
                assert_eq!(now.halted, None, "{id}");
                id.partition == u32::try_from(partition).unwrap()
                    && now.phase == Phase::Live
                    && now.next_offset.is_some_and(|next| i64::try_from(next).unwrap() >= high)
            })
        };
        if (0..PARTITIONS).all(read) {
            return;
        }
        assert!(Instant::now() < deadline, "not read within five minutes: {shards:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Every shard of a data directory, read from disk.
pub(crate) fn readers(dir: &Path, topic: &str) -> BTreeMap<u32, Reader> {
    let data = DataDir::open_existing_read_only(dir, StoreOptions::default()).unwrap();
    let open = |partition: u32| {
        let id = ShardId { topic: topic.to_owned(), partition };
        (partition, data.read_shard(&id).unwrap())
    };
    (0..u32::try_from(PARTITIONS).unwrap()).map(open).collect()
}

fn send(cluster: &Cluster, topic: &str, sent: &[Sent]) {
    let messages: Vec<_> = sent.iter().map(|sent| sent.message.clone()).collect();
    cluster.produce(topic, &messages);
}

/// The volume of the specification: 200,000 events of 5,000 tenants, with late, duplicate and malformed ones.
#[test]
fn sent_events_are_exactly_the_kept_ones() {
    let cluster = kafka::shared();
    let options = topics(cluster, "volume");
    let sent = stream(Mix {
        seed: 7,
        tenants: 5_000,
        events: 200_000,
        partitions: PARTITIONS,
        late_percent: 5,
        repeats_per_mille: 30,
        conflicts_per_mille: 3,
        malformed_per_mille: 2,
        late_app_events: true,
    });
    send(cluster, &options.topics[0], &sent);
    let dir = ledger_tests::scratch::directory();
    ingest_all(cluster, &options, dir.path());

    let readers = readers(dir.path(), &options.topics[0]);
    accounts::states_are_the_fold_of_what_was_sent(&readers, &sent);
    accounts::every_offset_is_accounted_for(cluster, &options.topics[0], &readers, &sent);
    accounts::everything_is_found_true(&readers);
    published::dead_letters_are_complete(cluster, &options, &sent);
    published::decisions_are_complete_and_in_order(cluster, &options, &readers);
}
