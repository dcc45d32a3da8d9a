//! A question on its way: a place among the others, a thread that may wait for the disk, a time limit.

use std::ops::ControlFlow;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::Api;
use super::body::WholeBody;
use super::places::Cost;
use super::stream::LINES;
use crate::ledger::Asker;
use crate::problem::ProblemKind;
use crate::query::{Answer, LedgerLine, Problem, Query};

impl Api {
    /// Answers a question at once.
    ///
    /// One whose time is over ends by itself, and keeps its place until then: what is slow cannot pile up behind the
    /// limit.
    pub(super) async fn ask(&self, query: Query) -> Result<Response, Problem> {
        let place = self.places.take(Cost::of(&query))?;
        let limit = self.options.request_timeout;
        // Dropped with this future when the client goes away.
        let asker = Asker::default();
        let (ledger, now) = (self.ledger.within(limit).asked_by(&asker), (self.clock)());
        let asking = tokio::task::spawn_blocking(move || {
            let in_time = |_: &LedgerLine<'_>| match ledger.in_time() {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            };
            let body = ledger.answer(&query, now, &in_time).map_err(Problem::from).and_then(written);
            drop(place);
            body
        });
        let timed_out = |_| {
            let detail = format!("no answer within {limit:?}; ask for less, or later");
            Problem::new(ProblemKind::Timeout, detail)
        };
        let answer = tokio::time::timeout(limit, asking).await.map_err(timed_out)?;
        let (content_type, body) = answer.map_err(|_| panicked())??;
        let room = self.places.keep_unsent(body.len())?;
        let body = Body::new(WholeBody { rest: body.into(), _room: room });
        Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response())
    }
}

/// Media type and body of an answer.
fn written(answer: Answer) -> Result<(&'static str, Vec<u8>), Problem> {
    match answer {
        Answer::Proof(bundle) => Ok((LINES, bundle.into_bytes())),
        answer => Ok(("application/json", serde_json::to_vec(&answer).map_err(|error| unwritable(&error))?)),
    }
}

pub(super) fn unwritable(error: &serde_json::Error) -> Problem {
    tracing::error!(%error, "an answer could not be written as JSON: a mistake of the program, report it");
    Problem::new(ProblemKind::Internal, "the answer could not be written; the log of the server says more")
}

pub(super) fn panicked() -> Problem {
    Problem::new(ProblemKind::Internal, "the question could not be answered; the log of the server says more")
}
