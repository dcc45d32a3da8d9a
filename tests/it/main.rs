//! All integration tests: one binary, so that everything is linked once and one Kafka broker serves them all. A file
//! here that is not a module of it fails `tidy::sources::every_source_file_is_a_module`.
#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up may fail it, inside a function marked as a test or beside it"
)]

mod access;
mod backups;
mod checkpoint_topic;
mod checkpoints;
mod commands;
mod decisions;
mod deploy;
mod endurance;
mod examples;
mod fenced;
mod foreign;
mod gateway;
mod group;
mod halts;
mod import;
mod ingest;
mod kafka_broker;
mod known;
mod load;
mod local;
mod object_store;
mod page;
mod placing;
mod program;
mod proofs;
mod publishing;
mod refill;
mod rules;
mod scenarios;
mod secrets;
mod service;
mod stops;
mod tidy;
mod topics;
mod traces;
