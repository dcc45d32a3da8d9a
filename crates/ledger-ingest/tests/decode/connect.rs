//! Payloads and hooks as Atlassian sends them, inside `CloudEvents`.

use ledger_core::event::Event;
use ledger_record::rejection::Reason::{self, *};
use serde_json::{Value, json};

use super::encodings::Sent;

/// A lifecycle payload with every known field; secrets contain the word `canary`.
pub(crate) fn payload(event_type: &str) -> Value {
    json!({
        "key": "com.example.app", "clientKey": "jira:3f2f5e8a", "eventType": event_type,
        "publicKey": "MIGfMA0canary", "sharedSecret": "canary/shared+secret=", "serverVersion": "100",
        "pluginsVersion": "1.1", "baseUrl": "https://acme.atlassian.net", "displayUrl": "https://jira.acme.example",
        "displayUrlServicedeskHelpCenter": "https://help.acme.example", "productType": "jira",
        "description": "Acme's own, call canary", "oauthClientId": "canary-oauth",
        "serviceEntitlementNumber": "SEN-1", "entitlementId": "ent-1", "entitlementNumber": "E-1",
        "installationId": "ari:cloud:ecosystem::installation/1", "accountId": "canary-account",
        "contextToken": "canary"
    })
}

/// The attributes that the producer of a hook stamps on it.
fn attributes(name: &str) -> Value {
    json!({
        "specversion": "1.0", "source": "/hooks/eu", "id": "h-1", "type": format!("com.atlassian.connect.{name}"),
        "time": "2026-03-01T10:00:00Z", "endpointrealm": "eu", "productrealm": "US"
    })
}

pub(crate) fn structured(mut attributes: Value, data: Value) -> Sent {
    attributes["data"] = data;
    Sent::json(&attributes).with_header("content-type", "application/cloudevents+json")
}

pub(crate) fn binary(attributes: &Value, data: &Value) -> Sent {
    attributes.as_object().unwrap().iter().fold(Sent::json(data), |sent, (name, value)| {
        sent.with_header(&format!("ce_{name}"), value.as_str().unwrap())
    })
}

/// The hook in both modes, which must agree.
fn decode(name: &str, stamp: &[(&str, &str)], data: &Value) -> Result<Event, (Reason, Option<String>)> {
    let mut attributes = attributes(name);
    for (extension, value) in stamp {
        attributes[*extension] = json!(value);
    }
    let [one, other] =
        [structured(attributes.clone(), data.clone()), binary(&attributes, data)].map(|sent| {
            sent.decode()
                .map(|incoming| incoming.event)
                .map_err(|rejection| (rejection.reason, rejection.path))
        });
    assert_eq!(one, other, "both modes say the same");
    one
}

fn native(event: &Event) -> Value {
    serde_json::from_slice(&ledger_record::json::to_vec(event).unwrap()).unwrap()
}

#[test]
fn lifecycle_payloads_become_events() {
    let event = decode("installed", &[], &payload("installed")).unwrap();
    assert_eq!(
        native(&event),
        json!({"id": "h-1", "type": "installed", "time": "2026-03-01T10:00:00.000Z",
            "clientKey": "jira:3f2f5e8a", "appKey": "com.example.app", "endpointRealm": "EU", "productRealm": "US",
            "installationId": "ari:cloud:ecosystem::installation/1", "entitlementId": "ent-1",
            "siteUrl": "https://acme.atlassian.net"})
    );
    let keys = json!({"clientKey": "jira:3f2f5e8a", "appKey": "com.example.app"});
    for (name, realm) in [("uninstalled", Some("EU")), ("enabled", None), ("disabled", None)] {
        let event = native(&decode(name, &[], &payload(name)).unwrap());
        assert_eq!((&event["type"], &event["clientKey"]), (&json!(name), &keys["clientKey"]));
        assert_eq!(event.get("endpointRealm").and_then(Value::as_str), realm);
        assert!(event.get("siteUrl").is_none(), "{name} carries none");
        let installation = event.get("installationId").and_then(Value::as_str);
        let expected = (name == "uninstalled").then_some("ari:cloud:ecosystem::installation/1");
        assert_eq!(installation, expected, "{name}");
    }
}

#[test]
fn other_payload_fields_are_ignored() {
    let mut odd = payload("uninstalled");
    for (field, value) in [
        ("id", json!(1)),
        ("type", json!([])),
        ("time", json!(0)),
        ("reason", json!(1)),
        ("appKey", json!("other")),
        ("endpointRealm", json!("AU")),
        ("descriptor", json!("x")),
        ("siteUrl", json!(1)),
        ("migrationId", json!({})),
    ] {
        odd[field] = value;
    }
    let stamp = [("subject", "other-client"), ("appkey", "other-app")];
    assert_eq!(
        decode("installed", &stamp, &odd).unwrap(),
        decode("installed", &[], &payload("installed")).unwrap()
    );
}

#[test]
fn migration_hooks_become_events() {
    let stamp = [("subject", "acme.atlassian.net"), ("appkey", "com.example.app")];
    let body = json!({"startTime": "2026-03-02T00:00:00.000Z", "endTime": "2026-03-03T00:00:00.000Z",
        "location": "de", "migrationId": 57500});
    let scheduled = json!({"id": "h-1", "type": "migration-scheduled", "time": "2026-03-01T10:00:00.000Z",
        "clientKey": "acme.atlassian.net", "appKey": "com.example.app", "migrationId": "57500", "targetRealm": "DE",
        "startTime": "2026-03-02T00:00:00.000Z", "endTime": "2026-03-03T00:00:00.000Z"});
    let event = |hook: &str, body: &Value| decode(&format!("dare-migration.{hook}"), &stamp, body);
    assert_eq!(native(&event("schedule", &body).unwrap()), scheduled);
    let started = native(&event("start", &body).unwrap());
    assert_eq!((&started["type"], &started["targetRealm"]), (&json!("migration-started"), &json!("DE")));
    let short = json!({"migrationId": "57500"});
    assert_eq!(native(&event("commit", &short).unwrap())["type"], "migration-committed");
    assert_eq!(native(&event("rollback", &short).unwrap())["type"], "migration-rolled-back");
    let global = json!({"migrationId": 1, "location": "Global"});
    assert_eq!(native(&event("commit", &global).unwrap())["targetRealm"], "GLOBAL");
}

#[test]
fn faults_name_the_payload_field() {
    let without = |field: &str| {
        let mut payload = payload("installed");
        payload.as_object_mut().unwrap().remove(field);
        payload
    };
    let with = |field: &str, value: Value| {
        let mut payload = payload("installed");
        payload[field] = value;
        payload
    };
    for (data, reason, path) in [
        (without("key"), MissingField, "data.key"),
        (without("clientKey"), MissingField, "data.clientKey"),
        (with("key", json!(1)), InvalidField, "data.key"),
        (with("clientKey", json!("")), InvalidField, "data.clientKey"),
        (with("baseUrl", json!(1)), InvalidField, "data.baseUrl"),
        (with("installationId", json!(1)), InvalidField, "data.installationId"),
        (with("entitlementId", json!([])), InvalidField, "data.entitlementId"),
        (json!("text"), InvalidField, "data"),
        (json!([]), InvalidField, "data"),
        (json!(null), MissingField, "data.clientKey"),
    ] {
        assert_eq!(decode("installed", &[], &data), Err((reason, Some(path.to_owned()))), "{data}");
    }
    let data = payload("installed");
    for (attribute, value, path) in [
        ("endpointrealm", "?", "endpointrealm"),
        ("productrealm", "?", "productrealm"),
        ("time", "?", "time"),
        ("specversion", "0.3", "specversion"),
        ("id", "", "id"),
    ] {
        let found = decode("installed", &[(attribute, value)], &data);
        assert_eq!(found, Err((InvalidField, Some(path.to_owned()))), "{attribute}");
    }
    let stamp = [("subject", "acme"), ("appkey", "app")];
    for (hook, data, reason, path) in [
        ("schedule", json!({"migrationId": 1}), MissingField, "data.location"),
        ("schedule", json!({"location": "EU"}), MissingField, "data.migrationId"),
        (
            "schedule",
            json!({"migrationId": 1, "location": "EU", "startTime": 5}),
            InvalidField,
            "data.startTime",
        ),
        (
            "schedule",
            json!({"migrationId": 1, "location": "EU", "endTime": "x"}),
            InvalidField,
            "data.endTime",
        ),
        ("commit", json!({"migrationId": 1.5}), InvalidField, "data.migrationId"),
        ("commit", json!({"migrationId": 1, "location": "?"}), InvalidField, "data.location"),
    ] {
        let found = decode(&format!("dare-migration.{hook}"), &stamp, &data);
        assert_eq!(found, Err((reason, Some(path.to_owned()))), "{hook} {data}");
    }
    let hook = json!({"migrationId": 1});
    let found = decode("dare-migration.commit", &[("subject", "acme")], &hook);
    assert_eq!(found, Err((MissingField, Some("appkey".to_owned()))));
    let found = decode("dare-migration.commit", &[("appkey", "app")], &hook);
    assert_eq!(found, Err((MissingField, Some("subject".to_owned()))));
}

#[test]
fn other_hook_types_are_unsupported() {
    for name in ["upgraded", "dare-migration.status", "dare-migration.", "", "Installed"] {
        assert_eq!(
            decode(name, &[], &payload("installed")),
            Err((UnsupportedType, Some("type".to_owned()))),
            "{name}"
        );
    }
}
