//! Checkpoints on a real broker: the last note is always found, and one process at a time publishes.

use std::time::Duration;

use ledger_ingest::kafka::KafkaOptions;
use ledger_ingest::sign::CheckpointTopic;
use ledger_ingest::sign::{CheckpointLog, CheckpointLogError, SigningFailure};
use ledger_tests::kafka::{self, Broker, Cluster, Message};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const ORIGIN: &str = "example.com/realm/0";

fn topic(cluster: &Cluster) -> String {
    let name = kafka::unique_name("checkpoints");
    cluster.create_topic(&name, 1, &[("cleanup.policy", "compact")]);
    name
}

fn log_of(cluster: &Cluster, topic: &str, origin: &str) -> CheckpointTopic {
    ledger_tests::show_logs();
    let options = KafkaOptions { brokers: cluster.bootstrap().to_owned(), ..KafkaOptions::default() };
    // The transactional id is the origin, whatever the topic: tests must not fence each other.
    CheckpointTopic::new(&options, topic, &format!("{origin}@{topic}"))
}

/// A topic and its claimed log with one note.
fn claimed(cluster: &Cluster, note: &str) -> (String, CheckpointTopic) {
    let topic = topic(cluster);
    let mut log = log_of(cluster, &topic, ORIGIN);
    log.claim().unwrap();
    log.publish(note).unwrap();
    (topic, log)
}

#[test]
fn claim_returns_the_last_note_and_fences_the_previous() {
    let cluster = kafka::shared();
    let topic = topic(cluster);
    let (mut one, mut other) = (log_of(cluster, &topic, ORIGIN), log_of(cluster, &topic, ORIGIN));
    let mut stranger = log_of(cluster, &topic, "another");
    assert_eq!(one.last().unwrap(), None);
    assert!(matches!(one.publish("unclaimed"), Err(CheckpointLogError::ShutOut)));
    assert_eq!(one.claim().unwrap(), None);
    stranger.claim().unwrap();
    stranger.publish("not ours").unwrap();
    one.publish("first").unwrap();
    one.publish("second").unwrap();
    assert_eq!(other.last().unwrap().as_deref(), Some("second"));
    one.publish("third").unwrap();
    assert_eq!(other.claim().unwrap().as_deref(), Some("third"));
    assert!(matches!(one.publish("too late"), Err(CheckpointLogError::ShutOut)));
    other.publish("fourth").unwrap();
    assert_eq!(one.last().unwrap().as_deref(), Some("fourth"));
    stranger.publish("not ours either").unwrap();
    assert_eq!(one.claim().unwrap().as_deref(), Some("fourth"));
}

#[test]
fn last_note_is_found_far_before_the_end() {
    let cluster = kafka::shared();
    let (topic, mut log) = claimed(cluster, "long ago");
    let others: Vec<_> =
        (0..5_000).map(|number| Message::new(format!("origin-{}", number % 7), "note")).collect();
    cluster.produce(&topic, &others);
    assert_eq!(log.last().unwrap().as_deref(), Some("long ago"));
}

/// A reader of committed messages stops before the first open transaction, and our note is after it.
#[test]
fn note_behind_an_open_foreign_transaction_fails_the_claim() {
    let cluster = kafka::shared();
    let (topic, mut log) = claimed(cluster, "before");
    let open = open_transaction(cluster, &topic, &kafka::unique_name("open"), "other");
    log.publish("behind the open one").unwrap();
    let hidden = log.claim().unwrap_err();
    assert!(matches!(hidden, CheckpointLogError::Hidden { seen: 2, .. }), "{hidden}");
    assert_eq!(SigningFailure::from(hidden).code(), "transaction-hanging");
    open.abort_transaction(Duration::from_secs(30)).unwrap();
    assert_eq!(log.claim().unwrap().as_deref(), Some("behind the open one"));
}

/// No note of ours is after it, so the claim need not wait.
#[test]
fn open_foreign_transaction_after_our_note_does_not_block() {
    let cluster = kafka::shared();
    let (topic, mut log) = claimed(cluster, "before");
    let open = open_transaction(cluster, &topic, &kafka::unique_name("open"), "other");
    assert_eq!(log.last().unwrap().as_deref(), Some("before"));
    assert_eq!(log.claim().unwrap().as_deref(), Some("before"));
    log.publish("behind the open one").unwrap();
    open.abort_transaction(Duration::from_secs(30)).unwrap();
}

/// A ledger killed inside a transaction aborts it by claiming, and continues at once.
#[test]
fn killed_claimant_does_not_wait_for_its_own_transaction() {
    let cluster = kafka::shared();
    let (topic, mut log) = claimed(cluster, "before");
    let origin = format!("{ORIGIN}@{topic}");
    let _killed = open_transaction(cluster, &topic, &format!("realm-ledger-checkpoints {origin}"), &origin);
    assert_eq!(log.last().unwrap().as_deref(), Some("before"));
    assert_eq!(log.claim().unwrap().as_deref(), Some("before"));
    log.publish("after").unwrap();
    assert_eq!(log.last().unwrap().as_deref(), Some("after"));
}

/// The broker may handle the first claim after the next one and take it for a newer process.
#[test]
fn unanswered_claim_is_not_taken_for_another_process() {
    let mut broker = Broker::start();
    let topic = topic(broker.cluster());
    let mut log = log_of(broker.cluster(), &topic, ORIGIN);
    broker.freeze();
    log.claim().unwrap_err();
    broker.thaw();
    assert!((0..10).any(|_| log.claim().is_ok()), "the broker answers again");
    let mut same = log_of(broker.cluster(), &topic, ORIGIN);
    same.claim().unwrap();
    let interrupted = log.publish("shut out").unwrap_err();
    assert!(matches!(interrupted, CheckpointLogError::Interrupted { .. }), "{interrupted}");
    assert_eq!(log.claim().unwrap(), None);
    log.publish("first").unwrap();
    // Only once: the next fencing is by another process.
    assert_eq!(same.claim().unwrap().as_deref(), Some("first"));
    assert!(matches!(log.publish("too late"), Err(CheckpointLogError::ShutOut)));
}

fn open_transaction(cluster: &Cluster, topic: &str, id: &str, key: &str) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("transactional.id", id)
        .create()
        .unwrap();
    producer.init_transactions(Duration::from_secs(30)).unwrap();
    producer.begin_transaction().unwrap();
    producer
        .send(BaseRecord::to(topic).partition(0).key(key).payload("open"))
        .map_err(|(error, _)| error)
        .unwrap();
    producer.flush(Duration::from_secs(30)).unwrap();
    producer
}
