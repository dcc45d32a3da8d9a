//! The same traffic through a journal and through Kafka, and from the one to the other.

use ledger_tests::kafka;
use ledger_tests::scratch;
use ledger_tests::server::{self, Server, Setup};
use ledger_tests::workload::native_lines;

use super::{TOPIC, import, mix};
use crate::import::{apps, heads, program, tenants};

#[test]
fn journal_and_kafka_and_the_journal_published_to_kafka_make_the_same_ledger() {
    let (cluster, scratch) = (kafka::shared(), scratch::directory());
    let lines = native_lines(mix(73, 4_000));
    let [local, direct, moved] = ["local", "direct", "moved"].map(|name| scratch.path().join(name));
    import(&lines, &local);
    let file = local.with_extension("ndjson");
    let [file, journal] = [&file, &local].map(|path| path.to_str().unwrap());
    let mut topics = Vec::new();
    for (data_dir, arguments) in [(&direct, ["publish", file]), (&moved, ["publish", "--journal=JOURNAL"])] {
        let topic = kafka::unique_name("local");
        cluster.create_topic(&topic, 3, &[("message.timestamp.type", "LogAppendTime")]);
        let arguments = arguments.map(|argument| argument.replace("JOURNAL", journal));
        let brokers = ["--brokers", cluster.bootstrap(), "--topic", &topic, "--partitioner", "murmur2"];
        let output = program(&[]).args(arguments).args(brokers).output().unwrap();
        assert!(output.status.success(), "{}", server::stderr(&output));
        let server =
            Server::start(&Setup::new(cluster, topic.clone(), data_dir.clone()), &scratch.path().join("log"));
        server.wait_until_ready(3);
        server.drain();
        let of_local = tenants(&local, TOPIC);
        assert!(of_local.len() > 150, "{}", of_local.len());
        assert_eq!(tenants(data_dir, &topic), of_local, "states, outcomes and anomalies");
        assert_eq!(apps(data_dir, &topic), apps(&local, TOPIC));
        assert_eq!(heads(data_dir, &topic), heads(&local, TOPIC), "refused messages too");
        server::verified(data_dir, &[]);
        topics.push(topic);
    }
    // What was published is noted, and where to: a second run sends nothing, and one to another topic does not say that.
    let publish = |topic: &str, more: &[&str]| {
        let arguments = ["publish", "--journal", journal, "--brokers", cluster.bootstrap(), "--topic", topic];
        program(&arguments).args(more).output().unwrap()
    };
    let again = publish(&topics[1], &[]);
    assert!(server::stderr(&again).starts_with("0 lines of the journal sent"), "{}", server::stderr(&again));
    let elsewhere = publish(&topics[0], &[]);
    let said = server::stderr(&elsewhere);
    assert_eq!(elsewhere.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("was published to topic {} before", topics[1])), "{said}");
    assert!(said.contains("--again"), "{said}");
    let everything = publish(&topics[0], &["--partitioner", "murmur2", "--again"]);
    let said = server::stderr(&everything);
    assert!(everything.status.success() && !said.starts_with("0 lines"), "{said}");
    // The topic may have been made anew where its broker does not tell.
    let once_more = server::stderr(&publish(&topics[0], &["--partitioner", "murmur2", "--again"]));
    assert!(!once_more.starts_with("0 lines"), "{once_more}");
}
