//! The payload of refused input.

use ledger_core::time::Timestamp;
use serde::Serialize;

use crate::rejection::{Refused, RefusedBody};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RefusedFields {
    rules: u16,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<BodyFields>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum BodyFields {
    Json { json: String },
    Digest { sha256: String, length: u64 },
}

impl RefusedFields {
    pub(super) fn of(rules: u16, refused: &Refused) -> Self {
        let Refused { rejection, key, headers, source_time, body } = refused;
        Self {
            rules,
            reason: rejection.reason.as_str().to_owned(),
            path: rejection.path.clone(),
            detail: rejection.detail.clone(),
            key: key.clone(),
            headers: headers.clone(),
            source_time: source_time.map(Timestamp::as_millis),
            body: match body {
                RefusedBody::Absent => None,
                RefusedBody::Json(text) => Some(BodyFields::Json { json: text.clone() }),
                RefusedBody::Digest { sha256, length_bytes } => {
                    Some(BodyFields::Digest { sha256: hex::encode(sha256), length: *length_bytes })
                }
            },
        }
    }
}
