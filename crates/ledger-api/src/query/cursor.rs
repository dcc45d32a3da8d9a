//! Where the next page of a list begins: opaque outside, a place in the order of the list inside.

use std::fmt;
use std::str::FromStr;

/// Where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {}

/// The text is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this ledger; take it from `nextCursor` as it is")]
pub struct InvalidCursor;

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(_text: &str) -> Result<Self, InvalidCursor> {
        Err(InvalidCursor)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
