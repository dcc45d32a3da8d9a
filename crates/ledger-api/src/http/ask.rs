//! A question on its way: a place among the others, a thread that may wait for the disk, a time limit.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use ledger_core::time::Timestamp;
use serde::Serialize;

use super::Api;
use super::body::WholeBody;
use super::places::Cost;
use super::problem::Problem;
use crate::problem::ProblemKind;
use crate::query::{Asker, Ledger, QueryError};

impl Api {
    /// Asks, and answers in JSON.
    pub(super) async fn ask<A: Serialize>(
        &self,
        cost: Cost,
        question: impl FnOnce(&Ledger, Timestamp) -> Result<A, QueryError> + Send + 'static,
    ) -> Result<Response, Problem> {
        let answer = |ledger: &Ledger, now| {
            let answer = question(ledger, now)?;
            serde_json::to_vec(&answer).map_err(|error| unwritable(&error))
        };
        self.answer(cost, "application/json", answer).await
    }

    /// Asks for what is text already.
    pub(super) async fn ask_text(
        &self,
        content_type: &'static str,
        question: impl FnOnce(&Ledger, Timestamp) -> Result<String, QueryError> + Send + 'static,
    ) -> Result<Response, Problem> {
        self.answer(Cost::Much, content_type, |ledger, now| Ok(question(ledger, now)?.into_bytes())).await
    }

    /// A question whose time is over ends by itself, and keeps its place until then: what is slow cannot pile up
    /// behind the limit.
    async fn answer(
        &self,
        cost: Cost,
        content_type: &'static str,
        question: impl FnOnce(&Ledger, Timestamp) -> Result<Vec<u8>, Problem> + Send + 'static,
    ) -> Result<Response, Problem> {
        let place = self.places.take(cost)?;
        let limit = self.options.request_timeout;
        // Dropped with this future when the client goes away.
        let asker = Asker::default();
        let (ledger, now) = (self.ledger.within(limit).asked_by(&asker), (self.clock)());
        let asking = tokio::task::spawn_blocking(move || {
            let answer = question(&ledger, now);
            drop(place);
            answer
        });
        let timed_out = |_| {
            Problem::new(ProblemKind::Timeout, format!("no answer within {limit:?}; ask for less, or later"))
        };
        let answer = tokio::time::timeout(limit, asking).await.map_err(timed_out)?;
        let body = answer.map_err(|_| panicked())??;
        let room = self.places.keep_unsent(body.len())?;
        let body = Body::new(WholeBody { rest: body.into(), _room: room });
        Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response())
    }
}

pub(super) fn unwritable(error: &serde_json::Error) -> Problem {
    tracing::error!(%error, "an answer could not be written as JSON: a mistake of the program, report it");
    Problem::new(ProblemKind::Internal, "the answer could not be written; the log of the server says more")
}

pub(super) fn panicked() -> Problem {
    Problem::new(ProblemKind::Internal, "the question could not be answered; the log of the server says more")
}
