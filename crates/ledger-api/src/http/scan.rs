//! Questions about the whole log: sent line by line while they are answered.
//!
//! They cost as much as the log is long, so few are answered at a time; a client that goes away, or that
//! stops taking lines, ends its own.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::body::Bytes;
use axum::response::Response;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::Api;
use super::ask::AnswerForm;
use super::places::{Cost, Places};
use super::stream::{ChunkStream, Lines, respond};
use crate::limits::{PROGRESS_INTERVAL, STREAM_CHUNK_BYTES, STREAM_CHUNKS_AHEAD, STREAM_STALL};
use crate::query::{LedgerLine, Problem, Query};

impl Api {
    /// Answers line by line. What goes wrong before the first of them is answered as a problem, afterwards
    /// as the last line.
    pub(super) async fn scan(&self, query: Query) -> Result<Response, Problem> {
        self.scanned(query, AnswerForm::Json).await.map(respond)
    }

    /// The same in any form. A problem on the way also ends the stream.
    pub(crate) async fn scanned(&self, query: Query, form: AnswerForm) -> Result<ChunkStream, Problem> {
        let place = self.places.take(Cost::of(&query))?;
        let (ledger, now) = (Arc::clone(&self.ledger), (self.clock)());
        let (queue, lines) = mpsc::channel(STREAM_CHUNKS_AHEAD);
        let sender = LineSender::new(queue, self.places.clone(), form);
        tokio::task::spawn_blocking(move || {
            let answered = ledger.answer_lines(&query, now, &|line| sender.send_line(line));
            // Before its client knows: who asks one after the other finds the place free.
            drop(place);
            // A server that stops gives every question up.
            sender.end(answered.map_err(|error| sender.stopping().unwrap_or_else(|| error.into())));
        });
        self.first_of(lines).await
    }
}

/// Where lines go, from several threads. What is written is sent once it makes a chunk, or when progress is due: a few
/// chunks are all a client that does not read costs.
pub(super) struct LineSender {
    queue: mpsc::Sender<Result<Bytes, Problem>>,
    runtime: Handle,
    places: Places,
    unsent: Mutex<Unsent>,
}

struct Unsent {
    /// When something was sent last; none before the first line.
    sent: Option<Instant>,
    lines: Lines,
    /// The client is gone, or stalled for too long.
    is_over: bool,
}

impl Unsent {
    fn is_due(&self) -> bool {
        self.sent.is_none_or(|last| last.elapsed() >= PROGRESS_INTERVAL)
    }
}

impl LineSender {
    pub(super) fn new(queue: mpsc::Sender<Result<Bytes, Problem>>, places: Places, form: AnswerForm) -> Self {
        let unsent = Unsent { sent: None, lines: Lines::new(form), is_over: false };
        Self { queue, runtime: Handle::current(), places, unsent: Mutex::new(unsent) }
    }

    /// The problem of a server that stops.
    pub(super) fn stopping(&self) -> Option<Problem> {
        self.places.check_open().err()
    }

    fn lock(&self) -> MutexGuard<'_, Unsent> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send_line(&self, line: &LedgerLine<'_>) -> ControlFlow<()> {
        self.send(line, matches!(line, LedgerLine::Progress(_)))
    }

    /// Sends a line: progress now and then, everything else always.
    pub(super) fn send(&self, line: &impl Serialize, is_progress: bool) -> ControlFlow<()> {
        if self.queue.is_closed() || self.places.check_open().is_err() {
            return ControlFlow::Break(());
        }
        let mut unsent = self.lock();
        if unsent.is_over {
            return ControlFlow::Break(());
        }
        let is_due = unsent.is_due();
        if (is_due || !is_progress)
            && let Err(problem) = unsent.lines.push(line)
        {
            return self.pass_on(&mut unsent, Err(problem));
        }
        if is_due || unsent.lines.written.len() >= STREAM_CHUNK_BYTES {
            return self.send_lines(&mut unsent);
        }
        ControlFlow::Continue(())
    }

    /// Sends what is left, and the problem that ended the answer, if one did.
    pub(super) fn end(&self, answered: Result<(), Problem>) {
        let mut unsent = self.lock();
        // The client gets no more than that it is over.
        let _ = match answered {
            _ if unsent.is_over => return,
            Err(problem) if unsent.sent.is_none() => self.pass_on(&mut unsent, Err(problem)),
            Err(problem) => {
                let written = unsent.lines.push(&LedgerLine::Problem(problem.clone().into_json()));
                let sent = written.map_or(ControlFlow::Break(()), |()| self.send_lines(&mut unsent));
                if sent.is_continue() { self.pass_on(&mut unsent, Err(problem)) } else { sent }
            }
            Ok(()) => self.send_lines(&mut unsent),
        };
    }

    fn send_lines(&self, unsent: &mut Unsent) -> ControlFlow<()> {
        let lines = unsent.lines.take();
        self.pass_on(unsent, Ok(lines))
    }

    /// Sends while the others wait, so that lines stay in order.
    fn pass_on(&self, unsent: &mut Unsent, lines: Result<Bytes, Problem>) -> ControlFlow<()> {
        // The clock of the timeout is the runtime's, so it is set inside.
        let sending = async { tokio::time::timeout(STREAM_STALL, self.queue.send(lines)).await };
        let sent = self.runtime.block_on(sending);
        unsent.sent = Some(Instant::now());
        unsent.is_over = !matches!(sent, Ok(Ok(())));
        if unsent.is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
