//! Folding a history (rules 2.2, 2.4): from zero, as of an instant, and anew around a late record.
//!
//! Everything here takes entries in any order and folds them in effective order. What a late record means
//! for the records after it is found by folding side by side without and with it, comparing as it goes, so
//! that memory stays with the state and not with the history.

use std::collections::BTreeMap;

use crate::fold::Lens;
use crate::ids::AppKey;
use crate::tenant::{Change, Correction, Entry, Outcome, Summary, Tenant};
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
            tenant.apply(entry, apps, Lens::Actual);
        }
        tenant
    }

    /// Takes in the next record, late or not; `history` is what was taken in before.
    pub fn take_in(&mut self, history: &[Entry<'_>], entry: Entry<'_>, apps: &AppTimelines) -> Outcome {
        if self.is_last(entry.event) {
            return self.append(entry, apps);
        }
        let (tenant, outcome) = Self::append_late(history, entry, apps);
        *self = tenant;
        outcome
    }

    /// Takes in a late record: folds the history without and with it. The outcome holds the record's own
    /// decision and anomalies at its place, and the corrections of what came after it.
    #[must_use]
    pub fn append_late(history: &[Entry<'_>], late: Entry<'_>, apps: &AppTimelines) -> (Self, Outcome) {
        let ordered = in_order(history, Timestamp::MAX);
        let (earlier, later) =
            ordered.split_at(ordered.partition_point(|entry| entry.place() < late.place()));
        let mut without = Self::default();
        for entry in earlier {
            without.apply(*entry, apps, Lens::Actual);
        }
        let mut with = without.clone();
        let own = with.advance(late, apps);
        let mut twins = Twins { without, with, corrections: BTreeMap::new() };
        for entry in later {
            twins.advance(*entry, apps, apps);
        }
        let changes = twins.changes(own);
        (twins.with, Outcome { late: true, changes })
    }

    /// Takes in a late app-level event: folds the history under the timelines without and with it. The
    /// changes are corrections only.
    #[must_use]
    pub fn corrections_of_app_event(
        history: &[Entry<'_>],
        before: &AppTimelines,
        after: &AppTimelines,
        app: &AppKey,
    ) -> (Self, Vec<Change>) {
        let mut twins =
            Twins { without: Self::default(), with: Self::default(), corrections: BTreeMap::new() };
        for entry in in_order(history, Timestamp::MAX) {
            twins.advance(entry, before, after);
        }
        let mut changes = twins.changes(Vec::new());
        changes.retain(|change| change.app == *app);
        (twins.with, changes)
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

/// Two folds of the same records, one without and one with something late.
struct Twins {
    without: Tenant,
    with: Tenant,
    corrections: BTreeMap<AppKey, Corrected>,
}

/// The outcomes that differ so far.
#[derive(Clone, Copy)]
struct Corrected {
    first_seq: u64,
    count: u64,
}

impl Twins {
    fn advance(&mut self, entry: Entry<'_>, before: &AppTimelines, after: &AppTimelines) {
        let without = self.without.advance(entry, before);
        let with = self.with.advance(entry, after);
        let lost = without.iter().filter(|old| !with.contains(old)).map(|old| &old.app);
        let gained =
            with.iter().filter(|new| without.iter().all(|old| old.app != new.app)).map(|new| &new.app);
        for app in lost.chain(gained) {
            let corrected =
                self.corrections.entry(app.clone()).or_insert(Corrected { first_seq: entry.seq, count: 0 });
            corrected.count += 1;
        }
    }

    /// What the late record changed in all; `own` is what it did at its place.
    fn changes(&self, own: Vec<Change>) -> Vec<Change> {
        let mut own: BTreeMap<AppKey, Change> =
            own.into_iter().map(|change| (change.app.clone(), change)).collect();
        let changes = self.with.installations.iter().filter_map(|(app, installation)| {
            let known = self.without.installations.get(app);
            let at_its_place = own.remove(app);
            let (decision, anomalies, corrected) = match at_its_place {
                Some(change) => (change.decision, change.anomalies, change.correction),
                None => (None, Vec::new(), None),
            };
            let correction =
                merge(corrected, self.corrections.get(app).copied()).map(|corrected| Correction {
                    first_seq: corrected.first_seq,
                    count: corrected.count,
                    decision: installation.decision,
                });
            let changed = decision.is_some()
                || !anomalies.is_empty()
                || correction.is_some()
                || self.without.product_realm != self.with.product_realm
                || known.is_none_or(|known| known.differs_from(installation));
            changed.then(|| Change {
                app: app.clone(),
                before: known.map(|known| Summary::of(known, self.without.product_realm)),
                after: Summary::of(installation, self.with.product_realm),
                decision,
                anomalies,
                correction,
            })
        });
        changes.collect()
    }
}

/// The decision that the record itself corrected comes before all that follow it.
fn merge(own: Option<Correction>, following: Option<Corrected>) -> Option<Corrected> {
    let own = own.map(|own| Corrected { first_seq: own.first_seq, count: own.count });
    match (own, following) {
        (Some(own), Some(following)) => {
            Some(Corrected { first_seq: own.first_seq, count: own.count + following.count })
        }
        (own, following) => own.or(following),
    }
}
