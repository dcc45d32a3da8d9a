//! Tests of what the crate promises to those who read its bytes.

mod codec;
mod golden;
mod json;
mod samples;
mod strategies;
