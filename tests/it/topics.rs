//! Topic administration against a real broker: topics are created with the required settings, checked, and
//! differences reported.

use std::process::Output;

use ledger_tests::kafka::{self, Cluster, Message};
use ledger_tests::server::{self, Server, Setup};
use ledger_tests::{scratch, wait};

fn topics(cluster: &Cluster, verb: &str, lifecycle: &str) -> Output {
    topics_with(cluster, verb, lifecycle, if verb == "create" { &["--replication-factor", "1"] } else { &[] })
}

fn topics_with(cluster: &Cluster, verb: &str, lifecycle: &str, more: &[&str]) -> Output {
    let mut command = server::command();
    for (name, stem) in [
        ("DECISIONS_TOPIC", "decisions"),
        ("DEAD_LETTER_TOPIC", "dead"),
        ("CHECKPOINTS_TOPIC", "checkpoints"),
    ] {
        command.env(format!("REALM_LEDGER_KAFKA__{name}"), format!("{lifecycle}.{stem}"));
    }
    command.env("REALM_LEDGER_KAFKA__TOPICS", lifecycle);
    command.args(["topics", verb, "--brokers", cluster.bootstrap()]).args(more);
    command.output().unwrap()
}

fn output_text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

#[test]
fn topics_are_created_and_checked_with_required_settings() {
    let cluster = kafka::shared();
    let name = kafka::unique_name("made");
    let missing = topics(cluster, "check", &name);
    assert_eq!(missing.status.code(), Some(3), "{}", output_text(&missing));
    let made = topics(cluster, "create", &name);
    assert_eq!(made.status.code(), Some(0), "{}", output_text(&made));
    for verb in ["check", "create"] {
        let again = topics(cluster, verb, &name);
        assert_eq!(again.status.code(), Some(0), "{verb}: {}", output_text(&again));
    }

    // The topic exists, but without the requested partitions.
    let other = topics_with(cluster, "create", &name, &["--replication-factor", "1", "--partitions", "6"]);
    assert_eq!(other.status.code(), Some(3), "{}", output_text(&other));
    assert!(output_text(&other).contains("partitions is 12, needs 6"), "{}", output_text(&other));
    let fresh = kafka::unique_name("copies");
    let copies = topics_with(cluster, "create", &fresh, &[]);
    assert_eq!(copies.status.code(), Some(1), "{}", output_text(&copies));
    assert!(output_text(&copies).contains("--replication-factor 1"), "{}", output_text(&copies));

    let careless = kafka::unique_name("careless");
    cluster.create_topic(&careless, 1, &[("retention.ms", "1000"), ("retention.bytes", "100000")]);
    let different = topics(cluster, "check", &careless);
    assert_eq!(different.status.code(), Some(3));
    let text = output_text(&different);
    for setting in ["retention.ms", "retention.bytes", "message.timestamp.type", "LogAppendTime"] {
        assert!(text.contains(setting), "{setting} is not reported: {text}");
    }
}

/// `topics check` reports in the same words what `serve` would halt for.
#[test]
fn unbounded_topic_is_reported_as_halting() {
    let cluster = kafka::shared();
    let (bounded, unbounded) = (kafka::unique_name("bounded"), kafka::unique_name("unbounded"));
    let create_time = ("message.timestamp.type", "CreateTime");
    cluster.create_topic(&bounded, 1, &[create_time, ("message.timestamp.after.max.ms", "3600000")]);
    cluster.create_topic(
        &unbounded,
        1,
        &[create_time, ("message.timestamp.after.max.ms", "9223372036854775807")],
    );
    let text = output_text(&topics(cluster, "check", &bounded));
    assert!(text.contains("LogAppendTime") && !text.contains("producer-times"), "{text}");
    let text = output_text(&topics(cluster, "check", &unbounded));
    let command = format!("kafka-configs.sh --bootstrap-server {}", cluster.bootstrap());
    for word in ["`serve` halts on it (producer-times)", &command, &format!("--entity-name {unbounded} ")] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

/// Rules 1: recorded times by producers are warned about, and so is retention.
#[test]
fn server_warns_of_wrong_topic_settings() {
    let cluster = kafka::shared();
    let scratch = scratch::directory();
    let setup = Setup::new(cluster, kafka::unique_name("careless-served"), scratch.path().join("data"));
    let careless = [("message.timestamp.type", "CreateTime"), ("retention.ms", "1000000")];
    cluster.create_topic(&setup.topic, 1, &careless);
    cluster.produce(&setup.topic, &[Message::new("k", "no event")]);
    let log = scratch.path().join("log");
    let server = Server::start(&setup, &log);
    server.wait_until_ready(1);
    let (_, metrics) = server.get("/metrics");
    let counted = format!("realm_ledger_producers_time_total{{shard=\"{}/0\"}} 1", setup.topic);
    assert!(metrics.as_str().unwrap().contains(&counted), "{metrics}");
    wait::for_value(|| {
        let text = std::fs::read_to_string(&log).unwrap();
        let words = ["the producers', not the broker's", "CreateTime", "retention.ms"];
        if words.iter().all(|word| text.contains(word)) { Ok(()) } else { Err(text) }
    });
    server.drain();
}
