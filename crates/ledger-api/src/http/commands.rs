//! `POST /v1/commands`, and the retry of a refused message: [`crate::command`] for whoever sends one, over any protocol.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use ledger_core::time::Timestamp;
use serde::Deserialize;
use tokio::time::Instant;

use super::ask::{self, AnswerForm};
use super::gate::{ActionSubject, Caller};
use super::places::Cost;
use super::routes::{self, Parts};
use super::{Api, body};
use crate::access::Grants;
use crate::action::{Action, RETRY, SUBMIT};
use crate::command::{
    Command, CommandAnswer, CommandError, CommandSink, Commands, DryRun, NotRetried, RetryParameters,
    SentCommand,
};
use crate::ledger::Ledger;
use crate::limits::{COMMAND_RETRY, COMMAND_WAIT};
use crate::problem::ProblemKind;
use crate::query::{Problem, read};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SubmitParameters {
    dry_run: Option<bool>,
}

/// The body of a retry: it has nothing to say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

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
    api.submit_for(&caller, &text, dry_run.unwrap_or_default(), respond).await
}

/// `POST /v1/quarantine/{topic}/{partition}/{seq}/retry`.
pub(super) async fn retry(
    State(api): State<Api>,
    caller: Caller,
    path: Result<Path<Parts>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
    sent: Body,
) -> Result<Response, Problem> {
    let asked: RetryParameters = read(routes::parts(path)?, uri.query().unwrap_or_default())?;
    body::check_json(&headers)?;
    let sent = body::read(sent).await?;
    if !sent.is_empty() {
        let Nothing {} = body::parse(&sent, "nothing, or {}")?;
    }
    Ok(api.retry_for(&caller, asked, respond).await)
}

fn respond(api: &Api, submitted: &Submitted) -> Result<Response, Problem> {
    match submitted {
        Submitted::Dry(run) => Ok(ask::respond(api.write(run, AnswerForm::Json)?)),
        Submitted::Sent(answer) => {
            let is_whole = answer.pending.is_empty() && !answer.records.is_empty();
            let status = if is_whole { StatusCode::CREATED } else { StatusCode::ACCEPTED };
            Ok((status, ask::respond(api.write(answer, AnswerForm::Json)?)).into_response())
        }
    }
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
        let Some(Commands { decode, sink, .. }) = self.commands.clone() else {
            return Ok(self.takes_none(caller, &SUBMIT).await);
        };
        let now = (self.clock)();
        let command = Command::read(text, caller.name(), decode, now)?;
        let cost = if dry_run && command.event().client().is_none() { Cost::Everything } else { Cost::Much };
        let (subject, sent) = (ActionSubject::of(command.event()), command.clone());
        let publishing = PublishPlan { sink, cost, dry_run, now };
        let act = async move |api: Self| api.publish(publishing, |_| Ok(sent), write).await;
        Ok(self.act_for(caller, &SUBMIT, subject, |grants| command.is_granted(grants), act).await)
    }

    /// Publishes a refused message once more, for a caller that may do so: one that all apps are granted to, as of which app
    /// it is nothing says for sure.
    pub(crate) async fn retry_for(
        self,
        caller: &Caller,
        asked: RetryParameters,
        write: impl FnOnce(&Self, &Submitted) -> Result<Response, Problem>,
    ) -> Response {
        let Some(Commands { decode_refused, sink, .. }) = self.commands.clone() else {
            return self.takes_none(caller, &RETRY).await;
        };
        let (now, dry_run) = ((self.clock)(), asked.dry_run.unwrap_or_default());
        // It may turn out to be of a whole app.
        let cost = if dry_run { Cost::Everything } else { Cost::Much };
        let (publishing, item) = (PublishPlan { sink, cost, dry_run, now }, asked.item());
        let command = move |ledger: &Ledger| Command::retry(ledger, &item, decode_refused, now);
        let act = async move |api: Self| api.publish(publishing, command, write).await;
        let is_granted = |grants: &Grants| grants.apps().is_none();
        self.act_for(caller, &RETRY, ActionSubject::default(), is_granted, act).await
    }

    /// The answer of a server that takes no commands. Whoever may not send them is not told more.
    async fn takes_none(self, caller: &Caller, action: &Action) -> Response {
        let refuse = async |_: Self| {
            let detail = "this server has nowhere to publish to, so it takes no commands";
            Err(Problem::new(ProblemKind::NoCommands, detail))
        };
        self.act_for(caller, action, ActionSubject::default(), |_| true, refuse).await
    }

    async fn publish(
        self,
        PublishPlan { sink, cost, dry_run, now }: PublishPlan,
        command: impl FnOnce(&Ledger) -> Result<Command, CommandError> + Send + 'static,
        write: impl FnOnce(&Self, &Submitted) -> Result<Response, Problem>,
    ) -> Result<Response, Problem> {
        let (place, ledger) = (self.places.take(cost)?, self.ledger.within(self.options.request_timeout));
        let begun = tokio::task::spawn_blocking(move || {
            let _place = place;
            let command = command(&ledger)?;
            let begun = if dry_run {
                ledger.dry_run(&command, now).map(|run| Begun::Over(Submitted::Dry(run)))
            } else {
                ledger.send(&command, &*sink, now).map(Begun::Sent)
            };
            begun.map(|begun| (begun, ActionSubject::of(command.event())))
        });
        let (begun, subject) = begun.await.map_err(|_| ask::panicked())??;
        let submitted = match begun {
            Begun::Over(submitted) => submitted,
            Begun::Sent(sent) => Submitted::Sent(self.await_records(sent, now).await?),
        };
        let mut response = write(&self, &submitted)?;
        response.extensions_mut().insert(subject);
        Ok(response)
    }
}

/// How a command is published.
struct PublishPlan {
    sink: Arc<dyn CommandSink>,
    cost: Cost,
    dry_run: bool,
    now: Timestamp,
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
            CommandError::NotRetried(NotRetried { path, detail }) => {
                Self::new(ProblemKind::EventRefused, detail).blaming(path)
            }
            CommandError::NotGranted => Self::new(ProblemKind::NotFound, detail),
            CommandError::Conflict { .. } => Self::with(ProblemKind::EventIdConflict, "id", detail),
            CommandError::FedElsewhere { .. } => Self::new(ProblemKind::NotReady, detail),
            CommandError::NotPublished(_) => Self::new(ProblemKind::NotPublished, detail),
            CommandError::Query(error) => error.into(),
        }
    }
}
