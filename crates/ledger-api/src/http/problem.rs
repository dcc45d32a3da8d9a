//! A problem as an answer over HTTP (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ledger_record::json;
use serde::Serialize;

use crate::limits::{HEAD_MAX_BYTES, HEADERS_MAX, URI_MAX_BYTES};
use crate::problem::ProblemKind;
use crate::query::{Problem, ProblemJson};

impl Problem {
    pub(super) const MEDIA_TYPE: &str = "application/problem+json";

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

    /// The answer, with more members beside the usual ones.
    pub(super) fn response_with(self, more: impl Serialize) -> Response {
        #[derive(Serialize)]
        struct Extended<M> {
            #[serde(rename = "")]
            problem: ProblemJson,
            #[serde(rename = "")]
            more: M,
        }
        let (kind, passes) = (self.kind, self.passes);
        respond(kind, passes, written(&Extended { problem: self.into_json(), more }))
    }

    /// The body of its answer.
    pub(super) fn into_body(self) -> Vec<u8> {
        written(&self.into_json())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = respond(self.kind, self.passes, self.clone().into_body());
        // For gRPC, which has another form for it.
        response.extensions_mut().insert(self);
        response
    }
}

fn respond(kind: ProblemKind, passes: bool, body: Vec<u8>) -> Response {
    let media_type = (header::CONTENT_TYPE, HeaderValue::from_static(Problem::MEDIA_TYPE));
    let mut response = ([media_type], body).into_response();
    *response.status_mut() = StatusCode::from_u16(kind.status()).unwrap_or_default();
    if passes {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    // For the log of access.
    response.extensions_mut().insert(kind);
    if kind == ProblemKind::Unauthenticated {
        let scheme = HeaderValue::from_static("Bearer realm=\"realm-ledger\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    }
    // Where the next request would begin is not known.
    if matches!(kind, ProblemKind::RequestTimeout | ProblemKind::BodyTooLarge) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Only text and numbers: this does not fail.
fn written(body: &impl Serialize) -> Vec<u8> {
    json::to_vec(body).unwrap_or_default()
}
