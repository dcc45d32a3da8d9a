//! What the whole program makes of a data directory that somebody has changed on disk. It stands here, because
//! no other crate may write into a shard behind the store's back.

#![expect(clippy::unwrap_used, reason = "a test: what fails is the finding")]

mod forger;
mod lies;
