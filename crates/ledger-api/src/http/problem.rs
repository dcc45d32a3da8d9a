//! Why a request is not answered: problem details (RFC 9457). Their codes are in [`crate::problem`].

use std::borrow::Cow;
use std::error::Error as _;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::limits::{HEAD_MAX_BYTES, HEADERS_MAX, URI_MAX_BYTES};
use crate::problem::ProblemKind;
use crate::query::{FreshnessJson, NotReady, QueryError};

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) kind: ProblemKind,
    detail: Cow<'static, str>,
    parameter: Option<String>,
    freshness: Vec<FreshnessJson>,
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
    pub(super) fn new(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), parameter: None, freshness: Vec::new() }
    }

    /// A parameter, or a part of the path, is to blame.
    pub(super) fn with(kind: ProblemKind, parameter: &str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { parameter: Some(parameter.to_owned()), ..Self::new(kind, detail) }
    }

    /// Of an answer that the HTTP library gives by itself, before a route is asked.
    pub(super) fn of_refusal(status: u16) -> Option<Self> {
        let kind = match status {
            400 => ProblemKind::MalformedRequest,
            414 => ProblemKind::UriTooLong,
            431 => ProblemKind::HeadTooLarge,
            _ => return None,
        };
        let detail = match kind {
            ProblemKind::UriTooLong => format!("the request target may have {URI_MAX_BYTES} bytes"),
            ProblemKind::HeadTooLarge => {
                format!("first line and headers may have {HEAD_MAX_BYTES} bytes and {HEADERS_MAX} headers")
            }
            _ => "the first line or a header cannot be read; expected a request in HTTP/1.1".to_owned(),
        };
        Some(Self::new(kind, detail))
    }

    pub(super) fn json(&self) -> ProblemJson<'_> {
        let code = self.kind.code();
        ProblemJson {
            type_name: format!("urn:realm-ledger:problem:{code}"),
            title: self.kind.title(),
            status: self.kind.status(),
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
        let mut response = ([media_type], body).into_response();
        *response.status_mut() = StatusCode::from_u16(self.kind.status()).unwrap_or_default();
        if self.kind.passes() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // Where the next request would begin is not known.
        if matches!(self.kind, ProblemKind::RequestTimeout | ProblemKind::BodyTooLarge) {
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
        let (kind, parameter) = error.problem();
        if matches!(kind, ProblemKind::Storage | ProblemKind::Internal) {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            tracing::error!(%error, cause, "a query failed: see to the shard it names");
        }
        let freshness = match &error {
            QueryError::NotReady(NotReady { freshness, .. }) => freshness.clone(),
            _ => Vec::new(),
        };
        let parameter = parameter.map(ToOwned::to_owned);
        Self { kind, detail: error.to_string().into(), parameter, freshness }
    }
}
