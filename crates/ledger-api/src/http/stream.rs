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
use ledger_core::ids::ClientKey;
use ledger_core::time::Timestamp;
use serde::Serialize;
use tokio::sync::mpsc;

use super::Api;
use super::ask::{panicked, unwritable};
use super::places::Cost;
use super::problem::{Problem, ProblemJson};
use super::routes::MinPosition;
use crate::limits::{STREAM_CHUNK_BYTES, STREAM_CHUNKS_AHEAD, STREAM_PAGE, STREAM_STALL};
use crate::problem::ProblemKind;
use crate::query::{AsOf, Cursor, Filter, FreshnessJson, Ledger, RefusedTenant};

pub(super) const LINES: &str = "application/x-ndjson";

/// Whether the client asks for lines.
pub(super) fn wants_lines(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted.flat_map(|value| value.split(','));
    types.any(|range| range.split(';').next().is_some_and(|of| of.trim().eq_ignore_ascii_case(LINES)))
}

/// A list that can be read page by page.
pub(super) trait Pages: Send + 'static {
    /// Writes the next page; what it answers says whether there is another.
    fn next(&mut self, ledger: &Ledger, now: Timestamp, lines: &mut Lines) -> Result<Then, Problem>;
}

/// What follows a page.
pub(super) enum Then {
    More,
    /// The list is at its end, and this fresh.
    End(Vec<FreshnessJson>),
}

/// Lines of JSON.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<u8>);

/// Installations, of a list.
pub(super) struct Installations {
    pub(super) filter: Filter,
    pub(super) as_of: AsOf,
    pub(super) cursor: Option<Cursor>,
    /// Lines still to be sent; none is all.
    pub(super) lines: Option<u64>,
}

/// Records, of a tenant's log.
pub(super) struct Log {
    pub(super) client: ClientKey,
    pub(super) from_seq: u64,
    pub(super) as_of: AsOf,
    pub(super) lines: Option<u64>,
    pub(super) waits: MinPosition,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Beside<'a> {
    Refused(&'a RefusedTenant),
    Freshness(&'a [FreshnessJson]),
    Problem(ProblemJson<'a>),
}

impl Pages for Installations {
    fn next(&mut self, ledger: &Ledger, now: Timestamp, lines: &mut Lines) -> Result<Then, Problem> {
        let limit = page_of(self.lines);
        let page = ledger.installations(&self.filter, self.cursor.as_ref(), limit, self.as_of, now)?;
        for state in &page.installations {
            lines.push(state)?;
        }
        for refused in &page.refused {
            lines.push(&Beside::Refused(refused))?;
        }
        let sent = page.installations.len() + page.refused.len();
        self.cursor = page.next_cursor;
        Ok(then(self.cursor.is_some(), &mut self.lines, sent, page.freshness))
    }
}

impl Pages for Log {
    fn next(&mut self, ledger: &Ledger, now: Timestamp, lines: &mut Lines) -> Result<Then, Problem> {
        self.waits.wait(ledger, &self.client, now)?;
        let page = ledger.log(&self.client, self.from_seq, page_of(self.lines), self.as_of, now)?;
        for record in &page.records {
            lines.push(record)?;
        }
        self.from_seq = page.next_seq.unwrap_or(self.from_seq);
        Ok(then(page.next_seq.is_some(), &mut self.lines, page.records.len(), page.freshness))
    }
}

/// How many lines to read at a time.
fn page_of(left: Option<u64>) -> usize {
    let left = left.map_or(STREAM_PAGE, |left| usize::try_from(left).unwrap_or(STREAM_PAGE));
    left.clamp(1, STREAM_PAGE)
}

fn then(more: bool, left: &mut Option<u64>, sent: usize, freshness: Vec<FreshnessJson>) -> Then {
    *left = left.map(|left| left.saturating_sub(sent as u64));
    if more && *left != Some(0) { Then::More } else { Then::End(freshness) }
}

impl Lines {
    fn push(&mut self, line: &impl Serialize) -> Result<(), Problem> {
        serde_json::to_writer(&mut self.0, line).map_err(|error| unwritable(&error))?;
        self.0.push(b'\n');
        Ok(())
    }
}

impl Api {
    /// Sends a list as lines. What goes wrong before the first of them is answered as a problem.
    pub(super) async fn stream(&self, pages: impl Pages) -> Result<Response, Problem> {
        let place = self.places.take(Cost::Much)?;
        let (queue, mut chunks) = mpsc::channel(STREAM_CHUNKS_AHEAD);
        let api = self.clone();
        tokio::spawn(async move {
            let _place = place;
            api.feed(pages, &queue).await;
        });
        let limit = self.options.request_timeout;
        let first = tokio::time::timeout(limit, chunks.recv()).await;
        let first =
            first.map_err(|_| Problem::new(ProblemKind::Timeout, format!("no line within {limit:?}")))?;
        let first = first.ok_or_else(panicked)??;
        let body = Body::from_stream(Chunks { first: Some(first), rest: chunks });
        Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(LINES))], body).into_response())
    }

    /// Reads chunk by chunk, as the client takes them. While it waits for the client no thread and no snapshot is held,
    /// and it waits for so long only.
    async fn feed(&self, mut pages: impl Pages, queue: &mpsc::Sender<Result<Bytes, Problem>>) {
        let mut begun = false;
        loop {
            let api = self.clone();
            let reading = self.readers.read(move || {
                let chunk = api.chunk(&mut pages, begun);
                (pages, chunk)
            });
            // The panic was reported where it happened.
            let Some((read, (chunk, more))) = reading.await else { return };
            let sent = tokio::time::timeout(STREAM_STALL, queue.send(chunk)).await;
            if !matches!(sent, Ok(Ok(()))) || !more {
                return;
            }
            (pages, begun) = (read, true);
        }
    }

    /// The next chunk, and whether another one follows. Once lines were sent a problem is a line too.
    fn chunk(&self, pages: &mut impl Pages, begun: bool) -> (Result<Bytes, Problem>, bool) {
        let ledger = self.ledger.within(self.options.request_timeout).in_pages_of(STREAM_CHUNK_BYTES);
        let mut lines = Lines::default();
        let mut next = |lines: &mut Lines| match pages.next(&ledger, (self.clock)(), lines)? {
            Then::More => self.places.check_open().map(|()| true),
            Then::End(freshness) => lines.push(&Beside::Freshness(&freshness)).map(|()| false),
        };
        match next(&mut lines) {
            Ok(more) => (Ok(lines.0.into()), more),
            Err(problem) if !begun => (Err(problem), false),
            Err(problem) => (lines.push(&Beside::Problem(problem.json())).map(|()| lines.0.into()), false),
        }
    }
}

/// What the reader sends, as a body.
pub(super) struct Chunks {
    pub(super) first: Option<Bytes>,
    pub(super) rest: mpsc::Receiver<Result<Bytes, Problem>>,
}

impl Stream for Chunks {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        // A problem that cannot even be written ends the stream without its last line.
        self.rest.poll_recv(context).map(|chunk| chunk.and_then(Result::ok).map(Ok))
    }
}
