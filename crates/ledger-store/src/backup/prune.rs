//! Old generations go, and with them the blobs that none of the rest needs.

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::Path;

use crate::backup::blobs::Blobs;
use crate::backup::error::io_failed;
use crate::backup::generation::{self, Generation, numbers, path_of};
use crate::backup::make::{lock, remove_unfinished};
use crate::backup::{BackupError, BackupProgress};

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PruneReport {
    /// The generations that are gone.
    pub removed: Vec<u64>,
    /// The generations that are left.
    pub kept: Vec<u64>,
    /// Blobs that are gone.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The generations that were to be kept and do not read, so nothing was removed.
    pub unread: Vec<u64>,
    /// A backup is being written, so no blob was removed.
    pub is_beside_writer: bool,
}

/// Keeps the newest generations, so many of them. May be interrupted anywhere, and run beside a backup.
pub fn prune(
    dir: &Path,
    keep: NonZeroUsize,
    progress: BackupProgress<'_>,
) -> Result<PruneReport, BackupError> {
    // Before anything is looked at: a generation that is written from now on has blobs that nothing names yet.
    let lock = match lock(dir) {
        Ok(lock) => Some(lock),
        Err(BackupError::Busy { .. }) => None,
        Err(error) => return Err(error),
    };
    let mut report = PruneReport { is_beside_writer: lock.is_none(), ..PruneReport::default() };
    let all = numbers(dir)?;
    let (old, kept) = all.split_at(all.len().saturating_sub(keep.get()));
    let mut needed = BTreeSet::new();
    for number in kept {
        match Generation::read(dir, *number) {
            Ok(generation) => needed.extend(generation.files().map(|(_, file)| file.sha256)),
            // It may need any of them.
            Err(BackupError::Damaged(damage)) => {
                tracing::warn!(%damage, "nothing is removed while a generation that is kept does not read");
                report.unread.push(*number);
            }
            Err(error) => return Err(error),
        }
    }
    kept.clone_into(&mut report.kept);
    if !report.unread.is_empty() {
        return Ok(report);
    }
    let mut step = |done: u64| match progress(done, 0) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(BackupError::Stopped),
    };
    for number in old {
        step(0)?;
        let path = path_of(dir, *number);
        fs::remove_file(&path).map_err(io_failed(&path))?;
        report.removed.push(*number);
    }
    if !old.is_empty() {
        // No generation may come back after a power loss that took its blobs.
        generation::sync(dir)?;
    }
    if report.is_beside_writer {
        return Ok(report);
    }
    remove_unfinished(&dir.join("blobs"))?;
    let blobs = Blobs::new(dir);
    for (blob, size) in blobs.all()?.into_iter().filter(|(blob, _)| !needed.contains(blob)) {
        step(report.bytes)?;
        blobs.remove(blob)?;
        report.blobs += 1;
        report.bytes += size;
    }
    Ok(report)
}
