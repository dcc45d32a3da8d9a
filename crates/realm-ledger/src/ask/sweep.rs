//! Questions about the whole log: answered line by line, by a data directory or by a server.

use std::io::{BufRead as _, BufReader};
use std::ops::ControlFlow;
use std::sync::mpsc;
use std::thread;

use ledger_api::query::{Ledger, QueryError, Replay, Tell, WhatIfAsked};
use ledger_core::time::Timestamp;
use ledger_record::json::{self, whatif::WhatIfRequestJson};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::question::replay_parameters;
use super::remote::Problem;
use super::{AskError, Door, Freshness, Local, Refused, Remote};
use crate::Failure;

/// Lines that wait to be taken.
const LINES_AHEAD: usize = 1024;

/// A question.
#[derive(Debug, Clone)]
pub(crate) enum Sweep {
    /// What other policies would have meant.
    WhatIf(WhatIfAsked),
    /// Records once more, with what was believed after each.
    Replay(Replay),
}

/// A line of the answer: one of its members.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Line {
    pub(crate) progress: Option<Progress>,
    pub(crate) difference: Option<Box<RawValue>>,
    pub(crate) report: Option<Box<RawValue>>,
    pub(crate) step: Option<Box<RawValue>>,
    pub(crate) refused: Option<Refused>,
    freshness: Option<Vec<Freshness>>,
    problem: Option<Problem>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Progress {
    pub(crate) records: u64,
    pub(crate) total: u64,
}

/// What takes the lines, one by one.
pub(crate) type Take<'t> = &'t mut dyn FnMut(Line) -> Result<(), Failure>;

impl Door {
    /// Asks, and hands every line on.
    pub(crate) fn sweep(&self, question: &Sweep, take: Take<'_>) -> Result<(), Failure> {
        if question.is_of_all() {
            self.lacking().note_of_all();
        }
        match self {
            Self::Local(local) => local.sweep(question, take),
            Self::Remote(remote) => remote.sweep(question, take),
        }
    }
}

impl Sweep {
    /// Whether every shard has a part of the answer.
    const fn is_of_all(&self) -> bool {
        match self {
            Self::WhatIf(_) => true,
            Self::Replay(Replay { client, shard, .. }) => client.is_none() && shard.is_none(),
        }
    }

    fn answer(&self, ledger: &Ledger, now: Timestamp, tell: Tell<'_>) -> Result<(), QueryError> {
        match self {
            Self::WhatIf(asked) => ledger.what_if_lines(asked, now, tell),
            Self::Replay(asked) => ledger.replay_lines(asked, now, tell),
        }
    }
}

impl Local {
    fn sweep(&self, question: &Sweep, take: Take<'_>) -> Result<(), Failure> {
        let (ledger, now) = (&self.ledger, self.now);
        let (told, lines) = mpsc::sync_channel::<String>(LINES_AHEAD);
        thread::scope(|scope| {
            let asking = scope.spawn(move || {
                question.answer(ledger, now, &|line| {
                    let sent = json::to_string(line).is_ok_and(|text| told.send(text).is_ok());
                    if sent { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })
            });
            let taken = lines.iter().try_for_each(|text| take(read(&text)?));
            // Whoever still asks hears that nobody takes any more.
            drop(lines);
            let asked = asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            taken.and_then(|()| asked.map_err(|error| AskError::from(error).into()))
        })
    }
}

impl Remote {
    fn sweep(&self, question: &Sweep, take: Take<'_>) -> Result<(), Failure> {
        let mut response = match question {
            Sweep::WhatIf(asked) => {
                let WhatIfAsked { policies, scope, differences } = asked;
                let body = WhatIfRequestJson::of(policies, scope, *differences);
                let body = json::to_vec(&body).map_err(|source| AskError::NotAnAnswer { source })?;
                self.stream(|agent, base| {
                    let request = agent.post(format!("{base}/v1/whatif"));
                    request
                        .header("accept", "application/x-ndjson")
                        .header("content-type", "application/json")
                        .send(&body)
                })?
            }
            Sweep::Replay(asked) => self.stream(|agent, base| {
                agent.get(format!("{base}/v1/replay")).query_pairs(replay_parameters(asked)).call()
            })?,
        };
        let mut ended = false;
        for text in BufReader::new(response.body_mut().as_reader()).lines() {
            let mut line = read(&text.map_err(|source| self.broken(source))?)?;
            if let Some(Problem { detail, code }) = line.problem {
                return Err(AskError::Problem { detail, code }.into());
            }
            let freshness = line.freshness.take();
            ended = freshness.is_some();
            if let Some(freshness) = freshness {
                self.lacking.note(freshness);
            }
            take(line)?;
        }
        if ended { Ok(()) } else { Err(AskError::CutOff { url: self.base.clone() }.into()) }
    }
}

fn read(text: &str) -> Result<Line, AskError> {
    serde_json::from_str(text).map_err(|source| AskError::NotAnAnswer { source })
}
