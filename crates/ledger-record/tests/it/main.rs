//! Tests of what the crate promises to those who read its bytes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test: what fails is the finding")]

mod codec;
mod golden;
mod json;
mod proof;
mod samples;
mod strategies;
