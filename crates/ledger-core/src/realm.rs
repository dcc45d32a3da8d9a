//! Where data lives: `GLOBAL`, or a region key such as `EU`. An open set.

use std::fmt;

use crate::limits::REALM_MAX_BYTES;

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
#[error("not a realm key, expected [A-Z][A-Z0-9-]{{1,15}}")]
pub struct InvalidRealm;

impl Realm {
    /// The realm that a descriptor's `baseUrl` serves.
    pub const GLOBAL: Self = Self { bytes: *b"GLOBAL\0\0\0\0\0\0\0\0\0\0", len: 6 };

    /// Reads a realm key, upper-casing ASCII letters.
    ///
    /// # Errors
    /// The text does not match `[A-Z][A-Z0-9-]{1,15}` after upper-casing.
    pub fn parse(text: &str) -> Result<Self, InvalidRealm> {
        let source = text.as_bytes();
        if !(2..=REALM_MAX_BYTES).contains(&source.len()) || !source[0].is_ascii_alphabetic() {
            return Err(InvalidRealm);
        }
        let mut bytes = [0; REALM_MAX_BYTES];
        for (to, from) in bytes.iter_mut().zip(source) {
            if !from.is_ascii_alphanumeric() && *from != b'-' {
                return Err(InvalidRealm);
            }
            *to = from.to_ascii_uppercase();
        }
        let len = u8::try_from(source.len()).map_err(|_| InvalidRealm)?;
        Ok(Self { bytes, len })
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
    fn refuses_what_is_no_key() {
        for text in ["", "E", "1U", "-U", "E U", "EÜ", "ABCDEFGHIJKLMNOPQ", "EU_1"] {
            assert_eq!(Realm::parse(text), Err(InvalidRealm), "{text:?}");
        }
    }
}
