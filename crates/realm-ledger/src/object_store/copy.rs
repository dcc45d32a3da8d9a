//! Generations to a store, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::num::NonZeroUsize;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use ledger_store::{BackupProgress, Generation, last_generation};
use sha2::{Digest as _, Sha256};

use super::error::StoreError;
use super::store::Store;

/// A generation is a list of files.
const GENERATION_MAX_BYTES: u64 = 256 * 1024 * 1024;

const COPY_BYTES: usize = 256 * 1024;

/// What was copied.
#[derive(Debug, Default)]
pub(crate) struct Copied {
    pub(crate) generation: u64,
    /// Bytes that the store did not have.
    pub(crate) bytes: u64,
    pub(crate) removed: Vec<u64>,
}

fn name_of(number: u64) -> String {
    format!("generations/{number}.json")
}

/// Its blobs by name, and their sizes.
fn needs(generation: &Generation) -> BTreeMap<String, u64> {
    generation.files().map(|(_, file)| (file.sha256.to_string(), file.size)).collect()
}

fn parse(shown: &str, text: &[u8]) -> Result<Generation, StoreError> {
    serde_json::from_slice(text)
        .map_err(|source| StoreError::Generation { generation: shown.to_owned(), source })
}

impl Store {
    fn numbers(&self) -> Result<Vec<u64>, StoreError> {
        let named = self.list("generations/")?.into_keys();
        let mut numbers: Vec<u64> = named
            .filter_map(|name| name.strip_suffix(".json")?.parse().ok())
            .filter(|number| *number > 0)
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn generation(&self, number: u64) -> Result<Vec<u8>, StoreError> {
        let (name, mut text) = (name_of(number), Vec::new());
        let body = self.get(&name)?;
        let body = body.ok_or_else(|| self.none(format!("no generation {number} any more")))?;
        let read = body.into_reader().take(GENERATION_MAX_BYTES).read_to_end(&mut text);
        read.map_err(|error| self.unreachable(&name, ureq::Error::Io(error)))?;
        Ok(text)
    }

    fn none(&self, what: String) -> StoreError {
        StoreError::NoGeneration { store: self.shown.clone(), what }
    }

    fn other(&self, what: String) -> StoreError {
        StoreError::Other { store: self.shown.clone(), what }
    }

    /// Reads a blob; whether it is what it is called.
    fn read_blob(&self, blob: &str, mut to: Option<&mut File>) -> Result<bool, StoreError> {
        let object = format!("blobs/{blob}");
        let Some(body) = self.get(&object)? else { return Ok(false) };
        let failed = |error: io::Error| self.unreachable(&object, ureq::Error::Io(error));
        let (mut reader, mut hasher) = (body.into_reader(), Sha256::new());
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            let read = reader.read(&mut buffer).map_err(failed)?;
            let part = buffer.get(..read).filter(|part| !part.is_empty());
            let Some(part) = part else { break };
            hasher.update(part);
            if let Some(file) = to.as_mut() {
                file.write_all(part).map_err(failed)?;
            }
        }
        Ok(hex::encode(hasher.finalize()) == blob)
    }
}

/// Copies the newest generation of a directory to a store: the blobs that it lacks, then the generation. Afterwards the store
/// keeps so many.
pub(crate) fn copy(
    store: &Store,
    dir: &Path,
    keep: Option<NonZeroUsize>,
    progress: BackupProgress<'_>,
) -> Result<Copied, StoreError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::Io { path, source }
    };
    let last = last_generation(dir).map_err(|error| failed(dir)(io::Error::other(error)))?;
    let nothing = || failed(dir)(io::Error::other("it has no generation"));
    let number = last.ok_or_else(nothing)?.number;
    let path = dir.join(name_of(number));
    let text = fs::read(&path).map_err(failed(&path))?;
    let generation = parse(&path.display().to_string(), &text)?;
    let numbers = store.numbers()?;
    if let Some(last) = numbers.last() {
        let theirs = parse(&name_of(*last), &store.generation(*last)?)?;
        if theirs.secret_fingerprint != generation.secret_fingerprint {
            return Err(store.other("backups".to_owned()));
        }
        if *last > number {
            return Err(store.other(format!("generation {last}, which is newer than the {number} here,")));
        }
    }
    let there = store.list("blobs/")?;
    let lacking: Vec<_> =
        needs(&generation).into_iter().filter(|(blob, size)| there.get(blob) != Some(size)).collect();
    let total = lacking.iter().map(|(_, size)| size).sum();
    let mut copied = Copied { generation: number, ..Copied::default() };
    for (blob, size) in lacking {
        // The store compares what comes with the name.
        let sha256 = hex::decode(&blob).unwrap_or_default();
        store.put(&format!("blobs/{blob}"), &dir.join("blobs").join(&blob), &sha256)?;
        copied.bytes += size;
        let _ = progress(copied.bytes, total);
    }
    if !store.create(&name_of(number), &text)? && store.generation(number)? != text {
        return Err(store.other(format!("a generation {number}")));
    }
    if let Some(keep) = keep {
        copied.removed = prune(store, keep)?;
    }
    Ok(copied)
}

/// Removes old generations, then what only they needed. Nothing goes while one that is kept does not read.
fn prune(store: &Store, keep: NonZeroUsize) -> Result<Vec<u64>, StoreError> {
    let numbers = store.numbers()?;
    let (old, kept) = numbers.split_at(numbers.len().saturating_sub(keep.get()));
    let mut needed = BTreeSet::new();
    for number in kept {
        let generation = parse(&name_of(*number), &store.generation(*number)?)?;
        needed.extend(needs(&generation).into_keys());
    }
    for number in old {
        store.remove(&name_of(*number))?;
    }
    for blob in store.list("blobs/")?.into_keys().filter(|blob| !needed.contains(blob)) {
        store.remove(&format!("blobs/{blob}"))?;
    }
    Ok(old.to_vec())
}

/// Brings a generation, the newest unless a number is given, to a directory for backups of its own.
pub(crate) fn fetch(
    store: &Store,
    number: Option<u64>,
    to: &Path,
    progress: BackupProgress<'_>,
) -> Result<u64, StoreError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::Io { path, source }
    };
    let numbers = store.numbers()?;
    let last = numbers.last().copied().ok_or_else(|| store.none("no generation".to_owned()))?;
    let number = number.unwrap_or(last);
    if !numbers.contains(&number) {
        let there = numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        return Err(store.none(format!("no generation {number}; there are {there}")));
    }
    let text = store.generation(number)?;
    let generation = parse(&name_of(number), &text)?;
    for dir in ["blobs", "generations"] {
        let path = to.join(dir);
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed(&path))?;
    }
    let create = |path: &Path| {
        let new = File::options().write(true).create_new(true).mode(0o600).open(path);
        new.map_err(failed(path))
    };
    let needed = needs(&generation);
    let (total, mut done) = (needed.values().sum(), 0);
    for (blob, size) in needed {
        let path = to.join("blobs").join(&blob);
        // One that is not there, or differs, is found by the restore, which names the file that needs it.
        if !store.read_blob(&blob, Some(&mut create(&path)?))? {
            fs::remove_file(&path).map_err(failed(&path))?;
        }
        done += size;
        let _ = progress(done, total);
    }
    let path = to.join(name_of(number));
    create(&path)?.write_all(&text).map_err(failed(&path))?;
    Ok(number)
}

/// Reads every blob that a generation needs; returns how many there are, and the names of those that are gone or differ.
pub(crate) fn check(store: &Store) -> Result<(usize, Vec<String>), StoreError> {
    let numbers = store.numbers()?;
    if numbers.is_empty() {
        return Err(store.none("no generation".to_owned()));
    }
    let mut needed = BTreeSet::new();
    for number in numbers {
        let generation = parse(&name_of(number), &store.generation(number)?)?;
        needed.extend(needs(&generation).into_keys());
    }
    let mut damaged = Vec::new();
    for blob in &needed {
        if !store.read_blob(blob, None)? {
            damaged.push(blob.clone());
        }
    }
    Ok((needed.len(), damaged))
}
