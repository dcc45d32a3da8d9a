//! A data directory: which sources it was filled from, and its shards.
//!
//! ```text
//! <dir>/ledger.json                       format, secret, topics with their identity  crate::manifest
//! <dir>/ledger.lock                       held while any of this is changed
//! <dir>/shards/<topic>/<partition>/       one RocksDB each                            crate::database
//! <dir>/shards/<topic>/<partition>.new/   a shard that is being made; a crash may leave one
//! ```
//!
//! Several processes may hold a data directory open. A shard has one writer among all of them, which the
//! lock inside its RocksDB ensures.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ledger_record::proof::line::LedgerSecret;
use ledger_record::rows::ShardIdentity;

use crate::database::{Database, rocksdb_failed};
use crate::error::{BindError, OpenError, StorageError};
use crate::manifest::{Manifest, check_topic, shard_path, sync_dir};
use crate::options::{READ_ONLY_PAUSE_MS, READ_ONLY_TRIES};
use crate::reader::Reader;
use crate::shard::Shard;
use crate::tuning::Resources;
use crate::{Partitioner, ShardId, SourceIdentity, StoreOptions};

/// An open data directory: its `ledger.json`, and what its shards share of the machine.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Of the audit trail; none when nothing is to be written.
    secret: Option<LedgerSecret>,
    resources: Arc<Resources>,
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
            // Shards without a manifest are a ledger that lost it, not an empty directory.
            if path.join("shards").exists() {
                return Err(OpenError::NotALedger { path: path.to_owned() });
            }
            Manifest::new(fingerprint).write(path)?;
        }
        Ok(data_dir)
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

    fn with_resources(
        path: &Path,
        options: StoreOptions,
        secret: Option<LedgerSecret>,
    ) -> Result<Self, OpenError> {
        let resources = Resources::new(options).map_err(rocksdb_failed("preparing RocksDB"))?;
        Ok(Self { path: path.to_owned(), secret, resources: Arc::new(resources) })
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

    /// The shards that have data, by topic and partition.
    pub fn shards(&self) -> Result<Vec<ShardId>, OpenError> {
        let mut shards = self.partitions()?;
        shards.retain(|id| self.has(id));
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
        if !path.is_dir() {
            return Err(OpenError::NoShard { shard: id.clone() });
        }
        let mut tries = 0;
        loop {
            tries += 1;
            match Database::open_read_only(&path, id, &identity, &self.resources) {
                Ok(database) => return Reader::of_read_only(database),
                // The writer may delete a file between its being listed and its being opened.
                Err(OpenError::Storage(source)) if may_be_passing(&source) => {
                    if tries == READ_ONLY_TRIES {
                        return Err(OpenError::Restless { shard: id.clone(), tries, source });
                    }
                    std::thread::sleep(Duration::from_millis(READ_ONLY_PAUSE_MS));
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn open_database(&self, id: &ShardId) -> Result<Database, OpenError> {
        self.secret()?;
        let identity = self.shard_identity(id)?;
        let path = shard_path(&self.path, id);
        if !path.is_dir() {
            let _lock = self.lock()?;
            if !path.is_dir() {
                self.create_shard(&path, id, &identity)?;
            }
        }
        Database::open(&path, id, &identity, &self.resources)
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

    fn shard_identity(&self, id: &ShardId) -> Result<ShardIdentity, OpenError> {
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

    fn manifest(&self) -> Result<Manifest, OpenError> {
        Manifest::read(&self.path)?.ok_or_else(|| OpenError::NotALedger { path: self.path.clone() })
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

/// Whether the failure can come from files that change while they are opened.
fn may_be_passing(error: &StorageError) -> bool {
    match error {
        StorageError::RocksDb { source, .. } => matches!(
            source.kind(),
            rocksdb::ErrorKind::IOError
                | rocksdb::ErrorKind::Corruption
                | rocksdb::ErrorKind::NotFound
                | rocksdb::ErrorKind::InvalidArgument
        ),
        StorageError::NoThread | StorageError::NoFamily { .. } => false,
    }
}
