//! What users see: JSON in lowerCamelCase, absent values omitted, instants as RFC 3339 in UTC with exactly
//! three decimals, closed sets as the words of the rules.
//!
//! Every door shows the same: the command line, HTTP, and the topic of decisions. Most of it is domain types, which
//! derive how they look; a view of its own has only what is put together for an answer, and embeds the rest. Both are
//! written by [`to_vec`] and its like alone: other writers do not know what a domain type leaves to the format. The
//! order of the fields is part of what is promised.
//!
//! - [`write`](mod@write): how it is written. An event is itself its native form, which decodes to the same event.
//! - `read`: how what was written is read.
//! - [`state`]: an installation at an instant.
//! - [`record`]: a line of a log, and refused input.
//! - [`notice`]: decisions and corrections as `CloudEvents`.
//! - [`explanation`]: why an installation is where it is.
//! - [`corrected`]: an answer that a late event changed.
//! - [`whatif`]: what another policy would have meant.
//! - [`time`]: instants as text.

pub mod corrected;
pub mod explanation;
pub mod notice;
pub(crate) mod read;
pub mod record;
pub mod state;
mod string;
pub mod time;
pub mod whatif;
pub mod write;

pub use write::{append, to_string, to_vec};

/// Whether a flag is not worth showing.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(crate) const fn is_false(flag: &bool) -> bool {
    !*flag
}
