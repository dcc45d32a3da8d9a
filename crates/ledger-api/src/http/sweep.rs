//! Questions about the whole log: told line by line while they are answered.
//!
//! They cost as much as the log is long, so few are answered at a time; a client that goes away, or that
//! stops taking lines, ends its own.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use ledger_core::time::Timestamp;
use ledger_record::json::whatif::WhatIfRequestJson;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::Api;
use super::ask::{panicked, unwritable};
use super::body;
use super::params::Parameters;
use super::places::{Cost, Places};
use super::problem::{Problem, ProblemJson};
use super::stream::{Chunks, LINES, wants_lines};
use crate::limits::{POLICIES_MAX, PROGRESS_INTERVAL, STREAM_CHUNK_BYTES, STREAM_CHUNKS_AHEAD, STREAM_STALL};
use crate::problem::ProblemKind;
use crate::query::{Ledger, Line, QueryError, WhatIfAsked};

/// `POST /v1/whatif`
pub(super) async fn what_if(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
    sent: Body,
) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let asked = read_what_if(&body::read(sent).await?)?;
    if wants_lines(&headers) {
        return api.sweep(move |ledger, now, tell| ledger.what_if_lines(&asked, now, tell)).await;
    }
    if asked.differences {
        let detail = format!("differences are told line by line: ask with Accept: {LINES}");
        return Err(Problem::new(ProblemKind::InvalidBody, detail));
    }
    api.ask(Cost::Everything, move |ledger, now| {
        let in_time = |_: &Line<'_>| match ledger.in_time() {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        ledger.what_if(&asked, now, &in_time)
    })
    .await
}

/// `GET /v1/replay`
pub(super) async fn replay(State(api): State<Api>, uri: Uri) -> Result<Response, Problem> {
    let known = ["clientKey", "appKey", "topic", "partition", "from", "to", "fromPosition"];
    let asked = Parameters::read(&uri, &known)?.replay()?;
    api.sweep(move |ledger, now, tell| ledger.replay_lines(&asked, now, tell)).await
}

fn read_what_if(body: &[u8]) -> Result<WhatIfAsked, Problem> {
    let invalid = |why: String| Problem::new(ProblemKind::InvalidBody, why);
    let read: WhatIfRequestJson<'_> = serde_json::from_slice(body).map_err(|error| {
        invalid(format!("expected {{\"policies\": [{{\"mode\": …}}], \"appKey\"?, \"from\"?, \"to\"?, \"differences\"?}}: {error}"))
    })?;
    let policies = read.policies().map_err(|error| invalid(error.to_string()))?;
    if !(1..=POLICIES_MAX).contains(&policies.len()) {
        return Err(invalid(format!("expected 1 to {POLICIES_MAX} policies")));
    }
    let scope = read.scope().map_err(|error| invalid(error.to_string()))?;
    Ok(WhatIfAsked { policies, scope, differences: read.differences })
}

impl Api {
    /// Answers line by line. What goes wrong before the first of them is answered as a problem, afterwards
    /// as the last line.
    pub(super) async fn sweep(
        &self,
        question: impl FnOnce(&Ledger, Timestamp, crate::query::Tell<'_>) -> Result<(), QueryError>
        + Send
        + 'static,
    ) -> Result<Response, Problem> {
        let place = self.places.take(Cost::Everything)?;
        let (ledger, now) = (Arc::clone(&self.ledger), (self.clock)());
        let (queue, mut lines) = mpsc::channel(STREAM_CHUNKS_AHEAD);
        let sender =
            Sender { queue, runtime: Handle::current(), places: self.places.clone(), told: Mutex::default() };
        tokio::task::spawn_blocking(move || {
            let _place = place;
            let answered = question(&ledger, now, &|line| sender.tell(line));
            // A server that stops gives every question up.
            sender.end(
                answered.map_err(|error| sender.places.check_open().err().unwrap_or_else(|| error.into())),
            );
        });
        let limit = self.options.request_timeout;
        let first = tokio::time::timeout(limit, lines.recv()).await;
        let first =
            first.map_err(|_| Problem::new(ProblemKind::Timeout, format!("no line within {limit:?}")))?;
        let first = first.ok_or_else(panicked)??;
        let body = Body::from_stream(Chunks { first: Some(first), rest: lines });
        Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(LINES))], body).into_response())
    }
}

/// Where lines go, from several threads. What is written is sent once it makes a chunk, or when progress is due: a few
/// chunks are all a client that does not read costs.
struct Sender {
    queue: mpsc::Sender<Result<Bytes, Problem>>,
    runtime: Handle,
    places: Places,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    /// When something was sent last; none before the first line.
    sent: Option<Instant>,
    lines: Vec<u8>,
    /// The client is gone, or stalled for too long.
    is_over: bool,
}

impl Told {
    fn is_due(&self) -> bool {
        self.sent.is_none_or(|last| last.elapsed() >= PROGRESS_INTERVAL)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Last<'a> {
    Problem(ProblemJson<'a>),
}

impl Sender {
    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, line: &Line<'_>) -> ControlFlow<()> {
        if self.queue.is_closed() || self.places.check_open().is_err() {
            return ControlFlow::Break(());
        }
        let mut told = self.lock();
        if told.is_over {
            return ControlFlow::Break(());
        }
        let is_due = told.is_due();
        // Progress is told now and then, everything else always.
        if (is_due || !matches!(line, Line::Progress(_)))
            && let Err(problem) = write(&mut told.lines, line)
        {
            return self.send(&mut told, Err(problem));
        }
        if is_due || told.lines.len() >= STREAM_CHUNK_BYTES {
            return self.send_lines(&mut told);
        }
        ControlFlow::Continue(())
    }

    /// Sends what is left, and the problem that ended the answer, if one did.
    fn end(&self, answered: Result<(), Problem>) {
        let mut told = self.lock();
        // Nobody hears more than that it is over.
        let _ = match answered {
            _ if told.is_over => return,
            Err(problem) if told.sent.is_none() => self.send(&mut told, Err(problem)),
            Err(problem) => {
                let written = write(&mut told.lines, &Last::Problem(problem.json()));
                written.map_or(ControlFlow::Break(()), |()| self.send_lines(&mut told))
            }
            Ok(()) => self.send_lines(&mut told),
        };
    }

    fn send_lines(&self, told: &mut Told) -> ControlFlow<()> {
        let lines = std::mem::take(&mut told.lines);
        self.send(told, Ok(lines.into()))
    }

    /// Sends while the others wait, so that lines stay in order.
    fn send(&self, told: &mut Told, lines: Result<Bytes, Problem>) -> ControlFlow<()> {
        // The clock of the timeout is the runtime's, so it is set inside.
        let sending = async { tokio::time::timeout(STREAM_STALL, self.queue.send(lines)).await };
        let sent = self.runtime.block_on(sending);
        told.sent = Some(Instant::now());
        told.is_over = !matches!(sent, Ok(Ok(())));
        if told.is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn write(lines: &mut Vec<u8>, line: &impl Serialize) -> Result<(), Problem> {
    serde_json::to_writer(&mut *lines, line).map_err(|error| unwritable(&error))?;
    lines.push(b'\n');
    Ok(())
}
