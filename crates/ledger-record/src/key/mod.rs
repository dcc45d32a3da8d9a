//! The key space of a shard: every column family, every key, in one place. Numbers are frozen: a retired
//! one is never given again.
//!
//! A shard is one key-value store with thirteen column families. Integers are big-endian, so that byte order is
//! numeric order. Client keys, app keys, event ids and realms have no control characters, so `00` ends them
//! and keeps their order: all entries of one key stand together, and `a` stands before `a.b`.
//!
//! ```text
//! family       key                                             value
//! log          stream ‖ seq                                    record                 crate::record
//! positions    position of the first of 32, see key::placed   32 × stream ‖ seq      references
//! tenants      client                                          TenantRow              crate::rows
//! apps         app                                             AppRow                 crate::rows
//! ids          subject ‖ event id, see key::log                seq                    reference
//! index        see key::index                                  nothing
//! corrections  position ‖ client                               changes                crate::rows
//! duplicates   source ‖ 00 ‖ offset                            position               reference
//! gaps         source ‖ 00 ‖ first offset                      next offset            reference
//! meta         see key::meta                                   by key                 crate::rows
//! leaves       position of the first of 32, see key::placed   32 × leaf hash ‖ realm evidence
//! tree         level ‖ index                                   hash                   evidence
//! map          see key::evidence                               hash                   evidence
//!
//! stream       kind ‖ key ‖ 00         kind 01 tenant, key = client
//!                                           02 app, key = app
//!                                           03 rejected, 04 seals, 05 succession, key empty
//! seq, position, offset                u64
//! ```
//!
//! Tenants and apps have one row for each client key or app key, whose key is the key's own bytes. A source
//! needs no partition: a shard is one partition, and its sources differ by name.
//!
//! Values marked *reference* are key material: the eight bytes of a `u64`, or a log key. They have no
//! version byte and change only together with the key space; so do those marked *evidence*
//! ([`evidence`]), which are hashes as the audit trail has them. All other values start with a version byte
//! ([`crate::codec`]).
//!
//! Decoders are strict: what they take, the encoder gives back byte for byte.

pub mod evidence;
pub mod index;
pub mod log;
pub mod meta;
pub mod placed;
pub mod side;

use ledger_core::ids::{AppKey, ClientKey, InvalidKey};

pub use evidence::MapKey;
pub use index::{IndexEntry, IndexedInstallation, NameKind, index_keys, listed};
pub use log::LogKey;
pub use meta::MetaKey;
pub use side::{CorrectionKey, DuplicateKey, GapKey};

/// A column family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// The records.
    Log,
    /// Shard position to log key.
    Positions,
    /// The folded tenants.
    Tenants,
    /// The heads of the app-level streams.
    Apps,
    /// Event ids that were recorded, but for those in the rows of the tenants (`FirstIds`).
    Ids,
    /// Answers to lists over all installations.
    Index,
    /// What late app-level events changed.
    Corrections,
    /// Repeated messages.
    Duplicates,
    /// Offsets that the source never delivered.
    Gaps,
    /// Where the shard stands.
    Meta,
    /// Leaf hashes of the audit trail.
    Leaves,
    /// Inner nodes of its tree.
    Tree,
    /// The map of the heads of all streams, as of the last seal.
    Map,
}

impl Family {
    /// Every column family.
    pub const ALL: &'static [Self] = &[
        Self::Log,
        Self::Positions,
        Self::Tenants,
        Self::Apps,
        Self::Ids,
        Self::Index,
        Self::Corrections,
        Self::Duplicates,
        Self::Gaps,
        Self::Meta,
        Self::Leaves,
        Self::Tree,
        Self::Map,
    ];

    /// The name on disk.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Positions => "positions",
            Self::Tenants => "tenants",
            Self::Apps => "apps",
            Self::Ids => "ids",
            Self::Index => "index",
            Self::Corrections => "corrections",
            Self::Duplicates => "duplicates",
            Self::Gaps => "gaps",
            Self::Meta => "meta",
            Self::Leaves => "leaves",
            Self::Tree => "tree",
            Self::Map => "map",
        }
    }
}

/// The bytes are no key of their family: the store is damaged, or of another format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Too few bytes.
    #[error("the key ends too early, at {length} bytes")]
    Truncated {
        /// How many there are.
        length: usize,
    },
    /// A kind, family or tag that this version does not know.
    #[error("the key has the unknown kind {found}")]
    UnknownKind {
        /// The byte.
        found: u8,
    },
    /// A part ends without its `00`, or there is more than the parts.
    #[error("the key is not divided as its family demands")]
    Divided,
    /// A part is no UTF-8.
    #[error("the key holds text that is not UTF-8")]
    NotText(#[from] std::str::Utf8Error),
    /// A part is no client key, app key or event id.
    #[error("the key holds a part that is not allowed")]
    Part(#[from] InvalidKey),
    /// A part is no realm.
    #[error("the key holds a part that is no realm")]
    Realm,
}

/// Ends a part of variable length.
pub(crate) const END: u8 = 0;

/// Key of a row in `tenants`.
#[must_use]
pub fn tenant(client: &ClientKey) -> &[u8] {
    client.as_bytes()
}

/// Reads a key of `tenants`.
pub fn parse_tenant(key: &[u8]) -> Result<ClientKey, KeyError> {
    Ok(ClientKey::new(text(key)?)?)
}

/// Key of a row in `apps`.
#[must_use]
pub fn app(app: &AppKey) -> &[u8] {
    app.as_bytes()
}

/// Reads a key of `apps`.
pub fn parse_app(key: &[u8]) -> Result<AppKey, KeyError> {
    Ok(AppKey::new(text(key)?)?)
}

/// Key of the row in `positions` and in `leaves` whose first entry has this position.
#[must_use]
pub const fn position(position: u64) -> [u8; 8] {
    position.to_be_bytes()
}

/// Reads a key of `positions`, or a value that is a `u64` reference.
pub fn parse_u64(bytes: &[u8]) -> Result<u64, KeyError> {
    let bytes = <[u8; 8]>::try_from(bytes).map_err(|_| match bytes.len() {
        length @ ..8 => KeyError::Truncated { length },
        _ => KeyError::Divided,
    })?;
    Ok(u64::from_be_bytes(bytes))
}

/// A value that is a `u64` reference: of `ids`, `duplicates`, `gaps`.
#[must_use]
pub const fn reference(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

pub(crate) fn text(bytes: &[u8]) -> Result<&str, KeyError> {
    Ok(std::str::from_utf8(bytes)?)
}

/// Splits the `u64` off the end of a key.
pub(crate) fn split_number(key: &[u8]) -> Result<(&[u8], u64), KeyError> {
    let (rest, number) = key.split_last_chunk::<8>().ok_or(KeyError::Truncated { length: key.len() })?;
    Ok((rest, u64::from_be_bytes(*number)))
}

/// Splits the `00 ‖ u64` off the end of a key.
pub(crate) fn split_ended_number(key: &[u8]) -> Result<(&[u8], u64), KeyError> {
    let (rest, number) = split_number(key)?;
    match rest.split_last() {
        Some((&END, part)) => Ok((part, number)),
        Some(_) => Err(KeyError::Divided),
        None => Err(KeyError::Truncated { length: key.len() }),
    }
}

/// Splits the first part, up to its `00`, off a key.
pub(crate) fn split_part(key: &[u8]) -> Result<(&[u8], &[u8]), KeyError> {
    let end = key.iter().position(|byte| *byte == END).ok_or(KeyError::Divided)?;
    Ok((&key[..end], &key[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_distinct_names() {
        let names: std::collections::BTreeSet<_> = Family::ALL.iter().map(|family| family.as_str()).collect();
        assert_eq!(names.len(), 13);
    }

    #[test]
    fn references_are_exactly_eight_bytes() {
        assert_eq!(parse_u64(&reference(258)), Ok(258));
        assert_eq!(reference(258), [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(parse_u64(&[0; 7]), Err(KeyError::Truncated { length: 7 }));
        assert_eq!(parse_u64(&[0; 9]), Err(KeyError::Divided));
    }

    #[test]
    fn rows_of_tenants_and_apps_are_keyed_by_the_key_itself() {
        let client = ClientKey::new("jira:größe").unwrap();
        assert_eq!(parse_tenant(tenant(&client)), Ok(client));
        assert_eq!(parse_app(b"a\0b"), Err(KeyError::Part(InvalidKey)));
        assert!(matches!(parse_app(b"\xff"), Err(KeyError::NotText(_))));
    }
}
