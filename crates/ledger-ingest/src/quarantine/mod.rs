//! What quarantine and the dead-letter topic keep of a refused message.
//!
//! In: a message and why it was refused. Out: what may be recorded of it. Anything may be anywhere in it, so only what
//! the decoder reads is kept, each member as far as an event would keep it. Of all else its presence is kept: a name
//! that is a word of a program stays, of a header, of a member or of one up to two levels below it, with `***` for a
//! value; everything else becomes `"***": "***"`. A key that may hold a secret is left out, so that a second try cannot
//! make another event of the message; a value of the wrong kind stays of that kind, emptied.

mod known;

use std::borrow::Cow;

use ledger_core::ids::ClientKey;
use ledger_core::limits::MESSAGE_MAX_BYTES;
use ledger_record::rejection::{Refused, RefusedBody, Rejection};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::decode::{Header, Message, RefusedLine, attribute_name, is_content_type, to_refused_line};
use crate::redact::{self, REMOVED, is_clean_key, is_secret_name};
use known::{KnownObject, MemberKind, attribute, header_name, is_name_in_envelope, is_plain_name, member};

/// What is kept of a message that was refused.
///
/// Of the headers those that determine how the value is read, as a second try needs them; of the others the names.
/// The key if it could be a client or app key.
#[must_use]
pub fn refused(message: &Message<'_>, rejection: Rejection) -> Refused {
    Refused {
        rejection,
        key: message.key.and_then(record_key),
        headers: message.headers.iter().filter_map(header).collect(),
        source_time: message.timestamp,
        body: message.value.map_or(RefusedBody::Absent, body_of_message),
    }
}

/// The value, or that of the message that was refused before, in whose place it stands.
fn body_of_message(value: &[u8]) -> RefusedBody {
    match RefusedLine::read(value) {
        None => body(value),
        Some(line) => line.json.as_ref().map_or_else(|| line.digest(), |json| body(json.as_bytes())),
    }
}

fn record_key(key: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(key).ok()?;
    (ClientKey::new(text).is_ok() && is_clean_key(text)).then(|| text.to_owned())
}

fn header(&(name, value): &Header<'_>) -> Option<(String, String)> {
    let member = if is_content_type(name) {
        MemberKind::Scalar
    } else {
        attribute_name(name).map_or(MemberKind::Unknown, |name| attribute(&name.to_ascii_lowercase()))
    };
    let value = std::str::from_utf8(value).ok();
    let kept = match member {
        MemberKind::Key => value.filter(|value| is_clean_key(value))?.to_owned(),
        MemberKind::Scalar => redact::text(value?).into_owned(),
        MemberKind::Object(_) | MemberKind::Setting | MemberKind::Unknown => REMOVED.to_owned(),
    };
    Some((header_name(name).into_owned(), kept))
}

/// The same as a line of a journal that is no longer than that: of a longer one the digest stays.
#[must_use]
pub fn refused_line(message: &Message<'_>, rejection: Rejection, max_bytes: usize) -> Vec<u8> {
    let kept = refused(message, rejection);
    let line = to_refused_line(&kept);
    match message.value {
        Some(value) if line.len() > max_bytes => to_refused_line(&Refused { body: digest(value), ..kept }),
        _ => line,
    }
}

/// What is kept of a message's value.
///
/// Of JSON objects, and lists of them, the members that the ledger reads, each as far as an event would keep
/// it; of the rest only its presence is kept. Everything else is kept as a digest, also a JSON text or number on
/// its own, JSON that is nested too deep to be looked through, and what is larger than any message the
/// ledger takes.
#[must_use]
pub fn body(value: &[u8]) -> RefusedBody {
    redacted_json(value).map_or_else(|| digest(value), RefusedBody::Json)
}

fn digest(value: &[u8]) -> RefusedBody {
    RefusedBody::Digest { sha256: Sha256::digest(value).into(), length_bytes: value.len() as u64 }
}

fn redacted_json(value: &[u8]) -> Option<String> {
    if value.len() > MESSAGE_MAX_BYTES {
        return None;
    }
    let kept = match serde_json::from_slice(value).ok()? {
        Value::Object(members) => kept_members(members, KnownObject::Message),
        Value::Array(items) => Value::Array(items.into_iter().map(kept_item).collect()),
        _ => return None,
    };
    Some(kept.to_string())
}

/// The ledger reads no lists of events, but producers send them.
fn kept_item(item: Value) -> Value {
    match item {
        Value::Object(members) => kept_members(members, KnownObject::Message),
        _ => removed(),
    }
}

fn kept_members(members: Map<String, Value>, place: KnownObject) -> Value {
    let mut kept = Map::new();
    for (name, value) in members {
        if is_secret_name(&name) {
            continue;
        }
        let value = match member(place, &name) {
            MemberKind::Key => match key(value) {
                Some(key) => key,
                None => continue,
            },
            MemberKind::Scalar => scalar(value),
            MemberKind::Object(place) => object(value, place),
            MemberKind::Setting => setting(value),
            MemberKind::Unknown => {
                let (name, value) = presence(name, value, NAMES_DOWN);
                kept.insert(name, value);
                continue;
            }
        };
        kept.insert(name, value);
    }
    Value::Object(kept)
}

/// How far below a member that the ledger does not know names are kept: the names in an envelope identify its kind.
const NAMES_DOWN: usize = 2;

/// A member that the ledger does not know: its name, and of its value the names that an event or an envelope has. Other
/// names down there may be keys of a map, and those may be secrets.
fn presence(name: String, value: Value, down: usize) -> (String, Value) {
    if !is_plain_name(&name) {
        return (REMOVED.to_owned(), removed());
    }
    let value = match value {
        Value::Object(members) if down > 0 => {
            let known = members.into_iter().filter(|(name, _)| is_name_in_envelope(name));
            let known: Map<_, _> = known.map(|(name, value)| presence(name, value, down - 1)).collect();
            if known.is_empty() { removed() } else { Value::Object(known) }
        }
        _ => removed(),
    };
    (name, value)
}

fn removed() -> Value {
    Value::String(REMOVED.to_owned())
}

fn key(value: Value) -> Option<Value> {
    match value {
        Value::String(text) => is_clean_key(&text).then_some(Value::String(text)),
        other => Some(scalar(other)),
    }
}

/// What should be a text or a number. Anything else stays of its kind, so that it is refused again.
fn scalar(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(redact::text(&text).into_owned()),
        Value::Array(_) => Value::Array(Vec::new()),
        Value::Object(_) => Value::Object(Map::new()),
        other => other,
    }
}

/// What should be an object. Anything else stays of its kind, too.
fn object(value: Value, place: KnownObject) -> Value {
    match value {
        Value::Object(members) => kept_members(members, place),
        Value::String(_) => removed(),
        other => scalar(other),
    }
}

/// As an event keeps it.
fn setting(mut value: Value) -> Value {
    if let Value::String(text) = &mut value {
        if let Cow::Owned(redacted) = redact::text(text) {
            *text = redacted;
        }
    } else {
        redact::json(&mut value);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger_record::rejection::Reason;

    fn json(value: &str) -> String {
        match body(value.as_bytes()) {
            RefusedBody::Json(text) => text,
            other => panic!("not kept as JSON: {value}: {other:?}"),
        }
    }

    #[test]
    fn what_the_ledger_reads_is_kept() {
        for same in [
            r#"{"appKey":"a","clientKey":"c","id":"i","time":"2026-01-01T00:00:00Z","type":"reinstalled"}"#,
            r#"{"data":{"baseUrl":"https://a.example","clientKey":"c","key":"app"},"id":1,"specversion":"0.3"}"#,
            r#"{"descriptor":{"baseUrl":7,"dataResidency":{"realmPersistence":"x"},"regionBaseUrls":{"EU":"u"}}}"#,
            r#"{"policy":{"days":-1,"mode":"days"},"reason":null,"realm":[]}"#,
        ] {
            assert_eq!(
                serde_json::from_str::<Value>(&json(same)).unwrap(),
                serde_json::from_str::<Value>(same).unwrap()
            );
        }
    }

    #[test]
    fn no_secret_is_kept_wherever_it_hides() {
        for (given, kept) in [
            (r#"{"key":"app","sharedSecret":"c","deep":[{"a":"canary"}]}"#, r#"{"deep":"***","key":"app"}"#),
            (r#"{"id":1,"h":[{"key":"Authorization: Basic canary"}]}"#, r#"{"h":"***","id":1}"#),
            (
                r#"{"id":1,"headers":[{"name":"x-shared-secret","value":"canary"}]}"#,
                r#"{"headers":"***","id":1}"#,
            ),
            (r#"{"id":"Authorization: Basic canary","clientKey":"token=canary"}"#, "{}"),
            (r#"{"reason":"Authorization: Basic canary"}"#, r#"{"reason":"Authorization: ***"}"#),
            (r#"{"reason":{"note":"canary"},"actor":["canary"]}"#, r#"{"actor":[],"reason":{}}"#),
            (r#"{"id":{"id":"canary"},"data":"canary"}"#, r#"{"data":"***","id":{}}"#),
            (r#"{"data":{"data":{"id":"canary"}}}"#, r#"{"data":{"data":{"id":"***"}}}"#),
            (
                r#"{"schema":{"type":"canary"},"payload":{"after":{"id":{"canary":1},"jwt":"canary"},"op":"c","canary":1}}"#,
                r#"{"payload":{"after":{"id":"***"},"op":"***"},"schema":{"type":"***"}}"#,
            ),
            (r#"{"canary: 1":1,"Authorization: Basic canary":{}}"#, r#"{"***":"***"}"#),
            (r#"{"clientkey":"canary"}"#, r#"{"clientkey":"***"}"#),
            (
                r#"{"siteUrl":"https://u:canary@a/?token=canary"}"#,
                r#"{"siteUrl":"https://***@a/?token=***"}"#,
            ),
            (
                r#"{"descriptor":{"regionBaseUrls":{"Bearer canary":1},"dataResidency":{"realmPersistence":[["cookie","canary"]]}}}"#,
                r#"{"descriptor":{"dataResidency":{"realmPersistence":[[]]},"regionBaseUrls":{}}}"#,
            ),
            (
                r#"{"descriptor":{"regionBaseUrls":{"to canary":1}}}"#,
                r#"{"descriptor":{"regionBaseUrls":{"***":"***"}}}"#,
            ),
            (r#"[{"id":1,"x":"canary"},"canary",["canary"]]"#, r#"[{"id":1,"x":"***"},"***","***"]"#),
            (r#"{"sharedSecret":"a","sharedSecret":"b"}"#, "{}"),
            (r#"{"data_base64":"eyJzaGFyZWRTZWNyZXQi"}"#, r#"{"data_base64":"***"}"#),
        ] {
            assert_eq!(json(given), kept, "{given}");
        }
    }

    #[test]
    fn keeps_a_digest_of_everything_else() {
        let deep = "[".repeat(100_000);
        let huge = format!("[\"{}\"]", "x".repeat(MESSAGE_MAX_BYTES));
        for value in ["", "secret", "\"secret\"", "12", "{\"a\":", deep.as_str(), huge.as_str()] {
            assert_eq!(
                body(value.as_bytes()),
                RefusedBody::Digest {
                    sha256: Sha256::digest(value).into(),
                    length_bytes: value.len() as u64
                }
            );
        }
    }

    #[test]
    fn quarantine_keeps_what_a_second_try_needs() {
        let headers = [
            ("content-type", "application/json"),
            ("Authorization", "JWT canary"),
            ("traceparent", "canary"),
            ("ce_type", "x"),
            ("ce_jwt", "canary"),
            ("ce_subject", "Bearer canary"),
            ("ce_id", "token=canary"),
            ("ce_note", "canary"),
            ("CE_Source", "Bearer canary"),
        ]
        .map(|(name, value)| (name, value.as_bytes()));
        let message = Message {
            key: Some(b"acme"),
            value: Some(br#"{"id":1,"sharedSecret":"canary"}"#),
            headers: &headers,
            timestamp: None,
        };
        let rejection =
            Rejection { reason: Reason::InvalidField, path: Some("id".into()), detail: String::new() };
        let kept = refused(&message, rejection);
        assert_eq!(kept.key.as_deref(), Some("acme"));
        assert_eq!(kept.body, RefusedBody::Json(r#"{"id":1}"#.into()));
        let kept: Vec<_> = kept.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(
            kept,
            [
                ("content-type", "application/json"),
                ("Authorization", "***"),
                ("traceparent", "***"),
                ("ce_type", "x"),
                ("ce_jwt", "***"),
                ("ce_note", "***"),
                ("CE_Source", "Bearer ***")
            ]
        );
    }

    #[test]
    fn keys_that_are_none_are_not_kept() {
        for key in [&b""[..], b"\xff", b"a\nb", b"eyJ0.eyJpc3Mi.c2ln", b"Authorization: Basic x"] {
            assert_eq!(record_key(key), None);
        }
    }
}
