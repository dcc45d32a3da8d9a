//! Two programs on the same partitions with the same keys are killed again and again and restored from older copies:
//! all notes of the topic, also those of aborted transactions, are of one log.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ledger_store::{DataDir, ShardId, StoreOptions};
use ledger_tests::kafka::{self, Cluster, Isolation};
use ledger_tests::server::{self, Server, Setup};
use ledger_tests::workload::Chance;
use ledger_tests::{scratch, wait};

use super::{assert_one_log, events, notes, options, published, write_key};

const PARTITIONS: i32 = 2;
const ROUNDS: u64 = 16;

/// Sends to both partitions until stopped; returns the number of events of each.
fn trickle(cluster: &Cluster, topic: &str, stop: &AtomicBool) -> i64 {
    let mut sent = 0;
    while !stop.load(Ordering::Acquire) {
        for partition in 0..PARTITIONS {
            cluster.produce(topic, &events(partition, sent, 20));
        }
        sent += 20;
        thread::sleep(Duration::from_millis(30));
    }
    sent
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let copied = std::process::Command::new("cp").arg("-r").args([from, to]).status().unwrap();
    assert!(copied.success());
}

/// One run of a program: started, perhaps from an older copy, and killed at a random moment.
fn live(setup: &Setup, scratch: &Path, chance: &mut Chance) {
    let backup = scratch.join(format!("{}.backup", setup.instance));
    match chance.below(4) {
        0 if setup.data_dir.exists() => copy(&setup.data_dir, &backup),
        1 if backup.exists() => copy(&backup, &setup.data_dir),
        _ => {}
    }
    let mut server = Server::launch(setup, &scratch.join(format!("{}.log", setup.instance)));
    thread::sleep(Duration::from_millis(600 + chance.below(2_500)));
    server.process.kill();
}

#[test]
fn kills_and_backups_never_sign_two_roots_of_one_size() {
    let cluster = kafka::shared();
    let options = options(cluster, "fork", PARTITIONS);
    let topic = options.topics[0].clone();
    let scratch = scratch::directory();
    let setup = |name: &str| {
        let setup = Setup {
            instance: name.to_owned(),
            checkpoints_topic: options.checkpoints_topic.clone().unwrap(),
            ..Setup::new(cluster, topic.clone(), scratch.path().join(name))
        };
        write_key(&scratch.path().join(format!("{name}.keys")));
        setup
    };
    let (one, two) = (setup("one"), setup("two"));
    let stop = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let sending = scope.spawn(|| trickle(cluster, &topic, &stop));
        let other = scope.spawn(|| {
            let mut chance = Chance::new(2);
            (0..ROUNDS).for_each(|_| live(&two, scratch.path(), &mut chance));
        });
        let mut chance = Chance::new(1);
        (0..ROUNDS).for_each(|_| live(&one, scratch.path(), &mut chance));
        other.join().unwrap();
        stop.store(true, Ordering::Release);
        sending.join().unwrap()
    });
    finish(&one, scratch.path(), u64::try_from(sent).unwrap());
    let data = DataDir::open_existing_read_only(&one.data_dir, StoreOptions::default()).unwrap();
    for partition in 0..u32::try_from(PARTITIONS).unwrap() {
        let found = published(cluster, &options, partition);
        let sizes: Vec<u64> = found.iter().map(|note| note.size).collect();
        assert!(found.len() > 4 && sizes.is_sorted_by(|one, next| one < next), "{partition}: {sizes:?}");
        let reader = data.read_shard(&ShardId { topic: topic.clone(), partition }).unwrap();
        let snapshot = reader.snapshot();
        let signed = notes(cluster, &options, &format!("{topic}/{partition}"), Isolation::ReadUncommitted);
        assert!(signed.len() >= found.len(), "{} of {}", signed.len(), found.len());
        assert_one_log(&snapshot, &signed);
        let last = found.last().unwrap();
        assert_eq!(snapshot.tree_root(last.size).unwrap(), last.root, "{partition} at {}", last.size);
    }
    server::verified(&one.data_dir, &[]);
}

/// Lets one of them read to the end and sign it, although the other may just have fenced it.
fn finish(setup: &Setup, scratch: &Path, sent: u64) {
    let server = Server::start(setup, &scratch.join("last.log"));
    server.wait_until_ready(usize::try_from(PARTITIONS).unwrap());
    let is_signed = || {
        let (_, answer) = server.get("/v1/checkpoints");
        let checkpoints = answer["checkpoints"].as_array().unwrap();
        // The last minute is not sealed, as no later message arrived.
        let is_signed = |checkpoint: &serde_json::Value| checkpoint["size"].as_u64() > Some(sent);
        checkpoints.len() == 2 && checkpoints.iter().all(is_signed)
    };
    wait::until_or(is_signed, || server.get("/v1/checkpoints").1.to_string());
    server.drain();
}
