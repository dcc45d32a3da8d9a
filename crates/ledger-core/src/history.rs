//! Folding a history (rules 2.2, 2.4): from zero, and as of an instant.
//!
//! Everything here takes entries in any order and folds them in effective order. Around a late record a history is
//! folded by [`crate::refold`].

use crate::fold::FoldMode;
use crate::tenant::{Change, Entry, Tenant};
use crate::time::Timestamp;
use crate::timeline::AppTimelines;

/// A record in effective order, and what it changed at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced<'a> {
    /// The record.
    pub entry: Entry<'a>,
    /// Every installation it changed, by app.
    pub changes: Vec<Change>,
}

impl Tenant {
    /// The fold of a tenant's whole history.
    #[must_use]
    pub fn from_history(entries: &[Entry<'_>], apps: &AppTimelines) -> Self {
        Self::as_of(entries, apps, Timestamp::MAX)
    }

    /// The fold of the records with event time ≤ `at` (rules 2.4). What was known when is the caller's
    /// business: entries and timelines hold what was recorded by then.
    #[must_use]
    pub fn as_of(entries: &[Entry<'_>], apps: &AppTimelines, at: Timestamp) -> Self {
        let mut tenant = Self::default();
        for entry in in_order(entries, at) {
            tenant.apply(entry, apps, FoldMode::Actual);
        }
        tenant
    }
}

/// What every record up to an instant changed at its place, in effective order.
#[must_use]
pub fn trace<'a>(entries: &[Entry<'a>], apps: &AppTimelines, at: Timestamp) -> Vec<Traced<'a>> {
    let mut tenant = Tenant::default();
    let ordered = in_order(entries, at).into_iter();
    ordered.map(|entry| Traced { entry, changes: tenant.advance(entry, apps) }).collect()
}

/// The records up to an instant, in effective order.
pub(crate) fn in_order<'a>(entries: &[Entry<'a>], at: Timestamp) -> Vec<Entry<'a>> {
    let mut ordered: Vec<_> = entries.iter().copied().filter(|entry| entry.event.time <= at).collect();
    ordered.sort_unstable_by_key(Entry::place);
    ordered
}
