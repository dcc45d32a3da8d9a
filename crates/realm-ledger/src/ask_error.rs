//! Why a query has no answer, from a data directory or from a server.

use ledger_api::ledger::QueryError;
use ledger_api::problem::ProblemKind;
use ledger_store::OpenError;

/// The code of what is not there, although every shard was asked.
pub(crate) const NOT_FOUND: &str = ProblemKind::NotFound.code();

/// What answers that are not signed yet wait for.
pub(crate) const SIGNED_BY_SERVE: &str = "a running `serve` signs within seconds, or its /readyz says why it does not; \
                                          without kafka.checkpoints_topic it signs nothing";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// The data directory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The question has no answer there.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The server refuses, with the text and the code that the data directory would give.
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
    /// What was given as a token is none.
    #[error(
        "the token has characters that no token has; expected the first line that `token create` printed"
    )]
    NoToken,
    /// Something answered, but no ledger.
    #[error("{url} answered {status}, and not in the way of a ledger")]
    NoLedger {
        /// The server.
        url: String,
        /// What it answered.
        status: u16,
    },
    /// The server does not answer.
    #[error("{url} cannot be asked")]
    Unreachable {
        /// The server.
        url: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The answer ended in the middle.
    #[error("{url} broke off in the middle of the answer; is the server still running?")]
    CutOff {
        /// The server.
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

    /// Whether asking again can help, without a person.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::CutOff { .. } => true,
            Self::Problem { code, .. } => {
                ProblemKind::ALL.iter().any(|kind| kind.code() == code && kind.passes())
            }
            _ => false,
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } => Some("is the server running, and is this its address?"),
            Self::NotThen { .. } => Some(
                "that is as of the instant and the knowledge that were asked for; leave them out for now",
            ),
            error => match error.code()? {
                NOT_FOUND => Some("keys are compared letter by letter; `realm-ledger state` lists them all"),
                "not-signed" => Some(SIGNED_BY_SERVE),
                "shard-halted" => Some("the server's log and /readyz say why"),
                _ => None,
            },
        }
    }
}
