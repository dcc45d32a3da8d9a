//! Two ledgers with the same keys on the same partition, of which one has an earlier imported record: the published
//! log stays, and the other ledger signs nothing, with or without the first.

use std::path::Path;

use ledger_ingest::sign::KeptNote;
use ledger_store::{DataDir, ShardId, StoreOptions};
use ledger_tests::kafka::{self, Cluster, Isolation};
use ledger_tests::server::{self, Server, Setup};
use ledger_tests::{scratch, wait};
use serde_json::Value;

use super::{assert_one_log, events, notes, options, tick, write_key};

const HALTED: &str = "log-differs-from-checkpoint";

/// Imports a line before the first message from Kafka.
fn import(setup: &Setup, scratch: &Path) {
    let file = scratch.join("history.ndjson");
    let line =
        r#"{"id":"before","type":"enabled","time":"2024-02-01T00:00:00Z","clientKey":"old","appKey":"app"}"#;
    std::fs::write(&file, format!("{line}\n")).unwrap();
    let mut command = server::command();
    command.env("REALM_LEDGER_SECRET", ledger_tests::SECRET).env("REALM_LEDGER_KAFKA__CHECKPOINTS_TOPIC", "");
    command.arg("import").arg(&file).arg("--data-dir").arg(&setup.data_dir);
    let output = command.args(["--topic", &setup.topic, "--partitions", "1"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The freshness of the server's only partition.
fn shard(server: &Server) -> Value {
    server.get("/v1/checkpoints").1["freshness"][0].clone()
}

/// The size of the last checkpoint that a partition has here.
fn size(server: &Server) -> Option<u64> {
    server.get("/v1/checkpoints").1["checkpoints"][0]["size"].as_u64()
}

fn send(cluster: &Cluster, topic: &str, from: i64) {
    cluster.produce(topic, &[events(0, from, 50), vec![tick(0, from + 50)]].concat());
}

fn wait_until_halted(server: &Server) {
    server.wait_until_ready(1);
    wait::until_or(|| shard(server)["unsigned"]["code"] == HALTED, || shard(server).to_string());
    let message = shard(server)["unsigned"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("it is not the same log; nothing is signed"), "{message}");
}

#[test]
fn ledger_with_another_history_signs_nothing() {
    let cluster = kafka::shared();
    let options = options(cluster, "twin", 1);
    let topic = &options.topics[0];
    let scratch = scratch::directory();
    let setup = |name: &str| {
        write_key(&scratch.path().join(format!("{name}.keys")));
        Setup {
            checkpoints_topic: options.checkpoints_topic.clone().unwrap(),
            ..Setup::new(cluster, topic.clone(), scratch.path().join(name))
        }
    };
    let (first, other) = (setup("first"), setup("other"));
    let start = |setup: &Setup, name: &str| Server::start(setup, &scratch.path().join(format!("{name}.log")));
    let signed = |server: &Server, at_least: u64| {
        wait::until_or(|| size(server) > Some(at_least), || server.get("/v1/checkpoints").1.to_string());
    };
    send(cluster, topic, 0);
    let one = start(&first, "first");
    signed(&one, 50);
    import(&other, scratch.path());
    let twin = start(&other, "other");
    wait_until_halted(&twin);

    // The first one continues beside it; without it the other would have to sign.
    send(cluster, topic, 50);
    signed(&one, 110);
    one.drain();
    send(cluster, topic, 100);
    twin.wait_until_ready(1);
    twin.drain();
    let twin = start(&other, "other");
    wait_until_halted(&twin);
    twin.drain();

    let one = start(&first, "first");
    signed(&one, 170);
    one.drain();
    server::verified(&first.data_dir, &[]);
    let data = DataDir::open_existing_read_only(&first.data_dir, StoreOptions::default()).unwrap();
    let reader = data.read_shard(&ShardId { topic: topic.clone(), partition: 0 }).unwrap();
    let origin = format!("{topic}/0");
    let published = notes(cluster, &options, &origin, Isolation::ReadUncommitted);
    assert!(published.len() >= 3, "{published:?}");
    assert_one_log(&reader.snapshot(), &published);
    let last = published.last().unwrap();
    assert_eq!(reader.snapshot().tree_root(last.size).unwrap(), last.root);
    // It keeps no note that it could show.
    let kept = KeptNote::new(&scratch.path().join("other.keys"), &origin).read().unwrap();
    let kept = kept.map(|note| note.lines().nth(2).unwrap().to_owned());
    let is_published = |root: &String| published.iter().any(|note| note.text().lines().nth(2) == Some(root));
    assert!(kept.as_ref().is_none_or(is_published), "{kept:?}");
    let log = std::fs::read_to_string(scratch.path().join("other.log")).unwrap();
    assert!(log.lines().any(|line| line.contains("\"level\":\"ERROR\"") && line.contains(HALTED)), "{log}");
}
