//! Files that are replaced whole and for good, and files that are locks. In: a path and what writes the bytes. Out: the old
//! file or the new one, whole, also after a power loss.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Replaces a file, or makes it: written beside it, synced, renamed over it. `mode` are the rights of the new file before
/// the process's mask; secrets take `0o600`. One process replaces a file from one thread at a time.
pub fn replace_file<E: From<io::Error>>(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    place(path, mode, write, |new| fs::rename(new, path))
}

/// As [`replace_file`], but fails with [`io::ErrorKind::AlreadyExists`] where there is a file.
pub fn create_file<E: From<io::Error>>(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    place(path, mode, write, |new| fs::hard_link(new, path))
}

fn place<E: From<io::Error>>(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    place: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(), E> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    // One that a crash left may have other rights.
    remove(&new)?;
    let placed = fill(&new, mode, write).and_then(|()| Ok(place(&new)?));
    let removed = remove(&new);
    placed?;
    removed?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok(sync_dir(directory.unwrap_or(Path::new(".")))?)
}

fn fill<E: From<io::Error>>(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    let mut out = BufWriter::new(File::options().write(true).create_new(true).mode(mode).open(path)?);
    write(&mut out)?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(file.sync_all()?)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes created, renamed and removed names in a directory durable.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Makes a directory, and those above it that are missing, for this user alone.
pub(crate) fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// How long a lock is waited for: who gives it up may end a moment later, and a process that is just being started has a
/// copy of every open file, and with it the lock.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

const LOCK_RETRY: Duration = Duration::from_millis(10);

/// Makes a lock file if it is missing, and holds it until the answer is dropped. None: someone else does.
pub fn lock_file(path: &Path) -> io::Result<Option<File>> {
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(LOCK_RETRY),
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_stays_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let put = |text: &'static str| move |out: &mut dyn Write| out.write_all(text.as_bytes());
        replace_file(&path, 0o600, put("one")).unwrap();
        replace_file(&path, 0o600, put("two")).unwrap();
        let failing = |out: &mut dyn Write| out.write_all(b"thr").and(Err(io::Error::other("no space")));
        assert_eq!(replace_file(&path, 0o600, failing).unwrap_err().to_string(), "no space");
        let taken = create_file(&path, 0o600, put("four")).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    }
}
