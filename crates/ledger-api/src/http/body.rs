//! Bodies: those of requests come in time, those of answers are held no longer than their clients read.

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::Body;
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::connection::{Activity, OpenRequest};
use super::metric::{self, Why};
use crate::limits::{BODY_MAX_BYTES, Deadlines, LINGER, STREAM_CHUNK_BYTES};
use crate::problem::ProblemKind;
use crate::query::Problem;

/// The body of a request: the client has until the deadline to send all of it.
#[derive(Debug)]
pub(super) struct TimedBody<B> {
    inner: B,
    activity: Arc<Activity>,
    timer: Pin<Box<Sleep>>,
}

/// The client did not send its body in time.
#[derive(Debug, thiserror::Error)]
#[error("the body was not there in time")]
struct TooLate;

impl<B> TimedBody<B> {
    pub(super) fn new(inner: B, activity: Arc<Activity>, deadlines: Deadlines) -> Self {
        let timer = Box::pin(tokio::time::sleep_until(Instant::now() + deadlines.body));
        Self { inner, activity, timer }
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
                this.activity.end_wait();
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        this.activity.begin_to_wait();
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
    pub(super) inner: Body,
    pub(super) _request: OpenRequest,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An answer that is in memory as a whole. It is handed over in pieces, as the client reads them: else hyper copies all
/// of it at once, and the room for unsent answers bounds nothing.
#[derive(Debug)]
pub(super) struct WholeBody {
    pub(super) rest: Bytes,
    pub(super) _room: OwnedSemaphorePermit,
}

impl HttpBody for WholeBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.rest.len().min(STREAM_CHUNK_BYTES);
        let piece = self.rest.split_to(piece);
        Poll::Ready((!piece.is_empty()).then_some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// Reads the body of a request.
pub(super) async fn read(mut body: Body) -> Result<Vec<u8>, Problem> {
    let mut read = Vec::new();
    if body.size_hint().lower() <= BODY_MAX_BYTES as u64 {
        while read.len() <= BODY_MAX_BYTES {
            let Some(frame) = next(&mut body).await else { return Ok(read) };
            read.extend_from_slice(&frame.map_err(|error| unreadable(&error))?);
        }
    }
    let _ = tokio::time::timeout(LINGER, drop_rest(&mut body)).await;
    Err(Problem::new(ProblemKind::BodyTooLarge, format!("expected a body of at most {BODY_MAX_BYTES} bytes")))
}

/// A client that is still sending when the connection is closed loses the answer, so a part of what is too large is
/// read all the same.
async fn drop_rest(body: &mut Body) {
    let mut left = 16 * BODY_MAX_BYTES;
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
