//! Asking a server.

use std::time::Duration;

use serde::Deserialize;
use ureq::Agent;

use super::{AskError, Question};

/// A page of the longest states stays far below this.
const ANSWER_MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Longer than any server works on an answer.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A server.
pub(crate) struct Remote {
    agent: Agent,
    base: String,
}

/// Problem details (RFC 9457), as far as they are told on.
#[derive(Deserialize)]
struct Problem {
    detail: String,
    #[serde(default)]
    code: String,
}

impl Remote {
    pub(crate) fn new(url: &str) -> Self {
        let config =
            Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT)).build();
        Self { agent: config.into(), base: url.trim_end_matches('/').to_owned() }
    }

    /// The body of the answer; a problem becomes the error that it describes.
    pub(super) fn ask(&self, question: &Question) -> Result<String, AskError> {
        let unreachable = |source| AskError::Unreachable { url: self.base.clone(), source: Box::new(source) };
        let (path, parameters) = question.request();
        let request = self.agent.get(format!("{}{path}", self.base)).header("accept", "application/json");
        let mut response = request.query_pairs(parameters).call().map_err(unreachable)?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(ANSWER_MAX_BYTES).read_to_string();
        let body = body.map_err(unreachable)?;
        if status.is_success() {
            return Ok(body);
        }
        match serde_json::from_str::<Problem>(&body) {
            Ok(Problem { detail, code }) => Err(AskError::Problem { detail, code }),
            Err(_) => Err(AskError::NoLedger { url: self.base.clone(), status: status.as_u16() }),
        }
    }
}
