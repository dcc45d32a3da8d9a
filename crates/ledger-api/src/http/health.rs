//! Whether the process is there, whether its answers are fresh, and its metrics.
//!
//! A process is ready when at least one shard is assigned to it, and every shard that is assigned to it is live
//! or catches up and is within [`ReadyBounds`] of the end of its partition. A live shard that falls behind again
//! makes the process unready until it is near; a shard that halted, or that could not be opened, until a person
//! has looked. A shard that was given up, or that is on disk and was never assigned, does not count: another
//! process of the group feeds it, and what is answered from it here says `stale`.
//!
//! `?once=true` asks less: whether every shard that is assigned was read to its end, or halted, at one time since the
//! process started. From then on it says yes: a rollout waits for that, and what stops later takes no process away that
//! still answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use ledger_core::time::Timestamp;
use ledger_record::json;
use ledger_store::{Phase, ShardId};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::Api;
use super::ask::{panicked, unwritable};
use crate::ledger::{FreshnessJson, HaltedJson, Ledger};
use crate::problem::ProblemKind;
use crate::query::{Problem, read};

/// How far a shard may be behind the end of its partition and still count as ready. Both bounds hold, and a lag
/// that is not known is none that is near.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadyBounds {
    /// Messages behind the end of the partition.
    pub lag_events: u64,
    /// Time behind it, as `lagSeconds` has it.
    pub lag_seconds: u64,
}

impl Default for ReadyBounds {
    fn default() -> Self {
        Self { lag_events: 10_000, lag_seconds: 60 }
    }
}

/// A journal in front of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JournalHealth {
    /// Lines that were ever written.
    pub lines: u64,
    /// Of those, lines that are not yet in Kafka, or in the ledger without Kafka.
    pub waiting_events: u64,
    /// Their bytes, and how many may wait.
    pub waiting_bytes: u64,
    pub max_bytes: u64,
    /// When the first of them was recorded.
    pub oldest: Option<Timestamp>,
    /// Why nothing more is taken.
    pub broken: Option<String>,
    /// Why what waits does not go on.
    pub blocked: Option<String>,
    /// An event was refused for want of room, and nothing went on since.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub full: bool,
}

impl JournalHealth {
    /// Whether as much waits as may.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.full || self.waiting_bytes >= self.max_bytes
    }
}

/// How the journal is now.
pub type ReadJournal = Arc<dyn Fn() -> JournalHealth + Send + Sync>;

/// The answer of `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Readiness {
    ready: bool,
    /// The journal, where there is one. That events wait there keeps no process from being ready.
    journal: Option<JournalHealth>,
    /// Why the brokers give this process nothing, whatever is assigned to it.
    away: Option<HaltedJson>,
    /// Assigned shards that are being opened: they have nothing to show yet.
    #[serde(skip)]
    opening: Vec<ShardId>,
    shards: Vec<ShardReadiness>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShardReadiness {
    ready: bool,
    /// The group has given it to this process; the others do not count.
    assigned: bool,
    /// Has seen the end of its source.
    caught_up: bool,
    /// How the topic's producers place client keys; absent: not known yet.
    partitioner: Option<&'static str>,
    #[serde(rename = "")]
    freshness: FreshnessJson,
}

impl Readiness {
    fn of(ledger: &Ledger, now: Timestamp, bounds: ReadyBounds, journal: Option<JournalHealth>) -> Self {
        let shards = ledger.freshness(now).into_iter().map(|freshness| ShardReadiness {
            ready: bounds.admit(&freshness),
            assigned: freshness.assigned,
            caught_up: freshness.phase == Phase::Live.as_str(),
            partitioner: freshness.partitioner,
            freshness,
        });
        let shards: Vec<_> = shards.collect();
        let mut assigned = shards.iter().filter(|shard| shard.assigned).peekable();
        let opening = ledger.opening();
        let is_broken = journal.as_ref().is_some_and(|journal| journal.broken.is_some());
        let are_ready = assigned.peek().is_some() && assigned.all(|shard| shard.ready);
        let ready = opening.is_empty() && are_ready && !is_broken;
        Self { ready, journal, away: ledger.away(), opening, shards }
    }

    /// Whether every shard that is assigned was read to its end, or halted. While the brokers give nothing there is nothing to
    /// wait for, and what is recorded is answered.
    fn is_begun(&self) -> bool {
        if self.away.is_some() && !self.shards.is_empty() {
            return self.opening.is_empty();
        }
        let mut assigned = self.shards.iter().filter(|shard| shard.assigned).peekable();
        let is_begun = |shard: &ShardReadiness| shard.caught_up || shard.freshness.halted.is_some();
        self.opening.is_empty() && assigned.peek().is_some() && assigned.all(is_begun)
    }

    pub(crate) const fn is_ready(&self) -> bool {
        self.ready
    }

    /// Whether a shard is, by its `topic/partition`; none: it is not here.
    pub(crate) fn shard(&self, name: &str) -> Option<bool> {
        let is_named = |shard: &&ShardReadiness| {
            let FreshnessJson { topic, partition, .. } = &shard.freshness;
            format!("{topic}/{partition}") == name
        };
        self.shards.iter().find(is_named).map(|shard| shard.ready)
    }

    /// Which shards keep the process from being ready.
    fn why_not(&self) -> String {
        let waiting = self.shards.iter().filter(|shard| shard.assigned && !shard.ready);
        let opening = self.opening.iter().map(|id| format!("{id} is being opened"));
        let broken = self.journal.as_ref().and_then(|journal| journal.broken.as_ref());
        let broken = broken.map(|reason| format!("the journal cannot be written ({reason})"));
        let waiting: Vec<_> =
            waiting.map(|shard| why_not(&shard.freshness)).chain(opening).chain(broken).collect();
        match (&self.away, waiting.is_empty()) {
            (Some(HaltedJson { code, message }), true) => {
                format!("no shard is assigned to this process ({code}): {message}")
            }
            (None, true) => "no shard is assigned to this process".to_owned(),
            (Some(HaltedJson { code, message }), false) => {
                format!("{} ({code}: {message})", waiting.join(", "))
            }
            (None, false) => waiting.join(", "),
        }
    }
}

fn why_not(shard: &FreshnessJson) -> String {
    let FreshnessJson { topic, partition, phase, halted, stalled, lag, lag_seconds, .. } = shard;
    let behind = match (lag, lag_seconds) {
        (Some(lag), Some(seconds)) => Some(format!("{lag} messages and {seconds} s behind")),
        (Some(lag), None) => Some(format!("{lag} messages behind")),
        (None, _) => None,
    };
    let code = |halted: &Option<HaltedJson>| halted.as_ref().map(|halted| halted.code.to_string());
    let why = match code(halted) {
        Some(halted) => vec![halted],
        None => behind.into_iter().chain(code(stalled)).collect(),
    };
    let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(", ")) };
    format!("{topic}/{partition} is {phase}{why}")
}

impl ReadyBounds {
    fn admit(self, shard: &FreshnessJson) -> bool {
        let is_near = shard.lag.is_some_and(|lag| lag <= self.lag_events)
            && shard.lag_seconds.is_some_and(|lag| lag <= self.lag_seconds);
        !shard.stale && is_near
    }
}

pub(super) async fn livez() -> Response {
    json_answer(r#"{"status":"ok"}"#)
}

fn json_answer(text: impl IntoResponse) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}

impl Api {
    /// How ready the process and its shards are now.
    pub(crate) async fn readiness(&self) -> Result<Readiness, Problem> {
        let (ledger, now, bounds) = (Arc::clone(&self.ledger), (self.clock)(), self.options.ready);
        let journal = self.journal.clone();
        let read = move || Readiness::of(&ledger, now, bounds, journal.map(|read| read()));
        let read = spawn_blocking(read).await;
        let readiness = read.map_err(|_| panicked())?;
        if readiness.is_begun() {
            self.was_begun.store(true, Ordering::Relaxed);
        }
        Ok(readiness)
    }
}

#[derive(Deserialize)]
struct ReadyParameters {
    once: Option<bool>,
}

pub(super) async fn readyz(State(api): State<Api>, uri: Uri) -> Result<Response, Problem> {
    let ReadyParameters { once } = read(Vec::new(), uri.query().unwrap_or_default())?;
    let readiness = api.readiness().await?;
    let is_enough = once == Some(true) && api.was_begun.load(Ordering::Relaxed);
    if readiness.ready || is_enough {
        let text = json::to_vec(&readiness).map_err(|error| unwritable(&error))?;
        return Ok(json_answer(text));
    }
    let problem = Problem::new(ProblemKind::NotReady, readiness.why_not());
    Ok(problem.response_with(readiness))
}

pub(super) async fn metrics(State(api): State<Api>) -> Result<Response, Problem> {
    let (ledger, now, render) = (Arc::clone(&api.ledger), (api.clock)(), Arc::clone(&api.metrics));
    let text = spawn_blocking(move || {
        super::metric::report(&ledger.freshness(now), &ledger.away_topics(), !ledger.opening().is_empty());
        render()
    });
    let text = text.await.map_err(|_| panicked())?;
    let media_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}
