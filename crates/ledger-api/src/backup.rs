//! A backup that the server makes of itself: the order, and what it answers line by line.
//!
//! In: an order. Out: lines of progress, and what was made. How a backup is made is given by the program
//! ([`MakeBackup`]), which knows the data directory and where its backups go.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;

use ledger_record::json::time::format_instant;
use ledger_record::proof::Hash;
use ledger_store::{BackedUpShard, Generation};
use serde::{Deserialize, Serialize};

use crate::query::ProblemJson;

/// What is asked of the server: the body of `POST /v1/backups`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupOrder {
    /// So many generations are left afterwards; none: all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub keep: Option<NonZeroUsize>,
}

/// A line of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BackupLine {
    /// How far it is.
    Progress(BytesDone),
    /// The end: what was made.
    Backup(BackupAnswer),
    /// The end: what went wrong on the way; nothing was made.
    Problem(ProblemJson),
}

/// Bytes done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BytesDone {
    /// Done.
    pub bytes: u64,
    /// Of so many.
    pub total: u64,
}

/// A generation that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupAnswer {
    /// Where it is.
    pub dir: String,
    /// Its number.
    pub generation: u64,
    /// When it was begun.
    pub made: String,
    /// Every shard in it.
    pub shards: Vec<BackupShard>,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Bytes that were copied, as no generation before had them.
    pub copied_bytes: u64,
    /// Generations that were removed.
    pub removed: Vec<u64>,
    /// Generations that stay and do not read. They may need any file, so none was removed.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub unread: Vec<u64>,
    /// Where the secret and the keys are, which are not in it.
    pub keys_dir: String,
}

/// A shard of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupShard {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// The offset that is read next; none: nothing came from Kafka.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_offset: Option<u64>,
    /// Position of the next record.
    pub next_position: u64,
    /// Leaves up to the last seal and with it.
    pub sealed_size: u64,
    /// The root of the tree at that size.
    pub sealed_root: Hash,
    /// Bytes of its files.
    pub bytes: u64,
}

impl BackupAnswer {
    /// What there is to say of a generation.
    #[must_use]
    pub fn new(generation: &Generation, dir: String, keys_dir: String) -> Self {
        Self {
            dir,
            generation: generation.number,
            made: format_instant(generation.made),
            shards: generation.shards.iter().map(BackupShard::new).collect(),
            bytes: generation.bytes(),
            copied_bytes: 0,
            removed: Vec::new(),
            unread: Vec::new(),
            keys_dir,
        }
    }
}

impl BackupShard {
    fn new(shard: &BackedUpShard) -> Self {
        Self {
            topic: shard.topic.clone(),
            partition: shard.partition,
            next_offset: shard.next_offset,
            next_position: shard.next_position,
            sealed_size: shard.sealed_size,
            sealed_root: shard.sealed_root,
            bytes: shard.files.iter().map(|file| file.size).sum(),
        }
    }
}

/// Why the server makes no backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupRefusal {
    /// It has no directory for backups.
    NotConfigured,
    /// Another backup is being made.
    Busy(String),
    /// The data directory lacks what the last backup has.
    Differs(String),
    /// Nothing follows it any more.
    Stopped,
    /// It failed.
    Failed(String),
}

/// Makes backups of what a server serves.
pub trait MakeBackup: Send + Sync {
    /// Makes one. `progress` takes note of bytes done and in total; it says whether to go on.
    fn make(
        &self,
        order: BackupOrder,
        progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<BackupAnswer, BackupRefusal>;
}
