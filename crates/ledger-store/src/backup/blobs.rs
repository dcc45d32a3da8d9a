//! Files by their content: what was copied once is there for every generation that needs it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};

use crate::backup::error::io_failed;
use crate::backup::generation::BlobName;
use crate::backup::{BackupError, Work};
use crate::files::{create_private_dir, sync_dir};

/// Read and written at a time.
const COPY_BYTES: usize = 1024 * 1024;

/// The extension of what is being copied.
pub(super) const UNFINISHED: &str = "new";

/// The extension of what was found damaged.
const DAMAGED: &str = "damaged";

/// The blobs of a directory for backups.
pub(super) struct Blobs {
    dir: PathBuf,
}

impl Blobs {
    pub(super) fn new(backup: &Path) -> Self {
        Self { dir: backup.join("blobs") }
    }

    pub(super) fn path(&self, blob: BlobName) -> PathBuf {
        self.dir.join(blob.to_string())
    }

    pub(super) fn create_dir(&self) -> Result<(), BackupError> {
        create_private_dir(&self.dir).map_err(io_failed(&self.dir))
    }

    /// Makes the names of all blobs durable.
    pub(super) fn sync(&self) -> Result<(), BackupError> {
        sync_dir(&self.dir).map_err(io_failed(&self.dir))
    }

    /// Whether a blob is there, of this size at least.
    pub(super) fn has(&self, blob: BlobName, size: u64) -> bool {
        fs::metadata(self.path(blob)).is_ok_and(|file| file.len() == size)
    }

    /// Every blob with its size, by name. Other files are passed over; none where nothing was ever backed up.
    pub(super) fn all(&self) -> Result<BTreeMap<BlobName, u64>, BackupError> {
        let failed = io_failed(&self.dir);
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            entries => entries.map_err(&failed)?,
        };
        let mut all = BTreeMap::new();
        for entry in entries {
            let entry = entry.map_err(&failed)?;
            let Some(blob) = entry.file_name().to_str().and_then(BlobName::parse) else { continue };
            match entry.metadata() {
                Ok(file) => {
                    all.insert(blob, file.len());
                }
                // Pruned meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(all)
    }

    /// Copies a file to where its content puts it, and syncs it. One that is there is replaced by the copy, which
    /// mends it if it was damaged.
    pub(super) fn put(&self, source: &Path, work: &mut Work<'_>) -> Result<(BlobName, u64), BackupError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let copy = self.dir.join(format!("{}.{count}.{UNFINISHED}", std::process::id()));
        let mut from = File::open(source).map_err(io_failed(source))?;
        let new = File::options().write(true).create_new(true).mode(0o600).open(&copy);
        let mut to = new.map_err(io_failed(&copy))?;
        let (blob, size) = copy_hashed(&mut from, source, Some((&mut to, &copy)), work)?;
        to.sync_all().map_err(io_failed(&copy))?;
        let place = self.path(blob);
        fs::rename(&copy, &place).map_err(io_failed(&place))?;
        Ok((blob, size))
    }

    /// Gives a damaged one another name; answers whether that was done.
    pub(super) fn set_aside(&self, blob: BlobName) -> bool {
        let path = self.path(blob);
        fs::rename(&path, path.with_extension(DAMAGED)).is_ok()
    }

    pub(super) fn remove(&self, blob: BlobName) -> Result<(), BackupError> {
        let path = self.path(blob);
        fs::remove_file(&path).map_err(io_failed(&path))
    }
}

/// Reads a file to its end, and writes it elsewhere if that is asked for; returns what its content is called, and its size.
pub(super) fn copy_hashed(
    from: &mut File,
    source: &Path,
    mut to: Option<(&mut File, &Path)>,
    work: &mut Work<'_>,
) -> Result<(BlobName, u64), BackupError> {
    let (mut hasher, mut size) = (Sha256::new(), 0);
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => buffer.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(io_failed(source)(error)),
        };
        hasher.update(read);
        if let Some((file, path)) = &mut to {
            file.write_all(read).map_err(io_failed(path))?;
        }
        size += read.len() as u64;
        work.advance(read.len() as u64)?;
    }
    Ok((BlobName(hasher.finalize().into()), size))
}
