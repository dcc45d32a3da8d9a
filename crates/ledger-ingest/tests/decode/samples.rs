//! One event of every type with every field, in every encoding.

use std::fs;
use std::path::Path;

use ledger_core::descriptor::Setting;
use ledger_core::event::{AppFact, Body, Event, InstallationFact};
use ledger_core::realm::Realm;
use ledger_core::time::Timestamp;
use serde_json::{Value, json};

use super::encodings::{ENCODINGS, Encoding, Sent};

/// Every event type with every field it has.
pub(crate) fn full_events() -> Vec<Value> {
    let installation = |mut event: Value| {
        let members = event.as_object_mut().unwrap();
        members.insert("id".into(), json!("e-1"));
        members.insert("time".into(), json!("2026-03-01T10:00:00.000Z"));
        members.insert("clientKey".into(), json!("acme.atlassian.net"));
        members.insert("appKey".into(), json!("com.example.app"));
        members.insert("actor".into(), json!("ops@example.com"));
        members.insert("reason".into(), json!("because"));
        event
    };
    let without = |mut event: Value, key: &str| {
        event.as_object_mut().unwrap().remove(key);
        event
    };
    vec![
        installation(json!({"type": "installed", "endpointRealm": "EU", "productRealm": "US",
            "descriptor": descriptor(), "installationId": "ari:cloud:ecosystem::installation/1",
            "entitlementId": "ent-1", "siteUrl": "https://acme.atlassian.net"})),
        installation(json!({"type": "uninstalled", "endpointRealm": "EU",
            "installationId": "ari:cloud:ecosystem::installation/1"})),
        installation(json!({"type": "enabled"})),
        installation(json!({"type": "disabled"})),
        installation(json!({"type": "migration-scheduled", "migrationId": "57500", "targetRealm": "DE",
            "startTime": "2026-03-02T00:00:00.000Z", "endTime": "9999-12-31T23:59:59.999Z"})),
        installation(json!({"type": "migration-started", "migrationId": "57500", "targetRealm": "DE"})),
        installation(json!({"type": "migration-committed", "migrationId": "57500", "targetRealm": "DE"})),
        installation(json!({"type": "migration-rolled-back", "migrationId": "57500"})),
        installation(json!({"type": "migrated", "targetRealm": "DE", "sourceRealm": "EU",
            "migrationId": "57500"})),
        installation(json!({"type": "override", "action": "PIN", "realm": "EU"})),
        installation(json!({"type": "override", "action": "RELEASE"})),
        installation(json!({"type": "override", "action": "FORGET"})),
        installation(json!({"type": "data-located", "realm": "GLOBAL"})),
        installation(json!({"type": "subscription-observed", "state": "ACTIVE"})),
        installation(json!({"type": "subscription-observed", "state": "INACTIVE"})),
        installation(json!({"type": "continued", "fromClientKey": "old.atlassian.net",
            "fromAppKey": "com.example.old", "fromRealm": "DE", "evidence": "operator"})),
        installation(json!({"type": "superseded", "toClientKey": "new.atlassian.net",
            "toAppKey": "com.example.new", "evidence": "operator"})),
        without(installation(json!({"type": "product-moved", "productRealm": "US"})), "appKey"),
        without(
            installation(json!({"type": "descriptor-published", "descriptor": descriptor()})),
            "clientKey",
        ),
        policy(&json!({"mode": "descriptor"})),
        policy(&json!({"mode": "off"})),
        policy(&json!({"mode": "days", "days": 30})),
        policy(&json!({"mode": "indefinite"})),
        policy(&json!({"mode": "subscription", "graceDays": 0})),
    ]
}

pub(crate) fn policy(policy: &Value) -> Value {
    json!({"id": "e-1", "type": "policy-set", "time": "2026-03-01T10:00:00.000Z",
        "appKey": "com.example.app", "policy": policy})
}

fn descriptor() -> Value {
    json!({"version": "1.2", "baseUrl": "https://app.example.com",
        "regionBaseUrls": {"EU": "https://eu.app.example.com", "US": "https://us.app.example.com"},
        "dataResidency": {"realmPersistence": true, "realmPersistenceDays": 14}})
}

/// The sample of a type.
pub(crate) fn full_event(name: &str) -> Value {
    full_events().into_iter().find(|event| event["type"] == name).unwrap()
}

fn decoded(event: &Value) -> Event {
    Encoding::Native.encode(event).unwrap().decode().unwrap().event
}

fn with_setting(setting: &Value) -> Value {
    let mut event = full_event("descriptor-published");
    event["descriptor"]["dataResidency"] = json!({"realmPersistence": setting});
    event
}

#[test]
fn every_type_decodes_alike_in_every_encoding() {
    for event in full_events() {
        let native = decoded(&event);
        assert_eq!(
            serde_json::from_slice::<Value>(&ledger_record::json::to_vec(&native).unwrap()).unwrap(),
            event,
            "nothing is lost"
        );
        for encoding in ENCODINGS {
            let incoming = encoding.encode(&event).unwrap().decode().unwrap();
            assert_eq!(incoming.event, native, "{encoding:?}");
            assert!(!incoming.time_defaulted, "{encoding:?}");
        }
    }
}

#[test]
fn odd_settings_decode_alike_in_every_encoding() {
    for setting in [
        json!("true"),
        json!(1),
        json!(0.5),
        json!(-1),
        json!(null),
        json!([]),
        json!({"b": [1.0, null], "a": "x"}),
        json!(1e300),
        json!(false),
    ] {
        let event = with_setting(&setting);
        let native = decoded(&event);
        for encoding in ENCODINGS {
            assert_eq!(encoding.encode(&event).unwrap().decode().unwrap().event, native, "{encoding:?}");
        }
    }
}

#[test]
fn documented_sample_decodes() {
    let line = br#"{"id":"01JD","type":"installed","time":"2026-03-01T10:00:00.000Z","clientKey":"acme.atlassian.net","appKey":"com.example.app","endpointRealm":"EU","productRealm":"EU"}"#;
    let event = Sent { value: Some(line.to_vec()), ..Sent::default() }.decode().unwrap().event;
    assert_eq!(event.time, Timestamp::from_millis(1_772_359_200_000));
    let Body::Installation { client, app, fact: InstallationFact::Installed(installed) } = event.body else {
        panic!("not an install");
    };
    assert_eq!((client.as_str(), app.as_str()), ("acme.atlassian.net", "com.example.app"));
    assert_eq!(installed.endpoint_realm, Realm::parse("EU").ok());
    assert_eq!(installed.descriptor, None);
}

#[test]
fn equivalent_spellings_decode_to_the_same_event() {
    let base = full_event("installed");
    let expected = decoded(&base);
    let same: &[(&str, Value)] = &[
        ("/time", json!("2026-03-01T11:30:00.0009+01:30")),
        ("/endpointRealm", json!("eu")),
        ("/descriptor/dataResidency/realmPersistenceDays", json!(14.0)),
        ("/descriptor/dataResidency/other", json!("ignored")),
        ("/descriptor/regionBaseUrls/AU", json!(null)),
        ("/descriptor/name", json!(1)),
        ("/targetRealm", json!(1)),
        ("/migrationId", json!([])),
        ("/policy", json!("x")),
        ("/action", json!(false)),
        ("/unknown", json!({"deep": [1]})),
        ("/key", json!(1)),
        ("/baseUrl", json!("x")),
    ];
    for (pointer, value) in same {
        let mut event = base.clone();
        set(&mut event, pointer, value.clone());
        for encoding in ENCODINGS {
            let Some(sent) = encoding.encode(&event) else { continue };
            assert_eq!(sent.decode().unwrap().event, expected, "{encoding:?} {pointer}");
        }
    }
}

#[test]
fn null_and_empty_text_count_as_absent() {
    for absent in [json!(null), json!("")] {
        for field in ["installationId", "entitlementId", "siteUrl"] {
            let mut event = full_event("installed");
            event[field] = absent.clone();
            let given = decoded(&event);
            event.as_object_mut().unwrap().remove(field);
            assert_eq!(given, decoded(&event), "{field}");
        }
    }
    for pointer in
        ["/actor", "/reason", "/endpointRealm", "/productRealm", "/descriptor", "/descriptor/version"]
    {
        let mut event = full_event("installed");
        set(&mut event, pointer, json!(null));
        let given = decoded(&event);
        remove(&mut event, pointer);
        assert_eq!(given, decoded(&event), "{pointer}");
    }
    let mut event = full_event("installed");
    event["actor"] = json!("");
    assert_eq!(decoded(&event).actor.as_deref(), Some(""), "elsewhere it is a value");
}

#[test]
fn empty_region_table_or_residency_counts_as_absent() {
    let bare = json!({"baseUrl": "https://app.example.com"});
    let mut event = full_event("descriptor-published");
    event["descriptor"] = bare.clone();
    let expected = decoded(&event);
    for (field, value) in [
        ("regionBaseUrls", json!({})),
        ("regionBaseUrls", json!({"EU": null})),
        ("regionBaseUrls", json!(null)),
        ("dataResidency", json!(null)),
        ("dataResidency", json!(true)),
        ("dataResidency", json!([1])),
        ("dataResidency", json!({})),
        ("dataResidency", json!({"other": 1})),
    ] {
        event["descriptor"] = bare.clone();
        event["descriptor"][field] = value;
        assert_eq!(decoded(&event), expected, "{event}");
    }
    event["descriptor"]["dataResidency"] = json!({"realmPersistence": null});
    let Body::App { fact: AppFact::DescriptorPublished { descriptor }, .. } = decoded(&event).body else {
        panic!("not a descriptor");
    };
    assert_eq!(descriptor.data_residency.unwrap().realm_persistence, Setting::Null);
}

#[test]
fn numeric_migration_id_becomes_its_digits() {
    let expected = decoded(&full_event("migration-started"));
    for id in ["57500", "57500.0", "5.75e4", "\"57500\""] {
        let line = full_event("migration-started").to_string().replace("\"57500\"", id);
        let sent = Sent { value: Some(line.into_bytes()), ..Sent::default() };
        assert_eq!(sent.decode().unwrap().event, expected, "{id}");
    }
}

#[test]
fn last_of_equal_members_wins() {
    let line = full_event("enabled").to_string().replacen('{', "{\"id\":\"other\",", 1);
    let sent = Sent { value: Some(line.into_bytes()), ..Sent::default() };
    assert_eq!(sent.decode().unwrap().event.id.as_str(), "e-1");
}

#[test]
fn scenarios_decode() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/scenarios"));
    let mut events = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let history: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let refused = |line: usize| {
            let mut lines = history["rejected"].as_array().into_iter().flatten();
            lines.find(|refused| refused["line"] == line).map(|refused| &refused["reason"])
        };
        for (line, event) in (1..).zip(history["events"].as_array().unwrap()) {
            events += 1;
            if let Some(reason) = refused(line).filter(|reason| *reason != "event-id-conflict") {
                for encoding in ENCODINGS {
                    let rejection = encoding.encode(event).unwrap().decode().unwrap_err();
                    assert_eq!(rejection.reason.as_str(), *reason, "{encoding:?} {event}");
                }
                continue;
            }
            let native = decoded(event);
            for encoding in ENCODINGS {
                let Some(sent) = encoding.encode(event) else { continue };
                assert_eq!(sent.decode().unwrap().event, native, "{encoding:?} {event}");
            }
        }
    }
    assert!(events > 150, "only {events} events found");
}

/// Sets a member, creating the objects on its path.
pub(crate) fn set(event: &mut Value, pointer: &str, value: Value) {
    let mut at = event;
    for name in pointer.split('/').skip(1) {
        at = &mut at[name];
    }
    *at = value;
}

pub(crate) fn remove(event: &mut Value, pointer: &str) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    event.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
}
