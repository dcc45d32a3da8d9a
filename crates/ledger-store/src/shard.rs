//! The writer of a shard.
use std::sync::Arc;

use ledger_record::rows::{ShardHead, SourcePosition};

use crate::ShardId;
use crate::batch::Batch;
use crate::error::{Poison, ReadError};
use crate::publisher::PublisherCursor;
use crate::reader::Reader;

/// The one writer of a shard. Dropping it closes the shard once the last [`Reader`] is gone too.
#[derive(Debug)]
pub struct Shard {}

impl Shard {
    /// Which shard.
    pub fn id(&self) -> &ShardId {
        todo!()
    }
    /// Reads beside the writer.
    pub fn reader(&self) -> Reader {
        todo!()
    }
    /// The publisher's own place, written independently of the batches.
    pub fn publisher_cursor(&self) -> PublisherCursor {
        todo!()
    }
    /// How far a source was read.
    pub fn source_position(&self, _source: &str) -> Result<Option<SourcePosition>, ReadError> {
        todo!()
    }
    /// Where the shard stands, as of the last commit.
    pub fn head(&self) -> ShardHead {
        todo!()
    }
    /// Begins a batch. A batch that is dropped instead of committed leaves nothing behind.
    pub fn begin(&mut self) -> Batch<'_> {
        todo!()
    }
    /// Why nothing more can be written, if so.
    pub fn poisoned(&self) -> Option<Arc<Poison>> {
        todo!()
    }
}
