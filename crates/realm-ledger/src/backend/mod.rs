//! Asks the data directory of this machine, or a server.
//!
//! A [`Question`] comes in, its answer goes out: the same JSON from both, whose items are printed letter by letter. So
//! a command does not know which of them it asked. What an answer lacks is noted ([`Completeness`]) and reported when the
//! command is done.

mod completeness;
mod follow;
mod lines;
mod local;
mod remote;

use ledger_api::ledger::FreshnessJson;
use ledger_api::query::{Page, Query, Question, Scope};
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub(crate) use completeness::{Completeness, lacks};
pub(crate) use follow::Followed;
pub(crate) use local::Local;
pub(crate) use remote::{Remote, ServerCredentials};

use crate::ask_error::{AskError, NOT_FOUND};

/// Items asked for at a time.
pub(crate) const PAGE: u64 = 500;

/// The first page of a list.
pub(crate) const FIRST_PAGE: Page = Page { cursor: None, limit: Some(PAGE) };

/// What answers.
pub(crate) enum Backend {
    /// A data directory.
    Local(Local),
    /// A server.
    Remote(Remote),
}

impl Backend {
    /// Asks.
    pub(crate) fn ask<Q: Question + Clone>(&self, question: &Q) -> Result<Q::Read, AskError> {
        let query: Query = question.clone().into();
        self.note_scope(&query);
        let answered = match self {
            Self::Local(local) => local.ask(&query),
            Self::Remote(remote) => remote.ask(question),
        };
        let text = answered.map_err(|error| match error.code() {
            Some(NOT_FOUND) if query.is_past() => AskError::NotThen { detail: error.to_string() },
            _ => error,
        })?;
        let Fresh { freshness } = read(&text)?;
        match self {
            Self::Local(local) => local.completeness.note_unread(&freshness),
            Self::Remote(remote) => remote.completeness.note(freshness),
        }
        read(&text)
    }

    /// Where every shard has a part of the answer, it is partial without one of them.
    fn note_scope(&self, query: &Query) {
        let completeness = match self {
            Self::Local(local) => &local.completeness,
            Self::Remote(remote) => &remote.completeness,
        };
        if let Scope::All { .. } = query.scope() {
            completeness.note_of_all();
        }
    }
}

/// How fresh an answer is, whatever it is.
#[derive(Deserialize)]
struct Fresh {
    freshness: Vec<FreshnessJson>,
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, AskError> {
    serde_json::from_str(text).map_err(|source| AskError::NotAnAnswer { source })
}
