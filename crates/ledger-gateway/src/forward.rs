//! The app behind the gateway: a call goes to it unchanged, and its answer comes back unchanged.
//!
//! Method, headers, query and body are those that came, the path is that of the hook at the app. What belongs to a
//! connection and not to the call (`Connection`, `Transfer-Encoding` and the like, `Host`, the length) is made anew.
//! A call is sent once: whether to send it again is its sender's affair.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ureq::Agent;
use ureq::tls::TlsConfig;

use crate::limits::{ANSWER_MAX_BYTES, FORWARD_CONNECT_TIMEOUT, FORWARD_IDLE, FORWARD_TIMEOUT};
use crate::refusal::Refusal;

/// Sends calls to apps.
#[derive(Debug, Clone)]
pub(crate) struct Forwarder(Agent);

/// What an app answered, and how long it took.
#[derive(Debug)]
pub(crate) struct AppAnswer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// A call to an app.
#[derive(Debug)]
pub(crate) struct Forwarded {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Of a connection, not of a call.
const OF_CONNECTION: [HeaderName; 9] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

impl Forwarder {
    /// Checks apps by these authorities.
    pub(crate) fn new(tls: TlsConfig) -> Self {
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent("")
            .accept("")
            .accept_encoding("")
            .max_idle_age(FORWARD_IDLE)
            .timeout_connect(Some(FORWARD_CONNECT_TIMEOUT))
            .timeout_global(Some(FORWARD_TIMEOUT))
            .build();
        Self(config.into())
    }

    /// The app's answer, and the time that was spent waiting for it.
    pub(crate) async fn forward(&self, call: Forwarded) -> (Result<AppAnswer, Refusal>, Duration) {
        let (begun, agent) = (Instant::now(), self.0.clone());
        // The agent blocks a thread for as long as the app takes; so many are set aside as there can be open hooks.
        let sent = tokio::task::spawn_blocking(move || send(&agent, call)).await;
        (sent.unwrap_or(Err(Refusal::AppUnreachable)), begun.elapsed())
    }
}

fn send(agent: &Agent, call: Forwarded) -> Result<AppAnswer, Refusal> {
    let Forwarded { method, url, headers, body } = call;
    let has_no_body = method == Method::GET;
    let mut request = Request::builder().method(method).uri(&url);
    if let Some(all) = request.headers_mut() {
        *all = of_call(headers);
    }
    let answer = if has_no_body {
        request.body(()).map(|request| agent.run(request))
    } else {
        request.body(body.as_ref()).map(|request| agent.run(request))
    };
    let failed = |error| {
        // The query can have a token.
        let url = url.split('?').next();
        tracing::warn!(url, %error, "the app behind the gateway gives no answer");
        match error {
            ureq::Error::Timeout(_) => Refusal::AppTimeout,
            ureq::Error::BodyExceedsLimit(_) => Refusal::AnswerTooLarge,
            _ => Refusal::AppUnreachable,
        }
    };
    let mut answer = answer.map_err(|_| Refusal::AppUnreachable)?.map_err(failed)?;
    let body = answer.body_mut().with_config().limit(ANSWER_MAX_BYTES).read_to_vec().map_err(failed)?;
    let (parts, _) = answer.into_parts();
    Ok(AppAnswer { status: parts.status, headers: of_call(parts.headers), body })
}

fn of_call(mut headers: HeaderMap) -> HeaderMap {
    // The header of a connection names others that are of it.
    let listed: Vec<String> = headers
        .get_all(header::CONNECTION)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|name| name.trim().to_owned()))
        .collect();
    for name in OF_CONNECTION {
        headers.remove(name);
    }
    for name in listed.iter().map(String::as_str).chain(["keep-alive"]) {
        headers.remove(name);
    }
    headers
}

impl IntoResponse for AppAnswer {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        *response.headers_mut() = self.headers;
        response
    }
}
