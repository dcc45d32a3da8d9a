//! Asking a server.

use std::time::Duration;

use ledger_api::query::{ProblemJson, ProofQuery, Question, Request, request};
use ureq::http::header::InvalidHeaderValue;
use ureq::http::{HeaderValue, Response};
use ureq::tls::TlsConfig;
use ureq::{Agent, Body, RequestBuilder};

use super::Completeness;
use crate::ask_error::AskError;

/// A page of the longest states stays far below this.
const ANSWER_MAX_BYTES: u64 = 256 * 1024 * 1024;

/// A server that does not accept a connection by then is down.
const CONNECT_TIMEOUT: Duration = Duration::from_mins(1);

/// A server ends its work by itself (`http.request_timeout`, 30 s unless it is set otherwise): this is only for
/// one that is gone without a word.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(15);

/// A server.
pub(crate) struct Remote {
    agent: Agent,
    pub(super) base: String,
    pub(super) completeness: Completeness,
    credentials: ServerCredentials,
}

/// What a server is asked with, and checked by.
#[derive(Debug, Clone)]
pub(crate) struct ServerCredentials {
    /// The header with the token, if there is one; it hides its value.
    authorization: Option<HeaderValue>,
    tls: TlsConfig,
}

impl ServerCredentials {
    pub(crate) fn new(token: Option<&str>, tls: TlsConfig) -> Result<Self, AskError> {
        let header = token.map(|token| {
            let mut header = HeaderValue::try_from(format!("Bearer {token}"))?;
            header.set_sensitive(true);
            Ok(header)
        });
        let authorization = header.transpose().map_err(|_: InvalidHeaderValue| AskError::NoToken)?;
        Ok(Self { authorization, tls })
    }
}

impl Remote {
    pub(crate) fn new(url: &str, completeness: Completeness, credentials: ServerCredentials) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(ANSWER_TIMEOUT))
            .tls_config(credentials.tls.clone())
            .build();
        let base = url.trim_end_matches('/').to_owned();
        Self { agent: config.into(), base, completeness, credentials }
    }

    /// The body of the answer; a problem becomes the error that it describes.
    pub(crate) fn ask(&self, question: &impl Question) -> Result<String, AskError> {
        let mut response = self.send(&self.agent, question, "application/json")?;
        self.text(&mut response)
    }

    /// The bundle, as the server wrote it, however long that takes.
    pub(crate) fn proof(&self, asked: &ProofQuery) -> Result<String, AskError> {
        self.text(&mut self.stream(asked)?)
    }

    /// An answer that is read while it is given, however long that takes.
    pub(super) fn stream(&self, question: &impl Question) -> Result<Response<Body>, AskError> {
        self.send(&self.patient(), question, "application/x-ndjson")
    }

    /// Events that go on for as long as the server does.
    pub(super) fn events(&self, question: &impl Question) -> Result<Response<Body>, AskError> {
        self.send(&self.patient(), question, "text/event-stream")
    }

    /// Sends an order; its whole answer.
    pub(crate) fn order_for_text(
        &self,
        path: &str,
        parameters: Vec<(String, String)>,
        body: String,
    ) -> Result<String, AskError> {
        let order = Request { path: path.to_owned(), parameters, body: Some(body) };
        self.text(&mut self.exchange(&self.agent, order, "application/json")?)
    }

    /// Sends an order; its answer is read while it is given, however long that takes.
    pub(crate) fn order(&self, path: &str, body: String) -> Result<Response<Body>, AskError> {
        let order = Request { path: path.to_owned(), parameters: Vec::new(), body: Some(body) };
        self.exchange(&self.patient(), order, "application/x-ndjson")
    }

    fn send(
        &self,
        agent: &Agent,
        question: &impl Question,
        accept: &str,
    ) -> Result<Response<Body>, AskError> {
        self.exchange(agent, request(question), accept)
    }

    fn exchange(
        &self,
        agent: &Agent,
        Request { path, parameters, body }: Request,
        accept: &str,
    ) -> Result<Response<Body>, AskError> {
        let url = format!("{}{path}", self.base);
        let sent = match body {
            None => {
                let request = agent.get(url).header("accept", accept).query_pairs(parameters);
                self.authorized(request).call()
            }
            Some(body) => {
                let request = agent.post(url).header("accept", accept).query_pairs(parameters);
                let request = self.authorized(request);
                request.header("content-type", "application/json").send(&body)
            }
        };
        let mut response = sent.map_err(|source| self.unreachable(source))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.text(&mut response)?;
        Err(match serde_json::from_str(&body) {
            Ok(ProblemJson { detail, code, .. }) => {
                AskError::Problem { detail: detail.into_owned(), code: code.into_owned() }
            }
            Err(_) => AskError::NoLedger { url: self.base.clone(), status: status.as_u16() },
        })
    }

    fn authorized<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        match &self.credentials.authorization {
            Some(header) => request.header("authorization", header.clone()),
            None => request,
        }
    }

    /// For an answer that is read while it is given.
    fn patient(&self) -> Agent {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(ANSWER_TIMEOUT))
            .tls_config(self.credentials.tls.clone())
            .build();
        config.into()
    }

    fn text(&self, response: &mut Response<Body>) -> Result<String, AskError> {
        let body = response.body_mut().with_config().limit(ANSWER_MAX_BYTES).read_to_string();
        body.map_err(|source| self.unreachable(source))
    }

    pub(crate) fn broken(&self, source: std::io::Error) -> AskError {
        self.unreachable(ureq::Error::Io(source))
    }

    fn unreachable(&self, source: ureq::Error) -> AskError {
        AskError::Unreachable { url: self.base.clone(), source: Box::new(source) }
    }
}
