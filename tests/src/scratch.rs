//! Directories for one test run, and the one that outlives them all.
//!
//! A directory is removed when its handle is dropped. One left by a killed process or a `static` is removed by the
//! next run: its name has the process id, and directories of dead processes are removed.

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::{env, fs, process};

use tempfile::TempDir;

const PREFIX: &str = "realm-ledger-test-";

/// A new empty directory, removed when dropped.
pub fn directory() -> TempDir {
    static SWEEP: Once = Once::new();
    SWEEP.call_once(|| remove_orphans(&env::temp_dir()));
    tempfile::Builder::new()
        .prefix(&format!("{PREFIX}{}-", process::id()))
        .tempdir()
        .expect("a temporary directory: is there room, and may this user write there?")
}

/// The cache of `tests/run` for every checkout: `$XDG_CACHE_HOME/realm-ledger`, else `~/.cache/realm-ledger`.
pub fn cache() -> PathBuf {
    env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
        .expect("HOME or XDG_CACHE_HOME is set")
        .join("realm-ledger")
}

fn remove_orphans(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_str().and_then(owner).is_some_and(|pid| !is_alive(pid)) {
            // Another run may remove the same directories at the same time.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

fn is_alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_of_dead_processes_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        // Process ids on Linux end at 2^22.
        let [dead, alive, foreign] =
            [format!("{PREFIX}99999999-a"), format!("{PREFIX}{}-a", process::id()), "else-99999999-a".into()]
                .map(|name| parent.path().join(name));
        for path in [&dead, &alive, &foreign] {
            fs::create_dir_all(path.join("inner")).unwrap();
        }
        remove_orphans(parent.path());
        assert_eq!([dead.exists(), alive.exists(), foreign.exists()], [false, true, true]);
    }
}
