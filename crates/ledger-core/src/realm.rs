//! Where data lives: `GLOBAL`, or a region key such as `EU`. An open set.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::REALM_MAX_BYTES;
use crate::words::read_named;

/// A realm key, `[A-Z][A-Z0-9-]{1,15}`; ASCII lower case is upper-cased on input.
///
/// Stored inline: a realm is copied, compared and ordered as bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Realm {
    bytes: [u8; REALM_MAX_BYTES],
    len: u8,
}

/// The text is no realm key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRealm {
    /// It has another form.
    #[error("not a realm key, expected [A-Z][A-Z0-9-]{{1,15}}")]
    NotAKey,
    /// It is a word that programs write for nothing.
    #[error("not a realm, the word stands for nothing")]
    Nothing,
}

/// Forge's manifests name the URL outside of all regions so.
const DEFAULT: &[u8] = b"DEFAULT";

/// Programs write these for nothing.
const NO_REALMS: [&[u8]; 6] = [b"UNDEFINED", b"NONE", b"NULL", b"NAN", b"TRUE", b"FALSE"];

impl Realm {
    /// The realm that a descriptor's `baseUrl` serves.
    pub const GLOBAL: Self = Self { bytes: *b"GLOBAL\0\0\0\0\0\0\0\0\0\0", len: 6 };

    /// Reads a realm key, upper-casing ASCII letters. `default` is `GLOBAL`.
    ///
    /// # Errors
    /// The text does not match `[A-Z][A-Z0-9-]{1,15}` after upper-casing, or is a word that programs write for
    /// nothing.
    pub fn parse(text: &str) -> Result<Self, InvalidRealm> {
        let source = text.as_bytes();
        if !(2..=REALM_MAX_BYTES).contains(&source.len()) || !source[0].is_ascii_alphabetic() {
            return Err(InvalidRealm::NotAKey);
        }
        let mut bytes = [0; REALM_MAX_BYTES];
        for (to, from) in bytes.iter_mut().zip(source) {
            if !from.is_ascii_alphanumeric() && *from != b'-' {
                return Err(InvalidRealm::NotAKey);
            }
            *to = from.to_ascii_uppercase();
        }
        let len = u8::try_from(source.len()).map_err(|_| InvalidRealm::NotAKey)?;
        match &bytes[..source.len()] {
            DEFAULT => Ok(Self::GLOBAL),
            word if NO_REALMS.contains(&word) => Err(InvalidRealm::Nothing),
            _ => Ok(Self { bytes, len }),
        }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only `parse` and `GLOBAL` make realms, and both keep to ASCII.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The key as the bytes it is ordered by.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl Serialize for Realm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Realm {
    /// People write realms as they like; machines have one text for each.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let by_people = deserializer.is_human_readable();
        let (realm, is_as_written) = read_named(deserializer, "Realm", |text| {
            Self::parse(text).map(|realm| (realm, realm.as_str() == text))
        })?;
        if by_people || is_as_written { Ok(realm) } else { Err(D::Error::custom(InvalidRealm::NotAKey)) }
    }
}

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_upper_and_lower_case_alike() {
        assert_eq!(Realm::parse("eu"), Realm::parse("EU"));
        assert_eq!(Realm::parse("global"), Ok(Realm::GLOBAL));
        assert_eq!(Realm::parse("us-gov-1").map(|r| r.to_string()), Ok("US-GOV-1".to_owned()));
    }

    #[test]
    fn default_is_global() {
        for text in ["default", "DEFAULT", "Default"] {
            assert_eq!(Realm::parse(text), Ok(Realm::GLOBAL), "{text}");
        }
    }

    #[test]
    fn refuses_words_that_stand_for_nothing() {
        for text in ["undefined", "UNDEFINED", "None", "null", "NaN", "true", "FALSE"] {
            assert_eq!(Realm::parse(text), Err(InvalidRealm::Nothing), "{text}");
        }
        for text in ["NO", "NONE-1", "NULLS", "DEFAULT-1"] {
            assert_eq!(Realm::parse(text).map(|r| r.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn refuses_what_is_no_key() {
        for text in ["", "E", "1U", "-U", "E U", "EÜ", "ABCDEFGHIJKLMNOPQ", "EU_1"] {
            assert_eq!(Realm::parse(text), Err(InvalidRealm::NotAKey), "{text:?}");
        }
    }
}
