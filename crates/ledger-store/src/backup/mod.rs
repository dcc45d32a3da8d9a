//! Backups: generations of a data directory, made beside a writer or of a directory at rest, and brought back.
//!
//! ```text
//! <backup>/backup.lock                 held while a generation is written, or blobs are removed
//! <backup>/blobs/<sha256>              a file of a shard, or of a journal that is the source, by its content, in hex
//! <backup>/blobs/<pid>.<count>.new     a file that is being copied; a crash may leave one
//! <backup>/generations/<n>.json        which blobs make a data directory; written once, never changed      generation
//!
//! <data>/backup.lock                   held while checkpoints are there
//! <data>/backup/<topic>/<partition>/   a checkpoint: hard links, for as long as it is copied
//! <data>/restoring                     there until a restored directory is whole
//! ```
//!
//! In: a [`DataDir`](crate::DataDir), the [`Reader`](crate::Reader)s of the shards that are open in this process, and a
//! directory for the backups. Out: a generation that has every shard of the data directory, each consistent in itself,
//! and from a generation a data directory.
//!
//! # Order
//!
//! - [`back_up`]: blobs are copied and synced, then their names, then the generation appears under its number, whole.
//!   What is interrupted leaves blobs that nothing needs, and never a part of a generation.
//! - [`fn@prune`]: generations go first, then the blobs that none of the rest needs. Where a generation is being written,
//!   its blobs are there and nothing names them yet: then no blob is removed at all, and the next pruning does it.
//! - [`fn@restore`]: `ledger.json` comes last, when every shard was compared with what the generation says. Without it
//!   nothing opens the directory.
//!
//! Table files never change, nor do segments of a journal but the last, so a generation shares them with the one before: one
//! of the same name, size and time of modification is not even read again. The secret and the keys are no part of a data directory, so they are in no backup.
//!
//! A restored shard is behind its topic, and nothing may take it for the whole before it has caught up
//! ([`DataDir::is_behind`](crate::DataDir::is_behind)); its log signs nothing until it goes on from the last checkpoint.

mod blobs;
mod error;
mod generation;
mod journal;
mod make;
mod prune;
mod restore;
mod verify;

use std::ops::ControlFlow;

pub use error::{BackupDamage, BackupError};
pub use generation::{BackedUpFile, BackedUpShard, BlobName, Generation, GenerationSummary, last_generation};
pub use make::{BackupReport, back_up};
pub use prune::{PruneReport, prune};
pub use restore::{RestoreReport, restore};
pub use verify::{BackupCheck, verify_backup};

/// Takes note of the bytes that are done, and of how many there are in all; whether to go on.
pub type BackupProgress<'p> = &'p mut dyn FnMut(u64, u64) -> ControlFlow<()>;

/// Counts what is done of a long work.
struct Work<'p> {
    done: u64,
    total: u64,
    progress: BackupProgress<'p>,
}

impl<'p> Work<'p> {
    fn new(total: u64, progress: BackupProgress<'p>) -> Self {
        Self { done: 0, total, progress }
    }

    fn advance(&mut self, bytes: u64) -> Result<(), BackupError> {
        self.done += bytes;
        if (self.progress)(self.done, self.total).is_break() { Err(BackupError::Stopped) } else { Ok(()) }
    }
}
