//! Following a server: lines of a stream that goes on.

use std::borrow::Cow;
use std::io::{BufRead as _, BufReader};

use ledger_api::decisions::DecisionCursor;
use ledger_api::query::{DecisionsQuery, ProblemJson, Raw};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Remote;
use crate::Failure;
use crate::ask_error::AskError;

/// A line of a stream of decisions.
pub(crate) enum FollowedLine {
    /// As it is published.
    Decision(Raw),
    /// Covers all lines before.
    Cursor(DecisionCursor),
    /// A shard of the server came, went away, or does not read.
    Shard(String),
}

/// The members that tell the lines apart.
#[derive(Deserialize)]
struct Members<'l> {
    cursor: Option<DecisionCursor>,
    #[serde(borrow)]
    shard: Option<ShardMembers<'l>>,
    problem: Option<ProblemJson>,
}

#[derive(Deserialize)]
struct ShardMembers<'l> {
    topic: Cow<'l, str>,
    partition: u32,
    state: Cow<'l, str>,
}

/// What takes the lines, one by one.
type TakeLine<'t> = &'t mut dyn FnMut(FollowedLine) -> Result<(), Failure>;

impl Remote {
    /// Hands on what comes. Answers why the server gives nothing more, if it may again; none: it sent all that was asked
    /// for.
    pub(crate) fn follow(
        &self,
        asked: &DecisionsQuery,
        take: TakeLine<'_>,
    ) -> Result<Option<AskError>, Failure> {
        let mut response = match self.stream(asked) {
            Ok(response) => response,
            Err(error) if error.may_pass() => return Ok(Some(error)),
            Err(error) => return Err(error.into()),
        };
        for text in BufReader::new(response.body_mut().as_reader()).lines() {
            let Ok(text) = text else { return Ok(Some(self.cut_off())) };
            // A line that was cut off is none.
            let Ok(Members { cursor, shard, problem }) = serde_json::from_str(&text) else {
                return Ok(Some(self.cut_off()));
            };
            if let Some(ShardMembers { topic, partition, state }) = shard {
                take(FollowedLine::Shard(format!("{topic}/{partition} is {state} at this server")))?;
                continue;
            }
            if cursor.is_none() && problem.is_none() {
                let raw = RawValue::from_string(text).map_err(|source| AskError::NotAnAnswer { source })?;
                take(FollowedLine::Decision(raw))?;
            }
            if let Some(cursor) = cursor {
                take(FollowedLine::Cursor(cursor))?;
            }
            if let Some(ProblemJson { detail, code, .. }) = problem {
                let (detail, code) = (detail.into_owned(), code.into_owned());
                return Ok(Some(AskError::Problem { detail, code }));
            }
        }
        Ok(asked.limit.is_none().then(|| self.cut_off()))
    }

    fn cut_off(&self) -> AskError {
        AskError::CutOff { url: self.base.clone() }
    }
}
