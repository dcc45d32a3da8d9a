//! `POST /v1/commands` and what became of one: [`crate::command`].

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use ledger_core::ids::{AppKey, ClientKey, EventId};
use serde::{Deserialize, Serialize};

use super::places::Cost;
use super::{Api, ask, body};
use crate::command::{Command, CommandAnswer, CommandError, CommandSubject};
use crate::limits::COMMAND_WAIT;
use crate::problem::ProblemKind;
use crate::query::{Problem, read};

/// The route of those that are sent. Its scope is `operate`.
pub(super) const ROUTE: &str = "/v1/commands";

/// The route of one that was sent. Its scope is `operate`.
pub(super) const STATUS_ROUTE: &str = "/v1/commands/{id}";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SubmitParameters {
    dry_run: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatusParameters {
    id: String,
    client_key: Option<String>,
    app_key: Option<String>,
}

pub(super) async fn submit(State(api): State<Api>, uri: Uri, sent: Body) -> Result<Response, Problem> {
    // No principal is known yet: the actor is whom the event names.
    api.submit_as(None, &uri, sent).await
}

pub(super) async fn status(
    State(api): State<Api>,
    path: Result<Path<Vec<(String, String)>>, PathRejection>,
    uri: Uri,
) -> Result<Response, Problem> {
    let Path(path) = path.map_err(|error| Problem::new(ProblemKind::InvalidKey, error.to_string()))?;
    let StatusParameters { id, client_key, app_key } = read(path, uri.query().unwrap_or_default())?;
    let id =
        EventId::new(id).map_err(|error| Problem::with(ProblemKind::InvalidKey, "id", error.to_string()))?;
    let subject = match (client_key, app_key) {
        (Some(client), None) => ClientKey::new(client)
            .map(CommandSubject::Tenant)
            .map_err(|error| parameter("clientKey", error.to_string()))?,
        (None, Some(app)) => AppKey::new(app)
            .map(CommandSubject::App)
            .map_err(|error| parameter("appKey", error.to_string()))?,
        (Some(_), Some(_)) | (None, None) => {
            let expected = "expected either clientKey or, for an event of a whole app, appKey";
            return Err(parameter("clientKey", expected.to_owned()));
        }
    };
    let place = api.places.take(Cost::Much)?;
    let (ledger, now) = (api.ledger.within(api.options.request_timeout), (api.clock)());
    let found = blocking(move || {
        let _place = place;
        ledger.command(&id, &subject, now)
    });
    written(StatusCode::OK, &found.await??)
}

impl Api {
    /// Takes a command of a principal; none: it is not known who sends it.
    async fn submit_as(&self, principal: Option<&str>, uri: &Uri, sent: Body) -> Result<Response, Problem> {
        let SubmitParameters { dry_run } = read(Vec::new(), uri.query().unwrap_or_default())?;
        let dry_run = dry_run.unwrap_or_default();
        let text = body::read(sent).await?;
        let topic = self.commands.clone().ok_or_else(|| {
            Problem::new(ProblemKind::NoTopic, "this server publishes nothing, so it takes no commands")
        })?;
        let now = (self.clock)();
        let command = Command::read(&text, principal, &*topic, now)?;
        let place = self.places.take(if dry_run { Cost::Everything } else { Cost::Much })?;
        let ledger = self.ledger.within(self.options.request_timeout);
        if dry_run {
            let run = blocking(move || {
                let _place = place;
                ledger.dry_run(&command, now)
            });
            return written(StatusCode::OK, &run.await??);
        }
        let submitted = blocking(move || {
            let _place = place;
            ledger.submit(&command, &*topic, COMMAND_WAIT)
        });
        let answer: CommandAnswer = submitted.await??;
        let status = if answer.pending.is_empty() { StatusCode::CREATED } else { StatusCode::ACCEPTED };
        written(status, &answer)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ask::panicked())
}

fn written(status: StatusCode, answer: &impl Serialize) -> Result<Response, Problem> {
    let body = ledger_record::json::to_vec(answer).map_err(|error| ask::unwritable(&error))?;
    let json = (axum::http::header::CONTENT_TYPE, "application/json");
    Ok((status, [json], body).into_response())
}

fn parameter(name: &str, detail: String) -> Problem {
    Problem::with(ProblemKind::InvalidParameter, name, detail)
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        let detail = error.to_string();
        match error {
            CommandError::NoObject(_) => Self::new(ProblemKind::InvalidBody, detail),
            CommandError::NotACommand => Self::with(ProblemKind::NotACommand, "type", detail),
            CommandError::Refused(rejection) => {
                let problem = Self::new(ProblemKind::EventRefused, detail);
                match rejection.path {
                    Some(path) => problem.blaming(path),
                    None => problem,
                }
            }
            CommandError::Conflict { .. } => Self::with(ProblemKind::EventIdConflict, "id", detail),
            CommandError::NotPublished(_) => Self::new(ProblemKind::NotPublished, detail),
            CommandError::Query(error) => error.into(),
        }
    }
}
