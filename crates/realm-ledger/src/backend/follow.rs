//! Following a server: the events of a stream that goes on, each with the cursor behind it.

use std::io::{BufRead as _, BufReader};

use ledger_api::decisions::DecisionCursor;
use ledger_api::query::{DecisionsQuery, ProblemJson, Raw};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::Remote;
use crate::Failure;
use crate::ask_error::AskError;

/// What comes from a stream of decisions.
pub(crate) enum Followed {
    /// As it is published, and the cursor behind it.
    Decision(Raw, DecisionCursor),
    /// No decision, and the cursor behind all that were looked at.
    Nothing(DecisionCursor),
    /// A shard of the server came, went away, or does not read.
    Shard(String),
    /// What came is complete, and the next is waited for.
    Waiting,
}

/// An event of the stream, as its lines come.
#[derive(Default)]
struct SseEvent {
    name: String,
    id: String,
    data: String,
}

#[derive(Deserialize)]
struct ShardPlace {
    topic: String,
    partition: u32,
    state: String,
}

/// What takes the events, one by one.
type Take<'t> = &'t mut dyn FnMut(Followed) -> Result<(), Failure>;

impl Remote {
    /// Hands on what comes. Answers why the server gives nothing more, if it may again; none: it sent all that was asked
    /// for.
    pub(crate) fn follow(&self, asked: &DecisionsQuery, take: Take<'_>) -> Result<Option<AskError>, Failure> {
        let mut response = match self.events(asked) {
            Ok(response) => response,
            Err(error) if error.may_pass() => return Ok(Some(error)),
            Err(error) => return Err(error.into()),
        };
        let mut reader = BufReader::new(response.body_mut().as_reader());
        let (mut event, mut line) = (SseEvent::default(), String::new());
        loop {
            line.clear();
            match reader.read_line(&mut line) {
                Ok(0) => return Ok(asked.limit.is_none().then(|| self.cut_off())),
                Ok(_) if line.ends_with('\n') => {}
                // A line that was cut off is none.
                _ => return Ok(Some(self.cut_off())),
            }
            match line.trim_end_matches('\n').split_once(": ") {
                Some(("event", name)) => name.clone_into(&mut event.name),
                Some(("id", id)) => id.clone_into(&mut event.id),
                Some(("data", data)) => data.clone_into(&mut event.data),
                _ if line == "\n" => {
                    let end = hand_on(std::mem::take(&mut event), take)?;
                    if end.is_some() {
                        return Ok(end);
                    }
                    if reader.buffer().is_empty() {
                        take(Followed::Waiting)?;
                    }
                }
                // A field that this version does not know.
                _ => {}
            }
        }
    }

    fn cut_off(&self) -> AskError {
        AskError::CutOff { url: self.base.clone() }
    }
}

/// Hands on an event. Answers the problem, if it is one: the last event has it.
fn hand_on(SseEvent { name, id, data }: SseEvent, take: Take<'_>) -> Result<Option<AskError>, Failure> {
    match name.as_str() {
        "" => {
            let decision = RawValue::from_string(data).map_err(not_an_answer)?;
            take(Followed::Decision(decision, cursor(id)?))?;
        }
        "shard" => {
            let ShardPlace { topic, partition, state } = read(&data)?;
            take(Followed::Shard(format!("{topic}/{partition} is {state} at this server")))?;
        }
        "problem" => {
            let ProblemJson { detail, code, .. } = read(&data)?;
            let (detail, code) = (detail.into_owned(), code.into_owned());
            return Ok(Some(AskError::Problem { detail, code }));
        }
        "heartbeat" => take(Followed::Nothing(cursor(id)?))?,
        // An event that this version does not know.
        _ => {}
    }
    Ok(None)
}

fn cursor(id: String) -> Result<DecisionCursor, AskError> {
    serde_json::from_value(id.into()).map_err(not_an_answer)
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, AskError> {
    serde_json::from_str(text).map_err(not_an_answer)
}

fn not_an_answer(source: serde_json::Error) -> AskError {
    AskError::NotAnAnswer { source }
}
