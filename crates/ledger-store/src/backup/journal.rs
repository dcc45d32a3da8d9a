//! The journal of a ledger without Kafka: it is the source of the shards, so a generation has it beside them.
//!
//! Its files are looked for once the shards stand still, so what they were made of is in them. Only the last segment grows;
//! a line that is half there in its copy was not answered, and goes as a torn tail when the journal is opened.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::backup::BackupError;
use crate::backup::error::io_failed;
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

#[cfg(test)]
mod tests {
    use super::*;

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
