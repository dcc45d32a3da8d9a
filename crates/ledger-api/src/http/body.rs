//! Bodies: those of requests come in time, those of answers are held no longer than their clients read.

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use futures_core::Stream;
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::connection::OpenRequest;
use super::metric::{self, Why};
use super::unread::UnreadAnswer;
use crate::limits::{BODY_MAX_BYTES, Deadlines, HTTP_2_PIECE_BYTES, LINGER, STREAM_CHUNK_BYTES};
use crate::problem::ProblemKind;
use crate::query::Problem;

/// What a body in JSON says. It is an object: serde would take the members of a list by their order.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8], expected: &str) -> Result<T, Problem> {
    let read = match body.trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice(body).map_err(|error| error.to_string()),
        _ => Err("it is no object".to_owned()),
    };
    read.map_err(|error| Problem::new(ProblemKind::InvalidBody, format!("expected {expected}: {error}")))
}

const JSON: &str = "application/json";

/// A page of another site can send no JSON from its visitor's browser unasked; text, forms or nothing it can.
pub(super) fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    if media_type.trim().eq_ignore_ascii_case(JSON) {
        return Ok(());
    }
    Err(Problem::new(ProblemKind::InvalidBody, format!("a POST has to have content-type: {JSON}")))
}

/// The body of a request: the client has until the deadline to send all of it.
#[derive(Debug)]
pub(super) struct TimedBody<B> {
    inner: B,
    request: Arc<OpenRequest>,
    timer: Pin<Box<Sleep>>,
}

/// The client did not send its body in time.
#[derive(Debug, thiserror::Error)]
#[error("the body was not there in time")]
struct TooLate;

impl<B> TimedBody<B> {
    pub(super) fn new(inner: B, request: Arc<OpenRequest>, deadlines: Deadlines) -> Self {
        let timer = Box::pin(tokio::time::sleep_until(Instant::now() + deadlines.body));
        Self { inner, request, timer }
    }
}

impl<B> Drop for TimedBody<B> {
    fn drop(&mut self) {
        self.request.set_waiting(false);
    }
}

impl<B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin> HttpBody for TimedBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) {
            // What comes piece by piece is waited for from its first piece to its last.
            if frame.is_none() || this.inner.is_end_stream() {
                this.request.set_waiting(false);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        this.request.set_waiting(true);
        ready!(this.timer.as_mut().poll(context));
        metric::closed(Why::Body);
        Poll::Ready(Some(Err(TooLate.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The body of an answer: its request is open until the last of it is handed over.
#[derive(Debug)]
pub(super) struct AnswerBody {
    inner: Body,
    request: Arc<OpenRequest>,
    /// On HTTP/2: what is left of a frame, and since when the client has not read the piece before.
    pieces: Option<(Bytes, UnreadAnswer)>,
}

impl AnswerBody {
    pub(super) const fn new(inner: Body, request: Arc<OpenRequest>) -> Self {
        Self { inner, request, pieces: None }
    }

    /// The same in small pieces: HTTP/2 keeps what it is given until the client reads it.
    pub(super) fn in_pieces(self, unread: UnreadAnswer) -> Self {
        Self { pieces: Some((Bytes::new(), unread)), ..self }
    }
}

type AnswerFrame = Option<Result<Frame<Bytes>, axum::Error>>;

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<AnswerFrame> {
        let this = &mut *self;
        let Some((rest, unread)) = &mut this.pieces else {
            return Pin::new(&mut this.inner).poll_frame(context);
        };
        unread.end();
        this.request.set_waiting(false);
        if rest.is_empty() {
            match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => *rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        unread.begin();
        this.request.set_waiting(true);
        let piece = rest.len().min(HTTP_2_PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.as_ref().is_none_or(|(rest, _)| rest.is_empty()) && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) =
            (self.inner.size_hint(), self.pieces.as_ref().map_or(0, |(rest, _)| rest.len() as u64));
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// An answer that is in memory as a whole. It is handed over in pieces, as the client reads them: else hyper copies all
/// of it at once, and the room for unsent answers bounds nothing.
#[derive(Debug)]
pub(crate) struct WholeBody {
    pub(super) rest: Bytes,
    pub(super) _room: OwnedSemaphorePermit,
}

impl WholeBody {
    fn next_piece(&mut self) -> Option<Bytes> {
        let piece = self.rest.len().min(STREAM_CHUNK_BYTES);
        Some(self.rest.split_to(piece)).filter(|piece| !piece.is_empty())
    }
}

/// What gRPC sends before its status.
impl Stream for WholeBody {
    type Item = Result<Bytes, Problem>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.next_piece().map(Ok))
    }
}

impl HttpBody for WholeBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.next_piece().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// Reads the body of a request.
pub(crate) async fn read(body: Body) -> Result<Vec<u8>, Problem> {
    read_within(body, BODY_MAX_BYTES).await
}

/// Reads the body of a request that may have so many bytes, for routes of another kind ([`super::serve_routes`]).
/// `has_room` is asked for each piece that arrived, with its bytes: without room the request is overload.
pub async fn read_body_within(
    body: Body,
    max_bytes: usize,
    has_room: impl FnMut(usize) -> bool,
) -> Result<Vec<u8>, ProblemKind> {
    read_with_room(body, max_bytes, has_room).await.map_err(|problem| problem.kind)
}

async fn read_within(body: Body, max_bytes: usize) -> Result<Vec<u8>, Problem> {
    read_with_room(body, max_bytes, |_| true).await
}

async fn read_with_room(
    mut body: Body,
    max_bytes: usize,
    mut has_room: impl FnMut(usize) -> bool,
) -> Result<Vec<u8>, Problem> {
    let mut read = Vec::new();
    if body.size_hint().lower() <= max_bytes as u64 {
        while read.len() <= max_bytes {
            let Some(frame) = next(&mut body).await else { return Ok(read) };
            let frame = frame.map_err(|error| unreadable(&error))?;
            if !has_room(frame.len()) {
                return Err(Problem::new(ProblemKind::Overloaded, "too many bodies are open"));
            }
            read.extend_from_slice(&frame);
        }
    }
    let _ = tokio::time::timeout(LINGER, drop_rest(&mut body, 16 * BODY_MAX_BYTES.max(max_bytes / 4))).await;
    Err(Problem::new(ProblemKind::BodyTooLarge, format!("expected a body of at most {max_bytes} bytes")))
}

/// A client that is still sending when the connection is closed loses the answer, so a part of what is too large is
/// read all the same.
async fn drop_rest(body: &mut Body, mut left: usize) {
    while let Some(Ok(data)) = next(body).await {
        left = left.saturating_sub(data.len());
        if left == 0 {
            return;
        }
    }
}

async fn next(body: &mut Body) -> Option<Result<Bytes, axum::Error>> {
    let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
    Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
}

fn unreadable(error: &axum::Error) -> Problem {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<TooLate>() {
            return Problem::new(ProblemKind::RequestTimeout, "the body of the request did not come in time");
        }
        cause = error.source();
    }
    Problem::new(ProblemKind::InvalidBody, format!("the body cannot be read: {error}"))
}
