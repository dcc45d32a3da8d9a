//! The listener of hooks, on threads of its own: an app that is slow to answer takes none from the ledger. Probes and
//! metrics for a gateway that runs alone.

use std::fmt::Write as _;
use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ledger_api::http::{RenderMetrics, serve_routes};
use ledger_api::limits::{ADMIN_CONNECTIONS_MAX, Deadlines};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use crate::gateway::Gateway;
use crate::journal::{Journal, JournalStatus};
use crate::limits::{CONNECTIONS_MAX, HOOKS_AT_A_TIME, LOOKUPS_AT_A_TIME};

/// Threads that read keys.
const KEY_THREADS: usize = 16;

/// Threads for a gateway: one that may wait for each hook that goes on to an app.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .thread_name("gateway")
        .max_blocking_threads(HOOKS_AT_A_TIME + LOOKUPS_AT_A_TIME + KEY_THREADS)
        .build()
}

/// Takes hooks until `shutdown` completes and those that are open are answered, or the time for that is over.
pub async fn serve(
    listener: TcpListener,
    gateway: Gateway,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    tracing::info!(address = %listener.local_addr()?, "hooks are taken");
    serve_routes(listener, gateway.routes(), CONNECTIONS_MAX, Deadlines::default(), shutdown).await;
    Ok(())
}

/// Answers `/livez`, `/readyz` and `/metrics` of a gateway that has no ledger beside it.
pub async fn serve_admin(
    listener: TcpListener,
    journal: Journal,
    metrics: RenderMetrics,
    shutdown: impl Future<Output = ()>,
) {
    let ready = move || {
        let journal = journal.clone();
        async move { readiness(&journal.status()) }
    };
    let render = move || {
        let metrics = Arc::clone(&metrics);
        async move { metrics() }
    };
    let routes = Router::new()
        .route("/livez", get(|| async { StatusCode::OK }))
        .route("/readyz", get(ready))
        .route("/metrics", get(render));
    serve_routes(listener, routes, ADMIN_CONNECTIONS_MAX, Deadlines::default(), shutdown).await;
}

/// Ready while it can take a hook. What waits for Kafka is shown, and does not count.
fn readiness(status: &JournalStatus) -> Response {
    let JournalStatus { lines, waiting_events, waiting_bytes, max_bytes, oldest, broken, blocked } = status;
    let is_ready = broken.is_none() && waiting_bytes < max_bytes;
    let oldest = oldest.map(ledger_record::json::time::format_instant);
    let journal = json!({
        "lines": lines, "waitingEvents": waiting_events, "waitingBytes": waiting_bytes, "maxBytes": max_bytes,
        "oldest": oldest, "broken": broken, "blocked": blocked,
    });
    let mut body = json!({ "ready": is_ready, "journal": journal }).to_string();
    // Writing into a text does not fail.
    let _ = writeln!(body);
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [("content-type", "application/json")], body).into_response()
}
