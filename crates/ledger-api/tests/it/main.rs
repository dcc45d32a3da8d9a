//! The queries over real stores, and the server over real sockets.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects and stops there")]

mod access;
mod call;
mod checkpoints;
mod commands;
mod corrections;
mod decisions;
mod documented;
mod drift;
mod filled;
mod frames;
mod freshness;
mod grpc;
mod http;
mod http2;
mod lineage;
mod lists;
mod load;
mod mirror;
mod openssl;
mod page;
mod past;
mod problems;
mod proof;
mod quarantine;
mod ready;
mod replay;
mod search;
mod shards;
mod site;
mod streams;
mod tls;
mod web_tokens;
mod whatif;
