//! What is published when the output topics are not as generous as the input: nothing that was refused may
//! hold up what was decided.

use std::time::{Duration, Instant};

use ledger_tests::kafka::{self, Isolation, Message};
use ledger_tests::scratch;
use ledger_tests::server::{Server, Setup};

/// Longer than the failures on the way take together.
const SOON: Duration = Duration::from_mins(1);

#[test]
fn a_dead_letter_that_the_topic_does_not_take_is_told_by_its_digest() {
    let cluster = kafka::shared();
    let scratch = scratch::directory();
    let topic = kafka::unique_name("large");
    let setup = Setup {
        instance: "one".to_owned(),
        decisions_topic: format!("{topic}.decisions"),
        dead_letter_topic: format!("{topic}.dead-letter"),
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

    let deadline = Instant::now() + SOON;
    let read = |topic: &str| cluster.read_all(topic, Isolation::ReadCommitted);
    // What was sent before the first refusal comes again: the last of each offset counts.
    let form_of = |offset: &str| {
        let letters = read(&setup.dead_letter_topic);
        let is_of = |letter: &&kafka::Received| letter.header("realm-ledger-offset") == Some(offset);
        letters.iter().rfind(is_of).and_then(|letter| letter.header("realm-ledger-body")).map(str::to_owned)
    };
    let expected = ["redacted-json-digest", "redacted-json-digest", "redacted-json"];
    while ["0", "1", "3"].map(form_of) != expected.map(|form| Some(form.to_owned()))
        || read(&setup.decisions_topic).is_empty()
    {
        assert!(Instant::now() < deadline, "{:?}", read(&setup.dead_letter_topic));
        std::thread::sleep(Duration::from_millis(200));
    }
    server.drain();
}
