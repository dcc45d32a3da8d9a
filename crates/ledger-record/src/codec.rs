//! How a stored value is laid out: `version u8 ‖ body`.
//!
//! The body is what bincode writes of the domain type itself, field after field, without names or padding: integers
//! up to 250 as one byte, others as a marker and two, four or eight bytes; text and lists with their length in front;
//! the variant of a choice as its place in the declaration. So a field or variant of a stored type that moves is another format: the golden bytes
//! of the tests say so. Readers read every version that was ever released; writers write [`FORMAT`]. A value of a newer
//! version is not damaged, only unreadable here: [`DecodeError::NewerFormat`].
//!
//! Decoding is strict. All bytes are consumed, and what is taken is encoded to the same bytes again, so a value has
//! one encoding: integers take no more bytes than they need, the keys of a map ascend, and types that not every text
//! or list may be check what they are given. Lengths are not trusted: elements are taken one by one, and what a length
//! reserves for text has a bound.
//!
//! There is no checksum: the store has one for each block. What the audit trail hashes is the typed value in an
//! encoding of its own, not these bytes.

use bincode::BorrowDecode as _;
use bincode::config::{Config, standard};
use bincode::de::read::{BorrowReader, Reader};
use bincode::de::{Decoder as _, DecoderImpl};
use bincode::enc::write::Writer;
use bincode::serde::{BorrowCompat, encode_into_writer};
use serde::{Deserialize, Serialize};

/// bincode makes room for an owned text before it reads it, so a damaged length must end at a bound: none of the values
/// here comes near it.
const LIMIT_BYTES: usize = 1 << 28;

const fn config() -> impl Config {
    standard().with_limit::<LIMIT_BYTES>()
}

/// The version that is written, and the newest that can be read.
pub const FORMAT: u8 = 2;

/// The bytes are not a value of the kind that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer program.
    #[error("the value has format {found}, but this program reads up to {newest}: use a newer program")]
    NewerFormat {
        /// The version of the value.
        found: u8,
        /// The newest that this program reads.
        newest: u8,
    },
    /// No bytes, or a version that was never written.
    #[error("the value does not begin with a format version: the data is damaged")]
    Unversioned,
    /// The body ends early, or a byte has a value that is never written there.
    #[error("the value is malformed: the data is damaged")]
    Malformed(#[source] Malformed),
    /// The value is followed by something else.
    #[error("the value is followed by {rest_bytes} more bytes: the data is damaged")]
    Trailing {
        /// How many bytes are left.
        rest_bytes: usize,
    },
    /// The key says another stream than the value.
    #[error("the value belongs to another stream than its key says: the data is damaged")]
    OtherStream,
}

/// What is wrong with the bytes.
#[derive(Debug)]
pub struct Malformed(bincode::error::DecodeError);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for Malformed {}

/// Starts a value of the version that is written.
pub(crate) fn open(out: &mut Vec<u8>) {
    out.push(FORMAT);
}

/// Appends a part of a value.
pub(crate) fn put<T: Serialize + ?Sized>(out: &mut Vec<u8>, part: &T) {
    let written = encode_into_writer(part, Memory(out), config());
    // Memory takes everything, and no stored type refuses to be written.
    assert!(written.is_ok(), "a stored value was not written: {written:?}");
}

struct Memory<'a>(&'a mut Vec<u8>);

impl Writer for Memory<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// A value that is being read, part by part.
#[derive(Debug)]
pub(crate) struct ValueReader<'a> {
    rest: &'a [u8],
}

impl<'a> ValueReader<'a> {
    /// Reads the version.
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        match bytes.split_first() {
            Some((&FORMAT, rest)) => Ok(Self { rest }),
            Some((&found, _)) if found > FORMAT => Err(DecodeError::NewerFormat { found, newest: FORMAT }),
            Some(_) | None => Err(DecodeError::Unversioned),
        }
    }

    /// Reads on in a value whose version was read.
    pub(crate) const fn part(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// What was not read yet.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Reads the next part.
    pub(crate) fn take<T: Deserialize<'a>>(&mut self) -> Result<T, DecodeError> {
        let malformed = |error| DecodeError::Malformed(Malformed(error));
        let mut decoder = DecoderImpl::new(Strict { rest: self.rest, is_after_marker: false }, config(), ());
        let BorrowCompat(part) = BorrowCompat::<T>::borrow_decode(&mut decoder).map_err(malformed)?;
        self.rest = decoder.reader().rest;
        Ok(part)
    }

    /// Makes sure that nothing is left.
    pub(crate) fn close(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            rest_bytes => Err(DecodeError::Trailing { rest_bytes }),
        }
    }
}

/// Bytes that are a value in the one way in which it is written.
struct Strict<'a> {
    rest: &'a [u8],
    /// The last read was one byte alone, and it can be the marker of an integer.
    is_after_marker: bool,
}

/// The first byte that does not stand for itself as an integer.
const FIRST_MARKER: u8 = 251;

impl Reader for Strict<'_> {
    /// What is read at once after the byte of a marker is the integer that it announces. It must not fit into fewer
    /// bytes.
    #[inline]
    fn read(&mut self, out: &mut [u8]) -> Result<(), bincode::error::DecodeError> {
        let is_announced = self.is_after_marker;
        let bytes = self.take_bytes(out.len())?;
        out.copy_from_slice(bytes);
        self.is_after_marker = matches!(*bytes, [byte] if byte >= FIRST_MARKER);
        let is_longer = match *bytes {
            [first, 0] => first < FIRST_MARKER,
            [_, _, 0, 0] | [_, _, _, _, 0, 0, 0, 0] => true,
            _ => false,
        };
        if is_announced && is_longer { Err(LONGER_THAN_NEEDED) } else { Ok(()) }
    }

    /// The way for integers of one byte, which are most.
    #[inline]
    fn peek_read(&mut self, count: usize) -> Option<&[u8]> {
        self.rest.first().filter(|byte| **byte < FIRST_MARKER)?;
        self.rest.get(..count)
    }

    #[inline]
    fn consume(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
        self.is_after_marker = false;
    }
}

impl<'a> BorrowReader<'a> for Strict<'a> {
    #[inline]
    fn take_bytes(&mut self, length: usize) -> Result<&'a [u8], bincode::error::DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return Err(bincode::error::DecodeError::UnexpectedEnd { additional: length - self.rest.len() });
        };
        (self.rest, self.is_after_marker) = (rest, false);
        Ok(taken)
    }
}

const LONGER_THAN_NEEDED: bincode::error::DecodeError =
    bincode::error::DecodeError::Other("an integer takes more bytes than it needs");
