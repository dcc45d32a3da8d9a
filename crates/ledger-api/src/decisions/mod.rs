//! Decisions and corrections as a stream: those since a cursor, then each new one once it is durable.
//!
//! In: a [`Ledger`](crate::ledger::Ledger), a cursor ([`DecisionsFrom`]), a [`DecisionFilter`]. Out: a [`Subscription`],
//! a stream of [`DecisionItem`]s with the cursor behind each. No door is known here: HTTP writes the items as lines or
//! events, and another door takes the same stream.
//!
//! ```text
//!   log ──► tail (one thread) ──► ring ──► feed of each live subscription ──► Subscription ──► door
//!    └────── reader threads, shared reads ► feed of each that catches up ──────┘
//! ```
//!
//! - `notices`: records in, notices out. Their JSON is made once, and is what the topic of decisions has.
//! - `place`, `ring`: where a subscription is, and why there is no gap and no repeat between the log and what is new.
//! - `mark`: what a cursor belongs to, so that none of another ledger is taken.
//! - `feed`: what a subscription does next, and when it is too far behind.
//! - `hub`, `tail`, `shared_reads`: what all subscriptions share.
//!
//! # What holds for every subscription
//!
//! - It has the shards that this process is assigned, each in the order of its log. One that is assigned later is taken
//!   up from its place in the cursor; one that is released, or does not read, is reported.
//! - Only what survives a power loss is reported (I-7).
//! - The cursor counts what the filter leaves out, so a rare decision does not mean a long way back.
//! - What those that catch up read of the log is read once for all that come along. Eight of them, and eight live ones, make a
//!   portion at a time: a thousand leave questions their answers.
//! - It costs two portions of some ten kilobytes while its client does not read, and no thread (I-8).

mod end;
mod feed;
mod filter;
mod hub;
mod mark;
pub(crate) mod metric;
mod notices;
mod place;
mod ring;
mod shared_reads;
mod so_far;
mod subscription;
mod tail;

pub use end::DecisionsEnd;
pub use filter::DecisionFilter;
pub use hub::Decisions;
pub use notices::Notice;
pub use place::{DecisionCursor, DecisionsFrom, InvalidDecisionCursor};
pub(crate) use so_far::{DecisionsSoFar, read_so_far};
pub use subscription::{DecisionItem, ShardChange, ShardState, Subscription};
