//! Decisions over HTTP: a page, or the stream of [`crate::decisions`] as lines or as server-sent events.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use ledger_core::time::Timestamp;
use serde::Serialize;

use super::Api;
use super::accept::preferred;
use super::ask::AnswerForm;
use super::gate::Caller;
use super::stream::{LINES, Lines};
use crate::decisions::{
    DecisionCursor, DecisionItem, DecisionsEnd, DecisionsFrom, ShardChange, Subscription,
};
use crate::limits::STREAM_CHUNK_BYTES;
use crate::problem::ProblemKind;
use crate::query::{DecisionsQuery, Problem, ProblemJson, Query, read, refuse_no_items};

const EVENTS: &str = "text/event-stream";

/// What a client that comes back has last received.
const LAST_EVENT_ID: &str = "last-event-id";

/// The route.
pub(super) async fn decisions(
    State(api): State<Api>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let question: DecisionsQuery = read(Vec::new(), uri.query().unwrap_or_default())?;
    let query = Query::from(question.clone());
    let format = match preferred(&headers, &[EVENTS, LINES]) {
        Some(EVENTS) => StreamForm::Events,
        Some(_) => StreamForm::Lines,
        None => {
            let answer = async |api: Api, query| api.ask(query).await;
            return Ok(api.for_caller(&caller, query, answer).await);
        }
    };
    let until = caller.until();
    let answer = async move |api: Api, _| api.stream_decisions(question, until, format, &headers).await;
    Ok(api.for_caller(&caller, query, answer).await)
}

impl Api {
    async fn stream_decisions(
        &self,
        question: DecisionsQuery,
        until: Option<Timestamp>,
        format: StreamForm,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        refuse_no_items(question.limit)?;
        let from = last_received(headers)?.or(question.from);
        let subscription = self.subscribe(DecisionsQuery { from, ..question }, until).await?;
        let body = Body::from_stream(DecisionBody { subscription, format });
        let media_type = if format == StreamForm::Events { EVENTS } else { LINES };
        let headers = [(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "no-store")];
        Ok((headers.map(|(name, value)| (name, HeaderValue::from_static(value))), body).into_response())
    }
}

/// What the client that comes back has last received. An empty one is none.
fn last_received(headers: &HeaderMap) -> Result<Option<DecisionsFrom>, Problem> {
    let Some(last) = headers.get(LAST_EVENT_ID).filter(|last| !last.is_empty()) else { return Ok(None) };
    let cursor = last.to_str().ok().and_then(|text| text.parse::<DecisionCursor>().ok());
    let detail = "Last-Event-ID is no cursor of a stream of decisions";
    let cursor = cursor.ok_or_else(|| Problem::with(ProblemKind::InvalidCursor, "Last-Event-ID", detail))?;
    Ok(Some(DecisionsFrom::After(cursor)))
}

impl From<DecisionsEnd> for Problem {
    fn from(end: DecisionsEnd) -> Self {
        Self::new(end.kind(), end.to_string())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StreamForm {
    Events,
    Lines,
}

/// A line that is no decision.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ControlLine<'a> {
    shard: Option<&'a ShardChange>,
    problem: Option<ProblemJson>,
    cursor: Option<&'a DecisionCursor>,
}

/// A subscription as a body. What is there already is sent together.
struct DecisionBody {
    subscription: Subscription,
    format: StreamForm,
}

impl DecisionBody {
    fn write(&mut self, item: DecisionItem, into: &mut Lines) -> Result<(), Problem> {
        let cursor = self.subscription.cursor();
        match (self.format, item) {
            (StreamForm::Lines, DecisionItem::Notice(notice)) => {
                into.written.extend_from_slice(&notice.text);
                into.written.push(b'\n');
            }
            (StreamForm::Lines, item) => {
                let mut line = ControlLine { shard: None, problem: None, cursor: Some(cursor) };
                match &item {
                    DecisionItem::Shard(change) => (line.shard, line.cursor) = (Some(change), None),
                    DecisionItem::End(end) => line.problem = Some(Problem::from(end.clone()).into_json()),
                    DecisionItem::Heartbeat | DecisionItem::Notice(_) => {}
                }
                into.push(&line)?;
            }
            (StreamForm::Events, item) => {
                let name: &[u8] = match &item {
                    DecisionItem::Notice(_) => b"",
                    DecisionItem::Heartbeat => b"event: heartbeat\n",
                    DecisionItem::Shard(_) => b"event: shard\n",
                    DecisionItem::End(_) => b"event: problem\n",
                };
                into.written.extend_from_slice(name);
                into.written.extend_from_slice(format!("id: {cursor}\ndata: ").as_bytes());
                match item {
                    DecisionItem::Notice(notice) => {
                        into.written.extend_from_slice(&notice.text);
                        into.written.push(b'\n');
                    }
                    DecisionItem::Heartbeat => {
                        into.push(&ControlLine { shard: None, problem: None, cursor: Some(cursor) })?;
                    }
                    DecisionItem::Shard(change) => into.push(&change)?,
                    DecisionItem::End(end) => into.push(&Problem::from(end).into_json())?,
                }
                into.written.push(b'\n');
            }
        }
        Ok(())
    }

    /// What is there, behind the first of it.
    fn chunk(&mut self, first: DecisionItem) -> Result<Bytes, Problem> {
        let (mut chunk, mut item, mut is_covered) = (Lines::new(AnswerForm::Json), Some(first), true);
        while let Some(next) = item {
            is_covered = !matches!(next, DecisionItem::Notice(_));
            self.write(next, &mut chunk)?;
            let has_room = chunk.written.len() < STREAM_CHUNK_BYTES;
            item = if has_room { self.subscription.ready() } else { None };
        }
        // An event has its cursor with it; a client of lines gets it before it waits.
        if self.format == StreamForm::Lines && !is_covered && !self.subscription.has_more() {
            self.write(DecisionItem::Heartbeat, &mut chunk)?;
        }
        Ok(chunk.take())
    }
}

impl Stream for DecisionBody {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(first) = ready!(Pin::new(&mut self.subscription).poll_next(context)) else {
            return Poll::Ready(None);
        };
        // What cannot be written, which was reported, ends the stream without its last line.
        Poll::Ready(self.chunk(first).ok().map(Ok))
    }
}
