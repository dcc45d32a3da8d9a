//! How the ledger is asked: one set of queries, behind every door.
//!
//! [`query`] answers questions from snapshots of the shards: pure reading, the clock comes in as an argument.
//! The HTTP server and the command line both go through it, which is why they give the same answers.

#![forbid(unsafe_code)]

pub mod limits;
pub mod query;
