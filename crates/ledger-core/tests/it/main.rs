//! The rules against worked histories, generated ones, and the rows that neither reaches.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "only the fold itself is pure")]

mod generated;
mod ledger;
mod properties;
mod reader;
mod rows;
mod scenarios;
mod shown;
