//! Long lists as lines of JSON: read page by page, sent as the client takes them.
//!
//! What is read at a time is a chunk of some ten kilobytes, and a short queue holds one more: that is all a client that
//! does not read costs. A stream keeps its place among the questions to its end; a client that stops taking lines is
//! given up.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use ledger_record::json;
use serde::Serialize;
use tokio::sync::mpsc;

use super::Api;
use super::accept::preferred;
use super::ask::{AnswerForm, panicked, unwritable};
use super::metric::OpenStream;
use super::places::Cost;
use crate::ledger::FreshnessJson;
use crate::limits::{STREAM_CHUNK_BYTES, STREAM_CHUNKS_AHEAD, STREAM_PAGE, STREAM_STALL};
use crate::problem::ProblemKind;
use crate::proto::append_framed;
use crate::query::{
    Answer, InstallationList, LedgerLine, LogPage, Problem, Query, no_lines, refuse_no_items,
};

pub(super) const LINES: &str = "application/x-ndjson";

/// Whether the client asks for lines.
pub(super) fn wants_lines(headers: &HeaderMap) -> bool {
    preferred(headers, &[LINES]).is_some()
}

/// The limit of a question that is a list: how many lines are still to be sent; none is all.
fn limit_of(query: &mut Query) -> Option<&mut Option<u64>> {
    match query {
        Query::Installations(list) => Some(&mut list.page.limit),
        Query::Migrations(list) => Some(&mut list.page.limit),
        Query::Log(log) => Some(&mut log.limit),
        _ => None,
    }
}

/// What was written of a list.
struct SentPage {
    lines: usize,
    is_last: bool,
    freshness: Vec<FreshnessJson>,
}

/// What is written of an answer that goes line by line: JSON, a line each, or messages, framed.
#[derive(Debug)]
pub(super) struct Lines {
    form: AnswerForm,
    pub(super) written: Vec<u8>,
}

impl Lines {
    pub(super) const fn new(form: AnswerForm) -> Self {
        Self { form, written: Vec::new() }
    }

    /// What was written so far; the next line begins anew.
    pub(super) fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.written).into()
    }

    pub(super) fn push(&mut self, line: &impl Serialize) -> Result<(), Problem> {
        match self.form {
            AnswerForm::Json => {
                json::append(&mut self.written, line).map_err(|error| unwritable(&error))?;
                self.written.push(b'\n');
            }
            AnswerForm::Message(message) => {
                append_framed(&mut self.written, message, line).map_err(|error| unwritable(&error))?;
            }
        }
        Ok(())
    }

    /// Writes a page of a list. The question then asks for the next.
    fn page(&mut self, query: &mut Query, answer: Answer) -> Result<SentPage, Problem> {
        let (list, page) = match (answer, query) {
            (Answer::Installations(list), Query::Installations(query)) => (list, &mut query.page),
            (Answer::Migrations(list), Query::Migrations(query)) => (list, &mut query.page),
            (Answer::Log(LogPage { records, next_seq, freshness }), Query::Log(query)) => {
                records.iter().try_for_each(|record| self.push(record))?;
                query.from_seq = next_seq;
                return Ok(SentPage { lines: records.len(), is_last: next_seq.is_none(), freshness });
            }
            _ => return Ok(SentPage { lines: 0, is_last: true, freshness: Vec::new() }),
        };
        let InstallationList { installations, refused, next_cursor, freshness } = list;
        let lines = installations.len() + refused.len();
        installations.iter().try_for_each(|state| self.push(state))?;
        refused.into_iter().try_for_each(|tenant| self.push(&LedgerLine::Refused(tenant)))?;
        page.cursor = next_cursor;
        Ok(SentPage { lines, is_last: page.cursor.is_none(), freshness })
    }
}

impl Api {
    /// Sends a list as lines. What goes wrong before the first of them is answered as a problem.
    pub(super) async fn stream(&self, mut list: Query) -> Result<Response, Problem> {
        refuse_no_items(limit_of(&mut list).and_then(|limit| *limit))?;
        let place = self.places.take(Cost::Much)?;
        let (queue, chunks) = mpsc::channel(STREAM_CHUNKS_AHEAD);
        let api = self.clone();
        tokio::spawn(async move {
            let _place = place;
            api.feed(list, &queue).await;
        });
        self.first_of(chunks).await.map(respond)
    }

    /// The answer, once its first chunk is there.
    pub(super) async fn first_of(&self, mut chunks: ChunkReceiver) -> Result<ChunkStream, Problem> {
        let limit = self.options.request_timeout;
        let timed_out = |_| Problem::new(ProblemKind::Timeout, format!("no line within {limit:?}"));
        let first = tokio::time::timeout(limit, chunks.recv()).await.map_err(timed_out)?;
        Ok(ChunkStream { first: Some(first.ok_or_else(panicked)??), rest: chunks, _open: OpenStream::new() })
    }

    /// Reads chunk by chunk, as the client takes them. While it waits for the client no thread and no snapshot is held,
    /// and it waits for so long only.
    async fn feed(&self, mut list: Query, queue: &mpsc::Sender<Result<Bytes, Problem>>) {
        let mut begun = false;
        loop {
            let api = self.clone();
            let reading = self.readers.read(move || {
                let chunk = api.chunk(&mut list, begun);
                (list, chunk)
            });
            // The panic was reported where it happened.
            let Some((read, (chunk, more))) = reading.await else { return };
            let sent = tokio::time::timeout(STREAM_STALL, queue.send(chunk)).await;
            if !matches!(sent, Ok(Ok(()))) || !more {
                return;
            }
            (list, begun) = (read, true);
        }
    }

    /// The next chunk, and whether another one follows. Once lines were sent a problem is a line too.
    fn chunk(&self, list: &mut Query, begun: bool) -> (Result<Bytes, Problem>, bool) {
        let mut lines = Lines::new(AnswerForm::Json);
        match self.next_page(list, &mut lines) {
            Ok(more) => (Ok(lines.take()), more),
            Err(problem) if !begun => (Err(problem), false),
            Err(problem) => {
                let written = lines.push(&LedgerLine::Problem(problem.into_json()));
                (written.map(|()| lines.take()), false)
            }
        }
    }

    fn next_page(&self, list: &mut Query, lines: &mut Lines) -> Result<bool, Problem> {
        let ledger = self.ledger.within(self.options.request_timeout).in_pages_of(STREAM_CHUNK_BYTES);
        let left = limit_of(list).and_then(|limit| *limit);
        set_limit(list, Some(left.unwrap_or(STREAM_PAGE).min(STREAM_PAGE)));
        let page = ledger.answer(list, (self.clock)(), &no_lines)?;
        let SentPage { lines: sent, is_last, freshness } = lines.page(list, page)?;
        let left = left.map(|left| left.saturating_sub(sent as u64));
        set_limit(list, left);
        if is_last || left == Some(0) {
            lines.push(&LedgerLine::Freshness(freshness))?;
            return Ok(false);
        }
        self.places.check_open().map(|()| true)
    }
}

fn set_limit(list: &mut Query, limit: Option<u64>) {
    if let Some(set) = limit_of(list) {
        *set = limit;
    }
}

type ChunkReceiver = mpsc::Receiver<Result<Bytes, Problem>>;

/// The answer of lines that are sent.
pub(super) fn respond(chunks: ChunkStream) -> Response {
    let body = Body::from_stream(JsonChunks(chunks));
    ([(header::CONTENT_TYPE, HeaderValue::from_static(LINES))], body).into_response()
}

/// What the reader sends. A problem is the end; a line about it came before, if it could be written.
#[derive(Debug)]
pub(crate) struct ChunkStream {
    first: Option<Bytes>,
    rest: ChunkReceiver,
    _open: OpenStream,
}

impl Stream for ChunkStream {
    type Item = Result<Bytes, Problem>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        self.rest.poll_recv(context)
    }
}

/// The same as a body of lines, which has its problems as lines.
struct JsonChunks(ChunkStream);

impl Stream for JsonChunks {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(context).map(|chunk| chunk.and_then(Result::ok).map(Ok))
    }
}
