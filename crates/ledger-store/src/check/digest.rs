//! What replicas agree on, in a few bytes (I-5): a digest of every column family.
//!
//! Same partition, same bytes, however the messages were batched and however often the process was killed.
//! Left out is what a process keeps for itself: the publisher's place, the generation of the projections, and
//! what it found out about tenants of other shards.

use ledger_record::key::{Family, MetaKey};
use sha2::{Digest as _, Sha256};

use crate::db::scan::everything;
use crate::error::ReadError;
use crate::read::snapshot::Snapshot;

/// SHA-256 over all entries of a family, each key and value with its length before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FamilyDigest {
    /// Which family.
    pub family: Family,
    /// How many entries it has.
    pub entries: u64,
    /// The digest.
    pub sha256: [u8; 32],
}

impl Snapshot<'_> {
    /// A digest of every family. Reads the whole shard.
    pub fn digests(&self) -> Result<Vec<FamilyDigest>, ReadError> {
        Family::ALL.iter().map(|family| self.digest(*family)).collect()
    }

    fn digest(&self, family: Family) -> Result<FamilyDigest, ReadError> {
        let mut scan = self.database.scan(family, everything(), self.sweeping())?;
        let mut sha256 = Sha256::new();
        let mut entries = 0;
        while let Some((key, value)) = scan.step()? {
            if family == Family::Meta && MetaKey::is_own(key) {
                continue;
            }
            for part in [key, value] {
                sha256.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
                sha256.update(part);
            }
            entries += 1;
        }
        Ok(FamilyDigest { family, entries, sha256: sha256.finalize().into() })
    }
}
