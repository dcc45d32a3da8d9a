//! What a backup can fail by.

use std::io;
use std::path::{Path, PathBuf};

use crate::backup::generation::BlobName;
use crate::error::{OpenError, ReadError, StorageError};
use crate::source::ShardId;

/// A backup could not be made, read or brought back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A shard or a data directory could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A shard does not read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The key-value store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A file or directory could not be read or written.
    #[error("{path} could not be read or written", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Another process, or another thread, writes a backup there.
    #[error("another backup holds {path}; wait until it is done", path = path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
    },
    /// One directory contains the other.
    #[error("{dir} and the data directory contain each other; back up to a directory of its own", dir = dir.display())]
    Inside {
        /// The directory for backups.
        dir: PathBuf,
    },
    /// The directory has generations of another ledger.
    #[error(
        "{dir} has backups of another ledger ({what} {stored}, here it is {found}); back up to a directory of its own",
        dir = dir.display()
    )]
    OtherLedger {
        /// The directory for backups.
        dir: PathBuf,
        /// What differs.
        what: &'static str,
        /// As the last generation has it.
        stored: String,
        /// As the data directory has it.
        found: String,
    },
    /// The last generation has a shard that the data directory lacks.
    #[error(
        "the last generation in {dir} has shard {shard}, which is not here: two data directories do not share a \
         directory for backups",
        dir = dir.display()
    )]
    LacksShard {
        /// The directory for backups.
        dir: PathBuf,
        /// The shard.
        shard: ShardId,
    },
    /// The data directory is behind what was backed up.
    #[error(
        "shard {shard} ends at position {found} here, and at {stored} in generation {generation} of {dir}: what is \
         behind is not put in front of what is ahead; back up to another directory, or let the shard catch up first",
        dir = dir.display()
    )]
    Behind {
        /// The directory for backups.
        dir: PathBuf,
        /// Its last generation.
        generation: u64,
        /// The shard.
        shard: ShardId,
        /// As the last generation has it.
        stored: u64,
        /// As the data directory has it.
        found: u64,
    },
    /// The journal lacks lines that were backed up.
    #[error(
        "of the journal's {file} {found} bytes are as in generation {generation} of {dir}, which has {stored}: it was \
         emptied, shortened or replaced since, so no generation is made and none is removed; put the journal back \
         (`restore` has it), or back up to another directory",
        dir = dir.display()
    )]
    LostLines {
        /// The directory for backups.
        dir: PathBuf,
        /// Its last generation.
        generation: u64,
        /// The segment.
        file: String,
        /// Bytes of its lines in that generation.
        stored: u64,
        /// Bytes of them that are the same here.
        found: u64,
    },
    /// There is nothing to back up.
    #[error("{path} has no shard, so there is nothing to back up", path = path.display())]
    NoShards {
        /// The data directory.
        path: PathBuf,
    },
    /// A shard at rest changed while it was copied.
    #[error(
        "shard {shard} changed while it was copied: another process writes to it; ask that one for the backup"
    )]
    Changed {
        /// The shard.
        shard: ShardId,
    },
    /// No generation is there.
    #[error("{dir} has no generation", dir = dir.display())]
    NoGeneration {
        /// The directory for backups.
        dir: PathBuf,
    },
    /// Another number was asked for.
    #[error("{dir} has no generation {number}; it has {there}", dir = dir.display())]
    NoSuchGeneration {
        /// The directory for backups.
        dir: PathBuf,
        /// What was asked for.
        number: u64,
        /// What there is.
        there: String,
    },
    /// A newer program wrote the generation: exit code 4.
    #[error("{path} has format {found}, this program reads up to {supported}; use a newer realm-ledger", path = path.display())]
    NewerFormat {
        /// The generation.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest that is known here.
        supported: u32,
    },
    /// What is kept is not what was written.
    #[error(transparent)]
    Damaged(#[from] BackupDamage),
    /// A restored shard is not what the generation says.
    #[error("restored shard {shard} has {what} {found}, the generation says {expected}")]
    Differs {
        /// The shard.
        shard: ShardId,
        /// What differs.
        what: &'static str,
        /// As the generation has it.
        expected: String,
        /// As the shard has it.
        found: String,
    },
    /// The progress said so.
    #[error("stopped before it was done; nothing of it counts")]
    Stopped,
}

/// Something in a directory for backups is not what was written there.
#[derive(Debug, thiserror::Error)]
pub enum BackupDamage {
    /// A generation does not read.
    #[error("{path} is damaged; without this file the others go on: `backup --verify` tells which are whole", path = path.display())]
    Generation {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// A generation names something that it must not.
    #[error("{path} is damaged: {what}", path = path.display())]
    Names {
        /// The file.
        path: PathBuf,
        /// What.
        what: String,
    },
    /// A blob is gone.
    #[error("blob {blob} is missing, which is {file} of generation {generation}")]
    Missing {
        /// The blob.
        blob: BlobName,
        /// The first file that needs it.
        file: String,
        /// In this generation.
        generation: u64,
    },
    /// A blob has other bytes.
    #[error("blob {blob} has other bytes than its name says{}", if *is_aside { ": it is set aside, so that the next backup copies it anew" } else { "" })]
    Changed {
        /// The blob.
        blob: BlobName,
        /// It has another name now.
        is_aside: bool,
    },
    /// A blob does not read.
    #[error("blob {blob} does not read")]
    Unreadable {
        /// The blob.
        blob: BlobName,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

pub(super) fn io_failed(path: &Path) -> impl Fn(io::Error) -> BackupError {
    move |source| BackupError::Io { path: path.to_owned(), source }
}
