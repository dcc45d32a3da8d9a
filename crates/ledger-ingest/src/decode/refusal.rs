//! The rejections that decoding hands out.
//!
//! What they say is fixed text: a rejection is logged and published, so nothing of the message may be in it
//! but the name of a field, and a place.

use ledger_record::rejection::{Reason, Rejection};

/// The message as a whole is at fault.
pub(super) fn whole(reason: Reason, detail: &'static str) -> Rejection {
    Rejection { reason, path: None, detail: detail.to_owned() }
}

/// The bytes are not what they are stated to be.
pub(super) fn undecodable(detail: &'static str) -> Rejection {
    whole(Reason::Undecodable, detail)
}

/// The same, in words that are made for the message: never of its values.
pub(super) fn described(detail: String) -> Rejection {
    Rejection { reason: Reason::Undecodable, path: None, detail }
}

/// A type that the ledger does not know.
pub(super) fn unsupported(path: &str, detail: &'static str) -> Rejection {
    at(Reason::UnsupportedType, path.to_owned(), detail)
}

/// A required field is absent.
pub(super) fn missing(path: &str) -> Rejection {
    at(Reason::MissingField, path.to_owned(), "required, and absent")
}

/// A field is not what is expected there.
pub(super) fn invalid(path: impl Into<String>, expected: &'static str) -> Rejection {
    at(Reason::InvalidField, path.into(), expected)
}

fn at(reason: Reason, path: String, detail: &'static str) -> Rejection {
    Rejection { reason, path: Some(path), detail: detail.to_owned() }
}
