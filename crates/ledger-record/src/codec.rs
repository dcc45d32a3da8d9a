//! How a stored value is laid out: `version u8 ‖ body`.
//!
//! The body is what bincode writes of the domain type itself, field after field, without names or padding: integers
//! up to 250 as one byte, others as a marker and two, four or eight bytes; text and lists with their length in front;
//! the variant of a choice as its place in the declaration. So a field or variant of a stored type that moves is another format: the golden bytes
//! of the tests say so. Readers read every version that was ever released; writers write [`FORMAT`]. A value of a newer
//! version is not damaged, only unreadable here: [`DecodeError::NewerFormat`].
//!
//! bincode writes; reading is done here ([`read`]), as it is strict. All bytes are consumed, and what is taken is encoded
//! to the same bytes again, so a value has one encoding: integers take no more bytes than they need, the keys of a map
//! ascend, and types that not every text or list may be check what they are given. Lengths are not trusted: elements
//! are taken one by one, and text is borrowed before there is room made for it.
//!
//! There is no checksum: the store has one for each block. What the audit trail hashes is the typed value in an
//! encoding of its own, not these bytes.

mod read;

use bincode::enc::write::Writer;
use bincode::serde::encode_into_writer;
use serde::{Deserialize, Serialize};

pub use read::Malformed;

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

/// Starts a value of the version that is written.
pub(crate) fn open(out: &mut Vec<u8>) {
    out.push(FORMAT);
}

/// Appends a part of a value.
pub(crate) fn put<T: Serialize + ?Sized>(out: &mut Vec<u8>, part: &T) {
    let written = encode_into_writer(part, ByteSink(out), bincode::config::standard());
    // Memory takes everything, and no stored type refuses to be written.
    assert!(written.is_ok(), "a stored value was not written: {written:?}");
}

struct ByteSink<'a>(&'a mut Vec<u8>);

impl Writer for ByteSink<'_> {
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
        T::deserialize(self).map_err(DecodeError::Malformed)
    }

    /// Makes sure that nothing is left.
    pub(crate) fn close(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            rest_bytes => Err(DecodeError::Trailing { rest_bytes }),
        }
    }
}
