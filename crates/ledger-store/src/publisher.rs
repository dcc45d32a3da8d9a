//! How far decisions and dead letters were published.
use crate::error::{ReadError, StorageError};

/// The publisher's own place in the shard: it moves independently of the writer's batches.
#[derive(Debug, Clone)]
pub struct PublisherCursor {}

impl PublisherCursor {
    /// Position of the next record to publish.
    pub fn get(&self) -> Result<u64, ReadError> {
        todo!()
    }
    /// Everything before this position was acknowledged by the broker.
    pub fn set(&self, _next_position: u64) -> Result<(), StorageError> {
        todo!()
    }
}
