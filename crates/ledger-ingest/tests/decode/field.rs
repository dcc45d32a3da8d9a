//! Messages of real producers: decoded, or refused with the place of the fault and the apparent format.

use ledger_core::descriptor::Setting;
use ledger_core::event::{AppFact, Body, InstallationFact};
use ledger_record::rejection::Reason::{self, *};
use serde_json::{Value, json};

use super::encodings::{Encoding, Sent, base64};
use super::samples::full_event;

fn native() -> Value {
    full_event("installed")
}

fn structured() -> Sent {
    Encoding::Structured.encode(&native()).unwrap()
}

fn sent(value: impl Into<Vec<u8>>) -> Sent {
    Sent { value: Some(value.into()), ..Sent::default() }
}

#[test]
fn headers_of_bridges_and_frameworks_are_read() {
    let expected = Sent::json(&native()).decode().unwrap();
    let binary = |prefix: &str, content_type: &str| {
        let mut sent = Encoding::BinaryJson.encode(&native()).unwrap();
        for (name, value) in &mut sent.headers {
            if name.starts_with("ce_") {
                name.replace_range(..3, prefix);
            } else {
                *value = content_type.as_bytes().to_vec();
            }
        }
        sent
    };
    for sent in [
        Sent::json(&native()).with_header("content-type", r#""application/json""#),
        binary("ce-", "application/json"),
        binary("Ce-", r#""application/json;charset=UTF-8""#),
        binary("ce_", r#""application/json""#),
    ] {
        assert_eq!(sent.decode().unwrap().event, expected.event, "{:?}", sent.headers);
    }
}

#[test]
fn spec_version_makes_a_cloud_event_of_any_content_type() {
    let expected = structured().decode().unwrap();
    let bare = Sent { headers: Vec::new(), ..structured() };
    for sent in [
        bare.clone(),
        bare.clone().with_header("content-type", "application/json"),
        bare.clone().with_header("content-type", "text/plain"),
        bare.clone().with_header("content-type", "application/octet-stream"),
        bare.clone().with_header("content-type", "application/x-protobuf"),
        bare.with_header("content-type", "application/vnd.example+json"),
    ] {
        assert_eq!(sent.decode().unwrap().event, expected.event, "{:?}", sent.headers);
    }
    // Null counts as absent.
    let mut null = native();
    null["specversion"] = json!(null);
    let expected = Sent::json(&native()).decode().unwrap().event;
    assert_eq!(Sent::json(&null).decode().unwrap().event, expected);
    assert_eq!(Sent::json(&null).with_header("content-type", "text/plain").decode().unwrap_err().path, None);
    // Without `specversion` it is a native event, and an unknown content type is refused.
    assert_eq!(
        Sent::json(&native()).with_header("content-type", "text/plain").decode().unwrap_err().reason,
        Undecodable
    );
    let mut other = native();
    other["specversion"] = json!("0.3");
    assert_eq!(Sent::json(&other).decode().unwrap_err().path.as_deref(), Some("specversion"));
}

/// A bridge may add attribute headers to a structured `CloudEvent`; read as binary it would have no data.
#[test]
fn structured_event_ignores_binary_headers() {
    let expected = structured().decode().unwrap();
    let binary = Encoding::BinaryJson.encode(&native()).unwrap();
    for content_type in ["application/json", "application/cloudevents+json"] {
        let mut sent = Sent { headers: binary.headers.clone(), ..structured() };
        sent.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
        let both = sent.with_header("content-type", content_type);
        assert_eq!(both.decode().unwrap().event, expected.event, "{:?}", both.headers);
    }
    let some = Sent { headers: Vec::new(), ..structured() }.with_header("ce-id", "another");
    assert_eq!(some.decode().unwrap().event, expected.event);
    // Optional attribute headers do not turn a native event into a `CloudEvent`.
    let native_event = Sent::json(&native()).decode().unwrap().event;
    let traced =
        Sent::json(&native()).with_header("ce-traceparent", "00-1").with_header("ce_correlationid", "7");
    assert_eq!(traced.decode().unwrap().event, native_event);
}

#[test]
fn rejection_names_the_place_and_the_apparent_format() {
    let event = native().to_string();
    let utf16: Vec<u8> = event.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let framed = |schema: u32| [&[0][..], &schema.to_be_bytes(), event.as_bytes()].concat();
    let cases: Vec<(Sent, Reason, &[&str])> = vec![
        (sent(event.replacen(',', "", 1)), Undecodable, &["line 1 column"]),
        (sent(&event[..event.len() - 1]), Undecodable, &["EOF", "line 1 column"]),
        (sent("{\n  \"id\": \"a\",\n  type\n}"), Undecodable, &["line 3 column 3"]),
        (sent(format!("{event} {event}")), Undecodable, &["trailing characters"]),
        (
            sent(r#"{"id":"\ud800","type":"installed"}"#),
            Undecodable,
            &["a lone surrogate stands in the field id at line 1 column 14"],
        ),
        (
            sent("{\n\"x\":\"\\ud83d\\ude00\", \"actor\": \"a\\udc00b\"}"),
            Undecodable,
            &["a lone surrogate stands in the field actor at line 2 column"],
        ),
        (
            sent(r#"{"a\ud800":1,"type":"installed"}"#),
            Undecodable,
            &["a lone surrogate stands in a name at line 1 column"],
        ),
        (sent([b"{\"id\":\"", &[0xff][..], b"\"}"].concat()), Undecodable, &["byte 7"]),
        (sent([&[0xef, 0xbb, 0xbf], event.as_bytes()].concat()), Undecodable, &["byte order mark"]),
        (sent(utf16.clone()), Undecodable, &["UTF-16"]),
        (sent([&[0xff, 0xfe], &utf16[..]].concat()), Undecodable, &["UTF-16"]),
        (sent([0x1f, 0x8b, 8, 0, 0, 0, 0, 0]), Undecodable, &["gzip"]),
        (sent([0x28, 0xb5, 0x2f, 0xfd, 4, 0]), Undecodable, &["zstd"]),
        (sent(framed(7)), Undecodable, &["schema registry"]),
        (sent(framed(70_000)), Undecodable, &["schema registry"]),
        (Sent::json(&json!(event)), Undecodable, &["JSON inside of a JSON string"]),
        (Sent::json(&json!([native()])), Undecodable, &["a list"]),
        (Sent::json(&json!({"schema": {}, "payload": native()})), MissingField, &["Kafka Connect"]),
        (
            Sent::json(&json!({"before": null, "after": native(), "op": "c", "source": {}})),
            MissingField,
            &["Debezium"],
        ),
        (
            Sent::json(&json!({"schema": {}, "payload": {"before": null, "after": {}, "op": "c"}})),
            MissingField,
            &["Kafka Connect"],
        ),
        (
            Sent::json(&json!({"key": "app", "clientKey": "c", "eventType": "installed"})),
            MissingField,
            &["Connect"],
        ),
    ];
    for (sent, reason, words) in cases {
        let shown = String::from_utf8_lossy(sent.value.as_deref().unwrap_or_default()).into_owned();
        let rejection = sent.decode().map(|_| shown.clone()).unwrap_err();
        assert_eq!(rejection.reason, reason, "{shown}: {rejection}");
        for word in words {
            assert!(rejection.detail.contains(word), "{word} of {shown}: {rejection}");
        }
        assert!(!rejection.to_string().contains("acme"), "a value: {rejection}");
    }
}

#[test]
fn number_beyond_a_double_is_treated_as_too_large() {
    for number in ["1e400", "-1e400", "1E+999"] {
        let with = |event: Value| event.to_string().replace("\"NUMBER\"", number);
        let mut event = full_event("descriptor-published");
        event["descriptor"]["dataResidency"] =
            json!({"realmPersistence": true, "realmPersistenceDays": "NUMBER"});
        for encoding in [Encoding::Native, Encoding::Structured, Encoding::BinaryJson] {
            let mut sent = encoding.encode(&event).unwrap();
            let text = String::from_utf8(sent.value.take().unwrap()).unwrap();
            sent.value = Some(text.replace("\"NUMBER\"", number).into_bytes());
            let Body::App { fact: AppFact::DescriptorPublished { descriptor }, .. } =
                sent.decode().unwrap().event.body
            else {
                panic!("another event");
            };
            let days = descriptor.data_residency.unwrap().realm_persistence_days;
            assert!(matches!(days, Setting::Other(_)), "{days:?}");
        }
        let mut event = full_event("policy-set");
        event["policy"] = json!({"mode": "days", "days": "NUMBER"});
        let rejection = sent(with(event)).decode().unwrap_err();
        assert_eq!((rejection.reason, rejection.path.as_deref()), (InvalidField, Some("policy.days")));
        let mut event = native();
        event["unknown"] = json!("NUMBER");
        assert_eq!(sent(with(event)).decode().unwrap().event, Sent::json(&native()).decode().unwrap().event);
    }
}

/// A rollback with this as its `migrationId`, in every encoding that has JSON.
fn rollbacks(migration_id: &str) -> [Sent; 4] {
    const PLACE: &str = "\"in place of a number\"";
    let mut event = full_event("migration-rolled-back");
    event["migrationId"] = serde_json::from_str(PLACE).unwrap();
    let with_number = |mut sent: Sent| {
        let text = String::from_utf8(sent.value.unwrap()).unwrap();
        assert!(text.contains(PLACE), "{text}");
        sent.value = Some(text.replace(PLACE, migration_id).into_bytes());
        sent
    };
    let [native, structured, binary] = [Encoding::Native, Encoding::Structured, Encoding::BinaryJson]
        .map(|encoding| encoding.encode(&event).unwrap());
    let mut in_base64: Value = serde_json::from_slice(structured.value.as_deref().unwrap()).unwrap();
    let data = in_base64.as_object_mut().unwrap().remove("data").unwrap().to_string();
    in_base64["data_base64"] = base64(data.replace(PLACE, migration_id).as_bytes()).into();
    let in_base64 = Sent::json(&in_base64).with_header("content-type", "application/cloudevents+json");
    [with_number(native), with_number(structured), with_number(binary), in_base64]
}

#[test]
fn a_migration_id_that_is_a_whole_number_is_its_digits() {
    let long = "9".repeat(255);
    for (number, id) in [
        ("57500", "57500"),
        ("-7", "-7"),
        ("-0", "0"),
        ("14.0", "14"),
        ("1e3", "1000"),
        ("9007199254740991.0", "9007199254740991"),
        ("9007199254740993", "9007199254740993"),
        ("18446744073709551615", "18446744073709551615"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        (&long, &long),
    ] {
        for sent in rollbacks(number) {
            let event = sent.decode().unwrap().event;
            let Body::Installation { fact: InstallationFact::MigrationRolledBack { migration }, .. } =
                event.body
            else {
                panic!("another event")
            };
            assert_eq!(migration.as_str(), id, "{number}");
        }
    }
    let too_long = "9".repeat(256);
    let inexact = ["9007199254740992.0", "9007199254740993.0", "1e16", "-9007199254740992.0", "1.5", "1e400"];
    for number in inexact.into_iter().chain([&*too_long]) {
        for sent in rollbacks(number).into_iter().take(3) {
            let rejection = sent.decode().unwrap_err();
            let found = (rejection.reason, rejection.path.as_deref());
            assert_eq!(found, (InvalidField, Some("migrationId")), "{number}");
        }
    }
}

#[test]
fn a_lone_surrogate_in_a_migration_id_is_no_json() {
    for sent in rollbacks(r#""\ud800""#).into_iter().take(3) {
        let rejection = sent.decode().unwrap_err();
        assert_eq!(rejection.reason, Undecodable);
        assert!(rejection.detail.contains("lone surrogate stands in the field migrationId"), "{rejection}");
    }
}

#[test]
fn syntax_fault_beside_a_surrogate_reports_no_text_of_the_message() {
    for (line, expected) in [
        (r#"{"sharedSecret":"canary":"\ud800"}"#, "expected `,` or `}`"),
        (r#"{"id":"1","sharedSecret":"\ud800canary":1}"#, "expected `,` or `}`"),
        (r#"{"id":"\ud800canary":1}"#, "a lone surrogate stands in"),
        (r#"{"id":"1","actor":{"canary":"\ud800"}}"#, "a lone surrogate stands in a text"),
        (r#"{"descriptor":{"regionBaseUrls":{"canary":"\ud800"}}}"#, "a lone surrogate stands in a text"),
        (r#"{"a":"\ud800","b":"\ud800""#, "EOF while parsing an object"),
    ] {
        let rejection = sent(line).decode().unwrap_err();
        assert_eq!(rejection.reason, Undecodable, "{line}");
        assert!(rejection.detail.contains(expected) && !rejection.detail.contains("canary"), "{rejection}");
    }
}
