//! The promised JSON, text by text: fields, their order, their form.

use ledger_core::event::{AppFact, Body, Event, InstallationFact};
use ledger_core::ids::{AppKey, ClientKey, EventId, InstallationKey, MigrationId};
use ledger_core::policy::Policy;
use ledger_core::state::{
    Anomalies, Anomaly, AnomalyCode, Decision, Installation, MigrationPhase, PendingMigration, Pin, PinnedBy,
    Predecessor, Rule, Status, Subscription, Window,
};
use ledger_core::tenant::{Change, Correction, Outcome, Summary};
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimeline;
use ledger_record::json;
use ledger_record::json::notice::{NoticeScope, PublishingShard, notices};
use ledger_record::json::policy::GivenPolicy;
use ledger_record::json::record::{QuarantineJson, RecordJson};
use ledger_record::json::time::parse_instant;
use ledger_record::record::{Content, Record, Stream};
use serde::Serialize;

use crate::samples::{self, app, client, realm};

fn text<T: Serialize>(value: &T) -> String {
    json::to_string(value).unwrap()
}

fn at(text: &str) -> Timestamp {
    parse_instant(text).unwrap()
}

fn of_client(key: &str) -> InstallationKey {
    InstallationKey { client: ClientKey::new(key).unwrap(), app: app() }
}

/// The state in the documentation.
fn uninstalled() -> Installation {
    let mut anomalies = Anomalies::default();
    anomalies.push(Anomaly { seq: 4, code: AnomalyCode::UninstallRepeated });
    Installation {
        status: Status::Uninstalled,
        enabled: false,
        pin: Some(Pin { realm: realm("EU"), since: at("2026-03-01T10:00:00Z"), by: PinnedBy::Observed }),
        window: Some(Window {
            policy: Policy::Descriptor,
            start: at("2026-04-01T00:00:00Z"),
            end: Some(at("2026-04-08T00:00:00Z")),
            forgotten: false,
        }),
        migration: Some(PendingMigration {
            id: MigrationId::new("57500").unwrap(),
            target: Some(realm("DE")),
            phase: MigrationPhase::Scheduled,
            start_time: Some(at("2026-05-01T00:00:00Z")),
            end_time: Some(at("2026-05-02T00:00:00Z")),
            phase_since: at("2026-04-30T00:00:00Z"),
            source: Some(realm("EU")),
            arrived: false,
        }),
        override_realm: Some(realm("EU")),
        data_realm: Some(realm("EU")),
        subscription: Some(Subscription {
            state: ledger_core::event::SubscriptionState::Active,
            since: at("2026-01-01T00:00:00Z"),
        }),
        installation_id: Some("ari:1".to_owned()),
        entitlement_id: Some("E-1".to_owned()),
        site_url: Some("https://acme.atlassian.net".to_owned()),
        predecessor: Some(Predecessor { installation: of_client("old"), realm: Some(realm("EU")) }),
        successor: Some(of_client("new")),
        decision: Some(Decision {
            seq: Some(1),
            at: at("2026-03-01T10:00:00Z"),
            rule: Rule::Fresh,
            expected_realm: Some(realm("EU")),
            observed_realm: Some(realm("EU")),
            pinned_realm: Some(realm("EU")),
            previous_realm: Some(realm("US")),
            product_realm: Some(realm("EU")),
            moved: false,
            divergent: false,
        }),
        anomalies,
        ..Installation::default()
    }
}

fn published() -> AppTimeline {
    let mut timeline = AppTimeline::default();
    let fact = AppFact::DescriptorPublished { descriptor: samples::descriptor() };
    timeline.insert(at("2026-01-01T00:00:00Z"), EventId::new("d").unwrap(), &fact);
    timeline
}

#[test]
fn state_json_matches_the_documentation() {
    let (installation, timeline) = (uninstalled(), published());
    let view = installation.view(Some(realm("US")), &timeline, at("2026-04-07T23:00:00Z"));
    let expected = concat!(
        r#"{"status":"UNINSTALLED","enabled":false,"#,
        r#""pinnedRealm":"EU","pinnedSince":"2026-03-01T10:00:00.000Z","pinnedBy":"OBSERVED","#,
        r#""baseUrl":"https://eu.app.example.com","productRealm":"US","alignedRealm":"US","drift":false,"#,
        r#""dataRealm":"EU","splitBrain":false,"#,
        r#""window":{"policy":{"mode":"descriptor"},"start":"2026-04-01T00:00:00.000Z","#,
        r#""end":"2026-04-08T00:00:00.000Z","state":"OPEN","remainingMs":3600000,"forgotten":false},"#,
        r#""migration":{"migrationId":"57500","targetRealm":"DE","phase":"SCHEDULED","#,
        r#""startTime":"2026-05-01T00:00:00.000Z","endTime":"2026-05-02T00:00:00.000Z","#,
        r#""dueBy":"2026-05-02T00:00:00.000Z","overdue":false},"#,
        r#""predecessor":{"clientKey":"old","appKey":"com.example.app","realm":"EU"},"#,
        r#""successor":{"clientKey":"new","appKey":"com.example.app"},"#,
        r#""override":"EU","subscription":"ACTIVE","installationId":"ari:1","entitlementId":"E-1","#,
        r#""siteUrl":"https://acme.atlassian.net","#,
        r#""decision":{"seq":1,"at":"2026-03-01T10:00:00.000Z","rule":"FRESH","expectedRealm":"EU","#,
        r#""observedRealm":"EU","pinnedRealm":"EU","previousRealm":"US","productRealm":"EU","#,
        r#""moved":false,"divergent":false},"#,
        r#""anomalies":[{"seq":4,"code":"uninstall-repeated"}],"anomalyCount":1}"#,
    );
    assert_eq!(text(&view), expected);
}

#[test]
fn absent_fields_are_omitted() {
    let (installation, timeline) = (Installation::default(), AppTimeline::default());
    let view = installation.view(None, &timeline, at("2026-04-07T23:00:00Z"));
    let expected = concat!(
        r#"{"status":"NONE","enabled":false,"#,
        r#""drift":false,"splitBrain":false,"anomalyCount":0}"#
    );
    assert_eq!(text(&view), expected);
}

#[test]
fn preview_decision_has_no_seq() {
    let decision = Decision { seq: None, ..samples::decision(Rule::Persisted) };
    let shown = text(&decision);
    assert!(shown.starts_with(r#"{"at":"2026-03-01T10:00:00.000Z","rule":"PERSISTED","#), "{shown}");
}

#[test]
fn policies_round_trip_through_json() {
    let expected = [
        r#"{"mode":"descriptor"}"#,
        r#"{"mode":"off"}"#,
        r#"{"mode":"days","days":36500}"#,
        r#"{"mode":"indefinite"}"#,
        r#"{"mode":"subscription","graceDays":30}"#,
    ];
    for (policy, expected) in samples::POLICIES.into_iter().zip(expected) {
        assert_eq!(text(&policy), expected);
        let given: GivenPolicy = serde_json::from_str(expected).unwrap();
        assert_eq!(Policy::try_from(given), Ok(policy));
    }
}

const OF_INSTALLATION: &str = r#","clientKey":"acme.atlassian.net","appKey":"com.example.app""#;
const OF_APP: &str = r#","appKey":"com.example.app""#;

type Form = (&'static str, &'static str, String);

/// Type, keys and fields of each sample about an installation, except the last one.
fn forms_of_installations() -> Vec<Form> {
    let descriptor = concat!(
        r#","descriptor":{"version":"1.4.2","baseUrl":"https://app.example.com","#,
        r#""regionBaseUrls":{"EU":"https://eu.app.example.com","US":"https://us.app.example.com"},"#,
        r#""dataResidency":{"realmPersistence":true,"realmPersistenceDays":14}}"#
    );
    let installed = format!(
        r#","endpointRealm":"EU","productRealm":"EU"{descriptor},"installationId":"ari:cloud:ecosystem::installation/1","entitlementId":"E-1","siteUrl":"https://acme.atlassian.net""#
    );
    vec![
        ("installed", OF_INSTALLATION, installed),
        ("installed", OF_INSTALLATION, String::new()),
        (
            "uninstalled",
            OF_INSTALLATION,
            r#","endpointRealm":"EU","installationId":"ari:cloud:ecosystem::installation/1""#.to_owned(),
        ),
        ("uninstalled", OF_INSTALLATION, String::new()),
        ("enabled", OF_INSTALLATION, String::new()),
        ("disabled", OF_INSTALLATION, String::new()),
        (
            "migration-scheduled",
            OF_INSTALLATION,
            r#","migrationId":"57500","targetRealm":"DE","startTime":"1970-01-01T00:00:00.001Z","endTime":"1970-01-01T00:00:00.002Z""#
                .to_owned(),
        ),
        ("migration-started", OF_INSTALLATION, r#","migrationId":"57500","targetRealm":"DE""#.to_owned()),
        ("migration-committed", OF_INSTALLATION, r#","migrationId":"57500""#.to_owned()),
        ("migration-rolled-back", OF_INSTALLATION, r#","migrationId":"57500""#.to_owned()),
        ("migrated", OF_INSTALLATION, r#","targetRealm":"DE","sourceRealm":"EU","migrationId":"57500""#.to_owned()),
        ("migrated", OF_INSTALLATION, r#","targetRealm":"DE""#.to_owned()),
        ("override", OF_INSTALLATION, r#","action":"PIN","realm":"GLOBAL""#.to_owned()),
        ("override", OF_INSTALLATION, r#","action":"RELEASE""#.to_owned()),
        ("override", OF_INSTALLATION, r#","action":"FORGET""#.to_owned()),
        ("data-located", OF_INSTALLATION, r#","realm":"EU""#.to_owned()),
        ("subscription-observed", OF_INSTALLATION, r#","state":"ACTIVE""#.to_owned()),
        ("subscription-observed", OF_INSTALLATION, r#","state":"INACTIVE""#.to_owned()),
        (
            "continued",
            OF_INSTALLATION,
            r#","fromClientKey":"site-0001","fromAppKey":"com.example.forge","fromRealm":"DE","evidence":"connect-installed""#.to_owned(),
        ),
        (
            "continued",
            OF_INSTALLATION,
            r#","fromClientKey":"site-0001","fromAppKey":"com.example.forge","evidence":"operator""#.to_owned(),
        ),
        (
            "superseded",
            OF_INSTALLATION,
            r#","toClientKey":"site-0001","toAppKey":"com.example.forge","evidence":"forge-token""#.to_owned(),
        ),
    ]
}

/// The same for the samples after them.
fn forms_of_tenants_and_apps() -> Vec<Form> {
    let bare = |setting: &str| {
        format!(
            r#","descriptor":{{"baseUrl":"http://a","dataResidency":{{"realmPersistence":null{setting}}}}}"#
        )
    };
    vec![
        ("product-moved", r#","clientKey":"acme.atlassian.net""#, r#","productRealm":"US""#.to_owned()),
        ("descriptor-published", OF_APP, bare("")),
        ("descriptor-published", OF_APP, bare(r#","realmPersistenceDays":null"#)),
        ("descriptor-published", OF_APP, bare(r#","realmPersistenceDays":false"#)),
        ("descriptor-published", OF_APP, bare(r#","realmPersistenceDays":true"#)),
        ("descriptor-published", OF_APP, bare(r#","realmPersistenceDays":-1"#)),
        ("descriptor-published", OF_APP, bare(r#","realmPersistenceDays":{"days":2.5}"#)),
        ("policy-set", OF_APP, r#","policy":{"mode":"descriptor"}"#.to_owned()),
        ("policy-set", OF_APP, r#","policy":{"mode":"off"}"#.to_owned()),
        ("policy-set", OF_APP, r#","policy":{"mode":"days","days":36500}"#.to_owned()),
        ("policy-set", OF_APP, r#","policy":{"mode":"indefinite"}"#.to_owned()),
        ("policy-set", OF_APP, r#","policy":{"mode":"subscription","graceDays":30}"#.to_owned()),
        (
            "enabled",
            OF_INSTALLATION,
            r#","actor":"jane@example.com","reason":"größer als gedacht""#.to_owned(),
        ),
    ]
}

/// The fields after id, type and time in the native form of every sample.
#[test]
fn events_are_written_in_native_form() {
    let expected = [forms_of_installations(), forms_of_tenants_and_apps()].concat();
    let events = samples::events();
    assert_eq!(events.len(), expected.len());
    for ((name, event), (type_name, keys, fields)) in events.iter().zip(expected) {
        let expected = format!(
            r#"{{"id":"01JD3M6Z7N8Q","time":"2026-03-01T10:00:00.000Z"{keys},"type":"{type_name}"{fields}}}"#
        );
        assert_eq!(text(event), expected, "{name}");
    }
}

fn enabled(app: AppKey) -> Event {
    Event {
        id: EventId::new("e-1").unwrap(),
        time: at("2026-03-01T10:00:00Z"),
        actor: None,
        reason: None,
        body: Body::Installation { client: client(), app, fact: InstallationFact::Enabled },
    }
}

fn summary(status: Status) -> Summary {
    Summary {
        status,
        enabled: true,
        pin: None,
        product_realm: None,
        data_realm: None,
        window: None,
        migration: None,
        override_realm: None,
    }
}

fn own_change() -> Change {
    Change {
        app: app(),
        before: None,
        after: summary(Status::Installed),
        decision: None,
        anomalies: vec![AnomalyCode::InstallNotSeen],
        correction: None,
    }
}

fn corrected() -> Change {
    let correction = Correction { first_seq: 3, count: 2, decision: Some(samples::decision(Rule::Fresh)) };
    Change {
        before: Some(summary(Status::Installed)),
        anomalies: Vec::new(),
        correction: Some(correction),
        ..own_change()
    }
}

#[test]
fn log_json_has_the_record_and_its_changes() {
    let changes = vec![Change { after: samples::summary(Status::Uninstalled), ..own_change() }, corrected()];
    let record = samples::event_record(enabled(app()), Outcome { late: true, changes });
    let decision = text(&samples::decision(Rule::Fresh));
    let expected = [
        r#"{"seq":7,"position":16909060,"source":{"name":"realm.lifecycle","partition":7,"offset":884213},"#,
        r#""recordedAt":"2026-03-01T10:00:00.456Z","event":"#,
        &text(&enabled(app())),
        r#","late":true,"changes":[{"appKey":"com.example.app","after":{"status":"UNINSTALLED","enabled":true,"#,
        r#""pinnedRealm":"EU","pinnedSince":"1970-01-01T00:00:00.003Z","pinnedBy":"OBSERVED","#,
        r#""productRealm":"EU","dataRealm":"DE","#,
        r#""window":{"policy":{"mode":"descriptor"},"start":"1970-01-01T00:00:00.004Z","#,
        r#""end":"1970-01-01T00:00:00.005Z","forgotten":true},"#,
        r#""migration":{"migrationId":"57500","targetRealm":"DE","phase":"SCHEDULED"},"override":"GB"},"#,
        r#""anomalies":["install-not-seen"]},"#,
        r#"{"appKey":"com.example.app","before":{"status":"INSTALLED","enabled":true},"#,
        r#""after":{"status":"INSTALLED","enabled":true},"correction":{"firstSeq":3,"count":2,"decision":"#,
        &decision,
        "}}]}",
    ];
    assert_eq!(text(&RecordJson::of(&record).unwrap()), expected.concat());

    let quiet = samples::event_record(enabled(app()), Outcome::default());
    let shown = text(&RecordJson::of(&quiet).unwrap());
    assert!(!shown.contains("late") && !shown.contains("changes"), "{shown}");
}

#[test]
fn quarantine_json_has_the_kept_parts() {
    let records = samples::records();
    let of = |name: &str| {
        let (_, record) = records.iter().find(|(found, _)| found == name).unwrap();
        text(&QuarantineJson::of(record).unwrap())
    };
    let head = concat!(
        r#"{"seq":7,"position":16909060,"source":{"name":"realm.lifecycle","partition":7,"offset":884213},"#,
        r#""recordedAt":"2026-03-01T10:00:00.456Z","#
    );
    let detailed = concat!(
        r#""sourceTime":"1970-01-01T00:00:00.009Z","reason":"invalid-field","path":"data.clientKey","#,
        r#""detail":"expected a string","key":"acme.atlassian.net","#,
        r#""headers":[{"name":"content-type","value":"application/json"}],"#
    );
    let digest = "ab".repeat(32);
    assert_eq!(of("record-too-large"), format!(r#"{head}"reason":"too-large","detail":"a detail"}}"#));
    assert_eq!(
        of("record-json"),
        format!(r#"{head}{detailed}"body":{{"json":"{{\"type\":\"installed\"}}"}}}}"#)
    );
    assert_eq!(
        of("record-digest"),
        format!(r#"{head}{detailed}"body":{{"sha256":"{digest}","length":1048577}}}}"#)
    );
}

#[test]
fn record_json_is_either_an_event_or_a_refusal() {
    for (name, record) in samples::records() {
        let refused = matches!(record.content, Content::Refused(_));
        assert_eq!(RecordJson::of(&record).is_none(), refused, "{name}");
        assert_eq!(QuarantineJson::of(&record).is_some(), refused, "{name}");
    }
}

const SHARD: PublishingShard<'static> = PublishingShard { topic: "realm.lifecycle", partition: 7 };

fn published_of(record: &Record, client: &ClientKey, change: &Change) -> Vec<String> {
    published_in(NoticeScope::Changes, record, client, change)
}

fn published_in(scope: NoticeScope, record: &Record, client: &ClientKey, change: &Change) -> Vec<String> {
    let Content::Event { event, .. } = &record.content else {
        return Vec::new();
    };
    notices(scope, SHARD, record, event, client, change).map(|notice| text(&notice)).collect()
}

#[test]
fn decision_is_published_as_a_cloud_event() {
    let change = Change { decision: Some(samples::decision(Rule::Persisted)), ..own_change() };
    let record =
        samples::event_record(enabled(app()), Outcome { late: false, changes: vec![change.clone()] });
    let expected = [
        r#"{"specversion":"1.0","#,
        r#""id":"realm.lifecycle/7/884213/com.example.app/acme.atlassian.net/decision","#,
        r#""source":"/realm-ledger/realm.lifecycle/7","type":"realmledger.decision","#,
        r#""subject":"acme.atlassian.net","time":"2026-03-01T10:00:00.000Z","#,
        r#""datacontenttype":"application/json","#,
        r#""data":{"clientKey":"acme.atlassian.net","appKey":"com.example.app","#,
        r#""record":{"seq":7,"position":16909060,"#,
        r#""source":{"name":"realm.lifecycle","partition":7,"offset":884213}},"#,
        r#""after":{"status":"INSTALLED","enabled":true},"decision":"#,
        &text(&samples::decision(Rule::Persisted)),
        r#","anomalies":["install-not-seen"]}}"#,
    ];
    assert_eq!(published_of(&record, &client(), &change), [expected.concat()]);
}

#[test]
fn only_decisions_and_corrections_are_published_where_that_is_asked_for() {
    let record = samples::event_record(enabled(app()), Outcome::default());
    let decided = |change| Change { decision: Some(samples::decision(Rule::Persisted)), ..change };
    let both = |change: Change| {
        [NoticeScope::Changes, NoticeScope::Decisions]
            .map(|scope| published_in(scope, &record, &client(), &change))
    };
    let [all, only] = both(decided(own_change()));
    assert_eq!((all.len(), &only), (1, &all));
    let [all, only] = both(own_change());
    assert_eq!((all.len(), only), (1, Vec::new()), "something changed, and nothing was decided");
    let [all, only] = both(decided(corrected()));
    assert_eq!((all.len(), &only), (2, &all));
    let [all, only] = both(Change { before: None, ..corrected() });
    assert_eq!((all.len(), only.as_slice()), (2, &all[1..]), "the correction alone");
}

#[test]
fn correction_is_published_in_addition_to_the_decision() {
    let of_tenant = samples::event_record(enabled(app()), Outcome::default());
    let kinds = |record: &Record, change: &Change| -> Vec<&'static str> {
        let published = published_of(record, &client(), change);
        let kind =
            |text: &String| if text.contains("realmledger.correction") { "correction" } else { "decision" };
        published.iter().map(kind).collect()
    };
    assert_eq!(kinds(&of_tenant, &corrected()), ["correction"]);
    let both = Change { before: None, ..corrected() };
    assert_eq!(kinds(&of_tenant, &both), ["decision", "correction"]);

    let (_, of_app) = samples::records().into_iter().find(|(name, _)| name == "record-policy-set-0").unwrap();
    assert_eq!(of_app.stream, Stream::App(app()));
    assert_eq!(kinds(&of_app, &both), ["correction"]);

    let shown = published_of(&of_tenant, &client(), &corrected()).remove(0);
    assert!(
        shown.contains(r#""id":"realm.lifecycle/7/884213/com.example.app/acme.atlassian.net/correction""#)
    );
    assert!(shown.contains(r#""rule":"FRESH""#) && shown.ends_with(r#""firstSeq":3,"count":2}}"#), "{shown}");
}
