//! A question on its way: a place among the others, a thread that may wait for the disk, a time limit.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use ledger_core::time::Timestamp;
use ledger_record::json;
use serde::Serialize;

use super::Api;
use super::body::WholeBody;
use super::places::Cost;
use super::problem::{Kind, Problem};
use crate::limits::PAGE_FULL_BYTES;
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
            json::to_vec(&answer).map_err(|error| unwritable(&error))
        };
        self.answer(cost, "application/json", answer).await
    }

    /// Asks for what is text already.
    pub(super) async fn ask_text(
        &self,
        content_type: &'static str,
        question: impl FnOnce(&Ledger, Timestamp) -> Result<String, QueryError> + Send + 'static,
    ) -> Result<Response, Problem> {
        self.answer(Cost::Page, content_type, |ledger, now| Ok(question(ledger, now)?.into_bytes())).await
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
        let places = self.places.clone();
        let answering = move || {
            let _place = place;
            // It may have waited for the thread.
            ledger.in_time()?;
            // Before it is made: what there is no room for is memory all the same.
            let room = places.keep_unsent(if cost == Cost::Page { PAGE_FULL_BYTES } else { 0 })?;
            let body = question(&ledger, now)?;
            let room = places.keep_of(room, body.len())?;
            Ok::<_, Problem>((body, room))
        };
        let answer = async {
            match cost {
                Cost::Page => self.pages.read(answering).await,
                Cost::Little | Cost::Much | Cost::Everything => {
                    tokio::task::spawn_blocking(answering).await.ok()
                }
            }
        };
        let timed_out =
            |_| Problem::new(Kind::Timeout, format!("no answer within {limit:?}; ask for less, or later"));
        let answer = tokio::time::timeout(limit, answer).await.map_err(timed_out)?;
        let (body, room) = answer.ok_or_else(panicked)??;
        let body = Body::new(WholeBody { rest: body.into(), _room: room });
        Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response())
    }
}

pub(super) fn unwritable(error: &serde_json::Error) -> Problem {
    tracing::error!(%error, "an answer could not be written as JSON: a mistake of the program, report it");
    Problem::new(Kind::Internal, "the answer could not be written; the log of the server says more")
}

pub(super) fn panicked() -> Problem {
    Problem::new(Kind::Internal, "the question could not be answered; the log of the server says more")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use ledger_store::Catalog;

    use super::*;
    use crate::http::Options;
    use crate::limits::{PAGES_AT_A_TIME, UNSENT_BYTES};

    fn api() -> Api {
        let ledger = Arc::new(Ledger::of_catalog(Arc::new(Catalog::default())));
        Api::new(ledger, Arc::new(String::new), Options::default())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn so_many_pages_are_made_at_a_time_however_many_are_asked_for() {
        let (api, now, most) = (api(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let asked = (0..4 * PAGES_AT_A_TIME).map(|_| {
            let (api, now, most) = (api.clone(), Arc::clone(&now), Arc::clone(&most));
            tokio::spawn(async move {
                let question = move |_: &Ledger, _| {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(20));
                    now.fetch_sub(1, Ordering::SeqCst);
                    Ok("a page")
                };
                api.ask(Cost::Page, question).await.unwrap()
            })
        });
        for answer in asked.collect::<Vec<_>>() {
            assert_eq!(answer.await.unwrap().status(), 200);
        }
        let most = most.load(Ordering::SeqCst);
        assert!((2..=PAGES_AT_A_TIME).contains(&most), "{most}");
    }

    #[tokio::test]
    async fn a_page_that_nobody_would_have_room_for_is_not_made() {
        let api = api();
        let unread = api.places.keep_unsent(UNSENT_BYTES - PAGE_FULL_BYTES / 2).unwrap();
        let refused =
            api.ask(Cost::Page, |_, _| -> Result<(), _> { panic!("it is made") }).await.unwrap_err();
        assert_eq!(refused.kind, Kind::Overloaded);
        // Once it is made it keeps no more than it takes.
        drop(unread);
        let mut held = Vec::new();
        for _ in 0..2 * UNSENT_BYTES / PAGE_FULL_BYTES {
            held.push(api.ask(Cost::Page, |_, _| Ok("x")).await.unwrap());
        }
    }
}
