//! How messages arrive. In: the partitions that the consumer group assigns. Out: batches in their shards, or a halt.

pub(crate) mod contact;
pub(crate) mod continuity;
pub(crate) mod group;
pub(crate) mod group_progress;
pub(crate) mod membership;
pub(crate) mod mending;
pub(crate) mod side_by_side;
pub(crate) mod worker;

pub use continuity::Halt;
pub use group::{Ingest, StartError};
pub use worker::REFUSED_MESSAGES;
