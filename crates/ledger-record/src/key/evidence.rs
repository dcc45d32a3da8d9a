//! Keys and values of the audit trail.
//!
//! ```text
//! leaves   by position, see key::placed       leaf hash ‖ realm that its line shows, as text
//! tree     level u8 ‖ index u64               node over 2^level leaves, of every eighth level from the eighth
//! map      20 ‖ stream id                     commitment to the stream's head
//!          01 ‖ 1 byte,  02 ‖ 2 bytes         kind u8 ‖ hash of the node that lies at this path
//! ```
//!
//! What lies between is computed from what is stored: at most 256 nodes of the tree and 512 of the map, and
//! the streams that share the first two bytes of their ids. Kinds of nodes: 1 a lone stream's leaf, 2 an
//! inner node; where there is nothing, nothing is stored.

use ledger_core::realm::Realm;

use super::{KeyError, text};
use crate::hash::Hash;
use crate::proof::map::MapNode;
use crate::proof::tree::Node;

/// Every so many levels the nodes of the tree are stored.
pub const TREE_STEP: u8 = 8;

/// Key of a node of the tree.
#[must_use]
pub fn tree_node(node: Node) -> [u8; 9] {
    let mut key = [node.level; 9];
    key[1..].copy_from_slice(&node.index.to_be_bytes());
    key
}

/// An entry of `leaves`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafRow {
    /// The leaf hash.
    pub hash: Hash,
    /// The pinned realm that the line shows.
    pub pinned_realm: Option<Realm>,
}

impl LeafRow {
    /// The value as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(48);
        self.encode_into(&mut bytes);
        bytes
    }

    /// Appends the value.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.hash.0);
        out.extend_from_slice(self.pinned_realm.as_ref().map_or("", Realm::as_str).as_bytes());
    }

    /// Reads a value.
    pub fn decode(bytes: &[u8]) -> Result<Self, KeyError> {
        let (hash, realm) =
            bytes.split_first_chunk::<32>().ok_or(KeyError::Truncated { length: bytes.len() })?;
        let pinned_realm = match text(realm)? {
            "" => None,
            text => Some(Realm::parse(text).map_err(|_| KeyError::Realm)?),
        };
        let row = Self { hash: Hash(*hash), pinned_realm };
        if row.encode() == bytes { Ok(row) } else { Err(KeyError::Realm) }
    }
}

/// A key of `map`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MapKey {
    /// The node over all streams whose ids begin with this byte.
    Eighth(u8),
    /// The node over all streams whose ids begin with these two bytes.
    Sixteenth([u8; 2]),
    /// A stream.
    Stream(Hash),
}

const EIGHTH: u8 = 1;
const SIXTEENTH: u8 = 2;
const STREAM: u8 = 32;

impl MapKey {
    /// The key as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Eighth(byte) => vec![EIGHTH, *byte],
            Self::Sixteenth([first, second]) => vec![SIXTEENTH, *first, *second],
            Self::Stream(id) => Self::streams(&id.0),
        }
    }

    /// What the keys of all streams begin with whose ids begin with these bytes.
    #[must_use]
    pub fn streams(prefix: &[u8]) -> Vec<u8> {
        [&[STREAM], prefix].concat()
    }

    /// What the keys of all nodes at depth 8 begin with.
    pub const EIGHTHS: [u8; 1] = [EIGHTH];

    /// What the keys of all nodes at depth 16 begin with.
    pub const SIXTEENTHS: [u8; 1] = [SIXTEENTH];

    /// Reads a key.
    pub fn decode(key: &[u8]) -> Result<Self, KeyError> {
        match key {
            [EIGHTH, byte] => Ok(Self::Eighth(*byte)),
            [SIXTEENTH, first, second] => Ok(Self::Sixteenth([*first, *second])),
            [STREAM, id @ ..] => hash(id).map(Self::Stream),
            [EIGHTH | SIXTEENTH, ..] => Err(KeyError::Divided),
            [found, ..] => Err(KeyError::UnknownKind { found: *found }),
            [] => Err(KeyError::Truncated { length: 0 }),
        }
    }
}

/// The value of a stored node of the map.
impl MapNode {
    /// The value as bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; 33] {
        let mut value = [if self.is_lone { 1 } else { 2 }; 33];
        value[1..].copy_from_slice(&self.hash.0);
        value
    }

    /// Reads a value.
    pub fn decode(bytes: &[u8]) -> Result<Self, KeyError> {
        let (&kind, rest) = bytes.split_first().ok_or(KeyError::Truncated { length: 0 })?;
        match kind {
            1 | 2 => Ok(Self { is_lone: kind == 1, hash: hash(rest)? }),
            found => Err(KeyError::UnknownKind { found }),
        }
    }
}

/// Reads a value that is a hash: of `tree`, and of a stream in `map`.
pub fn hash(bytes: &[u8]) -> Result<Hash, KeyError> {
    <[u8; 32]>::try_from(bytes).map(Hash).map_err(|_| match bytes.len() {
        length @ ..32 => KeyError::Truncated { length },
        _ => KeyError::Divided,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_frozen() {
        assert_eq!(tree_node(Node { level: 16, index: 258 }), *b"\x10\0\0\0\0\0\0\x01\x02");
        assert_eq!(MapKey::Eighth(7).encode(), b"\x01\x07");
        assert_eq!(MapKey::Sixteenth([7, 8]).encode(), b"\x02\x07\x08");
        assert_eq!(MapKey::Stream(Hash([9; 32])).encode(), [&[32][..], &[9; 32]].concat());
        assert_eq!(MapNode { is_lone: true, hash: Hash([9; 32]) }.encode()[..2], [1, 9]);
        assert_eq!(MapNode { is_lone: false, hash: Hash([9; 32]) }.encode()[..2], [2, 9]);
        let leaf = LeafRow { hash: Hash([9; 32]), pinned_realm: Realm::parse("EU").ok() };
        assert_eq!(leaf.encode(), [&[9; 32][..], b"EU"].concat());
    }

    #[test]
    fn comes_back_as_it_was() {
        for key in [MapKey::Eighth(0), MapKey::Sixteenth([255, 0]), MapKey::Stream(Hash([1; 32]))] {
            assert_eq!(MapKey::decode(&key.encode()), Ok(key));
        }
        for pinned_realm in [None, Realm::parse("GLOBAL").ok()] {
            let row = LeafRow { hash: Hash([3; 32]), pinned_realm };
            assert_eq!(LeafRow::decode(&row.encode()), Ok(row));
        }
        let cell = MapNode { is_lone: false, hash: Hash([4; 32]) };
        assert_eq!(MapNode::decode(&cell.encode()), Ok(cell));
    }

    #[test]
    fn refuses_what_is_not_written() {
        for key in [&b""[..], b"\x01", b"\x01ab", b"\x02a", b"\x20a", b"\x03a"] {
            assert!(MapKey::decode(key).is_err(), "{key:?}");
        }
        assert!(MapNode::decode(&[3; 33]).is_err());
        assert!(MapNode::decode(&[1; 32]).is_err());
        assert!(LeafRow::decode(&[0; 31]).is_err());
        assert!(LeafRow::decode(&[&[0; 32][..], b"eu"].concat()).is_err());
    }
}
