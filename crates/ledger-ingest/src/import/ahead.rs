//! The first lines, judged before any is written, however long they are.
//!
//! They are read ahead into a temporary file that has no name, judged as [`check`](crate::import::check) judges a file, and then
//! given out as if nothing had happened. What contradicts an earlier record is found where the lines are taken.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _};
use std::path::Path;

use crate::import::ImportError;
use crate::import::check::FirstLines;
use crate::import::refusals::JUDGED_LINES;
use crate::text::{Line, LineError};

/// Lines that were read ahead, in their order.
pub(super) struct Ahead {
    file: BufReader<File>,
    left: u64,
    /// Of the last one that was given out.
    number: u64,
    /// What ended them, if that was no line.
    failed: Option<LineError>,
}

impl Ahead {
    /// Reads as many lines as are judged, and fails if too many of them are refused. `judge` looks at what is not taken yet.
    pub(super) fn read(
        lines: &mut impl Iterator<Item = Result<Line, LineError>>,
        mut judge: FirstLines,
        directory: &Path,
    ) -> Result<Self, ImportError> {
        let kept = |source| ImportError::Ahead { directory: directory.to_owned(), source };
        let mut file = BufWriter::new(tempfile::tempfile_in(directory).map_err(kept)?);
        let (mut left, mut failed) = (0, None);
        for line in lines.take(JUDGED_LINES) {
            match line {
                Ok(line) => {
                    judge.look_at(&line);
                    write(&mut file, &line).map_err(kept)?;
                    left += 1;
                }
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        judge.decide()?;
        let mut file = file.into_inner().map_err(|error| kept(error.into_error()))?;
        file.rewind().map_err(kept)?;
        Ok(Self { file: BufReader::new(file), left, number: 0, failed })
    }

    fn step(&mut self) -> io::Result<Line> {
        let (mut number, mut origin, mut length, mut ended) = ([0; 8], [0; 8], [0; 8], [0]);
        self.file.read_exact(&mut number)?;
        self.file.read_exact(&mut origin)?;
        self.file.read_exact(&mut length)?;
        self.file.read_exact(&mut ended)?;
        let length = usize::try_from(u64::from_le_bytes(length)).map_err(io::Error::other)?;
        let mut text = vec![0; length];
        self.file.read_exact(&mut text)?;
        let (number, origin) = (u64::from_le_bytes(number), u64::from_le_bytes(origin));
        Ok(Line { number, origin, text, ended: ended == [1] })
    }
}

fn write(file: &mut impl io::Write, Line { number, origin, text, ended }: &Line) -> io::Result<()> {
    file.write_all(&number.to_le_bytes())?;
    file.write_all(&origin.to_le_bytes())?;
    file.write_all(&(text.len() as u64).to_le_bytes())?;
    file.write_all(&[u8::from(*ended)])?;
    file.write_all(text)
}

impl Iterator for Ahead {
    type Item = Result<Line, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some(left) = self.left.checked_sub(1) else { return self.failed.take().map(Err) };
        self.left = left;
        // Nothing but its disk can fail it, and then nothing more comes.
        let line = self.step().map_err(|source| {
            self.left = 0;
            LineError::Unreadable { line: self.number + 1, source }
        });
        self.number = line.as_ref().map_or(self.number, |line| line.number);
        Some(line)
    }
}
