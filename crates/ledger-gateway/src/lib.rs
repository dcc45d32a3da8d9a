//! How hooks come in: what Atlassian sends to an app becomes events, durable before it is answered.
//!
//! A room imports only rooms below it.
//!
//! - [`journal`]: events on disk, in order, until they are where they are to go. Knows nothing of hooks.

pub mod journal;
mod limits;
