//! A question on its way: a place among the others, a thread that may wait for the disk, a time limit.

use std::ops::ControlFlow;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use ledger_core::time::Timestamp;
use ledger_record::json;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use super::Api;
use super::body::WholeBody;
use super::places::Cost;
use super::stream::LINES;
use crate::ledger::{Asker, Ledger};
use crate::limits::PAGE_FULL_BYTES;
use crate::problem::ProblemKind;
use crate::proto::{self, Message};
use crate::query::{Answer, LedgerLine, Problem, Query, Scope, WhatIfQuery, no_lines};

/// The media type of gRPC.
pub(crate) const GRPC: &str = "application/grpc";

/// In what form an answer is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AnswerForm {
    /// As JSON; a bundle as its lines.
    Json,
    /// As this message, framed for gRPC.
    Message(&'static Message),
}

/// An answer, and the room for it until it is sent.
#[derive(Debug)]
pub(crate) struct WrittenAnswer {
    media_type: &'static str,
    bytes: Vec<u8>,
    room: OwnedSemaphorePermit,
}

/// Media type and body.
type Written = (&'static str, Vec<u8>);

impl WrittenAnswer {
    /// The body that sends it.
    pub(crate) fn into_body(self) -> WholeBody {
        WholeBody { rest: self.bytes.into(), _room: self.room }
    }
}

impl Api {
    /// Answers a question at once, over HTTP.
    pub(super) async fn ask(&self, query: Query) -> Result<Response, Problem> {
        self.answered(query, AnswerForm::Json).await.map(respond)
    }

    /// Answers a question at once.
    pub(crate) async fn answered(&self, query: Query, form: AnswerForm) -> Result<WrittenAnswer, Problem> {
        if let Query::WhatIf(WhatIfQuery { differences: true, .. }) = query {
            let detail =
                format!("differences are sent line by line: ask with Accept: {LINES}, or for ScanWhatIf");
            return Err(Problem::new(ProblemKind::InvalidBody, detail));
        }
        let cost = Cost::of(&query);
        if cost == Cost::Little
            && let Scope::Tenant(..) = query.scope()
            && let Some(answer) = self.answer_from_memory(&query, form)?
        {
            return Ok(answer);
        }
        let answer = move |ledger: &Ledger, now| {
            let in_time = |_: &LedgerLine<'_>| match ledger.in_time() {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            };
            written(ledger.answer(&query, now, &in_time)?, form)
        };
        self.answer(cost, answer).await
    }

    /// Answers a question about one tenant on the thread of its connection, as waking another one takes longer than the
    /// answer; none, if that takes more than what is in memory, or there is no answer.
    fn answer_from_memory(&self, query: &Query, form: AnswerForm) -> Result<Option<WrittenAnswer>, Problem> {
        let _place = self.places.take(Cost::Little)?;
        let Ok(answer) = self.ledger.in_memory().answer(query, (self.clock)(), &no_lines) else {
            return Ok(None);
        };
        let (media_type, bytes) = written(answer, form)?;
        let room = self.places.keep_unsent(bytes.len())?;
        Ok(Some(WrittenAnswer { media_type, bytes, room }))
    }

    /// A question whose time is over ends by itself, and keeps its place until then: what is slow cannot pile up
    /// behind the limit.
    async fn answer(
        &self,
        cost: Cost,
        question: impl FnOnce(&Ledger, Timestamp) -> Result<Written, Problem> + Send + 'static,
    ) -> Result<WrittenAnswer, Problem> {
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
            let (media_type, bytes) = question(&ledger, now)?;
            let room = places.keep_of(room, bytes.len())?;
            Ok::<_, Problem>(WrittenAnswer { media_type, bytes, room })
        };
        let answer = async {
            match cost {
                Cost::Page => self.pages.read(answering).await,
                Cost::Little | Cost::Much | Cost::Everything => {
                    tokio::task::spawn_blocking(answering).await.ok()
                }
            }
        };
        let timed_out = |_| {
            let detail = format!("no answer within {limit:?}; ask for less, or later");
            Problem::new(ProblemKind::Timeout, detail)
        };
        let answer = tokio::time::timeout(limit, answer).await.map_err(timed_out)?;
        answer.ok_or_else(panicked)?
    }
}

impl Api {
    /// Writes what is no answer of a question.
    pub(crate) fn write(&self, answer: &impl Serialize, form: AnswerForm) -> Result<WrittenAnswer, Problem> {
        let (media_type, bytes) = written_as(answer, form)?;
        let room = self.places.keep_unsent(bytes.len())?;
        Ok(WrittenAnswer { media_type, bytes, room })
    }
}

pub(super) fn respond(answer: WrittenAnswer) -> Response {
    let media_type = HeaderValue::from_static(answer.media_type);
    ([(header::CONTENT_TYPE, media_type)], Body::new(answer.into_body())).into_response()
}

/// A bundle, as its message has it.
#[derive(Serialize)]
struct BundleMessage<'b> {
    lines: Vec<&'b str>,
}

fn written(answer: Answer, form: AnswerForm) -> Result<Written, Problem> {
    match (answer, form) {
        (Answer::Proof(bundle), AnswerForm::Json) => Ok((LINES, bundle.into_bytes())),
        (Answer::Proof(bundle), form @ AnswerForm::Message(_)) => {
            written_as(&BundleMessage { lines: bundle.lines().collect() }, form)
        }
        (answer, form) => written_as(&answer, form),
    }
}

fn written_as(answer: &impl Serialize, form: AnswerForm) -> Result<Written, Problem> {
    match form {
        AnswerForm::Json => {
            Ok(("application/json", json::to_vec(answer).map_err(|error| unwritable(&error))?))
        }
        AnswerForm::Message(message) => {
            let mut bytes = Vec::with_capacity(512);
            proto::append_framed(&mut bytes, message, answer).map_err(|error| unwritable(&error))?;
            Ok((GRPC, bytes))
        }
    }
}

pub(super) fn unwritable(error: &dyn std::error::Error) -> Problem {
    tracing::error!(%error, "an answer could not be written: a mistake of the program, report it");
    Problem::new(ProblemKind::Internal, "the answer could not be written; the log of the server says more")
}

pub(crate) fn panicked() -> Problem {
    Problem::new(ProblemKind::Internal, "the question could not be answered; the log of the server says more")
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
        let ledger = Arc::new(Ledger::from_catalog(Arc::new(Catalog::default())));
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
                    Ok(("text/plain", b"a page".to_vec()))
                };
                api.answer(Cost::Page, question).await.unwrap()
            })
        });
        for answer in asked.collect::<Vec<_>>() {
            assert_eq!(answer.await.unwrap().bytes, b"a page");
        }
        let most = most.load(Ordering::SeqCst);
        assert!((2..=PAGES_AT_A_TIME).contains(&most), "{most}");
    }

    #[tokio::test]
    async fn a_page_that_nobody_would_have_room_for_is_not_made() {
        let api = api();
        let unread = api.places.keep_unsent(UNSENT_BYTES - PAGE_FULL_BYTES / 2).unwrap();
        let refused = api.answer(Cost::Page, |_, _| panic!("it is made")).await.unwrap_err();
        assert_eq!(refused.kind, ProblemKind::Overloaded);
        // Once it is made it keeps no more than it takes.
        drop(unread);
        let mut held = Vec::new();
        for _ in 0..2 * UNSENT_BYTES / PAGE_FULL_BYTES {
            held.push(api.answer(Cost::Page, |_, _| Ok(("text/plain", b"x".to_vec()))).await.unwrap());
        }
    }
}
