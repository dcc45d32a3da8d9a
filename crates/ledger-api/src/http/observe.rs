//! What happens around every route: sizes, panics, measures.

use std::any::Any;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::ask;
use super::metric;
use crate::limits::URI_MAX_BYTES;
use crate::problem::ProblemKind;
use crate::query::Problem;

pub(super) async fn refuse_long_targets(request: Request, next: Next) -> Response {
    let uri = request.uri();
    let length = uri.path().len() + uri.query().map_or(0, str::len);
    if length > URI_MAX_BYTES {
        let detail = format!("the request target may have {URI_MAX_BYTES} bytes, this one has {length}");
        return Problem::new(ProblemKind::UriTooLong, detail).into_response();
    }
    next.run(request).await
}

pub(super) async fn measure(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = word(request.method());
    let begun = Instant::now();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    metric::answered(route, method, response.status().as_u16(), begun.elapsed());
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
