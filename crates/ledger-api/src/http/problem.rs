//! Why a request is not answered: problem details (RFC 9457).
//!
//! | code | status | when |
//! | --- | --- | --- |
//! | `unknown-parameter` | 400 | the route has no such parameter, or it is given twice |
//! | `invalid-parameter` | 400 | its value is not what is expected, or contradicts another one |
//! | `invalid-key` | 400 | a part of the path cannot be what it stands for |
//! | `invalid-body` | 400 | the body is not what the route takes |
//! | `invalid-cursor` | 400 | no cursor, or one of another list |
//! | `malformed-request` | 400 | it is not HTTP; the connection is closed |
//! | `not-found` | 404 | nothing is recorded of it |
//! | `seq-not-recorded` | 404 | `knownSeq` is beyond the tenant's last record |
//! | `no-such-route` | 404 | |
//! | `method-not-allowed` | 405 | |
//! | `request-timeout` | 408 | the head or the body did not come in time; the connection is closed |
//! | `tenant-in-two-partitions` | 409 | no shard has the tenant's whole history |
//! | `body-too-large` | 413 | |
//! | `uri-too-long` | 414 | |
//! | `bundle-too-long` | 422 | the proof is longer than is handed out: the command line writes it |
//! | `head-too-large` | 431 | first line and headers together; the connection is closed |
//! | `shard-damaged` | 500 | what a shard has does not read any more: the detail names it, and what to do |
//! | `storage` | 500 | stored data could not be read |
//! | `internal` | 500 | a mistake of the program |
//! | `overloaded` | 503 | too many requests at a time |
//! | `stopping` | 503 | the server ends: ask the one that follows |
//! | `timeout` | 503 | the answer took too long |
//! | `position-not-reached` | 503 | `minPosition` is not recorded yet |
//! | `shard-halted` | 503 | `minPosition` is not recorded, and the shard takes nothing more |
//! | `not-signed` | 503 | no proof, as what it would rest on is not signed yet |
//! | `not-ready` | 503 | not found, but not every shard that could have it was read to its end, here; `freshness` has all of them; with `Retry-After` unless only a person ends it |
//! | | | `/readyz`: an assigned shard is too far behind or halted, or none is assigned |

use std::borrow::Cow;
use std::error::Error as _;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::limits::{HEAD_MAX_BYTES, HEADERS_MAX, URI_MAX_BYTES};
use crate::query::{FreshnessJson, QueryError};

/// What kind of problem it is: the code, the status, and the title are told by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table above has them all")]
pub enum Kind {
    UnknownParameter,
    InvalidParameter,
    InvalidKey,
    InvalidBody,
    InvalidCursor,
    MalformedRequest,
    NotFound,
    SeqNotRecorded,
    NoSuchRoute,
    MethodNotAllowed,
    RequestTimeout,
    TenantInTwoPartitions,
    BodyTooLarge,
    UriTooLong,
    BundleTooLong,
    HeadTooLarge,
    ShardDamaged,
    Storage,
    Internal,
    Overloaded,
    Stopping,
    Timeout,
    PositionNotReached,
    ShardHalted,
    NotSigned,
    NotReady,
}

impl Kind {
    /// Every kind, in the order of the table.
    pub const ALL: [Self; 26] = [
        Self::UnknownParameter,
        Self::InvalidParameter,
        Self::InvalidKey,
        Self::InvalidBody,
        Self::InvalidCursor,
        Self::MalformedRequest,
        Self::NotFound,
        Self::SeqNotRecorded,
        Self::NoSuchRoute,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::TenantInTwoPartitions,
        Self::BodyTooLarge,
        Self::UriTooLong,
        Self::BundleTooLong,
        Self::HeadTooLarge,
        Self::ShardDamaged,
        Self::Storage,
        Self::Internal,
        Self::Overloaded,
        Self::Stopping,
        Self::Timeout,
        Self::PositionNotReached,
        Self::ShardHalted,
        Self::NotSigned,
        Self::NotReady,
    ];

    /// Stable, for programs; status; title, for people.
    const fn told(self) -> (&'static str, StatusCode, &'static str) {
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        match self {
            Self::UnknownParameter => ("unknown-parameter", StatusCode::BAD_REQUEST, "Unknown parameter"),
            Self::InvalidParameter => ("invalid-parameter", StatusCode::BAD_REQUEST, "Invalid parameter"),
            Self::InvalidKey => ("invalid-key", StatusCode::BAD_REQUEST, "Invalid key"),
            Self::InvalidBody => ("invalid-body", StatusCode::BAD_REQUEST, "Invalid body"),
            Self::InvalidCursor => ("invalid-cursor", StatusCode::BAD_REQUEST, "Invalid cursor"),
            Self::MalformedRequest => ("malformed-request", StatusCode::BAD_REQUEST, "Malformed request"),
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND, "Not found"),
            Self::SeqNotRecorded => ("seq-not-recorded", StatusCode::NOT_FOUND, "Seq not recorded"),
            Self::NoSuchRoute => ("no-such-route", StatusCode::NOT_FOUND, "No such route"),
            Self::MethodNotAllowed => {
                ("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
            }
            Self::RequestTimeout => {
                ("request-timeout", StatusCode::REQUEST_TIMEOUT, "Request did not come in time")
            }
            Self::TenantInTwoPartitions => {
                ("tenant-in-two-partitions", StatusCode::CONFLICT, "Tenant in two partitions")
            }
            Self::BodyTooLarge => ("body-too-large", StatusCode::PAYLOAD_TOO_LARGE, "Body too large"),
            Self::UriTooLong => ("uri-too-long", StatusCode::URI_TOO_LONG, "Request target too long"),
            Self::BundleTooLong => ("bundle-too-long", StatusCode::UNPROCESSABLE_ENTITY, "Bundle too long"),
            Self::HeadTooLarge => {
                ("head-too-large", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Head too large")
            }
            Self::ShardDamaged => ("shard-damaged", StatusCode::INTERNAL_SERVER_ERROR, "Shard damaged"),
            Self::Storage => ("storage", StatusCode::INTERNAL_SERVER_ERROR, "Stored data could not be read"),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "Internal error"),
            Self::Overloaded => ("overloaded", unavailable, "Too many requests at a time"),
            Self::Stopping => ("stopping", unavailable, "Stopping"),
            Self::Timeout => ("timeout", unavailable, "Took too long"),
            Self::PositionNotReached => ("position-not-reached", unavailable, "Position not reached"),
            Self::ShardHalted => ("shard-halted", unavailable, "Shard halted"),
            Self::NotSigned => ("not-signed", unavailable, "Not signed yet"),
            Self::NotReady => ("not-ready", unavailable, "Not ready"),
        }
    }

    /// Stable, for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.told().0
    }

    /// HTTP status.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.told().1
    }

    /// Asking again a little later can help.
    const fn passes(self) -> bool {
        matches!(
            self,
            Self::Overloaded
                | Self::Stopping
                | Self::Timeout
                | Self::PositionNotReached
                | Self::NotSigned
                | Self::NotReady
        )
    }

    /// Nobody knows where the next request would begin.
    const fn leaves_input_unread(self) -> bool {
        matches!(self, Self::RequestTimeout | Self::BodyTooLarge)
    }

    /// The kind with this code; codes are the same at every door.
    fn of_code(code: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.code() == code).unwrap_or(Self::Internal)
    }
}

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) kind: Kind,
    detail: Cow<'static, str>,
    parameter: Option<String>,
    freshness: Vec<FreshnessJson>,
    /// Asking again a little later can help.
    passes: bool,
}

/// The members of a problem.
#[derive(Debug, Serialize)]
pub(super) struct ProblemJson<'a> {
    #[serde(rename = "type")]
    type_name: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'a str>,
    /// Of every shard, where one of them keeps the question from being answered.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    freshness: &'a [FreshnessJson],
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        let passes = kind.passes();
        Self { kind, detail: detail.into(), parameter: None, freshness: Vec::new(), passes }
    }

    /// A parameter, or a part of the path, is to blame.
    pub(super) fn with(kind: Kind, parameter: &str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { parameter: Some(parameter.to_owned()), ..Self::new(kind, detail) }
    }

    /// Of an answer that the HTTP library gives by itself, before a route is asked.
    pub(super) fn of_refusal(status: u16) -> Option<Self> {
        let kind = match status {
            400 => Kind::MalformedRequest,
            414 => Kind::UriTooLong,
            431 => Kind::HeadTooLarge,
            _ => return None,
        };
        let detail = match kind {
            Kind::UriTooLong => format!("the request target may have {URI_MAX_BYTES} bytes"),
            Kind::HeadTooLarge => {
                format!("first line and headers may have {HEAD_MAX_BYTES} bytes and {HEADERS_MAX} headers")
            }
            _ => "the first line or a header cannot be read; expected a request in HTTP/1.1".to_owned(),
        };
        Some(Self::new(kind, detail))
    }

    pub(super) fn json(&self) -> ProblemJson<'_> {
        let (code, status, title) = self.kind.told();
        ProblemJson {
            type_name: format!("urn:realm-ledger:problem:{code}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            code,
            parameter: self.parameter.as_deref(),
            freshness: &self.freshness,
        }
    }

    /// The answer, with more members beside the usual ones.
    pub(super) fn response_with(&self, more: impl Serialize) -> Response {
        #[derive(Serialize)]
        struct Extended<'a, M> {
            #[serde(flatten)]
            problem: ProblemJson<'a>,
            #[serde(flatten)]
            more: M,
        }
        self.respond(written(&Extended { problem: self.json(), more }))
    }

    pub(super) const MEDIA_TYPE: &str = "application/problem+json";

    /// The body of its answer.
    pub(super) fn body(&self) -> Vec<u8> {
        written(&self.json())
    }

    fn respond(&self, body: Vec<u8>) -> Response {
        let media_type = (header::CONTENT_TYPE, HeaderValue::from_static(Self::MEDIA_TYPE));
        let mut response = (self.kind.status(), [media_type], body).into_response();
        if self.passes {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.kind.leaves_input_unread() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Only text and numbers: this does not fail.
fn written(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.respond(self.body())
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let kind = Kind::of_code(error.code());
        if matches!(kind, Kind::ShardDamaged | Kind::Storage | Kind::Internal) {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            tracing::error!(%error, cause, "a query failed: see to the shard it names");
        }
        if let QueryError::NotReady(lacking) = &error {
            let (passes, freshness) = (lacking.passes(), lacking.freshness.clone());
            let then = if passes { "ask again later, or see /readyz" } else { "/readyz says what ends it" };
            return Self { freshness, passes, ..Self::new(kind, format!("{error}; {then}")) };
        }
        match kind {
            Kind::InvalidParameter if matches!(error, QueryError::PositionOfNoShard) => {
                Self::with(kind, "fromPosition", error.to_string())
            }
            Kind::InvalidParameter if matches!(error, QueryError::SpanEndsFirst { .. }) => {
                Self::with(kind, "to", error.to_string())
            }
            Kind::InvalidParameter if matches!(error, QueryError::PartitionOfSeveral { .. }) => {
                Self::with(kind, "topic", error.to_string())
            }
            Kind::InvalidParameter if matches!(error, QueryError::NotProven(_)) => {
                Self::with(kind, "pinned", error.to_string())
            }
            Kind::InvalidParameter
                if matches!(
                    error,
                    QueryError::UnknownPartition { .. } | QueryError::AbsentFromEach { .. }
                ) =>
            {
                Self::with(kind, "partition", error.to_string())
            }
            Kind::InvalidCursor => Self::with(kind, "cursor", error.to_string()),
            Kind::SeqNotRecorded | Kind::InvalidParameter => Self::with(kind, "knownSeq", error.to_string()),
            _ => Self::new(kind, error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code_of_its_own_and_a_row_in_the_table() {
        let table = include_str!("problem.rs");
        for kind in Kind::ALL {
            assert_eq!(Kind::of_code(kind.code()), kind);
            let row = format!("//! | `{}` | {} |", kind.code(), kind.status().as_u16());
            assert!(table.contains(&row), "{row}");
        }
    }
}
