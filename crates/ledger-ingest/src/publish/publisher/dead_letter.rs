//! The form of a dead letter: what was kept of a refused message, where it was, why it was refused.
//!
//! A topic takes messages up to a size of its own, which its owner can lower at any time, and a refused
//! message is the place for odd sizes. So a body above a limit is told by its digest, and texts of a header
//! are cut: quarantine keeps the whole.

use std::borrow::Cow;

use ledger_record::record::Record;
use ledger_record::rejection::{Refused, RefusedBody};
use rdkafka::message::{Header, OwnedHeaders};
use sha2::{Digest as _, Sha256};

use crate::publish::outbox::Outgoing;

/// The largest body that is sent as it is: below the million bytes that clients and brokers take by default,
/// with room for key and headers.
pub(super) const BODY_MAX_BYTES: usize = 900_000;

/// The longest text of a header, in bytes.
const TEXT_MAX_BYTES: usize = 4_096;

pub(super) fn message<'a>(
    topic: &'a str,
    record: &Record,
    refused: &'a Refused,
    body_max_bytes: usize,
) -> Outgoing<'a> {
    let (form, value) = body(&refused.body, body_max_bytes);
    Outgoing {
        topic,
        partition: None,
        key: refused.key.as_deref().map(str::as_bytes),
        value,
        headers: headers(record, refused, form),
    }
}

/// The redacted JSON; of anything else, and of what is too large, the digest as JSON.
fn body(body: &RefusedBody, max_bytes: usize) -> (&'static str, Cow<'_, [u8]>) {
    let digest = |sha256: &[u8], length_bytes: u64| {
        let sha256 = hex::encode(sha256);
        Cow::from(
            serde_json::json!({ "sha256": sha256, "lengthBytes": length_bytes }).to_string().into_bytes(),
        )
    };
    match body {
        RefusedBody::Absent => ("absent", Cow::default()),
        RefusedBody::Json(text) if text.len() <= max_bytes => ("redacted-json", text.as_bytes().into()),
        RefusedBody::Json(text) => ("redacted-json-digest", digest(&Sha256::digest(text), text.len() as u64)),
        RefusedBody::Digest { sha256, length_bytes } => ("digest", digest(sha256, *length_bytes)),
    }
}

fn headers(record: &Record, refused: &Refused, body: &str) -> OwnedHeaders {
    let of = |name: &str| refused.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
    let headers = [
        ("realm-ledger-reason", Some(refused.rejection.reason.as_str().into())),
        ("realm-ledger-detail", Some(cut(&refused.rejection.detail))),
        ("realm-ledger-topic", Some((&*record.source.source).into())),
        ("realm-ledger-partition", Some(record.source.partition.to_string().into())),
        ("realm-ledger-offset", Some(record.source.offset.to_string().into())),
        ("realm-ledger-position", Some(record.position.to_string().into())),
        ("realm-ledger-body", Some(body.into())),
        ("realm-ledger-path", refused.rejection.path.as_deref().map(cut)),
        ("realm-ledger-content-type", of("content-type").map(|(_, value)| cut(value))),
    ];
    headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| match value.as_deref() {
        Some(value) => all.insert(Header { key, value: Some(value) }),
        None => all,
    })
}

/// The beginning of a text, and that there was more.
fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= TEXT_MAX_BYTES {
        return text.into();
    }
    let mut end = TEXT_MAX_BYTES;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oversized_body_becomes_a_digest() {
        let json = RefusedBody::Json("[1,2]".to_owned());
        assert_eq!(body(&json, 5), ("redacted-json", b"[1,2]".into()));
        let (form, value) = body(&json, 4);
        assert_eq!(form, "redacted-json-digest");
        let digest = serde_json::from_slice::<serde_json::Value>(&value).unwrap();
        assert_eq!(digest["lengthBytes"], 5);
        assert_eq!(digest["sha256"], hex::encode(Sha256::digest("[1,2]")));
    }

    #[test]
    fn long_texts_are_truncated_between_characters() {
        assert_eq!(cut("path"), "path");
        let long = format!("a{}", "é".repeat(TEXT_MAX_BYTES));
        let shown = cut(&long);
        assert!(shown.len() < TEXT_MAX_BYTES + 4 && shown.ends_with("é…"), "{}", shown.len());
    }
}
