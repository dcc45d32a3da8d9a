//! Valid and invalid envelopes of a `CloudEvent`.

use ledger_core::time::Timestamp;
use ledger_record::rejection::Reason::*;
use serde_json::{Value, json};

use super::connect::{binary, structured};
use super::encodings::{Sent, base64};
use super::samples::full_event;

fn envelope(name: &str) -> Value {
    json!({"specversion": "1.0", "source": "/x", "id": "e-1", "type": format!("realmledger.{name}"),
        "time": "2026-03-01T10:00:00Z", "subject": "acme.atlassian.net", "appkey": "com.example.app"})
}

fn fault(sent: &Sent) -> (ledger_record::rejection::Reason, Option<String>) {
    let rejection = sent.decode().unwrap_err();
    (rejection.reason, rejection.path)
}

#[test]
fn absent_data_is_accepted_where_nothing_is_required() {
    let attributes = envelope("enabled");
    let mut sent = binary(&attributes, &json!({}));
    let expected = sent.decode().unwrap();
    for value in [None, Some(Vec::new()), Some(b"null".to_vec())] {
        sent.value = value;
        assert_eq!(sent.decode().unwrap(), expected);
    }
    let bare = Sent::json(&attributes).with_header("content-type", "application/cloudevents+json");
    assert_eq!(bare.decode().unwrap(), expected);
    assert_eq!(structured(attributes, Value::Null).decode().unwrap(), expected);
}

#[test]
fn attributes_win_over_data() {
    let data = json!({"id": "other", "type": 1, "time": "x", "clientKey": "other", "appKey": [], "endpointRealm": "EU"});
    let clean = json!({"endpointRealm": "EU"});
    let expected = structured(envelope("uninstalled"), clean).decode().unwrap();
    assert_eq!(structured(envelope("uninstalled"), data.clone()).decode().unwrap(), expected);
    assert_eq!(binary(&envelope("uninstalled"), &data).decode().unwrap(), expected);
    let mut anonymous = envelope("uninstalled");
    anonymous.as_object_mut().unwrap().remove("subject");
    assert_eq!(fault(&structured(anonymous, data)), (MissingField, Some("subject".into())));
}

#[test]
fn spec_version_is_checked_first() {
    for (version, reason) in
        [(None, MissingField), (Some(json!("0.3")), InvalidField), (Some(json!(1.0)), InvalidField)]
    {
        let mut attributes = json!({"type": 1, "specversion": version});
        if version.is_none() {
            attributes.as_object_mut().unwrap().remove("specversion");
        }
        assert_eq!(fault(&structured(attributes, json!({}))), (reason, Some("specversion".into())));
    }
    let sent = Sent::json(&full_event("installed")).with_header("ce_type", "realmledger.installed");
    assert_eq!(fault(&sent), (MissingField, Some("specversion".into())));
}

#[test]
fn base64_data_is_decoded() {
    let data = json!({"endpointRealm": "EU"});
    let expected = structured(envelope("uninstalled"), data.clone()).decode().unwrap();
    let mut attributes = envelope("uninstalled");
    attributes["data_base64"] = json!(base64(data.to_string().as_bytes()));
    let as_sent = |attributes: &Value| {
        Sent::json(attributes).with_header("content-type", "application/cloudevents+json")
    };
    assert_eq!(as_sent(&attributes).decode().unwrap(), expected);
    attributes["data"] = json!({});
    assert_eq!(fault(&as_sent(&attributes)), (InvalidField, Some("data_base64".into())));
    attributes.as_object_mut().unwrap().remove("data");
    for bad in [json!("%%%"), json!(1)] {
        attributes["data_base64"] = bad;
        assert_eq!(fault(&as_sent(&attributes)), (InvalidField, Some("data_base64".into())));
    }
    attributes["data_base64"] = json!(base64(b"not json"));
    assert_eq!(fault(&as_sent(&attributes)).0, Undecodable);
    attributes["datacontenttype"] = json!("text/plain");
    assert_eq!(fault(&as_sent(&attributes)).0, Undecodable);
    attributes["datacontenttype"] = json!(1);
    assert_eq!(fault(&as_sent(&attributes)), (InvalidField, Some("datacontenttype".into())));
}

#[test]
fn member_order_does_not_matter() {
    let decoded = |text: &[u8]| {
        let sent = Sent { value: Some(text.to_vec()), ..Sent::default() };
        sent.with_header("content-type", "application/cloudevents+json").decode().unwrap()
    };
    let data_first = br#"{"data":{"endpointRealm":"EU"},"appkey":"a","subject":"c","time":"2026-03-01T10:00:00Z","type":"realmledger.uninstalled","id":"e","specversion":"1.0"}"#;
    let data_last = br#"{"specversion":"1.0","id":"e","type":"realmledger.uninstalled","time":"2026-03-01T10:00:00Z","subject":"c","appkey":"a","data":{"endpointRealm":"EU"}}"#;
    assert_eq!(decoded(data_first), decoded(data_last));
}

#[test]
fn escaped_type_is_the_same_type() {
    let text = envelope("enabled").to_string().replace("realmledger", "\\u0072ealmledger");
    let sent = Sent { value: Some(text.into_bytes()), ..Sent::default() };
    let sent = sent.with_header("content-type", "application/cloudevents+json");
    assert_eq!(sent.decode().unwrap().event.type_name(), "enabled");
}

#[test]
fn non_utf8_attribute_is_undecodable() {
    let sent = binary(&envelope("enabled"), &json!({})).with_header("ce_subject", vec![0xff]);
    assert_eq!(fault(&sent), (Undecodable, None));
    let ignored = binary(&envelope("enabled"), &json!({})).with_header("ce_traceparent", vec![0xff]);
    ignored.decode().unwrap();
}

#[test]
fn last_of_equal_headers_wins() {
    let sent = binary(&envelope("enabled"), &json!({})).with_header("CE_Subject", "other");
    assert_eq!(sent.decode().unwrap().event.client().unwrap().as_str(), "other");
}

#[test]
fn stated_time_is_not_defaulted() {
    let mut sent = structured(envelope("enabled"), json!({}));
    sent.timestamp = Some(Timestamp::from_millis(1));
    assert!(!sent.decode().unwrap().time_defaulted);
}
