//! A message that was refused where it came in, as a line of a journal: what quarantine keeps of it, and why it was refused.
//!
//! ```text
//!   {"recordedAt":…,"refused":{"reason":"time-in-future","path":"time","detail":"…","json":"{…}"}}
//!                                            or, of what is no JSON or too long:  "sha256":"…","lengthBytes":…
//! ```
//!
//! Such a line decodes to its rejection, so a ledger that reads the journal, or the topic that it was published to, puts the
//! message in quarantine as if it had come itself. Nothing of it is believed: what it has is redacted like any message.

use ledger_record::rejection::{Reason, Refused, RefusedBody, Rejection};
use serde::{Deserialize, Serialize};

use crate::redact;

/// The longest path and detail that are kept.
const PATH_MAX_BYTES: usize = 200;
const DETAIL_MAX_BYTES: usize = 1_000;

/// A line that is one.
#[derive(Deserialize, Serialize)]
struct LineObject {
    refused: RefusedLine,
}

/// What a line has of a refused message.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefusedLine {
    reason: Reason,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    path: Option<String>,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) json: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    length_bytes: Option<u64>,
}

/// The line of a refused message, without its recorded time.
#[must_use]
pub fn to_refused_line(Refused { rejection, body, .. }: &Refused) -> Vec<u8> {
    let Rejection { reason, path, detail } = rejection.clone();
    let detail = redact::text(&detail).into_owned();
    let mut refused = RefusedLine { reason, path, detail, json: None, sha256: None, length_bytes: None };
    match body {
        RefusedBody::Absent => {}
        RefusedBody::Json(json) => refused.json = Some(json.clone()),
        RefusedBody::Digest { sha256, length_bytes } => {
            (refused.sha256, refused.length_bytes) = (Some(hex::encode(sha256)), Some(*length_bytes));
        }
    }
    // Neither writing to memory nor any part of it can fail.
    ledger_record::json::to_vec(&LineObject { refused }).unwrap_or_default()
}

/// A line of a journal as it is sent on, if it is that of a refused message: nothing else of it is known to hold no secret.
pub(crate) fn refused_line_alone(line: &[u8]) -> Option<Vec<u8>> {
    let refused = RefusedLine::read(line)?;
    ledger_record::json::to_vec(&LineObject { refused }).ok()
}

impl RefusedLine {
    /// What a value has, if it is such a line.
    pub(crate) fn read(value: &[u8]) -> Option<Self> {
        serde_json::from_slice::<LineObject>(value).ok().map(|line| line.refused)
    }

    pub(crate) fn rejection(&self) -> Rejection {
        let is_of_path = |byte: u8| byte.is_ascii_alphanumeric() || b"._-[]".contains(&byte);
        let path = self.path.clone();
        let path = path.filter(|path| path.len() <= PATH_MAX_BYTES && path.bytes().all(is_of_path));
        let mut detail = redact::text(&self.detail).into_owned();
        detail.truncate(detail.floor_char_boundary(DETAIL_MAX_BYTES));
        Rejection { reason: self.reason, path, detail }
    }

    /// What is kept of a value that was no JSON.
    pub(crate) fn digest(&self) -> RefusedBody {
        let sha256 = self.sha256.as_ref().and_then(|sha256| hex::decode(sha256).ok()?.try_into().ok());
        sha256.zip(self.length_bytes).map_or(RefusedBody::Absent, |(sha256, length_bytes)| {
            RefusedBody::Digest { sha256, length_bytes }
        })
    }
}
