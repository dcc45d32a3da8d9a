//! Asking the ledger: the data directory of this machine, or a server somewhere.
//!
//! Both give the same answer, an envelope of JSON with the payload and how fresh it is; what is printed is
//! the payload, letter by letter. So a command cannot tell, and need not know, whom it asked. What a server
//! could not speak for is noted ([`Lacking`]) and told when the command is done.

mod error;
mod lacking;
mod local;
mod proof;
mod question;
mod remote;
mod sweep;

use serde::Deserialize;
use serde_json::value::RawValue;

pub(crate) use error::AskError;
use lacking::Freshness;
pub(crate) use lacking::Lacking;
pub(crate) use local::Local;
pub(crate) use question::Question;
pub(crate) use remote::Remote;
pub(crate) use sweep::Sweep;

/// Items asked for at a time.
pub(crate) const PAGE: usize = 500;

/// Whom to ask.
pub(crate) enum Door {
    /// A data directory.
    Local(Local),
    /// A server.
    Remote(Remote),
}

impl Door {
    pub(crate) fn ask(&self, question: &Question) -> Result<Answer, AskError> {
        if question.is_of_all() {
            self.lacking().note_of_all();
        }
        self.answer(question).map_err(|error| match error.code() {
            Some(error::NOT_FOUND) if question.is_of_the_past() => {
                AskError::NotThen { detail: error.to_string() }
            }
            _ => error,
        })
    }

    fn lacking(&self) -> &Lacking {
        match self {
            Self::Local(local) => &local.lacking,
            Self::Remote(remote) => &remote.lacking,
        }
    }

    fn answer(&self, question: &Question) -> Result<Answer, AskError> {
        match self {
            Self::Local(local) => {
                let answer = Answer::read(&local.ask(question)?)?;
                local.lacking.note_unread(&answer.freshness);
                Ok(answer)
            }
            Self::Remote(remote) => {
                let mut answer = Answer::read(&remote.ask(question)?)?;
                remote.lacking.note(std::mem::take(&mut answer.freshness));
                Ok(answer)
            }
        }
    }
}

/// What an answer can hold; each question has its own member.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Answer {
    pub(crate) installation: Option<Box<RawValue>>,
    pub(crate) installations: Vec<Box<RawValue>>,
    pub(crate) records: Vec<Box<RawValue>>,
    pub(crate) corrections: Vec<Box<RawValue>>,
    pub(crate) explanation: Option<Box<RawValue>>,
    pub(crate) decision: Option<Box<RawValue>>,
    pub(crate) checkpoints: Vec<Box<RawValue>>,
    pub(crate) items: Vec<Box<RawValue>>,
    pub(crate) item: Option<Box<RawValue>>,
    pub(crate) refused: Vec<Refused>,
    pub(crate) next_cursor: Option<String>,
    pub(crate) next_seq: Option<u64>,
    pub(crate) next_position: Option<u64>,
    freshness: Vec<Freshness>,
}

impl Answer {
    fn read(text: &str) -> Result<Self, AskError> {
        serde_json::from_str(text).map_err(|source| AskError::NotAnAnswer { source })
    }
}

/// A tenant that a list leaves out, because no shard has its whole history.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refused {
    pub(crate) client_key: String,
    #[serde(default)]
    pub(crate) shards: Vec<String>,
}
