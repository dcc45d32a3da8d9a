//! Secrets in whole messages: what quarantine and the dead-letter topic keep.

use std::borrow::Cow;

use ledger_core::limits::MESSAGE_MAX_BYTES;
use ledger_record::rejection::RefusedBody;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::text::plain;
use super::{is_secret_name, is_tainted_key};

/// How deep JSON inside the text of JSON is looked into; beyond, it is treated as running text.
const QUOTED_DEPTH_MAX: usize = 4;

/// What is kept of a message's value.
///
/// JSON objects and lists are kept without secrets. Everything else is kept as a digest, also a JSON text or
/// number on its own, as it has no name to tell a secret by, JSON that is nested too deep to be looked
/// through, and what is larger than any message the ledger takes.
#[must_use]
pub fn body(value: &[u8]) -> RefusedBody {
    redacted_json(value).map_or_else(
        || RefusedBody::Digest { sha256: Sha256::digest(value).into(), length_bytes: value.len() as u64 },
        RefusedBody::Json,
    )
}

fn redacted_json(value: &[u8]) -> Option<String> {
    if value.len() > MESSAGE_MAX_BYTES {
        return None;
    }
    let mut json: Value = serde_json::from_slice(value).ok()?;
    if !matches!(json, Value::Object(_) | Value::Array(_)) {
        return None;
    }
    redact(&mut json, QUOTED_DEPTH_MAX);
    serde_json::to_string(&json).ok()
}

/// What is kept of a header: nothing when its name is that of a secret or its value is no text.
#[must_use]
pub fn header(name: &str, value: &[u8]) -> Option<String> {
    if is_secret_name(name) {
        return None;
    }
    std::str::from_utf8(value).ok().map(|value| super::text(value).into_owned())
}

/// Text that is JSON, without its secrets; none when it is no JSON object or list.
pub(super) fn redact_json_text(text: &str) -> Option<Cow<'_, str>> {
    redact_quoted(text, QUOTED_DEPTH_MAX)
}

fn redact_quoted(text: &str, depth_left: usize) -> Option<Cow<'_, str>> {
    let depth_left = depth_left.checked_sub(1)?;
    if !matches!(text.trim_start().as_bytes().first(), Some(b'{' | b'[')) {
        return None;
    }
    let mut json: Value = serde_json::from_str(text).ok()?;
    if !redact(&mut json, depth_left) {
        return Some(Cow::Borrowed(text));
    }
    serde_json::to_string(&json).ok().map(Cow::Owned)
}

/// Removes the secrets; whether there were any.
fn redact(json: &mut Value, depth_left: usize) -> bool {
    match json {
        Value::String(text) => {
            let redacted = redact_quoted(text, depth_left).unwrap_or_else(|| plain(text));
            let Cow::Owned(redacted) = redacted else {
                return false;
            };
            *text = redacted;
            true
        }
        Value::Array(items) => items.iter_mut().fold(false, |any, item| redact(item, depth_left) | any),
        Value::Object(members) => redact_members(members, depth_left),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn redact_members(members: &mut Map<String, Value>, depth_left: usize) -> bool {
    let count = members.len();
    members.retain(|name, _| !is_secret_name(name) && !is_encoded(name));
    let mut any = members.len() != count;
    let tainted: Vec<String> =
        members.keys().filter(|name| matches!(plain(name), Cow::Owned(_))).cloned().collect();
    for name in tainted {
        if let Some(value) = members.remove(&name) {
            members.insert(plain(&name).into_owned(), value);
            any = true;
        }
    }
    members.iter_mut().fold(any, |any, (name, value)| match value {
        // Another key would be another event: what is wrong with it is for the decoder to say.
        Value::String(key) if is_key_name(name) && !is_tainted_key(key) => any,
        _ => redact(value, depth_left) | any,
    })
}

/// The members that hold keys, in native JSON, in `CloudEvents` and in payloads.
fn is_key_name(name: &str) -> bool {
    matches!(name, "id" | "clientKey" | "appKey" | "migrationId" | "key" | "subject" | "appkey")
}

/// Data of a `CloudEvent` in base 64: nobody can see what is in there.
fn is_encoded(name: &str) -> bool {
    name == "data_base64"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: &str) -> String {
        match body(value.as_bytes()) {
            RefusedBody::Json(text) => text,
            other => panic!("not kept as JSON: {value}: {other:?}"),
        }
    }

    #[test]
    fn keeps_json_without_secrets() {
        assert_eq!(
            json(
                r#"{"key":"app", "sharedSecret":"c", "deep":[{"Shared-Secret":{"x":"c"},"a":1}], "publicKey":"c"}"#
            ),
            r#"{"deep":[{"a":1}],"key":"app"}"#
        );
        assert_eq!(json(r#"{"a":"Bearer canary","eyJh.b.c":1}"#), r#"{"***":1,"a":"Bearer ***"}"#);
        assert_eq!(json(r#"{"data":"{\"sharedSecret\":\"c\",\"a\":1}"}"#), r#"{"data":"{\"a\":1}"}"#);
        assert_eq!(json(r#"{"sharedSecret":"a","sharedSecret":"b"}"#), "{}");
        assert_eq!(json(r#"{"data_base64":"eyJzaGFyZWRTZWNyZXQi"}"#), "{}");
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
    fn headers_of_secrets_are_dropped() {
        assert_eq!(header("Authorization", b"JWT abc"), None);
        assert_eq!(header("ce_type", b"\xff"), None);
        assert_eq!(header("x-note", b"JWT abc"), Some("JWT ***".to_owned()));
    }
}
