//! Reads of a shard, beside its writer or on a read-only opening.

use std::sync::Arc;
use std::time::Duration;

use ledger_core::ids::ClientKey;
use ledger_record::key::{Family, MetaKey};
use ledger_record::rows::ShardHead;
use rocksdb::ReadOptions;

use crate::ShardId;
use crate::db::database::{Database, damaged};
use crate::error::{Damage, OpenError, Poison, ReadError, WaitError};
use crate::read::progress::Progress;
use crate::read::publisher::PublisherCursor;
use crate::read::refold;
use crate::read::snapshot::Snapshot;

/// Reads of one shard. Cheap to clone; the shard stays open as long as there is one.
#[derive(Debug, Clone)]
pub struct Reader {
    open: Arc<OpenShard>,
}

/// What a writer and its readers share.
#[derive(Debug)]
pub(crate) struct OpenShard {
    pub(crate) database: Database,
    pub(crate) progress: Progress,
}

/// Where a shard stands; a shard that was only just made stands at the beginning.
pub(crate) fn read_head(database: &Database, options: &ReadOptions) -> Result<ShardHead, ReadError> {
    let head = database.row(Family::Meta, &MetaKey::Head.encode(), options, ShardHead::decode)?;
    if head.is_none() && !is_new(database, options)? {
        return Err(damaged(Family::Meta, &MetaKey::Head.encode(), Damage::Missing).into());
    }
    Ok(head.unwrap_or_default())
}

fn is_new(database: &Database, options: &ReadOptions) -> Result<bool, ReadError> {
    Ok(database.get(Family::Positions, &ledger_record::key::position(0), options)?.is_none())
}

impl Reader {
    pub(crate) fn new(open: Arc<OpenShard>) -> Self {
        Self { open }
    }

    pub(crate) fn of_read_only(database: Database) -> Result<Self, OpenError> {
        let head = read_head(&database, &ReadOptions::default())?;
        let progress = Progress::new(head.next_position, true);
        Ok(Self::new(Arc::new(OpenShard { database, progress })))
    }

    pub(crate) fn database(&self) -> &Database {
        &self.open.database
    }

    /// Which shard.
    pub fn shard(&self) -> &ShardId {
        self.open.database.id()
    }

    /// Everything as of one moment.
    pub fn snapshot(&self) -> Snapshot<'_> {
        Snapshot::new(&self.open.database)
    }

    /// As [`Self::snapshot`], once the record at `position` is there. On a read-only opening nothing new ever
    /// comes, so it does not wait.
    pub fn snapshot_at_least(&self, position: u64, timeout: Duration) -> Result<Snapshot<'_>, WaitError> {
        self.open.progress.wait_for(position, timeout)?;
        Ok(self.snapshot())
    }

    /// Position of the next record: everything before it is durable.
    pub fn next_position(&self) -> u64 {
        self.open.progress.next_position()
    }

    /// The publisher's own place, written independently of the batches. A read-only opening refuses to set it.
    pub fn publisher_cursor(&self) -> PublisherCursor {
        PublisherCursor::new(Arc::clone(&self.open))
    }

    /// Why the writer stopped, if so: what is read is no longer fresh.
    pub fn poisoned(&self) -> Option<Arc<Poison>> {
        self.open.progress.poison()
    }

    /// Whether a tenant's row is, byte for byte, the fold of its log from zero; true when there is neither.
    /// For sampled checks in production (I-1).
    pub fn check_tenant(&self, client: &ClientKey) -> Result<bool, ReadError> {
        refold::row_is_fold(&self.snapshot(), client)
    }
}
