//! How a stored value is laid out: `version u8 ‖ body`.
//!
//! The body is what postcard writes of the domain type itself, field after field, without names or padding: integers
//! as variable-length ones, seven bits a byte; text and lists with their length in front; the variant of a choice as
//! its place in the declaration. So a field or variant of a stored type that moves is another format: the golden bytes
//! of the tests say so. Readers read every version that was ever released; writers write [`FORMAT`]. A value of a newer
//! version is not damaged, only unreadable here: [`DecodeError::NewerFormat`].
//!
//! Decoding is strict. All bytes are consumed, and what is taken is encoded to the same bytes again, so a value has
//! one encoding: integers take no more bytes than they need, the keys of a map ascend, and types that not every text
//! or list may be check what they are given. Nothing is allocated on the word of a length: elements are taken one by
//! one, and text is borrowed before it is copied, so a damaged value costs at most its own size.
//!
//! There is no checksum: the store has one for each block. What the audit trail hashes is the typed value in an
//! encoding of its own, not these bytes.

use postcard::{de_flavors, ser_flavors};
use serde::{Deserialize, Serialize};

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
pub struct Malformed(postcard::Error);

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
    let written = postcard::serialize_with_flavor(part, Memory(out));
    // Memory takes everything, and no stored type refuses to be written.
    assert!(written.is_ok(), "a stored value was not written: {written:?}");
}

struct Memory<'a>(&'a mut Vec<u8>);

impl ser_flavors::Flavor for Memory<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// A value that is being read, part by part.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
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
        let mut source = postcard::Deserializer::from_flavor(Strict { rest: self.rest, last: 0 });
        let part = T::deserialize(&mut source).map_err(malformed)?;
        self.rest = source.finalize().map_err(malformed)?;
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
    /// The last byte that was read alone.
    last: u8,
}

impl<'de> de_flavors::Flavor<'de> for Strict<'de> {
    type Remainder = &'de [u8];
    type Source = &'de [u8];

    /// Only integers, flags and the marks of options are read byte by byte, so a zero after a byte that says that its
    /// integer goes on ends one that is longer than it need be.
    #[inline]
    fn pop(&mut self) -> postcard::Result<u8> {
        let (&byte, rest) = self.rest.split_first().ok_or(postcard::Error::DeserializeUnexpectedEnd)?;
        if byte == 0 && self.last >= 0x80 {
            return Err(postcard::Error::DeserializeBadVarint);
        }
        (self.rest, self.last) = (rest, byte);
        Ok(byte)
    }

    #[inline]
    fn try_take_n(&mut self, count: usize) -> postcard::Result<&'de [u8]> {
        let (taken, rest) =
            self.rest.split_at_checked(count).ok_or(postcard::Error::DeserializeUnexpectedEnd)?;
        (self.rest, self.last) = (rest, 0);
        Ok(taken)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }

    fn finalize(self) -> postcard::Result<&'de [u8]> {
        Ok(self.rest)
    }
}
