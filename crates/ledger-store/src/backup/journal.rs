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
use crate::data_dir::manifest::{JOURNAL, JOURNAL_IS_SOURCE, JOURNAL_PUBLISHED, JOURNAL_SEGMENT_SUFFIX};

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

/// Bytes of the whole lines of one, and how many bytes it has in common with the other from the beginning.
fn same_lines(one: impl Read, other: impl Read) -> io::Result<(u64, u64)> {
    let (mut one, mut other) = (BufReader::new(one), BufReader::new(other));
    let (mut read, mut lines, mut same, mut is_same) = (0, 0, 0, true);
    loop {
        let bytes = one.fill_buf()?;
        if bytes.is_empty() {
            return Ok((lines, same));
        }
        let theirs = if is_same { other.fill_buf()? } else { &[] };
        let length = if theirs.is_empty() { bytes.len() } else { bytes.len().min(theirs.len()) };
        let (part, theirs) = (&bytes[..length], &theirs[..length.min(theirs.len())]);
        let equal = part.iter().zip(theirs).take_while(|(one, other)| one == other).count();
        if let Some(end) = part.iter().rposition(|byte| *byte == b'\n') {
            lines = read + end as u64 + 1;
        }
        same += equal as u64;
        is_same &= equal == length;
        read += length as u64;
        let theirs = theirs.len();
        one.consume(length);
        other.consume(theirs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_up_to_the_first_byte_that_differs() {
        let long = "0123456789\n".repeat(2000);
        for (one, other, expected) in [
            ("a\nb\n", "a\nb\nc\n", (4, 4)),
            ("a\nb\nhalf", "a\nb\n", (4, 4)),
            ("a\nb\nhalf", "a\nb\nother\n", (4, 4)),
            ("a\nb\n", "a\n", (4, 2)),
            ("a\nb\n", "", (4, 0)),
            ("a\nb\n", "x\nb\n", (4, 0)),
            ("half", "", (0, 0)),
            (&long, &long, (22_000, 22_000)),
            (&long, &long[..21_989], (22_000, 21_989)),
        ] {
            assert_eq!(same_lines(one.as_bytes(), other.as_bytes()).unwrap(), expected, "{other}");
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
