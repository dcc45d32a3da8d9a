//! Why there is no answer.

use ledger_api::ledger::QueryError;
use ledger_api::problem::ProblemKind;
use ledger_store::OpenError;

/// The code of what is not there, although everyone was asked.
pub(crate) const NOT_FOUND: &str = ProblemKind::NotFound.code();

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// The data directory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The question has no answer there.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The server says no, in the words of the same query.
    #[error("{detail}")]
    Problem {
        /// What is wrong.
        detail: String,
        /// The stable code.
        code: String,
    },
    /// It is not there as of the instant, or the knowledge, that was asked for; it may be now.
    #[error("{detail}")]
    NotThen {
        /// What is wrong.
        detail: String,
    },
    /// Something answered, but no ledger.
    #[error("{url} answered {status}, and not in the way of a ledger")]
    NoLedger {
        /// Who was asked.
        url: String,
        /// What it answered.
        status: u16,
    },
    /// Nobody answered.
    #[error("{url} cannot be asked")]
    Unreachable {
        /// Who was asked.
        url: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The answer ended in the middle.
    #[error("{url} broke off in the middle of the answer; is the server still running?")]
    CutOff {
        /// Who was asked.
        url: String,
    },
    /// The answer is of another shape.
    #[error("the answer cannot be read; is the server of the same version?")]
    NotAnAnswer {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl AskError {
    /// The stable code of a question that has no answer there.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Query(error) => Some(error.code()),
            Self::Problem { code, .. } => Some(code),
            Self::NotThen { .. } => Some(NOT_FOUND),
            _ => None,
        }
    }
}
