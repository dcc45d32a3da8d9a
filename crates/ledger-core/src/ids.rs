//! Opaque keys: who a record is about. Compared byte for byte, never parsed.
//!
//! On its way into the log a key is named many times over, so its copies share the text.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::KEY_MAX_BYTES;
use crate::words::read_named;

/// The text cannot be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key, expected 1 to {KEY_MAX_BYTES} bytes of UTF-8 without control characters")]
pub struct InvalidKey;

macro_rules! opaque_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it is.
            ///
            /// # Errors
            /// The text is empty, longer than 255 bytes, or has a control character.
            pub fn new(text: impl AsRef<str> + Into<Arc<str>>) -> Result<Self, InvalidKey> {
                if is_key(text.as_ref()) { Ok(Self(text.into())) } else { Err(InvalidKey) }
            }

            /// The key as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The key as the bytes it is ordered by.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                read_named(deserializer, stringify!($name), |text| Self::new(text))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

fn is_key(text: &str) -> bool {
    // Nearly all are plain ASCII, which is told without reading characters, and of all bytes at once.
    let is_plain = || text.bytes().fold(true, |so_far, byte| so_far & matches!(byte, b' '..=b'~'));
    (1..=KEY_MAX_BYTES).contains(&text.len()) && (is_plain() || !text.chars().any(char::is_control))
}

opaque_key! {
    /// A tenant: a UUID, `acme.atlassian.net` or `jira:<uuid>`. Several apps share one.
    ClientKey
}
opaque_key! {
    /// An app of a Marketplace partner.
    AppKey
}
opaque_key! {
    /// Names one event within its installation; a tenant-level one within its tenant, an app-level one within its app.
    EventId
}
opaque_key! {
    /// Names one migration of an installation.
    MigrationId
}

/// Names an installation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstallationKey {
    /// The tenant.
    #[serde(rename = "clientKey")]
    pub client: ClientKey,
    /// The app.
    #[serde(rename = "appKey")]
    pub app: AppKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_any_text_within_the_bounds() {
        for text in ["a", "jira:3f2f5e8a", "größe", &"x".repeat(255)] {
            assert_eq!(ClientKey::new(text).map(|k| k.as_str().to_owned()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn refuses_empty_long_and_control_characters() {
        for text in ["", "a\0b", "a\nb", "a\u{85}b", &"x".repeat(256), &"ü".repeat(128)] {
            assert_eq!(ClientKey::new(text), Err(InvalidKey), "{text:?}");
        }
    }
}
