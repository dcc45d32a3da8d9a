//! Stored bytes do not depend on batch boundaries (I-5), caches or reopening, and are the fold of the log (I-1).

use crate::tests::*;
use ledger_core::event::{Evidence, OverrideAction, SubscriptionState};
use ledger_core::ids::{InstallationKey, MigrationId};
use proptest::prelude::*;

/// An input of the store.
#[derive(Debug, Clone)]
enum Message {
    Event { event: Box<Event>, source_hour: i64, time_defaulted: bool },
    Refused { source_hour: i64 },
    Gap,
    Tick,
}

fn a_realm() -> impl Strategy<Value = Realm> {
    prop_oneof![Just("EU"), Just("US"), Just("GLOBAL")].prop_map(realm)
}

fn a_fact() -> impl Strategy<Value = InstallationFact> {
    let migration = || (1..3).prop_map(|n: i32| MigrationId::new(n.to_string()).unwrap());
    let name = |names: &'static [&'static str]| {
        proptest::option::of(proptest::sample::select(names).prop_map(ToOwned::to_owned))
    };
    let names =
        (name(&["https://a.example", "https://www.A.example/wiki", "b"]), name(&["1", "2"]), name(&["1"]));
    let realms = (proptest::option::of(a_realm()), proptest::option::weighted(0.2, a_realm()));
    let installed = (realms, names).prop_map(|((endpoint_realm, product_realm), names)| {
        let (site_url, entitlement_id, installation_id) = names;
        let known_by = Installed { site_url, entitlement_id, installation_id, ..Installed::default() };
        InstallationFact::Installed(Box::new(Installed { endpoint_realm, product_realm, ..known_by }))
    });
    let elsewhere = || InstallationKey { client: client("elsewhere"), app: app("app") };
    let evidence = || Evidence::new("a ticket").unwrap();
    prop_oneof![
        4 => installed,
        4 => proptest::option::of(a_realm()).prop_map(|endpoint_realm| InstallationFact::Uninstalled { endpoint_realm, installation_id: None }),
        1 => Just(InstallationFact::Enabled),
        1 => (migration(), a_realm()).prop_map(|(migration, target)| InstallationFact::MigrationCommitted {
            migration,
            target: Some(target)
        }),
        1 => a_realm().prop_map(|to| InstallationFact::Override(OverrideAction::Pin { realm: to })),
        1 => Just(InstallationFact::Override(OverrideAction::Release)),
        1 => a_realm().prop_map(|realm| InstallationFact::DataLocated { realm }),
        1 => Just(InstallationFact::SubscriptionObserved { state: SubscriptionState::Inactive }),
        1 => proptest::option::of(a_realm()).prop_map(move |from_realm| InstallationFact::Continued {
            from: elsewhere(),
            from_realm,
            evidence: evidence()
        }),
        1 => Just(InstallationFact::Superseded { to: elsewhere(), evidence: evidence() }),
        1 => a_realm().prop_map(|target| InstallationFact::Migrated { target, source: None, migration: None }),
    ]
}

fn an_event() -> impl Strategy<Value = Event> {
    let clients = || prop_oneof![Just("acme"), Just("birch"), Just("acme.b")];
    let apps = || prop_oneof![Just("app"), Just("other")];
    let body = prop_oneof![
        12 => (clients(), apps(), a_fact()).prop_map(|(of, key, fact)| Body::Installation {
            client: client(of),
            app: app(key),
            fact
        }),
        1 => (clients(), a_realm()).prop_map(|(of, product_realm)| Body::Tenant {
            client: client(of),
            fact: TenantFact::ProductMoved { product_realm }
        }),
        2 => (apps(), 1..40_u32).prop_map(|(of, days)| policy_set(of, "-", 0, days).body),
        1 => apps().prop_map(|of| descriptor_published(of, "-", 0, &["EU"]).body),
    ];
    (0..60, 0..2000_i64, body).prop_map(|(id, hours, body)| event(&format!("e{id}"), hours, body))
}

fn a_message() -> impl Strategy<Value = Message> {
    prop_oneof![
        20 => (an_event(), 1500..2500_i64, proptest::bool::weighted(0.1)).prop_map(
            |(event, source_hour, time_defaulted)| Message::Event {
                event: Box::new(event),
                source_hour,
                time_defaulted
            }
        ),
        1 => (0..3000_i64).prop_map(|source_hour| Message::Refused { source_hour }),
        1 => Just(Message::Gap),
        1 => Just(Message::Tick),
    ]
}

/// Feeds messages to a shard as the consumer does; `cuts` ends batches, `reopens` closes the shard.
fn play(ledger: &Ledger, messages: &[Message], cuts: impl Fn(usize) -> bool, reopens: usize) -> Dump {
    play_with(ledger, messages, cuts, reopens, |batch| batch.commit().map(drop))
}

fn play_with(
    ledger: &Ledger,
    messages: &[Message],
    cuts: impl Fn(usize) -> bool,
    reopens: usize,
    finish: impl Fn(crate::Batch<'_>) -> Result<(), crate::AppendError>,
) -> Dump {
    let mut shard = ledger.shard();
    let mut next = 0;
    while next < messages.len() {
        let mut batch = shard.begin();
        for (offset, message) in messages.iter().enumerate().skip(next) {
            next += 1;
            give(&mut batch, offset as u64, message);
            if cuts(offset) {
                break;
            }
        }
        batch.advance(TOPIC, kafka(next as u64));
        finish(batch).unwrap();
        if reopens > 0 && next % reopens == 0 {
            drop(shard);
            shard = ledger.shard();
        }
    }
    shard.settle().unwrap();
    let reader = shard.reader();
    assert_true(&reader);
    dump(&reader)
}

fn give(batch: &mut crate::Batch<'_>, offset: u64, message: &Message) {
    let refusal = match message {
        Message::Tick => return batch.tick(from_offset(offset)).unwrap(),
        Message::Gap => return batch.gap(TOPIC, offset, offset + 1).unwrap(),
        Message::Refused { source_hour } => refused(hour(*source_hour)),
        Message::Event { event, source_hour, time_defaulted } => {
            let arrival = IncomingEvent {
                source_time: hour(*source_hour),
                time_defaulted: *time_defaulted,
                ..arrival(offset, Event::clone(event))
            };
            match batch.offer(arrival).unwrap() {
                AppendResult::Appended { .. } | AppendResult::Duplicate { .. } => return,
                AppendResult::Refused(rejection) => Refused { rejection, ..refused(hour(*source_hour)) },
            }
        }
    };
    batch.refuse(from_offset(offset), refusal).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn batch_boundaries_do_not_change_the_bytes(
        messages in proptest::collection::vec(a_message(), 1..60),
        cuts in proptest::collection::vec(proptest::bool::weighted(0.2), 60),
        reopens in 0..9_usize,
    ) {
        let no_cache = StoreOptions { memory_bytes: Some(0), ..StoreOptions::default() };
        let whole = play(&Ledger::new(), &messages, |_| false, 0);
        let cut = play(&Ledger::with(no_cache), &messages, |offset| cuts[offset], reopens);
        prop_assert_eq!(&whole, &cut);
        let ledger = Ledger::new();
        let single = play(&ledger, &messages, |_| true, 0);
        prop_assert_eq!(&whole, &single);
        // Each batch begins while the previous one is being written.
        let memory_bytes = Some([0, 16 * 4096, 256 << 20][reopens % 3]);
        let small = Ledger::with(StoreOptions { memory_bytes, ..StoreOptions::default() });
        let overlapping =
            play_with(&small, &messages, |offset| cuts[offset], reopens, |batch| batch.submit().map(drop));
        prop_assert_eq!(&whole, &overlapping);

        let report = crate::rebuild(&ledger.data, &shard_id(0), &mut |_, _| ()).unwrap();
        prop_assert_eq!(report.differences, []);
        prop_assert_eq!(dump(&ledger.shard().reader()), whole);
    }
}
