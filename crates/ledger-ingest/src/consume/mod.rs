//! How messages arrive. In: the partitions that the consumer group assigns. Out: batches in their shards, or a halt.
//!
//! ```text
//!   group ──► owner ──► worker (of each partition: reader ─► writer) ──► shard
//!     │         │ ▲
//!     │         ▼ │ Assigned, Revoked, Lost
//!     │  partitions │        what is to be done: a pure state machine
//!     └─► client ──► callbacks
//! ```
//!
//! Imports go one way: `group` ► `owner` ► `opening` ► `worker` ► `group_progress` ► `callbacks` ► `contact`, and
//! `partitions` and `continuity` import none of them.

mod callbacks;
mod contact;
pub(crate) mod continuity;
mod group;
mod group_progress;
mod mending;
mod opening;
mod owner;
mod partitions;
mod subscription;
mod worker;

pub use continuity::Halt;
pub use group::{Ingest, IngestError};
pub use worker::REFUSED_MESSAGES;
