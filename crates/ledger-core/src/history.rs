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
        Self::default().with(in_order(entries, at), apps)
    }

    fn with<'a>(mut self, ordered: impl IntoIterator<Item = Entry<'a>>, apps: &AppTimelines) -> Self {
        for entry in ordered {
            self.apply(entry, apps, FoldMode::Actual);
        }
        self
    }
}

/// The states of a long history at intervals: as of an instant, only the records since the last of them are folded.
#[derive(Debug, Clone)]
pub struct FoldedHistory {
    /// The effective order.
    order: Vec<(Timestamp, u64)>,
    /// The state after each of the records so far apart.
    states: Vec<Tenant>,
    interval: usize,
}

impl FoldedHistory {
    /// Keeps the state after every `interval` records.
    #[must_use]
    pub fn new(entries: &[Entry<'_>], apps: &AppTimelines, interval: usize) -> Self {
        let ordered = in_order(entries, Timestamp::MAX);
        let mut states: Vec<Tenant> = Vec::new();
        for records in ordered.chunks_exact(interval) {
            let before = states.last().cloned().unwrap_or_default();
            states.push(before.with(records.iter().copied(), apps));
        }
        Self { order: ordered.iter().map(Entry::place).collect(), states, interval }
    }

    /// How many records it has.
    #[must_use]
    pub const fn records(&self) -> usize {
        self.order.len()
    }

    /// How many states are kept.
    #[must_use]
    pub const fn states(&self) -> usize {
        self.states.len()
    }

    /// The seqs of the records that are missing from the kept state up to an instant: at most as many as lie between
    /// two states.
    #[must_use]
    pub fn missing(&self, at: Timestamp) -> Vec<u64> {
        let end = self.order.partition_point(|(time, _)| *time <= at);
        self.order[end - end % self.interval..end].iter().map(|(_, seq)| *seq).collect()
    }

    /// What [`Tenant::as_of`] gives of the whole history; `missing` are the records that are missing.
    #[must_use]
    pub fn as_of(&self, missing: &[Entry<'_>], apps: &AppTimelines, at: Timestamp) -> Tenant {
        let end = self.order.partition_point(|(time, _)| *time <= at);
        let kept = (end / self.interval).checked_sub(1).and_then(|last| self.states.get(last));
        kept.cloned().unwrap_or_default().with(in_order(missing, at), apps)
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
