//! A disk of its own that a test can fill: a small tmpfs, which takes the rights of root to mount.

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
    // Dropped last: the directory that it is mounted in.
    _directory: TempDir,
}

impl SmallDisk {
    /// Mounts a file system of so many mebibytes.
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

    /// Takes all the room that is left.
    pub fn fill(&self) {
        let mut file =
            File::options().create(true).append(true).open(self.filler()).expect("a file on the disk");
        // Large pieces first, so that nothing is left for small ones.
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

    /// Gives the room back.
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
        // Lazily: a process that the test still runs may have files on it.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
