//! Kafka to synced, against the same consumer that discards; and to signed, as `serve` does it.
//!
//! All watches start when the consumer has its partitions, and stop with the last message: read there, and
//! durable here; or with the checkpoint of the last seal.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger_ingest::consume::Ingest;
use ledger_ingest::kafka::KafkaOptions;
use ledger_ingest::sign::{Origins, Signing, SigningOptions};
use ledger_record::proof::note::SignerKey;
use ledger_store::{Catalog, DataDir, Phase, Served, StoreOptions};
use ledger_tests::kafka::{self, Cluster};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::measure::{Took, Watch, report, tell_ratio};

/// A topic that is filled.
pub(crate) struct Source<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) topic: &'a str,
    pub(crate) partitions: i32,
    pub(crate) messages: usize,
}

const PATIENCE: Duration = Duration::from_mins(5);

/// Runs in turns; leaves the last ledger in `dir/ledger`.
pub(crate) fn run(source: &Source<'_>, dir: &Path, pairs: usize) {
    let ledger = dir.join("ledger");
    let (mut ingested, mut discarded, mut signed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..pairs {
        discarded.push(discard(source));
        signed.push(ingest(source, &ledger, true, |_| ()).0);
        ingested.push(ingest(source, &ledger, false, |_| ()).0);
    }
    report("ingest, Kafka to synced", source.messages, &ingested);
    report("ingest, Kafka to signed", source.messages, &signed);
    report("the consumer that discards", source.messages, &discarded);
    tell_ratio("ingest / discard", &ingested, &discarded);
    tell_ratio("to signed / to synced", &signed, &ingested);
}

/// Ingests all of it; what is started beside it, once the partitions are there, is returned.
pub(crate) fn ingest<T>(
    source: &Source<'_>,
    dir: &Path,
    is_signed: bool,
    beside: impl FnOnce(&Arc<Catalog>) -> T,
) -> (Took, T) {
    if dir.exists() {
        fs::remove_dir_all(dir).expect("a directory that can be removed");
    }
    let checkpoints_topic = is_signed.then(|| checkpoints_topic(source.cluster));
    let options = KafkaOptions {
        brokers: source.cluster.bootstrap().to_owned(),
        topics: vec![source.topic.to_owned()],
        group: kafka::unique_name("speed"),
        decisions_topic: None,
        dead_letter_topic: None,
        checkpoints_topic,
        ..KafkaOptions::default()
    };
    let ends: Vec<i64> = (0..source.partitions)
        .map(|partition| source.cluster.watermarks(source.topic, partition).1)
        .collect();
    let data = Arc::new(
        DataDir::open(dir, StoreOptions::default(), ledger_tests::secret()).expect("a fresh directory"),
    );
    let catalog = Arc::new(Catalog::default());
    let ingest = Ingest::start(data, Arc::clone(&catalog), &options).expect("ingestion starts");
    let signing = is_signed.then(|| sign(&catalog, options, dir));
    wait(|| catalog.all().iter().any(|(_, served)| served.status.freshness().phase != Phase::Idle));
    let beside = beside(&catalog);
    let watch = Watch::start();
    wait(|| {
        let shards = catalog.all();
        let read = shards.iter().filter(|(id, served)| {
            let now = served.status.freshness();
            assert_eq!(now.halted, None, "{id}");
            let end = ends.get(id.partition as usize).and_then(|end| u64::try_from(*end).ok());
            now.next_offset >= end
        });
        read.count() == ends.len()
    });
    if is_signed {
        wait(|| catalog.all().iter().all(|(_, served)| is_wholly_signed(served)));
    }
    let took = watch.stop();
    ingest.stop();
    if let Some(signing) = signing {
        signing.stop();
    }
    (took, beside)
}

fn checkpoints_topic(cluster: &Cluster) -> String {
    let topic = kafka::unique_name("checkpoints");
    cluster.create_topic(&topic, 1, &[("cleanup.policy", "compact")]);
    topic
}

fn sign(catalog: &Arc<Catalog>, options: KafkaOptions, dir: &Path) -> Signing {
    let key = SignerKey::from_seed("bench", [5; 32]).expect("a key");
    let (keys_dir, secret) = (dir.with_extension("keys"), ledger_tests::secret());
    if keys_dir.exists() {
        fs::remove_dir_all(&keys_dir).expect("a directory that can be removed");
    }
    let signing = SigningOptions { keys: vec![key], keys_dir, origins: Origins::default(), secret };
    Signing::start(Arc::clone(catalog), options, signing).expect("signing")
}

fn is_wholly_signed(served: &Served) -> bool {
    let sealed = served.reader.snapshot().sealed_size().expect("a shard");
    served.status.checkpoint().map_or(0, |signed| signed.checkpoint.size) == sealed
}

fn wait(done: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "not done within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The settings of the ledger's own consumer, as far as they concern reading.
fn discard(source: &Source<'_>) -> Took {
    let mut config = ClientConfig::new();
    for (name, value) in [
        ("bootstrap.servers", source.cluster.bootstrap()),
        ("group.id", &kafka::unique_name("speed")),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "error"),
        ("isolation.level", "read_committed"),
        ("check.crcs", "true"),
        ("fetch.queue.backoff.ms", "20"),
        ("fetch.wait.max.ms", "100"),
        ("queued.max.messages.kbytes", "16384"),
    ] {
        config.set(name, value);
    }
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut partitions = TopicPartitionList::new();
    for partition in 0..source.partitions {
        partitions
            .add_partition_offset(source.topic, partition, Offset::Beginning)
            .expect("a partition that can be read from its beginning");
    }
    consumer.assign(&partitions).expect("an assignment");
    let watch = Watch::start();
    let mut read = 0;
    while read < source.messages {
        let message = consumer.poll(PATIENCE).expect("a message before patience ends");
        message.expect("a message that can be read");
        read += 1;
    }
    watch.stop()
}
