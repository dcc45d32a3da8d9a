//! Keys of what stands beside the log: corrections, duplicates, gaps.
//!
//! ```text
//! corrections  position u64 ‖ client key               what a late app-level event changed for a tenant
//! duplicates   source ‖ 00 ‖ offset u64                → position of the original
//! gaps         source ‖ 00 ‖ first offset u64          → next offset: nothing came for [first, next)
//! ```
//!
//! Together with the log these account for every offset of a source: each was appended, repeated, refused,
//! or never delivered. A source name is a topic or `import:<NAME>`; it has no `00`. What a refilled shard carried
//! over of a partition of a source stands under a name of its own ([`carried`]).

use ledger_core::ids::ClientKey;

use super::{END, KeyError, split_ended_number, text};

/// Key of what a late app-level record changed for one tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CorrectionKey {
    /// Position of the app-level record.
    pub position: u64,
    /// The tenant.
    pub client: ClientKey,
}

impl CorrectionKey {
    /// The key as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [&Self::prefix(self.position)[..], self.client.as_bytes()].concat()
    }

    /// What the keys of all corrections by one record begin with, and no others.
    #[must_use]
    pub const fn prefix(position: u64) -> [u8; 8] {
        position.to_be_bytes()
    }

    /// Reads a key of `corrections`.
    pub fn decode(key: &[u8]) -> Result<Self, KeyError> {
        let (position, client) = key.split_first_chunk().ok_or(KeyError::Truncated { length: key.len() })?;
        Ok(Self { position: u64::from_be_bytes(*position), client: ClientKey::new(text(client)?)? })
    }
}

/// Names what was carried over of a partition of a source, apart from what the shard read itself: neither a topic
/// nor `import:<NAME>` begins so.
#[must_use]
pub fn carried(source: &str, partition: u32) -> String {
    format!("{partition}:{source}")
}

/// Source and partition of such a name; none when it is the name of a source.
#[must_use]
pub fn parse_carried(name: &str) -> Option<(&str, u32)> {
    let (digits, source) = name.split_once(':')?;
    let partition: u32 = digits.parse().ok()?;
    (partition.to_string() == digits).then_some((source, partition))
}

macro_rules! offset_key {
    ($(#[$doc:meta])* $name:ident, $(#[$number_doc:meta])* $number:ident, $family:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name {
            /// Name of the source.
            pub source: String,
            $(#[$number_doc])*
            pub $number: u64,
        }

        impl $name {
            /// The key as bytes.
            #[must_use]
            pub fn encode(&self) -> Vec<u8> {
                [&Self::prefix(&self.source), &self.$number.to_be_bytes()[..]].concat()
            }

            /// What the keys of all entries of a source begin with, and no others.
            #[must_use]
            pub fn prefix(source: &str) -> Vec<u8> {
                [source.as_bytes(), &[END]].concat()
            }

            #[doc = concat!("Reads a key of `", $family, "`.")]
            pub fn decode(key: &[u8]) -> Result<Self, KeyError> {
                let (source, $number) = split_ended_number(key)?;
                if source.contains(&END) {
                    return Err(KeyError::Divided);
                }
                Ok(Self { source: text(source)?.to_owned(), $number })
            }
        }
    };
}

offset_key! {
    /// Key of a repeated message; its value is a reference to the position of the original.
    DuplicateKey,
    /// Offset of the repeat.
    offset, "duplicates"
}
offset_key! {
    /// Key of offsets that never came; its value is a reference to the offset after the last of them.
    GapKey,
    /// The first offset that did not come.
    first_offset, "gaps"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_bytes_are_frozen() {
        let correction = CorrectionKey { position: 258, client: ClientKey::new("acme").unwrap() };
        assert_eq!(correction.encode(), b"\0\0\0\0\0\0\x01\x02acme");
        let duplicate = DuplicateKey { source: "realm.lifecycle".to_owned(), offset: 7 };
        assert_eq!(duplicate.encode(), b"realm.lifecycle\0\0\0\0\0\0\0\0\x07");
        let gap = GapKey { source: "import:a".to_owned(), first_offset: 9 };
        assert_eq!(gap.encode(), b"import:a\0\0\0\0\0\0\0\0\x09");
    }

    #[test]
    fn key_round_trips() {
        let correction = CorrectionKey { position: u64::MAX, client: ClientKey::new("ü").unwrap() };
        assert_eq!(CorrectionKey::decode(&correction.encode()), Ok(correction));
        for offset in [0, 1, u64::MAX] {
            let duplicate = DuplicateKey { source: "t".to_owned(), offset };
            assert_eq!(DuplicateKey::decode(&duplicate.encode()), Ok(duplicate));
            let gap = GapKey { source: "t".to_owned(), first_offset: offset };
            assert_eq!(GapKey::decode(&gap.encode()), Ok(gap));
        }
    }

    #[test]
    fn carried_source_names_are_distinct_from_sources() {
        assert_eq!(parse_carried(&carried("import:a/3", 7)), Some(("import:a/3", 7)));
        for source in ["realm.lifecycle", "import:7:a", "7", ""] {
            assert_eq!(parse_carried(source), None, "{source}");
        }
    }

    #[test]
    fn malformed_key_is_refused() {
        assert!(CorrectionKey::decode(&[0; 7]).is_err());
        assert!(CorrectionKey::decode(&[0; 8]).is_err());
        assert!(DuplicateKey::decode(&[0; 8]).is_err());
        assert!(GapKey::decode(b"t\x01\0\0\0\0\0\0\0\x07").is_err());
        assert!(GapKey::decode(b"t\0t\0\0\0\0\0\0\0\0\x07").is_err());
    }
}
