//! Folding a history anew around a late record (rules 2.2), without folding all of it.
//!
//! A late record changes nothing before its place, and often nothing long after it. So states of the fold are kept
//! here and there along the history: folding begins at the last one before the record, goes on side by side without
//! and with it, and ends where both agree. What is folded is what the record can have changed, not the history: a
//! tenant of 100,000 records of which every tenth is late would be quadratic otherwise.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use crate::event::Event;
use crate::ids::AppKey;
use crate::tenant::{Change, Correction, Entry, Outcome, Summary, Tenant};
use crate::time::Timestamp;
use crate::timeline::AppTimelines;

/// Records between two states that are kept.
const RECORDS_PER_STATE: usize = if cfg!(test) { 3 } else { 256 };

/// Place in effective order, app-level records aside: event time, then arrival.
type Place = (Timestamp, u64);

/// The records of a tenant in effective order, with states of their fold.
#[derive(Debug, Clone)]
pub struct Refold<E> {
    /// By place.
    records: Vec<(u64, E)>,
    /// The state after the record of a place, by place.
    states: Vec<(Place, Tenant)>,
}

impl<E> Default for Refold<E> {
    fn default() -> Self {
        Self { records: Vec::new(), states: Vec::new() }
    }
}

impl<E: Borrow<Event>> FromIterator<(u64, E)> for Refold<E> {
    fn from_iter<I: IntoIterator<Item = (u64, E)>>(records: I) -> Self {
        let mut records: Vec<_> = records.into_iter().collect();
        records.sort_by_key(place);
        Self { records, states: Vec::new() }
    }
}

fn place<E: Borrow<Event>>((seq, event): &(u64, E)) -> Place {
    (event.borrow().time, *seq)
}

fn entry<E: Borrow<Event>>((seq, event): &(u64, E)) -> Entry<'_> {
    Entry { seq: *seq, event: event.borrow() }
}

impl<E: Borrow<Event>> Refold<E> {
    /// How many records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Applies the next record of the tenant, late or not.
    pub fn append(&mut self, tenant: &mut Tenant, seq: u64, event: E, apps: &AppTimelines) -> Outcome {
        if !tenant.is_last(event.borrow()) {
            return self.append_late(tenant, seq, event, apps);
        }
        let outcome = tenant.append(Entry { seq, event: event.borrow() }, apps);
        self.push(seq, event, tenant);
        outcome
    }

    /// Adds a record that [`Tenant::append`] has applied; `after` is the state since.
    pub fn push(&mut self, seq: u64, event: E, after: &Tenant) {
        let record = (seq, event);
        let at = place(&record);
        if self.records.last().is_none_or(|last| place(last) < at) {
            self.records.push(record);
            if self.records.len().is_multiple_of(RECORDS_PER_STATE) {
                self.states.push((at, after.clone()));
            }
        } else {
            // It concerns other installations than the records after it, whose states lack it.
            self.states.truncate(self.states.partition_point(|(kept, _)| *kept < at));
            self.records.insert(self.records.partition_point(|kept| place(kept) < at), record);
        }
    }

    /// Applies a record that sorts before one already applied. The outcome holds the record's own decision and
    /// anomalies at its place, and the corrections of what comes after it.
    pub fn append_late(&mut self, tenant: &mut Tenant, seq: u64, event: E, apps: &AppTimelines) -> Outcome {
        let late = (seq, event);
        let at = place(&late);
        let index = self.records.partition_point(|record| place(record) < at);
        let without = self.state_before(index, apps);
        let mut with = without.clone();
        let own = with.advance(entry(&late), apps);
        let mut both = BeforeAfter { without, with, corrections: BTreeMap::new() };
        let later = self.states.split_off(self.states.partition_point(|(kept, _)| *kept < at));
        self.fold_side_by_side(index, &mut both, apps, later, tenant);
        let changes = both.changes(own);
        self.records.insert(index, late);
        *tenant = both.with;
        Outcome { late: true, changes }
    }

    /// Folds anew what a late app-level event changes, from its time on, under the timelines before and after it. The
    /// changes are corrections only.
    pub fn correct(
        &mut self,
        tenant: &mut Tenant,
        (app, time): (&AppKey, Timestamp),
        before: &AppTimelines,
        after: &AppTimelines,
    ) -> Vec<Change> {
        let index = self.records.partition_point(|record| record.1.borrow().time < time);
        let state = self.state_before(index, before);
        let mut both = BeforeAfter { without: state.clone(), with: state, corrections: BTreeMap::new() };
        // Where both agree they may differ again: the event is in force from its time on.
        self.states.truncate(self.states.partition_point(|((kept, _), _)| *kept < time));
        for (number, record) in self.records.iter().enumerate().skip(index) {
            both.advance(entry(record), before, after);
            keep(&mut self.states, number, place(record), &both.with);
        }
        let mut changes = both.changes(Vec::new());
        changes.retain(|change| change.app == *app);
        *tenant = both.with;
        changes
    }

    /// The state before the record of an index.
    fn state_before(&mut self, index: usize, apps: &AppTimelines) -> Tenant {
        let end = self.records.get(index).map(place);
        let kept = self.states.partition_point(|(kept, _)| end.is_none_or(|end| *kept < end));
        let (from, mut state) = match kept.checked_sub(1).and_then(|last| self.states.get(last)) {
            Some((at, state)) => (self.records.partition_point(|record| place(record) <= *at), state.clone()),
            None => (0, Tenant::default()),
        };
        let later = self.states.split_off(kept);
        for (number, record) in self.records.iter().enumerate().take(index).skip(from) {
            state.advance(entry(record), apps);
            keep(&mut self.states, number, place(record), &state);
        }
        self.states.extend(later);
        state
    }

    /// Folds the records from an index on until both states agree; from there on `later` states hold again, and
    /// `last` is the state after all records.
    fn fold_side_by_side(
        &mut self,
        index: usize,
        both: &mut BeforeAfter,
        apps: &AppTimelines,
        later: Vec<(Place, Tenant)>,
        last: &Tenant,
    ) {
        for (number, record) in self.records.iter().enumerate().skip(index) {
            if both.without == both.with {
                let here = place(record);
                self.states.extend(later.into_iter().filter(|(kept, _)| *kept >= here));
                both.without = last.clone();
                both.with = last.clone();
                return;
            }
            both.advance(entry(record), apps, apps);
            keep(&mut self.states, number + 1, place(record), &both.with);
        }
    }
}

/// Keeps the state after the record of a number, now and then.
fn keep(states: &mut Vec<(Place, Tenant)>, number: usize, at: Place, state: &Tenant) {
    if (number + 1).is_multiple_of(RECORDS_PER_STATE) {
        states.push((at, state.clone()));
    }
}

/// Two folds of the same records, one without and one with something late.
struct BeforeAfter {
    without: Tenant,
    with: Tenant,
    corrections: BTreeMap<AppKey, CorrectionSpan>,
}

/// The outcomes that differ so far.
#[derive(Clone, Copy)]
struct CorrectionSpan {
    first_seq: u64,
    count: u64,
}

impl BeforeAfter {
    fn advance(&mut self, entry: Entry<'_>, before: &AppTimelines, after: &AppTimelines) {
        let without = self.without.advance(entry, before);
        let with = self.with.advance(entry, after);
        let lost = without.iter().filter(|old| !with.contains(old)).map(|old| &old.app);
        let gained =
            with.iter().filter(|new| without.iter().all(|old| old.app != new.app)).map(|new| &new.app);
        for app in lost.chain(gained) {
            let corrected = self
                .corrections
                .entry(app.clone())
                .or_insert(CorrectionSpan { first_seq: entry.seq, count: 0 });
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
                before: known.map(|known| Summary::new(known, self.without.product_realm)),
                after: Summary::new(installation, self.with.product_realm),
                decision,
                anomalies,
                correction,
            })
        });
        changes.collect()
    }
}

/// The decision that the record itself corrected comes before all that follow it.
fn merge(own: Option<Correction>, following: Option<CorrectionSpan>) -> Option<CorrectionSpan> {
    let own = own.map(|own| CorrectionSpan { first_seq: own.first_seq, count: own.count });
    match (own, following) {
        (Some(own), Some(following)) => {
            Some(CorrectionSpan { first_seq: own.first_seq, count: own.count + following.count })
        }
        (own, following) => own.or(following),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{AppFact, Body, InstallationFact, Installed, TenantFact};
    use crate::history::in_order;
    use crate::ids::{ClientKey, EventId};
    use crate::policy::Policy;
    use crate::realm::Realm;

    /// Numbers that look random and are the same every time.
    struct TestDice(u64);

    impl TestDice {
        fn throw(&mut self, sides: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % sides
        }
    }

    fn realm(dice: &mut TestDice) -> Realm {
        Realm::parse(["EU", "US", "DE"][usize::try_from(dice.throw(3)).unwrap()]).unwrap()
    }

    fn app(dice: &mut TestDice) -> AppKey {
        AppKey::new(if dice.throw(2) == 0 { "a" } else { "b" }).unwrap()
    }

    fn event(dice: &mut TestDice, number: u64) -> Event {
        let client = ClientKey::new("acme").unwrap();
        let minutes = i64::try_from(number * 10 + dice.throw(4) * dice.throw(200)).unwrap();
        let body = match dice.throw(12) {
            0 => Body::Tenant { client, fact: TenantFact::ProductMoved { product_realm: realm(dice) } },
            1 => {
                let fact = AppFact::PolicySet {
                    policy: Policy::Days { days: 1 + u32::try_from(dice.throw(3)).unwrap() },
                };
                Body::App { app: app(dice), fact }
            }
            kind => {
                let fact = match kind {
                    2..=5 => {
                        let endpoint_realm = Some(realm(dice));
                        InstallationFact::Installed(Box::new(Installed {
                            endpoint_realm,
                            ..Installed::default()
                        }))
                    }
                    6..=8 => InstallationFact::Uninstalled { endpoint_realm: None, installation_id: None },
                    9 => InstallationFact::Enabled,
                    _ => InstallationFact::DataLocated { realm: realm(dice) },
                };
                Body::Installation { client, app: app(dice), fact }
            }
        };
        let id = EventId::new(format!("e{number}")).unwrap();
        Event { id, time: Timestamp::from_millis(minutes * 60_000), actor: None, reason: None, body }
    }

    /// All records folded from zero, side by side without and with something late.
    fn folded_whole(
        records: &[(u64, Event)],
        late: Option<&(u64, Event)>,
        (before, after): (&AppTimelines, &AppTimelines),
    ) -> (Tenant, Vec<Change>) {
        let entries: Vec<_> = records.iter().chain(late).map(entry).collect();
        let mut both =
            BeforeAfter { without: Tenant::default(), with: Tenant::default(), corrections: BTreeMap::new() };
        let mut own = Vec::new();
        for entry in in_order(&entries, Timestamp::MAX) {
            if late.is_some_and(|late| late.0 == entry.seq) {
                own = both.with.advance(entry, after);
            } else {
                both.advance(entry, before, after);
            }
        }
        (both.with.clone(), both.changes(own))
    }

    #[test]
    fn folding_from_a_kept_state_gives_what_folding_everything_gives() {
        let (mut late_records, mut corrected) = (0, 0);
        for seed in 0..60 {
            let mut dice = TestDice(seed);
            let (mut tenant, mut refold) = (Tenant::default(), Refold::default());
            let (mut apps, mut records) = (AppTimelines::default(), Vec::new());
            for number in 1..=80 {
                let event = event(&mut dice, number);
                if let Body::App { app, fact } = &event.body {
                    let before = apps.clone();
                    apps.insert(app, event.time, event.id.clone(), fact);
                    if tenant.looked_up_since(app, event.time) {
                        let (whole, mut changes) = folded_whole(&records, None, (&before, &apps));
                        changes.retain(|change| change.app == *app);
                        corrected += changes.len();
                        let found = refold.correct(&mut tenant, (app, event.time), &before, &apps);
                        assert_eq!((&tenant, found), (&whole, changes), "seed {seed}, event {number}");
                    }
                    continue;
                }
                let is_last = tenant.is_last(&event);
                let record = (number, event.clone());
                let whole = folded_whole(&records, Some(&record), (&apps, &apps));
                let outcome = refold.append(&mut tenant, number, event, &apps);
                assert_eq!(tenant, whole.0, "seed {seed}, event {number}");
                if !is_last {
                    late_records += 1;
                    assert_eq!(outcome.changes, whole.1, "seed {seed}, event {number}");
                }
                records.push(record);
            }
        }
        assert!(late_records > 500 && corrected > 100, "{late_records} late, {corrected} corrected");
    }
}
