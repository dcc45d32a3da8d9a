//! A disk that a test can fill: a small tmpfs; mounting it needs root.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::scratch;

/// A mounted file system; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
    // Dropped last: the mount point.
    _directory: TempDir,
}

impl SmallDisk {
    /// Mounts a file system of this size.
    pub fn mount(mebibytes: u32) -> Self {
        let directory = scratch::directory();
        let path = directory.path().join("disk");
        fs::create_dir(&path).expect("a mount point");
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path).output();
        let mounted = mounted.expect("run mount");
        assert!(
            mounted.status.success(),
            "a tmpfs cannot be mounted, and there is no other full disk to test with: run the tests as root, or in a \
             container with CAP_SYS_ADMIN: {}",
            String::from_utf8_lossy(&mounted.stderr)
        );
        Self { path, _directory: directory }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fills the remaining space.
    pub fn fill(&self) {
        let mut file =
            File::options().create(true).append(true).open(self.filler()).expect("a file on the disk");
        // Large pieces first, then small ones, so that nothing is left.
        for bytes in [1 << 20, 1 << 12, 1] {
            let piece = vec![0xa5; bytes];
            loop {
                match file.write_all(&piece) {
                    Ok(()) => {}
                    Err(error) if is_full(&error) => break,
                    Err(error) => panic!("cannot fill the disk: {error}"),
                }
            }
        }
    }

    /// Frees the space.
    pub fn free(&self) {
        fs::remove_file(self.filler()).expect("remove what filled the disk");
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::WriteZero)
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Unmounted lazily: a running process of the test may have files open.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
