//! Values with every variant of everything that is stored.

use ledger_core::descriptor::{DataResidency, Descriptor, Setting};
use ledger_core::event::{
    AppFact, Body, Event, Evidence, InstallationFact, Installed, OverrideAction, SubscriptionState,
    TenantFact,
};
use ledger_core::ids::{AppKey, ClientKey, EventId, InstallationKey, MigrationId};
use ledger_core::policy::Policy;
use ledger_core::realm::Realm;
use ledger_core::state::{
    Anomalies, Anomaly, AnomalyCode, Decision, FinishedMigration, Installation, Links, MigrationOutcome,
    MigrationPhase, OwnDescriptor, PendingMigration, Pin, PinnedBy, Predecessor, Rule, Status, Subscription,
    Window,
};
use ledger_core::tenant::{Change, Correction, MigrationSummary, Outcome, Summary, Tenant};
use ledger_core::time::Timestamp;
use ledger_record::proof::Hash;
use ledger_record::record::{Content, Coordinates, PriorLog, RULES, Record, Seal, Stream};
use ledger_record::rejection::{Reason, Refused, RefusedBody, Rejection};
use ledger_record::rows::FirstIds;

pub(crate) fn realm(key: &str) -> Realm {
    Realm::parse(key).unwrap()
}

pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

pub(crate) fn client() -> ClientKey {
    ClientKey::new("acme.atlassian.net").unwrap()
}

pub(crate) fn app() -> AppKey {
    AppKey::new("com.example.app").unwrap()
}

fn other_installation() -> InstallationKey {
    let (client, app) = (ClientKey::new("site-0001").unwrap(), AppKey::new("com.example.forge").unwrap());
    InstallationKey { client, app }
}

fn evidence(text: &str) -> Evidence {
    Evidence::new(text).unwrap()
}

fn migration() -> MigrationId {
    MigrationId::new("57500").unwrap()
}

pub(crate) const POLICIES: [Policy; 5] = [
    Policy::Descriptor,
    Policy::Off,
    Policy::Days { days: 36_500 },
    Policy::Indefinite,
    Policy::Subscription { grace_days: 30 },
];

pub(crate) fn descriptor() -> Descriptor {
    Descriptor {
        version: Some("1.4.2".to_owned()),
        base_url: "https://app.example.com".to_owned(),
        region_base_urls: [("EU", "https://eu.app.example.com"), ("US", "https://us.app.example.com")]
            .map(|(region, url)| (realm(region), url.to_owned()))
            .into(),
        data_residency: Some(DataResidency {
            realm_persistence: Setting::Bool(true),
            realm_persistence_days: Setting::Whole(14),
        }),
    }
}

fn settings() -> [Setting; 6] {
    [
        Setting::Absent,
        Setting::Null,
        Setting::Bool(false),
        Setting::Bool(true),
        Setting::Whole(-1),
        Setting::Other(r#"{"days":2.5}"#.to_owned()),
    ]
}

fn bare_descriptor(setting: Setting) -> Descriptor {
    Descriptor {
        version: None,
        base_url: "http://a".to_owned(),
        region_base_urls: [].into(),
        data_residency: Some(DataResidency {
            realm_persistence: Setting::Null,
            realm_persistence_days: setting,
        }),
    }
}

pub(crate) fn installed() -> Installed {
    Installed {
        endpoint_realm: Some(realm("EU")),
        product_realm: Some(realm("EU")),
        descriptor: Some(descriptor()),
        installation_id: Some("ari:cloud:ecosystem::installation/1".to_owned()),
        entitlement_id: Some("E-1".to_owned()),
        site_url: Some("https://acme.atlassian.net".to_owned()),
    }
}

/// Every kind of fact about an installation, with and without its optional parts.
fn facts() -> Vec<(&'static str, InstallationFact)> {
    let (target, source) = (realm("DE"), realm("EU"));
    vec![
        ("installed", InstallationFact::Installed(Box::new(installed()))),
        ("installed-bare", InstallationFact::Installed(Box::default())),
        (
            "uninstalled",
            InstallationFact::Uninstalled {
                endpoint_realm: Some(source),
                installation_id: Some("ari:cloud:ecosystem::installation/1".to_owned()),
            },
        ),
        ("uninstalled-bare", InstallationFact::Uninstalled { endpoint_realm: None, installation_id: None }),
        ("enabled", InstallationFact::Enabled),
        ("disabled", InstallationFact::Disabled),
        (
            "migration-scheduled",
            InstallationFact::MigrationScheduled {
                migration: migration(),
                target,
                start_time: Some(at(1)),
                end_time: Some(at(2)),
            },
        ),
        (
            "migration-started",
            InstallationFact::MigrationStarted { migration: migration(), target: Some(target) },
        ),
        (
            "migration-committed",
            InstallationFact::MigrationCommitted { migration: migration(), target: None },
        ),
        ("migration-rolled-back", InstallationFact::MigrationRolledBack { migration: migration() }),
        (
            "migrated",
            InstallationFact::Migrated { target, source: Some(source), migration: Some(migration()) },
        ),
        ("migrated-bare", InstallationFact::Migrated { target, source: None, migration: None }),
        ("override-pin", InstallationFact::Override(OverrideAction::Pin { realm: Realm::GLOBAL })),
        ("override-release", InstallationFact::Override(OverrideAction::Release)),
        ("override-forget", InstallationFact::Override(OverrideAction::Forget)),
        ("data-located", InstallationFact::DataLocated { realm: source }),
        ("subscription-active", InstallationFact::SubscriptionObserved { state: SubscriptionState::Active }),
        (
            "subscription-inactive",
            InstallationFact::SubscriptionObserved { state: SubscriptionState::Inactive },
        ),
        (
            "continued",
            InstallationFact::Continued {
                from: other_installation(),
                from_realm: Some(target),
                evidence: evidence("connect-installed"),
            },
        ),
        (
            "continued-bare",
            InstallationFact::Continued {
                from: other_installation(),
                from_realm: None,
                evidence: evidence("operator"),
            },
        ),
        (
            "superseded",
            InstallationFact::Superseded { to: other_installation(), evidence: evidence("forge-token") },
        ),
    ]
}

fn event(body: Body) -> Event {
    Event {
        id: EventId::new("01JD3M6Z7N8Q").unwrap(),
        time: at(1_772_359_200_000),
        actor: None,
        reason: None,
        body,
    }
}

/// An event of every type, by name.
pub(crate) fn events() -> Vec<(String, Event)> {
    let mut events = Vec::new();
    for (name, fact) in facts() {
        events.push((name.to_owned(), event(Body::Installation { client: client(), app: app(), fact })));
    }
    let moved = TenantFact::ProductMoved { product_realm: realm("US") };
    events.push(("product-moved".to_owned(), event(Body::Tenant { client: client(), fact: moved })));
    for (number, setting) in settings().into_iter().enumerate() {
        let fact = AppFact::DescriptorPublished { descriptor: bare_descriptor(setting) };
        events.push((format!("descriptor-published-{number}"), event(Body::App { app: app(), fact })));
    }
    for (number, policy) in POLICIES.into_iter().enumerate() {
        let fact = AppFact::PolicySet { policy };
        events.push((format!("policy-set-{number}"), event(Body::App { app: app(), fact })));
    }
    let signed = Event {
        actor: Some("jane@example.com".to_owned()),
        reason: Some("größer als gedacht".to_owned()),
        ..event(Body::Installation { client: client(), app: app(), fact: InstallationFact::Enabled })
    };
    events.push(("actor-and-reason".to_owned(), signed));
    events
}

pub(crate) fn decision(rule: Rule) -> Decision {
    Decision {
        seq: Some(7),
        at: at(1_772_359_200_000),
        rule,
        expected_realm: Some(realm("EU")),
        observed_realm: Some(realm("US")),
        pinned_realm: Some(realm("US")),
        previous_realm: Some(realm("DE")),
        product_realm: Some(realm("EU")),
        moved: true,
        divergent: true,
    }
}

fn bare_decision() -> Decision {
    Decision {
        seq: None,
        expected_realm: None,
        observed_realm: None,
        pinned_realm: None,
        previous_realm: None,
        product_realm: None,
        moved: false,
        divergent: false,
        ..decision(Rule::Fresh)
    }
}

pub(crate) fn summary(status: Status) -> Summary {
    Summary {
        status,
        enabled: true,
        pin: Some(Pin { realm: realm("EU"), since: at(3), by: PinnedBy::Observed }),
        product_realm: Some(realm("EU")),
        data_realm: Some(realm("DE")),
        window: Some(Window { policy: Policy::Descriptor, start: at(4), end: Some(at(5)), forgotten: true }),
        migration: Some(MigrationSummary {
            id: migration(),
            target: Some(realm("DE")),
            phase: MigrationPhase::Scheduled,
        }),
        override_realm: Some(realm("GB")),
    }
}

fn bare_summary() -> Summary {
    Summary {
        status: Status::None,
        enabled: false,
        pin: None,
        product_realm: None,
        data_realm: None,
        window: None,
        migration: None,
        override_realm: None,
    }
}

/// Changes with every code that can occur in one.
pub(crate) fn changes() -> Vec<Change> {
    let bare = Change {
        app: app(),
        before: None,
        after: bare_summary(),
        decision: None,
        anomalies: AnomalyCode::ALL.to_vec(),
        correction: None,
    };
    let other = AppKey::new("com.example.other").unwrap();
    let mut changes = vec![bare];
    for rule in Rule::ALL {
        changes.push(Change { decision: Some(decision(*rule)), anomalies: Vec::new(), ..changes[0].clone() });
    }
    for status in Status::ALL {
        let correction = Correction { first_seq: 3, count: 2, decision: Some(bare_decision()) };
        changes.push(Change {
            app: other.clone(),
            before: Some(bare_summary()),
            after: summary(*status),
            decision: None,
            anomalies: Vec::new(),
            correction: Some(correction),
        });
    }
    for by in PinnedBy::ALL {
        let pin = Pin { realm: Realm::GLOBAL, since: at(-1), by: *by };
        let after = Summary { pin: Some(pin), ..bare_summary() };
        let correction = Correction { first_seq: 1, count: 1, decision: None };
        changes.push(Change { after, correction: Some(correction), ..changes[0].clone() });
    }
    for phase in MigrationPhase::ALL {
        let pending = MigrationSummary { id: migration(), target: None, phase: *phase };
        let after = Summary { migration: Some(pending), ..bare_summary() };
        changes.push(Change { after, ..changes[0].clone() });
    }
    changes
}

pub(crate) fn record(stream: Stream, content: Content) -> Record {
    Record {
        position: 0x0102_0304,
        stream,
        seq: 7,
        source: Coordinates { source: "realm.lifecycle".into(), partition: 7, offset: 884_213 },
        recorded: at(1_772_359_200_456),
        rules: RULES,
        content,
    }
}

pub(crate) fn event_record(event: Event, outcome: Outcome) -> Record {
    record(Stream::from_event(&event), Content::Event { event, time_defaulted: false, outcome })
}

/// A record of every kind, by name.
pub(crate) fn records() -> Vec<(String, Record)> {
    let mut records = Vec::new();
    for (name, event) in events() {
        records.push((format!("record-{name}"), event_record(event, Outcome::default())));
    }
    let (_, first) = events().swap_remove(0);
    let mut late = event_record(first, Outcome { late: true, changes: changes() });
    if let Content::Event { time_defaulted, .. } = &mut late.content {
        *time_defaulted = true;
    }
    records.push(("record-with-changes".to_owned(), late));
    for reason in Reason::ALL {
        let refused = Refused {
            rejection: Rejection { reason: *reason, path: None, detail: "a detail".to_owned() },
            key: None,
            headers: Vec::new(),
            source_time: None,
            body: RefusedBody::Absent,
        };
        let name = format!("record-{}", reason.as_str());
        records.push((name, record(Stream::Rejected, Content::Refused(refused))));
    }
    for (name, body) in [
        ("json", RefusedBody::Json(r#"{"type":"installed"}"#.to_owned())),
        ("digest", RefusedBody::Digest { sha256: [0xab; 32], length_bytes: 1_048_577 }),
    ] {
        let refused = Refused {
            rejection: Rejection {
                reason: Reason::InvalidField,
                path: Some("data.clientKey".to_owned()),
                detail: "expected a string".to_owned(),
            },
            key: Some("acme.atlassian.net".to_owned()),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            source_time: Some(at(9)),
            body,
        };
        records.push((format!("record-{name}"), record(Stream::Rejected, Content::Refused(refused))));
    }
    records
}

pub(crate) fn seal() -> Record {
    let map_root = Hash::of(&[b"a map"]);
    record(Stream::Seals, Content::Seal(Seal { map_root, streams: 3, duplicates: 2, refused: 1 }))
}

pub(crate) fn succession() -> Record {
    let record = record(Stream::Succession, Content::Succession(Hash::of(&[b"a root"])));
    Record { source: PriorLog::coordinates("realm.lifecycle", 3, 8841), ..record }
}

pub(crate) fn finished(id: Option<&str>, outcome: MigrationOutcome) -> FinishedMigration {
    FinishedMigration {
        id: id.map(|id| MigrationId::new(id).unwrap()),
        outcome,
        source: Some(realm("EU")),
        target: Some(realm("DE")),
        at: at(6),
        data_realm_before: Some(realm("EU")),
    }
}

/// An installation with everything an installation can have.
pub(crate) fn installation() -> Installation {
    let mut anomalies = Anomalies::default();
    for (seq, code) in (1..).zip(AnomalyCode::ALL) {
        anomalies.push(Anomaly { seq, code: *code });
    }
    let short = summary(Status::Uninstalled);
    Installation {
        status: short.status,
        enabled: short.enabled,
        pin: short.pin,
        window: short.window,
        migration: Some(PendingMigration {
            id: migration(),
            target: Some(realm("DE")),
            phase: MigrationPhase::Started,
            start_time: Some(at(1)),
            end_time: Some(at(2)),
            phase_since: at(12),
            source: Some(realm("EU")),
            arrived: true,
        }),
        override_realm: short.override_realm,
        data_realm: short.data_realm,
        subscription: Some(Subscription { state: SubscriptionState::Inactive, since: at(8) }),
        installation_id: installed().installation_id,
        entitlement_id: installed().entitlement_id,
        site_url: installed().site_url,
        predecessor: Some(Predecessor { installation: other_installation(), realm: Some(realm("IN")) }),
        successor: Some(other_installation()),
        decision: Some(decision(Rule::Persisted)),
        anomalies,
        last_known_realm: Some(realm("EU")),
        finished: [
            finished(Some("1"), MigrationOutcome::Committed),
            finished(None, MigrationOutcome::Committed),
            finished(Some("2"), MigrationOutcome::RolledBack),
        ]
        .into_iter()
        .collect(),
        links: Links { last_known: true, previous: false, uninstall_expected: true },
        installation_id_is_current: true,
        implied_at: Some(at(10)),
        own_descriptor: Some(OwnDescriptor { time: at(11), descriptor: descriptor() }),
        latest: Some(at(12)),
    }
}

pub(crate) fn first_ids() -> FirstIds {
    let mut first_ids = FirstIds::default();
    for (seq, (_, event)) in (1..).zip(events()) {
        first_ids.push(seq, &event);
    }
    first_ids
}

pub(crate) fn tenant() -> Tenant {
    Tenant {
        product_realm: Some(realm("US")),
        shared_latest: Some(at(13)),
        installations: [
            (app(), installation()),
            (AppKey::new("com.example.other").unwrap(), Installation::default()),
        ]
        .into(),
    }
}
