//! Reads what is on disk, in order. In: a place to begin at. Out: lines that were checked, and how far they are safe
//! elsewhere.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ledger_core::time::Timestamp;
use ledger_store::is_journal_line;

use crate::journal::line;
use crate::journal::segment::{self, Destination, Place};
use crate::journal::shared::Shared;
use crate::limits::LINE_BYTES;

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalLine {
    /// Its number, from 1.
    pub number: u64,
    /// A native event, without the line end.
    pub text: Vec<u8>,
}

impl JournalLine {
    /// When the journal took it, or its first source recorded it.
    #[must_use]
    pub fn recorded(&self) -> Option<Timestamp> {
        line::recorded(&self.text)
    }
}

/// A line cannot be read. Nothing behind it is.
#[derive(Debug, thiserror::Error)]
pub enum ReadLineError {
    /// It is not what was written.
    #[error("line {line} of the journal is damaged, in {}; put the file back from a backup of the disk", file.display())]
    Damaged { line: u64, file: PathBuf },
    /// The file of it cannot be read.
    #[error("line {line} of the journal cannot be read from {}", file.display())]
    Unreadable { line: u64, file: PathBuf, source: io::Error },
}

/// The one reader of a journal.
#[derive(Debug)]
pub struct JournalReader {
    shared: Arc<Shared>,
    place: Place,
    file: Option<BufReader<File>>,
    /// How often the journal was mended when that was opened.
    mended: u64,
    /// Bytes of the lines that are read and not marked.
    unmarked: u64,
    /// Segments that were read to their end and are not marked.
    finished: Vec<u64>,
}

impl JournalReader {
    pub(super) fn new(shared: Arc<Shared>, place: Place) -> Self {
        Self { shared, place, file: None, mended: 0, unmarked: 0, finished: Vec::new() }
    }

    /// The number of the line that comes next.
    pub fn next_number(&self) -> u64 {
        self.place.line
    }

    /// The number of the line that is to be written next.
    pub fn end(&self) -> u64 {
        self.shared.end().line
    }

    /// The next line; none: there is no more on disk.
    pub fn step(&mut self) -> Result<Option<JournalLine>, ReadLineError> {
        if self.place.line >= self.shared.end().line {
            return Ok(None);
        }
        let mended = self.shared.mended();
        if mended != self.mended {
            // It may have read ahead what was cut off since.
            (self.file, self.mended) = (None, mended);
        }
        let mut text = Vec::new();
        let mut read = self.read(&mut text)?;
        if read == 0 {
            self.finished.push(self.place.segment);
            (self.place, self.file) = (Place::start_of(self.place.line), None);
            read = self.read(&mut text)?;
        }
        if text.pop() != Some(b'\n') || !is_journal_line(&text) {
            // It is read anew if it is asked for again.
            self.file = None;
            return Err(ReadLineError::Damaged { line: self.place.line, file: self.path() });
        }
        let number = self.place.line;
        self.place = self.place.behind(read);
        self.unmarked += read;
        Ok(Some(JournalLine { number, text }))
    }

    /// Where it is.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Gives back what was read since it was there, of which nothing is marked.
    pub(super) fn go_back(&mut self, to: Place) {
        (self.place, self.unmarked, self.file) = (to, 0, None);
        self.finished.clear();
    }

    /// Keeps a line that was read beside the segments.
    pub(super) fn pass_over(&self, line: &JournalLine) -> io::Result<PathBuf> {
        segment::keep_unpublished(self.shared.dir(), &line.text)
    }

    /// Waits until there is a next line, or the time is over. Answers whether there is.
    pub fn wait(&self, time: Duration) -> bool {
        self.shared.wait_for(self.place, time)
    }

    /// What was read is safe where it went, and its place is remembered there.
    pub fn mark_taken(&mut self) {
        self.shared.mark_taken(self.place, std::mem::take(&mut self.unmarked));
    }

    /// What was read is published: notes that, so that the next reader goes on behind it.
    pub fn mark_published(&mut self) -> io::Result<()> {
        for segment in self.finished.drain(..) {
            segment::touch(self.shared.dir(), segment)?;
        }
        let noted = self.shared.note_published(self.place);
        // It is published all the same, and not sent again by this process.
        self.mark_taken();
        noted
    }

    /// The journal takes nothing more: what is appended would not be read.
    pub fn break_journal(&self, reason: &str) {
        self.shared.break_for(reason, false);
    }

    /// Where what is marked as published goes to from now on.
    pub(super) fn publishes_to(&self, to: Destination) {
        self.shared.set_published_to(to);
    }

    fn path(&self) -> PathBuf {
        segment::path_of(self.shared.dir(), self.place.segment)
    }

    fn read(&mut self, text: &mut Vec<u8>) -> Result<u64, ReadLineError> {
        let (line, file) = (self.place.line, self.path());
        let unreadable = |source| ReadLineError::Unreadable { line, file, source };
        let input = match self.file.take() {
            Some(input) => Ok(input),
            None => open(self.shared.dir(), self.place),
        };
        // After a failure it is opened anew.
        let read = input.and_then(|mut input| {
            let read = input.by_ref().take(LINE_BYTES).read_until(b'\n', text)?;
            self.file = Some(input);
            Ok(read as u64)
        });
        read.map_err(unreadable)
    }
}

fn open(dir: &Path, place: Place) -> io::Result<BufReader<File>> {
    let mut file = File::open(segment::path_of(dir, place.segment))?;
    file.seek(SeekFrom::Start(place.offset))?;
    Ok(BufReader::with_capacity(256 * 1024, file))
}
