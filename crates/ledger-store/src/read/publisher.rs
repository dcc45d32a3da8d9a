//! How far decisions and dead letters were published.
//!
//! The publisher follows the log at its own pace, so its place is written beside the batches and is no part
//! of what replicas agree on. It is not synced: after a power cut it may stand further back, and what was
//! published since is published again, which the stable ids of the messages allow for.

use std::sync::Arc;

use ledger_record::key::{Family, MetaKey};
use ledger_record::rows::PublisherCursor as Row;
use rocksdb::{ReadOptions, WriteBatch, WriteOptions};

use crate::error::{ReadError, StorageError};
use crate::read::reader::OpenShard;

/// The publisher's own place in the shard.
#[derive(Debug, Clone)]
pub struct PublisherCursor {
    open: Arc<OpenShard>,
}

impl PublisherCursor {
    pub(crate) fn new(open: Arc<OpenShard>) -> Self {
        Self { open }
    }

    /// Position of the next record to publish.
    pub fn get(&self) -> Result<u64, ReadError> {
        let key = MetaKey::Publisher.encode();
        let row = self.open.database.row(Family::Meta, &key, &ReadOptions::default(), Row::decode)?;
        Ok(row.unwrap_or_default().next_position)
    }

    /// Everything before this position was acknowledged by the broker.
    pub fn set(&self, next_position: u64) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        let meta = self.open.database.family(Family::Meta)?;
        batch.put_cf(meta, MetaKey::Publisher.encode(), Row { next_position }.encode());
        self.open.database.write(batch, &WriteOptions::default())
    }
}
