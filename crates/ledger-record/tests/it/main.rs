//! Tests of the bytes and texts that the crate promises.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test: what fails is the finding")]

mod codec;
mod golden;
mod json;
mod proof;
mod samples;
mod strategies;
