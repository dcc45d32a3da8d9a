//! `Submit`: a command as a message, read as the native JSON that it mirrors. `RetryQuarantineItem`: a refused message.

use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::Value as Json;

use super::{Call, from_members, message, method, unreadable};
use crate::action::{RETRY, SUBMIT};
use crate::http::{AnswerForm, Api, Submitted};
use crate::problem::ProblemKind;
use crate::proto::{members, schema};
use crate::query::Problem;

pub(super) async fn submit(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let Call { caller, timeout, body, .. } = Call::read(request).await?;
    let method = method(SUBMIT.method.unwrap_or_default())?;
    let read = members(schema().input(method), message::unframed(&body)?);
    let mut given = read.map_err(|error| unreadable(&error))?;
    let event = given.remove("event").unwrap_or_else(|| Json::Object(serde_json::Map::new()));
    let dry_run = given.remove("dryRun") == Some(Json::Bool(true));
    let api = api.within(timeout);
    let form = AnswerForm::Message(schema().output(method));
    let unwritable = |error| Problem::new(ProblemKind::InvalidBody, format!("the event is no JSON: {error}"));
    #[expect(clippy::disallowed_methods, reason = "no answer: the decoder of events reads it")]
    let text = serde_json::to_vec(&event).map_err(unwritable)?;
    api.submit_for(&caller, &text, dry_run, |api, submitted| respond(api, submitted, form)).await
}

pub(super) async fn retry(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let Call { caller, timeout, body, .. } = Call::read(request).await?;
    let method = method(RETRY.method.unwrap_or_default())?;
    let given = members(schema().input(method), message::unframed(&body)?);
    let asked = from_members(RETRY.route, given.map_err(|error| unreadable(&error))?)?;
    let form = AnswerForm::Message(schema().output(method));
    Ok(api.within(timeout).retry_for(&caller, asked, |api, submitted| respond(api, submitted, form)).await)
}

fn respond(api: &Api, submitted: &Submitted, form: AnswerForm) -> Result<Response, Problem> {
    let written = match submitted {
        Submitted::Sent(answer) => api.write(answer, form),
        Submitted::Dry(run) => api.write(run, form),
    };
    Ok(message::respond(written?.into_body(), None))
}
