//! A fenced static member rejoins by itself (I-9): the client ends, the process does not.

use std::sync::Arc;
use std::time::Duration;

use ledger_ingest::consume::Ingest;
use ledger_ingest::kafka::KafkaOptions;
use ledger_store::{Catalog, DataDir, Phase, StoreOptions};
use ledger_tests::kafka::{self, Message};
use ledger_tests::{scratch, wait};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

fn events(from: usize, count: usize) -> Vec<Message> {
    let event = |number: usize| {
        let value = format!(
            r#"{{"id":"e-{number}","type":"enabled","time":"2024-03-01T00:00:00Z","clientKey":"tenant","appKey":"app"}}"#
        );
        Message::new("tenant", value)
    };
    (from..from + count).map(event).collect()
}

fn has_read(catalog: &Catalog, offset: u64) -> bool {
    catalog.all().iter().any(|(_, served)| {
        let now = served.status.freshness();
        now.phase == Phase::Live && now.next_offset >= Some(offset)
    })
}

/// Another member of the group with the same instance id, which fences the first one.
fn namesake(options: &KafkaOptions) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &options.brokers)
        .set("group.id", &options.group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.auto.commit", "false");
    config.set("group.instance.id", options.instance.as_deref().unwrap());
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[&options.topics[0]]).unwrap();
    consumer
}

#[test]
fn fenced_member_rejoins_and_continues() {
    ledger_tests::show_logs();
    let cluster = kafka::shared();
    let options = KafkaOptions {
        brokers: cluster.bootstrap().to_owned(),
        topics: vec![kafka::unique_name("fenced")],
        group: kafka::unique_name("group"),
        instance: Some("one-and-only".to_owned()),
        decisions_topic: None,
        dead_letter_topic: None,
        client: [("heartbeat.interval.ms".to_owned(), "300".to_owned())].into(),
        ..KafkaOptions::default()
    };
    let topic = &options.topics[0];
    cluster.create_topic(topic, 1, &[("message.timestamp.type", "LogAppendTime")]);
    cluster.produce(topic, &events(0, 10));
    let dir = scratch::directory();
    let data = Arc::new(DataDir::open(dir.path(), StoreOptions::default(), ledger_tests::secret()).unwrap());
    let catalog = Arc::new(Catalog::default());
    let ingest = Ingest::start(data, Arc::clone(&catalog), &options).unwrap();
    wait::until("reading", || has_read(&catalog, 10));

    let intruder = namesake(&options);
    wait::until("the namesake has the partition", || {
        let _ = intruder.poll(Duration::from_millis(20));
        intruder.assignment().unwrap().count() == 1
    });
    wait::until("the fenced shard is given up", || {
        catalog.all().iter().all(|(_, served)| !served.status.freshness().is_ours)
    });
    drop(intruder);
    cluster.produce(topic, &events(10, 10));

    wait::until("reading on", || has_read(&catalog, 20));
    assert!(catalog.all().iter().all(|(_, served)| served.status.freshness().is_ours));
    assert!(!ingest.is_finished());
    ingest.stop();
}
