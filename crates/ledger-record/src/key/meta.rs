//! Keys of `meta`: where the shard stands. One byte says what; what is of a source has its name.
//!
//! ```text
//! 01             ShardIdentity     which partition of which topic this is
//! 02             ShardHead         next position, counts
//! 03 ‖ source    SourcePosition    how far a source was read
//! 04             PublisherCursor   how far decisions and dead letters were published
//! 05             Generation        which generation of the projections is live
//! 06 ‖ source    u64               the first offset that was there when a source was first read, unless it is 0
//! 07             u64               the tenants of all records before this position were compared with other shards
//! 08 ‖ client ‖ 00 ‖ shard         nothing: another shard, `topic/partition`, has this tenant too
//! ```
//!
//! 04, 05, 07 and 08 are a machine's own business, and no part of what replicas agree on ([`MetaKey::is_own`]).

use ledger_core::ids::ClientKey;

use super::{END, KeyError, split_part, text};

/// A key of `meta`. The values are in [`crate::rows`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetaKey {
    /// A [`crate::rows::ShardIdentity`].
    Identity,
    /// A [`crate::rows::ShardHead`].
    Head,
    /// A [`crate::rows::SourcePosition`] of the source of this name.
    Source(String),
    /// A [`crate::rows::PublisherRow`].
    Publisher,
    /// A [`crate::rows::Generation`].
    Generation,
    /// The offset at which the history of the source of this name begins, as a `u64` reference.
    Begin(String),
    /// The position up to which tenants were compared with those of other shards, as a `u64` reference.
    Compared,
    /// A tenant that another shard has too; the key says it all.
    Torn {
        /// The tenant.
        client: ClientKey,
        /// The other shard, as `topic/partition`.
        other: String,
    },
}

const IDENTITY: u8 = 1;
const HEAD: u8 = 2;
const SOURCE: u8 = 3;
const PUBLISHER: u8 = 4;
const GENERATION: u8 = 5;
const BEGIN: u8 = 6;
const COMPARED: u8 = 7;
const TORN: u8 = 8;

impl MetaKey {
    /// What the keys of all source positions begin with, and no others.
    pub const SOURCES: [u8; 1] = [SOURCE];

    /// What the keys of all late beginnings begin with, and no others.
    pub const BEGINS: [u8; 1] = [BEGIN];

    /// What the keys of all torn tenants begin with, and no others.
    pub const TORN: [u8; 1] = [TORN];

    /// Whether a key of `meta` is of what a process keeps for itself.
    #[must_use]
    pub fn is_own(key: &[u8]) -> bool {
        matches!(key.first(), Some(&(PUBLISHER | GENERATION | COMPARED | TORN)))
    }

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
            Self::Compared => vec![COMPARED],
            Self::Torn { client, other } => {
                [&Self::TORN, client.as_bytes(), &[END], other.as_bytes()].concat()
            }
        }
    }

    /// Reads a key of `meta`.
    pub fn decode(key: &[u8]) -> Result<Self, KeyError> {
        let (&tag, rest) = key.split_first().ok_or(KeyError::Truncated { length: 0 })?;
        if tag == TORN {
            let (client, other) = split_part(rest)?;
            let client = ClientKey::new(text(client)?)?;
            return Ok(Self::Torn { client, other: text(other)?.to_owned() });
        }
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
            COMPARED => Ok(Self::Compared),
            found => Err(KeyError::UnknownKind { found }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_bytes_are_frozen() {
        let torn = MetaKey::Torn { client: ClientKey::new("acme").unwrap(), other: "t/3".to_owned() };
        let frozen: [(MetaKey, &[u8]); 8] = [
            (MetaKey::Identity, b"\x01"),
            (MetaKey::Head, b"\x02"),
            (MetaKey::Source("realm.lifecycle".to_owned()), b"\x03realm.lifecycle"),
            (MetaKey::Publisher, b"\x04"),
            (MetaKey::Generation, b"\x05"),
            (MetaKey::Begin("realm.lifecycle".to_owned()), b"\x06realm.lifecycle"),
            (MetaKey::Compared, b"\x07"),
            (torn, b"\x08acme\0t/3"),
        ];
        for (key, bytes) in frozen {
            assert_eq!(key.encode(), bytes);
            let is_own = [4, 5, 7, 8].contains(&bytes[0]);
            assert_eq!(MetaKey::is_own(bytes), is_own);
            assert_eq!(MetaKey::decode(bytes), Ok(key));
        }
    }

    #[test]
    fn malformed_key_is_refused() {
        for key in [
            &b""[..],
            b"\x00",
            b"\x09",
            b"\x07x",
            b"\x08acme",
            b"\x08\0t/3",
            b"\x02x",
            b"\x03a\0b",
            b"\x03\xff",
            b"\x06\xff",
        ] {
            assert!(MetaKey::decode(key).is_err(), "{key:?}");
        }
    }
}
