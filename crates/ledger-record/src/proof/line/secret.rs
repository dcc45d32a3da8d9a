//! What payloads are committed to with.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hash::{Hash, Keyed};

/// The bytes from which the salts of a ledger are derived. Kept outside the data directory and its backups.
#[derive(Clone)]
pub struct LedgerSecret(Keyed);

impl PartialEq for LedgerSecret {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint() == other.fingerprint()
    }
}

impl Eq for LedgerSecret {}

impl LedgerSecret {
    /// Takes 32 random bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Keyed::new(&bytes))
    }

    /// Reads the 32 bytes as a file or a variable has them: in base64.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.trim()).ok()?;
        Some(Self::from_bytes(bytes.try_into().ok()?))
    }

    /// The secret of a log of that name which takes the place of another one: a salt of the old log that was shown to
    /// someone opens nothing here.
    #[must_use]
    pub fn of_successor(&self, name: &str) -> Self {
        Self::from_bytes(self.0.hash(&[b"realm-ledger/successor/v1\0", name.as_bytes()]).0)
    }

    /// Tells whether two secrets are the same, and nothing else of them: it may be kept where they may not.
    #[must_use]
    pub fn fingerprint(&self) -> Hash {
        self.0.hash(&[b"realm-ledger/secret/v1\0"])
    }

    /// The salt of record `n` of a stream.
    #[must_use]
    pub fn salt(&self, stream: Hash, n: u64) -> [u8; 32] {
        self.0.hash(&[b"realm-ledger/salt/v1\0", &stream.0, &n.to_be_bytes()]).0
    }
}

impl fmt::Debug for LedgerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LedgerSecret(…)")
    }
}

/// The commitment to a payload.
#[must_use]
pub fn commitment(salt: &[u8; 32], payload: &[u8]) -> Hash {
    Keyed::new(salt).hash(&[b"realm-ledger/payload/v1\0", payload])
}
