//! The program when it cannot go on: it says why as long as it lasts, loses nothing, and goes on by itself where nothing
//! but the cause is to be mended.

mod away;
mod disk;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ledger_tests::kafka::{self, Cluster, Message};
use ledger_tests::scratch;
use ledger_tests::server::{self, Server, Setup};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_mins(2);

/// One event each of so many tenants, from a number on, in turn over the partitions.
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
    // Ticks are messages, too: a test that counts has none.
    setup.more.push(("EVIDENCE__TICK_INTERVAL", "1h".to_owned()));
    setup
}

/// What `/readyz` says, once it is as wanted.
fn wait_ready(server: &Server, what: &str, is_so: impl Fn(u16, &Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, told) = server.get("/readyz");
        if is_so(status, &told) {
            return told;
        }
        assert!(Instant::now() < deadline, "not {what}: {told:#}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn are_all(told: &Value, is_so: impl Fn(&Value) -> bool) -> bool {
    told["shards"].as_array().is_some_and(|shards| !shards.is_empty() && shards.iter().all(is_so))
}

/// A lone shard that is damaged: `exit_when_halted` decides whether the process stays to answer.
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
    let told =
        wait_ready(&server, "halted", |_, told| told["shards"][0]["halted"]["code"] == "shard-damaged");
    let message = told["shards"][0]["halted"]["message"].as_str().unwrap();
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
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(
        said.contains(&format!("every shard of this process is halted: {}/0 (shard-damaged)", setup.topic)),
        "{said}"
    );

    // And what it says to do is all there is to do.
    std::fs::rename(&shard, shard.with_extension("away")).unwrap();
    let server = Server::start(&setup, &log);
    server.wait_until_ready(1);
    assert_eq!(server.get("/v1/tenants/tenant-4").0, 200);
    server.drain();
    server::verified(&setup.data_dir, &[]);
}

/// What it read before stays the end of what it read: it has not compared anything yet, and so has nothing to record.
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
