//! The small parts that views are made of.

use std::borrow::Cow;

use ledger_core::event::SubscriptionState;
use ledger_core::realm::Realm;
use ledger_core::state::{AnomalyCode, MigrationPhase, PinnedBy, Rule, Status};
use ledger_core::time::Timestamp;
use ledger_core::view::WindowState;
use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

use super::time::{format_instant, parse_instant};
use crate::rejection::Reason;

/// A realm, as its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(pub Realm);

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Realm::parse(&text).map(Self).map_err(D::Error::custom)
    }
}

/// An instant, as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instant(pub Timestamp);

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_instant(self.0))
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        parse_instant(&text).map(Self).map_err(D::Error::custom)
    }
}

/// A closed set of words.
pub trait Worded: Copy + 'static {
    /// Every value.
    const VALUES: &'static [Self];

    /// The word used everywhere outside.
    fn word(self) -> &'static str;
}

macro_rules! worded {
    ($($type:ident)+) => {$(
        impl Worded for $type {
            const VALUES: &'static [Self] = Self::ALL;

            fn word(self) -> &'static str {
                self.as_str()
            }
        }
    )+};
}

worded! { Status PinnedBy Rule AnomalyCode MigrationPhase SubscriptionState Reason }

impl Worded for WindowState {
    const VALUES: &'static [Self] = &[Self::Open, Self::Closed];

    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// A word of a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word<T>(pub T);

impl<T: Worded> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.word())
    }
}

impl<'de, T: Worded> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let value = T::VALUES.iter().find(|value| value.word() == text);
        value.map(|value| Self(*value)).ok_or_else(|| D::Error::custom("a word that is not known"))
    }
}

/// Whether a flag is not worth showing.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(super) const fn is_false(flag: &bool) -> bool {
    !*flag
}
