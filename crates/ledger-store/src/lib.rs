//! Where the ledger is kept: shards in RocksDB, atomic append, reads, rebuild.
use std::fmt;

mod batch;
mod cache;
pub mod catalog;
mod data_dir;
mod database;
mod decode;
mod digest;
mod error;
mod history;
mod items;
mod lists;
mod manifest;
mod options;
mod progress;
mod publisher;
mod reader;
mod rebuild;
mod refold;
mod scan;
mod shard;
mod snapshot;
#[cfg(test)]
mod tests;
mod tuning;

pub use batch::{Arrival, Batch, Committed, FutureLimit, Offer};
pub use catalog::{Catalog, Freshness, Halted, Phase, Served, ShardStatus};
pub use data_dir::DataDir;
pub use digest::FamilyDigest;
pub use error::{
    AppendError, BindError, Damage, Damaged, HistoryError, OpenError, Poison, ReadError, RebuildError,
    StorageError, WaitError,
};
pub use history::{Cut, History, HistoryEvent, Known};
pub use lists::{AlignmentClass, List, Page};
pub use options::StoreOptions;
pub use publisher::PublisherCursor;
pub use reader::Reader;
pub use rebuild::{Difference, RebuildReport, rebuild};
pub use shard::Shard;
pub use snapshot::Snapshot;

/// Names a shard: one partition of one topic. Imports name the topic they stand in for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// Where the messages of a topic come from. An import knows the number of partitions only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceIdentity {
    /// The Kafka cluster.
    pub cluster_id: Option<String>,
    /// The topic, beyond its name: a topic that is deleted and made again gets another one.
    pub topic_id: Option<String>,
    /// How many partitions it has.
    pub partitions: u32,
}
