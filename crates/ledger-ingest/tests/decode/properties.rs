//! Properties of any input.

use ledger_core::event::Event;
use ledger_ingest::decode::{Message, Stamp, decode, to_native_json};
use ledger_ingest::quarantine::refused;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::encodings::{ENCODINGS, Encoding, Sent, protobuf};
use super::samples::full_events;

const CONTENT_TYPES: &[&str] = &[
    "application/json",
    "application/protobuf",
    "application/cloudevents+json",
    "application/x-protobuf; x=y",
];

/// Values that a field could have by mistake or intent.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        prop::sample::select(vec![
            "EU",
            "us",
            "GLOBAL",
            "PIN",
            "RELEASE",
            "FORGET",
            "ACTIVE",
            "",
            "14",
            "days",
            "off",
            "2026-03-01T10:00:00Z",
            "https://eu.example.com",
            "Bearer x",
            "installed",
            "migrated",
            "override",
        ])
        .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let names = prop::sample::select(vec![
            "mode",
            "days",
            "graceDays",
            "version",
            "baseUrl",
            "regionBaseUrls",
            "dataResidency",
            "EU",
            "us",
            "realmPersistence",
            "realmPersistenceDays",
            "token",
            "x",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names, inner), 0..4).prop_map(|members| {
                Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            }),
        ]
    })
}

/// A valid event with some fields replaced by anything.
fn mangled_event() -> impl Strategy<Value = Value> {
    let names: Vec<String> = full_events()
        .iter()
        .flat_map(|event| event.as_object().unwrap().keys().cloned().collect::<Vec<_>>())
        .collect();
    let change = (prop::sample::select(names), any_value());
    (prop::sample::select(full_events()), prop::collection::vec(change, 0..3)).prop_map(
        |(mut event, changes)| {
            for (name, value) in changes {
                event[name] = value;
            }
            event
        },
    )
}

fn round_trip(event: &Event) {
    let json = to_native_json(event);
    let value = protobuf(&serde_json::from_slice(&json).unwrap());
    let native = Sent { value: Some(json), ..Sent::default() };
    assert_eq!(&native.decode().unwrap().event, event);
    let protobuf = Sent { value, ..Sent::default() };
    let protobuf = protobuf.with_header("content-type", "application/protobuf").decode().unwrap();
    let again =
        serde_json::from_slice::<Value>(&ledger_record::json::to_vec(&protobuf.event).unwrap()).unwrap();
    // Numbers in settings are doubles in protobuf.
    if !has_large_number(&again) {
        assert_eq!(&protobuf.event, event);
    }
}

fn has_large_number(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_none_or(|number| number.abs() >= 9_007_199_254_740_992.0),
        Value::Array(items) => items.iter().any(has_large_number),
        Value::Object(members) => members.values().any(has_large_number),
        _ => false,
    }
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(
        value in prop::collection::vec(any::<u8>(), 0..200),
        content_type in prop::option::of(prop::sample::select(CONTENT_TYPES)),
        attribute in prop::option::of(("ce_[a-z]{0,16}", prop::collection::vec(any::<u8>(), 0..8))),
    ) {
        let mut headers = Vec::new();
        headers.extend(content_type.map(|name| ("content-type", name.as_bytes())));
        headers.extend(attribute.as_ref().map(|(name, value)| (name.as_str(), &**value)));
        let message = Message { key: None, value: Some(&value), headers: &headers, timestamp: None };
        let _ = Stamp::from_line(&value).recorded_at();
        if let Err(rejection) = decode(&message) {
            let _ = refused(&message, rejection);
        }
    }

    #[test]
    fn any_json_is_decoded_or_refused(members in prop::collection::vec(("[a-zA-Z]{1,12}", any_value()), 0..6)) {
        let event = Value::Object(members.into_iter().collect::<Map<_, _>>());
        for encoding in ENCODINGS {
            if let Some(sent) = encoding.encode(&event) {
                let _ = sent.decode();
            }
        }
    }

    #[test]
    fn every_encoding_gives_the_same_verdict(event in mangled_event()) {
        let native = Encoding::Native.encode(&event).unwrap().decode();
        if let Ok(incoming) = &native {
            round_trip(&incoming.event);
        }
        // Numbers in settings are doubles in protobuf, and its JSON form reads some texts as other types.
        for encoding in [Encoding::Structured, Encoding::BinaryJson] {
            let Some(sent) = encoding.encode(&event) else { continue };
            match (&native, sent.decode()) {
                (Ok(native), Ok(incoming)) => prop_assert_eq!(&incoming.event, &native.event),
                (Err(native), Err(rejection)) => {
                    prop_assert_eq!(rejection.reason, native.reason);
                    prop_assert_eq!(rejection.path, native.path.as_ref().map(|path| encoding.path(path)));
                }
                (native, other) => prop_assert!(false, "{:?} {:?} {:?}", encoding, native, other),
            }
        }
    }
}

#[test]
fn recorded_at_of_a_line_is_read() {
    use ledger_core::time::Timestamp;
    use ledger_record::rejection::Reason;
    let at = Ok(Some(Timestamp::from_millis(1_262_304_000_000)));
    assert_eq!(Stamp::from_line(br#"{"id":1,"recordedAt":"2010-01-01T00:00:00Z"}"#).recorded_at(), at);
    for none in [&b"{}"[..], br#"{"recordedAt":null}"#, b"[", b"7", b"\xff"] {
        assert_eq!(Stamp::from_line(none).recorded_at(), Ok(None));
    }
    let never_set = br#"{"recordedAt":"1970-01-01T00:00:00Z"}"#;
    for bad in [&br#"{"recordedAt":1}"#[..], br#"{"recordedAt":"yesterday"}"#, never_set] {
        let rejection = Stamp::from_line(bad).recorded_at().unwrap_err();
        assert_eq!((rejection.reason, rejection.path.as_deref()), (Reason::InvalidField, Some("recordedAt")));
    }
}
