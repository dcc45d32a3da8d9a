//! The queries over real stores, and the server over real sockets.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects and stops there")]

mod access;
mod checkpoints;
mod corrections;
mod drift;
mod filled;
mod freshness;
mod http;
mod lists;
mod load;
mod mirror;
mod openssl;
mod past;
mod problems;
mod proof;
mod quarantine;
mod ready;
mod replay;
mod shards;
mod streams;
mod tls;
mod web_tokens;
mod whatif;
