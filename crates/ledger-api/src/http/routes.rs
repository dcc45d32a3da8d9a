//! The routes under `/v1`: a request in, a question, the answer out.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse as _, Response};

use super::Api;
use super::body;
use super::gate::Caller;
use super::stream::{LINES, wants_lines};
use crate::problem::ProblemKind;
use crate::query::{Problem, Query, Question, WhatIfQuery, read};

type Parts = Vec<(String, String)>;

/// A question in path and parameters.
pub(super) async fn get<Q: Question>(
    State(api): State<Api>,
    caller: Caller,
    path: Result<Path<Parts>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let undecodable =
        |error| Problem::new(ProblemKind::InvalidKey, format!("the path cannot be read: {error}"));
    let Path(path) = path.map_err(undecodable)?;
    let question: Q = read(path, uri.query().unwrap_or_default())?;
    Ok(api.respond(&caller, question.into(), wants_lines(&headers)).await)
}

/// What-if, a question in a body.
pub(super) async fn what_if(
    State(api): State<Api>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    sent: Body,
) -> Result<Response, Problem> {
    if uri.query().is_some_and(|query| !query.is_empty()) {
        let name = uri.query().and_then(|query| query.split(['=', '&']).next()).unwrap_or_default();
        return Err(Problem::with(ProblemKind::UnknownParameter, name, "this route takes no parameters"));
    }
    let question: WhatIfQuery = serde_json::from_slice(&body::read(sent).await?).map_err(|error| {
        let expected = r#"{"policies": [{"mode": …}], "appKey"?, "from"?, "to"?, "differences"?}"#;
        Problem::new(ProblemKind::InvalidBody, format!("expected {expected}: {error}"))
    })?;
    Ok(api.respond(&caller, question.into(), wants_lines(&headers)).await)
}

impl Api {
    /// Answers a caller that may ask; what the log has to have of the question goes with the answer.
    async fn respond(self, caller: &Caller, query: Query, lines: bool) -> Response {
        let asked = self.asked_for(caller, &query);
        let mut response = match self.admitted(caller, &query) {
            Ok(api) => api.answer_in(query, lines).await.into_response(),
            Err(refused) => refused.into_response(),
        };
        if let Some(asked) = asked {
            response.extensions_mut().insert(asked);
        }
        response
    }

    /// Answers, line by line where that is asked for and the question has lines.
    async fn answer_in(&self, query: Query, lines: bool) -> Result<Response, Problem> {
        match query {
            Query::Installations(_) | Query::Migrations(_) | Query::Log(_) if lines => {
                self.stream(query).await
            }
            Query::WhatIf(_) if lines => self.scan(query).await,
            Query::Replay(_) => self.scan(query).await,
            Query::WhatIf(WhatIfQuery { differences: true, .. }) => {
                let detail = format!("differences are sent line by line: ask with Accept: {LINES}");
                Err(Problem::new(ProblemKind::InvalidBody, detail))
            }
            query => self.ask(query).await,
        }
    }
}
