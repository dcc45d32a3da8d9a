//! Instants and days. No derivation reads this machine's clock: instants come in with events and queries.

use serde::{Deserialize, Serialize};

use crate::limits::DAY_MS;

/// An instant in UTC, in milliseconds since the Unix epoch; finer input is truncated at the edges.
///
/// To serde it is a number named `Timestamp`: a format for people writes the text of the instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Before every other instant.
    pub const MIN: Self = Self(i64::MIN);
    /// After every other instant.
    pub const MAX: Self = Self(i64::MAX);

    /// The instant that many milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Milliseconds from `earlier` to this instant, negative when it is the later one.
    #[must_use]
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This instant and so many milliseconds, at most the last instant.
    #[must_use]
    pub const fn plus_millis(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// This instant and so many days of 24 hours.
    #[must_use]
    pub const fn plus_days(self, days: u32) -> Self {
        self.plus_millis((days as i64).saturating_mul(DAY_MS))
    }
}
