//! Events of tenants and apps.

use ledger_core::descriptor::{DataResidency, Descriptor, Setting};
use ledger_core::event::{
    AppFact, Body, Event, InstallationFact, Installed, OverrideAction, SubscriptionState, TenantFact,
};
use ledger_core::ids::{AppKey, ClientKey, EventId, MigrationId};
use ledger_core::policy::Policy;
use ledger_core::realm::Realm;
use ledger_core::time::Timestamp;

use super::Mix;
use super::random::Random;

/// 1 January 2024: long ago on every machine that runs the tests.
const START_MS: i64 = 1_704_067_200_000;
const HOUR_MS: i64 = 3_600_000;
const REALMS: [&str; 5] = ["GLOBAL", "EU", "US", "AU", "DE"];
const APPS: [&str; 4] = ["com.example.roadmap", "com.example.tests", "com.example.time", "com.example.wiki"];

fn realm(key: &str) -> Realm {
    Realm::parse(key).expect("a realm key")
}

fn app(key: &str) -> AppKey {
    AppKey::new(key).expect("an app key")
}

/// Two descriptors and a policy for every app.
pub(super) fn app_events() -> Vec<Event> {
    let policies = [
        Policy::Descriptor,
        Policy::Days { days: 60 },
        Policy::Indefinite,
        Policy::Subscription { grace_days: 7 },
    ];
    let mut events = Vec::new();
    for (number, (key, policy)) in APPS.into_iter().zip(policies).enumerate() {
        let at = |hours: i64| Timestamp::from_millis(START_MS - 1000 * HOUR_MS + hours * HOUR_MS);
        let later = Timestamp::from_millis(START_MS + 2000 * HOUR_MS);
        let facts = [
            (at(0), published(14, &["EU", "US"])),
            (at(1), AppFact::PolicySet { policy }),
            (later, published(30, &["EU", "US", "AU"])),
        ];
        for (which, (time, fact)) in facts.into_iter().enumerate() {
            events.push(app_event(&format!("app-{number}-{which}"), time, key, fact));
        }
    }
    events
}

/// A late descriptor and policy for every app.
pub(super) fn late_app_events() -> Vec<Event> {
    let mut events = Vec::new();
    for (number, key) in APPS.into_iter().enumerate() {
        let at = |hours: i64| Timestamp::from_millis(START_MS + hours * HOUR_MS);
        let descriptor = published(45, &["EU", "DE"]);
        events.push(app_event(&format!("late-{number}-0"), at(300), key, descriptor));
        let policy = AppFact::PolicySet { policy: Policy::Days { days: 21 } };
        events.push(app_event(&format!("late-{number}-1"), at(900), key, policy));
    }
    events
}

fn app_event(id: &str, time: Timestamp, key: &str, fact: AppFact) -> Event {
    let id = EventId::new(id).expect("an id");
    Event { id, time, actor: None, reason: None, body: Body::App { app: app(key), fact } }
}

fn published(days: i64, regions: &[&str]) -> AppFact {
    let url = |region: &&str| (realm(region), format!("https://{}.example.com", region.to_lowercase()));
    AppFact::DescriptorPublished {
        descriptor: Descriptor {
            version: Some(format!("1.{days}.0")),
            base_url: "https://app.example.com".to_owned(),
            region_base_urls: regions.iter().map(url).collect(),
            data_residency: Some(DataResidency {
                realm_persistence: Setting::Bool(true),
                realm_persistence_days: Setting::Whole(days),
            }),
        },
    }
}

/// The events of all tenants, merged into one stream; some are late.
pub(super) fn tenant_events(mix: Mix, random: &mut Random) -> Vec<Event> {
    let mut hours = vec![0_i64; mix.tenants];
    let mut events: Vec<Event> = Vec::with_capacity(mix.events);
    let mut held_back: Vec<(usize, Event)> = Vec::new();
    for number in 0..mix.events {
        let tenant = random.index(mix.tenants);
        hours[tenant] += 1 + i64::try_from(random.below(400)).unwrap_or(0);
        let client = ClientKey::new(format!("tenant-{tenant}.atlassian.net")).expect("a client key");
        let event = event(number, client, START_MS + hours[tenant] * HOUR_MS, random);
        if random.below(100) < mix.late_percent {
            held_back.push((number + 1 + random.index(3 * mix.tenants), event));
        } else {
            events.push(event);
        }
        held_back.retain(|(due, held)| {
            let due = *due <= number;
            if due {
                events.push(held.clone());
            }
            !due
        });
    }
    events.extend(held_back.into_iter().map(|(_, event)| event));
    events
}

fn event(number: usize, client: ClientKey, at_ms: i64, random: &mut Random) -> Event {
    let id = EventId::new(format!("e-{number}")).expect("an id");
    let time = Timestamp::from_millis(at_ms);
    if random.below(100) < 6 {
        let fact = TenantFact::ProductMoved { product_realm: any_realm(random) };
        return Event { id, time, actor: None, reason: None, body: Body::Tenant { client, fact } };
    }
    let fact = fact(number, random);
    let ordered = matches!(fact, InstallationFact::Override(_));
    let reported = |text: &str| ordered.then(|| text.to_owned());
    let body = Body::Installation { client, app: app(APPS[random.index(APPS.len())]), fact };
    Event { id, time, actor: reported("support"), reason: reported("DEVHELP-7"), body }
}

fn any_realm(random: &mut Random) -> Realm {
    realm(REALMS[random.index(REALMS.len())])
}

fn fact(number: usize, random: &mut Random) -> InstallationFact {
    let maybe = |random: &mut Random| (random.below(2) == 0).then(|| any_realm(random));
    let migration = MigrationId::new((number / 7).to_string()).expect("a migration id");
    match random.below(20) {
        0..=6 => InstallationFact::Installed(Box::new(Installed {
            endpoint_realm: maybe(random),
            product_realm: maybe(random),
            installation_id: Some(format!("ari:cloud:ecosystem::installation/{}", random.below(3))),
            ..Installed::default()
        })),
        7..=10 => InstallationFact::Uninstalled { endpoint_realm: maybe(random), installation_id: None },
        11 => InstallationFact::Enabled,
        12 => InstallationFact::Disabled,
        13 => InstallationFact::MigrationScheduled {
            migration,
            target: any_realm(random),
            start_time: None,
            end_time: None,
        },
        14 => InstallationFact::MigrationStarted { migration, target: None },
        15 => InstallationFact::MigrationCommitted { migration, target: maybe(random) },
        16 => InstallationFact::MigrationRolledBack { migration },
        17 => InstallationFact::Override(match random.below(3) {
            0 => OverrideAction::Pin { realm: any_realm(random) },
            1 => OverrideAction::Release,
            _ => OverrideAction::Forget,
        }),
        18 => InstallationFact::DataLocated { realm: any_realm(random) },
        _ => InstallationFact::SubscriptionObserved { state: *random.pick(SubscriptionState::ALL) },
    }
}
