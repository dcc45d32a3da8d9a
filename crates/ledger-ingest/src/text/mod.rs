//! A file as a partner has it, read as lines: unpacked, without byte order marks, and looked at before it is taken.
//!
//! ```text
//!   bytes ──► gzip or zstd? unpacked ──► Text ── what do the first bytes look like? ──► Lines ──► import, publish
//!             (by magic number)                  NDJSON, or a `NotNdjson` that names     bounded
//!                                                what else, and which command converts it
//! ```
//!
//! The log is append-only, so a file that is something else is refused as a whole before its first line is taken.
//! [`crate::decode`] reports what is wrong with single lines of NDJSON.
//!
//! A compressed file gives the lines of the file that was compressed, and a byte order mark at the beginning of a
//! line belongs to no line: the same content has the same lines in every wrapping.

mod foreign;
mod lines;
mod look;
mod unpack;

use std::io::{self, BufRead, Cursor, Read};

pub use foreign::NotNdjson;
pub use lines::{Line, LineError, Lines};
pub use look::Looks;

use unpack::{Packing, unpack};

/// As much of a file as is looked at.
const LOOK_BYTES: usize = 64 * 1024;

/// What Windows puts before a text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A file, unpacked.
pub struct Text<'a> {
    input: Box<dyn BufRead + 'a>,
    packing: Option<Packing>,
    looks: Looks,
}

impl<'a> Text<'a> {
    /// Reads as much as is needed to know what it is: often no more than the first line.
    pub fn open(raw: impl BufRead + 'a) -> io::Result<Self> {
        let (packing, mut input) = unpack(raw)?;
        let mut head = Vec::new();
        read_until(&mut input, &mut head, |head| look::first_line(head).is_some_and(|line| line.ended))?;
        if !look::begins_with_event(&head) {
            read_until(&mut input, &mut head, |_| false)?;
        }
        let looks = match look::look(&head) {
            Looks::Other(other) => Looks::Other(other.packed(packing)),
            looks => looks,
        };
        let head = head.strip_prefix(BYTE_ORDER_MARK).map(<[u8]>::to_vec).unwrap_or(head);
        Ok(Self { input: Box::new(Cursor::new(head).chain(input)), packing, looks })
    }

    /// What the first bytes look like.
    #[must_use]
    pub fn looks(&self) -> &Looks {
        &self.looks
    }

    /// It is compressed, so reading it to the end proves its checksum.
    #[must_use]
    pub fn is_packed(&self) -> bool {
        self.packing.is_some()
    }

    /// Its lines, if it is NDJSON.
    pub fn lines(self) -> Result<Lines<Self>, NotNdjson> {
        match &self.looks {
            Looks::Ndjson => Ok(Lines::new(self)),
            Looks::Csv(delimiter) => Err(NotNdjson::csv(*delimiter).packed(self.packing)),
            Looks::Other(other) => Err(other.clone()),
        }
    }
}

impl Read for Text<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer)
    }
}

impl BufRead for Text<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, read: usize) {
        self.input.consume(read);
    }
}

impl std::fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Text")
            .field("packing", &self.packing)
            .field("looks", &self.looks)
            .finish_non_exhaustive()
    }
}

/// Reads until it is enough, there is no more, or as much was read as is looked at.
fn read_until(
    input: &mut impl BufRead,
    head: &mut Vec<u8>,
    is_enough: impl Fn(&[u8]) -> bool,
) -> io::Result<()> {
    while head.len() < LOOK_BYTES && !is_enough(head) {
        let buffer = match input.fill_buf() {
            Ok([]) => break,
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let read = buffer.len().min(LOOK_BYTES - head.len());
        head.extend_from_slice(&buffer[..read]);
        input.consume(read);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
