//! The server: takes connections until it is told to stop, then lets open requests come to their end.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Api;
use crate::limits::{DRAIN, HEAD_MAX_BYTES, HEAD_TIMEOUT};

/// How long to wait after a connection could not be taken, so that a lack of file descriptors does not
/// become a busy loop.
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(50);

/// Serves until `shutdown` completes and the open requests are answered, or [`DRAIN`] is over.
pub async fn serve(listener: TcpListener, api: Api, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let address = listener.local_addr()?;
    let room = Arc::new(Semaphore::new(api.options.connections));
    let router = api.router();
    let open = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    tracing::info!(%address, "the HTTP interface is open");
    loop {
        let taken = tokio::select! {
            () = &mut shutdown => break,
            taken = take(&listener, &room) => taken,
        };
        if let Some((stream, place)) = taken {
            converse(stream, place, router.clone(), &open);
        }
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, open.shutdown()).await.is_err() {
        tracing::warn!(?DRAIN, "requests were still open when the server stopped");
    }
    Ok(())
}

/// The next connection, once there is room for it.
async fn take(listener: &TcpListener, room: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    // The semaphore is never closed.
    let place = Arc::clone(room).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be taken");
            tokio::time::sleep(AFTER_FAILED_ACCEPT).await;
            None
        }
    }
}

fn converse(stream: TcpStream, place: OwnedSemaphorePermit, router: Router, open: &GracefulShutdown) {
    // An answer is written in one piece; waiting for more to send with it would only delay it.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection is gone already");
        return;
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let watched = open.watch(connection);
    tokio::spawn(async move {
        let _place = place;
        if let Err(error) = watched.await {
            tracing::debug!(%error, "a connection ended early");
        }
    });
}
