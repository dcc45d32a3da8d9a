//! Asking a server for a bundle: text that is handed on as it came.

use ledger_api::query::Proof;

use super::AskError;
use super::question::proof_request;
use super::remote::{ANSWER_MAX_BYTES, Remote};

impl Remote {
    /// The bundle, as the server wrote it.
    pub(crate) fn proof(&self, asked: &Proof) -> Result<String, AskError> {
        let (path, parameters) = proof_request(asked);
        let mut response =
            self.stream(|agent, base| agent.get(format!("{base}{path}")).query_pairs(parameters).call())?;
        let body = response.body_mut().with_config().limit(ANSWER_MAX_BYTES).read_to_string();
        body.map_err(|source| self.unreachable(source))
    }
}
