//! The same while the ledger runs: a source that changes under a live shard halts it without a restart, and a silent
//! source is reported and never taken for caught up.

use std::path::Path;
use std::sync::Arc;

use ledger_ingest::consume::Ingest;
use ledger_ingest::kafka::KafkaOptions;
use ledger_store::{Catalog, DataDir, Freshness, Phase, ShardId, StoreOptions};
use ledger_tests::kafka::{self, Broker, Cluster, Ending};
use ledger_tests::{scratch, wait};

use super::{create, events, halted, ingest_until, options, read_to, reason};

/// Ingestion that runs while the test changes the topic.
pub(super) struct Running {
    pub(super) ingest: Ingest,
    pub(super) catalog: Arc<Catalog>,
    pub(super) topic: String,
}

impl Running {
    /// Starts, and waits until the first partition is live.
    pub(super) fn start(options: &KafkaOptions, dir: &Path) -> Self {
        let running = Self::begin(options, dir);
        running.wait("live", is_live);
        running
    }

    pub(super) fn begin(options: &KafkaOptions, dir: &Path) -> Self {
        ledger_tests::show_logs();
        let data = DataDir::open(dir, StoreOptions::default(), ledger_tests::secret()).unwrap();
        let catalog = Arc::new(Catalog::default());
        let ingest = Ingest::start(Arc::new(data), Arc::clone(&catalog), options).unwrap();
        Self { ingest, catalog, topic: options.topics[0].clone() }
    }

    /// Waits for a freshness of the first partition.
    pub(super) fn wait(&self, what: &str, done: impl Fn(&Freshness) -> bool) -> Freshness {
        let id = ShardId { topic: self.topic.clone(), partition: 0 };
        wait::for_value(|| match self.catalog.get(&id).map(|served| served.status.freshness()) {
            Some(now) if done(&now) => Ok(now),
            now => Err(format!("not {what}: {now:?}")),
        })
    }

    /// Returns the message of the halt.
    pub(super) fn wait_until_halted(&self, code: &str) -> String {
        let halted = self.wait(code, |now| now.phase == Phase::Halted).halted.unwrap();
        assert_eq!(halted.code, code, "{}", halted.message);
        halted.message
    }

    pub(super) fn wait_until_held_up(&self, code: &str) -> Freshness {
        self.wait(code, |now| now.held_up.as_ref().is_some_and(|reported| reported.code == code))
    }
}

pub(super) fn is_live(now: &Freshness) -> bool {
    now.phase == Phase::Live && now.lag_events == Some(0) && now.held_up.is_none()
}

/// A topic of one partition with ten events, read to its end.
pub(super) fn live(cluster: &Cluster, stem: &str, dir: &Path) -> Running {
    let options = options(cluster, stem);
    create(cluster, &options.topics[0], 1);
    cluster.produce(&options.topics[0], &events(0, 0, 10));
    let running = Running::start(&options, dir);
    running.wait("read", |now| now.next_offset == Some(10));
    running
}

#[test]
fn deleted_topic_blocks_and_recreated_topic_halts() {
    let (cluster, dir) = (kafka::shared(), scratch::directory());
    let running = live(cluster, "goes", dir.path());
    cluster.delete_topic(&running.topic);
    let reported = running.wait_until_held_up("source-unreachable");
    assert_eq!((reported.phase, reported.lag_events), (Phase::Live, None), "nobody knows what waits in it");
    create(cluster, &running.topic, 1);
    running.wait_until_halted("topic-recreated");
    running.ingest.stop();
}

#[test]
fn added_partitions_halt_a_live_shard() {
    let (cluster, dir) = (kafka::shared(), scratch::directory());
    let running = live(cluster, "grows", dir.path());
    cluster.add_partitions(&running.topic, 2);
    running.wait_until_halted("topic-repartitioned");
    running.ingest.stop();
}

/// It reads slower than retention deletes: one message at a time, with little fetched ahead.
#[test]
fn retention_gap_halts_a_live_shard() {
    let (cluster, dir) = (kafka::shared(), scratch::directory());
    let mut options = KafkaOptions { batch_max_events: 1, ..options(cluster, "overtaken") };
    for (name, value) in [("queued.max.messages.kbytes", "1"), ("fetch.message.max.bytes", "1000")] {
        options.client.insert(name.to_owned(), value.to_owned());
    }
    create(cluster, &options.topics[0], 1);
    for hundred in 0..50 {
        cluster.produce(&options.topics[0], &events(0, hundred * 100, 100));
    }
    let running = Running::begin(&options, dir.path());
    running.wait("reading", |now| now.next_offset > Some(0));
    cluster.delete_records_before(&running.topic, 0, 4_900);
    running.wait_until_halted("retention-gap");
    running.ingest.stop();
}

#[test]
fn hanging_transaction_blocks_until_it_ends() {
    let (cluster, dir) = (kafka::shared(), scratch::directory());
    let running = live(cluster, "hangs", dir.path());
    cluster.produce_in_transaction(&running.topic, &events(0, 10, 3), Ending::Commit);
    running.wait("read on", |now| now.next_offset == Some(14) && is_live(now));
    cluster.produce_in_transaction(&running.topic, &events(0, 13, 5), Ending::Never);
    let reported = running.wait_until_held_up("transaction-hanging");
    assert_eq!((reported.next_offset, reported.lag_events), (Some(14), Some(5)));
    cluster.produce(&running.topic, &events(0, 18, 2));
    // The broker aborts it in the end: five aborted messages, a marker, two messages.
    running.wait("read on", |now| now.next_offset == Some(22) && is_live(now));
    running.ingest.stop();
}

#[test]
fn unreachable_brokers_block_and_reading_resumes() {
    let (mut broker, dir) = (Broker::start(), scratch::directory());
    let running = live(broker.cluster(), "away", dir.path());
    broker.kill();
    let reported = running.wait_until_held_up("source-unreachable");
    assert_eq!(reported.lag_events, None);
    broker.restart();
    running.wait("back", is_live);
    broker.cluster().produce(&running.topic, &events(0, 10, 5));
    running.wait("read on", |now| now.next_offset == Some(15) && is_live(now));
    running.ingest.stop();
}

/// A broker restored from an old copy of its disk. A running client does not notice.
#[test]
fn truncated_topic_halts_the_shard() {
    let (mut broker, dir) = (Broker::start(), scratch::directory());
    let options = options(broker.cluster(), "shrinks");
    create(broker.cluster(), &options.topics[0], 1);
    broker.cluster().produce(&options.topics[0], &events(0, 0, 10));
    broker.stop();
    let copy = scratch::directory();
    broker.save(copy.path());
    broker.restart();
    broker.cluster().produce(&options.topics[0], &events(0, 10, 5));
    ingest_until(&options, dir.path(), |catalog| read_to(catalog, 0, 15));
    broker.stop();
    broker.bring_back(copy.path());
    broker.restart();
    let found = ingest_until(&options, dir.path(), |catalog| halted(catalog, 0));
    let (code, message) = reason(&found, 0);
    assert_eq!(code, "topic-truncated");
    assert!(message.contains("offsets 10 to 15 of the ledger"), "{message}");
}

#[test]
fn topic_created_after_the_start_is_read() {
    let (cluster, dir) = (kafka::shared(), scratch::directory());
    let options = options(cluster, "later");
    let running = Running::begin(&options, dir.path());
    create(cluster, &running.topic, 1);
    cluster.produce(&running.topic, &events(0, 0, 5));
    running.wait("read", |now| now.next_offset == Some(5) && is_live(now));
    running.ingest.stop();
}

/// More messages wait than one write takes, so the shard is not at the end.
#[test]
fn shard_far_behind_is_catching_up_again() {
    let (cluster, dir) = (kafka::shared(), scratch::directory());
    let options = KafkaOptions { batch_max_events: 1, ..options(cluster, "behind") };
    create(cluster, &options.topics[0], 1);
    let running = Running::start(&options, dir.path());
    cluster.produce(&running.topic, &events(0, 0, 3_000));
    running.wait("behind", |now| now.phase == Phase::CatchingUp && now.lag_events > Some(1));
    running.wait("live again", |now| now.next_offset == Some(3_000) && is_live(now));
    running.ingest.stop();
}
