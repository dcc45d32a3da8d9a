//! The form of a dead letter: what was kept of a refused message, where it was, why it was refused.
//!
//! A topic takes messages up to a size of its own, which its owner can lower at any time, and a refused
//! message is the place for odd sizes. So a body above a limit is told by its digest, and texts of a header
//! are cut: quarantine keeps the whole.

use ledger_record::record::Record;
use ledger_record::rejection::{Refused, RefusedBody};
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
    refused: &Refused,
    body_max_bytes: usize,
) -> Outgoing<'a> {
    let (form, value) = body(&refused.body, body_max_bytes);
    Outgoing {
        topic,
        partition: None,
        key: refused.key.clone().map(String::into_bytes),
        value,
        headers: headers(record, refused, form),
    }
}

/// The redacted JSON; of anything else, and of what is too large, the digest as JSON.
fn body(body: &RefusedBody, max_bytes: usize) -> (&'static str, Vec<u8>) {
    let digest = |sha256: &[u8], length_bytes: u64| {
        let sha256 = hex::encode(sha256);
        serde_json::json!({ "sha256": sha256, "lengthBytes": length_bytes }).to_string().into_bytes()
    };
    match body {
        RefusedBody::Absent => ("absent", Vec::new()),
        RefusedBody::Json(text) if text.len() <= max_bytes => ("redacted-json", text.clone().into_bytes()),
        RefusedBody::Json(text) => ("redacted-json-digest", digest(&Sha256::digest(text), text.len() as u64)),
        RefusedBody::Digest { sha256, length_bytes } => ("digest", digest(sha256, *length_bytes)),
    }
}

fn headers(record: &Record, refused: &Refused, body: &str) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("realm-ledger-reason", refused.rejection.reason.as_str().to_owned()),
        ("realm-ledger-detail", cut(&refused.rejection.detail)),
        ("realm-ledger-topic", record.source.source.to_string()),
        ("realm-ledger-partition", record.source.partition.to_string()),
        ("realm-ledger-offset", record.source.offset.to_string()),
        ("realm-ledger-position", record.position.to_string()),
        ("realm-ledger-body", body.to_owned()),
    ];
    if let Some(path) = &refused.rejection.path {
        headers.push(("realm-ledger-path", cut(path)));
    }
    if let Some((_, content_type)) =
        refused.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
    {
        headers.push(("realm-ledger-content-type", cut(content_type)));
    }
    headers
}

/// The beginning of a text, and that there was more.
fn cut(text: &str) -> String {
    if text.len() <= TEXT_MAX_BYTES {
        return text.to_owned();
    }
    let mut end = TEXT_MAX_BYTES;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oversized_body_becomes_a_digest() {
        let json = RefusedBody::Json("[1,2]".to_owned());
        assert_eq!(body(&json, 5), ("redacted-json", b"[1,2]".to_vec()));
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
