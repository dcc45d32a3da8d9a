//! A data directory: which sources it was filled from, and its shards.
//!
//! ```text
//! <dir>/ledger.json                       format, secret, topics with their identity  manifest
//! <dir>/ledger.lock                       held while any of this is changed
//! <dir>/probe                             there for a moment while a full disk is looked at
//! <dir>/refill.lock                       held while it is refilled
//! <dir>/backup.lock  backup/  restoring   of a backup that is made, or brought back                crate::backup
//! <dir>/shards/<topic>/<partition>/       one RocksDB each                            crate::db::database
//! <dir>/shards/<topic>/<partition>.new/   a shard that is being made; a crash may leave one
//! <dir>/shards/<topic>/<partition>.away   damaged, and moved here by the operator: the shard may be begun anew
//! <dir>/shards/<topic>/<partition>.behind empty while the shard has not read what its topic has; else the offset that
//!                                         it had read to, and was durable, when it last was at the end
//! <dir>/shards/<topic>/<partition>.misplaced there while the shard is halted by a message of another partitioner
//! ```
//!
//! `ledger.json` says which shards were begun, and is compared with the directories whenever it is read: a shard that is
//! gone is an error, for reading and for writing, and so is one that it does not know. Then it is not the file that the
//! shards were made with, and whoever went by it would leave them out.
//!
//! Several processes may hold a data directory open. A shard has one writer among all of them, which the
//! lock inside its RocksDB ensures.

mod beside;
pub(crate) mod journal;
pub(crate) mod manifest;
mod memory;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ledger_record::proof::line::LedgerSecret;
use ledger_record::rows::{ShardIdentity, SourcePosition};

use crate::data_dir::manifest::{Manifest, check_topic, shard_path};
use crate::db::database::{Database, rocksdb_failed};
use crate::db::options::{
    DESCRIPTORS_BESIDE_TABLES, OPEN_FILES_LEAST, READ_ONLY_PAUSE_MS, READ_ONLY_TRIES, StoreOptions,
};
use crate::db::tuning::Resources;
use crate::error::{BindError, OpenError, ReadError, StorageError, away};
use crate::files::sync_dir;
use crate::read::reader::Reader;
use crate::source::{Partitioner, ShardId, SourceIdentity};
use crate::write::shard::Shard;

pub use manifest::Renamed;

const REFILL_LOCK: &str = "refill.lock";

/// An open data directory: its `ledger.json`, and what its shards share of the machine.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Of the audit trail; none when nothing is to be written.
    secret: Option<LedgerSecret>,
    resources: Arc<Resources>,
    /// Held as long as the directory is being refilled.
    refill: Option<File>,
}

impl DataDir {
    /// Opens a data directory for writing; an empty or missing directory becomes one. The secret must be the
    /// one that it was begun with; only its fingerprint is kept here.
    pub fn open(path: &Path, options: StoreOptions, secret: LedgerSecret) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(failed)?;
        let fingerprint = secret.fingerprint();
        let data_dir = Self::with_resources(path, options, Some(secret))?;
        let _lock = data_dir.lock()?;
        if let Some(manifest) = Manifest::read(path)? {
            if !manifest.is_of(fingerprint) {
                return Err(OpenError::OtherSecret { path: path.to_owned() });
            }
        } else {
            Manifest::new(fingerprint).write(path)?;
        }
        Ok(data_dir)
    }

    /// Makes a data directory for [`crate::refill()`]. Every other opening fails until it is [finished](Self::finish). An
    /// unfinished refill in the directory is deleted; a directory with anything else in it is refused.
    pub fn begin_refill(
        path: &Path,
        options: StoreOptions,
        secret: LedgerSecret,
        renamed: Renamed,
    ) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io { path: path.to_owned(), source };
        let not_empty = || OpenError::NotEmpty { path: path.to_owned() };
        fs::create_dir_all(path).map_err(failed)?;
        let left_over = Manifest::read_any(path)?.map(|manifest| manifest.is_unfinished());
        if left_over == Some(false) || left_over.is_none() && !is_empty(path).map_err(failed)? {
            return Err(not_empty());
        }
        let lock = File::options().create(true).truncate(false).write(true).open(path.join(REFILL_LOCK));
        let lock = lock.map_err(failed)?;
        lock.try_lock().map_err(|_| OpenError::Unfinished { path: path.to_owned() })?;
        Manifest::unfinished(secret.fingerprint(), renamed).write(path)?;
        match fs::remove_dir_all(path.join("shards")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        Ok(Self { refill: Some(lock), ..Self::with_resources(path, options, Some(secret))? })
    }

    /// From now on the directory is whole.
    pub fn finish(mut self) -> Result<Self, OpenError> {
        let mut manifest = self.manifest()?;
        manifest.finish();
        manifest.write(&self.path)?;
        self.refill = None;
        // Another refill refuses the directory from now on, with or without the lock.
        let _gone = fs::remove_file(self.path.join(REFILL_LOCK));
        Ok(self)
    }

    /// What the logs of a directory are called instead of their configured name, if it was refilled.
    pub fn renamed(path: &Path) -> Result<Option<Renamed>, OpenError> {
        Ok(Manifest::read_any(path)?.and_then(|manifest| manifest.renamed().cloned()))
    }

    /// Opens a data directory that exists, without writing anything, beside a server that may be running.
    pub fn open_existing_read_only(path: &Path, options: StoreOptions) -> Result<Self, OpenError> {
        let data_dir = Self::with_resources(path, options, None)?;
        data_dir.manifest()?;
        Ok(data_dir)
    }

    /// Whether it was begun with this secret: what is proven with another one is not its log.
    pub fn check_secret(&self, secret: &LedgerSecret) -> Result<(), OpenError> {
        if self.manifest()?.is_of(secret.fingerprint()) {
            Ok(())
        } else {
            Err(OpenError::OtherSecret { path: self.path.clone() })
        }
    }

    /// Whether a ledger lies at a path: opening it for writing then takes the secret it was begun with.
    pub fn exists(path: &Path) -> Result<bool, OpenError> {
        Ok(Manifest::read(path)?.is_some())
    }

    /// How many partitions the ledger at a path was filled from; 0 where there is none.
    pub fn partitions_at(path: &Path) -> Result<usize, OpenError> {
        let manifest = Manifest::read(path)?;
        Ok(manifest.map_or(0, |manifest| manifest.topics().map(|(_, partitions)| partitions as usize).sum()))
    }

    fn with_resources(
        path: &Path,
        options: StoreOptions,
        secret: Option<LedgerSecret>,
    ) -> Result<Self, OpenError> {
        let resources = Resources::new(options).map_err(rocksdb_failed("preparing RocksDB"))?;
        Ok(Self { path: path.to_owned(), secret, resources: Arc::new(resources), refill: None })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the leaves are made with; none when it is open for reading only.
    pub fn ledger_secret(&self) -> Option<&LedgerSecret> {
        self.secret.as_ref()
    }

    pub(crate) fn resources(&self) -> &Arc<Resources> {
        &self.resources
    }

    /// Remembers where a topic's messages come from, or refuses when that is another place than before.
    /// What was unknown is filled in; what is unknown now is not compared. To be called before the shards
    /// are opened: they remember it too.
    pub fn bind(&self, topic: &str, identity: &SourceIdentity) -> Result<(), BindError> {
        check_topic(topic)?;
        self.secret()?;
        let _lock = self.lock()?;
        let mut manifest = self.manifest()?;
        if manifest.bind(topic, identity)? {
            manifest.write(&self.path)?;
        }
        Ok(())
    }

    /// Forgets a topic of which no shard here has a record, as if it had never been bound. None of its shards may be
    /// open for writing.
    pub fn forget_empty(&self, topic: &str) -> Result<(), OpenError> {
        self.secret()?;
        for shard in self.shards()?.into_iter().filter(|shard| shard.topic == topic) {
            if self.read_shard(&shard)?.next_position() > 0 {
                return Ok(());
            }
        }
        let _lock = self.lock()?;
        let mut manifest = self.manifest()?;
        if !manifest.forget(topic) {
            return Ok(());
        }
        manifest.write(&self.path)?;
        // One that a kill leaves behind is an empty shard, and opened as such.
        match fs::remove_dir_all(self.path.join("shards").join(topic)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(OpenError::Io { path: self.path.clone(), source })
            }
            _ => Ok(()),
        }
    }

    /// What is remembered of a topic.
    pub fn identity(&self, topic: &str) -> Result<Option<SourceIdentity>, OpenError> {
        Ok(self.manifest()?.identity(topic))
    }

    /// How the keys of a topic are placed, as far as that was learnt or set.
    pub fn partitioner(&self, topic: &str) -> Result<Option<Partitioner>, OpenError> {
        Ok(self.manifest()?.partitioner(topic))
    }

    /// Remembers how the keys of a topic are placed. One that is known stands. Answers what is remembered.
    pub fn remember_partitioner(
        &self,
        topic: &str,
        partitioner: Partitioner,
    ) -> Result<Option<Partitioner>, OpenError> {
        self.secret()?;
        let _lock = self.lock()?;
        let mut manifest = self.manifest()?;
        if manifest.fill_in_partitioner(topic, partitioner) {
            manifest.write(&self.path)?;
        }
        Ok(manifest.partitioner(topic))
    }

    /// Remembers how the keys of a topic are placed in place of what was known. To be called where no record was placed
    /// by that.
    pub fn replace_partitioner(&self, topic: &str, partitioner: Partitioner) -> Result<(), OpenError> {
        self.secret()?;
        let _lock = self.lock()?;
        let mut manifest = self.manifest()?;
        if manifest.replace_partitioner(topic, partitioner) {
            manifest.write(&self.path)?;
        }
        Ok(())
    }

    /// The shards that were begun here, by topic and partition. One that is gone is among them, and does not open.
    pub fn shards(&self) -> Result<Vec<ShardId>, OpenError> {
        let manifest = self.manifest()?;
        let mut shards = self.partitions()?;
        shards.retain(|id| self.has(id) || self.is_gone(&manifest, id));
        Ok(shards)
    }

    /// All partitions of the topics that are remembered, whether or not they have data here.
    pub fn partitions(&self) -> Result<Vec<ShardId>, OpenError> {
        let manifest = self.manifest()?;
        let mut all = Vec::new();
        for (topic, partitions) in manifest.topics() {
            check_topic(topic)?;
            all.extend((0..partitions).map(|partition| ShardId { topic: topic.clone(), partition }));
        }
        Ok(all)
    }

    /// Whether a shard has data here.
    pub fn has(&self, id: &ShardId) -> bool {
        shard_path(&self.path, id).is_dir()
    }

    /// Whether a shard was begun here, and its directory neither is there nor was moved away.
    fn is_gone(&self, manifest: &Manifest, id: &ShardId) -> bool {
        let path = shard_path(&self.path, id);
        manifest.has_begun(id) && !path.is_dir() && !away(&path).exists()
    }

    pub(crate) fn refuse_gone(&self, manifest: &Manifest, id: &ShardId) -> Result<(), OpenError> {
        if self.is_gone(manifest, id) {
            let path = shard_path(&self.path, id);
            return Err(OpenError::Gone { shard: id.clone(), path });
        }
        Ok(())
    }

    /// Notes beside the data how far a shard that is at the end of its topic has it, durable; none: it still reads what
    /// the topic has. Who reads the directory later must not take what was left half-read, or has lost its end since,
    /// for the whole. It is a machine's own business, so it is no part of the shard.
    pub fn note_read_to(&self, id: &ShardId, next_offset: Option<u64>) -> Result<(), OpenError> {
        let path = behind(&shard_path(&self.path, id));
        let text = next_offset.map(|offset| offset.to_string()).unwrap_or_default();
        // A write that is cut off leaves an empty file, or an earlier offset: never one that was not durable.
        fs::write(&path, text).map_err(|source| OpenError::Io { path, source })
    }

    /// Whether a shard reads what its topic has, was left while it did, or has less of it than it once had.
    pub fn is_behind(&self, reader: &Reader) -> Result<bool, ReadError> {
        let id = reader.shard();
        let noted = match fs::read_to_string(behind(&shard_path(&self.path, id))) {
            Ok(noted) => noted,
            Err(error) => return Ok(error.kind() != io::ErrorKind::NotFound),
        };
        let Ok(was_read_to) = noted.parse::<u64>() else { return Ok(true) };
        let positions = reader.snapshot().source_positions()?;
        let is_there = |(source, position): &(String, SourcePosition)| {
            let SourcePosition::Kafka { next_offset, .. } = position else { return false };
            *source == id.topic && *next_offset >= was_read_to
        };
        Ok(was_read_to > 0 && !positions.iter().any(is_there))
    }

    /// Opens a shard for writing, and creates it if it is new. There is one writer at a time.
    pub fn open_shard(&self, id: &ShardId) -> Result<Shard, OpenError> {
        let secret = self.secret()?.clone();
        Shard::start(self.open_database(id)?, &self.resources, secret)
    }

    /// Opens a shard as it is on disk now, for reading, whether or not a server writes to it. What is
    /// written later is not seen.
    pub fn read_shard(&self, id: &ShardId) -> Result<Reader, OpenError> {
        let identity = self.shard_identity(id)?;
        let path = shard_path(&self.path, id);
        self.refuse_gone(&self.manifest()?, id)?;
        if !path.is_dir() {
            return Err(OpenError::NoShard { shard: id.clone() });
        }
        let (mut tries, mut before) = (0, None);
        loop {
            tries += 1;
            let files = files_of(&path);
            match Database::open_read_only(&path, id, &identity, &self.resources) {
                Ok(database) => return Reader::read_only(database, self.memory()),
                // The writer may delete a file between its being listed and its being opened.
                Err(error) if may_be_passing(&error) && before.as_ref() != Some(&files) => {
                    if tries == READ_ONLY_TRIES {
                        return Err(OpenError::Restless {
                            shard: id.clone(),
                            tries,
                            source: Box::new(error),
                        });
                    }
                    before = Some(files);
                    std::thread::sleep(Duration::from_millis(READ_ONLY_PAUSE_MS));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether its disk takes bytes: about as many as one write has. Nothing is left of them.
    pub fn probe(&self) -> Result<(), OpenError> {
        const BYTES: usize = 8 * 1024 * 1024;
        let path = self.path.join("probe");
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(&vec![0xa5; BYTES])?;
            file.sync_all()
        });
        // One that is left is only in the way of the next probe, which overwrites it.
        let removed = fs::remove_file(&path);
        written.and(removed).map_err(|source| OpenError::Io { path, source })
    }

    pub(crate) fn open_database(&self, id: &ShardId) -> Result<Database, OpenError> {
        self.secret()?;
        let identity = self.shard_identity(id)?;
        let path = shard_path(&self.path, id);
        let open_files = self.open_files()?;
        let manifest = self.manifest()?;
        self.refuse_gone(&manifest, id)?;
        if !path.is_dir() || !manifest.has_begun(id) {
            let _lock = self.lock()?;
            if !path.is_dir() {
                self.create_shard(&path, id, &identity)?;
            }
            // In this order: a crash in between leaves a shard that is not remembered, never one that seems to be gone.
            let mut manifest = self.manifest()?;
            if manifest.begin(id) {
                manifest.write(&self.path)?;
            }
        }
        Database::open(&path, id, &identity, open_files, &self.resources)
    }

    /// How many files a shard may hold open beside those of the others; its memory is divided likewise.
    fn open_files(&self) -> Result<u32, OpenError> {
        let options = self.resources.limits();
        let partitions = self.partitions()?.len();
        self.resources.set_partitions(partitions);
        let partitions = u32::try_from(partitions).unwrap_or(u32::MAX);
        options.open_files(partitions).ok_or_else(|| OpenError::TooFewDescriptors {
            descriptors: options.descriptors.unwrap_or(u32::MAX),
            partitions,
            least: DESCRIPTORS_BESIDE_TABLES + OPEN_FILES_LEAST,
        })
    }

    fn create_shard(&self, path: &Path, id: &ShardId, identity: &ShardIdentity) -> Result<(), OpenError> {
        let unfinished = path.with_extension("new");
        let failed = |source| OpenError::Io { path: unfinished.clone(), source };
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        fs::create_dir_all(&unfinished).map_err(failed)?;
        Database::create(&unfinished, id, identity, &self.resources)?;
        fs::rename(&unfinished, path).map_err(failed)?;
        // The names on the way down may be new as well.
        for dir in path.ancestors().skip(1).take(3) {
            sync_dir(dir).map_err(failed)?;
        }
        Ok(())
    }

    pub(crate) fn shard_identity(&self, id: &ShardId) -> Result<ShardIdentity, OpenError> {
        check_topic(&id.topic)?;
        let identity = self.manifest()?.identity(&id.topic);
        let partitions = identity.as_ref().map_or(0, |identity| identity.partitions);
        match identity {
            Some(identity) if id.partition < identity.partitions => Ok(ShardIdentity {
                cluster_id: identity.cluster_id,
                topic: id.topic.clone(),
                topic_id: identity.topic_id,
                partition: id.partition,
            }),
            _ => Err(OpenError::Unbound { shard: id.clone(), partitions }),
        }
    }

    pub(crate) fn manifest(&self) -> Result<Manifest, OpenError> {
        let manifest = match &self.refill {
            Some(_) => Manifest::read_any(&self.path)?,
            None => Manifest::read(&self.path)?,
        };
        manifest.ok_or_else(|| OpenError::NotALedger { path: self.path.clone() })
    }

    /// What writing takes.
    fn secret(&self) -> Result<&LedgerSecret, OpenError> {
        self.secret.as_ref().ok_or_else(|| OpenError::ReadOnly { path: self.path.clone() })
    }

    /// Waits for the lock and holds it as long as the file is open.
    fn lock(&self) -> Result<File, OpenError> {
        let path = self.path.join("ledger.lock");
        let locked = File::options().create(true).truncate(false).write(true).open(&path).and_then(|file| {
            file.lock()?;
            Ok(file)
        });
        locked.map_err(|source| OpenError::Io { path, source })
    }
}

fn behind(path: &Path) -> PathBuf {
    path.with_extension("behind")
}

/// Whether a directory holds no user's files: only locks of ours, and what a file system makes for itself.
fn is_empty(path: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        let is_ours = ["ledger.lock", REFILL_LOCK, "lost+found"].iter().any(|ours| name == *ours);
        let is_unfinished = name.to_str().is_some_and(|name| {
            name.starts_with("ledger.json.") && Path::new(name).extension() == Some("new".as_ref())
        });
        if !is_ours && !is_unfinished {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the failure can come from files that change while they are opened.
fn may_be_passing(error: &OpenError) -> bool {
    match error {
        OpenError::Broken { .. } | OpenError::DamagedLog { .. } => true,
        OpenError::Storage(StorageError::RocksDb { source, .. }) => {
            matches!(source.kind(), rocksdb::ErrorKind::IOError | rocksdb::ErrorKind::InvalidArgument)
        }
        _ => false,
    }
}

/// The files of a shard, with their sizes but for those that grow with every write. As long as they are the same,
/// trying again finds the same.
fn files_of(path: &Path) -> BTreeMap<OsString, u64> {
    let listed = fs::read_dir(path).into_iter().flatten().flatten();
    let with_sizes = listed.map(|entry| {
        let name = entry.file_name();
        let grows = name.to_string_lossy().ends_with("log") || name == "LOG";
        let size = entry.metadata().map_or(0, |metadata| metadata.len());
        (name, if grows { 0 } else { size })
    });
    with_sizes.collect()
}
