//! Lines within a bound, numbered from 1.

use std::io::{self, BufRead, Read as _};

use crate::text::BYTE_ORDER_MARK;

/// Longest line that is read at all; one over 1 MiB is refused as `too-large`.
const LINE_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A line, without its line end and without a byte order mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub number: u64,
    /// Its number in the file that it was made of, where that was sorted, or is a list.
    pub origin: u64,
    /// The text.
    pub text: Vec<u8>,
    /// It has a line end: only the last line of a file may have none.
    pub ended: bool,
}

impl Line {
    /// Its producer is still writing it, or it was cut off.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        !self.ended && serde_json::from_slice::<serde::de::IgnoredAny>(&self.text).is_err()
    }

    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.text.trim_ascii().is_empty()
    }
}

/// Why there is no next line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is longer than any event, and was not read further.
    #[error("line {line} is longer than {} MiB, and no event is", LINE_MAX_BYTES >> 20)]
    TooLong {
        /// Which line.
        line: u64,
    },
    /// The file cannot be read there.
    #[error("line {line} cannot be read")]
    Unreadable {
        /// Which line.
        line: u64,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// The lines of a text. After an error there is no next line.
#[derive(Debug)]
pub struct Lines<R> {
    input: R,
    number: u64,
    max_bytes: u64,
}

impl<R: BufRead> Lines<R> {
    /// The lines of NDJSON.
    pub fn new(input: R) -> Self {
        Self { input, number: 0, max_bytes: LINE_MAX_BYTES }
    }

    fn read(&mut self) -> Result<Option<Line>, LineError> {
        let number = self.number + 1;
        let mut text = Vec::new();
        let read = self.input.by_ref().take(self.max_bytes).read_until(b'\n', &mut text);
        let read = read.map_err(|source| LineError::Unreadable { line: number, source })?;
        if read == 0 {
            return Ok(None);
        }
        let ended = text.pop_if(|last| *last == b'\n').is_some();
        if !ended && u64::try_from(read).is_ok_and(|read| read == self.max_bytes) {
            return Err(LineError::TooLong { line: number });
        }
        // Where files were put behind each other, each may have one.
        if text.starts_with(BYTE_ORDER_MARK) {
            text.drain(..BYTE_ORDER_MARK.len());
        }
        self.number = number;
        Ok(Some(Line { number, origin: number, text, ended }))
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Line, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Vec<Result<String, String>> {
        let mut lines = Lines { input: text, number: 0, max_bytes: 4 };
        let mut found = Vec::new();
        loop {
            match lines.next() {
                Some(Ok(Line { number, text, ended, .. })) => {
                    found.push(Ok(format!("{number}{}{ended}", String::from_utf8(text).unwrap())));
                }
                Some(Err(error)) => {
                    found.push(Err(error.to_string()));
                    return found;
                }
                None => return found,
            }
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_no_line_and_neither_is_its_rest() {
        assert_eq!(read(b"abc\nab"), [Ok("1abctrue".to_owned()), Ok("2abfalse".to_owned())]);
        assert_eq!(
            read(b"a\nabcdef\n"),
            [Ok("1atrue".to_owned()), Err("line 2 is longer than 64 MiB, and no event is".to_owned())]
        );
    }
}
