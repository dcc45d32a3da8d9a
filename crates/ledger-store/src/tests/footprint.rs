//! The disk space and descriptors of a shard.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::OpenError;
use crate::tests::*;

/// The disk space of the files below a directory, reserved blocks included.
fn disk_bytes(path: &Path) -> u64 {
    let entries = fs::read_dir(path).unwrap().map(Result::unwrap);
    let bytes = |entry: fs::DirEntry| match entry.metadata().unwrap() {
        // `st_blocks` counts 512 bytes on every file system.
        metadata if metadata.is_file() => metadata.blocks() * 512,
        _ => disk_bytes(&entry.path()),
    };
    entries.map(bytes).sum()
}

#[test]
fn small_open_shard_takes_little_disk() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    let name = |number: i32| (format!("tenant-{}", number % 50), format!("e-{number}"));
    let events = (0..500).map(name).map(|(of, id)| installed(&of, "app", &id, 1, "EU"));
    append(&mut shard, events.collect::<Vec<_>>());
    let taken = disk_bytes(ledger.dir.path());
    assert!(taken < 8 * 1024 * 1024, "{taken} bytes for 500 events");
}

#[test]
fn descriptors_are_divided_among_the_partitions() {
    let files = |descriptors, partitions| {
        let options = StoreOptions { descriptors, ..StoreOptions::default() };
        options.open_files(partitions)
    };
    assert_eq!(files(None, 64), Some(512));
    assert_eq!(files(Some(100_000), 64), Some(512));
    assert_eq!(files(Some(640), 4), Some(112));
    assert_eq!(files(Some(320), 4), Some(32));
    assert_eq!(files(Some(319), 4), None);
    // Four partitions are bound.
    let ledger = Ledger::with(StoreOptions { descriptors: Some(319), ..StoreOptions::default() });
    let refused = ledger.data.open_shard(&shard_id(0)).unwrap_err();
    assert!(matches!(refused, OpenError::TooFewDescriptors { descriptors: 319, partitions: 4, least: 80 }));
    let ledger = Ledger::with(StoreOptions { descriptors: Some(320), ..StoreOptions::default() });
    let mut shard = ledger.shard();
    append(&mut shard, [installed("acme", "app", "e-1", 1, "EU")]);
}
