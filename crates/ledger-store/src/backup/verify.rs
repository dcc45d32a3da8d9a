//! Reads every blob, and compares it with its name. One that differs gets another name, if the disk lets it: the next backup
//! would take it for what it was, and every generation from then on would lack the same file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use crate::backup::blobs::{Blobs, copy_hashed};
use crate::backup::generation::{BlobName, Generation, numbers, path_of};
use crate::backup::{BackupDamage, BackupError, BackupProgress, Work};

/// What a directory for backups has.
#[derive(Debug, Default)]
pub struct BackupCheck {
    /// The generations that read.
    pub generations: Vec<u64>,
    /// Blobs that were read.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Everything that is not as it was written; empty: nothing.
    pub damage: Vec<BackupDamage>,
}

/// The newest file that needs a blob: older generations are removed first.
struct Need {
    generation: u64,
    file: String,
    size: u64,
}

/// Reads every generation and every blob, also those that no generation needs.
pub fn verify_backup(dir: &Path, progress: BackupProgress<'_>) -> Result<BackupCheck, BackupError> {
    let mut check = BackupCheck::default();
    let numbers = numbers(dir)?;
    if numbers.is_empty() {
        return Err(BackupError::NoGeneration { dir: dir.to_owned() });
    }
    let mut needs = BTreeMap::<BlobName, Need>::new();
    for number in numbers {
        match Generation::read(dir, number) {
            Ok(generation) => note_needs(&generation, &mut needs),
            Err(BackupError::Damaged(damage)) => {
                check.damage.push(damage);
                continue;
            }
            // Pruned meanwhile.
            Err(BackupError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        }
        check.generations.push(number);
    }
    let blobs = Blobs::new(dir);
    let mut there = blobs.all()?;
    for (blob, need) in &needs {
        there.entry(*blob).or_insert(need.size);
    }
    let mut work = Work::new(there.values().sum(), progress);
    for blob in there.into_keys() {
        let need = needs.get(&blob);
        let Some(damage) = read(&blobs, blob, need, &mut check, &mut work)? else { continue };
        // One that was pruned meanwhile is missed by nothing.
        if need.is_none_or(|need| path_of(dir, need.generation).exists()) {
            check.damage.push(damage);
        }
    }
    Ok(check)
}

fn note_needs(generation: &Generation, needs: &mut BTreeMap<BlobName, Need>) {
    for (name, file) in generation.files() {
        let need = Need { generation: generation.number, file: name.to_owned(), size: file.size };
        needs.insert(file.sha256, need);
    }
}

fn read(
    blobs: &Blobs,
    blob: BlobName,
    need: Option<&Need>,
    check: &mut BackupCheck,
    work: &mut Work<'_>,
) -> Result<Option<BackupDamage>, BackupError> {
    let path = blobs.path(blob);
    let read = File::open(&path)
        .map_err(|source| BackupError::Io { path: path.clone(), source })
        .and_then(|mut file| copy_hashed(&mut file, &path, None, work));
    match read {
        Ok((found, size)) => {
            check.blobs += 1;
            check.bytes += size;
            let is_as_written = found == blob && need.is_none_or(|need| need.size == size);
            Ok((!is_as_written).then(|| BackupDamage::Changed { blob, is_aside: blobs.set_aside(blob) }))
        }
        Err(BackupError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            let missing = |need: &Need| BackupDamage::Missing {
                blob,
                file: need.file.clone(),
                generation: need.generation,
            };
            Ok(need.map(missing))
        }
        Err(BackupError::Io { source, .. }) => Ok(Some(BackupDamage::Unreadable { blob, source })),
        Err(error) => Err(error),
    }
}
