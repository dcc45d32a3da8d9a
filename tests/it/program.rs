//! The program as its operator uses it: ending in a hurry, refusing another cluster, and retrying a refused event
//! beside a running server.

use std::path::Path;
use std::time::Duration;

use ledger_tests::kafka::{self, Broker, Cluster, Message};
use ledger_tests::server::{self, Server, Setup};
use ledger_tests::{scratch, wait};

/// Longer than anything here takes, and shorter than the waits that must be skipped.
const SOON: Duration = Duration::from_secs(15);

fn setup(cluster: &Cluster, topic: &str, scratch: &Path) -> Setup {
    let setup = Setup {
        instance: "one".to_owned(),
        decisions_topic: format!("{topic}.decisions"),
        dead_letter_topic: format!("{topic}.dead-letter"),
        ..Setup::new(cluster, topic.to_owned(), scratch.join("data"))
    };
    for topic in [&setup.topic, &setup.decisions_topic, &setup.dead_letter_topic] {
        cluster.create_topic(topic, 1, &[("message.timestamp.type", "LogAppendTime")]);
    }
    setup
}

fn enabled(id: &str, key: &str) -> Message {
    let value = format!(
        r#"{{"id":"{id}","type":"enabled","time":"2024-03-01T00:00:00Z","clientKey":"acme","appKey":"app"}}"#
    );
    Message::new(key, value)
}

/// Waits for events of a tenant; returns their ids.
fn ids_of(server: &Server, client: &str) -> Vec<String> {
    let log = wait::for_value(|| {
        let (status, log) = server.get(&format!("/v1/tenants/{client}/log"));
        if status == 200 { Ok(log) } else { Err(log) }
    });
    let records = log["records"].as_array().unwrap();
    records.iter().map(|record| record["event"]["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn second_signal_ends_without_waiting_for_brokers() {
    let mut broker = Broker::start();
    let scratch = scratch::directory();
    let log = scratch.path().join("log");
    let setup = setup(broker.cluster(), "hurried", scratch.path());
    broker.cluster().produce(&setup.topic, &[enabled("e-1", "acme")]);
    let mut server = Server::start(&setup, &log);
    server.wait_until_ready(1);
    // The broker does not answer and is not gone: leaving the group waits for it.
    broker.freeze();
    server.process.signal("TERM");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(server.process.ended(), None, "one signal waits for what was begun");
    server.process.signal("INT");
    let ended = server.process.wait(SOON);
    let log = std::fs::read_to_string(&log).unwrap();
    assert_eq!(ended.code(), Some(1), "{log}");
    assert!(log.contains("a second signal"), "{log}");
}

#[test]
fn data_directory_of_another_cluster_is_refused() {
    let scratch = scratch::directory();
    let log = scratch.path().join("log");
    let first = setup(kafka::shared(), &kafka::unique_name("moved"), scratch.path());
    kafka::shared().produce(&first.topic, &[enabled("e-1", "acme")]);
    let server = Server::start(&first, &log);
    server.wait_until_ready(1);
    server.drain();

    let other = Broker::start();
    let elsewhere = setup(other.cluster(), &first.topic, scratch.path());
    let ended = Server::launch(&elsewhere, &log).process.wait(SOON);
    let log = std::fs::read_to_string(&log).unwrap();
    assert_eq!(ended.code(), Some(4), "{log}");
    assert!(log.contains("use another data directory"), "{log}");
}

#[test]
fn refused_event_is_retried_through_the_server_and_through_kafka() {
    let cluster = kafka::shared();
    let scratch = scratch::directory();
    let setup = setup(cluster, &kafka::unique_name("retry"), scratch.path());
    cluster.produce(&setup.topic, &[enabled("e-1", "someone-else"), Message::new("acme", "no JSON")]);
    cluster.produce(&setup.topic, &[enabled("e-2", "someone-else")]);
    let server = Server::start(&setup, &scratch.path().join("log"));
    server.wait_until_ready(1);
    let retry = |item: &str, through: &[&str]| {
        let mut command = server::command();
        command.env("REALM_LEDGER_DATA_DIR", &setup.data_dir);
        command.args(["quarantine", "retry", item]).args(through);
        let output = command.output().unwrap();
        let [printed, reported] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code(), printed, reported)
    };
    let item = |seq: u64| format!("{}/0/{seq}", setup.topic);
    let (through_server, through_kafka) = (["--url", &server.url], ["--brokers", &setup.brokers]);
    let sent = || cluster.read_all(&setup.topic, kafka::Isolation::ReadCommitted);

    let (code, printed, reported) = retry(&item(1), &["--url", &server.url, "--dry-run"]);
    assert!(code == Some(0) && reported.contains("1 installation(s) would change"), "{printed}{reported}");
    assert_eq!(sent().len(), 3, "a dry run publishes nothing");
    // Kafka has the event again under the right key, and the ledger appends it from there. The server has waited for it.
    let (code, printed, reported) = retry(&item(1), &through_server);
    assert_eq!(code, Some(0), "{reported}");
    let record: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((&record["partition"], &record["seq"]), (&0.into(), &1.into()));
    assert_eq!(sent()[3].key.as_deref(), Some(&b"acme"[..]));
    assert_eq!(ids_of(&server, "acme"), ["e-1"]);
    assert_eq!(retry(&item(1), &through_server).1, printed, "again: its record");
    assert_eq!(sent().len(), 4);
    let (code, _, reported) = retry(&item(3), &through_kafka);
    assert!(code == Some(0) && reported.contains("was sent to"), "{reported}");
    assert_eq!(sent()[4].key.as_deref(), Some(&b"acme"[..]));
    wait::until("the other is recorded", || ids_of(&server, "acme") == ["e-1", "e-2"]);

    // A message that is no JSON was not kept, and an unknown one cannot be sent.
    for through in [through_server, through_kafka] {
        let (code, _, reported) = retry(&item(2), &through);
        assert!(code == Some(1) && reported.contains("only the SHA-256 was kept"), "{reported}");
        let (code, _, reported) = retry(&item(4), &through);
        assert!(code == Some(1) && reported.contains("quarantine list"), "{reported}");
    }
    server.drain();
}
