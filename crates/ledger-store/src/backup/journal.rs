//! The journal of a ledger without Kafka: it is the source of the shards, so a generation has it beside them.
//!
//! Its files are looked for once the shards stand still, so what they were made of is in them. Only the last segment grows;
//! a line that is half there in its copy was not answered, and goes as a torn tail when the journal is opened. Nothing else of it
//! ever goes: a journal without lines that the generation before has is not backed up behind that one.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::backup::BackupError;
use crate::backup::blobs::Blobs;
use crate::backup::error::io_failed;
use crate::backup::generation::{BackedUpFile, modified_ns};
use crate::data_dir::journal::{
    JOURNAL, JOURNAL_IS_SOURCE, JOURNAL_PUBLISHED, JOURNAL_SEGMENT_SUFFIX, is_journal_line,
};

/// A file of a journal.
pub(super) struct JournalFile {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) size: u64,
    /// It never changes again.
    pub(super) is_final: bool,
}

/// Whether a journal has files of this name. Its lock is not among them.
pub(super) fn is_journal_file(name: &str) -> bool {
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    [JOURNAL_IS_SOURCE, JOURNAL_PUBLISHED].contains(&name)
        || name.strip_suffix(JOURNAL_SEGMENT_SUFFIX).is_some_and(is_number)
}

/// The files of the journal of a data directory, by name; none where it is not its source.
pub(super) fn files(data: &Path) -> Result<Vec<JournalFile>, BackupError> {
    let dir = data.join(JOURNAL);
    if !dir.join(JOURNAL_IS_SOURCE).exists() {
        return Ok(Vec::new());
    }
    let failed = io_failed(&dir);
    let mut files = Vec::new();
    for entry in fs::read_dir(&dir).map_err(&failed)? {
        let entry = entry.map_err(&failed)?;
        let Some(name) = entry.file_name().to_str().filter(|name| is_journal_file(name)).map(str::to_owned)
        else {
            continue;
        };
        let size = match entry.metadata() {
            Ok(file) => file.len(),
            // Replaced meanwhile, or published and removed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        files.push(JournalFile { path: entry.path(), name, size, is_final: false });
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    let segments = files.iter_mut().filter(|file| file.name.ends_with(JOURNAL_SEGMENT_SUFFIX));
    // The last one is written to.
    segments.rev().skip(1).for_each(|file| file.is_final = true);
    Ok(files)
}

/// A segment that the generation before has, and that is not all here.
pub(super) struct LostLines {
    pub(super) file: String,
    /// Bytes of its lines as they were backed up.
    pub(super) stored: u64,
    /// How many of them are the same here.
    pub(super) found: u64,
}

/// What a journal has lost since it was backed up, if it has: a journal that is the source only grows. What was half a line then
/// may be gone.
pub(super) fn lost_lines(
    before: &[BackedUpFile],
    here: &[JournalFile],
    blobs: &Blobs,
) -> Result<Option<LostLines>, BackupError> {
    for file in before.iter().filter(|file| file.name.ends_with(JOURNAL_SEGMENT_SUFFIX)) {
        let blob = blobs.path(file.sha256);
        let now = here.iter().find(|now| now.name == file.name);
        let (stored, found) = match (File::open(&blob), now) {
            (Ok(_), Some(now)) if now.is_as_before(file)? => continue,
            (Ok(blob_file), Some(now)) => {
                let now_file = File::open(&now.path).map_err(io_failed(&now.path))?;
                same_lines(blob_file, now_file).map_err(io_failed(&now.path))?
            }
            (Ok(blob_file), None) => same_lines(blob_file, io::empty()).map_err(io_failed(&blob))?,
            // Nothing is left to compare with but its name.
            (Err(_), Some(_)) => continue,
            (Err(_), None) => (file.size, 0),
        };
        if found < stored {
            return Ok(Some(LostLines { file: file.name.clone(), stored, found }));
        }
    }
    Ok(None)
}

impl JournalFile {
    fn is_as_before(&self, before: &BackedUpFile) -> Result<bool, BackupError> {
        let modified = if self.is_final { modified_ns(&self.path)? } else { None };
        Ok(modified.is_some() && modified == before.modified_ns && self.size == before.size)
    }
}

/// Bytes of the whole lines of one from the beginning, and how many of them the other has. Behind the first that is not whole
/// there is nothing that was answered: a torn tail, or a copy that is damaged, which `--verify` tells.
fn same_lines(one: impl Read, other: impl Read) -> io::Result<(u64, u64)> {
    let (mut one, mut other) = (BufReader::new(one), BufReader::new(other));
    let (mut stored, mut same, mut is_same) = (0, 0, true);
    let (mut line, mut theirs) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        one.read_until(b'\n', &mut line)?;
        if !line.strip_suffix(b"\n").is_some_and(is_journal_line) {
            return Ok((stored, same));
        }
        stored += line.len() as u64;
        if is_same {
            theirs.clear();
            other.by_ref().take(line.len() as u64).read_to_end(&mut theirs)?;
            is_same = theirs == line;
        }
        if is_same {
            same = stored;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::journal::journal_line;

    #[test]
    fn whole_lines_are_the_same_up_to_the_first_that_differs() {
        let [a, b, c] = ["1", "2", "3"].map(|id| journal_line(format!("\"id\":\"{id}\"}}").as_bytes()));
        let (two, one) = ([&a[..], &b].concat(), a.len() as u64);
        let long = a.repeat(2000);
        for (stored, here, expected) in [
            (&two[..], &[&two[..], &c].concat()[..], (2 * one, 2 * one)),
            (&[&two[..], b"half"].concat(), &[&two[..], b"other\n"].concat(), (2 * one, 2 * one)),
            (&[&two[..], b"\0\0torn}\n{\"crc\":"].concat(), &[&two[..], &c].concat(), (2 * one, 2 * one)),
            (&two, &a, (2 * one, one)),
            (&two, b"", (2 * one, 0)),
            (&two, &[&c[..], &b].concat(), (2 * one, 0)),
            (b"half", b"", (0, 0)),
            (&long, &long, (2000 * one, 2000 * one)),
            (&long, &long[..long.len() - 1], (2000 * one, 1999 * one)),
        ] {
            assert_eq!(same_lines(stored, here).unwrap(), expected);
        }
    }

    #[test]
    fn segments_and_notes_are_files_of_a_journal_and_no_name_leads_elsewhere() {
        for good in ["00000000000000000001.ndjson", "source", "published"] {
            assert!(is_journal_file(good), "{good}");
        }
        for bad in ["lock", ".ndjson", "../1.ndjson", "1.ndjson.new", "published.new", "a.ndjson", ""] {
            assert!(!is_journal_file(bad), "{bad}");
        }
    }

    #[test]
    fn journal_is_of_a_directory_only_where_it_is_its_source_and_its_last_segment_grows() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().join(JOURNAL);
        fs::create_dir(&dir).unwrap();
        for name in ["00000000000000000009.ndjson", "00000000000000000001.ndjson", "lock", "published"] {
            fs::write(dir.join(name), name).unwrap();
        }
        assert!(files(scratch.path()).unwrap().is_empty(), "a journal in front of Kafka");
        fs::write(dir.join(JOURNAL_IS_SOURCE), "").unwrap();
        let found = files(scratch.path()).unwrap();
        let found: Vec<_> = found.iter().map(|file| (&*file.name, file.size, file.is_final)).collect();
        let expected = [
            ("00000000000000000001.ndjson", 27, true),
            ("00000000000000000009.ndjson", 27, false),
            ("published", 9, false),
            ("source", 0, false),
        ];
        assert_eq!(found, expected);
    }
}
