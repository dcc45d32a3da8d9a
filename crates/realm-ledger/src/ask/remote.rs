//! Asking a server.

use std::time::Duration;

use serde::Deserialize;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::{AskError, Lacking, Question};

/// A page of the longest states stays far below this.
pub(super) const ANSWER_MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Whoever does not take a connection by then is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_mins(1);

/// A server ends its work by itself (`http.request_timeout`, 30 s unless it is set otherwise): this is only for
/// one that is gone without a word.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(15);

/// A server.
pub(crate) struct Remote {
    agent: Agent,
    pub(super) base: String,
    pub(super) lacking: Lacking,
}

/// Problem details (RFC 9457), as far as they are told on.
#[derive(Debug, Deserialize)]
pub(super) struct Problem {
    pub(super) detail: String,
    #[serde(default)]
    pub(super) code: String,
}

impl Remote {
    /// What it cannot speak for is noted.
    pub(crate) fn new(url: &str, lacking: Lacking) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(ANSWER_TIMEOUT))
            .build();
        Self { agent: config.into(), base: url.trim_end_matches('/').to_owned(), lacking }
    }

    /// The body of the answer; a problem becomes the error that it describes.
    pub(super) fn ask(&self, question: &Question) -> Result<String, AskError> {
        let unreachable = |source| self.unreachable(source);
        let (path, parameters) = question.request();
        let request = self.agent.get(format!("{}{path}", self.base)).header("accept", "application/json");
        let mut response = request.query_pairs(parameters).call().map_err(unreachable)?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(ANSWER_MAX_BYTES).read_to_string();
        let body = body.map_err(unreachable)?;
        if status.is_success() { Ok(body) } else { Err(self.problem(status.as_u16(), &body)) }
    }

    /// An answer that is read while it is given, however long that takes.
    pub(super) fn stream(
        &self,
        ask: impl FnOnce(&Agent, &str) -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>, AskError> {
        let patient = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(ANSWER_TIMEOUT))
            .build();
        let mut response = ask(&patient.into(), &self.base).map_err(|source| self.unreachable(source))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.body_mut().read_to_string().map_err(|source| self.unreachable(source))?;
        Err(self.problem(status.as_u16(), &body))
    }

    pub(super) fn broken(&self, source: std::io::Error) -> AskError {
        self.unreachable(ureq::Error::Io(source))
    }

    pub(super) fn unreachable(&self, source: ureq::Error) -> AskError {
        AskError::Unreachable { url: self.base.clone(), source: Box::new(source) }
    }

    fn problem(&self, status: u16, body: &str) -> AskError {
        match serde_json::from_str::<Problem>(body) {
            Ok(Problem { detail, code }) => AskError::Problem { detail, code },
            Err(_) => AskError::NoLedger { url: self.base.clone(), status },
        }
    }
}
