//! A question on its way: a place among the requests, a thread that may wait for the disk, a time limit.

use std::sync::Arc;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use ledger_core::time::Timestamp;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};

use super::Api;
use super::problem::{Kind, Problem};
use crate::query::{Asker, Ledger, QueryError};

impl Api {
    /// Asks, and answers in JSON.
    pub(super) async fn ask<A: Serialize>(
        &self,
        question: impl FnOnce(&Ledger, Timestamp) -> Result<A, QueryError> + Send + 'static,
    ) -> Result<Response, Problem> {
        let answer = |ledger: &Ledger, now| {
            let answer = question(ledger, now)?;
            serde_json::to_vec(&answer).map_err(|error| unwritable(&error))
        };
        self.answer("application/json", answer).await
    }

    /// Asks for what is text already.
    pub(super) async fn ask_text(
        &self,
        content_type: &'static str,
        question: impl FnOnce(&Ledger, Timestamp) -> Result<String, QueryError> + Send + 'static,
    ) -> Result<Response, Problem> {
        self.answer(content_type, |ledger, now| Ok(question(ledger, now)?.into_bytes())).await
    }

    /// A question whose time is over ends by itself, and keeps its place until then: what is slow cannot pile up
    /// behind the limit.
    async fn answer(
        &self,
        content_type: &'static str,
        question: impl FnOnce(&Ledger, Timestamp) -> Result<Vec<u8>, Problem> + Send + 'static,
    ) -> Result<Response, Problem> {
        let place = self.place()?;
        let limit = self.options.request_timeout;
        // Dropped with this future when the client goes away.
        let asker = Asker::default();
        let (ledger, now) = (self.ledger.within(limit).asked_by(&asker), (self.clock)());
        let asking = tokio::task::spawn_blocking(move || {
            let answer = question(&ledger, now);
            drop(place);
            answer
        });
        let timed_out =
            |_| Problem::new(Kind::Timeout, format!("no answer within {limit:?}; ask for less, or later"));
        let answer = tokio::time::timeout(limit, asking).await.map_err(timed_out)?;
        let body = answer.map_err(|_| panicked())??;
        Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response())
    }

    /// A place among the requests, if there is one.
    pub(super) fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|error| match error {
            TryAcquireError::NoPermits => {
                let most = self.options.concurrent_requests;
                Problem::new(Kind::Overloaded, format!("{most} requests are being answered; ask again later"))
            }
            TryAcquireError::Closed => Problem::new(Kind::Overloaded, "the server is stopping"),
        })
    }
}

pub(super) fn unwritable(error: &serde_json::Error) -> Problem {
    tracing::error!(%error, "an answer could not be written as JSON: a mistake of the program, report it");
    Problem::new(Kind::Internal, "the answer could not be written; the log of the server says more")
}

pub(super) fn panicked() -> Problem {
    Problem::new(Kind::Internal, "the question could not be answered; the log of the server says more")
}
