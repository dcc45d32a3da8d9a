//! Properties of every history (I-1): the incremental state equals the fold from zero, arrival order does not matter,
//! nothing panics, and the changes of a record are complete.

use std::collections::{BTreeMap, BTreeSet};

use ledger_core::event::{Body, Event};
use ledger_core::history::{FoldedHistory, Traced, trace};
use ledger_core::ids::{AppKey, ClientKey, EventId};
use ledger_core::state::{Anomalies, Anomaly, FinishedMigrations, Installation};
use ledger_core::tenant::{Change, Correction, Tenant};
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimelines;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::generated::{extreme_history, history, history_without_ties};
use crate::ledger::{Arrival, Ledger, TenantLog};

proptest! {
    // A failing case becomes a named test in `rows`.
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn incremental_state_equals_the_fold_from_zero(events in history(40)) {
        let mut ledger = Ledger::default();
        for event in events {
            ledger.append(event);
            prop_assert_eq!(ledger.incremental(), ledger.folded_anew(Timestamp::MAX));
        }
    }

    #[test]
    fn arrival_order_does_not_change_the_states(
        (events, shuffled) in history_without_ties(40)
            .prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle()))
    ) {
        let (one, other) = (Ledger::from_events(events), Ledger::from_events(shuffled));
        prop_assert_eq!(without_seqs(&one), without_seqs(&other));
    }

    #[test]
    fn redelivery_changes_nothing(
        events in history(30),
        repeats in proptest::collection::vec(any::<(Index, Index)>(), 1..15),
    ) {
        let mut sent = events.clone();
        for (which, place) in &repeats {
            let event = which.get(&events);
            let first = sent.iter().position(|known| known.id == event.id).unwrap();
            // After its first occurrence, so that it is the duplicate.
            sent.insert(first + 1 + place.index(sent.len() - first), event.clone());
        }
        let (once, mut again) = (Ledger::from_events(events), Ledger::default());
        let arrivals: Vec<Arrival> = sent.into_iter().map(|event| again.append(event)).collect();
        let repeated = arrivals.iter().filter(|arrival| **arrival == Arrival::Duplicate).count();
        prop_assert_eq!(repeated, repeats.len());
        prop_assert_eq!(again.incremental(), once.incremental());
        for (client, kept) in &once.tenants {
            prop_assert_eq!(&again.tenants[client].outcomes, &kept.outcomes);
        }
    }

    #[test]
    fn state_as_of_an_instant_is_the_fold_of_earlier_events(events in history(40), day in 0..13_i64) {
        let at = Timestamp::from_millis(day * ledger_core::limits::DAY_MS);
        let then = Ledger::from_events(events.iter().filter(|event| event.time <= at).cloned());
        let now = Ledger::from_events(events);
        let at_least_one = |(_, tenant): &(ClientKey, Tenant)| *tenant != Tenant::default();
        let looked_back: BTreeMap<_, _> = now.folded_anew(at).into_iter().filter(at_least_one).collect();
        let apps: BTreeSet<_> = looked_back.values().flat_map(|tenant| tenant.installations.keys()).collect();
        let lived: Vec<_> = then.tenants.values().flat_map(|kept| kept.tenant.installations.keys()).collect();
        prop_assert_eq!(apps.into_iter().collect::<Vec<_>>(), lived);
        prop_assert_eq!(statuses(looked_back.values()), statuses(then.incremental().values()));
    }

    #[test]
    fn folded_history_gives_the_fold_as_of_any_instant(
        events in history(40),
        interval in 1..9_usize,
        day in -1..14_i64,
    ) {
        let at = Timestamp::from_millis(day * ledger_core::limits::DAY_MS);
        let ledger = Ledger::from_events(events);
        for kept in ledger.tenants.values() {
            let entries = kept.entries();
            let folded = FoldedHistory::new(&entries, &ledger.apps, interval);
            prop_assert_eq!((folded.records(), folded.states()), (entries.len(), entries.len() / interval));
            for at in [at, Timestamp::MAX] {
                let missing = folded.missing(at);
                prop_assert!(missing.len() < interval);
                let of_seq = |seq: &u64| *entries.iter().find(|entry| entry.seq == *seq).unwrap();
                let missing: Vec<_> = missing.iter().map(of_seq).collect();
                let expected = Tenant::as_of(&entries, &ledger.apps, at);
                prop_assert_eq!(folded.as_of(&missing, &ledger.apps, at), expected);
            }
        }
    }

    #[test]
    fn finished_migrations_equal_those_collected_from_their_parts(events in history(40)) {
        let ledger = Ledger::from_events(events);
        for state in ledger.tenants.values().flat_map(|kept| kept.tenant.installations.values()) {
            let again: FinishedMigrations = state.finished.iter().cloned().collect();
            prop_assert_eq!(&again, &state.finished);
        }
    }

    #[test]
    fn extreme_times_fold_without_panic(events in extreme_history(30)) {
        let ledger = Ledger::from_events(events);
        prop_assert_eq!(ledger.incremental(), ledger.folded_anew(Timestamp::MAX));
    }

    #[test]
    fn late_means_sorting_before_a_record_of_an_installation(events in history(25)) {
        let mut ledger = Ledger::default();
        let mut recorded: Vec<Event> = Vec::new();
        for event in events {
            if let Some(client) = event.client().cloned() {
                let known = ledger.tenants.get(&client).map(|kept| kept.tenant.clone()).unwrap_or_default();
                prop_assert_eq!(known.is_late(&event, &ledger.apps), is_late(&recorded, &event), "{:?}", event);
            } else if let Some((app, kept)) = event.app().zip(ledger.tenants.values().next()) {
                let latest = kept.tenant.latest_of(app);
                let late = ledger.apps.of(app).event_is_late(event.time, &event.id, latest);
                prop_assert_eq!(late, is_late(&recorded, &event), "{:?}", event);
            }
            recorded.push(event.clone());
            ledger.append(event);
        }
    }

    #[test]
    fn changes_and_corrections_match_the_refolded_outcomes(events in history(25)) {
        let mut ledger = Ledger::default();
        for event in events {
            let (before, apps_before) = (snapshot(&ledger), ledger.apps.clone());
            let client = event.client().cloned();
            ledger.append(event.clone());
            for (key, kept) in &ledger.tenants {
                let (tenant_before, traced_before) = before.get(key).cloned().unwrap_or_default();
                let (changes, own_seq) = match &client {
                    Some(client) if client == key => {
                        let changes = &kept.outcomes.last().unwrap().changes;
                        check_changes(&tenant_before, &kept.tenant, changes, &apps_before, event.time)?;
                        (changes, Some(kept.log.len() as u64))
                    }
                    Some(_) => continue,
                    None => (&kept.app_event_changes, None),
                };
                let entries = kept.entries();
                let traced_after = by_seq(&trace(&entries, &ledger.apps, Timestamp::MAX));
                check_corrections(&traced_before, &traced_after, own_seq, changes, kept)?;
            }
        }
    }
}

type Outcomes = BTreeMap<u64, Vec<Change>>;

fn by_seq(traced: &[Traced<'_>]) -> Outcomes {
    traced.iter().map(|traced| (traced.entry.seq, traced.changes.clone())).collect()
}

fn snapshot(ledger: &Ledger) -> BTreeMap<ClientKey, (Tenant, Outcomes)> {
    let tenants = ledger.tenants.iter();
    tenants
        .map(|(client, kept)| {
            let traced = by_seq(&trace(&kept.entries(), &ledger.apps, Timestamp::MAX));
            (client.clone(), (kept.tenant.clone(), traced))
        })
        .collect()
}

fn check_changes(
    before: &Tenant,
    after: &Tenant,
    changes: &[Change],
    apps: &AppTimelines,
    at: Timestamp,
) -> Result<(), TestCaseError> {
    for (app, now) in &after.installations {
        let change = changes.iter().find(|change| change.app == *app);
        let was = before.installations.get(app);
        let seen = was.is_none_or(|was| bare(was) != bare(now));
        let descriptor_moved = was.is_some_and(|was| was.own_descriptor != now.own_descriptor);
        let product_moved = before.product_realm != after.product_realm;
        prop_assert!(change.is_some() || !(seen || product_moved), "{app} changed unnoticed");
        // A late record can have decided or corrected an outcome that later records replaced.
        let decided = change.is_some_and(|change| change.correction.is_some() || change.decision.is_some());
        let reason = seen || product_moved || descriptor_moved || decided;
        prop_assert!(change.is_none() || reason, "{app} did not change");
        let in_force = |state: &Installation| state.descriptor_at(apps.of(app), at).cloned();
        if was.is_some_and(|was| in_force(was) != in_force(now)) {
            prop_assert!(change.is_some(), "{app} got another descriptor unnoticed");
        }
    }
    let sorted = changes.is_sorted_by(|one, other| one.app < other.app);
    prop_assert!(sorted);
    Ok(())
}

/// A state without the fields that only record when an event was last seen.
fn bare(state: &Installation) -> Installation {
    Installation { latest: None, own_descriptor: None, ..state.clone() }
}

/// Compares the corrections with all outcomes, folded without and with the record; an app-level event has no seq of
/// the tenant, only corrections.
fn check_corrections(
    without: &Outcomes,
    with: &Outcomes,
    own_seq: Option<u64>,
    changes: &[Change],
    kept: &TenantLog,
) -> Result<(), TestCaseError> {
    let entries = kept.entries();
    let place = |seq: &u64| entries.iter().find(|e| e.seq == *seq).map(|e| (e.event.time, e.seq));
    for (app, state) in &kept.tenant.installations {
        let change = changes.iter().find(|change| change.app == *app);
        let of_app = |all: &Outcomes, seq: u64| {
            all.get(&seq).and_then(|changes| changes.iter().find(|c| c.app == *app)).cloned()
        };
        let own = own_seq.and_then(|own_seq| of_app(with, own_seq));
        let mut wrong: Vec<u64> =
            without.keys().copied().filter(|seq| of_app(without, *seq) != of_app(with, *seq)).collect();
        wrong.extend(own.as_ref().and_then(|own| own.correction).map(|correction| correction.first_seq));
        wrong.sort_by_key(place);
        let expected = wrong.first().map(|first| Correction {
            first_seq: *first,
            count: wrong.len() as u64,
            decision: state.decision,
        });
        prop_assert_eq!(change.and_then(|change| change.correction), expected);
        let anomalies = change.map(|change| change.anomalies.clone()).unwrap_or_default();
        prop_assert_eq!(anomalies, own.as_ref().map(|own| own.anomalies.clone()).unwrap_or_default());
        prop_assert_eq!(change.and_then(|change| change.decision), own.and_then(|own| own.decision));
    }
    Ok(())
}

/// The definition of late: in the effective order of some installation, a record sorts after the event.
fn is_late(recorded: &[Event], event: &Event) -> bool {
    let own = |event: &Event| match &event.body {
        Body::Installation { app, .. } => Some(app.clone()),
        Body::Tenant { .. } | Body::App { .. } => None,
    };
    let known: BTreeSet<AppKey> = recorded.iter().filter_map(own).collect();
    let mut concerned: BTreeSet<AppKey> = known.clone();
    concerned.extend(own(event));
    let order = |app: &AppKey, event: &Event| match &event.body {
        Body::App { app: of, .. } => (of == app).then(|| (event.time, 0, Some(event.id.clone()))),
        Body::Tenant { .. } => Some((event.time, 1, None)),
        Body::Installation { app: of, .. } => {
            (of == app || event.product_realm().is_some()).then_some((event.time, 1, None))
        }
    };
    let precedes = |app: &AppKey| {
        let place: Option<(Timestamp, u8, Option<EventId>)> = order(app, event);
        place.is_some_and(|place| recorded.iter().filter_map(|other| order(app, other)).any(|o| place < o))
    };
    // A tenant without installations still has one order, that of its tenant-level events.
    let shared = event.client().is_some()
        && event.product_realm().is_some()
        && recorded
            .iter()
            .any(|r| r.client().is_some() && r.product_realm().is_some() && event.time < r.time);
    shared || concerned.iter().any(precedes)
}

/// The states with event ids in place of seqs.
fn without_seqs(ledger: &Ledger) -> Vec<(Tenant, Vec<Option<EventId>>)> {
    let tenants = ledger.tenants.values();
    tenants
        .map(|kept| {
            let id_of = |seq: u64| kept.log.get(usize::try_from(seq).unwrap() - 1).map(|e| e.id.clone());
            let mut tenant = kept.tenant.clone();
            let mut ids = Vec::new();
            for state in tenant.installations.values_mut() {
                if let Some(decision) = &mut state.decision {
                    ids.push(decision.seq.take().and_then(id_of));
                }
                ids.extend(state.anomalies.recent().iter().map(|odd| id_of(odd.seq)));
                let bare = state.anomalies.recent().iter().map(|odd| Anomaly { seq: 0, ..*odd }).collect();
                state.anomalies = Anomalies::try_from((bare, state.anomalies.count())).unwrap();
            }
            (tenant, ids)
        })
        .collect()
}

fn statuses<'a>(tenants: impl Iterator<Item = &'a Tenant>) -> Vec<Installation> {
    let installations = tenants.flat_map(|tenant| tenant.installations.values());
    installations
        .map(|state| Installation {
            decision: state.decision.map(|decision| ledger_core::state::Decision { seq: None, ..decision }),
            anomalies: Anomalies::default(),
            ..state.clone()
        })
        .collect()
}
