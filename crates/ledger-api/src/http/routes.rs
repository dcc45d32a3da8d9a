//! The routes under `/v1`: a request in, a question, the answer out.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use super::Api;
use super::body;
use super::gate::Caller;
use super::stream::wants_lines;
use crate::problem::ProblemKind;
use crate::query::{Problem, Query, Question, WhatIfQuery, read};

/// Names and values of the parts of a path.
pub(super) type Parts = Vec<(String, String)>;

/// The parts of a path, if they can be read.
pub(super) fn parts(path: Result<Path<Parts>, PathRejection>) -> Result<Parts, Problem> {
    let undecodable =
        |error| Problem::new(ProblemKind::InvalidKey, format!("the path cannot be read: {error}"));
    path.map(|Path(parts)| parts).map_err(undecodable)
}

/// A question in path and parameters.
pub(super) async fn get<Q: Question>(
    State(api): State<Api>,
    caller: Caller,
    path: Result<Path<Parts>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let question: Q = read(parts(path)?, uri.query().unwrap_or_default())?;
    let lines = wants_lines(&headers);
    let answer = async move |api: Api, query| api.answer_in(query, lines).await;
    Ok(api.for_caller(&caller, question.into(), answer).await)
}

/// What-if, a question in a body.
pub(super) async fn what_if(
    State(api): State<Api>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    sent: Body,
) -> Result<Response, Problem> {
    refuse_parameters(&uri)?;
    body::check_json(&headers)?;
    let expected = r#"{"policies": [{"mode": …}], "appKey"?, "from"?, "to"?, "differences"?}"#;
    let question: WhatIfQuery = body::parse(&body::read(sent).await?, expected)?;
    let lines = wants_lines(&headers);
    let answer = async move |api: Api, query| api.answer_in(query, lines).await;
    Ok(api.for_caller(&caller, question.into(), answer).await)
}

/// For a route that takes none.
pub(super) fn refuse_parameters(uri: &Uri) -> Result<(), Problem> {
    if uri.query().is_some_and(|query| !query.is_empty()) {
        let name = uri.query().and_then(|query| query.split(['=', '&']).next()).unwrap_or_default();
        return Err(Problem::with(ProblemKind::UnknownParameter, name, "this route takes no parameters"));
    }
    Ok(())
}

impl Api {
    /// Answers, line by line where that is asked for and the question has lines.
    async fn answer_in(&self, query: Query, lines: bool) -> Result<Response, Problem> {
        match query {
            Query::Installations(_) | Query::Migrations(_) | Query::Log(_) if lines => {
                self.stream(query).await
            }
            Query::WhatIf(_) if lines => self.scan(query).await,
            Query::Replay(_) => self.scan(query).await,
            query => self.ask(query).await,
        }
    }
}
