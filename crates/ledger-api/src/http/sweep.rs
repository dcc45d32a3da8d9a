//! Questions about the whole log: told line by line while they are answered.
//!
//! They cost as much as the log is long, so few are answered at a time; a client that goes away, or that
//! stops taking lines, ends its own.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use ledger_core::time::Timestamp;
use ledger_record::json::whatif::WhatIfRequestJson;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::Api;
use super::ask::{panicked, unwritable};
use super::params::Parameters;
use super::problem::{Kind, Problem, ProblemJson};
use super::stream::{Chunks, LINES, wants_lines};
use crate::limits::{
    BODY_MAX_BYTES, POLICIES_MAX, PROGRESS_INTERVAL, STREAM_STALL, SWEEP_LINES_AHEAD, SWEEPS_AT_A_TIME,
};
use crate::query::{Ledger, Line, QueryError, WhatIfAsked};

/// `POST /v1/whatif`
pub(super) async fn what_if(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let asked = read_what_if(&read_body(body).await?)?;
    if wants_lines(&headers) {
        return api.sweep(move |ledger, now, tell| ledger.what_if_lines(&asked, now, tell)).await;
    }
    if asked.differences {
        let detail = format!("differences are told line by line: ask with Accept: {LINES}");
        return Err(Problem::new(Kind::InvalidBody, detail));
    }
    let place = api.sweep_place()?;
    api.ask(move |ledger, now| {
        let _place = place;
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

async fn read_body(body: Body) -> Result<Bytes, Problem> {
    let unreadable =
        |_| Problem::new(Kind::InvalidBody, format!("expected a body of at most {BODY_MAX_BYTES} bytes"));
    axum::body::to_bytes(body, BODY_MAX_BYTES).await.map_err(unreadable)
}

fn read_what_if(body: &[u8]) -> Result<WhatIfAsked, Problem> {
    let invalid = |why: String| Problem::new(Kind::InvalidBody, why);
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
    /// A place among the questions about the whole log, if there is one.
    fn sweep_place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.sweeps).try_acquire_owned().map_err(|_| {
            let detail = format!(
                "{SWEEPS_AT_A_TIME} questions about the whole log are being answered; ask again later"
            );
            Problem::new(Kind::Overloaded, detail)
        })
    }

    /// Answers line by line. What goes wrong before the first of them is answered as a problem, afterwards
    /// as the last line.
    pub(super) async fn sweep(
        &self,
        question: impl FnOnce(&Ledger, Timestamp, crate::query::Tell<'_>) -> Result<(), QueryError>
        + Send
        + 'static,
    ) -> Result<Response, Problem> {
        let places = (self.place()?, self.sweep_place()?);
        let (ledger, now) = (Arc::clone(&self.ledger), (self.clock)());
        let (queue, mut lines) = mpsc::channel(SWEEP_LINES_AHEAD);
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || {
            let _places = places;
            let sender = Sender { queue, runtime, told: Mutex::new(None) };
            if let Err(error) = question(&ledger, now, &|line| sender.tell(line)) {
                sender.end(error.into());
            }
        });
        let limit = self.options.request_timeout;
        let first = tokio::time::timeout(limit, lines.recv()).await;
        let first = first.map_err(|_| Problem::new(Kind::Timeout, format!("no line within {limit:?}")))?;
        let first = first.ok_or_else(panicked)??;
        let body = Body::from_stream(Chunks { first: Some(first), rest: lines });
        Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(LINES))], body).into_response())
    }
}

/// Where lines go, from several threads.
struct Sender {
    queue: mpsc::Sender<Result<Bytes, Problem>>,
    runtime: Handle,
    /// When progress was told last; none before the first line.
    told: Mutex<Option<Instant>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Last<'a> {
    Problem(ProblemJson<'a>),
}

impl Sender {
    fn tell(&self, line: &Line<'_>) -> ControlFlow<()> {
        if !self.is_due(line) {
            return if self.queue.is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        }
        self.send(written(line))
    }

    /// Progress is told now and then, everything else always.
    fn is_due(&self, line: &Line<'_>) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let due =
            !matches!(line, Line::Progress(_)) || told.is_none_or(|last| last.elapsed() >= PROGRESS_INTERVAL);
        if due {
            *told = Some(Instant::now());
        }
        due
    }

    fn end(&self, problem: Problem) {
        let begun = self.told.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let last = if begun { written(&Last::Problem(problem.json())) } else { Err(problem) };
        // Nobody may be there to hear it.
        let _ = self.send(last);
    }

    fn send(&self, line: Result<Bytes, Problem>) -> ControlFlow<()> {
        // The clock of the timeout is the runtime's, so it is set inside.
        let sending = async { tokio::time::timeout(STREAM_STALL, self.queue.send(line)).await };
        match self.runtime.block_on(sending) {
            Ok(Ok(())) => ControlFlow::Continue(()),
            Ok(Err(_)) | Err(_) => ControlFlow::Break(()),
        }
    }
}

fn written(line: &impl Serialize) -> Result<Bytes, Problem> {
    let mut text = serde_json::to_vec(line).map_err(|error| unwritable(&error))?;
    text.push(b'\n');
    Ok(text.into())
}
