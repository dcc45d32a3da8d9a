//! How messages arrive. In: the partitions that the consumer group assigns. Out: batches in their shards, or a halt.

mod contact;
pub(crate) mod continuity;
mod group;
mod group_progress;
mod membership;
mod mending;
mod side_by_side;
mod worker;

pub use continuity::Halt;
pub use group::{Ingest, StartError};
pub use worker::REFUSED_MESSAGES;
