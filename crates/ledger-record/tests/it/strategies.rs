//! Arbitrary domain values.

use std::collections::BTreeSet;

use ledger_core::descriptor::{DataResidency, Descriptor, Setting};
use ledger_core::event::{
    AppFact, Body, Event, Evidence, InstallationFact, Installed, OverrideAction, SubscriptionState,
    TenantFact,
};
use ledger_core::ids::{AppKey, ClientKey, EventId, InstallationKey, MigrationId};
use ledger_core::limits::ANOMALIES_KEPT;
use ledger_core::policy::Policy;
use ledger_core::realm::Realm;
use ledger_core::state::{
    Anomalies, Anomaly, AnomalyCode, Decision, FinishedMigration, Installation, Links, MigrationOutcome,
    MigrationPhase, OwnDescriptor, PendingMigration, Pin, PinnedBy, Predecessor, Rule, Status, Subscription,
    Window,
};
use ledger_core::tenant::{Change, Correction, MigrationSummary, Outcome, Summary, Tenant};
use ledger_core::time::Timestamp;
use ledger_record::json::time::{FIRST, LAST};
use ledger_record::proof::Hash;
use ledger_record::record::{Content, Coordinates, Record, Seal, Stream};
use ledger_record::rejection::{Reason, Refused, RefusedBody, Rejection};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

/// Keys of every length, and few short ones, so that they collide.
fn key() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]", "[a-z.:-]{1,40}", "[\\PC&&[^\\p{Cc}]]{1,60}", "x{250,255}"]
}

fn client_key() -> impl Strategy<Value = ClientKey> {
    key().prop_filter_map("a key", |text| ClientKey::new(text).ok())
}

fn app_key() -> impl Strategy<Value = AppKey> {
    key().prop_filter_map("a key", |text| AppKey::new(text).ok())
}

fn event_id() -> impl Strategy<Value = EventId> {
    key().prop_filter_map("a key", |text| EventId::new(text).ok())
}

fn migration_id() -> impl Strategy<Value = MigrationId> {
    key().prop_filter_map("a key", |text| MigrationId::new(text).ok())
}

/// Text around the lengths at which the encoding of its length changes.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,30}", "[a-z]{253,257}", "ü{400}"]
}

fn realm() -> impl Strategy<Value = Realm> {
    prop_oneof![Just("GLOBAL".to_owned()), "EU|US|DE", "[A-Z][A-Z0-9-]{1,15}"]
        .prop_filter_map("a realm", |key| Realm::parse(&key).ok())
}

fn instant() -> impl Strategy<Value = Timestamp> {
    prop_oneof![any::<i64>(), 0..4_000_000_000_000_i64].prop_map(Timestamp::from_millis)
}

/// An instant that has a text, as those of events do.
fn textual_instant() -> impl Strategy<Value = Timestamp> {
    (FIRST.as_millis()..=LAST.as_millis()).prop_map(Timestamp::from_millis)
}

fn policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::Descriptor),
        Just(Policy::Off),
        any::<u32>().prop_map(|days| Policy::Days { days }),
        Just(Policy::Indefinite),
        any::<u32>().prop_map(|grace_days| Policy::Subscription { grace_days }),
    ]
}

fn setting() -> impl Strategy<Value = Setting> {
    prop_oneof![
        Just(Setting::Absent),
        Just(Setting::Null),
        any::<bool>().prop_map(Setting::Bool),
        any::<i64>().prop_map(Setting::Whole),
        text().prop_map(|text| Setting::Other(serde_json::Value::from(text).to_string())),
    ]
}

fn descriptor() -> impl Strategy<Value = Descriptor> {
    let residency = (setting(), setting()).prop_map(|(realm_persistence, realm_persistence_days)| {
        DataResidency { realm_persistence, realm_persistence_days }
    });
    (of(text()), text(), btree_map(realm(), text(), 0..4), of(residency)).prop_map(
        |(version, base_url, region_base_urls, data_residency)| Descriptor {
            version,
            base_url,
            region_base_urls,
            data_residency,
        },
    )
}

fn subscription_state() -> impl Strategy<Value = SubscriptionState> {
    select(SubscriptionState::ALL)
}

fn installed() -> impl Strategy<Value = Installed> {
    (of(realm()), of(realm()), of(descriptor()), of(text()), of(text()), of(text())).prop_map(
        |(endpoint_realm, product_realm, descriptor, installation_id, entitlement_id, site_url)| Installed {
            endpoint_realm,
            product_realm,
            descriptor,
            installation_id,
            entitlement_id,
            site_url,
        },
    )
}

fn installation_key() -> impl Strategy<Value = InstallationKey> {
    (client_key(), app_key()).prop_map(|(client, app)| InstallationKey { client, app })
}

fn evidence() -> impl Strategy<Value = Evidence> {
    "\\PC{1,16}".prop_map(|text| Evidence::new(text).unwrap())
}

fn installation_fact() -> impl Strategy<Value = InstallationFact> {
    use InstallationFact as Fact;
    let action = prop_oneof![
        realm().prop_map(|realm| OverrideAction::Pin { realm }),
        Just(OverrideAction::Release),
        Just(OverrideAction::Forget),
    ];
    prop_oneof![
        installed().prop_map(|installed| Fact::Installed(Box::new(installed))),
        (of(realm()), of(text())).prop_map(|(endpoint_realm, installation_id)| Fact::Uninstalled {
            endpoint_realm,
            installation_id
        }),
        Just(Fact::Enabled),
        Just(Fact::Disabled),
        (migration_id(), realm(), of(textual_instant()), of(textual_instant())).prop_map(
            |(migration, target, start_time, end_time)| Fact::MigrationScheduled {
                migration,
                target,
                start_time,
                end_time
            }
        ),
        (migration_id(), of(realm()))
            .prop_map(|(migration, target)| Fact::MigrationStarted { migration, target }),
        (migration_id(), of(realm()))
            .prop_map(|(migration, target)| Fact::MigrationCommitted { migration, target }),
        migration_id().prop_map(|migration| Fact::MigrationRolledBack { migration }),
        (realm(), of(realm()), of(migration_id())).prop_map(|(target, source, migration)| Fact::Migrated {
            target,
            source,
            migration
        }),
        action.prop_map(Fact::Override),
        realm().prop_map(|realm| Fact::DataLocated { realm }),
        subscription_state().prop_map(|state| Fact::SubscriptionObserved { state }),
        (installation_key(), of(realm()), evidence())
            .prop_map(|(from, from_realm, evidence)| { Fact::Continued { from, from_realm, evidence } }),
        (installation_key(), evidence()).prop_map(|(to, evidence)| Fact::Superseded { to, evidence }),
    ]
}

fn body() -> impl Strategy<Value = Body> {
    let app_fact = prop_oneof![
        descriptor().prop_map(|descriptor| AppFact::DescriptorPublished { descriptor }),
        policy().prop_map(|policy| AppFact::PolicySet { policy }),
    ];
    let moved = realm().prop_map(|product_realm| TenantFact::ProductMoved { product_realm });
    prop_oneof![
        4 => (client_key(), app_key(), installation_fact())
            .prop_map(|(client, app, fact)| Body::Installation { client, app, fact }),
        1 => (client_key(), moved).prop_map(|(client, fact)| Body::Tenant { client, fact }),
        1 => (app_key(), app_fact).prop_map(|(app, fact)| Body::App { app, fact }),
    ]
}

pub(crate) fn event() -> impl Strategy<Value = Event> {
    (event_id(), textual_instant(), of(text()), of(text()), body())
        .prop_map(|(id, time, actor, reason, body)| Event { id, time, actor, reason, body })
}

fn decision() -> impl Strategy<Value = Decision> {
    let realms = (of(realm()), of(realm()), of(realm()), of(realm()), of(realm()));
    (of(any::<u64>()), instant(), select(Rule::ALL), realms, any::<bool>(), any::<bool>()).prop_map(
        |(
            seq,
            at,
            rule,
            (expected_realm, observed_realm, pinned_realm, previous_realm, product_realm),
            moved,
            divergent,
        )| {
            Decision {
                seq,
                at,
                rule,
                expected_realm,
                observed_realm,
                pinned_realm,
                previous_realm,
                product_realm,
                moved,
                divergent,
            }
        },
    )
}

fn pin() -> impl Strategy<Value = Pin> {
    (realm(), instant(), select(PinnedBy::ALL)).prop_map(|(realm, since, by)| Pin { realm, since, by })
}

fn window() -> impl Strategy<Value = Window> {
    (policy(), instant(), of(instant()), any::<bool>()).prop_map(|(policy, start, end, forgotten)| Window {
        policy,
        start,
        end,
        forgotten,
    })
}

fn summary() -> impl Strategy<Value = Summary> {
    let migration = (migration_id(), of(realm()), select(MigrationPhase::ALL))
        .prop_map(|(id, target, phase)| MigrationSummary { id, target, phase });
    (
        (select(Status::ALL), any::<bool>(), of(pin())),
        (of(realm()), of(realm()), of(window()), of(migration), of(realm())),
    )
        .prop_map(
            |((status, enabled, pin), (product_realm, data_realm, window, migration, override_realm))| {
                Summary { status, enabled, pin, product_realm, data_realm, window, migration, override_realm }
            },
        )
}

fn change() -> impl Strategy<Value = Change> {
    let correction = (any::<u64>(), any::<u64>(), of(decision()))
        .prop_map(|(first_seq, count, decision)| Correction { first_seq, count, decision });
    let anomalies = vec(select(AnomalyCode::ALL), 0..3);
    (app_key(), of(summary()), summary(), of(decision()), anomalies, of(correction)).prop_map(
        |(app, before, after, decision, anomalies, correction)| Change {
            app,
            before,
            after,
            decision,
            anomalies,
            correction,
        },
    )
}

pub(crate) fn changes() -> impl Strategy<Value = Vec<Change>> {
    vec(change(), 0..3)
}

fn content() -> impl Strategy<Value = (Stream, Content)> {
    let logged = (event(), any::<bool>(), any::<bool>(), changes(), any::<bool>()).prop_map(
        |(event, time_defaulted, late, mut changes, own)| {
            // The event's own app has its own encoding in a change.
            if let (true, Some(change), Some(app)) = (own, changes.first_mut(), event.app()) {
                change.app = app.clone();
            }
            let stream = Stream::from_event(&event);
            (stream, Content::Event { event, time_defaulted, outcome: Outcome { late, changes } })
        },
    );
    let seal = (any::<[u8; 32]>(), any::<[u64; 3]>()).prop_map(|(root, [streams, duplicates, refused])| {
        let seal = Seal { map_root: Hash(root), streams, duplicates, refused };
        (Stream::Seals, Content::Seal(seal))
    });
    let refused = refused().prop_map(|refused| (Stream::Rejected, Content::Refused(refused)));
    let succession = any::<[u8; 32]>().prop_map(|root| (Stream::Succession, Content::Succession(Hash(root))));
    prop_oneof![6 => logged, 2 => refused, 2 => seal, 1 => succession]
}

fn refused() -> impl Strategy<Value = Refused> {
    let body = prop_oneof![
        Just(RefusedBody::Absent),
        text().prop_map(RefusedBody::Json),
        (any::<[u8; 32]>(), any::<u64>())
            .prop_map(|(sha256, length_bytes)| RefusedBody::Digest { sha256, length_bytes }),
    ];
    let rejection = (select(Reason::ALL), of(text()), text()).prop_map(|(reason, path, detail)| Rejection {
        reason,
        path,
        detail,
    });
    (rejection, of(text()), vec((text(), text()), 0..3), of(instant()), body).prop_map(
        |(rejection, key, headers, source_time, body)| Refused { rejection, key, headers, source_time, body },
    )
}

pub(crate) fn record() -> impl Strategy<Value = Record> {
    let source = (text(), any::<u32>(), any::<u64>()).prop_map(|(source, partition, offset)| Coordinates {
        source: source.into(),
        partition,
        offset,
    });
    (any::<u64>(), content(), any::<u64>(), source, instant(), any::<u16>()).prop_map(
        |(position, (stream, content), seq, source, recorded, rules)| Record {
            position,
            stream,
            seq,
            source,
            recorded,
            rules,
            content,
        },
    )
}

fn pending() -> impl Strategy<Value = PendingMigration> {
    (
        (migration_id(), of(realm()), select(MigrationPhase::ALL)),
        (of(instant()), of(instant()), instant(), of(realm()), any::<bool>()),
    )
        .prop_map(|((id, target, phase), (start_time, end_time, phase_since, source, arrived))| {
            PendingMigration { id, target, phase, start_time, end_time, phase_since, source, arrived }
        })
}

fn finished() -> impl Strategy<Value = FinishedMigration> {
    let outcomes = vec![MigrationOutcome::Committed, MigrationOutcome::RolledBack];
    (of(migration_id()), select(outcomes), of(realm()), of(realm()), instant(), of(realm())).prop_map(
        |(id, outcome, source, target, at, data_realm_before)| FinishedMigration {
            id,
            outcome,
            source,
            target,
            at,
            data_realm_before,
        },
    )
}

/// The fold finishes a migration once, so ids are unique.
fn is_first_of_its_id() -> impl FnMut(&FinishedMigration) -> bool {
    let mut seen = BTreeSet::new();
    move |migration| migration.id.clone().is_none_or(|id| seen.insert(id))
}

fn anomalies() -> impl Strategy<Value = Anomalies> {
    let entry = (any::<u64>(), select(AnomalyCode::ALL)).prop_map(|(seq, code)| Anomaly { seq, code });
    vec(entry, 0..ANOMALIES_KEPT + 3).prop_map(|entries| {
        let mut anomalies = Anomalies::default();
        for entry in entries {
            anomalies.push(entry);
        }
        anomalies
    })
}

fn predecessor() -> impl Strategy<Value = Predecessor> {
    (installation_key(), of(realm())).prop_map(|(installation, realm)| Predecessor { installation, realm })
}

fn installation() -> impl Strategy<Value = Installation> {
    let subscription =
        (subscription_state(), instant()).prop_map(|(state, since)| Subscription { state, since });
    let own = (instant(), descriptor()).prop_map(|(time, descriptor)| OwnDescriptor { time, descriptor });
    let shown =
        (summary(), of(pending()), of(subscription), of(text()), of(text()), of(text()), of(decision()));
    let hidden = (anomalies(), of(realm()), vec(finished(), 0..4), of(instant()), of(own), of(instant()));
    let linked = (of(predecessor()), of(installation_key()), any::<[bool; 4]>());
    (shown, linked, hidden).prop_map(|(shown, linked, hidden)| {
        let (short, migration, subscription, installation_id, entitlement_id, site_url, decision) = shown;
        let (predecessor, successor, [last_known, previous, uninstall_expected, is_current]) = linked;
        let (anomalies, last_known_realm, finished, implied_at, own_descriptor, latest) = hidden;
        Installation {
            status: short.status,
            enabled: short.enabled,
            pin: short.pin,
            window: short.window,
            migration,
            override_realm: short.override_realm,
            data_realm: short.data_realm,
            subscription,
            installation_id,
            entitlement_id,
            site_url,
            predecessor,
            successor,
            decision,
            anomalies,
            last_known_realm,
            links: Links { last_known, previous, uninstall_expected },
            installation_id_is_current: is_current,
            finished: finished.into_iter().filter(is_first_of_its_id()).collect(),
            implied_at,
            own_descriptor,
            latest,
        }
    })
}

pub(crate) fn tenant() -> impl Strategy<Value = (ClientKey, Tenant)> {
    let installations = btree_map(app_key(), installation(), 0..3);
    (client_key(), of(realm()), of(instant()), installations).prop_map(
        |(client, product_realm, shared_latest, installations)| {
            (
                client,
                Tenant { product_realm, shared_latest, installations: installations.into_iter().collect() },
            )
        },
    )
}
