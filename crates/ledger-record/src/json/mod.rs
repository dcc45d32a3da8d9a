//! What users see: JSON in lowerCamelCase, absent values omitted, instants as RFC 3339 in UTC with exactly
//! three decimals, closed sets as the words of the rules.
//!
//! Every door shows the same: the command line, HTTP, and the topic of decisions. Most of it is domain types, which
//! derive how they look; a type of its own has only what is put together for an answer, and embeds the rest. Both are
//! written by [`to_vec`] and its like alone: other writers do not know what a domain type leaves to the format. The
//! order of the fields is part of what is promised.
//!
//! In: any type that derives serde. Out: text, and the types of what is put together here.
//!
//! - [`write`](mod@write): how it is written. An event is itself its native form, which decodes to the same event.
//! - `read`: how what was written is read.
//! - [`record`]: a line of a log, and refused input.
//! - [`notice`]: decisions and corrections as `CloudEvents`.
//! - [`policy`]: a policy as people give it.
//! - [`time`]: instants as text.

pub mod notice;
mod order;
pub mod policy;
pub(crate) mod read;
pub mod record;
mod string;
pub mod time;
pub mod write;

pub use write::{append, to_string, to_vec};

/// The largest integer of a leaf, and of a question: the largest that every JSON reader holds exactly.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// An enum that is an object tells its variant in a member of its own name.
pub fn is_tag(name: &str) -> bool {
    name.bytes().next().is_none_or(|first| first.is_ascii_lowercase())
}

/// Whether a flag is not worth showing.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(crate) const fn is_false(flag: &bool) -> bool {
    !*flag
}
