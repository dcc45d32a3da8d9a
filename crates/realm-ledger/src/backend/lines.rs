//! Questions about the whole log: answered line by line, by a data directory or by a server.

use std::io::{BufRead as _, BufReader};
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use ledger_api::query::{AnswerLine, ProblemJson, Query, Question, ReadLine};
use ledger_record::json;

use super::{Backend, Local, Remote, read};
use crate::Failure;
use crate::ask_error::AskError;

/// Lines that are handed on together: a thread is woken for each time.
const LINES_AT_A_TIME: usize = 64;

/// So many times wait to be taken.
const TIMES_AHEAD: usize = 16;

/// What takes the lines, one by one.
pub(crate) type Take<'t> = &'t mut dyn FnMut(ReadLine) -> Result<(), Failure>;

impl Backend {
    /// Asks, and hands every line on.
    pub(crate) fn ask_lines<Q: Question + Clone>(&self, question: &Q, take: Take<'_>) -> Result<(), Failure> {
        let query: Query = question.clone().into();
        self.note_scope(&query);
        match self {
            Self::Local(local) => local.ask_lines(&query, take),
            Self::Remote(remote) => remote.ask_lines(question, take),
        }
    }
}

impl Local {
    fn ask_lines(&self, query: &Query, take: Take<'_>) -> Result<(), Failure> {
        let (ledger, now) = (&self.ledger, self.now);
        let (sender, lines) = mpsc::sync_channel::<Vec<String>>(TIMES_AHEAD);
        thread::scope(|scope| {
            let asking = scope.spawn(move || {
                let waiting = Mutex::new(Vec::with_capacity(LINES_AT_A_TIME));
                let asked = ledger.answer_lines(query, now, &|line| {
                    let Ok(text) = json::to_string(line) else { return ControlFlow::Break(()) };
                    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                    waiting.push(text);
                    let are_many = matches!(line, AnswerLine::Step(_) | AnswerLine::Difference(_));
                    let may_wait = are_many && waiting.len() < LINES_AT_A_TIME;
                    let sent = may_wait || sender.send(std::mem::take(&mut *waiting)).is_ok();
                    if sent { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                });
                // A question that failed on the way has lines too.
                let _ = sender.send(waiting.into_inner().unwrap_or_else(PoisonError::into_inner));
                asked
            });
            let taken = lines.iter().flatten().try_for_each(|text| take(read(&text)?));
            // The question ends once nothing takes its lines.
            drop(lines);
            let asked = asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            taken.and_then(|()| asked.map_err(|error| AskError::from(error).into()))
        })
    }
}

impl Remote {
    fn ask_lines(&self, question: &impl Question, take: Take<'_>) -> Result<(), Failure> {
        let mut response = self.stream(question)?;
        for text in BufReader::new(response.body_mut().as_reader()).lines() {
            match read(&text.map_err(|source| self.broken(source))?)? {
                AnswerLine::Problem(ProblemJson { detail, code, .. }) => {
                    let (detail, code) = (detail.into_owned(), code.into_owned());
                    return Err(AskError::Problem { detail, code }.into());
                }
                AnswerLine::Freshness(freshness) => {
                    self.completeness.note(freshness);
                    return Ok(());
                }
                line => take(line)?,
            }
        }
        Err(AskError::CutOff { url: self.base.clone() }.into())
    }
}
