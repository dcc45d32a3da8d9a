//! Makes a generation.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use ledger_core::time::Timestamp;
use ledger_record::proof::Hash;
use ledger_record::rows::{ShardIdentity, SourcePosition};

use crate::backup::blobs::{Blobs, UNFINISHED};
use crate::backup::error::io_failed;
use crate::backup::generation::{
    self, BackedUpFile, BackedUpShard, BlobName, Generation, LEDGER, is_shard_file, modified_ns, numbers,
};
use crate::backup::journal::{self, JournalFile, LostLines};
use crate::backup::{BackupError, BackupProgress, Work};
use crate::data_dir::DataDir;
use crate::data_dir::manifest::{Manifest, shard_path};
use crate::db::database::Database;
use crate::error::ReadError;
use crate::files::{create_private_dir, lock_file, sync_dir};
use crate::read::reader::Reader;
use crate::read::snapshot::{ReadTier, Snapshot};
use crate::source::ShardId;

/// A generation that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    /// What was written.
    pub generation: Generation,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Bytes that were copied, as no generation before had them.
    pub copied_bytes: u64,
}

/// Makes a generation of every shard of a data directory. `open` has the readers of those that this process holds open;
/// no process may write to the others. `made` is the time now.
pub fn back_up(
    data: &DataDir,
    open: &dyn Fn(&ShardId) -> Option<Reader>,
    dir: &Path,
    made: Timestamp,
    progress: BackupProgress<'_>,
) -> Result<BackupReport, BackupError> {
    let target = Target::open(dir, data)?;
    let last = match numbers(dir)?.last() {
        Some(number) => Some(Generation::read(dir, *number)?),
        None => None,
    };
    // In this order: a topic is written down before a shard of it is made.
    let ids = data.shards()?;
    let manifest = data.manifest()?;
    if ids.is_empty() {
        return Err(BackupError::NoShards { path: data.path().to_owned() });
    }
    let mut checkpoints = CheckpointDirs::new(data);
    let mut sources = Vec::new();
    for id in &ids {
        // A checkpoint may take its time.
        Work::new(0, progress).advance(0)?;
        sources.push(match open(id) {
            Some(reader) => checkpoints.take(&reader)?,
            None => ShardSource::at_rest(data, id)?,
        });
    }
    let mut shards = Vec::new();
    for (id, source) in ids.iter().zip(&sources) {
        shards.push(describe(data, id, &source.dir)?);
    }
    let fingerprint = manifest.secret_fingerprint();
    if let Some(last) = &last {
        compare_with_last(dir, last, fingerprint, &shards)?;
    }

    // Behind the shards: it has all that they have.
    let journal = journal_files(data, dir, last.as_ref(), &target.blobs)?;
    let before = last.as_ref().map(FilesBefore::new).unwrap_or_default();
    let of_shards = sources.iter().flat_map(|source| source.files.values());
    let total = of_shards.chain(journal.iter().map(|file| &file.size)).sum();
    let mut copy =
        Copying { blobs: &target.blobs, before, work: Work::new(total, progress), copied_bytes: 0 };
    for (shard, source) in shards.iter_mut().zip(&sources) {
        shard.files = copy.files(&shard.id(), source)?;
    }
    let journal = journal.iter().map(|file| copy.of_journal(file)).collect::<Result<_, _>>()?;
    for (id, source) in ids.iter().zip(&sources) {
        source.is_unchanged(id)?;
    }
    let ledger = copy.ledger(&target, &manifest.of_shards(&ids))?;
    let copied_bytes = copy.copied_bytes;
    target.blobs.sync()?;
    let number = last.map_or(1, |last| last.number + 1);
    let generation = Generation::new(number, made, fingerprint, ledger, shards, journal);
    generation.write(dir)?;
    Ok(BackupReport { bytes: generation.bytes(), generation, copied_bytes })
}

/// The files of the journal. It has to have all that the last generation has of it.
fn journal_files(
    data: &DataDir,
    dir: &Path,
    last: Option<&Generation>,
    blobs: &Blobs,
) -> Result<Vec<JournalFile>, BackupError> {
    let files = journal::files(data.path())?;
    if let Some(last) = last
        && let Some(LostLines { file, stored, found }) = journal::lost_lines(&last.journal, &files, blobs)?
    {
        return Err(BackupError::LostLines {
            dir: dir.to_owned(),
            generation: last.number,
            file,
            stored,
            found,
        });
    }
    Ok(files)
}

/// A directory for backups, for one generation.
struct Target {
    dir: PathBuf,
    blobs: Blobs,
    _lock: File,
}

impl Target {
    fn open(dir: &Path, data: &DataDir) -> Result<Self, BackupError> {
        let blobs = Blobs::new(dir);
        // Before anything is made in it.
        let is_there = dir.exists();
        create_private_dir(dir).map_err(io_failed(dir))?;
        refuse_inside(dir, data.path()).inspect_err(|_| {
            if !is_there {
                // Empty, and not wanted.
                let _ = fs::remove_dir(dir);
            }
        })?;
        let lock = lock(dir)?;
        blobs.create_dir()?;
        generation::create_dir(dir)?;
        for path in
            [Some(dir), dir.parent().filter(|parent| !parent.as_os_str().is_empty())].into_iter().flatten()
        {
            sync_dir(path).map_err(io_failed(path))?;
        }
        remove_unfinished(&dir.join("blobs"))?;
        remove_unfinished(&dir.join("generations"))?;
        Ok(Self { dir: dir.to_owned(), blobs, _lock: lock })
    }
}

/// Removes what interrupted backups left.
pub(super) fn remove_unfinished(dir: &Path) -> Result<(), BackupError> {
    for entry in fs::read_dir(dir).map_err(io_failed(dir))? {
        let path = entry.map_err(io_failed(dir))?.path();
        if path.extension().is_some_and(|extension| extension == UNFINISHED) {
            fs::remove_file(&path).map_err(io_failed(&path))?;
        }
    }
    Ok(())
}

/// Holds a directory for backups until the file is dropped.
pub(super) fn lock(dir: &Path) -> Result<File, BackupError> {
    let path = dir.join("backup.lock");
    let locked = lock_file(&path).map_err(io_failed(&path))?;
    locked.ok_or(BackupError::Busy { path })
}

fn refuse_inside(dir: &Path, data: &Path) -> Result<(), BackupError> {
    let whole = |path: &Path| path.canonicalize().map_err(io_failed(path));
    let (backup, data) = (whole(dir)?, whole(data)?);
    if backup.starts_with(&data) || data.starts_with(&backup) {
        return Err(BackupError::Inside { dir: dir.to_owned() });
    }
    Ok(())
}

/// Refuses to go on where another ledger was backed up, or one that has more.
fn compare_with_last(
    dir: &Path,
    last: &Generation,
    fingerprint: Hash,
    shards: &[BackedUpShard],
) -> Result<(), BackupError> {
    let other = |what, stored, found| BackupError::OtherLedger { dir: dir.to_owned(), what, stored, found };
    if last.secret_fingerprint != fingerprint {
        let (stored, found) = (last.secret_fingerprint.to_text(), fingerprint.to_text());
        return Err(other("secret with the fingerprint", stored, found));
    }
    for before in last.shards.iter().filter(|shard| shard.next_position > 0) {
        let Some(now) = shards.iter().find(|shard| shard.id() == before.id()) else {
            return Err(BackupError::LacksShard { dir: dir.to_owned(), shard: before.id() });
        };
        if now.next_position < before.next_position {
            return Err(BackupError::Behind {
                dir: dir.to_owned(),
                generation: last.number,
                shard: before.id(),
                stored: before.next_position,
                found: now.next_position,
            });
        }
        let known = [
            ("cluster id", &before.cluster_id, &now.cluster_id),
            ("topic id", &before.topic_id, &now.topic_id),
        ];
        for (what, before, now) in known {
            if let (Some(before), Some(now)) = (before, now)
                && before != now
            {
                return Err(other(what, before.clone(), now.clone()));
            }
        }
    }
    Ok(())
}

/// Where the files of a shard are copied from.
struct ShardSource {
    dir: PathBuf,
    /// Their names and sizes when they were looked at.
    files: BTreeMap<String, u64>,
    is_at_rest: bool,
}

impl ShardSource {
    /// The directory of a shard that nobody writes to is as good as a checkpoint.
    fn at_rest(data: &DataDir, id: &ShardId) -> Result<Self, BackupError> {
        data.refuse_gone(&data.manifest()?, id)?;
        Self::new(shard_path(data.path(), id), true)
    }

    fn new(dir: PathBuf, is_at_rest: bool) -> Result<Self, BackupError> {
        let files = shard_files(&dir)?;
        Ok(Self { dir, files, is_at_rest })
    }

    /// What another process writes to a shard at rest shows in its files: it opens the shard with a new log.
    fn is_unchanged(&self, id: &ShardId) -> Result<(), BackupError> {
        if self.is_at_rest && shard_files(&self.dir)? != self.files {
            return Err(BackupError::Changed { shard: id.clone() });
        }
        Ok(())
    }
}

/// Checkpoints of open shards, gone when dropped.
struct CheckpointDirs<'d> {
    data: &'d DataDir,
    /// None before the first one.
    lock: Option<File>,
}

impl<'d> CheckpointDirs<'d> {
    fn new(data: &'d DataDir) -> Self {
        Self { data, lock: None }
    }

    fn root(&self) -> PathBuf {
        self.data.path().join("backup")
    }

    fn take(&mut self, reader: &Reader) -> Result<ShardSource, BackupError> {
        let root = self.root();
        if self.lock.is_none() {
            self.lock = Some(lock(self.data.path())?);
            remove_all(&root)?;
        }
        let id = reader.shard();
        let of_topic = root.join(&id.topic);
        fs::create_dir_all(&of_topic).map_err(io_failed(&of_topic))?;
        let path = of_topic.join(id.partition.to_string());
        reader.database().checkpoint(&path)?;
        ShardSource::new(path, false)
    }
}

impl Drop for CheckpointDirs<'_> {
    fn drop(&mut self) {
        // What is left is removed by the next backup; until then it keeps disk space.
        if self.lock.is_some()
            && let Err(error) = remove_all(&self.root())
        {
            tracing::warn!(%error, "the checkpoints of a backup could not be removed");
        }
    }
}

fn remove_all(path: &Path) -> Result<(), BackupError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io_failed(path)(error)),
        _ => Ok(()),
    }
}

fn shard_files(dir: &Path) -> Result<BTreeMap<String, u64>, BackupError> {
    let failed = io_failed(dir);
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(&failed)? {
        let entry = entry.map_err(&failed)?;
        let Some(name) = entry.file_name().to_str().filter(|name| is_shard_file(name)).map(str::to_owned)
        else {
            continue;
        };
        files.insert(name, entry.metadata().map_err(&failed)?.len());
    }
    Ok(files)
}

/// What a shard is, read from the very files that are copied.
fn describe(data: &DataDir, id: &ShardId, dir: &Path) -> Result<BackedUpShard, BackupError> {
    let identity = data.shard_identity(id)?;
    let facts = ShardFacts::read(dir, id, &identity, data)?;
    let ShardIdentity { cluster_id, topic, topic_id, partition } = identity;
    Ok(BackedUpShard {
        topic,
        partition,
        cluster_id,
        topic_id,
        next_offset: facts.next_offset,
        next_position: facts.next_position,
        sealed_size: facts.sealed_size,
        sealed_root: facts.sealed_root,
        is_fed: data.has_read_note(id),
        misplaced: data.misplaced(id)?,
        files: Vec::new(),
    })
}

/// What a shard is by its own rows.
pub(super) struct ShardFacts {
    pub(super) next_offset: Option<u64>,
    pub(super) next_position: u64,
    pub(super) sealed_size: u64,
    pub(super) sealed_root: Hash,
}

impl ShardFacts {
    pub(super) fn read(
        dir: &Path,
        id: &ShardId,
        identity: &ShardIdentity,
        data: &DataDir,
    ) -> Result<Self, BackupError> {
        let database = Database::open_at_rest(dir, id, identity, data.resources())?;
        Ok(Self::of(&Snapshot::new(&database, ReadTier::Disk), id)?)
    }

    fn of(snapshot: &Snapshot<'_>, id: &ShardId) -> Result<Self, ReadError> {
        let sealed_size = snapshot.sealed_size()?;
        let next_offset = match snapshot.source_position(&id.topic)? {
            Some(SourcePosition::Kafka { next_offset, .. }) => Some(next_offset),
            _ => None,
        };
        Ok(Self {
            next_offset,
            next_position: snapshot.head()?.next_position,
            sealed_size,
            sealed_root: snapshot.tree_root(sealed_size)?,
        })
    }
}

/// The files of the generation before, by shard and name; those of the journal have no shard.
#[derive(Default)]
struct FilesBefore(BTreeMap<(Option<ShardId>, String), BackedUpFile>);

impl FilesBefore {
    fn new(last: &Generation) -> Self {
        let of_shards = last.shards.iter().map(|shard| (Some(shard.id()), &shard.files));
        let all = of_shards.chain([(None, &last.journal)]);
        let files = all.flat_map(|(id, files)| {
            files.iter().map(move |file| ((id.clone(), file.name.clone()), file.clone()))
        });
        Self(files.collect())
    }
}

struct Copying<'a> {
    blobs: &'a Blobs,
    before: FilesBefore,
    work: Work<'a>,
    copied_bytes: u64,
}

impl Copying<'_> {
    fn files(&mut self, id: &ShardId, source: &ShardSource) -> Result<Vec<BackedUpFile>, BackupError> {
        let mut files = Vec::new();
        for (name, size) in &source.files {
            let path = source.dir.join(name);
            let is_table = path.extension().is_some_and(|extension| extension == "sst");
            files.push(self.file(Some(id), name, &path, *size, is_table)?);
        }
        Ok(files)
    }

    fn of_journal(&mut self, file: &JournalFile) -> Result<BackedUpFile, BackupError> {
        self.file(None, &file.name, &file.path, file.size, file.is_final)
    }

    /// One file, copied unless it never changes and the generation before has it.
    fn file(
        &mut self,
        id: Option<&ShardId>,
        name: &str,
        path: &Path,
        size: u64,
        is_final: bool,
    ) -> Result<BackedUpFile, BackupError> {
        let modified_ns = if is_final { modified_ns(path)? } else { None };
        if let Some(same) = self.as_before(id, name, size, modified_ns) {
            self.work.advance(size)?;
            return Ok(same);
        }
        let (sha256, size) = self.put(path)?;
        Ok(BackedUpFile { name: name.to_owned(), size, sha256, modified_ns })
    }

    /// A file that the generation before has, with its blob in place.
    fn as_before(
        &self,
        id: Option<&ShardId>,
        name: &str,
        size: u64,
        modified_ns: Option<u64>,
    ) -> Option<BackedUpFile> {
        let before = self.before.0.get(&(id.cloned(), name.to_owned()))?;
        let is_same = modified_ns.is_some() && before.modified_ns == modified_ns && before.size == size;
        (is_same && self.blobs.has(before.sha256, size)).then(|| before.clone())
    }

    fn put(&mut self, path: &Path) -> Result<(BlobName, u64), BackupError> {
        let (blob, size) = self.blobs.put(path, &mut self.work)?;
        self.copied_bytes += size;
        Ok((blob, size))
    }

    /// The manifest, as a file that is made for it.
    fn ledger(&mut self, target: &Target, manifest: &Manifest) -> Result<BackedUpFile, BackupError> {
        let path = target.dir.join("blobs").join(format!("{}.{LEDGER}.{UNFINISHED}", std::process::id()));
        fs::write(&path, manifest.to_text()?).map_err(io_failed(&path))?;
        let (sha256, size) = self.put(&path)?;
        fs::remove_file(&path).map_err(io_failed(&path))?;
        Ok(BackedUpFile { name: LEDGER.to_owned(), size, sha256, modified_ns: None })
    }
}
