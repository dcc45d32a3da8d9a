//! Opening, and what a data directory is bound to.

use std::path::{Path, PathBuf};

use crate::error::stop::{StopCause as _, StopCode};
use crate::error::{Damaged, ReadError, StorageError};
use crate::source::ShardId;

/// A data directory or a shard could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A newer program wrote it: exit code 4.
    #[error("{path} has format {found}, this program reads up to {supported}; use a newer realm-ledger", path = path.display())]
    NewerFormat {
        /// The file or shard.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest that is known here.
        supported: u32,
    },
    /// A development version wrote it, before the first release.
    #[error(
        "{path} has format {found}, from before the first release; this version reads format {supported}: \
         use a new data directory, and fill it from Kafka or with `import` of the same files",
        path = path.display()
    )]
    OlderFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The one that is read here.
        supported: u32,
    },
    /// The audit trail was begun with another ledger secret.
    #[error(
        "the ledger secret is not the one that {path} was begun with; \
         put the file `secret` of its keys directory back, or set REALM_LEDGER_SECRET",
        path = path.display()
    )]
    OtherSecret {
        /// The data directory.
        path: PathBuf,
    },
    /// The directory holds no ledger, and none was to be created.
    #[error("{path} holds no ledger; check the path, or create one with `serve` or `import`", path = path.display())]
    NotALedger {
        /// The directory.
        path: PathBuf,
    },
    /// A refill did not come to its end.
    #[error(
        "{path} is not whole: a refill of it was interrupted or still runs; run the same `refill` again, which starts \
         over, or delete the directory",
        path = path.display()
    )]
    Unfinished {
        /// The directory.
        path: PathBuf,
    },
    /// A restore did not come to its end.
    #[error(
        "{path} is not whole: a restore of it was interrupted or still runs; run the same `restore` again, which starts \
         over, or delete the directory",
        path = path.display()
    )]
    Restoring {
        /// The directory.
        path: PathBuf,
    },
    /// A directory that was to be made anew has something in it.
    #[error("{path} is not empty; name a directory that is empty or does not exist", path = path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// `ledger.json` is not what this program writes.
    #[error("{path} is damaged; restore it from a backup", path = path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// Shards are there, and `ledger.json` is not.
    #[error("{path} is missing, and shards are there; restore it from a backup", path = path.display())]
    ManifestLost {
        /// The file.
        path: PathBuf,
    },
    /// A shard is there that `ledger.json` does not know.
    #[error(
        "{path} does not know shard {shard}, whose directory is there: it is of an earlier time, or of another data \
         directory; restore the newest backup of it",
        path = path.display()
    )]
    ManifestOutdated {
        /// The file.
        path: PathBuf,
        /// The first of those that it does not know.
        shard: ShardId,
    },
    /// The name is no topic name, so it cannot name a directory either.
    #[error("{topic:?} is no topic name: 1 to 249 of letters, digits, '.', '_' and '-'")]
    TopicName {
        /// The name.
        topic: String,
    },
    /// The topic was never bound, or has no such partition.
    #[error("shard {shard} is not part of this ledger, which knows {partitions} partitions of that topic")]
    Unbound {
        /// The shard.
        shard: ShardId,
        /// Partitions of the topic; 0 for an unknown topic.
        partitions: u32,
    },
    /// There is nothing to read yet.
    #[error("shard {shard} has no data in this ledger")]
    NoShard {
        /// The shard.
        shard: ShardId,
    },
    /// The directory of a shard that was begun here is gone.
    #[error("shard {shard} was begun in {path}, which is gone", path = path.display())]
    Gone {
        /// The shard.
        shard: ShardId,
        /// Where it was.
        path: PathBuf,
    },
    /// The newest file of the write-ahead log is gone.
    #[error(
        "the newest file of the write-ahead log in {path} is gone, and with it what was recorded last",
        path = path.display()
    )]
    LostLog {
        /// The shard.
        shard: ShardId,
        /// Directory of the shard.
        path: PathBuf,
    },
    /// Bytes of the write-ahead log that were durable do not read any more.
    #[error(
        "{file} is damaged at byte {offset}: what was recorded there and behind it does not read",
        file = file.display()
    )]
    DamagedLog {
        /// The file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// The shard.
        shard: ShardId,
    },
    /// Files that RocksDB needs are damaged or missing.
    #[error("files of shard {shard} are damaged or missing")]
    Broken {
        /// The shard.
        shard: ShardId,
        /// What RocksDB says, with the file.
        #[source]
        source: StorageError,
    },
    /// Another process, or another handle in this one, writes to the shard.
    #[error("shard {shard} is open for writing elsewhere; stop the other process, or read only")]
    Locked {
        /// The shard.
        shard: ShardId,
    },
    /// The shard's own identity is another one than its place in the data directory says.
    #[error("{path} is shard {found}, moved here from elsewhere; expected {expected}", path = path.display())]
    WrongShard {
        /// The directory.
        path: PathBuf,
        /// What it should be.
        expected: Box<str>,
        /// What it says it is.
        found: Box<str>,
    },
    /// A column family is there that no version up to this one writes.
    #[error(
        "shard {shard} has the column family {name}, which this program does not know; use a newer realm-ledger"
    )]
    UnknownFamily {
        /// The shard.
        shard: ShardId,
        /// The family.
        name: String,
    },
    /// A column family is gone.
    #[error("shard {shard} lacks the column family {name}")]
    MissingFamily {
        /// The shard.
        shard: ShardId,
        /// The family.
        name: String,
    },
    /// What the process may open is not enough for the files of its shards.
    #[error(
        "{descriptors} open files are too few for {partitions} partitions, {least} each are the least; raise the limit \
         (LimitNOFILE= of systemd, ulimit -n), or spread the partitions over more processes"
    )]
    TooFewDescriptors {
        /// What is set aside for all shards.
        descriptors: u32,
        /// How many there are.
        partitions: u32,
        /// What one takes at least.
        least: u32,
    },
    /// The files kept changing under a read-only opening.
    #[error("shard {shard} changed under the reader {tries} times; try again")]
    Restless {
        /// The shard.
        shard: ShardId,
        /// How often it was tried.
        tries: u32,
        /// The last failure.
        #[source]
        source: Box<OpenError>,
    },
    /// The data directory was opened read-only.
    #[error("{path} was opened for reading only", path = path.display())]
    ReadOnly {
        /// The directory.
        path: PathBuf,
    },
    /// A file or directory could not be read or written.
    #[error("{path} could not be read or written", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The key-value store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// An entry does not decode.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

impl OpenError {
    /// The process, or the machine, has too many files open. That passes, and tells nothing about the data.
    #[must_use]
    pub fn is_out_of_descriptors(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.stop_code() == StopCode::FilesExhausted,
            Self::Storage(StorageError::RocksDb { source, .. }) => {
                // RocksDB passes on what the system said, and not its number.
                source.as_ref().contains("Too many open files")
            }
            _ => false,
        }
    }

    /// What the operator does about damage, by the kind of stop that it is.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Gone { shard, .. }
            | Self::LostLog { shard, .. }
            | Self::DamagedLog { shard, .. }
            | Self::Broken { shard, .. }
            | Self::MissingFamily { shard, .. } => self.stop_code().remedy_for(shard),
            _ => self.stop_code().remedy().to_owned(),
        }
    }

    /// Whether `ledger.json` is not the one that the shards were made with.
    #[must_use]
    pub fn is_of_manifest(&self) -> bool {
        matches!(self, Self::Manifest { .. } | Self::ManifestLost { .. } | Self::ManifestOutdated { .. })
    }

    /// Whether the shard's own data are damaged or gone, so that trying again is of no use.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Gone { .. }
            | Self::LostLog { .. }
            | Self::DamagedLog { .. }
            | Self::Broken { .. }
            | Self::MissingFamily { .. }
            | Self::Damaged(_) => true,
            Self::Storage(error) => error.is_damage(),
            _ => false,
        }
    }
}

impl BindError {
    /// As [`OpenError::is_out_of_descriptors`].
    #[must_use]
    pub fn is_out_of_descriptors(&self) -> bool {
        matches!(self, Self::Open(error) if error.is_out_of_descriptors())
    }
}

/// Where the operator moves the directory of a shard, so that the shard is begun anew.
pub(crate) fn away(path: &Path) -> PathBuf {
    path.with_extension("away")
}

/// The data directory belongs to another source.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another cluster, topic or number of partitions: exit code 4.
    #[error(
        "this ledger was filled from {topic} with {what} {stored}, now it is {found}; \
         use another data directory, or the cluster this one belongs to"
    )]
    Differs {
        /// The topic.
        topic: String,
        /// `cluster id`, `topic id` or `partitions`.
        what: &'static str,
        /// As remembered.
        stored: String,
        /// As it is now.
        found: String,
    },
    /// The memory of it could not be read or written.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Storage(error) => Self::Storage(error),
            ReadError::Damaged(error) => Self::Damaged(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_open_files_are_told_from_a_disk_that_fails() {
        let io = |code| OpenError::Io {
            path: PathBuf::from("ledger.json"),
            source: std::io::Error::from_raw_os_error(code),
        };
        assert!(io(23).is_out_of_descriptors() && io(24).is_out_of_descriptors());
        assert!(BindError::Open(io(24)).is_out_of_descriptors());
        assert!(!io(5).is_out_of_descriptors(), "EIO");
    }
}
