//! Backups of a server at work over a real broker, which is killed in the middle of some of them: each generation that is
//! there restores, is true, and catches up to the same log.
//!
//! `REALM_LEDGER_TEST_BACKUPS=30+10` makes 30 generations and kills the server in the middle of 10 backups instead of
//! the few of every run.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ledger_ingest::kafka::KafkaOptions;
use ledger_record::proof::note::Checkpoint;
use ledger_store::{DataDir, FamilyDigest, StoreOptions};
use ledger_tests::kafka::{self, Cluster, Isolation};
use ledger_tests::server::{self, Server, Setup};
use ledger_tests::workload::{Chance, Mix, Sent, stream};
use ledger_tests::{scratch, wait};
use serde_json::Value;

use crate::checkpoints::{notes, write_key};

const PARTITIONS: i32 = 3;

/// Tries for one kill that hits a backup: one that comes too late made a generation more.
const TRIES: usize = 40;

/// How many generations, and how many kills.
fn campaign() -> (usize, usize) {
    let Ok(asked) = std::env::var("REALM_LEDGER_TEST_BACKUPS") else { return (6, 3) };
    let (generations, kills) = asked.split_once('+').unwrap();
    (generations.parse().unwrap(), kills.parse().unwrap())
}

fn setup(cluster: &Cluster, scratch: &Path) -> Setup {
    let mut setup = Setup {
        instance: "backed-up".to_owned(),
        checkpoints_topic: kafka::unique_name("checkpoints"),
        ..Setup::new(cluster, kafka::unique_name("backed-up"), scratch.join("data"))
    };
    let settings = [("message.timestamp.type", "LogAppendTime"), ("max.message.bytes", "4194304")];
    cluster.create_topic(&setup.topic, PARTITIONS, &settings);
    cluster.create_topic(&setup.checkpoints_topic, 1, &[("cleanup.policy", "compact")]);
    setup.more.push(("BACKUP__DIR", scratch.join("backup").display().to_string()));
    setup.more.push(("EVIDENCE__TICK_INTERVAL", "1s".to_owned()));
    write_key(&scratch.join("data.keys"));
    setup
}

/// Sends the stream in small parts until it is done, or its backups are.
fn trickle(cluster: &Cluster, topic: &str, sent: &[Sent], is_over: &AtomicBool) {
    for chunk in sent.chunks(40) {
        let messages: Vec<_> = chunk.iter().map(|sent| sent.message.clone()).collect();
        cluster.produce(topic, &messages);
        if !is_over.load(Ordering::Acquire) {
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Every shard is open; what still comes is no matter.
fn wait_until_serving(server: &Server) {
    let shards = usize::try_from(PARTITIONS).unwrap();
    wait::until("the server is ready", || {
        let (status, shown) = server.get("/readyz");
        status == 200 && shown["shards"].as_array().is_some_and(|listed| listed.len() == shards)
    });
}

fn start_backup(server: &Server) -> Child {
    let mut command = server::command();
    command.args(["backup", "--url", &server.url]).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn run(arguments: &[&str]) -> Output {
    server::command().args(arguments).output().unwrap()
}

fn assert_done(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", server::stderr(output));
}

fn numbers(backup: &Path) -> BTreeSet<u64> {
    let files = std::fs::read_dir(backup.join("generations")).into_iter().flatten();
    files.filter_map(|file| file.unwrap().file_name().to_str()?.strip_suffix(".json")?.parse().ok()).collect()
}

/// Makes backups of a server under load; kills it in the middle of some. Returns the server that runs at the end.
fn back_up_and_kill(setup: &Setup, log: &Path, backup: &Path) -> Server {
    let (generations, kills) = campaign();
    let mut chance = Chance::new(8);
    let mut server = Server::start(setup, log);
    wait_until_serving(&server);
    let (mut made, mut hit, mut tries) = (0, 0, 0);
    while made < generations || hit < kills {
        let before = numbers(backup);
        let child = start_backup(&server);
        let is_kill = hit < kills && hit * generations <= made * kills;
        if is_kill {
            tries += 1;
            assert!(tries <= kills * TRIES, "{hit} of {kills} kills hit a backup in {tries} tries");
            thread::sleep(Duration::from_millis(chance.below(250)));
            server.process.kill();
        }
        let output = child.wait_with_output().unwrap();
        let is_done = output.status.success();
        assert!(is_done || is_kill, "{}", server::stderr(&output));
        let after = numbers(backup);
        // A kill may come between the generation and its answer.
        assert!(after.len() - before.len() <= 1 && (!is_done || after.len() == before.len() + 1));
        made += after.len() - before.len();
        hit += usize::from(is_kill && after == before);
        if is_kill {
            server = Server::start(setup, log);
            wait_until_serving(&server);
        }
    }
    server
}

fn digests(data_dir: &Path) -> Vec<Vec<FamilyDigest>> {
    let data = DataDir::open_existing_read_only(data_dir, StoreOptions::default()).unwrap();
    let shards = data.shards().unwrap();
    assert_eq!(shards.len(), usize::try_from(PARTITIONS).unwrap());
    shards.iter().map(|id| data.read_shard(id).unwrap().snapshot().digests().unwrap()).collect()
}

fn restore(backup: &Path, number: u64, to: &Path) {
    let (backup, number) = (backup.to_str().unwrap(), number.to_string());
    let output = run(&["restore", backup, "--data-dir", to.to_str().unwrap(), "--generation", &number]);
    assert_done(&output);
    let shards: Vec<Value> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    assert_eq!(shards.len(), usize::try_from(PARTITIONS).unwrap());
}

/// Reads to the end of every partition from where a generation ended.
fn catch_up(setup: &Setup, to: &Path, checkpoints_topic: &str) {
    let setup = Setup {
        data_dir: to.to_path_buf(),
        group: kafka::unique_name("restored"),
        instance: String::new(),
        checkpoints_topic: checkpoints_topic.to_owned(),
        more: vec![("EVIDENCE__TICK_INTERVAL", "1h".to_owned())],
        ..setup.clone()
    };
    let server = Server::start(&setup, &to.with_extension("log"));
    server.wait_until_ready(usize::try_from(PARTITIONS).unwrap());
    server.drain();
}

#[test]
fn each_generation_of_a_killed_server_restores_and_catches_up_to_the_same_log() {
    let (cluster, scratch) = (kafka::shared(), scratch::directory());
    let setup = setup(cluster, scratch.path());
    let (log, backup) = (scratch.path().join("log"), scratch.path().join("backup"));
    let sent = stream(Mix {
        seed: 30,
        tenants: 300,
        events: 20_000,
        partitions: PARTITIONS,
        late_percent: 5,
        repeats_per_mille: 30,
        conflicts_per_mille: 3,
        malformed_per_mille: 1,
        late_app_events: true,
    });
    let is_over = AtomicBool::new(false);
    let server = thread::scope(|scope| {
        scope.spawn(|| trickle(cluster, &setup.topic, &sent, &is_over));
        let server = back_up_and_kill(&setup, &log, &backup);
        is_over.store(true, Ordering::Release);
        server
    });
    server.wait_until_ready(usize::try_from(PARTITIONS).unwrap());
    let (_, metrics) = server.get("/metrics");
    let age = metrics
        .as_str()
        .unwrap()
        .lines()
        .find_map(|line| line.strip_prefix("realm_ledger_backup_age_seconds "));
    assert!(age.unwrap().parse::<f64>().unwrap() < 3600.0, "{age:?}");
    server.drain();

    let all = numbers(&backup);
    assert!(all.len() >= campaign().0, "{all:?}");
    let backup_dir = backup.to_str().unwrap();
    assert_done(&run(&["backup", backup_dir, "--verify"]));
    let whole = digests(&setup.data_dir);
    for number in &all {
        let to = scratch.path().join(format!("restored-{number}"));
        restore(&backup, *number, &to);
        assert_eq!(server::verified(&to, &[]).len(), usize::try_from(PARTITIONS).unwrap());
        catch_up(&setup, &to, "");
        assert_eq!(digests(&to), whole, "generation {number}");
        std::fs::remove_dir_all(&to).unwrap();
    }
    signs_one_log(cluster, &setup, &backup, *all.first().unwrap(), scratch.path());
    keeps_what_is_needed(&backup, &all, scratch.path());
}

/// What a restored ledger signs goes on from what was signed before it was backed up and after.
fn signs_one_log(cluster: &Cluster, setup: &Setup, backup: &Path, number: u64, scratch: &Path) {
    let to = scratch.join("signing");
    restore(backup, number, &to);
    write_key(&scratch.join("signing.keys"));
    catch_up(setup, &to, &setup.checkpoints_topic);
    let data = DataDir::open_existing_read_only(&to, StoreOptions::default()).unwrap();
    let topics =
        KafkaOptions { checkpoints_topic: Some(setup.checkpoints_topic.clone()), ..KafkaOptions::default() };
    let mut signed = 0;
    for id in data.shards().unwrap() {
        let reader = data.read_shard(&id).unwrap();
        for Checkpoint { size, root, .. } in
            notes(cluster, &topics, &id.to_string(), Isolation::ReadUncommitted)
        {
            assert_eq!(reader.snapshot().tree_root(size).unwrap(), root, "{id} at {size}");
            signed += 1;
        }
    }
    assert!(signed > 0, "nothing was signed");
}

fn keeps_what_is_needed(backup: &Path, all: &BTreeSet<u64>, scratch: &Path) {
    let (backup_dir, data_dir) = (backup.to_str().unwrap(), scratch.join("signing"));
    let output = run(&["backup", backup_dir, "--data-dir", data_dir.to_str().unwrap(), "--keep", "2"]);
    assert_done(&output);
    let last = *all.last().unwrap();
    assert_eq!(numbers(backup), BTreeSet::from([last, last + 1]));
    assert_done(&run(&["backup", backup_dir, "--verify"]));
    restore(backup, last, &scratch.join("kept"));
    // A flipped bit is found by both.
    let blobs = std::fs::read_dir(backup.join("blobs")).unwrap().map(|blob| blob.unwrap().path());
    let largest = blobs.max_by_key(|blob| blob.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&largest, bytes).unwrap();
    let verified = run(&["backup", backup_dir, "--verify"]);
    let name = largest.file_name().unwrap().to_str().unwrap();
    assert_eq!(verified.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&verified.stdout).contains(name));
    let refused = [last, last + 1].map(|number| {
        let flawed = scratch.join(format!("flawed-{number}"));
        let flawed = flawed.to_str().unwrap();
        run(&["restore", backup_dir, "--data-dir", flawed, "--generation", &number.to_string()]).status.code()
    });
    assert!(refused.contains(&Some(3)), "{refused:?}");
}
