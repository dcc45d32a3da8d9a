//! Redelivery changes nothing: Kafka delivers at least once, and a producer may send again much later.

use proptest::prelude::*;
use proptest::sample::Index;

use ledger_record::rows::FirstIds;

use crate::tests::*;
use crate::write::batch::Batch;

/// Events with unique ids of few tenants and apps, in order of first arrival; many are late.
fn a_history() -> impl Strategy<Value = Vec<Event>> {
    let clients = || prop_oneof![Just("acme"), Just("birch")];
    let realms = || prop_oneof![Just("EU"), Just("US")];
    let body = prop_oneof![
        4 => (clients(), realms()).prop_map(|(of, at)| installed(of, "app", "-", 0, at).body),
        4 => clients().prop_map(|of| uninstalled(of, "app", "-", 0).body),
        1 => (clients(), realms()).prop_map(|(of, to)| product_moved(of, "-", 0, to).body),
        1 => (1..40_u32).prop_map(|days| policy_set("app", "-", 0, days).body),
        1 => Just(descriptor_published("app", "-", 0, &["EU"]).body),
    ];
    proptest::collection::vec((0..2000_i64, body), 1..40).prop_map(|drawn| {
        let numbered = drawn.into_iter().enumerate();
        numbered.map(|(number, (hours, body))| event(&format!("e{number}"), hours, body)).collect()
    })
}

/// The same events with some repeated after their first occurrence, marked as duplicates.
fn with_repeats(events: &[Event], repeats: &[(Index, Index)]) -> Vec<(Event, bool)> {
    let mut sent: Vec<_> = events.iter().cloned().map(|event| (event, false)).collect();
    for (which, place) in repeats {
        let event = which.get(events);
        let first = sent.iter().position(|(known, _)| known == event).unwrap();
        let place = first + 1 + place.index(sent.len() - first);
        sent.insert(place, (event.clone(), true));
    }
    sent
}

/// All records and states, without the offsets they came from.
fn recorded(shard: &Shard) -> (Vec<impl PartialEq + std::fmt::Debug>, Vec<impl PartialEq + std::fmt::Debug>) {
    let reader = shard.reader();
    assert_whole(&reader);
    let snapshot = reader.snapshot();
    let records = snapshot.records_from(0).unwrap().map(Result::unwrap);
    let records = records.map(|record| (record.position, record.stream, record.seq, record.content));
    let tenants = snapshot.tenants(None).unwrap().map(Result::unwrap);
    (records.collect(), tenants.map(|(client, row)| (client, row.encode())).collect())
}

/// Two ids of events of a tenant about no app that have the same fingerprint.
fn ids_with_one_fingerprint() -> (Event, Event) {
    let numbered = |number: u32| product_moved("acme", &format!("e{number}"), 0, "EU");
    let mut known = BTreeMap::new();
    for number in 0.. {
        let event = numbered(number);
        let mut first_ids = FirstIds::default();
        first_ids.push(1, &event);
        if let Some(other) = known.insert(format!("{first_ids:?}"), number) {
            return (numbered(other), event);
        }
    }
    unreachable!("there are more ids than fingerprints")
}

#[test]
fn ids_with_one_fingerprint_are_told_apart() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    let (one, other) = ids_with_one_fingerprint();
    // In this batch, then in the store.
    for _ in 0..2 {
        append(&mut shard, [one.clone(), other.clone(), one.clone(), other.clone()]);
    }
    let head = shard.head();
    assert_eq!((head.next_position, head.duplicates), (2, 6));
}

#[test]
fn repeat_is_found_wherever_its_id_is_kept() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    let last = i64::try_from(FirstIds::LAST_SEQ).unwrap();
    let events: Vec<Event> =
        (1..=last + 3).map(|seq| installed("acme", "app", &format!("e{seq}"), seq, "EU")).collect();
    // In this batch, in the one in flight, in the store.
    let mut batch = shard.begin();
    let offer = |batch: &mut Batch<'_>, offset: u64, event: &Event| {
        batch.offer(arrival(offset, event.clone())).unwrap()
    };
    for (offset, event) in (0..).zip(events.iter().flat_map(|event| [event, event])) {
        let is_repeat = matches!(offer(&mut batch, offset, event), AppendResult::Duplicate { .. });
        assert_eq!(is_repeat, offset % 2 == 1, "{offset}");
    }
    batch.submit().unwrap();
    let mut batch = shard.begin();
    for (offset, event) in (2 * events.len() as u64..).zip(&events) {
        assert!(matches!(offer(&mut batch, offset, event), AppendResult::Duplicate { .. }), "{offset}");
    }
    batch.commit().unwrap();
    drop(shard);
    let mut shard = ledger.shard();
    for offer in append(&mut shard, events.clone()) {
        assert!(matches!(offer, AppendResult::Duplicate { .. }), "{offer:?}");
    }
    // The same id for another app is another event.
    let offers = append(
        &mut shard,
        [1, last + 1].map(|seq| installed("acme", "other", &format!("e{seq}"), seq, "EU")),
    );
    assert!(offers.iter().all(|offer| matches!(offer, AppendResult::Appended { .. })), "{offers:?}");
    assert_whole(&shard.reader());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn redelivery_changes_nothing(
        events in a_history(),
        repeats in proptest::collection::vec(any::<(Index, Index)>(), 1..20),
        batch in 1..9_usize,
    ) {
        let (once, again) = (Ledger::new(), Ledger::new());
        let mut undisturbed = once.shard();
        append(&mut undisturbed, events.iter().cloned());
        let mut disturbed = again.shard();
        for part in with_repeats(&events, &repeats).chunks(batch) {
            let offers = append(&mut disturbed, part.iter().map(|(event, _)| event.clone()));
            for (offer, (_, is_repeat)) in offers.iter().zip(part) {
                prop_assert_eq!(matches!(offer, AppendResult::Duplicate { .. }), *is_repeat, "{:?}", offer);
            }
        }
        prop_assert_eq!(disturbed.head().duplicates, repeats.len() as u64);
        prop_assert_eq!(recorded(&undisturbed), recorded(&disturbed));
    }
}
