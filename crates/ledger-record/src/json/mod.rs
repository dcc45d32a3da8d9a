//! What users see: JSON in lowerCamelCase, absent values omitted, instants as RFC 3339 in UTC with exactly
//! three decimals, closed sets as the words of the rules.
//!
//! Every door shows these same views: the command line, HTTP, and the topic of decisions. They are twins of
//! the domain types, as the stored ones are, and know nothing of those. The order of the fields is part of
//! what is promised. A view is written from borrowed values; the state, which a client of a server draws as
//! a table, can be read back too.
//!
//! - [`state`]: an installation at an instant, its decision, window, migration, policy.
//! - [`event`]: an event in the native form, which decodes to the same event.
//! - [`record`]: a line of a log, what it changed, and refused input.
//! - [`notice`]: decisions and corrections as `CloudEvents`.
//! - [`explanation`]: why an installation is where it is.
//! - [`corrected`]: an answer that a late event changed.
//! - [`whatif`]: what another policy would have meant.
//! - [`time`]: instants as text.

pub mod corrected;
pub mod event;
pub mod explanation;
pub mod notice;
mod parts;
pub mod record;
pub mod state;
pub mod time;
pub mod whatif;

pub use parts::{Instant, Place, Word, Worded};
