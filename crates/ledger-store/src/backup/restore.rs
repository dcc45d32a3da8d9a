//! Brings a generation back as a data directory.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use ledger_record::rows::ShardIdentity;

use crate::backup::blobs::{Blobs, copy_hashed};
use crate::backup::error::io_failed;
use crate::backup::generation::{BackedUpFile, BackedUpShard, Generation, numbers};
use crate::backup::make::ShardFacts;
use crate::backup::{BackupDamage, BackupError, BackupProgress, Work};
use crate::data_dir::DataDir;
use crate::data_dir::journal::JOURNAL;
use crate::data_dir::manifest::{Manifest, RESTORE_MARK, file_in, shard_path};
use crate::db::options::StoreOptions;
use crate::error::OpenError;
use crate::files::sync_dir;

/// What was brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreReport {
    /// The generation.
    pub generation: Generation,
    /// Bytes of its files.
    pub bytes: u64,
}

/// Makes a data directory from a generation: the newest, unless a number is given. The directory must be empty or not be
/// there; what an interrupted restore left in it is removed.
pub fn restore(
    dir: &Path,
    number: Option<u64>,
    to: &Path,
    options: StoreOptions,
    progress: BackupProgress<'_>,
) -> Result<RestoreReport, BackupError> {
    let generation = choose(dir, number)?;
    let blobs = Blobs::new(dir);
    let mut work = Work::new(generation.bytes(), progress);
    let mark = begin(to)?;
    let mut copy = Copy { blobs: &blobs, generation: generation.number, work: &mut work };
    // A newer format is refused before the shards are copied.
    let ledger = to.join(format!("{RESTORE_MARK}.ledger"));
    copy.file(&generation.ledger, &ledger)?;
    Manifest::parse(&ledger, &fs::read(&ledger).map_err(io_failed(&ledger))?)?;
    for shard in &generation.shards {
        let path = shard_path(to, &shard.id());
        fs::create_dir_all(&path).map_err(io_failed(&path))?;
        for file in &shard.files {
            copy.file(file, &path.join(&file.name))?;
        }
        sync_to(&path, to)?;
    }
    copy.journal(&generation, to)?;
    let data = DataDir::unopened(to, options)?;
    for shard in &generation.shards {
        compare(shard, &data)?;
        mark_as_restored(shard, &data)?;
    }
    sync_shards(&generation, to)?;
    // From here on it is a data directory.
    let place = file_in(to);
    fs::rename(&ledger, &place).map_err(io_failed(&place))?;
    sync_dir(to).map_err(io_failed(to))?;
    fs::remove_file(&mark).map_err(io_failed(&mark))?;
    sync_dir(to).map_err(io_failed(to))?;
    DataDir::exists(to)?;
    Ok(RestoreReport { bytes: generation.bytes(), generation })
}

fn choose(dir: &Path, number: Option<u64>) -> Result<Generation, BackupError> {
    let there = numbers(dir)?;
    let Some(last) = there.last().copied() else {
        return Err(BackupError::NoGeneration { dir: dir.to_owned() });
    };
    let number = number.unwrap_or(last);
    if !there.contains(&number) {
        let there = there.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        return Err(BackupError::NoSuchGeneration { dir: dir.to_owned(), number, there });
    }
    Generation::read(dir, number)
}

/// Takes the directory; returns the mark.
fn begin(to: &Path) -> Result<PathBuf, BackupError> {
    fs::create_dir_all(to).map_err(io_failed(to))?;
    let mark = to.join(RESTORE_MARK);
    let is_interrupted = mark.exists() && !file_in(to).exists();
    let mut others = Vec::new();
    for entry in fs::read_dir(to).map_err(io_failed(to))? {
        let name = entry.map_err(io_failed(to))?.file_name();
        let is_ours = ["shards", JOURNAL, RESTORE_MARK, "restoring.ledger"].iter().any(|ours| name == **ours);
        if name != *"lost+found" && name != *"ledger.lock" && !(is_interrupted && is_ours) {
            others.push(name);
        }
    }
    if !others.is_empty() {
        return Err(OpenError::NotEmpty { path: to.to_owned() }.into());
    }
    for half in ["shards", JOURNAL].map(|name| to.join(name)) {
        match fs::remove_dir_all(&half) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_failed(&half)(error)),
            _ => {}
        }
    }
    File::create(&mark).and_then(|file| file.sync_all()).map_err(io_failed(&mark))?;
    sync_dir(to).map_err(io_failed(to))?;
    Ok(mark)
}

struct Copy<'a, 'p> {
    blobs: &'a Blobs,
    generation: u64,
    work: &'a mut Work<'p>,
}

impl Copy<'_, '_> {
    fn journal(&mut self, generation: &Generation, to: &Path) -> Result<(), BackupError> {
        if generation.journal.is_empty() {
            return Ok(());
        }
        let dir = to.join(JOURNAL);
        fs::create_dir_all(&dir).map_err(io_failed(&dir))?;
        for file in &generation.journal {
            self.file(file, &dir.join(&file.name))?;
        }
        sync_to(&dir, to)
    }

    /// Copies a file out of its blob, and compares it with what it is called.
    fn file(&mut self, file: &BackedUpFile, to: &Path) -> Result<(), BackupError> {
        let (blob, from) = (file.sha256, self.blobs.path(file.sha256));
        let mut source = File::open(&from).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => {
                BackupDamage::Missing { blob, file: file.name.clone(), generation: self.generation }
            }
            _ => BackupDamage::Unreadable { blob, source },
        })?;
        let mut copy = File::create(to).map_err(io_failed(to))?;
        let (found, size) = copy_hashed(&mut source, &from, Some((&mut copy, to)), self.work)?;
        if found != blob || size != file.size {
            return Err(BackupDamage::Changed { blob, is_aside: false }.into());
        }
        copy.sync_all().map_err(io_failed(to))
    }
}

/// Makes the names on the way down durable.
fn sync_to(path: &Path, root: &Path) -> Result<(), BackupError> {
    for dir in path.ancestors().take_while(|dir| dir.starts_with(root)) {
        sync_dir(dir).map_err(io_failed(dir))?;
    }
    Ok(())
}

fn compare(shard: &BackedUpShard, data: &DataDir) -> Result<(), BackupError> {
    let id = shard.id();
    let identity = ShardIdentity {
        cluster_id: shard.cluster_id.clone(),
        topic: shard.topic.clone(),
        topic_id: shard.topic_id.clone(),
        partition: shard.partition,
    };
    let facts = ShardFacts::read(&shard_path(data.path(), &id), &id, &identity, data)?;
    let offset = |offset: Option<u64>| offset.map_or("none".to_owned(), |offset| offset.to_string());
    let compared = [
        ("next position", shard.next_position.to_string(), facts.next_position.to_string()),
        ("next offset", offset(shard.next_offset), offset(facts.next_offset)),
        ("sealed size", shard.sealed_size.to_string(), facts.sealed_size.to_string()),
        ("root", shard.sealed_root.to_text(), facts.sealed_root.to_text()),
    ];
    match compared.into_iter().find(|(_, expected, found)| expected != found) {
        Some((what, expected, found)) => Err(BackupError::Differs { shard: id, what, expected, found }),
        None => Ok(()),
    }
}

/// Notes beside a shard what was noted there, but that it was ever at the end of its topic.
fn mark_as_restored(shard: &BackedUpShard, data: &DataDir) -> Result<(), BackupError> {
    if shard.is_fed {
        data.note_read_to(&shard.id(), None)?;
    }
    if let Some(by) = &shard.misplaced {
        data.note_misplaced(&shard.id(), Some(by))?;
    }
    Ok(())
}

fn sync_shards(generation: &Generation, to: &Path) -> Result<(), BackupError> {
    for shard in &generation.shards {
        let path = shard_path(to, &shard.id());
        for mark in ["behind", "misplaced"].map(|mark| path.with_extension(mark)) {
            match File::open(&mark).and_then(|file| file.sync_all()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_failed(&mark)(error)),
                _ => {}
            }
        }
        sync_to(&path, to)?;
    }
    Ok(())
}
