//! The state after the process or the disk fails. A writer that dies is its own process: the test program starts
//! itself again for one test, with a role in its environment.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use crate::AppendError;
use crate::tests::*;

const ROLE: &str = "LEDGER_STORE_TEST_WRITER";

/// The directory to write to, when this process is the writer of a test.
pub(super) fn role() -> Option<std::path::PathBuf> {
    std::env::var_os(ROLE).map(Into::into)
}

/// Runs a test of this program again as a writer, through a shell that prepares its limits.
pub(super) fn writer(test: &str, dir: &Path, limits: &str) -> Child {
    let program = std::env::current_exe().unwrap();
    Command::new("sh")
        .args(["-c", &format!("{limits} exec \"$0\" \"$@\"")])
        .arg(program)
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .env(ROLE, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn batch_of(number: u64) -> Vec<Event> {
    let messages = (0..20).map(|index| {
        let of = format!("tenant-{}", (number * 7 + index) % 50);
        let id = format!("{number}-{index}");
        let hours = i64::try_from(number * 20 + index).unwrap();
        match index % 3 {
            0 => installed(&of, "app", &id, hours, "EU"),
            1 => uninstalled(&of, "app", &id, hours - 30),
            _ => product_moved(&of, &id, hours, "US"),
        }
    });
    messages.collect()
}

#[test]
fn killed_writer_leaves_whole_batches() {
    if let Some(dir) = role() {
        let mut shard = open(&dir, StoreOptions::default()).open_shard(&shard_id(0)).unwrap();
        for number in 0.. {
            append(&mut shard, batch_of(number));
            println!("durable {}", number + 1);
            std::io::stdout().flush().unwrap();
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let itself = "tests::crash::killed_writer_leaves_whole_batches";
    for kill_after in [1, 2, 5] {
        let stopped = tempfile::tempdir_in(dir.path()).unwrap();
        let mut child = writer(itself, stopped.path(), "");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let reported = lines.filter_map(|line| line.split("durable ").nth(1)?.trim().parse::<u64>().ok());
        let durable = reported.take(kill_after).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();

        let shard = open(stopped.path(), StoreOptions::default()).open_shard(&shard_id(0)).unwrap();
        let next = shard.head().next_position;
        assert!(next >= durable * 20 && next.is_multiple_of(20), "{next} after {durable}");
        assert_eq!(shard.source_position(TOPIC).unwrap(), Some(kafka(next)));
        let ledger = Ledger::new();
        let mut uninterrupted = ledger.shard();
        for number in 0..next / 20 {
            append(&mut uninterrupted, batch_of(number));
        }
        assert_eq!(dump(&shard.reader()), dump(&uninterrupted.reader()));
    }
}

#[test]
fn copy_of_a_running_shard_has_exactly_the_committed_data() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    append(&mut shard, batch_of(0));
    let expected = dump(&shard.reader());
    let mut open_batch = shard.begin();
    for (offset, event) in (20..).zip(batch_of(1)) {
        open_batch.offer(arrival(offset, event)).unwrap();
    }
    let copy = tempfile::tempdir().unwrap();
    let copied =
        Command::new("cp").arg("-r").arg(ledger.dir.path().join(".")).arg(copy.path()).status().unwrap();
    assert!(copied.success());
    open_batch.commit().unwrap();
    let restored = open(copy.path(), StoreOptions::default()).open_shard(&shard_id(0)).unwrap();
    assert_eq!(dump(&restored.reader()), expected);
}

#[test]
fn failed_write_poisons_the_shard_until_reopened() {
    match role() {
        Some(dir) => write_until_the_disk_refuses(&dir),
        None => goes_on_after("tests::crash::failed_write_poisons_the_shard_until_reopened"),
    }
}

#[test]
fn failed_write_in_flight_drops_the_batch_begun_meanwhile() {
    match role() {
        Some(dir) => submit_until_the_disk_refuses(&dir),
        None => {
            goes_on_after("tests::crash::failed_write_in_flight_drops_the_batch_begun_meanwhile");
        }
    }
}

/// Runs a test by itself until the disk refuses a write, and opens what that left.
fn goes_on_after(itself: &str) {
    let dir = tempfile::tempdir().unwrap();
    // The file size limit makes writes fail; the signal that would kill the writer is ignored.
    let child = writer(itself, dir.path(), "trap '' XFSZ; ulimit -f 256;");
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let durable: u64 =
        text.split("durable ").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();

    // A reopened shard continues: the refused batch is there as a whole or not at all.
    let mut shard = open(dir.path(), StoreOptions::default()).open_shard(&shard_id(0)).unwrap();
    let next = shard.head().next_position;
    assert!(next == durable || next == durable + 20, "{next} after {durable}");
    append(&mut shard, batch_of(next / 20));
    assert_true(&shard.reader());
}

fn submit_until_the_disk_refuses(dir: &Path) {
    let mut shard = open(dir, StoreOptions::default()).open_shard(&shard_id(0)).unwrap();
    let reader = shard.reader();
    for number in 0.. {
        let mut batch = shard.begin();
        for (offset, event) in (number * 20..).zip(batch_of(number)) {
            batch.offer(arrival(offset, event)).unwrap();
        }
        batch.advance(TOPIC, kafka((number + 1) * 20));
        // The error is about the previous batch.
        let Err(error) = batch.submit() else { continue };
        let AppendError::Poisoned(poison) = error else { panic!("{error}") };
        assert_eq!(poison.next_position, (number - 1) * 20);
        assert!(Arc::ptr_eq(&poison, &reader.poisoned().unwrap()));
        let again = shard.begin().offer(arrival(0, policy_set("app", "late", 0, 1)));
        assert!(matches!(again, Err(AppendError::Poisoned(_))));
        assert_eq!(reader.snapshot().head().unwrap().next_position, poison.next_position);
        println!("durable {} ", poison.next_position);
        return;
    }
}

fn write_until_the_disk_refuses(dir: &Path) {
    let mut shard = open(dir, StoreOptions::default()).open_shard(&shard_id(0)).unwrap();
    let reader = shard.reader();
    for number in 0.. {
        let head = shard.head();
        let mut batch = shard.begin();
        for (offset, event) in (number * 20..).zip(batch_of(number)) {
            batch.offer(arrival(offset, event)).unwrap();
        }
        batch.advance(TOPIC, kafka((number + 1) * 20));
        let Err(error) = batch.commit() else { continue };
        let AppendError::Poisoned(poison) = error else { panic!("{error}") };
        assert_eq!(poison.next_position, head.next_position);
        assert!(Arc::ptr_eq(&poison, &reader.poisoned().unwrap()));
        assert!(Arc::ptr_eq(&poison, &shard.poisoned().unwrap()));
        // The shard appends nothing more, answers from durable data, and waits end at once.
        let again = shard.begin().offer(arrival(0, policy_set("app", "late", 0, 1)));
        assert!(matches!(again, Err(AppendError::Poisoned(_))));
        assert_eq!(reader.snapshot().head().unwrap(), head);
        let waited = reader.snapshot_at_least(head.next_position, std::time::Duration::from_mins(1));
        assert!(matches!(waited, Err(crate::WaitError::Poisoned(_))));
        println!("durable {} ", head.next_position);
        return;
    }
}
