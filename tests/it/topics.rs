//! What an operator does with topics, against a real broker: made with the settings that matter, compared,
//! and told when they differ.

use std::process::Output;

use ledger_tests::kafka::{self, Cluster};
use ledger_tests::server;

fn topics(cluster: &Cluster, verb: &str, lifecycle: &str) -> Output {
    let mut command = server::command();
    for (name, stem) in [
        ("DECISIONS_TOPIC", "decisions"),
        ("DEAD_LETTER_TOPIC", "dead"),
        ("CHECKPOINTS_TOPIC", "checkpoints"),
    ] {
        command.env(format!("REALM_LEDGER_KAFKA__{name}"), format!("{lifecycle}.{stem}"));
    }
    command.env("REALM_LEDGER_KAFKA__TOPICS", lifecycle);
    command.args(["topics", verb, "--brokers", cluster.bootstrap()]);
    if verb == "create" {
        command.args(["--replication-factor", "1"]);
    }
    command.output().unwrap()
}

fn told(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

#[test]
fn topics_are_made_as_they_must_be_and_compared_with_that() {
    let cluster = kafka::shared();
    let name = kafka::unique_name("made");
    let missing = topics(cluster, "check", &name);
    assert_eq!(missing.status.code(), Some(3), "{}", told(&missing));
    let made = topics(cluster, "create", &name);
    assert_eq!(made.status.code(), Some(0), "{}", told(&made));
    for verb in ["check", "create"] {
        let again = topics(cluster, verb, &name);
        assert_eq!(again.status.code(), Some(0), "{verb}: {}", told(&again));
    }

    let careless = kafka::unique_name("careless");
    cluster.create_topic(&careless, 1, &[("retention.ms", "1000"), ("retention.bytes", "100000")]);
    let different = topics(cluster, "check", &careless);
    assert_eq!(different.status.code(), Some(3));
    let text = told(&different);
    for setting in ["retention.ms", "retention.bytes", "message.timestamp.type", "LogAppendTime"] {
        assert!(text.contains(setting), "{setting} is not told: {text}");
    }
}
