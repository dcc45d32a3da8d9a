//! How it is written: stored bytes, keys, and the JSON that every door shows.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod codec;
pub mod json;
pub mod key;
pub mod record;
pub mod rejection;
pub mod rows;
mod stored;
