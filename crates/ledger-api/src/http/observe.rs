//! What happens around every route: sizes, panics, measures.

use std::any::Any;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::ask;
use super::gate;
use super::metric;
use crate::limits::{HEAD_MAX_BYTES, URI_MAX_BYTES};
use crate::problem::ProblemKind;
use crate::query::Problem;

/// What is too long, for whichever route it is.
pub(super) async fn refuse_long_heads(request: Request, next: Next) -> Response {
    match check_length(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// What has a broken escape.
pub(super) async fn refuse_broken_escapes(request: Request, next: Next) -> Response {
    match check_escapes(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check_length(request: &Request) -> Result<(), Problem> {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let length = path.len() + query.len();
    if length > URI_MAX_BYTES {
        let detail = format!("the request target may have {URI_MAX_BYTES} bytes, this one has {length}");
        return Err(Problem::new(ProblemKind::UriTooLong, detail));
    }
    // The HTTP library refuses what does not fit into its buffer, which can be larger than it should.
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    let head = length + request.method().as_str().len() + headers.sum::<usize>();
    if head > HEAD_MAX_BYTES {
        let detail = format!("first line and headers may have {HEAD_MAX_BYTES} bytes, these have {head}");
        return Err(Problem::new(ProblemKind::HeadTooLarge, detail));
    }
    Ok(())
}

fn check_escapes(request: &Request) -> Result<(), Problem> {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let broken =
        |kind, what| Err(Problem::new(kind, format!("the {what} has a % that no two hex digits follow")));
    match (has_broken_escape(path), has_broken_escape(query)) {
        (true, _) => broken(ProblemKind::InvalidKey, "path"),
        (false, true) => broken(ProblemKind::InvalidParameter, "query"),
        (false, false) => Ok(()),
    }
}

/// Read as it stands, it would be another key than its client meant.
fn has_broken_escape(text: &str) -> bool {
    let is_broken = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    text.split('%').skip(1).any(is_broken)
}

pub(super) async fn measure(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = word(request.method());
    let begun = Instant::now();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let code = response.extensions().get::<Problem>().map_or("ok", |problem| problem.kind.code());
    let asked = metric::Asked { route, method, query: gate::name_of(route) };
    asked.answered(response.status().as_u16(), code, begun.elapsed());
    response
}

/// A client can make methods up; a label must not follow it.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        _ => "other",
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature is the layer's")]
pub(super) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(panic = text, "a request panicked: a mistake of the program, report it");
    ask::panicked().into_response()
}
