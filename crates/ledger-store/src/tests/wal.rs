//! A damaged write-ahead log and one with an unfinished last write: real files, changed byte by byte.

use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::OpenError;
use crate::db::wal::{WalError, check, check_bytes};
use crate::tests::*;
use crc32c::{crc32c, crc32c_append};
use rocksdb::{ColumnFamilyDescriptor, DB, DBRecoveryMode, Options};

const BATCHES: u64 = 12;
const EVENTS: u64 = 40;

/// A shard with all records in its write-ahead log, and the ends of the batches in it.
struct Logged {
    dir: TempDir,
    log: PathBuf,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

fn shard_dir(data: &Path) -> PathBuf {
    data.join("shards").join(TOPIC).join("0")
}

/// The newest file: opening leaves older ones for a moment.
fn log_in(data: &Path) -> PathBuf {
    let files = fs::read_dir(shard_dir(data)).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).max().unwrap()
}

fn batch_of(number: u64) -> Vec<Event> {
    let events = (0..EVENTS).map(|index| {
        installed(&format!("tenant-{index}"), "app", &format!("{number}-{index}"), number.cast_signed(), "EU")
    });
    events.collect()
}

impl Logged {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut shard = open(dir.path(), StoreOptions::default()).open_shard(&shard_id(0)).unwrap();
        let log = log_in(dir.path());
        let mut ends = vec![usize::try_from(fs::metadata(&log).unwrap().len()).unwrap()];
        for number in 0..BATCHES {
            append(&mut shard, batch_of(number));
            ends.push(usize::try_from(fs::metadata(&log).unwrap().len()).unwrap());
        }
        drop(shard);
        let bytes = fs::read(&log).unwrap();
        assert!(bytes.len() > 3 * 32 * 1024, "{} bytes are too few blocks", bytes.len());
        Self { dir, log, bytes, ends }
    }

    /// The bytes of a batch.
    fn batch(&self, number: usize) -> Range<usize> {
        self.ends[number]..self.ends[number + 1]
    }

    /// The number of records that a shard opens with, given this log.
    fn opened(&self, bytes: &[u8]) -> Result<u64, OpenError> {
        let copy = self.copy(bytes);
        let data = open(copy.path(), StoreOptions::default());
        let read = data.read_shard(&shard_id(0)).map(|reader| reader.next_position());
        let shard = data.open_shard(&shard_id(0));
        match (read, shard) {
            (Ok(read), Ok(shard)) => {
                assert_eq!(read, shard.head().next_position);
                assert_true(&shard.reader());
                Ok(read)
            }
            (Err(read), Err(_)) => Err(read),
            (read, shard) => panic!("{read:?}, {shard:?}"),
        }
    }

    fn copy(&self, bytes: &[u8]) -> TempDir {
        fs::write(&self.log, bytes).unwrap();
        let copy = tempfile::tempdir().unwrap();
        let from = self.dir.path().join(".");
        let copied = std::process::Command::new("cp").arg("-r").arg(from).arg(copy.path()).status();
        assert!(copied.unwrap().success());
        copy
    }

    fn with(&self, range: Range<usize>, byte: u8) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[range].fill(byte);
        bytes
    }

    fn flipped(&self, bit: usize) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    }
}

/// The offset of the damage.
fn checked(bytes: &[u8]) -> Result<(), u64> {
    check_bytes(bytes).map_err(|error| match error {
        WalError::Damaged(damage) => damage.offset,
        other => panic!("{other:?}"),
    })
}

#[test]
fn flipped_bit_in_the_wal_refuses_the_shard() {
    let logged = Logged::new();
    let blocks = logged.bytes.len() / (32 * 1024);
    let last_block = &logged.bytes[blocks * 32 * 1024..];
    let mut damaged = last_block.to_vec();
    // The file cut at every length, including those at record ends, where a flipped bit could pass for a cut.
    let in_last_block = logged.ends.iter().filter_map(|end| end.checked_sub(blocks * 32 * 1024));
    for end in in_last_block.filter(|end| *end > 0) {
        for bit in (0..end * 8).step_by(3) {
            damaged[bit / 8] ^= 1 << (bit % 8);
            let found = checked(&[&logged.bytes[..blocks * 32 * 1024], &damaged[..end]].concat());
            assert!(found.is_err(), "bit {bit} of the last block, which ends at {end}");
            damaged[bit / 8] ^= 1 << (bit % 8);
        }
    }
    for bit in (0..logged.bytes.len() * 8).step_by(997) {
        let found = checked(&logged.flipped(bit)).unwrap_err();
        assert!(found <= bit as u64 / 8, "bit {bit} was found at {found}");
    }
}

#[test]
fn damaged_wal_error_names_the_file_and_remedy() {
    let logged = Logged::new();
    let middle = logged.bytes.len() * 4;
    let error = logged.opened(&logged.flipped(middle)).unwrap_err();
    assert!(matches!(error, OpenError::DamagedLog { .. }) && error.is_damage());
    let (text, remedy) = (error.to_string(), error.remedy());
    assert!(text.contains(".log is damaged at byte ") && !text.contains(".away"), "{text}");
    assert!(remedy.contains("0.away and restart: Kafka fills it anew"), "{remedy}");
    let last = logged.opened(&logged.flipped(logged.bytes.len() * 8 - 1));
    assert!(matches!(last, Err(OpenError::DamagedLog { .. })), "{last:?}");

    // As the remedy says: a shard moved away starts again.
    let copy = logged.copy(&logged.flipped(middle));
    let shard = shard_dir(copy.path());
    fs::rename(&shard, shard.with_extension("away")).unwrap();
    let data = open(copy.path(), StoreOptions::default());
    assert_eq!(data.open_shard(&shard_id(0)).unwrap().head().next_position, 0);
}

#[test]
fn truncated_write_opens_with_the_batches_before_it() {
    let logged = Logged::new();
    let end = logged.bytes.len();
    let last_batches = logged.batch(10).start..end;
    for cut in (0..=end).step_by(97).chain(last_batches.clone()) {
        assert_eq!(checked(&logged.bytes[..cut]), Ok(()), "cut at {cut}");
    }
    for cut in last_batches.step_by(1009) {
        let whole = logged.ends.iter().filter(|end| **end <= cut).count() as u64 - 1;
        assert_eq!(logged.opened(&logged.bytes[..cut]).unwrap(), whole * EVENTS, "cut at {cut}");
    }
}

/// A machine crashed and lost its newest log: the shard would open without the last records.
#[test]
fn missing_newest_wal_file_refuses_the_shard() {
    let logged = Logged::new();
    let refused = |copy: &TempDir| {
        let data = open(copy.path(), StoreOptions::default());
        for error in [
            data.read_shard(&shard_id(0)).map(drop).unwrap_err(),
            data.open_shard(&shard_id(0)).map(drop).unwrap_err(),
        ] {
            assert!(matches!(error, OpenError::LostLog { .. }) && error.is_damage(), "{error}");
            assert!(error.remedy().contains("0.away"), "{}", error.remedy());
        }
    };
    let copy = logged.copy(&logged.bytes);
    fs::remove_file(log_in(copy.path())).unwrap();
    refused(&copy);
    // An older file does not replace it.
    let copy = logged.copy(&logged.bytes);
    fs::rename(log_in(copy.path()), shard_dir(copy.path()).join("000001.log")).unwrap();
    refused(&copy);
    // Data in table files needs no log, but the file must exist.
    let copy = logged.copy(&logged.bytes);
    let data = open(copy.path(), StoreOptions::default());
    for _ in 0..3 {
        data.open_shard(&shard_id(0)).unwrap().flush().unwrap();
    }
    assert_eq!(data.read_shard(&shard_id(0)).unwrap().next_position(), BATCHES * EVENTS);
    fs::remove_file(log_in(copy.path())).unwrap();
    refused(&copy);
}

/// A shorter log shows no damage in itself.
#[test]
fn shard_shorter_than_its_noted_end_is_behind() {
    let logged = Logged::new();
    let copy = logged.copy(&logged.bytes);
    let data = open(copy.path(), StoreOptions::default());
    let is_behind = || data.is_behind(&data.read_shard(&shard_id(0)).unwrap()).unwrap();
    assert!(!is_behind(), "nothing was noted: it never was read from a topic");
    data.note_read_to(&shard_id(0), Some(0)).unwrap();
    assert!(!is_behind(), "its topic was empty");
    let mut shard = data.open_shard(&shard_id(0)).unwrap();
    let log = log_in(copy.path());
    let read_to = |shard: &mut Shard, next_offset| {
        let mut batch = shard.begin();
        batch.advance(TOPIC, SourcePosition::Kafka { next_offset, leader_epoch: None });
        batch.commit().unwrap();
    };
    read_to(&mut shard, 20);
    let before = fs::metadata(&log).unwrap().len();
    data.note_read_to(&shard_id(0), None).unwrap();
    assert!(is_behind(), "it was left while it read");
    read_to(&mut shard, 21);
    data.note_read_to(&shard_id(0), Some(21)).unwrap();
    assert!(!is_behind());
    read_to(&mut shard, 25);
    assert!(!is_behind(), "it went on");
    drop(shard);
    File::options().write(true).open(&log).unwrap().set_len(before).unwrap();
    assert!(is_behind(), "it fell back to 20");
}

/// A power cut: only some sectors of the last write reached the disk.
#[test]
fn hole_is_unfinished_in_the_last_batch_and_damage_before() {
    let logged = Logged::new();
    let is_last = |sector: &Range<usize>| sector.start >= logged.batch(11).start;
    let sectors =
        (0..logged.bytes.len()).step_by(512).map(|start| start..(start + 512).min(logged.bytes.len()));
    for (number, sector) in sectors.enumerate() {
        let bytes = logged.with(sector.clone(), 0);
        let found = checked(&bytes);
        if is_last(&sector) {
            assert_eq!(found, Ok(()), "{sector:?}");
            if number % 8 == 0 {
                assert_eq!(logged.opened(&bytes).unwrap(), 11 * EVENTS, "{sector:?}");
            }
        } else if sector.end <= logged.batch(11).start {
            assert!(found.is_err(), "{sector:?}");
        }
    }
    // The file had grown, and none of the write reached it.
    let grown: Vec<u8> = logged.bytes.iter().copied().chain([0; 5000]).collect();
    assert_eq!(logged.opened(&grown).unwrap(), BATCHES * EVENTS);
    // A partial write of other bytes than zeros is damage.
    assert!(checked(&logged.with(logged.batch(11).start + 600..logged.bytes.len(), 0xff)).is_err());
}

#[test]
fn unsynced_cursors_do_not_turn_a_hole_into_damage() {
    let logged = Logged::new();
    let copy = logged.copy(&logged.bytes);
    let data = open(copy.path(), StoreOptions::default());
    let mut shard = data.open_shard(&shard_id(0)).unwrap();
    let log = log_in(copy.path());
    let start = fs::metadata(&log).unwrap().len();
    append(&mut shard, batch_of(12));
    for position in 0..200 {
        shard.reader().publisher_cursor().set(position).unwrap();
    }
    drop(shard);
    let mut bytes = fs::read(&log).unwrap();
    let sector = (usize::try_from(start).unwrap() + 700).next_multiple_of(512);
    bytes[sector..sector + 512].fill(0);
    fs::write(&log, bytes).unwrap();
    assert_eq!(data.open_shard(&shard_id(0)).unwrap().head().next_position, BATCHES * EVENTS);
}

/// A process killed right after opening a shard leaves the replayed log beside its own.
#[test]
fn replayed_wal_left_by_a_kill_is_accepted() {
    let logged = Logged::new();
    let torn = &logged.bytes[..logged.bytes.len() - 100];
    let copy = logged.copy(torn);
    let replayed = log_in(copy.path());
    let data = open(copy.path(), StoreOptions::default());
    let mut shard = data.open_shard(&shard_id(0)).unwrap();
    assert_eq!(shard.head().next_position, 11 * EVENTS);
    append(&mut shard, batch_of(11));
    drop(shard);
    assert_ne!(log_in(copy.path()), replayed);
    // A missing batch in between is damage.
    fs::write(&replayed, &logged.bytes[..logged.batch(10).start + 100]).unwrap();
    assert!(matches!(check(&shard_dir(copy.path())), Err(WalError::Damaged(_))));
    fs::write(&replayed, torn).unwrap();
    assert!(matches!(check(&shard_dir(copy.path())), Ok(())));
    assert_eq!(data.open_shard(&shard_id(0)).unwrap().head().next_position, BATCHES * EVENTS);
}

/// RocksDB's own recovery modes, as the header of `wal` describes them: the reason for the check.
#[test]
fn no_rocksdb_recovery_mode_distinguishes_damage() {
    use DBRecoveryMode::{AbsoluteConsistency, PointInTime, TolerateCorruptedTailRecords};
    let logged = Logged::new();
    let records = |mode, bytes: &[u8]| {
        let copy = logged.copy(bytes);
        let path = shard_dir(copy.path());
        let mut options = Options::default();
        options.set_wal_recovery_mode(mode);
        options.set_track_and_verify_wals_in_manifest(true);
        let names = DB::list_cf(&options, &path).unwrap();
        let families = names.into_iter().map(|name| ColumnFamilyDescriptor::new(name, Options::default()));
        let db = DB::open_cf_descriptors(&options, &path, families).ok()?;
        let rows = db.iterator_cf(db.cf_handle("positions").unwrap(), rocksdb::IteratorMode::Start);
        Some(rows.map(|row| entries(&row.unwrap().1).count() as u64).sum())
    };
    let all = BATCHES * EVENTS;
    let cut = &logged.bytes[..logged.bytes.len() - 100];
    let flipped = &logged.flipped((logged.batch(3).start + 50) * 8);
    // The length field of the last fragment, whose header is the last one of the file.
    let last_block = logged.bytes.len() / (32 * 1024) * 32 * 1024;
    let last_header = last_block.max(logged.batch(11).start);
    let longer = &logged.flipped((last_header + 5) * 8 + 6);
    // Before the last batch, so that a batch follows.
    let after_hole = logged.batch(11).start / (32 * 1024) * 32 * 1024;
    let hole = &logged.with(after_hole - 32 * 1024..after_hole, 0);
    let of_all = |bytes: &[u8]| {
        [PointInTime, TolerateCorruptedTailRecords, AbsoluteConsistency].map(|mode| records(mode, bytes))
    };
    let ours = |bytes: &[u8]| checked(bytes).is_ok();
    println!(
        "cut {:?}\nflipped {:?}\nlonger {:?}\nhole {:?}",
        of_all(cut),
        of_all(flipped),
        of_all(longer),
        of_all(hole)
    );
    assert_eq!([ours(cut), ours(flipped), ours(longer), ours(hole)], [true, false, false, false]);
    assert_eq!(of_all(&logged.bytes), [Some(all); 3]);
    assert_eq!(of_all(cut), [Some(all - EVENTS), Some(all - EVENTS), None]);
    assert_eq!(of_all(flipped), [Some(3 * EVENTS), None, None]);
}

#[test]
fn flushed_data_does_not_need_the_wal() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    for number in 0..BATCHES {
        append(&mut shard, batch_of(number));
    }
    shard.flush().unwrap();
    drop(shard);
    for entry in fs::read_dir(shard_dir(ledger.dir.path())).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            fs::write(path, []).unwrap();
        }
    }
    let shard = ledger.shard();
    assert_eq!(shard.head().next_position, BATCHES * EVENTS);
    assert_true(&shard.reader());
}

#[test]
fn crc32c_matches_the_catalogue_check_value() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    let text = b"in pieces of any length it is the same";
    for cut in 0..text.len() {
        assert_eq!(crc32c_append(crc32c(&text[..cut]), &text[cut..]), crc32c(text));
    }
}
