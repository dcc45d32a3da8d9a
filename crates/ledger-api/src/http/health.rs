//! Whether the process is there, whether its answers are fresh, and its metrics.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use ledger_core::time::Timestamp;
use ledger_store::Phase;
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::Api;
use super::ask::panicked;
use super::problem::{Kind, Problem};
use crate::query::{FreshnessJson, Ledger};

/// How far a shard that catches up may be behind and still count as ready. A shard that nothing feeds, or
/// that halted, never does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadyBounds {
    /// Messages behind the end of the partition.
    pub lag_events: u64,
    /// Time behind it.
    pub lag_seconds: u64,
}

impl Default for ReadyBounds {
    fn default() -> Self {
        Self { lag_events: 10_000, lag_seconds: 60 }
    }
}

/// What `/readyz` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Readiness {
    ready: bool,
    shards: Vec<ShardReadiness>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShardReadiness {
    ready: bool,
    /// Has seen the end of its source.
    caught_up: bool,
    #[serde(flatten)]
    freshness: FreshnessJson,
}

impl Readiness {
    fn of(ledger: &Ledger, now: Timestamp, bounds: ReadyBounds) -> Self {
        let shards = ledger.freshness(now).into_iter().map(|freshness| ShardReadiness {
            ready: bounds.admit(&freshness),
            caught_up: freshness.phase == Phase::Live.as_str(),
            freshness,
        });
        let shards: Vec<_> = shards.collect();
        Self { ready: !shards.is_empty() && shards.iter().all(|shard| shard.ready), shards }
    }

    /// Which shards keep the process from being ready.
    fn why_not(&self) -> String {
        let waiting = self.shards.iter().filter(|shard| !shard.ready).map(|shard| {
            let FreshnessJson { topic, partition, phase, halted, .. } = &shard.freshness;
            let why = halted.as_ref().map_or_else(String::new, |halted| format!(" ({})", halted.code));
            format!("{topic}/{partition} is {phase}{why}")
        });
        let waiting: Vec<_> = waiting.collect();
        if waiting.is_empty() { "there are no shards yet".to_owned() } else { waiting.join(", ") }
    }
}

impl ReadyBounds {
    fn admit(self, shard: &FreshnessJson) -> bool {
        let near = || {
            shard.lag.is_some_and(|lag| lag <= self.lag_events)
                && shard.lag_seconds.is_some_and(|lag| lag <= self.lag_seconds)
        };
        shard.phase == Phase::Live.as_str() || shard.phase == Phase::CatchingUp.as_str() && near()
    }
}

pub(super) async fn livez() -> Json<serde_json::Value> {
    Json(serde_json::json!({"status": "ok"}))
}

pub(super) async fn readyz(State(api): State<Api>) -> Result<Response, Problem> {
    let (ledger, now, bounds) = (Arc::clone(&api.ledger), (api.clock)(), api.options.ready);
    let told = spawn_blocking(move || Readiness::of(&ledger, now, bounds)).await;
    let readiness = told.map_err(|_| panicked())?;
    if readiness.ready {
        return Ok(Json(readiness).into_response());
    }
    let problem = Problem::new(Kind::NotReady, readiness.why_not());
    Ok(problem.response_with(readiness))
}

pub(super) async fn metrics(State(api): State<Api>) -> Result<Response, Problem> {
    let render = Arc::clone(&api.metrics);
    let text = spawn_blocking(move || render()).await.map_err(|_| panicked())?;
    let media_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}
