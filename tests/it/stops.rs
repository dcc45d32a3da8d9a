//! The program when it cannot continue: it reports the reason as long as it lasts, loses nothing, and resumes by
//! itself where only the cause needs repair.

mod away;
mod disk;

use std::path::Path;
use std::time::Duration;

use ledger_tests::kafka::{self, Cluster, Message};
use ledger_tests::server::{self, Server, Setup};
use ledger_tests::{scratch, wait};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_mins(2);

/// One event for each tenant from a number on, over the partitions in turn.
fn events(partitions: i32, from: usize, count: usize) -> Vec<Message> {
    let event = |number: usize| {
        let client = format!("tenant-{number}");
        let value = format!(
            r#"{{"id":"e-{number}","type":"enabled","time":"2024-03-01T00:00:00Z","clientKey":"{client}","appKey":"app"}}"#
        );
        let partition = i32::try_from(number).unwrap() % partitions;
        Message::new(client, value).to_partition(partition)
    };
    (from..from + count).map(event).collect()
}

fn setup(cluster: &Cluster, stem: &str, partitions: i32, data_dir: &Path) -> Setup {
    let mut setup = Setup::new(cluster, kafka::unique_name(stem), data_dir.to_owned());
    cluster.create_topic(&setup.topic, partitions, &[("message.timestamp.type", "LogAppendTime")]);
    setup.more.push(("KAFKA__CHECK_INTERVAL", "1s".to_owned()));
    // Ticks are messages too, so a test that counts offsets has none.
    setup.more.push(("EVIDENCE__TICK_INTERVAL", "1h".to_owned()));
    setup
}

/// Waits for a wanted answer of `/readyz`; returns it.
fn wait_ready(server: &Server, what: &str, is_so: impl Fn(u16, &Value) -> bool) -> Value {
    wait::for_value(|| {
        let (status, shown) = server.get("/readyz");
        if is_so(status, &shown) { Ok(shown) } else { Err(format!("not {what}: {shown:#}")) }
    })
}

fn are_all(shown: &Value, is_so: impl Fn(&Value) -> bool) -> bool {
    shown["shards"].as_array().is_some_and(|shards| !shards.is_empty() && shards.iter().all(is_so))
}

/// A single damaged shard: `exit_when_halted` decides whether the process continues to answer.
#[test]
fn halted_process_stays_or_exits_as_configured() {
    let (cluster, scratch) = (kafka::shared(), scratch::directory());
    let mut setup = setup(cluster, "all-halted", 1, &scratch.path().join("data"));
    let log = scratch.path().join("log");
    cluster.produce(&setup.topic, &events(1, 0, 5));
    let server = Server::start(&setup, &log);
    server.wait_until_ready(1);
    server.drain();
    let shard = setup.data_dir.join("shards").join(&setup.topic).join("0");
    std::fs::write(shard.join("CURRENT"), "no such manifest\n").unwrap();

    let server = Server::start(&setup, &log);
    let shown =
        wait_ready(&server, "halted", |_, shown| shown["shards"][0]["halted"]["code"] == "shard-damaged");
    let message = shown["shards"][0]["halted"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("to shards/{}/0.away and restart", setup.topic)), "{message}");
    assert_eq!(server.get("/livez").0, 200);
    let (_, metrics) = server.get("/metrics");
    let metrics = metrics.as_str().unwrap();
    assert!(metrics.lines().any(|line| line == "realm_ledger_all_halted 1"), "{metrics}");
    let stopped = metrics.lines().find(|line| line.starts_with("realm_ledger_stopped{")).unwrap();
    assert!(stopped.contains("shard-damaged") && stopped.contains("remedy=\"check the disk"), "{stopped}");
    server.drain();

    setup.more.push(("EXIT_WHEN_HALTED", "true".to_owned()));
    let mut ended = Server::launch(&setup, &log);
    assert_eq!(ended.process.wait(PATIENCE).code(), Some(1));
    let messages = std::fs::read_to_string(&log).unwrap();
    assert!(
        messages
            .contains(&format!("every shard of this process is halted: {}/0 (shard-damaged)", setup.topic)),
        "{messages}"
    );

    // Following the reported remedy is enough.
    std::fs::rename(&shard, shard.with_extension("away")).unwrap();
    let server = Server::start(&setup, &log);
    server.wait_until_ready(1);
    assert_eq!(server.get("/v1/tenants/tenant-4").0, 200);
    server.drain();
    server::verified(&setup.data_dir, &[]);
}

/// A start without a comparison has nothing to record, so the noted end stays.
#[test]
fn start_stopped_at_once_records_nothing() {
    let cluster = kafka::shared();
    let scratch = scratch::directory();
    let setup = setup(cluster, "at-once", 4, &scratch.path().join("data"));
    cluster.produce(&setup.topic, &events(4, 0, 40));
    let server = Server::start(&setup, &scratch.path().join("log"));
    server.wait_until_ready(4);
    server.drain();
    let before = server::verified(&setup.data_dir, &[]);
    for _ in 0..8 {
        Server::start(&setup, &scratch.path().join("log")).drain();
    }
    assert_eq!(server::verified(&setup.data_dir, &[]).len(), before.len());
}
