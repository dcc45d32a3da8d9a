//! Every kind of bad input, in every encoding that can express it, gives the same reason and path.

use ledger_record::rejection::Reason::{self, *};
use serde_json::{Value, json};

use super::encodings::{ENCODINGS, Encoding, Sent};
use super::samples::{full_event, policy, remove, set};

/// The change of a type's sample, and the expected reason and path.
type Fault = (&'static str, &'static str, Option<Value>, Reason, &'static str);

fn check((name, pointer, value, reason, path): Fault) -> usize {
    let mut event =
        if name.starts_with('{') { serde_json::from_str(name).unwrap() } else { full_event(name) };
    match value {
        Some(value) => set(&mut event, pointer, value),
        None => remove(&mut event, pointer),
    }
    let mut said = 0;
    for encoding in ENCODINGS {
        let Some(sent) = encoding.encode(&event) else { continue };
        let rejection = sent.decode().map(|_| format!("{encoding:?} takes {event}")).unwrap_err();
        assert_eq!(rejection.reason, reason, "{encoding:?} {event} {rejection}");
        assert_eq!(rejection.path, Some(encoding.path(path)), "{encoding:?} {event}");
        said += 1;
    }
    said
}

#[test]
fn missing_required_field_is_refused() {
    for (name, field) in [
        ("installed", "id"),
        ("installed", "type"),
        ("installed", "clientKey"),
        ("installed", "appKey"),
        ("product-moved", "clientKey"),
        ("product-moved", "productRealm"),
        ("descriptor-published", "appKey"),
        ("descriptor-published", "descriptor"),
        ("policy-set", "appKey"),
        ("policy-set", "policy"),
        ("migration-scheduled", "migrationId"),
        ("migration-scheduled", "targetRealm"),
        ("migration-started", "migrationId"),
        ("migration-committed", "migrationId"),
        ("migration-rolled-back", "migrationId"),
        ("migrated", "targetRealm"),
        ("override", "action"),
        ("override", "realm"),
        ("override", "actor"),
        ("override", "reason"),
        ("data-located", "realm"),
        ("subscription-observed", "state"),
        ("continued", "fromClientKey"),
        ("continued", "evidence"),
        ("continued", "actor"),
        ("continued", "reason"),
        ("superseded", "toClientKey"),
        ("superseded", "evidence"),
        ("superseded", "actor"),
        ("superseded", "reason"),
    ] {
        let pointer: &'static str = format!("/{field}").leak();
        assert_eq!(check((name, pointer, None, MissingField, field)), ENCODINGS.len());
        assert_eq!(check((name, pointer, Some(json!(null)), MissingField, field)), ENCODINGS.len());
    }
    let path = "descriptor.baseUrl";
    check(("installed", "/descriptor/baseUrl", None, MissingField, path));
    check(("descriptor-published", "/descriptor/baseUrl", Some(json!(null)), MissingField, path));
    check(("policy-set", "/policy/mode", None, MissingField, "policy.mode"));
    for (mode, number) in [("days", "policy.days"), ("subscription", "policy.graceDays")] {
        let event: &'static str = policy(&json!({"mode": mode, "x": 1})).to_string().leak();
        assert_eq!(check((event, "/policy/x", None, MissingField, number)), ENCODINGS.len());
    }
}

#[test]
fn wrong_type_is_invalid() {
    let texts = [
        "id",
        "type",
        "time",
        "clientKey",
        "appKey",
        "actor",
        "reason",
        "endpointRealm",
        "productRealm",
        "installationId",
        "entitlementId",
        "siteUrl",
    ];
    for field in texts {
        let pointer: &'static str = format!("/{field}").leak();
        for value in [json!(1), json!(true), json!([]), json!({})] {
            assert!(check(("installed", pointer, Some(value), InvalidField, field)) >= 2);
        }
    }
    for (name, field) in [
        ("migration-scheduled", "targetRealm"),
        ("migration-scheduled", "startTime"),
        ("migration-scheduled", "endTime"),
        ("migrated", "sourceRealm"),
        ("override", "action"),
        ("override", "realm"),
        ("subscription-observed", "state"),
        ("uninstalled", "installationId"),
        ("continued", "fromClientKey"),
        ("continued", "fromAppKey"),
        ("continued", "fromRealm"),
        ("continued", "evidence"),
        ("superseded", "toClientKey"),
        ("superseded", "toAppKey"),
        ("superseded", "evidence"),
        ("descriptor-published", "descriptor"),
        ("installed", "descriptor"),
        ("policy-set", "policy"),
    ] {
        let pointer: &'static str = format!("/{field}").leak();
        for value in [json!(1), json!([]), json!(true)] {
            check((name, pointer, Some(value), InvalidField, field));
        }
    }
    for (pointer, path) in [
        ("/descriptor/version", "descriptor.version"),
        ("/descriptor/baseUrl", "descriptor.baseUrl"),
        ("/descriptor/regionBaseUrls", "descriptor.regionBaseUrls"),
        ("/descriptor/regionBaseUrls/EU", "descriptor.regionBaseUrls.EU"),
    ] {
        check(("descriptor-published", pointer, Some(json!(1)), InvalidField, path));
    }
    check(("policy-set", "/policy/mode", Some(json!(1)), InvalidField, "policy.mode"));
}

#[test]
fn wrong_value_is_invalid() {
    for (name, field) in [("installed", "id"), ("installed", "clientKey"), ("installed", "appKey")] {
        let pointer: &'static str = format!("/{field}").leak();
        for value in [json!(""), json!("a\nb"), json!("a\u{85}"), json!("x".repeat(256))] {
            assert!(check((name, pointer, Some(value), InvalidField, field)) >= 5);
        }
    }
    for (name, field) in [
        ("installed", "endpointRealm"),
        ("installed", "productRealm"),
        ("uninstalled", "endpointRealm"),
        ("product-moved", "productRealm"),
        ("migration-committed", "targetRealm"),
        ("migrated", "sourceRealm"),
        ("override", "realm"),
        ("data-located", "realm"),
        ("continued", "fromRealm"),
    ] {
        let pointer: &'static str = format!("/{field}").leak();
        let no_keys = ["", "E", "1U", "EU WEST", "EU_1", "ABCDEFGHIJKLMNOPQ", "ÉU"];
        let words_for_nothing = ["undefined", "UNDEFINED", "None", "NULL", "NaN", "true", "FALSE"];
        for value in no_keys.into_iter().chain(words_for_nothing) {
            assert_eq!(check((name, pointer, Some(json!(value)), InvalidField, field)), ENCODINGS.len());
        }
    }
    for value in [
        "",
        "yesterday",
        "2026-03-01",
        "2026-02-30T00:00:00Z",
        "2026-03-01T10:00:00",
        "10000-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "2009-12-31T23:59:59.999Z",
        "2010-01-01T00:59:59.999+01:00",
    ] {
        check(("installed", "/time", Some(json!(value)), InvalidField, "time"));
        check(("migration-scheduled", "/startTime", Some(json!(value)), InvalidField, "startTime"));
        check(("migration-scheduled", "/endTime", Some(json!(value)), InvalidField, "endTime"));
    }
    for value in [json!(""), json!(1.5), json!(1e30), json!(true), json!("x".repeat(256)), json!("a\u{1}")] {
        check(("migration-started", "/migrationId", Some(value), InvalidField, "migrationId"));
    }
    for value in ["pin", "UNPIN", ""] {
        check(("override", "/action", Some(json!(value)), InvalidField, "action"));
    }
    check(("subscription-observed", "/state", Some(json!("active")), InvalidField, "state"));
}

#[test]
fn time_from_2010_on_is_accepted() {
    for (name, field) in
        [("enabled", "time"), ("migration-scheduled", "startTime"), ("migration-scheduled", "endTime")]
    {
        let mut event = full_event(name);
        event[field] = json!("2010-01-01T00:00:00.000Z");
        for encoding in ENCODINGS {
            let decoded = encoding.encode(&event).unwrap().decode().unwrap().event;
            let native = ledger_record::json::to_vec(&decoded).unwrap();
            assert_eq!(
                serde_json::from_slice::<Value>(&native).unwrap()[field],
                event[field],
                "{encoding:?} {name}"
            );
        }
    }
}

#[test]
fn defaulted_time_before_2010_is_invalid() {
    use ledger_core::time::Timestamp;
    let mut event = full_event("enabled");
    remove(&mut event, "/time");
    for encoding in ENCODINGS.iter().filter(|one| !matches!(one, Encoding::Native | Encoding::Protobuf)) {
        let mut sent = encoding.encode(&event).unwrap();
        sent.timestamp = Some(Timestamp::from_millis(0));
        let rejection = sent.decode().unwrap_err();
        assert_eq!(
            (rejection.reason, rejection.path.as_deref()),
            (InvalidField, Some("time")),
            "{encoding:?}"
        );
    }
}

#[test]
fn default_is_global_in_every_realm_field() {
    use super::samples::full_events;
    let realms = ["endpointRealm", "productRealm", "targetRealm", "sourceRealm", "fromRealm", "realm"];
    for event in full_events() {
        for field in realms.into_iter().filter(|field| event.get(field).is_some()) {
            let (mut named, mut global) = (event.clone(), event.clone());
            (named[field], global[field]) = (json!("Default"), json!("GLOBAL"));
            for encoding in ENCODINGS {
                let decoded = |event: &Value| encoding.encode(event).unwrap().decode().unwrap().event;
                assert_eq!(decoded(&named), decoded(&global), "{encoding:?} {named}");
            }
        }
    }
}

#[test]
fn invalid_links_are_refused() {
    for (name, client, app) in
        [("continued", "fromClientKey", "fromAppKey"), ("superseded", "toClientKey", "toAppKey")]
    {
        for value in [json!(""), json!("x".repeat(65)), json!("ü".repeat(33))] {
            assert_eq!(check((name, "/evidence", Some(value), InvalidField, "evidence")), ENCODINGS.len());
        }
        // Its own installation, with the app key given or left out.
        let mut own = full_event(name);
        own[client] = own["clientKey"].clone();
        for app_key in [json!("com.example.app"), Value::Null] {
            own[app] = app_key;
            for encoding in ENCODINGS {
                let rejection = encoding.encode(&own).unwrap().decode().unwrap_err();
                let found = (rejection.reason, rejection.path);
                assert_eq!(found, (InvalidField, Some(encoding.path(client))), "{encoding:?} {own}");
            }
        }
        // Another app of the same tenant is another installation.
        own[app] = json!("com.example.other");
        // Only overrides need an actor.
        let mut unsigned = full_event(name);
        unsigned["evidence"] = json!("x".repeat(64));
        remove(&mut unsigned, "/actor");
        remove(&mut unsigned, "/reason");
        // The app key defaults to the event's own.
        let (mut short, mut long) = (full_event(name), full_event(name));
        remove(&mut short, format!("/{app}").leak());
        long[app] = json!("com.example.app");
        for encoding in ENCODINGS {
            let decoded = |event: &Value| encoding.encode(event).unwrap().decode().unwrap().event;
            decoded(&own);
            decoded(&unsigned);
            assert_eq!(decoded(&short), decoded(&long), "{encoding:?}");
        }
    }
}

#[test]
fn invalid_descriptors_are_refused() {
    let base = "descriptor.baseUrl";
    for value in ["", "app.example.com", "ftp://app.example.com", "https://", "/x", "https://a b"] {
        assert_eq!(
            check(("descriptor-published", "/descriptor/baseUrl", Some(json!(value)), InvalidField, base)),
            ENCODINGS.len()
        );
    }
    let urls = "/descriptor/regionBaseUrls";
    let table = "descriptor.regionBaseUrls";
    let url = "https://x.example.com";
    for (value, path) in [
        (json!({"GLOBAL": url}), "descriptor.regionBaseUrls.GLOBAL"),
        (json!({"global": url}), "descriptor.regionBaseUrls.global"),
        (json!({"default": url}), "descriptor.regionBaseUrls.default"),
        (json!({"undefined": url}), "descriptor.regionBaseUrls.undefined"),
        (json!({"E": url}), table),
        (json!({"": url}), table),
        (json!({"EU": "x"}), "descriptor.regionBaseUrls.EU"),
        (json!({"EU": url, "eu": url}), "descriptor.regionBaseUrls.eu"),
    ] {
        assert_eq!(check(("installed", urls, Some(value), InvalidField, path)), ENCODINGS.len());
    }
    check((
        "installed",
        urls,
        Some(json!({"GLOBAL": null})),
        InvalidField,
        "descriptor.regionBaseUrls.GLOBAL",
    ));
    check((
        "installed",
        urls,
        Some(json!({"EU": url, "eu": null})),
        InvalidField,
        "descriptor.regionBaseUrls.eu",
    ));
}

#[test]
fn invalid_policies_are_refused() {
    for value in [json!(0), json!(-1), json!(36_501), json!(1.5), json!("30"), json!(true), json!(1e40)] {
        let event: &'static str = policy(&json!({"mode": "days", "days": 1})).to_string().leak();
        check((event, "/policy/days", Some(value), InvalidField, "policy.days"));
    }
    for value in [json!(-1), json!(36_501), json!(0.1), json!("0")] {
        let event: &'static str = policy(&json!({"mode": "subscription", "graceDays": 1})).to_string().leak();
        check((event, "/policy/graceDays", Some(value), InvalidField, "policy.graceDays"));
    }
    for mode in ["", "DAYS", "Off", "forever"] {
        check(("policy-set", "/policy/mode", Some(json!(mode)), InvalidField, "policy.mode"));
    }
    let ignored = policy(&json!({"mode": "off", "days": "x", "graceDays": -1}));
    Encoding::Native.encode(&ignored).unwrap().decode().unwrap();
}

#[test]
fn unknown_type_is_unsupported() {
    for name in ["", "Installed", "uninstall", "com.atlassian.connect.installed"] {
        assert_eq!(
            check(("installed", "/type", Some(json!(name)), UnsupportedType, "type")),
            ENCODINGS.len()
        );
    }
}

#[test]
fn mismatched_kafka_key_is_refused() {
    for event in super::samples::full_events() {
        let is_app = event.get("clientKey").is_none();
        let right = event[if is_app { "appKey" } else { "clientKey" }].as_str().unwrap();
        for encoding in ENCODINGS {
            let mut sent = encoding.encode(&event).unwrap();
            for key in [
                "",
                "other",
                "ACME.atlassian.net",
                if is_app { "acme.atlassian.net" } else { "com.example.app" },
            ] {
                sent.key = Some(key.as_bytes().to_vec());
                let rejection = sent.decode().unwrap_err();
                assert_eq!((rejection.reason, rejection.path), (KeyMismatch, None), "{encoding:?} {key}");
            }
            sent.key = Some(right.as_bytes().to_vec());
            sent.decode().unwrap();
        }
    }
}

#[test]
fn only_cloud_events_default_to_the_record_time() {
    use ledger_core::time::Timestamp;
    let mut event = full_event("enabled");
    remove(&mut event, "/time");
    for encoding in ENCODINGS {
        let mut sent = encoding.encode(&event).unwrap();
        assert_eq!(sent.decode().unwrap_err().path.as_deref(), Some("time"), "{encoding:?}: no record time");
        sent.timestamp = Some(Timestamp::from_millis(1_772_359_200_017));
        let decoded = sent.decode();
        if matches!(encoding, Encoding::Native | Encoding::Protobuf) {
            assert_eq!(decoded.unwrap_err().reason, MissingField, "{encoding:?}");
        } else {
            let incoming = decoded.unwrap();
            assert_eq!(
                (incoming.event.time.as_millis(), incoming.time_defaulted),
                (1_772_359_200_017, true),
                "{encoding:?}"
            );
        }
    }
}

#[test]
fn malformed_json_is_undecodable() {
    let event = full_event("installed").to_string();
    let cut = &event[..event.len() - 1];
    let trailing = format!("{event} x");
    let deep = format!("{{\"descriptor\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_id = deep.replace("descriptor", "id");
    for body in [
        &b""[..],
        b"null",
        b"[]",
        b"\"x\"",
        b"1",
        b"{",
        b"\xff\xfe",
        b"{\"unknown\":\"\xff\"}",
        b"\xef\xbb\xbf{}",
        b"{\"id\":\"\\ud800\"}",
        b"{'id':1}",
        cut.as_bytes(),
        trailing.as_bytes(),
        deep_id.as_bytes(),
    ] {
        for content_type in [None, Some("application/json"), Some("application/cloudevents+json")] {
            let mut sent = Sent { value: Some(body.to_vec()), ..Sent::default() };
            if let Some(content_type) = content_type {
                sent = sent.with_header("content-type", content_type);
            }
            let rejection = sent.decode().unwrap_err();
            assert_eq!((rejection.reason, rejection.path), (Undecodable, None), "{body:?} {content_type:?}");
        }
    }
    let sent = Sent { value: Some(deep.into_bytes()), ..Sent::default() };
    assert_eq!(sent.decode().unwrap_err().reason, Undecodable);
}

#[test]
fn malformed_protobuf_is_undecodable() {
    let event = full_event("installed").to_string();
    for body in [&b"\x0a\x05ab"[..], b"\x0a\x01\xff", event.as_bytes(), b"\x0a"] {
        let sent = Sent { value: Some(body.to_vec()), ..Sent::default() };
        let rejection = sent.with_header("content-type", "application/x-protobuf").decode().unwrap_err();
        assert_eq!(rejection.reason, Undecodable, "{body:?}");
    }
}

#[test]
fn unknown_content_type_or_null_value_is_undecodable() {
    for content_type in ["text/plain", "application/avro", "application/cloudevents-batch+json", "\u{ff}"] {
        let sent = Sent::json(&full_event("installed")).with_header("content-type", content_type);
        assert_eq!(sent.decode().unwrap_err().reason, Undecodable, "{content_type}");
    }
    for sent in [Sent::default(), Sent::default().with_header("content-type", "application/protobuf")] {
        assert_eq!(sent.decode().unwrap_err().reason, Undecodable, "a null value");
    }
}

#[test]
fn deeply_nested_unknown_field_is_accepted() {
    let deep = format!("{{\"unknown\":{}{},", "[".repeat(100_000), "]".repeat(100_000));
    let line = full_event("installed").to_string().replacen('{', &deep, 1);
    let decoded = Sent { value: Some(line.into_bytes()), ..Sent::default() }.decode().unwrap();
    assert_eq!(decoded, Sent::json(&full_event("installed")).decode().unwrap());
}

#[test]
fn message_over_a_mebibyte_is_too_large() {
    let mut event = full_event("enabled");
    event["reason"] = json!("");
    let room = (1 << 20) - event.to_string().len();
    event["reason"] = json!("x".repeat(room));
    Sent::json(&event).decode().unwrap();
    event["reason"] = json!("x".repeat(room + 1));
    let rejection = Sent::json(&event).decode().unwrap_err();
    assert_eq!((rejection.reason, rejection.path), (TooLarge, None));
}

#[test]
fn first_fault_in_the_documented_order_is_reported() {
    let order = [
        "id",
        "type",
        "time",
        "clientKey",
        "appKey",
        "actor",
        "reason",
        "endpointRealm",
        "productRealm",
        "descriptor",
        "installationId",
        "entitlementId",
        "siteUrl",
    ];
    let mut event = full_event("installed");
    for field in order {
        event[field] = json!(1);
    }
    for field in order {
        let mut sent = Sent::json(&event);
        sent.key = Some(b"other".to_vec());
        assert_eq!(sent.decode().unwrap_err().path.as_deref(), Some(field));
        event[field] = full_event("installed")[field].clone();
    }
    let mut sent = Sent::json(&event);
    sent.key = Some(b"other".to_vec());
    assert_eq!(sent.decode().unwrap_err().reason, KeyMismatch);
}
