//! The listener of hooks, on threads of its own: an app that is slow to answer takes none from the ledger. Probes and
//! metrics for a gateway that runs alone.

use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ledger_api::http::{JournalHealth, RenderMetrics, serve_routes};
use ledger_api::limits::{ADMIN_CONNECTIONS_MAX, CREDENTIALS_INTERVAL, Deadlines, JWKS_REFRESH_AFTER};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use crate::gateway::{Gateway, GatewayState};
use crate::journal::Journal;
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
    let state = Arc::clone(&gateway.0);
    let following = tokio::spawn(follow_keys(Arc::clone(&gateway.0)));
    serve_routes(listener, gateway.routes(), CONNECTIONS_MAX, Deadlines::default(), shutdown).await;
    following.abort();
    state.settle().await;
    Ok(())
}

/// Reads keys again that are old: those of Forge, and those of issuers, as a gateway that runs alone has no other server that
/// does.
async fn follow_keys(state: Arc<GatewayState>) {
    loop {
        tokio::time::sleep(CREDENTIALS_INTERVAL).await;
        state.forge_keys.refresh(JWKS_REFRESH_AFTER).await;
        state.access.refresh(JWKS_REFRESH_AFTER).await;
    }
}

/// Answers `/livez`, `/readyz` and `/metrics` of a gateway that has no ledger beside it.
pub async fn serve_admin(
    listener: TcpListener,
    journal: Journal,
    metrics: RenderMetrics,
    shutdown: impl Future<Output = ()>,
) {
    let broken = journal.clone();
    let live = move || {
        let broken = broken.clone();
        async move { liveness(&broken.status()) }
    };
    let ready = move || {
        let journal = journal.clone();
        async move { readiness(journal.status()) }
    };
    let render = move || {
        let metrics = Arc::clone(&metrics);
        async move { metrics() }
    };
    let routes =
        Router::new().route("/livez", get(live)).route("/readyz", get(ready)).route("/metrics", get(render));
    serve_routes(listener, routes, ADMIN_CONNECTIONS_MAX, Deadlines::default(), shutdown).await;
}

/// The answer of `/readyz`.
#[derive(Serialize)]
struct GatewayReadiness {
    ready: bool,
    journal: JournalHealth,
}

/// A journal that cannot be written takes nothing, and whoever watches the process may start it anew, on another disk.
fn liveness(journal: &JournalHealth) -> StatusCode {
    if journal.broken.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// Ready while it can take a hook. What waits for Kafka is shown, and does not count.
fn readiness(journal: JournalHealth) -> Response {
    let ready = journal.broken.is_none() && !journal.is_full();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // What a journal is is always JSON.
    let body =
        ledger_record::json::to_string(&GatewayReadiness { ready, journal }).unwrap_or_default() + "\n";
    (status, [("content-type", "application/json")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(journal: JournalHealth) -> (u16, String) {
        let response = readiness(journal);
        let status = response.status().as_u16();
        let body = futures_executor::block_on(axum::body::to_bytes(response.into_body(), 1024)).unwrap();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[test]
    fn a_gateway_is_ready_while_its_journal_takes_hooks() {
        let waiting = JournalHealth {
            lines: 9,
            waiting_events: 2,
            waiting_bytes: 7,
            max_bytes: 8,
            ..JournalHealth::default()
        };
        let (status, body) =
            answer(JournalHealth { blocked: Some("no broker".to_owned()), ..waiting.clone() });
        assert_eq!(status, 200);
        assert_eq!(
            body,
            "{\"ready\":true,\"journal\":{\"lines\":9,\"waitingEvents\":2,\"waitingBytes\":7,\"maxBytes\":8,\
             \"blocked\":\"no broker\"}}\n"
        );
        assert_eq!(answer(JournalHealth { max_bytes: 7, ..waiting.clone() }).0, 503, "full");
        let (status, body) = answer(JournalHealth { full: true, ..waiting.clone() });
        assert!(
            status == 503 && body.contains("\"full\":true"),
            "the next event is longer than the room: {body}"
        );
        assert_eq!(liveness(&waiting), 200);
        let broken = JournalHealth { broken: Some("no space".to_owned()), ..waiting };
        assert_eq!((liveness(&broken), answer(broken).0), (StatusCode::SERVICE_UNAVAILABLE, 503));
    }
}
