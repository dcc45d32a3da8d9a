//! The files of a journal. In: its directory. Out: where it ends, without a torn tail, and how much of it waits.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ledger_store::{
    JOURNAL_IS_SOURCE, JOURNAL_PUBLISHED, JOURNAL_SEGMENT_SUFFIX, is_journal_line, replace_file, sync_dir,
};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::journal::writer::SyncFile;
use crate::journal::{JournalError, line};
use crate::limits::{COMMIT_BYTES, LINE_BYTES, UNPUBLISHED_BYTES};

const NAME_DIGITS: usize = 20;

/// Where a line is, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Its number, from 1.
    pub(super) line: u64,
    /// The number of the first line of its segment.
    pub(super) segment: u64,
    /// The byte of the segment that it begins at.
    pub(super) offset: u64,
}

impl Place {
    pub(super) const FIRST: Self = Self::start_of(1);

    pub(super) const fn start_of(line: u64) -> Self {
        Self { line, segment: line, offset: 0 }
    }

    /// Behind a line of so many bytes.
    pub(super) const fn behind(self, bytes: u64) -> Self {
        Self { line: self.line + 1, offset: self.offset + bytes, ..self }
    }
}

/// The topic that a journal is published to: another one has none of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    pub topic: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cluster_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub topic_id: Option<String>,
}

impl Destination {
    /// Whether it can be the same topic, as far as both are known.
    pub fn is_same(&self, other: &Self) -> bool {
        let agree = |one: &Option<String>, other: &Option<String>| match (one, other) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        self.topic == other.topic
            && agree(&self.cluster_id, &other.cluster_id)
            && agree(&self.topic_id, &other.topic_id)
    }
}

/// How far it was published, and where to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Published {
    #[serde(flatten)]
    pub(super) place: Place,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) to: Option<Destination>,
}

/// A journal without a torn tail.
#[derive(Debug)]
pub(super) struct Opened {
    /// Open for appending, at its end.
    pub(super) file: File,
    pub(super) end: Place,
    pub(super) taken: Place,
    pub(super) waiting_bytes: u64,
    /// Where it was published to.
    pub(super) published_to: Option<Destination>,
}

pub(super) fn path_of(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:0NAME_DIGITS$}{JOURNAL_SEGMENT_SUFFIX}"))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> JournalError + '_ {
    move |source| JournalError::Io { path: path.to_owned(), source }
}

/// The segments by the numbers of their first lines.
fn list(dir: &Path) -> Result<Vec<u64>, JournalError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed(dir))? {
        let name = entry.map_err(failed(dir))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(JOURNAL_SEGMENT_SUFFIX));
        found.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// Where the first line is that is still there.
pub(super) fn first(dir: &Path) -> Result<Place, JournalError> {
    Ok(list(dir)?.first().map_or(Place::FIRST, |first| Place::start_of(*first)))
}

/// Checks what is not published, cuts off a torn tail, and opens the last segment.
pub(super) fn open(dir: &Path) -> Result<Opened, JournalError> {
    let published = read_published(dir)?;
    let segments = list(dir)?;
    let first = Place::start_of(segments.first().copied().unwrap_or(Place::FIRST.line));
    let start = published.as_ref().map_or(first, |published| published.place);
    if published.is_none() && (first != Place::FIRST || dir.join(JOURNAL_PUBLISHED).exists()) {
        warn!(
            journal = %dir.display(),
            line = first.line,
            "how far the journal was published is not known, so it is published from the first line that is there; what was \
             sent before counts once, by its id"
        );
    }
    let mut end = Place::start_of(segments.first().copied().unwrap_or(start.line));
    let mut waiting_bytes = 0;
    for (index, first) in segments.iter().copied().enumerate() {
        let (path, is_last) = (path_of(dir, first), index + 1 == segments.len());
        let is_published = segments.get(index + 1).is_some_and(|next| *next <= start.line);
        if is_published {
            end = Place::start_of(segments[index + 1]);
            continue;
        }
        if first != end.line {
            return Err(JournalError::Gap { file: path, expected: end.line, found: first });
        }
        end = scan(&path, first, is_last)?;
        waiting_bytes += end.offset - if first == start.segment { start.offset.min(end.offset) } else { 0 };
        if !is_last {
            end = Place::start_of(end.line);
        }
    }
    if end.line < start.line {
        return Err(JournalError::Shorter { dir: dir.to_owned(), published: start.line - 1, end: end.line });
    }
    let path = path_of(dir, end.segment);
    let file = File::options().create(true).append(true).open(&path).map_err(failed(&path))?;
    // The names of the file and of the directory that may be new.
    for dir in [Some(dir), dir.parent().filter(|parent| !parent.as_os_str().is_empty())].into_iter().flatten()
    {
        sync_dir(dir).map_err(failed(dir))?;
    }
    let published_to = published.and_then(|published| published.to);
    Ok(Opened { file, end, taken: start, waiting_bytes, published_to })
}

/// More than a block of any disk.
const TRIED_BYTES: usize = 16 * 1024;

/// The last segment once more, after a write to it failed: as it was when the last line was answered, which is checked.
pub(super) fn reopen(dir: &Path, end: Place, sync: SyncFile) -> Result<File, JournalError> {
    let path = path_of(dir, end.segment);
    let file = File::options().create(true).append(true).open(&path).map_err(failed(&path))?;
    // Nothing of what was written behind it was answered. Cutting it off needs no room, so it is tried whether there is some.
    let mut tried = &file;
    file.set_len(end.offset)
        .and_then(|()| tried.write_all(&[0; TRIED_BYTES]))
        .and_then(|()| sync(&file))
        .and_then(|()| file.set_len(end.offset))
        .and_then(|()| sync(&file))
        .map_err(failed(&path))?;
    sync_dir(dir).map_err(failed(dir))?;
    let found = scan(&path, end.segment, true)?;
    if found == end {
        return Ok(file);
    }
    Err(JournalError::Damaged { file: path, line: found.line, offset: found.offset })
}

/// A new segment, durable by name.
pub(super) fn create(dir: &Path, first: u64) -> io::Result<File> {
    let file = File::options().create(true).append(true).open(path_of(dir, first))?;
    sync_dir(dir)?;
    Ok(file)
}

/// As much as one group commit can have left torn.
const TORN_BYTES: u64 = COMMIT_BYTES as u64 + LINE_BYTES;

/// Reads a segment to its end. A torn tail of the last one is cut off, and kept beside it.
fn scan(path: &Path, first: u64, is_last: bool) -> Result<Place, JournalError> {
    let file = File::options().read(true).write(true).open(path).map_err(failed(path))?;
    let mut input = BufReader::with_capacity(1 << 20, &file);
    let (mut end, mut text, mut torn) = (Place::start_of(first), Vec::new(), 0);
    loop {
        text.clear();
        let read = input.by_ref().take(LINE_BYTES).read_until(b'\n', &mut text).map_err(failed(path))?;
        if read == 0 {
            break;
        }
        let is_valid = text.strip_suffix(b"\n").is_some_and(is_journal_line);
        if is_valid && torn == 0 {
            end = end.behind(read as u64);
        } else if is_valid || !is_last || torn + read as u64 > TORN_BYTES {
            let Place { line, offset, .. } = end;
            return Err(JournalError::Damaged { file: path.to_owned(), line, offset });
        } else {
            torn += read as u64;
        }
    }
    if torn > 0 {
        let kept = path.with_extension(format!("torn-{}", end.offset));
        keep_tail(&file, end.offset, &kept).map_err(failed(&kept))?;
        warn!(
            file = %path.display(),
            line = end.line,
            bytes = torn,
            kept = %kept.display(),
            "cut off the tail of the journal, which is not whole: a write that a crash tore was never answered"
        );
        file.set_len(end.offset).and_then(|()| file.sync_all()).map_err(failed(path))?;
    }
    Ok(end)
}

fn keep_tail(file: &File, offset: u64, to: &Path) -> io::Result<()> {
    let mut tail = file;
    tail.seek(SeekFrom::Start(offset))?;
    let mut kept = File::create(to)?;
    io::copy(&mut tail, &mut kept)?;
    kept.sync_all()
}

/// How far it was published; none: nothing was, or that cannot be read.
fn read_published(dir: &Path) -> Result<Option<Published>, JournalError> {
    let path = dir.join(JOURNAL_PUBLISHED);
    match fs::read(&path) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(JournalError::Io { path, source }),
    }
}

/// Notes how far it was published: the old place or the new one survives a power loss.
pub(super) fn write_published(dir: &Path, published: &Published) -> io::Result<()> {
    let text = ledger_record::json::to_vec(published).map_err(io::Error::other)?;
    replace_file(&dir.join(JOURNAL_PUBLISHED), 0o644, |out| out.write_all(&text))
}

/// What no topic takes: whole lines, as segments have them.
const UNPUBLISHED: &str = "unpublished.ndjson";

/// Keeps a line that cannot be published, durably. Answers where.
pub(super) fn keep_unpublished(dir: &Path, line: &[u8]) -> io::Result<PathBuf> {
    let path = dir.join(UNPUBLISHED);
    let mut file = File::options().create(true).append(true).open(&path)?;
    let before = file.metadata()?.len();
    if before + line.len() as u64 > UNPUBLISHED_BYTES {
        return Err(io::Error::other(format!("{} is full: look at it, and move it away", path.display())));
    }
    if let Err(error) = file.write_all(&[line, b"\n"].concat()).and_then(|()| file.sync_all()) {
        // Half a line would run into the next one.
        file.set_len(before)?;
        return Err(error);
    }
    sync_dir(dir)?;
    Ok(path)
}

/// The segment was published to its end now: it is kept from now on.
pub(super) fn touch(dir: &Path, first: u64) -> io::Result<()> {
    File::options().append(true).open(path_of(dir, first))?.set_modified(SystemTime::now())
}

/// Removes what is published and was kept long enough. Answers how many segments that were.
pub(super) fn remove_published(
    dir: &Path,
    taken: Place,
    now: SystemTime,
    keep: Duration,
) -> Result<usize, JournalError> {
    if dir.join(JOURNAL_IS_SOURCE).exists() {
        // A ledger without Kafka is made of all of them.
        return Ok(0);
    }
    let segments = list(dir)?;
    let published = segments.windows(2).filter(|pair| pair[1] <= taken.line).map(|pair| pair[0]);
    let mut removed = 0;
    for first in published {
        let path = path_of(dir, first);
        let since = path.metadata().and_then(|metadata| metadata.modified()).map_err(failed(&path))?;
        if now.duration_since(since).is_ok_and(|kept| kept >= keep) {
            fs::remove_file(&path).map_err(failed(&path))?;
            info!(segment = %path.display(), "removed a segment of the journal: it was published and kept long enough");
            removed += 1;
        } else {
            // The rest of them join only if none between is removed.
            break;
        }
    }
    Ok(removed)
}

/// The head of the line at a place.
pub(super) fn read_head(dir: &Path, place: Place) -> io::Result<Vec<u8>> {
    let mut file = File::open(path_of(dir, place.segment))?;
    file.seek(SeekFrom::Start(place.offset))?;
    let mut head = vec![0; line::HEAD_BYTES];
    file.read_exact(&mut head)?;
    Ok(head)
}
