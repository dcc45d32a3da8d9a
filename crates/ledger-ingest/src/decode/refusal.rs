//! The rejections of decoding.
//!
//! Their text is fixed: a rejection is logged and published, so nothing of the message may be in it but the name of a
//! field, and a place.

use std::fmt::{self, Display};

use ledger_record::rejection::{Reason, Rejection};

const ABSENT: &str = "required, and absent";

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
    at(Reason::MissingField, path.to_owned(), ABSENT)
}

/// A field is not what is expected there.
pub(super) fn invalid(path: impl Into<String>, expected: &'static str) -> Rejection {
    at(Reason::InvalidField, path.into(), expected)
}

fn at(reason: Reason, path: String, detail: &'static str) -> Rejection {
    Rejection { reason, path: Some(path), detail: detail.to_owned() }
}

/// What is wrong with a field. The path begins where the reader of the field is.
#[derive(Debug)]
pub(super) struct FieldFault(Box<Rejection>);

impl FieldFault {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self(Box::new(Rejection { reason, path: None, detail: detail.into() }))
    }

    pub(super) fn missing() -> Self {
        Self::new(Reason::MissingField, ABSENT)
    }

    pub(super) fn invalid(expected: impl Into<String>) -> Self {
        Self::new(Reason::InvalidField, expected)
    }

    pub(super) fn into_rejection(self) -> Rejection {
        *self.0
    }

    /// The same, for the object whose field of that name is at fault. What has no name is part of its object.
    pub(super) fn under(mut self, name: &str) -> Self {
        self.0.path = match self.0.path.take() {
            path if name.is_empty() => path,
            Some(path) => Some(format!("{name}.{path}")),
            None => Some(name.to_owned()),
        };
        self
    }
}

impl Display for FieldFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }
}

impl std::error::Error for FieldFault {}

impl serde::de::Error for FieldFault {
    /// The text of serde may hold a value of the message.
    fn custom<T: Display>(_: T) -> Self {
        Self::invalid("not what is expected there")
    }
}
