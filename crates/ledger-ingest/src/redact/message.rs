//! What quarantine and the dead-letter topic keep of a message.

use ledger_core::ids::ClientKey;
use ledger_record::rejection::{Refused, RefusedBody, Rejection};

use crate::decode::{Message, attribute_name, is_content_type};
use crate::redact::known::{Member, attribute, header_name};
use crate::redact::{REMOVED, body, kept_key};

/// What is kept of a message that was refused.
///
/// Of the headers those that say how to read the value, as that is what a second try needs; of the others the names.
/// The key if it could be a client or app key.
#[must_use]
pub fn refused(message: &Message<'_>, rejection: Rejection) -> Refused {
    Refused {
        rejection,
        key: message.key.and_then(record_key),
        headers: message.headers.iter().filter_map(header).collect(),
        source_time: message.timestamp,
        body: message.value.map_or(RefusedBody::Absent, body),
    }
}

fn record_key(key: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(key).ok()?;
    (ClientKey::new(text).is_ok() && kept_key(text)).then(|| text.to_owned())
}

fn header((name, value): &(String, Vec<u8>)) -> Option<(String, String)> {
    let member = if is_content_type(name) {
        Member::Scalar
    } else {
        attribute_name(name).map_or(Member::Unknown, |name| attribute(&name.to_ascii_lowercase()))
    };
    let value = std::str::from_utf8(value).ok();
    let kept = match member {
        Member::Key => value.filter(|value| kept_key(value))?.to_owned(),
        Member::Scalar => crate::redact::text(value?).into_owned(),
        Member::Object(_) | Member::Setting | Member::Unknown => REMOVED.to_owned(),
    };
    Some((header_name(name).into_owned(), kept))
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
            ("ce_id", "token=canary"),
            ("ce_note", "canary"),
            ("CE_Source", "Bearer canary"),
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
