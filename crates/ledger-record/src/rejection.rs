//! Input that was refused (rules 7): the reason, the field, and as much of the message as may be kept.

/// Why a message was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Not in the stated encoding.
    Undecodable,
    /// A type that the ledger does not know.
    UnsupportedType,
    /// A required field is absent.
    MissingField,
    /// A field has the wrong type or value.
    InvalidField,
    /// The Kafka key is neither absent nor the client key (app-level events: the app key).
    KeyMismatch,
    /// The id was recorded before with other content.
    EventIdConflict,
    /// More than 24 hours ahead of its recorded time.
    TimeInFuture,
    /// Over 1 MiB.
    TooLarge,
}

impl Reason {
    /// Every reason, in the order of the specification.
    pub const ALL: &'static [Self] = &[
        Self::Undecodable,
        Self::UnsupportedType,
        Self::MissingField,
        Self::InvalidField,
        Self::KeyMismatch,
        Self::EventIdConflict,
        Self::TimeInFuture,
        Self::TooLarge,
    ];

    /// The word used everywhere outside.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::UnsupportedType => "unsupported-type",
            Self::MissingField => "missing-field",
            Self::InvalidField => "invalid-field",
            Self::KeyMismatch => "key-mismatch",
            Self::EventIdConflict => "event-id-conflict",
            Self::TimeInFuture => "time-in-future",
            Self::TooLarge => "too-large",
        }
    }
}

/// A refusal: what is wrong, never with a value out of the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What is wrong with it.
    pub rejection: Rejection,
    /// The message's key, if it is a valid client or app key.
    pub key: Option<String>,
    /// Headers that decide the encoding (`content-type`, `ce_*`), redacted, and the names of others, in order.
    pub headers: Vec<(String, String)>,
    /// The source's own timestamp of the message.
    pub source_time: Option<ledger_core::time::Timestamp>,
    /// The value.
    pub body: RefusedBody,
}

/// What is kept of a refused value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusedBody {
    /// The message had no value.
    Absent,
    /// Redacted JSON text.
    Json(String),
    /// Not JSON: the source has the bytes.
    Digest {
        /// SHA-256 of the value.
        sha256: [u8; 32],
        /// Its length.
        length_bytes: u64,
    },
}
