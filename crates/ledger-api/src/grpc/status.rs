//! A problem as a status of gRPC: the code of the table, and in its details `google.rpc.ErrorInfo` with the same stable
//! code as over HTTP, `google.rpc.RetryInfo` where asking again can help, and the problem itself.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prost::Message as _;
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::pb::{ErrorInfo, RetryInfo};

use super::message::is_grpc;
use crate::http::GRPC;
use crate::limits::STATUS_DETAIL_MAX_BYTES;
use crate::proto::{schema, to_vec};
use crate::query::Problem;

const DOMAIN: &str = "realm-ledger";

/// Gives an answer that is a problem the status of gRPC.
pub(super) async fn give(request: Request, next: Next) -> Response {
    if !is_grpc(request.headers()) {
        return next.run(request).await;
    }
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) => {
            let mut headers = headers(&problem);
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(GRPC));
            headers.into_response()
        }
        None => response,
    }
}

/// The trailers of a call that went well.
pub(super) fn ok() -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(1);
    headers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
    headers
}

/// The trailers of a call that did not.
pub(super) fn headers(problem: &Problem) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if status(problem).add_header(&mut headers).is_err() {
        headers.insert(Status::GRPC_STATUS, HeaderValue::from(problem.kind.grpc() as u16));
    }
    headers
}

pub(super) fn status(problem: &Problem) -> Status {
    let code = Code::from_i32(problem.kind.grpc() as i32);
    let detail = problem.detail().to_owned();
    let parameter = problem.parameter().map(|name| ("parameter".to_owned(), name.to_owned()));
    let (reason, domain) = (problem.kind.code().to_owned(), DOMAIN.to_owned());
    let mut details = vec![any(
        "google.rpc.ErrorInfo",
        ErrorInfo { reason, domain, metadata: parameter.into_iter().collect() }.encode_to_vec(),
    )];
    if problem.passes {
        let retry_delay = Some(prost_types::Duration { seconds: 1, nanos: 0 });
        details.push(any("google.rpc.RetryInfo", RetryInfo { retry_delay }.encode_to_vec()));
    }
    let whole = schema().message_named("realmledger.v1.Problem");
    let whole = whole.and_then(|message| to_vec(message, &problem.clone().into_json()).ok());
    // Clients refuse trailers that are long.
    if let Some(whole) = whole.filter(|whole| whole.len() <= STATUS_DETAIL_MAX_BYTES) {
        details.push(any("realmledger.v1.Problem", whole));
    }
    let details = tonic_types::pb::Status { code: code as i32, message: detail.clone(), details };
    Status::with_details(code, detail, details.encode_to_vec().into())
}

fn any(name: &str, value: Vec<u8>) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value }
}
