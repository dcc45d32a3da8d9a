//! The one writer of a shard. In: events and refused messages. Out: one atomic, synced write for a batch.

pub(crate) mod batch;
mod pending_commit;
pub(crate) mod shard;
