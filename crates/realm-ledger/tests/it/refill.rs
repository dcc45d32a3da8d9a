//! Refusals of `refill`, and commands on torn tenants.

use std::path::Path;
use std::process::Command;

use ledger_ingest::decode::{Message, decode};
use ledger_record::proof::line::LedgerSecret;
use ledger_record::record::Coordinates;
use ledger_store::{DataDir, FutureLimit, IncomingEvent, Partitioner, ShardId, StoreOptions};
use realm_ledger::Exit;

use crate::world::{RunResult, World, execute, history};

const TOPIC: &str = "realm.lifecycle";

/// The tests ignore the settings of the environment; the secret is in a file of its own.
fn secret() -> LedgerSecret {
    LedgerSecret::from_bytes([7; 32])
}

fn writable(path: &Path) -> DataDir {
    DataDir::open(path, StoreOptions::default(), secret()).unwrap()
}

/// A ledger with the tests' secret and this history, in this number of partitions.
fn ledger(partitions: u32) -> World {
    let world = World::new();
    std::fs::create_dir(world.path().join("ledger.keys")).unwrap();
    // 32 times 7.
    world.file("ledger.keys/secret", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n");
    let file = world.file("history.ndjson", &(history().join("\n") + "\n"));
    let (file, data) = (file.display(), world.data_dir());
    let more = format!("--partitions {partitions} --partitioner murmur2");
    execute(&format!("import {file} --data-dir {} {more}", data.display())).done();
    world
}

fn refill(world: &World, from: &str, to: &str, more: &str) -> RunResult {
    let [from, to] = [from, to].map(|name| world.path().join(name));
    execute(&format!("refill --from {} --data-dir {} {more}", from.display(), to.display()))
}

fn refused(result: &RunResult, exit: Exit, text: &str) {
    assert_eq!(result.exit, exit, "{}", result.messages);
    assert!(result.messages.contains(text), "{}", result.messages);
}

#[test]
fn refill_refuses_the_name_of_an_earlier_log() {
    let world = ledger(1);
    for name in ["{topic}", TOPIC] {
        let same = refill(&world, "ledger", "same", &format!("--origin {name}"));
        refused(&same, Exit::Usage, "realm.lifecycle is what the old logs are named");
    }
    refill(&world, "ledger", "second", "--origin second").done();
    refill(&world, "second", "third", "--origin {topic}~3").done();
    for name in ["second", "{topic}~3", "realm.lifecycle~3"] {
        let same = refill(&world, "third", "fourth", &format!("--origin {name}"));
        refused(&same, Exit::Usage, "is what the old logs are named, or logs that these took the place of");
    }
    assert!(!world.path().join("fourth").exists());
    refill(&world, "third", "fourth", "--origin {topic}~4").done();
}

#[test]
fn directory_open_for_writing_is_not_refilled() {
    let world = ledger(1);
    let data = writable(&world.data_dir());
    let id = ShardId { topic: TOPIC.to_owned(), partition: 0 };
    let shard = data.open_shard(&id).unwrap();
    // The lock does not refuse its own process, so the refill is another one.
    let refill_elsewhere = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_realm-ledger"));
        command.arg("refill").arg("--from").arg(world.data_dir());
        command.arg("--data-dir").arg(world.path().join("new")).output().unwrap()
    };
    let refused = refill_elsewhere();
    let reported = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{reported}");
    assert!(reported.contains("realm.lifecycle/0 is open for writing elsewhere"), "{reported}");
    assert!(!world.path().join("new").exists(), "before anything is made");
    drop(shard);
    let done = refill_elsewhere();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn refill_refuses_an_empty_source_and_a_nested_target() {
    let world = ledger(1);
    for inside in ["ledger/new", "ledger/a/b/new"] {
        refused(&refill(&world, "ledger", inside, ""), Exit::Usage, "is inside of");
    }
    assert!(!world.data_dir().join("new").exists());
    drop(DataDir::open(&world.path().join("empty"), StoreOptions::default(), secret()).unwrap());
    std::fs::rename(world.path().join("ledger.keys"), world.path().join("empty.keys")).unwrap();
    refused(&refill(&world, "empty", "new", ""), Exit::Usage, "there is nothing to refill");
    let verified = execute(&format!("verify --data-dir {}", world.path().join("empty").display()));
    refused(&verified, Exit::Failed, "there is nothing to verify");
}

/// Regression: refill learnt the partitioner that the halt contradicts.
#[test]
fn misplaced_halt_requires_a_named_partitioner() {
    let world = ledger(2);
    // Imported records do not show the partitioner of the topic's producers.
    let unknown = refill(&world, "ledger", "new", "");
    refused(&unknown, Exit::Failed, "--partitioner murmur2 (Java), crc32");
    let id = ShardId { topic: TOPIC.to_owned(), partition: 1 };
    let data = DataDir::open_existing_read_only(&world.data_dir(), StoreOptions::default()).unwrap();
    data.note_misplaced(&id, Some(&[Partitioner::Crc32])).unwrap();
    assert_eq!(data.misplaced(&id).unwrap(), Some(vec![Partitioner::Crc32]));
    let halted = refill(&world, "ledger", "new", "");
    refused(
        &halted,
        Exit::Failed,
        "realm.lifecycle/1 is halted by a message that another partitioner placed (crc32)",
    );
    refill(&world, "ledger", "new", "--partitioner crc32").done();
    data.note_misplaced(&id, None).unwrap();
    assert_eq!(data.misplaced(&id).unwrap(), None);
}

#[test]
fn prove_of_a_torn_tenant_names_refill() {
    let world = ledger(2);
    for partition in 0..2 {
        let line = br#"{"id":"torn","type":"enabled","time":"2026-03-01T10:00:00Z","clientKey":"torn","appKey":"a"}"#;
        let decoded =
            decode(&Message { key: None, value: Some(line), headers: &[], timestamp: None }).unwrap();
        let event = decoded.event().unwrap().clone();
        let data = writable(&world.data_dir());
        let mut shard = data.open_shard(&ShardId { topic: TOPIC.to_owned(), partition }).unwrap();
        let from = Coordinates { source: TOPIC.into(), partition, offset: 0 };
        let (source_time, future) = (event.time, FutureLimit::AfterRecorded);
        let mut batch = shard.begin();
        batch.offer(IncomingEvent { from, source_time, event, time_defaulted: false, future }).unwrap();
        batch.commit().unwrap();
    }
    let torn = world.ask("prove torn");
    refused(&torn, Exit::Failed, "neither has its whole history");
    refused(&torn, Exit::Failed, "`realm-ledger refill --from OLD --data-dir NEW` makes a data directory");
}
