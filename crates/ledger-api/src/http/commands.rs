//! `POST /v1/commands`: [`crate::command`] for whoever sends one, over any protocol.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use ledger_core::time::Timestamp;
use serde::Deserialize;
use tokio::time::Instant;

use super::ask::{self, AnswerForm};
use super::gate::{ActionSubject, Caller};
use super::places::Cost;
use super::{Api, body};
use crate::action::SUBMIT;
use crate::command::{Command, CommandAnswer, CommandError, Commands, DryRun, SentCommand};
use crate::limits::{COMMAND_RETRY, COMMAND_WAIT};
use crate::problem::ProblemKind;
use crate::query::{Problem, read};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SubmitParameters {
    dry_run: Option<bool>,
}

/// What came of a command.
#[expect(clippy::large_enum_variant, reason = "it is made once, and written at once")]
pub(crate) enum Submitted {
    /// It was published; what is pending is named.
    Sent(CommandAnswer),
    /// It would change that.
    Dry(DryRun),
}

pub(super) async fn submit(
    State(api): State<Api>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    sent: Body,
) -> Result<Response, Problem> {
    let SubmitParameters { dry_run } = read(Vec::new(), uri.query().unwrap_or_default())?;
    body::check_json(&headers)?;
    let text = body::read(sent).await?;
    let write = |api: &Api, submitted: &Submitted| -> Result<Response, Problem> {
        match submitted {
            Submitted::Dry(run) => Ok(ask::respond(api.write(run, AnswerForm::Json)?)),
            Submitted::Sent(answer) => {
                let is_whole = answer.pending.is_empty() && !answer.records.is_empty();
                let status = if is_whole { StatusCode::CREATED } else { StatusCode::ACCEPTED };
                Ok((status, ask::respond(api.write(answer, AnswerForm::Json)?)).into_response())
            }
        }
    };
    api.submit_for(&caller, &text, dry_run.unwrap_or_default(), write).await
}

impl Api {
    /// Takes a command of a caller that may send it.
    pub(crate) async fn submit_for(
        self,
        caller: &Caller,
        text: &[u8],
        dry_run: bool,
        write: impl FnOnce(&Self, &Submitted) -> Result<Response, Problem>,
    ) -> Result<Response, Problem> {
        let Some(Commands { decode, sink }) = self.commands.clone() else {
            // Whoever may not send commands is not told more.
            let refuse = async |_: Self| {
                let detail = "this server has nowhere to publish to, so it takes no commands";
                Err(Problem::new(ProblemKind::NoCommands, detail))
            };
            return Ok(self.act_for(caller, &SUBMIT, ActionSubject::default(), |_| true, refuse).await);
        };
        let now = (self.clock)();
        let command = Command::read(text, caller.name(), decode, now)?;
        let event = command.event();
        let subject = ActionSubject {
            client: event.client().map(ToString::to_string),
            app: event.app().map(ToString::to_string),
        };
        let sent = command.clone();
        let act = async move |api: Self| {
            let cost = if dry_run && sent.event().client().is_none() { Cost::Everything } else { Cost::Much };
            let (place, ledger) = (api.places.take(cost)?, api.ledger.within(api.options.request_timeout));
            let begun = tokio::task::spawn_blocking(move || {
                let _place = place;
                if dry_run {
                    return ledger.dry_run(&sent, now).map(|run| Begun::Over(Submitted::Dry(run)));
                }
                ledger.send(&sent, &*sink, now).map(Begun::Sent)
            });
            match begun.await.map_err(|_| ask::panicked())?? {
                Begun::Over(submitted) => write(&api, &submitted),
                Begun::Sent(sent) => write(&api, &Submitted::Sent(api.await_records(sent, now).await?)),
            }
        };
        Ok(self.act_for(caller, &SUBMIT, subject, |grants| command.is_granted(grants), act).await)
    }
}

enum Begun {
    Over(Submitted),
    Sent(SentCommand),
}

impl Api {
    /// Waits for the records of a command, without a place among the questions: ingestion may stand still for long. Where too
    /// many wait, or nothing can come, the answer is what there is.
    async fn await_records(&self, sent: SentCommand, now: Timestamp) -> Result<CommandAnswer, Problem> {
        let limit = self.options.request_timeout;
        // Before the time is over, so that there is some left to answer in.
        let until = Instant::now() + (limit / 5 * 4).min(COMMAND_WAIT);
        let (sent, waiting) = (Arc::new(sent), self.places.wait_for_records());
        loop {
            let (ledger, looked_for) = (self.ledger.within(limit), Arc::clone(&sent));
            let look = tokio::task::spawn_blocking(move || ledger.look_for(&looked_for, now));
            let (answer, may_come) = look.await.map_err(|_| ask::panicked())??;
            let waits = may_come && waiting.is_some() && self.check_open().is_ok();
            if !waits || Instant::now() >= until {
                return Ok(answer);
            }
            tokio::time::sleep(COMMAND_RETRY).await;
        }
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        let detail = error.to_string();
        match error {
            CommandError::NoObject(_) => Self::new(ProblemKind::InvalidBody, detail),
            CommandError::NotACommand => Self::with(ProblemKind::NotACommand, "type", detail),
            CommandError::Refused(rejection) => {
                Self::new(ProblemKind::EventRefused, detail).blaming(rejection.path)
            }
            CommandError::NotGranted => Self::new(ProblemKind::NotFound, detail),
            CommandError::Conflict { .. } => Self::with(ProblemKind::EventIdConflict, "id", detail),
            CommandError::NotPublished(_) => Self::new(ProblemKind::NotPublished, detail),
            CommandError::Query(error) => error.into(),
        }
    }
}
