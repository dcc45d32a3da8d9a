//! What can go wrong, one enum per operation.

mod opening;
pub(crate) mod stop;

use std::error::Error;
use std::sync::Arc;

use ledger_record::codec::DecodeError;
use ledger_record::key::{Family, KeyError};
use ledger_record::proof::line::TooLarge;

pub(crate) use opening::away;
pub use opening::{BindError, OpenError};

use crate::source::ShardId;

/// An error in one line with all its causes, for whoever tells it as text: what the disk said is in the last.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let (mut told, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}

/// The key-value store failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// RocksDB says so.
    #[error("{doing} failed")]
    RocksDb {
        /// What was to be done.
        doing: &'static str,
        /// What RocksDB says.
        source: rocksdb::Error,
    },
    /// The thread that writes could not be begun, or is gone.
    #[error("the thread that writes is not there")]
    NoThread,
    /// A column family is gone.
    #[error("the column family {name} is missing")]
    NoFamily {
        /// Its name on disk.
        name: String,
    },
}

impl StorageError {
    /// Whether bytes or files that were durable are not there any more. RocksDB names the file.
    pub fn is_damage(&self) -> bool {
        let Self::RocksDb { source, .. } = self else { return matches!(self, Self::NoFamily { .. }) };
        match source.kind() {
            rocksdb::ErrorKind::Corruption | rocksdb::ErrorKind::NotFound => true,
            // RocksDB tells this apart from other IO errors in its text only.
            rocksdb::ErrorKind::IOError => source.as_ref().contains("No such file"),
            _ => false,
        }
    }
}

/// Stored bytes are not what this version or any earlier one wrote: the disk, or a foreign writer.
#[derive(Debug, thiserror::Error)]
#[error(
    "damaged entry in {} at key {}: {cause}; if it is in tenants, apps, ids or index, `rebuild` mends it",
    family.as_str(),
    key.escape_ascii()
)]
pub struct Damaged {
    /// Where.
    pub family: Family,
    /// Which entry.
    pub key: Vec<u8>,
    /// What is wrong with it.
    pub cause: Damage,
}

/// What is wrong with an entry.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The key, or a reference to one, does not decode.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The value does not decode.
    #[error(transparent)]
    Value(#[from] DecodeError),
    /// The entry is referred to and not there.
    #[error("another entry refers to it, and it is missing")]
    Missing,
    /// The rows of the map do not give the root that the last seal has.
    #[error("it is not what the last seal says")]
    Contradicted,
    /// The entry is there and must not be.
    #[error("it is of another kind than its place demands")]
    Misplaced,
}

/// A read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The key-value store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// An entry does not decode, or contradicts another one.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

/// A history could not be told.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The read failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It was asked for as of a record that was never recorded.
    #[error("seq {asked} is not recorded for this tenant, the last one is {last}")]
    NoSuchSeq {
        /// The seq that was asked for.
        asked: u64,
        /// The last seq of the tenant, 0 for none.
        last: u64,
    },
}

impl From<StorageError> for HistoryError {
    fn from(error: StorageError) -> Self {
        Self::Read(error.into())
    }
}

/// Waiting for a position failed.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The time was over before the record was there.
    #[error("position {asked} is not recorded yet, the next one is {next}; ask again later")]
    TimedOut {
        /// The position that was asked for.
        asked: u64,
        /// Position that the next record gets.
        next: u64,
    },
    /// Nothing more will be recorded until the shard is opened anew.
    #[error(transparent)]
    Poisoned(#[from] Arc<Poison>),
    /// The read failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// A batch could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The key-value store failed: nobody knows how much of the batch is on disk.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What the audit trail goes on from does not decode, or contradicts itself. Nothing was written.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// A number of a seal does not fit into the audit trail. Nothing was written.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

impl From<ReadError> for WriteError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Storage(error) => Self::Storage(error),
            ReadError::Damaged(error) => Self::Damaged(error),
        }
    }
}

/// Why a writer takes nothing more: a write failed.
#[derive(Debug, thiserror::Error)]
#[error("shard {shard} writes nothing from position {next_position} on, as a write failed")]
pub struct Poison {
    /// Which shard.
    pub shard: ShardId,
    /// The position up to which everything is durable.
    pub next_position: u64,
    /// The failure.
    #[source]
    pub cause: WriteError,
}

/// Appending failed. Nothing of the batch is recorded.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The key-value store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// An entry that the new record rests on does not decode, or contradicts another one.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// An earlier write failed.
    #[error(transparent)]
    Poisoned(#[from] Arc<Poison>),
    /// Something earlier in this batch failed, so the batch cannot be committed.
    #[error("an earlier message of this batch failed, begin a new one")]
    Abandoned,
    /// A number in it does not fit into the audit trail.
    #[error("a number beyond 2^53 - 1 cannot be written into the log")]
    TooLarge,
}

impl From<TooLarge> for AppendError {
    fn from(TooLarge: TooLarge) -> Self {
        Self::TooLarge
    }
}

impl From<ReadError> for AppendError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Storage(error) => Self::Storage(error),
            ReadError::Damaged(error) => Self::Damaged(error),
        }
    }
}

/// Building the projections anew failed; those that were live before still are.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The shard could not be opened for writing.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Reading the log failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The key-value store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn an_error_that_is_told_as_text_says_what_the_disk_said() {
        let (path, source) = (PathBuf::from("/data/CURRENT"), std::io::Error::other("no space left"));
        let error = BindError::Open(OpenError::Io { path, source });
        assert_eq!(with_causes(&error), "/data/CURRENT could not be read or written: no space left");
    }
}
