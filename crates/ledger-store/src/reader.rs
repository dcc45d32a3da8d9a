//! Reads of a shard.
use std::sync::Arc;
use std::time::Duration;

use ledger_core::ids::ClientKey;

use crate::ShardId;
use crate::error::{Poison, ReadError, WaitError};
use crate::snapshot::Snapshot;

/// Reads of one shard, beside its writer or on a read-only opening. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reader {}

impl Reader {
    /// Which shard.
    pub fn shard(&self) -> &ShardId {
        todo!()
    }
    /// Everything as of one moment.
    pub fn snapshot(&self) -> Snapshot<'_> {
        todo!()
    }
    /// As [`Self::snapshot`], once the record at `position` is there. On a read-only opening nothing new ever
    /// comes, so it does not wait.
    pub fn snapshot_at_least(&self, _position: u64, _timeout: Duration) -> Result<Snapshot<'_>, WaitError> {
        todo!()
    }
    /// Position of the next record: everything before it is durable.
    pub fn next_position(&self) -> u64 {
        todo!()
    }
    /// Why the writer stopped, if so: what is read is no longer fresh.
    pub fn poisoned(&self) -> Option<Arc<Poison>> {
        todo!()
    }
    /// Whether a tenant's row is, byte for byte, the fold of its log from zero; true when there is none and
    /// there is no log.
    pub fn check_tenant(&self, _client: &ClientKey) -> Result<bool, ReadError> {
        todo!()
    }
}
