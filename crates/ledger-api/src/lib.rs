//! How the ledger is asked: one set of queries, behind every door.
//!
//! - [`query`] has a type for each question and its answer, one file each: start there. The command line uses it
//!   directly.
//! - [`ledger`] is what they read: snapshots of the shards, and what may be said from them. Pure reading, the clock
//!   comes in as an argument.
//! - [`decisions`] is the one question that is never answered to its end: a stream of what is decided, for every door.
//! - [`access`] is who may ask, and of which apps.
//! - [`http`] puts the same questions behind `/v1`, with health and metrics beside them. Its header has the table of
//!   routes.
//! - [`grpc`] answers them as the service of `proto/`, through the same limits, by the descriptors in [`proto`].
//! - [`fn@serve`] opens both on one listener.
//! - [`action`] is the table of what a server is told to do, beside the questions.
//! - [`backup`](mod@backup): what a backup of a running server is asked with, and answers.
//! - `page` is what a browser is given under `/`; it asks the routes of [`http`] and nothing else.
//! - [`command`] takes an operator's event to the topic, and tells what it would change.
//! - [`problem`] has every code that stands in place of an answer.
//! - [`limits`] has every bound.
//!
//! # Invariants
//!
//! - Nothing here writes: the crate sees a shard through its `Reader` and its `ShardStatus` only. What is done to a
//!   ledger is handed in by the program.
//! - I-8, bounded: pages, requests in flight, connections, sizes and times have limits; beyond them there is
//!   a clear refusal. A client that reads slowly costs one place among the requests, and not forever.
//! - I-9, isolation: a shard that stopped, or that could not be opened, is named in what it concerns and does
//!   not keep the others from answering.
//! - What is not known is not claimed: `not-found` is said only when every shard could be asked and is fed by
//!   this process, and a tenant that two shards have is refused.

#![forbid(unsafe_code)]

pub mod access;
pub mod action;
mod authorities;
pub mod backup;
pub mod command;
pub mod decisions;
mod grpc;
pub mod http;
pub mod ledger;
pub mod limits;
mod openapi;
mod page;
pub mod problem;
mod proto;
pub mod query;
mod server;

pub use authorities::{CertificatesError, client_tls};
pub use http::serve_admin;
pub use server::{router, serve};
mod readers;
