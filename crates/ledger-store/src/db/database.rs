//! One RocksDB: its column families, and the generation of the projections that is live.
//!
//! ```text
//! <dir>/shards/<topic>/<partition>/        log positions corrections duplicates gaps meta     never replaced
//!                                          tenants apps ids index                             generation 0
//!                                          tenants.1 apps.1 ids.1 index.1                     after a rebuild
//! ```
//!
//! `meta` says which generation is live. A rebuild makes the next one beside it and switches with one write;
//! what is left of any other generation is dropped when the shard is next opened for writing.
//!
//! A shard comes into being in `<partition>.new`, which is renamed once its identity is durable: a directory
//! without identity, or without all its column families, is never one that a crash left.

use std::collections::BTreeSet;
use std::path::Path;

use ledger_record::codec::DecodeError;
use ledger_record::key::{Family, MetaKey};
use ledger_record::rows::{Generation, ShardIdentity};
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, FlushOptions, Options, ReadOptions, WriteBatch, WriteOptions,
};

use crate::db::options::OPEN_FILES_LEAST;
use crate::db::scan::Scan;
use crate::db::tuning::{self, Resources};
use crate::db::wal::{self, WalError};
use crate::error::stop::{StopCause as _, StopCode};
use crate::error::{Damage, Damaged, OpenError, ReadError, StorageError};
use crate::source::ShardId;

/// An open shard.
pub(crate) struct Database {
    db: DB,
    id: ShardId,
    generation: u64,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database")
            .field("id", &self.id)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// The projections: what a rebuild makes anew.
pub(crate) const PROJECTIONS: [Family; 4] = [Family::Tenants, Family::Apps, Family::Ids, Family::Index];

/// Name of a family on disk in a generation.
pub(crate) fn family_name(family: Family, generation: u64) -> String {
    if generation == 0 || !PROJECTIONS.contains(&family) {
        family.as_str().to_owned()
    } else {
        format!("{}.{generation}", family.as_str())
    }
}

/// The family of a name on disk, of whatever generation.
fn family_of(name: &str) -> Option<Family> {
    let Some((base, generation)) = name.split_once('.') else {
        return Family::ALL.iter().copied().find(|family| family.as_str() == name);
    };
    let family = PROJECTIONS.into_iter().find(|family| family.as_str() == base)?;
    generation.parse::<u64>().is_ok().then_some(family)
}

pub(crate) fn rocksdb_failed(doing: &'static str) -> impl Fn(rocksdb::Error) -> StorageError {
    move |source| StorageError::RocksDb { doing, source }
}

impl Database {
    /// Makes an empty shard at a path where nothing is.
    pub(crate) fn create(
        path: &Path,
        id: &ShardId,
        identity: &ShardIdentity,
        resources: &Resources,
    ) -> Result<(), OpenError> {
        let failed = rocksdb_failed("creating the shard");
        let mut options = resources.writing(OPEN_FILES_LEAST);
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_error_if_exists(true);
        let families = Family::ALL.iter().map(|family| descriptor(*family, family.as_str(), resources));
        let db = DB::open_cf_descriptors(&options, path, families).map_err(&failed)?;
        let new = Self { db, id: id.clone(), generation: 0 };
        let mut batch = WriteBatch::default();
        batch.put_cf(new.family(Family::Meta)?, MetaKey::Identity.encode(), identity.encode());
        new.db.write_opt(batch, &tuning::durable()).map_err(failed)?;
        Ok(())
    }

    /// Opens a shard for writing, with so many files open at a time. What is left of other generations than the live
    /// one is dropped.
    pub(crate) fn open(
        path: &Path,
        id: &ShardId,
        identity: &ShardIdentity,
        open_files: u32,
        resources: &Resources,
    ) -> Result<Self, OpenError> {
        let names = family_names(path, id)?;
        check_wal(path, id)?;
        let options = resources.writing(open_files);
        let db = DB::open_cf_descriptors(&options, path, descriptors(&names, resources))
            .map_err(|error| open_failed(id, error))?;
        let mut database = Self { db, id: id.clone(), generation: 0 };
        let stored = database.find_generation(path, &names, identity)?;
        database.drop_other_generations(&names)?;
        database.fill_in_identity(&stored, identity)?;
        Ok(database)
    }

    /// Opens a shard as it is on disk now, without writing anything.
    pub(crate) fn open_read_only(
        path: &Path,
        id: &ShardId,
        identity: &ShardIdentity,
        resources: &Resources,
    ) -> Result<Self, OpenError> {
        Self::open_without_writing(path, id, identity, &resources.reading(), resources)
    }

    /// Opens the files of a shard that nobody writes to, without writing anything. They stay, so that few are held open.
    pub(crate) fn open_at_rest(
        path: &Path,
        id: &ShardId,
        identity: &ShardIdentity,
        resources: &Resources,
    ) -> Result<Self, OpenError> {
        Self::open_without_writing(path, id, identity, &resources.writing(OPEN_FILES_LEAST), resources)
    }

    fn open_without_writing(
        path: &Path,
        id: &ShardId,
        identity: &ShardIdentity,
        options: &Options,
        resources: &Resources,
    ) -> Result<Self, OpenError> {
        let names = family_names(path, id)?;
        check_wal(path, id)?;
        let db = DB::open_cf_descriptors_read_only(options, path, descriptors(&names, resources), false)
            .map_err(|error| open_failed(id, error))?;
        let mut database = Self { db, id: id.clone(), generation: 0 };
        database.find_generation(path, &names, identity)?;
        Ok(database)
    }

    pub(crate) fn id(&self) -> &ShardId {
        &self.id
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The column family, of the live generation.
    pub(crate) fn family(&self, family: Family) -> Result<&ColumnFamily, StorageError> {
        self.family_in(family, self.generation)
    }

    pub(crate) fn family_in(&self, family: Family, generation: u64) -> Result<&ColumnFamily, StorageError> {
        if generation == 0 || !PROJECTIONS.contains(&family) {
            let name = family.as_str();
            return self.db.cf_handle(name).ok_or_else(|| StorageError::NoFamily { name: name.to_owned() });
        }
        let name = family_name(family, generation);
        self.db.cf_handle(&name).ok_or(StorageError::NoFamily { name })
    }

    pub(crate) fn get(
        &self,
        family: Family,
        key: &[u8],
        options: &ReadOptions,
    ) -> Result<Option<rocksdb::DBPinnableSlice<'_>>, StorageError> {
        self.db
            .get_pinned_cf_opt(self.family(family)?, key, options)
            .map_err(rocksdb_failed("reading an entry"))
    }

    /// The values of many keys of one family.
    pub(crate) fn get_many(
        &self,
        family: Family,
        keys: &[Vec<u8>],
        options: &ReadOptions,
    ) -> Result<Vec<Option<rocksdb::DBPinnableSlice<'_>>>, StorageError> {
        let values = self.db.batched_multi_get_cf_opt(self.family(family)?, keys, false, options);
        values.into_iter().collect::<Result<_, _>>().map_err(rocksdb_failed("reading entries"))
    }

    /// The entries of a family within bounds, in order.
    pub(crate) fn scan(
        &self,
        family: Family,
        range: std::ops::Range<Vec<u8>>,
        options: ReadOptions,
    ) -> Result<Scan<'_>, StorageError> {
        self.scan_in(family, self.generation, range, options)
    }

    pub(crate) fn scan_in(
        &self,
        family: Family,
        generation: u64,
        range: std::ops::Range<Vec<u8>>,
        options: ReadOptions,
    ) -> Result<Scan<'_>, StorageError> {
        Ok(Scan::new(&self.db, self.family_in(family, generation)?, family, range, options))
    }

    pub(crate) fn write(&self, batch: WriteBatch, options: &WriteOptions) -> Result<(), StorageError> {
        self.db.write_opt(batch, options).map_err(rocksdb_failed("writing a batch"))
    }

    pub(crate) fn snapshot(&self) -> rocksdb::Snapshot<'_> {
        self.db.snapshot()
    }

    /// Reads a row that is a value of its own.
    pub(crate) fn row<T>(
        &self,
        family: Family,
        key: &[u8],
        options: &ReadOptions,
        decode: impl FnOnce(&[u8]) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, ReadError> {
        let Some(value) = self.get(family, key, options)? else { return Ok(None) };
        Ok(Some(decode(&value).map_err(|error| damaged(family, key, error))?))
    }

    /// Makes the next generation of the projections, empty.
    pub(crate) fn create_generation(
        &mut self,
        generation: u64,
        resources: &Resources,
    ) -> Result<(), StorageError> {
        for family in PROJECTIONS {
            self.db
                .create_cf(family_name(family, generation), &resources.family(family))
                .map_err(rocksdb_failed("creating a column family"))?;
        }
        Ok(())
    }

    /// Puts everything written so far into table files, so that nothing is in the write-ahead log alone.
    pub(crate) fn flush(&self) -> Result<(), StorageError> {
        let families =
            Family::ALL.iter().map(|family| self.family(*family)).collect::<Result<Vec<_>, _>>()?;
        self.db
            .flush_cfs_opt(&families, &FlushOptions::default())
            .map_err(rocksdb_failed("flushing the shard"))
    }

    /// Makes a second name for every file that the shard consists of now, in a directory that is not there yet on the same
    /// file system. Beside the writer.
    pub(crate) fn checkpoint(&self, path: &Path) -> Result<(), StorageError> {
        let failed = rocksdb_failed("making a checkpoint");
        Checkpoint::new(&self.db).and_then(|checkpoint| checkpoint.create_checkpoint(path)).map_err(failed)
    }

    /// Puts everything written to a generation on the disk.
    pub(crate) fn flush_generation(&self, generation: u64) -> Result<(), StorageError> {
        for family in PROJECTIONS {
            self.db
                .flush_cf(self.family_in(family, generation)?)
                .map_err(rocksdb_failed("flushing a column family"))?;
        }
        Ok(())
    }

    /// Makes a generation the live one, and drops the one before.
    pub(crate) fn switch_generation(&mut self, live: u64) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        batch.put_cf(self.family(Family::Meta)?, MetaKey::Generation.encode(), Generation { live }.encode());
        self.write(batch, &tuning::durable())?;
        let before = std::mem::replace(&mut self.generation, live);
        self.drop_generation(before)
    }

    pub(crate) fn drop_generation(&mut self, generation: u64) -> Result<(), StorageError> {
        for family in PROJECTIONS {
            self.db
                .drop_cf(&family_name(family, generation))
                .map_err(rocksdb_failed("dropping a column family"))?;
        }
        Ok(())
    }

    /// Reads the identity, compares it, and finds out which generation is live.
    fn find_generation(
        &mut self,
        path: &Path,
        names: &BTreeSet<String>,
        expected: &ShardIdentity,
    ) -> Result<ShardIdentity, OpenError> {
        let newer = |error: ReadError| newer_format(path, error);
        let options = ReadOptions::default();
        let identity = self
            .row(Family::Meta, &MetaKey::Identity.encode(), &options, ShardIdentity::decode)
            .map_err(newer)?
            .ok_or_else(|| {
                OpenError::Damaged(damaged(Family::Meta, &MetaKey::Identity.encode(), Damage::Missing))
            })?;
        compare_identity(path, expected, &identity)?;
        let generation = self
            .row(Family::Meta, &MetaKey::Generation.encode(), &options, Generation::decode)
            .map_err(newer)?;
        self.generation = generation.unwrap_or_default().live;
        for family in Family::ALL {
            let name = family_name(*family, self.generation);
            if !names.contains(&name) {
                return Err(OpenError::MissingFamily { shard: self.id.clone(), name });
            }
        }
        match names.iter().find(|name| *name != DEFAULT_FAMILY && family_of(name).is_none()) {
            Some(name) => Err(OpenError::UnknownFamily { shard: self.id.clone(), name: name.clone() }),
            None => Ok(identity),
        }
    }

    fn drop_other_generations(&mut self, names: &BTreeSet<String>) -> Result<(), StorageError> {
        for name in names {
            let live = family_of(name).is_none_or(|family| *name == family_name(family, self.generation));
            if !live {
                tracing::info!(shard = %self.id, name, "dropping what an unfinished rebuild left");
                self.db.drop_cf(name).map_err(rocksdb_failed("dropping a column family"))?;
            }
        }
        Ok(())
    }

    /// What was unknown when the shard was made, and is known by now.
    fn fill_in_identity(&self, stored: &ShardIdentity, known: &ShardIdentity) -> Result<(), StorageError> {
        let filled_in = ShardIdentity {
            cluster_id: stored.cluster_id.clone().or_else(|| known.cluster_id.clone()),
            topic_id: stored.topic_id.clone().or_else(|| known.topic_id.clone()),
            ..stored.clone()
        };
        if filled_in == *stored {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        batch.put_cf(self.family(Family::Meta)?, MetaKey::Identity.encode(), filled_in.encode());
        self.write(batch, &tuning::durable())
    }
}

/// RocksDB insists on one of this name. Nothing is in it.
const DEFAULT_FAMILY: &str = "default";

fn descriptor(family: Family, name: &str, resources: &Resources) -> ColumnFamilyDescriptor {
    ColumnFamilyDescriptor::new(name, resources.family(family))
}

fn descriptors(names: &BTreeSet<String>, resources: &Resources) -> Vec<ColumnFamilyDescriptor> {
    let described = names.iter().map(|name| match family_of(name) {
        Some(family) => descriptor(family, name, resources),
        None => ColumnFamilyDescriptor::new(name, Options::default()),
    });
    described.collect()
}

fn family_names(path: &Path, id: &ShardId) -> Result<BTreeSet<String>, OpenError> {
    let names = DB::list_cf(&Options::default(), path).map_err(|error| open_failed(id, error))?;
    let meta = Family::Meta.as_str();
    // Without `meta` nothing tells the format; with it the format is told before anything else is believed.
    if names.iter().any(|name| name == meta) {
        Ok(names.into_iter().collect())
    } else {
        Err(OpenError::MissingFamily { shard: id.clone(), name: meta.to_owned() })
    }
}

/// RocksDB drops without a word what stands behind a damaged place.
fn check_wal(path: &Path, id: &ShardId) -> Result<(), OpenError> {
    wal::check(path).map_err(|error| match error {
        WalError::Lost => OpenError::LostLog { shard: id.clone(), path: path.to_owned() },
        WalError::Damaged(wal::WalDamage { file, offset }) => {
            OpenError::DamagedLog { file, offset, shard: id.clone() }
        }
        WalError::Io { path, source } => OpenError::Io { path, source },
    })
}

fn compare_identity(path: &Path, expected: &ShardIdentity, found: &ShardIdentity) -> Result<(), OpenError> {
    let differ = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some() && a != b;
    let same = expected.topic == found.topic
        && expected.partition == found.partition
        && !differ(&expected.cluster_id, &found.cluster_id)
        && !differ(&expected.topic_id, &found.topic_id);
    if same {
        return Ok(());
    }
    Err(OpenError::WrongShard {
        path: path.to_owned(),
        expected: describe(expected).into(),
        found: describe(found).into(),
    })
}

fn describe(identity: &ShardIdentity) -> String {
    let ShardIdentity { cluster_id, topic, topic_id, partition } = identity;
    let unknown = || "unknown".to_owned();
    format!(
        "{topic}/{partition} (cluster {}, topic id {})",
        cluster_id.clone().unwrap_or_else(unknown),
        topic_id.clone().unwrap_or_else(unknown)
    )
}

fn open_failed(id: &ShardId, error: rocksdb::Error) -> OpenError {
    if error.stop_code() == StopCode::ShardLocked {
        return OpenError::Locked { shard: id.clone() };
    }
    let source = rocksdb_failed("opening the shard")(error);
    if source.is_damage() {
        OpenError::Broken { shard: id.clone(), source }
    } else {
        OpenError::Storage(source)
    }
}

fn newer_format(path: &Path, error: ReadError) -> OpenError {
    match error {
        ReadError::Damaged(Damaged {
            cause: Damage::Value(DecodeError::NewerFormat { found, newest }),
            ..
        }) => OpenError::NewerFormat {
            path: path.to_owned(),
            found: u32::from(found),
            supported: u32::from(newest),
        },
        error => error.into(),
    }
}

pub(crate) fn damaged(family: Family, key: &[u8], cause: impl Into<Damage>) -> Damaged {
    Damaged { family, key: key.to_owned(), cause: cause.into() }
}
