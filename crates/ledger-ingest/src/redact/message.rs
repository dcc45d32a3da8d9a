//! Secrets in messages as they go on: into quarantine, and to the topic from a file.

use std::borrow::Cow;

use ledger_core::ids::ClientKey;
use ledger_record::json::event::to_json;
use ledger_record::rejection::{Refused, RefusedBody, Rejection};

use super::body::redact_json_text;
use super::{body, header, is_tainted_key};
use crate::decode::{Decoded, Message, attribute_name, decode, is_content_type};

/// What is kept of a message that was refused.
///
/// Of the headers those that say how to read the value, as that is what a second try needs. The key if it
/// could be a client or app key.
#[must_use]
pub fn refused(message: &Message<'_>, rejection: Rejection) -> Refused {
    Refused {
        rejection,
        key: message.key.and_then(kept_key),
        headers: message.headers.iter().filter_map(kept_header).collect(),
        source_time: message.timestamp,
        body: message.value.map_or(RefusedBody::Absent, body),
    }
}

fn kept_key(key: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(key).ok()?;
    (ClientKey::new(text).is_ok() && !is_tainted_key(text)).then(|| text.to_owned())
}

fn kept_header((name, value): &(String, Vec<u8>)) -> Option<(String, String)> {
    if !is_content_type(name) && attribute_name(name).is_none() {
        return None;
    }
    Some((super::text(name).into_owned(), header(name, value)?))
}

/// A native JSON event without its secrets; as it is when there are none.
///
/// What cannot be looked through (nested too deep in a field that the ledger does not know) is left out with
/// all other unknown fields; of what is no event at all, nothing is left.
#[must_use]
pub fn json_without_secrets(json: &[u8]) -> Cow<'_, [u8]> {
    if let Some(text) = std::str::from_utf8(json).ok().and_then(redact_json_text) {
        return match text {
            Cow::Borrowed(_) => Cow::Borrowed(json),
            Cow::Owned(redacted) => Cow::Owned(redacted.into_bytes()),
        };
    }
    let message = Message { value: Some(json), ..Message::default() };
    let decoded = decode(&message).ok();
    let event = decoded.as_ref().and_then(Decoded::event);
    let known = event.and_then(|event| serde_json::to_vec(&to_json(event)).ok());
    Cow::Owned(known.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger_record::rejection::Reason;

    #[test]
    fn quarantine_keeps_what_a_second_try_needs() {
        let headers = [
            ("content-type", "application/json"),
            ("Authorization", "JWT canary"),
            ("traceparent", "canary"),
            ("ce_type", "x"),
            ("ce_jwt", "canary"),
            ("ce_subject", "Bearer canary"),
        ]
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
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
            [("content-type", "application/json"), ("ce_type", "x"), ("ce_subject", "Bearer ***")]
        );
    }

    #[test]
    fn keys_that_are_none_are_not_kept() {
        for key in [&b""[..], b"\xff", b"a\nb", b"eyJ0.eyJpc3Mi.c2ln"] {
            assert_eq!(kept_key(key), None);
        }
    }

    #[test]
    fn what_is_published_has_no_secret() {
        let clean = br#"{"id":"token=1", "type":"enabled"}"#;
        assert!(matches!(json_without_secrets(clean), Cow::Borrowed(same) if same == clean));
        let given = br#"{"id":"e","x":{"apiKey":"canary"},"reason":"JWT canary"}"#;
        assert_eq!(&*json_without_secrets(given), br#"{"id":"e","reason":"JWT ***","x":{}}"#);
        let deep = format!(
            r#"{{"id":"e","type":"enabled","time":"2026-01-01T00:00:00Z","clientKey":"c","appKey":"a","x":{}"canary"{}}}"#,
            "[".repeat(200),
            "]".repeat(200)
        );
        assert_eq!(
            &*json_without_secrets(deep.as_bytes()),
            br#"{"id":"e","type":"enabled","time":"2026-01-01T00:00:00.000Z","clientKey":"c","appKey":"a"}"#
        );
        assert_eq!(&*json_without_secrets(b"canary"), b"");
    }
}
