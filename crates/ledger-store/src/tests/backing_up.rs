//! Backups of real directories: what a generation brings back, and what is left of one that was interrupted.

mod interrupted;
mod keeping;
mod refusals;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::backup::{
    BackupDamage, BackupError, BackupReport, Generation, RestoreReport, back_up, restore, verify_backup,
};
use crate::tests::*;

/// Notes progress of nobody.
fn unheard() -> impl FnMut(u64, u64) -> ControlFlow<()> {
    |_, _| ControlFlow::Continue(())
}

/// A ledger of two shards, and a directory for its backups.
struct Backed {
    ledger: Ledger,
    backup: PathBuf,
}

impl Backed {
    fn new() -> Self {
        let ledger = Ledger::new();
        let backup = ledger.dir.path().join("backup");
        Self {
            ledger: Ledger { data: open(&ledger.dir.path().join("data"), StoreOptions::default()), ..ledger },
            backup,
        }
    }

    fn shards(&self) -> [Shard; 2] {
        [0, 1].map(|partition| self.ledger.data.open_shard(&shard_id(partition)).unwrap())
    }

    /// Beside the writers.
    fn beside(&self, shards: &[Shard]) -> BackupReport {
        let open = |id: &ShardId| shards.iter().find(|shard| shard.id() == id).map(Shard::reader);
        back_up(&self.ledger.data, &open, &self.backup, hour(0), &mut unheard()).unwrap()
    }

    fn at_rest(&self) -> Result<BackupReport, BackupError> {
        back_up(&self.ledger.data, &|_| None, &self.backup, hour(1), &mut unheard())
    }

    fn restored(&self, name: &str, number: Option<u64>) -> Result<(PathBuf, RestoreReport), BackupError> {
        let to = self.ledger.dir.path().join(name);
        let report = restore(&self.backup, number, &to, StoreOptions::default(), &mut unheard())?;
        Ok((to, report))
    }

    fn damage(&self) -> Vec<BackupDamage> {
        verify_backup(&self.backup, &mut unheard()).unwrap().damage
    }
}

fn fill(shards: &mut [Shard], round: u32) {
    for shard in shards {
        let name = format!("tenant-{}-{round}", shard.id().partition);
        let events =
            (0..40).map(|number| installed(&name, &format!("app-{number}"), &number.to_string(), 1, "EU"));
        append(shard, events.collect::<Vec<_>>());
        let next = shard.head().next_position;
        let mut batch = shard.begin();
        batch.tick(from_offset(next)).unwrap();
        batch.advance(TOPIC, kafka(next + 1));
        batch.commit().unwrap();
    }
}

fn dumps(data: &DataDir) -> Vec<Dump> {
    data.shards().unwrap().iter().map(|id| dump(&data.read_shard(id).unwrap())).collect()
}

fn opened(dir: &Path) -> DataDir {
    DataDir::open_existing_read_only(dir, StoreOptions::default()).unwrap()
}

fn blobs(backup: &Path) -> Vec<PathBuf> {
    let mut blobs: Vec<_> =
        fs::read_dir(backup.join("blobs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    blobs.sort();
    blobs
}

fn is_table(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "sst")
}

#[test]
fn generation_beside_the_writers_brings_back_the_same_bytes() {
    let backed = Backed::new();
    let mut shards = backed.shards();
    fill(&mut shards, 0);
    let report = backed.beside(&shards);
    let then = dumps(&backed.ledger.data);
    fill(&mut shards, 1);
    assert_eq!(report.generation.number, 1);
    assert!(!backed.ledger.data.path().join("backup").exists(), "the checkpoints are gone");
    let (to, restored) = backed.restored("restored", None).unwrap();
    assert_eq!(restored.generation, report.generation);
    let data = opened(&to);
    assert_eq!(dumps(&data), then);
    for shard in &restored.generation.shards {
        let reader = data.read_shard(&shard.id()).unwrap();
        // The messages of these tests are all of partition 0: nothing else accounts for every offset.
        if shard.id().partition == 0 {
            assert_true(&reader);
        } else {
            assert_whole(&reader);
        }
        assert_eq!(shard.next_position, reader.next_position());
        assert!(shard.sealed_size > 0 && shard.next_offset.is_some(), "{shard:?}");
        assert_eq!(reader.snapshot().tree_root(shard.sealed_size).unwrap(), shard.sealed_root);
    }
    // It is a directory like any other: the log goes on.
    let again = open(&to, StoreOptions::default());
    fill(&mut [0, 1].map(|partition| again.open_shard(&shard_id(partition)).unwrap()), 1);
    drop(shards);
    assert_eq!(dumps(&again), dumps(&backed.ledger.data));
}

#[test]
fn generation_of_a_directory_at_rest_brings_back_the_same_bytes() {
    let backed = Backed::new();
    let mut shards = backed.shards();
    fill(&mut shards, 0);
    drop(shards);
    let before = fs::read(backed.ledger.data.path().join("ledger.json")).unwrap();
    backed.at_rest().unwrap();
    let (to, _) = backed.restored("restored", Some(1)).unwrap();
    assert_eq!(dumps(&opened(&to)), dumps(&backed.ledger.data));
    assert_eq!(fs::read(to.join("ledger.json")).unwrap(), before);
    assert!(!to.join("restoring").exists());
}

#[test]
fn table_files_of_the_generation_before_are_not_copied_again() {
    let backed = Backed::new();
    let mut shards = backed.shards();
    fill(&mut shards, 0);
    let first = backed.beside(&shards);
    let there = blobs(&backed.backup);
    let second = backed.beside(&shards);
    let tables = |generation: &Generation| {
        let files = generation.shards.iter().flat_map(|shard| &shard.files);
        let tables = files.filter(|file| is_table(&file.name));
        tables.map(|file| file.sha256).collect::<Vec<_>>()
    };
    assert!(!tables(&first.generation).is_empty());
    assert_eq!(tables(&first.generation), tables(&second.generation));
    let table_bytes: u64 = first
        .generation
        .shards
        .iter()
        .flat_map(|shard| &shard.files)
        .filter(|file| is_table(&file.name))
        .map(|file| file.size)
        .sum();
    assert!(first.copied_bytes >= table_bytes && second.copied_bytes <= second.bytes - table_bytes);
    assert!(there.iter().all(|blob| blob.exists()));
    // A table that is written anew under an old name is another file.
    fill(&mut shards, 1);
    let third = backed.beside(&shards);
    assert_ne!(tables(&third.generation), tables(&first.generation));
    assert!(backed.damage().is_empty());
    for number in 1..=3 {
        backed.restored(&format!("restored-{number}"), Some(number)).unwrap();
    }
}

/// Regression: every later generation shared the damaged file, and with `--keep` no whole one was left.
#[test]
fn damaged_table_file_is_set_aside_and_copied_anew_for_every_generation() {
    let backed = Backed::new();
    let mut shards = backed.shards();
    fill(&mut shards, 0);
    let first = backed.beside(&shards);
    let mut files = first.generation.shards.iter().flat_map(|shard| &shard.files);
    let table = files.find(|file| is_table(&file.name)).unwrap();
    let blob = backed.backup.join("blobs").join(table.sha256.to_string());
    let mut bytes = fs::read(&blob).unwrap();
    bytes[7] ^= 1;
    fs::write(&blob, bytes).unwrap();
    assert!(matches!(backed.damage()[..], [BackupDamage::Changed { is_aside: true, .. }]));
    assert!(matches!(backed.damage()[..], [BackupDamage::Missing { .. }]), "until it is copied");
    let second = backed.beside(&shards);
    assert!(second.copied_bytes >= table.size);
    assert!(backed.damage().is_empty());
    for number in 1..=2 {
        backed.restored(&format!("restored-{number}"), Some(number)).unwrap();
    }
}

/// Regression: it became the newest generation, and the whole ones before it were removed.
#[test]
fn directory_that_is_behind_its_last_generation_is_not_backed_up_over_it() {
    let backed = Backed::new();
    let mut shards = backed.shards();
    fill(&mut shards, 0);
    backed.beside(&shards);
    let (old, _) = backed.restored("old", None).unwrap();
    fill(&mut shards, 1);
    backed.beside(&shards);
    let refused = back_up(&opened(&old), &|_| None, &backed.backup, hour(2), &mut unheard()).unwrap_err();
    assert!(matches!(refused, BackupError::Behind { generation: 2, .. }), "{refused}");
    assert_eq!(backed.restored("new", None).unwrap().1.generation.number, 2);
}

#[test]
fn restored_shard_is_behind_until_it_has_read_its_topic() {
    let backed = Backed::new();
    let mut shards = backed.shards();
    fill(&mut shards, 0);
    backed.ledger.data.note_read_to(&shard_id(0), Some(40)).unwrap();
    backed.ledger.data.note_misplaced(&shard_id(1), Some(&[crate::Partitioner::Crc32])).unwrap();
    assert!(!backed.ledger.data.is_behind(&shards[0].reader()).unwrap());
    backed.beside(&shards);
    let (to, _) = backed.restored("restored", None).unwrap();
    let data = opened(&to);
    let is_behind = |partition| data.is_behind(&data.read_shard(&shard_id(partition)).unwrap()).unwrap();
    assert!(is_behind(0), "its topic has gone on");
    assert!(!is_behind(1), "nothing ever fed it");
    assert_eq!(data.misplaced(&shard_id(1)).unwrap(), Some(vec![crate::Partitioner::Crc32]));
}

#[test]
fn flipped_bit_in_any_blob_is_found_by_the_check_and_by_restore() {
    let backed = Backed::new();
    let mut shards = backed.shards();
    fill(&mut shards, 0);
    backed.beside(&shards);
    assert!(backed.damage().is_empty());
    for (number, blob) in blobs(&backed.backup).into_iter().enumerate() {
        let whole = fs::read(&blob).unwrap();
        // A write-ahead log without a record.
        if whole.is_empty() {
            continue;
        }
        let at = (number * 7919) % whole.len();
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (number % 8);
        fs::write(&blob, flipped).unwrap();
        let name = blob.file_name().unwrap().to_str().unwrap();
        let refused = backed.restored(&format!("restored-{number}"), None).unwrap_err();
        assert!(refused.to_string().contains(name), "{refused}");
        let found = backed.damage();
        assert!(
            matches!(&found[..], [BackupDamage::Changed { blob, is_aside: true }] if blob.to_string() == name),
            "{found:?}"
        );
        let left = backed.ledger.dir.path().join(format!("restored-{number}"));
        assert!(DataDir::open_existing_read_only(&left, StoreOptions::default()).is_err());
        fs::write(&blob, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(backed.damage().len(), 1, "{name} is shorter");
        assert!(!blob.exists(), "it is set aside");
        let found = backed.damage();
        assert!(matches!(found[..], [BackupDamage::Missing { generation: 1, .. }]), "{found:?}");
        fs::write(&blob, whole).unwrap();
    }
    assert!(backed.damage().is_empty());
    backed.restored("restored", None).unwrap();
}
