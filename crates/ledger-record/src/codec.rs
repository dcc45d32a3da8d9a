//! How a stored value is laid out: `version u8 ‖ body`.
//!
//! The body is what bincode 2.0.1 writes with little-endian integers of fixed width, field after field,
//! without names or padding. What bincode leaves wide is written by types of our own
//! (`stored`): lengths and enum tags take one byte. Readers read every version that was ever
//! written; writers write [`FORMAT`]. A value of a newer version is not damaged, only unreadable here:
//! [`DecodeError::NewerFormat`].
//!
//! Decoding is strict. All bytes are consumed, and what is taken is encoded to the same bytes again, so a
//! value has one encoding. Nothing is allocated on the word of a length: elements are taken one by one, and
//! text is borrowed before it is copied, so a damaged value costs at most its own size.
//!
//! There is no checksum: the store has one for each block. What the audit trail hashes is the typed value
//! in an encoding of its own, not these bytes.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use bincode::{BorrowDecode, Encode};
use ledger_core::event::InvalidEvidence;
use ledger_core::ids::InvalidKey;
use ledger_core::realm::InvalidRealm;

/// The version that is written, and the newest that can be read.
pub const FORMAT: u8 = 1;

/// Second line against damaged lengths. No value comes near it: the largest is a tenant with all its
/// finished migrations.
const LIMIT_BYTES: usize = 1 << 30;

type Layout = Configuration<LittleEndian, Fixint, Limit<LIMIT_BYTES>>;

const LAYOUT: Layout =
    bincode::config::standard().with_little_endian().with_fixed_int_encoding().with_limit::<LIMIT_BYTES>();

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
    /// A text that must be a key is none.
    #[error("the value holds a key that is not allowed: the data is damaged")]
    Key(#[from] InvalidKey),
    /// A text that must be evidence is none.
    #[error("the value holds evidence that is not allowed: the data is damaged")]
    Evidence(#[from] InvalidEvidence),
    /// A text that must be a realm is none.
    #[error("the value holds a realm that is not allowed: the data is damaged")]
    Realm(#[from] InvalidRealm),
    /// Sorted entries are not sorted, or something is written in another way than it is always written.
    #[error("the value is not written as it is always written: the data is damaged")]
    NotCanonical,
    /// The key says another kind of stream than the value.
    #[error("the value belongs to another kind of stream than its key says: the data is damaged")]
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
pub(crate) fn put<T: Encode>(out: &mut Vec<u8>, part: &T) {
    let written = bincode::encode_into_writer(part, Memory(out), LAYOUT);
    // Memory takes everything, and no stored type refuses to be written.
    assert!(written.is_ok(), "a stored value was not written: {written:?}");
}

struct Memory<'a>(&'a mut Vec<u8>);

impl Writer for Memory<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        match bytes {
            // Most of what is written is one byte: no call for it.
            [byte] => self.0.push(*byte),
            bytes => self.0.extend_from_slice(bytes),
        }
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
    pub(crate) fn take<T: BorrowDecode<'a, ()>>(&mut self) -> Result<T, DecodeError> {
        let (part, consumed) = bincode::borrow_decode_from_slice(self.rest, LAYOUT)
            .map_err(|error| DecodeError::Malformed(Malformed(error)))?;
        self.rest = self.rest.get(consumed..).unwrap_or_default();
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
