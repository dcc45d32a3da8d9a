//! SHA-256 values, and the keyed hash that commitments are made with.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ledger_core::words::read_text;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// Characters of the text form of 32 bytes.
const TEXT_LENGTH: usize = 43;

/// A SHA-256 value. Written as base64url without padding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// All zero: before the first record of a stream, and the stand-in for a missing child in the map.
    pub const ZERO: Self = Self([0; 32]);

    /// The hash of the parts, one after the other.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// The text form.
    #[must_use]
    pub fn to_text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The text form without an allocation: every line holds a few.
    fn written(self, into: &mut [u8; TEXT_LENGTH]) -> &str {
        let length = URL_SAFE_NO_PAD.encode_slice(self.0, into).unwrap_or_default();
        into.get(..length).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }

    /// Appends the text form as a JSON string.
    pub(crate) fn put(self, out: &mut Vec<u8>) {
        out.push(b'"');
        out.extend_from_slice(self.written(&mut [0; TEXT_LENGTH]).as_bytes());
        out.push(b'"');
    }

    /// Reads the text form; any other spelling of the same bytes is refused.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

/// HMAC-SHA-256 under a key, prepared once for many hashes.
#[derive(Clone)]
pub(crate) struct Keyed(Hmac<Sha256>);

impl Keyed {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        // A key shorter than a block counts as filled up with zeros; a full block cannot be of a wrong length.
        let mut block = [0; 64];
        block[..32].copy_from_slice(key);
        Self(Hmac::new(&block.into()))
    }

    /// The hash of the parts, one after the other.
    pub(crate) fn hash(&self, parts: &[&[u8]]) -> Hash {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part);
        }
        Hash(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(self.written(&mut [0; TEXT_LENGTH]))
        } else {
            raw::serialize(&self.0, serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            read_text(deserializer, |text| Self::from_text(text).ok_or("not 32 bytes as base64url"))
        } else {
            raw::deserialize(deserializer).map(Self)
        }
    }
}

/// A SHA-256 value as the bytes that it is.
pub(crate) mod raw {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(hash: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(hash)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let bytes = <&[u8]>::deserialize(deserializer)?;
        bytes.try_into().map_err(|_| D::Error::custom("not 32 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyed_hash_matches_rfc_4231() {
        // Test case 6 has a longer key; this is case 1, whose 20 bytes are filled up with zeros.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let mac = Keyed::new(&key).hash(&[b"Hi ", b"There"]);
        assert_eq!(hex::encode(mac.0), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    }

    #[test]
    fn hash_text_has_one_spelling() {
        let hash = Hash::of(&[b"abc"]);
        let text = hash.to_text();
        assert_eq!(Hash::from_text(&text), Some(hash));
        let last = text.chars().last().unwrap();
        for other in ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_', '=']) {
            if other != last {
                let respelled = format!("{}{other}", &text[..42]);
                assert_ne!(Hash::from_text(&respelled), Some(hash), "{respelled}");
            }
        }
        assert_eq!(Hash::from_text(&format!("{text}=")), None);
        assert_eq!(Hash::from_text(&text[..42]), None);
    }
}
