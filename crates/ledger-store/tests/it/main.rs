//! The whole program on a data directory that was changed on disk. The tests are here, because no other crate may
//! write into a shard without the store.

#![expect(clippy::unwrap_used, reason = "a test: what fails is the finding")]

mod forger;
mod lies;
