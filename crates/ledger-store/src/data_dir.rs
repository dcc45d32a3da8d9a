//! A data directory: which sources it was filled from, and its shards.
use std::path::Path;

use crate::error::{BindError, OpenError};
use crate::reader::Reader;
use crate::shard::Shard;
use crate::{ShardId, SourceIdentity, StoreOptions};

/// An open data directory: its `ledger.json`, and what its shards share of the machine.
#[derive(Debug)]
pub struct DataDir {}

impl DataDir {
    /// Opens a data directory for writing; an empty or missing directory becomes one.
    pub fn open(_path: &Path, _options: StoreOptions) -> Result<Self, OpenError> {
        todo!()
    }
    /// Opens a data directory that exists, without writing anything, beside a server that may be running.
    pub fn open_existing_read_only(_path: &Path, _options: StoreOptions) -> Result<Self, OpenError> {
        todo!()
    }
    /// The directory.
    pub fn path(&self) -> &Path {
        todo!()
    }
    /// Remembers where a topic's messages come from, or refuses when that is another place than before.
    /// What was unknown is filled in; what is unknown now is not compared.
    pub fn bind(&self, _topic: &str, _identity: &SourceIdentity) -> Result<(), BindError> {
        todo!()
    }
    /// What is remembered of a topic.
    pub fn identity(&self, _topic: &str) -> Result<Option<SourceIdentity>, OpenError> {
        todo!()
    }
    /// The shards that have data, by topic and partition.
    pub fn shards(&self) -> Result<Vec<ShardId>, OpenError> {
        todo!()
    }
    /// Opens a shard for writing, and creates it if it is new. There is one writer at a time.
    pub fn open_shard(&self, _id: &ShardId) -> Result<Shard, OpenError> {
        todo!()
    }
    /// Opens a shard as it is on disk now, for reading, whether or not a server writes to it.
    pub fn read_shard(&self, _id: &ShardId) -> Result<Reader, OpenError> {
        todo!()
    }
}
