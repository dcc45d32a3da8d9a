//! Lines by recorded time: an external merge sort in bounded memory.
//!
//! A dump is often sorted by tenant. Recorded time never goes back in a shard, so all tenants behind the first would
//! get the last time of the first. Sorted by recorded time, each event gets the recorded time of the file.
//!
//! The order is that of the lines' `recordedAt`, else `time`, and at equal times that of the file. A line that has
//! neither (a refused one, a blank one) stays behind the line that it followed. No clock has a part in it, so the same
//! file gives the same order always.
//!
//! ```text
//!   lines ──► buffer of RUN_BYTES, sorted ──► run ─┐
//!             buffer of RUN_BYTES, sorted ──► run ─┼──► merged by (time, number) ──► lines, numbered anew
//!             …                                    ┘
//!   a run:   entry ⧺ entry ⧺ …
//!   entry:   time (i64) ⧺ number (u64) ⧺ number in the file that it was made of (u64) ⧺ length (u32) ⧺ text, all little-endian
//! ```
//!
//! All runs are in one temporary file that has no name, in the directory that is given: however the process ends, nothing
//! is left of it. It takes as much as the lines, unpacked.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use ledger_core::time::Timestamp;

use crate::import::Stamp;
use crate::text::{Line, LineError};

/// Most bytes of lines that are sorted at once.
const RUN_BYTES: usize = 48 * 1024 * 1024;

/// What an entry takes beside its text, in memory (with the room that a growing list keeps).
const ENTRY_BYTES: usize = 2 * size_of::<RunEntry>();

/// Bytes that all runs together read ahead.
const MERGE_BYTES: usize = 32 * 1024 * 1024;

/// What one run reads ahead.
const READ_BYTES: std::ops::RangeInclusive<usize> = 16 * 1024..=1024 * 1024;

const HEADER_BYTES: usize = 28;

/// Lines cannot be sorted.
#[derive(Debug, thiserror::Error)]
pub enum SortError {
    /// The file cannot be read.
    #[error(transparent)]
    Line(#[from] LineError),
    /// The last line has no end and is no complete JSON: where it belongs is not known yet.
    #[error(
        "line {line} has no line end and is not complete JSON; nothing was taken, import again when it is complete"
    )]
    CutOff {
        /// The line.
        line: u64,
    },
    /// The temporary file cannot be written or read.
    #[error("the lines cannot be sorted in {directory}", directory = directory.display())]
    Temporary {
        /// Where it is.
        directory: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Sorts all lines, with a temporary file in this directory.
pub fn sort(
    lines: impl Iterator<Item = Result<Line, LineError>>,
    directory: &Path,
) -> Result<Sorted, SortError> {
    sort_in_runs(lines, directory, RUN_BYTES)
}

fn sort_in_runs(
    lines: impl Iterator<Item = Result<Line, LineError>>,
    directory: &Path,
    run_bytes: usize,
) -> Result<Sorted, SortError> {
    let temporary = |source| SortError::Temporary { directory: directory.to_owned(), source };
    let mut runs = Runs::create(directory).map_err(temporary)?;
    let mut buffer = Buffer::default();
    let mut time = i64::MIN;
    for line in lines {
        let line = line?;
        if line.is_cut_off() {
            return Err(SortError::CutOff { line: line.origin });
        }
        time = Stamp::from_line(&line.text).instant().map_or(time, Timestamp::as_millis);
        buffer.push(time, &line);
        if buffer.bytes() >= run_bytes {
            runs.write(&mut buffer).map_err(temporary)?;
        }
    }
    runs.write(&mut buffer).map_err(temporary)?;
    drop(buffer);
    runs.merge().map_err(temporary)
}

/// A line in memory.
#[derive(Debug, Clone, Copy)]
struct RunEntry {
    time: i64,
    number: u64,
    origin: u64,
    start: usize,
    length: u32,
}

/// Lines that become a run.
#[derive(Debug, Default)]
struct Buffer {
    text: Vec<u8>,
    entries: Vec<RunEntry>,
}

impl Buffer {
    fn push(&mut self, time: i64, line: &Line) {
        // No line is longer than 64 MiB.
        let length = u32::try_from(line.text.len()).unwrap_or(u32::MAX);
        let Line { number, origin, .. } = *line;
        self.entries.push(RunEntry { time, number, origin, start: self.text.len(), length });
        self.text.extend_from_slice(&line.text);
    }

    fn bytes(&self) -> usize {
        self.text.len() + self.entries.len() * ENTRY_BYTES
    }
}

/// Where a run is in the file.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u64,
    end: u64,
}

/// The sorted runs, in one file.
#[derive(Debug)]
struct Runs {
    file: BufWriter<File>,
    spans: Vec<Span>,
    end: u64,
    lines: u64,
}

impl Runs {
    fn create(directory: &Path) -> io::Result<Self> {
        let file = tempfile::tempfile_in(directory)?;
        Ok(Self { file: BufWriter::new(file), spans: Vec::new(), end: 0, lines: 0 })
    }

    /// Writes the lines as a run, and empties the buffer.
    fn write(&mut self, Buffer { text, entries }: &mut Buffer) -> io::Result<()> {
        entries.sort_unstable_by_key(|entry| (entry.time, entry.number));
        let start = self.end;
        self.lines += entries.len() as u64;
        for RunEntry { time, number, origin, start, length } in entries.drain(..) {
            let text = &text[start..start + length as usize];
            let [number, origin] = [number, origin].map(u64::to_le_bytes);
            for part in [&time.to_le_bytes()[..], &number, &origin, &length.to_le_bytes(), text] {
                self.file.write_all(part)?;
                self.end += part.len() as u64;
            }
        }
        text.clear();
        if self.end > start {
            self.spans.push(Span { start, end: self.end });
        }
        Ok(())
    }

    fn merge(self) -> io::Result<Sorted> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let ahead = (MERGE_BYTES / self.spans.len().max(1)).clamp(*READ_BYTES.start(), *READ_BYTES.end());
        let (runs, next) = (Vec::new(), BinaryHeap::new());
        let mut sorted = Sorted { file, ahead, runs, next, number: 0, total: self.lines };
        for (index, Span { start, end }) in self.spans.into_iter().enumerate() {
            sorted.runs.push(SortedRun { at: start, end, buffer: Vec::new(), read: 0 });
            sorted.advance(index)?;
        }
        Ok(sorted)
    }
}

/// A run that is read.
#[derive(Debug)]
struct SortedRun {
    /// What comes next of the file.
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    /// How much of the buffer was given out.
    read: usize,
}

impl SortedRun {
    /// The next bytes of it; fewer at its end.
    fn ahead(&mut self, file: &File, length: usize, ahead: usize) -> io::Result<&[u8]> {
        if self.buffer.len() - self.read < length {
            self.buffer.drain(..self.read);
            self.read = 0;
            let missing = length.max(ahead) - self.buffer.len();
            let missing = missing.min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
            let had = self.buffer.len();
            self.buffer.resize(had + missing, 0);
            file.read_exact_at(&mut self.buffer[had..], self.at)?;
            self.at += missing as u64;
        }
        let to = self.buffer.len().min(self.read + length);
        Ok(&self.buffer[self.read..to])
    }
}

/// The next line of a run, in the order of the lines.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct NextLine {
    time: i64,
    number: u64,
    origin: u64,
    length: u32,
    run: usize,
}

/// All lines in their order, numbered by it.
#[derive(Debug)]
pub struct Sorted {
    file: File,
    ahead: usize,
    runs: Vec<SortedRun>,
    /// The next line of each run.
    next: BinaryHeap<Reverse<NextLine>>,
    number: u64,
    total: u64,
}

impl Sorted {
    /// How many lines there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Reads the header of the run's next line.
    fn advance(&mut self, index: usize) -> io::Result<()> {
        let run = &mut self.runs[index];
        let header = run.ahead(&self.file, HEADER_BYTES, self.ahead)?;
        let Some((time, rest)) = header.split_first_chunk::<8>() else {
            return Ok(());
        };
        if let Some((number, rest)) = rest.split_first_chunk::<8>()
            && let (Some(origin), Some(length)) = (rest.first_chunk::<8>(), rest.last_chunk::<4>())
        {
            let [number, origin] = [number, origin].map(|number| u64::from_le_bytes(*number));
            let (time, length) = (i64::from_le_bytes(*time), u32::from_le_bytes(*length));
            self.next.push(Reverse(NextLine { time, number, origin, length, run: index }));
            run.read += HEADER_BYTES;
        }
        Ok(())
    }

    fn step(&mut self) -> io::Result<Option<Line>> {
        let Some(Reverse(NextLine { origin, length, run: index, .. })) = self.next.pop() else {
            return Ok(None);
        };
        let run = &mut self.runs[index];
        let text = run.ahead(&self.file, length as usize, self.ahead)?.to_vec();
        run.read += text.len();
        self.advance(index)?;
        self.number += 1;
        Ok(Some(Line { number: self.number, origin, text, ended: true }))
    }
}

impl Iterator for Sorted {
    type Item = Result<Line, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.number + 1;
        self.step().map_err(|source| LineError::Unreadable { line, source }).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Lines;

    fn line(time: u32, text: &str) -> String {
        format!("{{\"time\":\"2026-01-01T00:00:{time:02}Z\",\"n\":\"{text}\"}}\n")
    }

    fn sorted(text: &str, run_bytes: usize) -> String {
        let directory = tempfile::tempdir().unwrap();
        let sorted = sort_in_runs(Lines::new(text.as_bytes()), directory.path(), run_bytes).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "the temporary file has a name");
        let total = sorted.total();
        let lines: Vec<Line> = sorted.map(Result::unwrap).collect();
        assert_eq!(lines.len() as u64, total);
        assert!((1..).zip(&lines).all(|(number, line)| line.number == number && line.ended));
        lines.into_iter().map(|line| String::from_utf8(line.text).unwrap() + "\n").collect()
    }

    #[test]
    fn lines_are_sorted_by_time_and_then_by_their_place_however_many_runs_there_are() {
        let seconds = (0..3_000_u32).map(|number| number.wrapping_mul(2_654_435_761) >> 27);
        let lines: Vec<(u32, String)> =
            seconds.enumerate().map(|(number, second)| (second, line(second, &"x".repeat(number)))).collect();
        let text: String = lines.iter().map(|(_, line)| line.as_str()).collect();
        let mut expected = lines;
        expected.sort_by_key(|(second, _)| *second);
        let expected: String = expected.into_iter().map(|(_, line)| line).collect();
        for run_bytes in [1, 10_000, 1_000_000, usize::MAX] {
            assert!(sorted(&text, run_bytes) == expected, "in runs of {run_bytes} bytes");
        }
        assert!(sorted(&expected, 10_000) == expected);
        assert_eq!(sorted("", 1), "");
    }

    #[test]
    fn a_line_without_a_time_stays_behind_the_one_it_followed() {
        let (first, second) = (line(1, "a"), line(2, "b"));
        let text = format!("\n{second}no event\n\n{first}{{\"recordedAt\":\"soon\"}}\n");
        let expected = format!("\n{first}{{\"recordedAt\":\"soon\"}}\n{second}no event\n\n");
        assert_eq!(sorted(&text, 1), expected);
        let recorded = "{\"recordedAt\":\"2025-01-01T00:00:00Z\",\"time\":\"2026-02-01T00:00:00Z\"}\n";
        assert_eq!(sorted(&format!("{first}{recorded}"), 1), format!("{recorded}{first}"));
    }

    #[test]
    fn a_last_line_that_is_cut_off_is_nowhere_in_the_order() {
        let directory = tempfile::tempdir().unwrap();
        let sort = |text: &str| sort(Lines::new(text.as_bytes()), directory.path()).map(Iterator::count);
        let cut_off = sort(&format!("{}{{\"time\":", line(1, "a")));
        assert!(matches!(cut_off, Err(SortError::CutOff { line: 2 })), "{cut_off:?}");
        assert_eq!(sort(line(1, "a").trim_end()).unwrap(), 1);
    }
}
