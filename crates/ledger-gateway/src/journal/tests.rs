mod killed;
mod rolling;
mod speed;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use ledger_ingest::decode::{Decoded, Message, decode};
use ledger_store::JOURNAL_PUBLISHED;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::segment::path_of;
use super::*;
use crate::limits::REOPEN_INTERVAL;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn event(id: &str) -> Event {
    let text = format!(
        r#"{{"id":"{id}","type":"enabled","time":"2026-03-01T10:00:00Z","clientKey":"c","appKey":"a"}}"#
    );
    read(text.as_bytes())
}

fn read(text: &[u8]) -> Event {
    let message = Message { key: None, value: Some(text), headers: &[], timestamp: None };
    match decode(&message) {
        Ok(Decoded::Event(incoming)) => incoming.event,
        other => panic!("{other:?}"),
    }
}

fn append_all(journal: &Journal, ids: impl IntoIterator<Item = u32>) {
    runtime().block_on(async {
        for id in ids {
            journal.append(&event(&id.to_string())).await.unwrap();
        }
    });
}

fn ids(reader: &mut JournalReader) -> Vec<String> {
    std::iter::from_fn(|| reader.step().unwrap()).map(|line| read(&line.text).id.to_string()).collect()
}

fn open(dir: &Path) -> Journal {
    Journal::open(dir, &JournalOptions::default()).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn appended_events_are_read_in_order_also_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let journal = open(dir.path());
    let first = runtime().block_on(journal.append(&event("0"))).unwrap();
    assert_eq!(first.line, 1);
    let mut reader = journal.read_on();
    assert_eq!(ids(&mut reader), ["0"]);
    assert!(!reader.wait(Duration::ZERO));
    append_all(&journal, 1..5);
    assert!(reader.wait(Duration::ZERO));
    assert_eq!(ids(&mut reader), ["1", "2", "3", "4"]);
    let status = journal.status();
    assert_eq!((status.lines, status.waiting_events, status.oldest), (5, 5, Some(first.recorded)));
    reader.mark_published().unwrap();
    assert_eq!(journal.status(), JournalHealth { lines: 5, max_bytes: 1 << 30, ..JournalHealth::default() });
    append_all(&journal, 5..7);
    drop((journal, reader));
    let journal = open(dir.path());
    assert_eq!(journal.status().waiting_events, 2);
    assert_eq!(
        journal.status().waiting_bytes,
        2 * line::write(&to_native_json(&event("5")), now()).len() as u64
    );
    assert_eq!(ids(&mut journal.read_on()), ["5", "6"]);
    assert_eq!(ids(&mut journal.read_from_start().unwrap()).len(), 7);
    assert_eq!(journal.status().waiting_events, 0, "a ledger has its place with its data");
}

#[test]
fn two_processes_never_write_one_journal() {
    let dir = TempDir::new().unwrap();
    let journal = open(dir.path());
    let second = Journal::open(dir.path(), &JournalOptions::default()).unwrap_err();
    assert!(matches!(second, JournalError::Locked { .. }), "{second}");
    drop(journal);
    open(dir.path());
}

fn begin_of_last_line(segment: &[u8]) -> usize {
    segment[..segment.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1
}

#[test]
fn a_torn_tail_is_cut_off_wherever_it_tore() {
    let dir = TempDir::new().unwrap();
    append_all(&open(dir.path()), 0..3);
    let path = path_of(dir.path(), 1);
    let whole = fs::read(&path).unwrap();
    let last = begin_of_last_line(&whole);
    for end in last..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        assert_eq!(ids(&mut open(dir.path()).read_on()), ["0", "1"], "torn at {end}");
        assert_eq!(fs::read(&path).unwrap(), whole[..last]);
    }
    // What a file system leaves of pages that it never wrote.
    fs::write(&path, [&whole[..last], &[0; 5_000]].concat()).unwrap();
    append_all(&open(dir.path()), 7..8);
    assert_eq!(ids(&mut open(dir.path()).read_on()), ["0", "1", "7"]);
}

#[test]
fn damage_before_a_valid_line_stops_with_its_place() {
    let dir = TempDir::new().unwrap();
    append_all(&open(dir.path()), 0..3);
    let path = path_of(dir.path(), 1);
    let whole = fs::read(&path).unwrap();
    let second = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut damaged = whole.clone();
    damaged[second + 90] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let error = Journal::open(dir.path(), &JournalOptions::default()).unwrap_err();
    assert!(
        matches!(error, JournalError::Damaged { line: 2, offset, .. } if offset == second as u64),
        "{error}"
    );
    assert_eq!(fs::read(&path).unwrap(), damaged, "nothing is touched");
    // Damage that comes while it is open is found by the reader.
    fs::write(&path, &whole).unwrap();
    let journal = open(dir.path());
    let mut reader = journal.read_on();
    fs::write(&path, &damaged).unwrap();
    reader.step().unwrap();
    assert!(matches!(reader.step(), Err(ReadLineError::Damaged { line: 2, .. })));
}

#[test]
fn a_missing_segment_or_end_stops_with_what_is_missing() {
    let dir = TempDir::new().unwrap();
    let journal = open(dir.path());
    append_all(&journal, 0..3);
    let mut reader = journal.read_on();
    assert_eq!(ids(&mut reader).len(), 3);
    reader.mark_published().unwrap();
    drop((journal, reader));
    let fails = || Journal::open(dir.path(), &JournalOptions::default()).unwrap_err();
    let whole = fs::read(path_of(dir.path(), 1)).unwrap();
    fs::write(path_of(dir.path(), 1), "").unwrap();
    assert!(matches!(fails(), JournalError::Shorter { published: 3, end: 1, .. }));
    fs::rename(path_of(dir.path(), 1), path_of(dir.path(), 9)).unwrap();
    fs::write(path_of(dir.path(), 1), whole).unwrap();
    assert!(matches!(fails(), JournalError::Gap { expected: 4, found: 9, .. }));
}

#[test]
fn journal_whose_cursor_is_lost_or_empty_is_published_from_its_first_line_on() {
    let dir = TempDir::new().unwrap();
    append_all(&open(dir.path()), 1..3);
    File::create_new(path_of(dir.path(), 3)).unwrap();
    let journal = open(dir.path());
    append_all(&journal, 3..5);
    let mut reader = journal.read_on();
    assert_eq!(ids(&mut reader).len(), 4);
    reader.mark_published().unwrap();
    drop((journal, reader));
    // A segment that was published and kept long enough.
    fs::remove_file(path_of(dir.path(), 1)).unwrap();
    assert_eq!(open(dir.path()).status().waiting_events, 0);
    let cursor = dir.path().join(JOURNAL_PUBLISHED);
    for is_empty in [true, false] {
        if is_empty {
            fs::write(&cursor, "").unwrap();
        } else {
            fs::remove_file(&cursor).unwrap();
        }
        let journal = open(dir.path());
        let status = journal.status();
        assert_eq!((status.lines, status.waiting_events), (4, 2));
        assert_eq!(ids(&mut journal.read_on()), ["3", "4"]);
    }
}

#[test]
fn a_full_journal_refuses_until_its_reader_goes_on() {
    let dir = TempDir::new().unwrap();
    let bytes = line::write(&to_native_json(&event("0")), now()).len() as u64;
    let options = JournalOptions { max_bytes: 3 * bytes, ..JournalOptions::default() };
    let journal = Journal::open(dir.path(), &options).unwrap();
    append_all(&journal, 0..3);
    let full = runtime().block_on(journal.append(&event("3"))).unwrap_err();
    assert_eq!(full, AppendError::Full { waiting_bytes: 3 * bytes, max_bytes: 3 * bytes });
    let mut reader = journal.read_on();
    reader.step().unwrap();
    reader.mark_published().unwrap();
    append_all(&journal, 3..4);
    assert!(runtime().block_on(journal.append(&event("4"))).is_err());
}

static SYNC_FAILS: AtomicBool = AtomicBool::new(false);

#[test]
fn a_failed_fsync_breaks_the_journal_until_the_disk_is_well_and_leaves_nothing_of_what_was_refused() {
    fn sync(file: &File) -> io::Result<()> {
        if SYNC_FAILS.load(Ordering::Acquire) { Err(io::Error::other("I/O error")) } else { file.sync_data() }
    }
    let dir = TempDir::new().unwrap();
    let journal = Journal::open_with(dir.path(), &JournalOptions::default(), sync).unwrap();
    append_all(&journal, 0..2);
    SYNC_FAILS.store(true, Ordering::Release);
    let broken = AppendError::Broken { reason: "I/O error".to_owned() };
    assert_eq!(runtime().block_on(journal.append(&event("2"))), Err(broken.clone()));
    assert_eq!(runtime().block_on(journal.append(&event("3"))), Err(broken));
    assert_eq!(journal.status().broken.as_deref(), Some("I/O error"));
    drop(journal);
    SYNC_FAILS.store(false, Ordering::Release);
    assert_eq!(ids(&mut open(dir.path()).read_on()), ["0", "1"]);
    // With the same journal, once the disk is well again.
    let journal = Journal::open_with(dir.path(), &JournalOptions::default(), sync).unwrap();
    let mut reader = journal.read_on();
    SYNC_FAILS.store(true, Ordering::Release);
    runtime().block_on(journal.append(&event("2"))).unwrap_err();
    assert_eq!(ids(&mut reader), ["0", "1"]);
    SYNC_FAILS.store(false, Ordering::Release);
    let since = std::time::Instant::now();
    while journal.status().broken.is_some() {
        assert!(since.elapsed() < 20 * REOPEN_INTERVAL, "{:?}", journal.status());
        std::thread::sleep(Duration::from_millis(100));
    }
    append_all(&journal, 3..5);
    assert_eq!(ids(&mut reader), ["3", "4"]);
}

#[test]
fn published_segments_are_removed_after_their_time_and_no_other() {
    let dir = TempDir::new().unwrap();
    let options = JournalOptions { keep: Duration::from_hours(1), ..JournalOptions::default() };
    // Segments end at restarts here, as at 64 MiB.
    let mut wrote = 1;
    for lines in [2, 3] {
        append_all(&open(dir.path()), wrote..wrote + lines);
        wrote += lines;
        File::create_new(path_of(dir.path(), u64::from(wrote))).unwrap();
    }
    let journal = Journal::open(dir.path(), &options).unwrap();
    append_all(&journal, [wrote]);
    let mut reader = journal.read_on();
    (0..4).for_each(|_| drop(reader.step().unwrap().unwrap()));
    reader.mark_published().unwrap();
    let (soon, later) = (SystemTime::now(), SystemTime::now() + Duration::from_hours(2));
    assert_eq!(journal.remove_old(soon).unwrap(), 0);
    assert_eq!(journal.remove_old(later).unwrap(), 1, "the second segment has a line that is not published");
    assert_eq!(ids(&mut reader), ["5", "6"]);
    reader.mark_published().unwrap();
    assert_eq!((journal.remove_old(soon).unwrap(), journal.remove_old(later).unwrap()), (0, 1));
    drop((journal, reader));
    assert_eq!(names(dir.path()), [&format!("{:020}.ndjson", 6), "lock", "published"]);
    let journal = open(dir.path());
    append_all(&journal, 7..8);
    assert_eq!((journal.status().lines, ids(&mut journal.read_on())), (7, vec!["7".to_owned()]));
}
