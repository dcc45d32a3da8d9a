//! Answers on HTTP/2 that are not read.
//!
//! Each stream has a window of its own. A client that keeps one closed, or opens it by a byte now and then, is not
//! seen at the socket: there is nothing to write. So each stream is watched where it runs: its body notes when a piece of it
//! was handed over, and when the next is asked for, which is once the client has made room for the one before. A
//! stream whose client makes none for [`Deadlines::unread`](crate::limits::Deadlines) is reset; others on the
//! connection go on.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::Instant;

use super::metric::{self, Why};
use super::socket::poll_until;

tokio::task_local! {
    static STREAM: UnreadAnswer;
}

/// Since when a piece of an answer waits to be read. A copy is of the same answer.
#[derive(Debug, Clone, Default)]
pub(super) struct UnreadAnswer(Arc<Mutex<Option<Instant>>>);

impl UnreadAnswer {
    /// Of the stream whose task this is.
    pub(super) fn of_this_stream() -> Self {
        STREAM.try_with(Self::clone).unwrap_or_default()
    }

    /// A piece is handed over.
    pub(super) fn begin(&self) {
        self.set(Some(Instant::now()));
    }

    /// The client made room for it.
    pub(super) fn end(&self) {
        self.set(None);
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    fn since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the streams of a connection, each in a task that ends when its answer is unread for too long.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamExecutor {
    limit: Duration,
}

impl StreamExecutor {
    pub(super) const fn new(limit: Duration) -> Self {
        Self { limit }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for StreamExecutor {
    fn execute(&self, stream: F) {
        tokio::spawn(watch(stream, self.limit));
    }
}

/// Runs a stream. Dropping it resets the stream.
async fn watch(stream: impl Future<Output = ()>, limit: Duration) {
    let unread = UnreadAnswer::default();
    let mut stream = pin!(STREAM.scope(unread.clone(), stream));
    let mut timer = None;
    poll_fn(move |context| {
        if stream.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let Some(since) = unread.since() else { return Poll::Pending };
        let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(since + limit)));
        let is_over = poll_until(timer, since + limit, context);
        if is_over.is_ready() {
            metric::closed(Why::Unread);
        }
        is_over
    })
    .await;
}
