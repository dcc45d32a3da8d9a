//! Generated histories: few apps, ids and realms and clustered times, so that events interact.

use ledger_core::descriptor::{DataResidency, Descriptor, Setting};
use ledger_core::event::{
    AppFact, Body, Event, Evidence, InstallationFact, Installed, OverrideAction, SubscriptionState,
    TenantFact,
};
use ledger_core::ids::{AppKey, ClientKey, EventId, InstallationKey, MigrationId};
use ledger_core::limits::{DAY_MS, HOOKS_CROSS_MS, STRAGGLER_MS};
use ledger_core::policy::Policy;
use ledger_core::realm::Realm;
use ledger_core::time::Timestamp;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Events with unique ids, in arrival order; many have the same time.
pub(crate) fn history(max: usize) -> impl Strategy<Value = Vec<Event>> {
    proptest::collection::vec((time(), body()), 1..max).prop_map(|drawn| {
        let named = drawn.into_iter().zip(1_u64..);
        named.map(|((time, body), number)| event(number, time, body)).collect()
    })
}

/// As [`history`], but no two events have the same time.
pub(crate) fn history_without_ties(max: usize) -> impl Strategy<Value = Vec<Event>> {
    history(max).prop_map(|mut events| {
        for (event, nudge) in events.iter_mut().zip(1..) {
            event.time = event.time.plus_millis(nudge);
        }
        events
    })
}

/// As [`history`], with extreme timestamps.
pub(crate) fn extreme_history(max: usize) -> impl Strategy<Value = Vec<Event>> {
    let time = select(vec![i64::MIN, i64::MIN + 1, 0, i64::MAX - 1, i64::MAX]);
    proptest::collection::vec((time.prop_map(Timestamp::from_millis), body()), 1..max).prop_map(|drawn| {
        let named = drawn.into_iter().zip(1_u64..);
        named.map(|((time, body), number)| event(number, time, body)).collect()
    })
}

fn event(number: u64, time: Timestamp, body: Body) -> Event {
    let id = EventId::new(format!("e-{number}")).unwrap();
    Event { id, time, actor: None, reason: None, body }
}

fn time() -> impl Strategy<Value = Timestamp> {
    let within = select(vec![0, 0, 1_000, HOOKS_CROSS_MS, HOOKS_CROSS_MS + 1_000, STRAGGLER_MS - 1_000]);
    (0..12_i64, within).prop_map(|(day, within)| Timestamp::from_millis(day * DAY_MS + within))
}

fn client() -> ClientKey {
    ClientKey::new("acme").unwrap()
}

fn app() -> impl Strategy<Value = AppKey> {
    select(vec!["roadmap", "roadmap", "charts"]).prop_map(|key| AppKey::new(key).unwrap())
}

fn realm() -> impl Strategy<Value = Realm> {
    select(vec!["EU", "US", "GLOBAL", "DE"]).prop_map(|key| Realm::parse(key).unwrap())
}

fn migration() -> impl Strategy<Value = MigrationId> {
    select(vec!["1", "2", "3"]).prop_map(|id| MigrationId::new(id).unwrap())
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        12 => (app(), fact()).prop_map(|(app, fact)| Body::Installation { client: client(), app, fact }),
        1 => realm().prop_map(|product_realm| Body::Tenant {
            client: client(),
            fact: TenantFact::ProductMoved { product_realm },
        }),
        2 => (app(), app_fact()).prop_map(|(app, fact)| Body::App { app, fact }),
    ]
}

fn fact() -> impl Strategy<Value = InstallationFact> {
    prop_oneof![
        6 => installed().prop_map(|installed| InstallationFact::Installed(Box::new(installed))),
        4 => (option::of(realm()), name()).prop_map(|(endpoint_realm, installation_id)| {
            InstallationFact::Uninstalled { endpoint_realm, installation_id }
        }),
        3 => (other(), option::weighted(0.8, realm())).prop_map(|(from, from_realm)| {
            InstallationFact::Continued { from, from_realm, evidence: evidence() }
        }),
        1 => other().prop_map(|to| InstallationFact::Superseded { to, evidence: evidence() }),
        1 => Just(InstallationFact::Enabled),
        1 => Just(InstallationFact::Disabled),
        6 => migration_fact(),
        2 => action().prop_map(InstallationFact::Override),
        1 => realm().prop_map(|realm| InstallationFact::DataLocated { realm }),
        2 => select(vec![SubscriptionState::Active, SubscriptionState::Inactive])
            .prop_map(|state| InstallationFact::SubscriptionObserved { state }),
    ]
}

fn other() -> impl Strategy<Value = InstallationKey> {
    let client = select(vec!["old", "new"]).prop_map(|key| ClientKey::new(key).unwrap());
    (client, app()).prop_map(|(client, app)| InstallationKey { client, app })
}

fn evidence() -> Evidence {
    Evidence::new("app-property").unwrap()
}

fn name() -> impl Strategy<Value = Option<String>> {
    option::weighted(0.2, select(vec!["one", "two"]).prop_map(str::to_owned))
}

fn installed() -> impl Strategy<Value = Installed> {
    let descriptor = option::weighted(0.2, descriptor());
    (option::of(realm()), option::weighted(0.3, realm()), descriptor, name(), name()).prop_map(
        |(endpoint_realm, product_realm, descriptor, installation_id, site_url)| Installed {
            endpoint_realm,
            product_realm,
            descriptor,
            installation_id,
            entitlement_id: None,
            site_url,
        },
    )
}

fn migration_fact() -> impl Strategy<Value = InstallationFact> {
    let target = || option::of(realm());
    prop_oneof![
        (migration(), realm(), option::of(time())).prop_map(|(migration, target, start_time)| {
            InstallationFact::MigrationScheduled { migration, target, start_time, end_time: None }
        }),
        (migration(), target())
            .prop_map(|(migration, target)| InstallationFact::MigrationStarted { migration, target }),
        (migration(), target())
            .prop_map(|(migration, target)| InstallationFact::MigrationCommitted { migration, target }),
        migration().prop_map(|migration| InstallationFact::MigrationRolledBack { migration }),
        (realm(), option::of(realm()), option::of(migration())).prop_map(|(target, source, migration)| {
            InstallationFact::Migrated { target, source, migration }
        }),
    ]
}

fn action() -> impl Strategy<Value = OverrideAction> {
    prop_oneof![
        realm().prop_map(|realm| OverrideAction::Pin { realm }),
        Just(OverrideAction::Release),
        Just(OverrideAction::Forget)
    ]
}

fn app_fact() -> impl Strategy<Value = AppFact> {
    prop_oneof![
        descriptor().prop_map(|descriptor| AppFact::DescriptorPublished { descriptor }),
        policy().prop_map(|policy| AppFact::PolicySet { policy })
    ]
}

pub(crate) fn policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::Descriptor),
        Just(Policy::Off),
        (1..4_u32).prop_map(|days| Policy::Days { days }),
        Just(Policy::Indefinite),
        (0..3_u32).prop_map(|grace_days| Policy::Subscription { grace_days }),
    ]
}

fn descriptor() -> impl Strategy<Value = Descriptor> {
    let regions = proptest::collection::btree_map(
        select(vec!["EU", "US", "DE"]).prop_map(|key| Realm::parse(key).unwrap()),
        Just("https://region.example.com".to_owned()),
        0..3,
    );
    let residency = (setting(), setting()).prop_map(|(realm_persistence, realm_persistence_days)| {
        DataResidency { realm_persistence, realm_persistence_days }
    });
    (regions, option::weighted(0.8, residency)).prop_map(|(region_base_urls, data_residency)| Descriptor {
        version: None,
        base_url: "https://app.example.com".to_owned(),
        region_base_urls,
        data_residency,
    })
}

fn setting() -> impl Strategy<Value = Setting> {
    prop_oneof![
        2 => Just(Setting::Absent),
        1 => Just(Setting::Null),
        4 => any::<bool>().prop_map(Setting::Bool),
        4 => (-1..32_i64).prop_map(Setting::Whole),
        1 => Just(Setting::Other("\"14\"".to_owned())),
    ]
}
