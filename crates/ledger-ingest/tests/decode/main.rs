//! Decoding, seen from outside: messages in, events or rejections out.

#![expect(clippy::unwrap_used, reason = "a test says what it expects and stops there")]

mod connect;
mod encodings;
mod faults;
mod field;
mod foreign;
mod properties;
mod proto_files;
mod samples;
mod secrets;
