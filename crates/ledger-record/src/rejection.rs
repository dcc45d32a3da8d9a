//! Input that was refused (rules 7): the reason, the field, and as much of the message as may be kept.

use ledger_core::time::Timestamp;
use ledger_core::words;
use serde::{Deserialize, Serialize};

use crate::hash::raw;

words! {
    /// Why a message was refused.
    pub enum Reason {
        /// Not in the stated encoding.
        Undecodable = "undecodable",
        /// A type that the ledger does not know.
        UnsupportedType = "unsupported-type",
        /// A required field is absent.
        MissingField = "missing-field",
        /// A field has the wrong type or value.
        InvalidField = "invalid-field",
        /// The Kafka key is neither absent nor the client key (app-level events: the app key).
        KeyMismatch = "key-mismatch",
        /// The id was recorded before with other content.
        EventIdConflict = "event-id-conflict",
        /// More than 24 hours ahead of its recorded time.
        TimeInFuture = "time-in-future",
        /// Over 1 MiB.
        TooLarge = "too-large",
    }
}

/// A refusal: what is wrong, never with a value out of the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{}{}{}: {detail}", reason.as_str(), if path.is_some() { " at " } else { "" }, path.as_deref().unwrap_or_default())]
pub struct Rejection {
    /// The reason.
    pub reason: Reason,
    /// Path of the field, where one is to blame.
    pub path: Option<String>,
    /// What was expected, in words.
    pub detail: String,
}

/// A refused message as it is kept in quarantine: redacted, or as its digest only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// What is wrong with it.
    pub rejection: Rejection,
    /// The message's key, if it is a valid client or app key.
    pub key: Option<String>,
    /// Headers that decide the encoding (`content-type`, `ce_*`), redacted, and the names of others, in order.
    pub headers: Vec<(String, String)>,
    /// The source's own timestamp of the message.
    pub source_time: Option<Timestamp>,
    /// The value.
    pub body: RefusedBody,
}

/// What is kept of a refused value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusedBody {
    /// The message had no value.
    Absent,
    /// Redacted JSON text.
    Json(String),
    /// Not JSON: the source has the bytes.
    Digest {
        /// SHA-256 of the value.
        #[serde(with = "raw")]
        sha256: [u8; 32],
        /// Its length.
        length_bytes: u64,
    },
}
