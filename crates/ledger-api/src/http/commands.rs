//! `POST /v1/commands`: [`crate::command`] for whoever sends one, over any protocol.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use tokio::time::Instant;

use super::ask::{self, AnswerForm};
use super::gate::{ActionSubject, Caller};
use super::places::Cost;
use super::{Api, body};
use crate::action::SUBMIT;
use crate::command::{Command, CommandAnswer, CommandError, Commands, DryRun};
use crate::limits::COMMAND_WAIT;
use crate::problem::ProblemKind;
use crate::query::{Problem, read};

const JSON: &str = "application/json";

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
    check_content_type(&headers)?;
    let text = body::read(sent).await?;
    let write = |api: &Api, submitted: &Submitted| -> Result<Response, Problem> {
        match submitted {
            Submitted::Dry(run) => Ok(ask::respond(api.write(run, AnswerForm::Json)?)),
            Submitted::Sent(answer) => {
                let is_whole = answer.pending.is_empty();
                let status = if is_whole { StatusCode::CREATED } else { StatusCode::ACCEPTED };
                Ok((status, ask::respond(api.write(answer, AnswerForm::Json)?)).into_response())
            }
        }
    };
    api.submit_for(&caller, &text, dry_run.unwrap_or_default(), write).await
}

/// A page of another site can send no JSON from its visitor's browser unasked; plain text it can.
fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    if media_type.trim().eq_ignore_ascii_case(JSON) {
        return Ok(());
    }
    Err(Problem::new(
        ProblemKind::InvalidBody,
        format!("expected one native event with content-type: {JSON}"),
    ))
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
            let place = api.places.take(cost)?;
            let limit = api.options.request_timeout;
            let (ledger, until) = (api.ledger.within(limit), Instant::now() + limit.min(COMMAND_WAIT));
            let open = api.clone();
            let submitted = tokio::task::spawn_blocking(move || {
                let _place = place;
                if dry_run {
                    return ledger.dry_run(&sent, now).map(Submitted::Dry);
                }
                let goes_on = || Instant::now() < until && open.check_open().is_ok();
                ledger.submit(&sent, &*sink, now, goes_on).map(Submitted::Sent)
            });
            let submitted = submitted.await.map_err(|_| ask::panicked())??;
            write(&api, &submitted)
        };
        Ok(self.act_for(caller, &SUBMIT, subject, |grants| command.is_granted(grants), act).await)
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
