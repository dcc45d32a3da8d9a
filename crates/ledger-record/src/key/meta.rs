//! Keys of `meta`: where the shard stands. One byte says what; what is of a source has its name.
//!
//! ```text
//! 01             ShardIdentity     which partition of which topic this is
//! 02             ShardHead         next position, counts
//! 03 ‖ source    SourcePosition    how far a source was read
//! 04             PublisherCursor   how far decisions and dead letters were published
//! 05             Generation        which generation of the projections is live
//! 06 ‖ source    u64               the first offset that was there when a source was first read, unless it is 0
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
    /// The offset at which the history of the source of this name begins, as a `u64` reference.
    Begin(String),
}

const IDENTITY: u8 = 1;
const HEAD: u8 = 2;
const SOURCE: u8 = 3;
const PUBLISHER: u8 = 4;
const GENERATION: u8 = 5;
const BEGIN: u8 = 6;

impl MetaKey {
    /// What the keys of all source positions begin with, and no others.
    pub const SOURCES: [u8; 1] = [SOURCE];

    /// What the keys of all late beginnings begin with, and no others.
    pub const BEGINS: [u8; 1] = [BEGIN];

    /// The key as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Identity => vec![IDENTITY],
            Self::Head => vec![HEAD],
            Self::Source(name) => [&Self::SOURCES, name.as_bytes()].concat(),
            Self::Publisher => vec![PUBLISHER],
            Self::Generation => vec![GENERATION],
            Self::Begin(name) => [&Self::BEGINS, name.as_bytes()].concat(),
        }
    }

    /// Reads a key of `meta`.
    pub fn decode(key: &[u8]) -> Result<Self, KeyError> {
        let (&tag, rest) = key.split_first().ok_or(KeyError::Truncated { length: 0 })?;
        let named = matches!(tag, SOURCE | BEGIN);
        if (!named && !rest.is_empty()) || rest.contains(&END) {
            return Err(KeyError::Divided);
        }
        match tag {
            SOURCE => Ok(Self::Source(text(rest)?.to_owned())),
            BEGIN => Ok(Self::Begin(text(rest)?.to_owned())),
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
        let frozen: [(MetaKey, &[u8]); 6] = [
            (MetaKey::Identity, b"\x01"),
            (MetaKey::Head, b"\x02"),
            (MetaKey::Source("realm.lifecycle".to_owned()), b"\x03realm.lifecycle"),
            (MetaKey::Publisher, b"\x04"),
            (MetaKey::Generation, b"\x05"),
            (MetaKey::Begin("realm.lifecycle".to_owned()), b"\x06realm.lifecycle"),
        ];
        for (key, bytes) in frozen {
            assert_eq!(key.encode(), bytes);
            assert_eq!(MetaKey::decode(bytes), Ok(key));
        }
    }

    #[test]
    fn refuses_what_is_no_key() {
        for key in [&b""[..], b"\x00", b"\x07", b"\x02x", b"\x03a\0b", b"\x03\xff", b"\x06\xff"] {
            assert!(MetaKey::decode(key).is_err(), "{key:?}");
        }
    }
}
