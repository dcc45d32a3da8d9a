//! Keys of `meta`: where the shard stands. One byte says what; a source position has its source's name.
//!
//! ```text
//! 01             ShardIdentity     which partition of which topic this is
//! 02             ShardHead         next position, counts
//! 03 ‖ source    SourcePosition    how far a source was read
//! 04             PublisherCursor   how far decisions and dead letters were published
//! 05             Generation        which generation of the projections is live
//! ```

use super::{END, KeyError, text};

/// A key of `meta`. The values are in [`crate::rows`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetaKey {
    /// A [`crate::rows::ShardIdentity`].
    Identity,
    /// A [`crate::rows::ShardHead`].
    Head,
    /// A [`crate::rows::SourcePosition`] of the source of this name.
    Source(String),
    /// A [`crate::rows::PublisherCursor`].
    Publisher,
    /// A [`crate::rows::Generation`].
    Generation,
}

const IDENTITY: u8 = 1;
const HEAD: u8 = 2;
const SOURCE: u8 = 3;
const PUBLISHER: u8 = 4;
const GENERATION: u8 = 5;

impl MetaKey {
    /// What the keys of all source positions begin with, and no others.
    pub const SOURCES: [u8; 1] = [SOURCE];

    /// The key as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Identity => vec![IDENTITY],
            Self::Head => vec![HEAD],
            Self::Source(name) => [&Self::SOURCES, name.as_bytes()].concat(),
            Self::Publisher => vec![PUBLISHER],
            Self::Generation => vec![GENERATION],
        }
    }

    /// Reads a key of `meta`.
    pub fn decode(key: &[u8]) -> Result<Self, KeyError> {
        let (&tag, rest) = key.split_first().ok_or(KeyError::Truncated { length: 0 })?;
        if tag == SOURCE {
            if rest.contains(&END) {
                return Err(KeyError::Divided);
            }
            return Ok(Self::Source(text(rest)?.to_owned()));
        }
        if !rest.is_empty() {
            return Err(KeyError::Divided);
        }
        match tag {
            IDENTITY => Ok(Self::Identity),
            HEAD => Ok(Self::Head),
            PUBLISHER => Ok(Self::Publisher),
            GENERATION => Ok(Self::Generation),
            found => Err(KeyError::UnknownKind { found }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_frozen() {
        let frozen: [(MetaKey, &[u8]); 5] = [
            (MetaKey::Identity, b"\x01"),
            (MetaKey::Head, b"\x02"),
            (MetaKey::Source("realm.lifecycle".to_owned()), b"\x03realm.lifecycle"),
            (MetaKey::Publisher, b"\x04"),
            (MetaKey::Generation, b"\x05"),
        ];
        for (key, bytes) in frozen {
            assert_eq!(key.encode(), bytes);
            assert_eq!(MetaKey::decode(bytes), Ok(key));
        }
    }

    #[test]
    fn refuses_what_is_no_key() {
        for key in [&b""[..], b"\x00", b"\x06", b"\x02x", b"\x03a\0b", b"\x03\xff"] {
            assert!(MetaKey::decode(key).is_err(), "{key:?}");
        }
    }
}
