//! How it is written: stored bytes, keys, and the JSON that every door shows.
pub mod record;
pub mod rejection;
pub mod rows;
