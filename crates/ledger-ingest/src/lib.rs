//! How events arrive and leave.
//!
//! ```text
//!   message ──► decode ──► apply ──► shard (ledger-store)            publish ──► output topics
//!                 │ every encoding,   │ offered, or refused with         ▲ tail of the log,
//!                 │ one judgement     │ what may be kept of it           │ own cursor
//!   consume (a partition) ────────────┤
//!   import (a file) ──────────────────┘
//! ```
//!
//! - [`decode`]: what a message says, or what is wrong with it: the reference of every field.
//! - [`redact`]: secrets go before anything is kept.
//! - [`quarantine`]: what may be kept of a refused message.
//! - [`apply`]: the one place where input meets the log.
//! - [`kafka`]: the client: options, topics, what brokers answer.
//! - [`consume`]: the consumer group, the owner of its partitions, and the two threads of each.
//! - [`publish`]: decisions, dead letters, ticks, and events of a file.
//! - [`sign`]: what is signed of a log, so that it never forks.
//! - [`topics`]: the topics with the settings they need.
//! - [`traces`]: the trace context of messages, on its way to what was decided.
//! - [`text`]: a file as a partner has it, read as lines.
//! - [`import`]: history from a file.
//! - [`placing`]: which partition a key belongs in.
//! - [`retry`]: one event of a refused message, once more.
//! - [`stopping`]: threads that end when they are asked to.
//!
//! A room imports only rooms below it: `consume`, `publish`, `sign` and `topics` use `kafka`, and none of them uses
//! another.
//!
//! Progress is remembered with the data and nowhere else (I-2), so what happens twice is recorded once (I-3);
//! what would pass over a message unseen stops the shard (I-4).

pub mod apply;
mod attempts;
pub mod consume;
pub mod decode;
pub mod import;
pub mod kafka;
pub mod metric;
pub mod placing;
mod proto;
pub mod publish;
pub mod quarantine;
pub mod redact;
pub mod retry;
pub mod sign;
pub mod stopping;
pub mod text;
pub mod topics;
pub mod traces;
