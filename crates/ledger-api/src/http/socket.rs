//! The socket of a connection: ends what a client lets wait, and explains what the HTTP library refuses.
//!
//! **Deadlines** ([`Deadlines`]) hold here, below the protocol: for the first byte, for the rest of a head, between
//! requests, and for an answer that is not read. The body of a request has its own ([`super::body`]). A head that
//! does not come is answered 408; an idle connection is closed without a word.
//!
//! **An answer that is not read** is given up when nothing of it could be sent for [`Deadlines::unread`]. That time is a
//! store: waiting takes from it, and every byte that the client reads puts some back, so that one byte now and then
//! does not hold a connection for ever.
//!
//! **Refusals of the HTTP library.** hyper answers a head that it cannot parse by itself, with a status (400, 414, 431)
//! and no body, and offers no hook. Such an answer is the last thing it writes, while no request is open; its body of
//! no bytes is replaced by a problem. Nothing else that the server sends has a carriage return in its body, so nothing
//! else ends like it.
//!
//! **First bytes.** Which protocol a client speaks is read here, under the same deadlines ([`Socket::protocol`]); what was
//! read for it comes first for whoever reads then. A client that begins as HTTP/2 does and goes on otherwise gets no
//! answer from hyper at all: its first byte is changed, so that hyper refuses the request as it does others.
//!
//! **HTTP/2.** A frame or a block of headers that was begun has the deadline of a head ([`Frames`]); nobody is told, as there is
//! no request to answer. A connection without a request is told that it ends ([`Activity::report_idle`]).

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::connection::{Activity, AwaitedInput};
use super::converse::Protocol;
use super::frames::{Frames, PREFACE};
use super::metric::{self, Why};
use crate::limits::{Deadlines, LINGER, READ_MIN_BYTES_PER_SECOND};
use crate::problem::ProblemKind;
use crate::query::Problem;

/// A socket with deadlines.
#[derive(Debug)]
pub(super) struct Socket<S> {
    inner: S,
    activity: Arc<Activity>,
    deadlines: Deadlines,
    reading: Pin<Box<Sleep>>,
    writing: Pin<Box<Sleep>>,
    /// Since when nothing can be written.
    stalled: Option<Instant>,
    /// How long the client may still keep an answer waiting.
    patience: Duration,
    /// What is sent in place of what hyper wrote.
    replaced: Vec<u8>,
    /// What was read to see which protocol it is.
    first: Vec<u8>,
    /// On HTTP/2.
    frames: Option<Frames>,
    /// There was no request for too long: reported once.
    is_idle: bool,
    /// TLS holds bytes that the system does not take yet.
    is_flushing: bool,
    /// Set once a request was refused that was not read to its end, and at the end of a connection of HTTP/2.
    lingers_until: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(super) fn new(inner: S, activity: Arc<Activity>, deadlines: Deadlines) -> Self {
        let timer = || Box::pin(tokio::time::sleep(Duration::ZERO));
        Self {
            inner,
            activity,
            deadlines,
            reading: timer(),
            writing: timer(),
            stalled: None,
            patience: deadlines.unread,
            replaced: Vec::new(),
            first: Vec::new(),
            frames: None,
            is_idle: false,
            is_flushing: false,
            lingers_until: None,
        }
    }

    /// Which protocol the client speaks, by its first bytes; none, if they do not come.
    pub(super) async fn protocol(&mut self) -> Option<Protocol> {
        while PREFACE.starts_with(&self.first) {
            if self.first.len() == PREFACE.len() {
                return Some(Protocol::Http2);
            }
            let mut bytes = [0; PREFACE.len()];
            let mut buffer = ReadBuf::new(&mut bytes[self.first.len()..]);
            poll_fn(|context| self.poll_socket(context, &mut buffer)).await.ok()?;
            if buffer.filled().is_empty() {
                return None;
            }
            self.first.extend_from_slice(buffer.filled());
        }
        if self.first.starts_with(HTTP_2_BEGIN) {
            self.first[0] = b'p';
        }
        Some(Protocol::Http1)
    }

    /// From now on frames are watched instead of heads.
    pub(super) fn speak_http2(&mut self) {
        self.activity.forget_head();
        let mut frames = Frames::new(std::time::Instant::now());
        frames.read(self.first.get(PREFACE.len()..).unwrap_or_default(), std::time::Instant::now());
        self.frames = Some(frames);
    }

    /// Reads from the client, within its deadlines. Nothing is the end of the input.
    fn poll_socket(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        if read.is_ready() {
            let came = &buffer.filled()[before..];
            match &mut self.frames {
                _ if came.is_empty() => {}
                Some(frames) => frames.read(came, std::time::Instant::now()),
                None => self.activity.heard(),
            }
            return read;
        }
        let is_over = match &self.frames {
            Some(frames) => self.has_stalled(frames.incomplete(), context),
            None => self.has_waited_too_long(context),
        };
        if is_over { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// The same on HTTP/2, where what was begun is a frame. An idle connection is ended from above.
    fn has_stalled(&mut self, incomplete: Option<std::time::Instant>, context: &mut Context<'_>) -> bool {
        let idle = self.activity.awaited(context.waker()).map(|(_, since)| since + self.deadlines.idle);
        let frame = incomplete.map(|since| since + self.deadlines.head);
        let Some(first) = [idle, frame].into_iter().flatten().min() else { return false };
        if poll_until(&mut self.reading, Instant::from_std(first), context).is_pending() {
            return false;
        }
        if frame == Some(first) {
            metric::closed(Why::Head);
            return true;
        }
        if !std::mem::replace(&mut self.is_idle, true) {
            self.activity.report_idle();
        }
        false
    }

    /// Whether a client that sends nothing has had its time. It is told so if it had begun.
    fn has_waited_too_long(&mut self, context: &mut Context<'_>) -> bool {
        let Some((awaited, since)) = self.activity.awaited(context.waker()) else { return false };
        let limit = match awaited {
            AwaitedInput::Request => self.deadlines.idle,
            AwaitedInput::Head => self.deadlines.head,
        };
        if poll_until(&mut self.reading, Instant::from_std(since) + limit, context).is_pending() {
            return false;
        }
        if awaited == AwaitedInput::Head {
            metric::closed(Why::Head);
            let detail = format!("the head of the request was not there within {limit:?}");
            let problem = Problem::new(ProblemKind::RequestTimeout, detail);
            self.replaced = with_problem(
                &format!("HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n{NO_BODY}\r\n"),
                problem,
            );
            // hyper writes nothing more when its input ends in the middle of a head.
            let _ = self.poll_replaced(context);
        }
        true
    }

    fn poll_replaced(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.replaced.is_empty() {
            let written = Pin::new(&mut self.inner).poll_write(context, &self.replaced);
            let written = ready!(self.in_time(context, written))?;
            self.replaced.drain(..written);
        }
        Poll::Ready(Ok(()))
    }

    /// Lets a write wait as long as the client may.
    fn in_time(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let Poll::Ready(result) = written else {
            self.activity.set_unread(true);
            let since = *self.stalled.get_or_insert_with(Instant::now);
            ready!(poll_until(&mut self.writing, since + self.patience, context));
            metric::closed(Why::Unread);
            let limit = self.deadlines.unread;
            let error = io::Error::new(io::ErrorKind::TimedOut, format!("unread for {limit:?}"));
            return Poll::Ready(Err(error));
        };
        if let Some(since) = self.stalled.take() {
            self.patience = self.patience.saturating_sub(since.elapsed());
            self.activity.set_unread(false);
        }
        let bytes = *result.as_ref().unwrap_or(&0) as u64;
        let earned = Duration::from_micros(bytes * 1_000_000 / READ_MIN_BYTES_PER_SECOND);
        self.patience = self.deadlines.unread.min(self.patience + earned);
        Poll::Ready(result)
    }

    /// The same for what was written before and is on its way. Without TLS there is nothing such.
    fn flushed_in_time(
        &mut self,
        context: &mut Context<'_>,
        flushed: Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        if flushed.is_ready() && !self.is_flushing {
            return flushed;
        }
        self.is_flushing = flushed.is_pending();
        self.in_time(context, flushed.map_ok(|()| 0)).map_ok(|_| ())
    }

    /// Reads what the client still sends and drops it, for a moment: bytes that nobody reads make the system reset the
    /// connection, and the client loses the answer.
    fn poll_linger(&mut self, until: Instant, context: &mut Context<'_>) -> Poll<()> {
        let mut dropped = [0; 4096];
        while poll_until(&mut self.reading, until, context).is_pending() {
            let mut buffer = ReadBuf::new(&mut dropped);
            let read = ready!(Pin::new(&mut self.inner).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(())
    }
}

/// Waits until an instant, which may be another one than last time.
pub(super) fn poll_until(timer: &mut Pin<Box<Sleep>>, until: Instant, context: &mut Context<'_>) -> Poll<()> {
    if timer.deadline() != until {
        timer.as_mut().reset(until);
    }
    timer.as_mut().poll(context)
}

/// hyper refuses this without an answer.
const HTTP_2_BEGIN: &[u8] = b"PRI * HTTP/2";

const NO_BODY: &str = "content-length: 0\r\n";

/// If bytes end with an answer of hyper's own, where that begins and what is to be sent instead.
fn refusal(bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
    const CLIENT_ERROR: &[u8] = b"HTTP/1.1 4";
    if !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let begin = bytes.windows(CLIENT_ERROR.len()).rposition(|window| window == CLIENT_ERROR)?;
    let head = std::str::from_utf8(&bytes[begin..]).ok().filter(|head| head.contains(NO_BODY))?;
    let problem = Problem::of_refusal(head.get(9..12)?.parse().ok()?)?;
    Some((begin, with_problem(head, problem)))
}

/// The same answer, with a problem as its body.
fn with_problem(head: &str, problem: Problem) -> Vec<u8> {
    metric::refused(problem.kind);
    let body = problem.into_body();
    let described = format!("content-type: {}\r\ncontent-length: {}\r\n", Problem::MEDIA_TYPE, body.len());
    [head.replacen(NO_BODY, &described, 1).into_bytes(), body].concat()
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.first.is_empty() {
            return this.poll_socket(context, buffer);
        }
        let first = this.first.len().min(buffer.remaining());
        buffer.put_slice(&this.first[..first]);
        this.first.drain(..first);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_replaced(context))?;
        if this.frames.is_none()
            && !this.activity.has_requests()
            && let Some((begin, problem)) = refusal(bytes)
        {
            this.replaced = [&bytes[..begin], &problem].concat();
            this.lingers_until = Some(Instant::now() + LINGER);
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut this.inner).poll_write(context, bytes);
        this.in_time(context, written)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_replaced(context))?;
        let flushed = Pin::new(&mut this.inner).poll_flush(context);
        this.flushed_in_time(context, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_replaced(context))?;
        let shut = Pin::new(&mut this.inner).poll_shutdown(context);
        ready!(this.flushed_in_time(context, shut))?;
        if this.frames.is_some() {
            // A client tells what it has read, also of the last answer: nobody read that any more.
            this.lingers_until.get_or_insert_with(|| Instant::now() + LINGER);
        }
        if let Some(until) = this.lingers_until {
            ready!(this.poll_linger(until, context));
        }
        Poll::Ready(Ok(()))
    }
}
