//! Asking a server for a bundle: text that is handed on as it came.

use std::io::Read as _;

use ledger_api::query::Proof;

use super::question::proof_request;
use super::{AskError, Remote};

impl Remote {
    /// The bundle, as the server wrote it.
    pub(crate) fn proof(&self, asked: &Proof) -> Result<String, AskError> {
        let (path, parameters) = proof_request(asked);
        let mut response =
            self.stream(|agent, base| agent.get(format!("{base}{path}")).query_pairs(parameters).call())?;
        let mut text = String::new();
        let read = response.body_mut().as_reader().read_to_string(&mut text);
        read.map_err(|source| self.broken(source))?;
        Ok(text)
    }
}
