//! No secret reaches an event, the quarantine or the text of a rejection.

use ledger_ingest::decode::{Message, decode};
use ledger_ingest::quarantine::refused;
use ledger_record::rejection::{Reason, RefusedBody};
use serde_json::{Value, json};

use super::connect::payload;
use super::encodings::{ENCODINGS, Sent, base64};
use super::samples::full_events;

/// Searches everything that can leave a message for the canary.
fn assert_clean(sent: &Sent, about: &str) {
    match sent.decode() {
        Ok(incoming) => {
            let event = format!("{incoming:?}");
            assert!(!event.contains("canary"), "event of {about}: {event}");
            let json = ledger_record::json::to_string(&incoming.event).unwrap();
            assert!(!json.contains("canary"), "JSON of {about}: {json}");
        }
        Err(rejection) => {
            let said = format!("{rejection} {rejection:?}");
            assert!(!said.contains("canary"), "rejection of {about}: {said}");
        }
    }
    let rejection = Sent::default().decode().unwrap_err();
    let kept = sent.given_to(|message| refused(message, rejection));
    let text = format!("{kept:?}");
    assert!(!text.contains("canary"), "quarantine of {about}: {text}");
    if let RefusedBody::Json(json) = kept.body {
        assert!(!json.contains(&base64(b"canary")[..6]), "quarantine of {about}: {json}");
    }
}

/// The event with each of its texts replaced in turn.
fn with_each_text(event: &Value, text: &str) -> Vec<(String, Value)> {
    fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    pointers(member, &format!("{at}/{name}"), found);
                }
            }
            Value::String(_) => found.push(at.to_owned()),
            _ => {}
        }
    }
    let mut found = Vec::new();
    pointers(event, "", &mut found);
    let replaced = found.into_iter().map(|pointer| {
        let mut event = event.clone();
        *event.pointer_mut(&pointer).unwrap() = json!(text);
        (format!("{} at {pointer}", event["type"]), event)
    });
    replaced.collect()
}

#[test]
fn token_shaped_text_never_leaves_any_field() {
    for text in [
        "Bearer canary",
        "JWT canary.canary.canary",
        "eyJcanary.eyJcanary.canary",
        "https://canary:canary@acme.atlassian.net/wiki",
        "see https://canary@acme.atlassian.net",
    ] {
        for event in full_events() {
            for (about, event) in with_each_text(&event, text) {
                for encoding in ENCODINGS {
                    let Some(sent) = encoding.encode(&event) else { continue };
                    assert_clean(&sent, &format!("{encoding:?} {about}"));
                }
            }
        }
    }
}

#[test]
fn named_secrets_never_leave_free_text() {
    for text in [
        "https://acme.atlassian.net/?jwt=canary&x=1",
        "sharedSecret: canary",
        "Authorization: Basic canary canary",
        r#"{"sharedSecret":"canary","deep":[{"api_key":"canary"}]}"#,
        r#"got {"sharedSecret" : "canary canary"} back"#,
        "-----BEGIN PUBLIC KEY-----\ncanary\n-----END PUBLIC KEY-----",
    ] {
        for event in full_events() {
            for field in ["actor", "reason", "siteUrl", "installationId", "entitlementId", "unknown"] {
                let mut event = event.clone();
                event[field] = json!(text);
                for encoding in ENCODINGS {
                    let Some(sent) = encoding.encode(&event) else { continue };
                    assert_clean(&sent, &format!("{encoding:?} {field} {event}"));
                }
            }
        }
    }
}

#[test]
fn secrets_in_a_descriptor_never_leave() {
    for block in [
        json!({"version": "token=canary"}),
        json!({"baseUrl": "https://canary:canary@app.example.com"}),
        json!({"baseUrl": "https://app.example.com/?access_token=canary"}),
        json!({"regionBaseUrls": {"EU": "https://eu.app.example.com/?secret=canary"}}),
        json!({"regionBaseUrls": {"Bearer canary": "https://eu.app.example.com"}}),
        json!({"dataResidency": {"realmPersistence": {"sharedSecret": "canary"}}}),
        json!({"dataResidency": {"realmPersistence": "Bearer canary"}}),
        json!({"dataResidency": {"realmPersistenceDays": ["JWT canary", {"a": {"token": ["canary"]}}]}}),
        json!({"dataResidency": {"realmPersistence": [{"name": "x-shared-secret", "value": "canary"}]}}),
        json!({"dataResidency": {"realmPersistence": {"a": ["Authorization", "Basic canary"]}}}),
        json!({"authentication": {"type": "jwt", "sharedSecret": "canary"}}),
        json!({"harmless": {"deep": ["canary"]}, "to canary": 1}),
    ] {
        let mut event = super::samples::full_event("descriptor-published");
        for (name, value) in block.as_object().unwrap() {
            event["descriptor"][name] = value.clone();
        }
        for encoding in ENCODINGS {
            let Some(sent) = encoding.encode(&event) else { continue };
            assert_clean(&sent, &format!("{encoding:?} {block}"));
        }
    }
}

#[test]
fn secrets_of_connect_payloads_never_leave() {
    for name in ["installed", "uninstalled", "enabled", "disabled"] {
        let attributes = json!({"specversion": "1.0", "source": "/x", "id": "h-1",
            "type": format!("com.atlassian.connect.{name}"), "time": "2026-03-01T10:00:00Z",
            "authorization": "canary", "accesstoken": "canary"});
        let payload = payload(name);
        assert_clean(&super::connect::structured(attributes.clone(), payload.clone()), name);
        assert_clean(&super::connect::binary(&attributes, &payload), name);
        let mut encoded = attributes.clone();
        encoded["data_base64"] = json!(base64(payload.to_string().as_bytes()));
        let sent = Sent::json(&encoded).with_header("content-type", "application/cloudevents+json");
        sent.decode().unwrap();
        assert_clean(&sent, name);
        let quoted = super::connect::structured(attributes, json!(payload.to_string()));
        assert_clean(&quoted, name);
    }
}

#[test]
fn event_keeps_only_named_payload_fields() {
    let attributes = json!({"specversion": "1.0", "source": "/x", "id": "h-1", "type": "com.atlassian.connect.installed",
        "time": "2026-03-01T10:00:00Z"});
    let event = super::connect::structured(attributes, payload("installed")).decode().unwrap();
    assert!(!format!("{event:?}").contains("canary"), "{event:?}");
}

#[test]
fn secrets_in_headers_and_keys_never_leave() {
    let sent = Sent { key: Some(b"Bearer canary".to_vec()), ..Sent::json(&json!({})) }
        .with_header("Authorization", "canary")
        .with_header("x-other", "canary")
        .with_header("content-type", "application/json; token=canary");
    assert_clean(&sent, "headers");
}

#[test]
fn non_json_body_is_kept_as_a_digest() {
    let mut cut = payload("installed").to_string();
    cut.pop();
    for body in [cut.as_bytes(), b"sharedSecret=canary", b"\"canary\"", b"\x0a\x06canary"] {
        assert_clean(&Sent { value: Some(body.to_vec()), ..Sent::default() }, "no JSON");
    }
}

#[test]
fn line_of_a_message_that_was_refused_before_is_that_refusal_and_nothing_of_it_is_believed() {
    let value = br#"{"crc":"0","recordedAt":"2026-01-01T00:00:00Z","refused":{"reason":"time-in-future","path":"a canary",
        "detail":"Authorization: Bearer canary","json":"{\"id\":\"7\",\"sharedSecret\":\"canary\",\"note\":\"canary\"}"}}"#;
    let message = Message { value: Some(value), ..Message::default() };
    let rejection = decode(&message).unwrap_err();
    assert_eq!((rejection.reason, rejection.path.as_deref()), (Reason::TimeInFuture, None));
    let kept = refused(&message, rejection);
    assert_eq!(kept.body, RefusedBody::Json(r#"{"id":"7","note":"***"}"#.to_owned()));
    assert!(!format!("{kept:?}").contains("canary"), "{kept:?}");
    // What has an id is an event, or none on its own account.
    let value = br#"{"id":"7","refused":{"reason":"time-in-future","detail":""}}"#;
    let rejection = decode(&Message { value: Some(value), ..Message::default() }).unwrap_err();
    assert_eq!((rejection.reason, rejection.path.as_deref()), (Reason::MissingField, Some("type")));
}
