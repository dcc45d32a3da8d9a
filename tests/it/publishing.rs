//! Publishing with narrower output topics: a refused message must not block decisions.

use ledger_tests::kafka::{self, Isolation, Message};
use ledger_tests::server::{Server, Setup};
use ledger_tests::{scratch, wait};
use serde_json::Value;

#[test]
fn oversized_dead_letter_is_published_as_a_digest() {
    let cluster = kafka::shared();
    let scratch = scratch::directory();
    let topic = kafka::unique_name("large");
    let setup = Setup {
        instance: "one".to_owned(),
        decisions_topic: format!("{topic}.decisions"),
        dead_letter_topic: format!("{topic}.dead-letter"),
        // The topic's limit is one of what arrives, and repeated words shrink to nothing.
        more: vec![("KAFKA__CLIENT__COMPRESSION_TYPE", "none".to_owned())],
        ..Setup::new(cluster, topic.clone(), scratch.path().join("data"))
    };
    cluster.create_topic(&topic, 1, &[("message.timestamp.type", "LogAppendTime")]);
    cluster.create_topic(&setup.decisions_topic, 1, &[]);
    cluster.create_topic(&setup.dead_letter_topic, 1, &[("max.message.bytes", "3000")]);
    let refused =
        |bytes: usize| format!(r#"{{"type":"never-heard-of","reason":"{}"}}"#, "x y ".repeat(bytes / 4));
    let installed =
        r#"{"id":"e-1","type":"installed","time":"2024-03-01T00:00:00Z","clientKey":"acme","appKey":"app"}"#;
    let messages = [
        Message::new("acme", refused(5_000)),
        Message::new("acme", refused(990_000)),
        Message::new("acme", installed),
        Message::new("acme", refused(10)),
    ];
    cluster.produce(&topic, &messages);
    let server = Server::start(&setup, &scratch.path().join("log"));
    server.wait_until_ready(1);

    let read = |topic: &str| cluster.read_all(topic, Isolation::ReadCommitted);
    // Messages before the first refusal are sent again: the last of each offset counts.
    let form_of = |offset: &str| {
        let letters = read(&setup.dead_letter_topic);
        let is_of = |letter: &&kafka::Received| letter.header("realm-ledger-offset") == Some(offset);
        letters.iter().rfind(is_of).and_then(|letter| letter.header("realm-ledger-body")).map(str::to_owned)
    };
    let expected = ["redacted-json-digest", "redacted-json-digest", "redacted-json"];
    let is_published = || {
        ["0", "1", "3"].map(form_of) == expected.map(|form| Some(form.to_owned()))
            && !read(&setup.decisions_topic).is_empty()
    };
    wait::until_or(is_published, || format!("{:?}", read(&setup.dead_letter_topic)));
    server.drain();
}

/// Each topic has its own publisher: decisions are published once while the dead-letter topic is missing.
#[test]
fn missing_dead_letter_topic_does_not_block_decisions() {
    const TENANTS: usize = 2_500;
    let cluster = kafka::shared();
    let scratch = scratch::directory();
    let topic = kafka::unique_name("one-sided");
    let setup = Setup {
        decisions_topic: format!("{topic}.decisions"),
        dead_letter_topic: format!("{topic}.missing"),
        ..Setup::new(cluster, topic.clone(), scratch.path().join("data"))
    };
    cluster.create_topic(&topic, 1, &[("message.timestamp.type", "LogAppendTime")]);
    cluster.create_topic(&setup.decisions_topic, 1, &[]);
    let installed = |tenant: usize| {
        let value = format!(
            r#"{{"id":"e-1","type":"installed","time":"2024-03-01T00:00:00Z","clientKey":"t-{tenant}","appKey":"app"}}"#
        );
        Message::new(format!("t-{tenant}"), value)
    };
    let refused = Message::new("t-0", r#"{"type":"never-heard-of"}"#);
    cluster.produce(&topic, &[vec![refused], (0..TENANTS).map(installed).collect()].concat());
    let log = scratch.path().join("log");
    let server = Server::start(&setup, &log);

    let decided = || cluster.read_all(&setup.decisions_topic, Isolation::ReadCommitted).len();
    wait::until_or(|| decided() >= TENANTS, || format!("{} of {TENANTS} decisions", decided()));
    server.drain();
    assert_eq!(decided(), TENANTS, "none is told twice while the letters are tried again");
    let reported = std::fs::read_to_string(log).unwrap();
    let missing = reported.lines().find(|line| line.contains("the topic is not there"));
    assert!(missing.is_some_and(|line| line.contains(&setup.dead_letter_topic)), "{reported}");
}

/// The partition moves to a process on another disk and back: published messages are not repeated, and none is left
/// out.
#[test]
fn moved_partition_is_not_published_again() {
    let cluster = kafka::shared();
    let scratch = scratch::directory();
    let topic = kafka::unique_name("moves");
    let setup = |directory: &str| Setup {
        group: format!("{topic}.group"),
        decisions_topic: format!("{topic}.decisions"),
        dead_letter_topic: format!("{topic}.dead-letter"),
        ..Setup::new(cluster, topic.clone(), scratch.path().join(directory))
    };
    cluster.create_topic(&topic, 1, &[("message.timestamp.type", "LogAppendTime")]);
    for output in [&setup("").decisions_topic, &setup("").dead_letter_topic] {
        cluster.create_topic(output, 1, &[]);
    }
    let published = || {
        let read = |topic: &str| cluster.read_all(topic, Isolation::ReadCommitted).len();
        (read(&setup("").decisions_topic), read(&setup("").dead_letter_topic))
    };
    for (visit, directory) in (1..).zip(["first", "second", "first", "third"]) {
        let event = |tenant: usize| {
            let value = format!(
                r#"{{"id":"e-1","type":"enabled","time":"2024-03-01T00:00:00Z","clientKey":"t-{visit}-{tenant}","appKey":"app"}}"#
            );
            Message::new(format!("t-{visit}-{tenant}"), value)
        };
        let mut messages: Vec<_> = (0..20).map(event).collect();
        messages.insert(7, Message::new("t", r#"{"type":"never-heard-of"}"#));
        cluster.produce(&topic, &messages);
        let server = Server::start(&setup(directory), &scratch.path().join(format!("log-{visit}")));
        server.wait_until_ready(1);
        let is_published = || published() >= (20 * visit, visit) && published().1 >= visit;
        wait::until_or(is_published, || format!("visit {visit}: {:?}", published()));
        server.drain();
        assert_eq!(published(), (20 * visit, visit), "visit {visit}, {directory}");
    }
}

/// Two ledgers of one topic, one for each word of `kafka.publish`: decisions and corrections are the same messages in
/// the same order, and nothing else is left out.
#[test]
fn decisions_alone_are_the_same_messages_as_among_all_changes() {
    const TENANTS: usize = 300;
    let cluster = kafka::shared();
    let scratch = scratch::directory();
    let topic = kafka::unique_name("scopes");
    cluster.create_topic(&topic, 1, &[("message.timestamp.type", "LogAppendTime")]);
    let event = |id: &str, tenant: usize, kind: &str, day: usize, more: &str| {
        let value = format!(
            r#"{{"id":"{id}","type":"{kind}","time":"2026-03-{day:02}T00:00:00Z","clientKey":"t-{tenant}","appKey":"app"{more}}}"#
        );
        Message::new(format!("t-{tenant}"), value)
    };
    let events_of = |tenant: usize| {
        [
            event("e-1", tenant, "installed", 1, r#","endpointRealm":"EU""#),
            event("e-2", tenant, "disabled", 2, ""),
            event("e-3", tenant, "uninstalled", 3, ""),
            event("e-4", tenant, "installed", 4, r#","endpointRealm":"US""#),
        ]
    };
    // It comes last and sorts first: the data was kept, so every second install is decided anew.
    let policy = r#"{"id":"p","type":"policy-set","time":"2026-02-01T00:00:00Z","appKey":"app","policy":{"mode":"days","days":30}}"#;
    cluster.produce(&topic, &(0..TENANTS).flat_map(events_of).collect::<Vec<_>>());
    cluster.produce(&topic, &[Message::new("app", policy)]);

    let published_as = |word: &'static str| {
        let setup = Setup {
            decisions_topic: format!("{topic}.{word}"),
            more: vec![("KAFKA__PUBLISH", word.to_owned())],
            ..Setup::new(cluster, topic.clone(), scratch.path().join(word))
        };
        cluster.create_topic(&setup.decisions_topic, 1, &[]);
        let server = Server::start(&setup, &scratch.path().join("log"));
        server.wait_until_ready(1);
        server.drain();
        cluster.read_all(&setup.decisions_topic, Isolation::ReadCommitted)
    };
    let is_decided = |message: &kafka::Received| {
        let notice: Value = serde_json::from_slice(message.value.as_deref().unwrap()).unwrap();
        notice["type"] == "realmledger.correction" || !notice["data"]["decision"].is_null()
    };
    let values = |messages: Vec<kafka::Received>| -> Vec<_> {
        messages.into_iter().map(|message| (message.key, message.value)).collect()
    };
    let (changes, decisions) = (published_as("changes"), published_as("decisions"));
    assert_eq!(changes.len(), 5 * TENANTS, "four changes of each tenant, and a correction");
    assert_eq!(decisions.len(), 3 * TENANTS, "two decisions of each tenant, and a correction");
    assert_eq!(values(decisions), values(changes.into_iter().filter(is_decided).collect()));
}
