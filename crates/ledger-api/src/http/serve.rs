//! The server: takes connections until it is told to stop, then lets open requests come to their end.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::Api;
use super::connection::{ConnectionPlace, Connections};
use super::converse::{Conversation, Peer};
use super::observe::refuse_broken_escapes;
use super::tls::Tls;
use crate::access::Access;
use crate::limits::{
    ADMIN_CONNECTIONS_MAX, CREDENTIALS_INTERVAL, DRAIN, Deadlines, JWKS_REFRESH_AFTER,
    UNREAD_KEPT_BY_SYSTEM_BYTES,
};

/// How long to wait after a connection could not be taken, so that a lack of file descriptors does not
/// become a busy loop.
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(50);

/// Serves these routes until `shutdown` completes and the open requests are answered, or [`DRAIN`] is over.
pub(crate) async fn serve(
    listener: TcpListener,
    api: &Api,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let connections = Arc::new(Connections::new(api.options.connections, true));
    tracing::info!(address = %listener.local_addr()?, "the HTTP interface is open");
    let (places, decisions) = (api.places.clone(), api.decisions.clone());
    let stop = || {
        places.close();
        decisions.close();
    };
    let following = tokio::spawn(follow_credentials(Arc::clone(&api.access), api.tls.clone()));
    let serving = Serving { router, deadlines: api.deadlines, tls: api.tls.clone() };
    take_all(listener, connections, serving, shutdown, stop).await;
    following.abort();
    Ok(())
}

/// Keeps to the files of the certificate, and to the keys of issuers.
async fn follow_credentials(access: Arc<Access>, tls: Option<Arc<Tls>>) {
    loop {
        tokio::time::sleep(CREDENTIALS_INTERVAL).await;
        if let Some(tls) = tls.clone() {
            // A panic was reported where it happened; the next look may do better.
            let _ = tokio::task::spawn_blocking(move || tls.follow_files()).await;
        }
        access.refresh(JWKS_REFRESH_AFTER).await;
    }
}

/// Serves probes and metrics in the same way, without access control: no tenant is in them.
pub async fn serve_admin(
    listener: TcpListener,
    api: Api,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let connections = Arc::new(Connections::new(ADMIN_CONNECTIONS_MAX, false));
    tracing::info!(address = %listener.local_addr()?, "probes and metrics are open");
    let deadlines = api.deadlines;
    let serving = Serving { router: api.admin_router(), deadlines, tls: None };
    take_all(listener, connections, serving, shutdown, || ()).await;
    Ok(())
}

/// Serves these routes in the same way, for a listener of another kind: with the same guards of sockets, heads and bodies,
/// and the same measures. Who may call them is their own affair.
pub async fn serve_routes(
    listener: TcpListener,
    routes: Router,
    connections: usize,
    deadlines: Deadlines,
    shutdown: impl Future<Output = ()>,
) {
    let connections = Arc::new(Connections::new(connections, false));
    let serving = Serving {
        router: super::layered(routes.layer(from_fn(refuse_broken_escapes))),
        deadlines,
        tls: None,
    };
    take_all(listener, connections, serving, shutdown, || ()).await;
}

/// What is served on a listener.
struct Serving {
    router: Router,
    deadlines: Deadlines,
    tls: Option<Arc<Tls>>,
}

/// Takes connections until the shutdown, then lets what is open come to its end.
async fn take_all(
    listener: TcpListener,
    connections: Arc<Connections>,
    Serving { router, deadlines, tls }: Serving,
    shutdown: impl Future<Output = ()>,
    close: impl FnOnce(),
) {
    let (stop, stopping) = watch::channel(false);
    let conversation = Conversation { router, deadlines, stopping };
    let mut shutdown = std::pin::pin!(shutdown);
    let mut failing = Failing::default();
    loop {
        let taken = tokio::select! {
            () = &mut shutdown => break,
            taken = take(&listener, &connections, &mut failing) => taken,
        };
        if let Some((stream, place)) = taken {
            if let Err(error) = prepare(&stream) {
                tracing::debug!(%error, "a connection is gone already");
                continue;
            }
            let conversation = conversation.clone();
            match tls.as_ref().map(|tls| tls.acceptor()) {
                None => tokio::spawn(conversation.hold(stream, Peer::default(), place)),
                Some(acceptor) => tokio::spawn(conversation.hold_secured(stream, acceptor, place)),
            };
        }
    }
    drop((listener, conversation));
    close();
    stop.send_replace(true);
    if tokio::time::timeout(DRAIN, stop.closed()).await.is_err() {
        tracing::warn!(?DRAIN, "requests were still open when the server stopped");
    }
}

/// The next connection, once there is room for it.
async fn take(
    listener: &TcpListener,
    connections: &Arc<Connections>,
    failing: &mut Failing,
) -> Option<(TcpStream, ConnectionPlace)> {
    match listener.accept().await {
        Ok((stream, _)) => {
            if let Some(times) = failing.ends() {
                tracing::info!(times, "connections are taken again");
            }
            Some((stream, connections.admit().await?))
        }
        Err(error) => {
            if failing.fails() {
                tracing::warn!(%error, "no connection can be taken, trying again and again");
            }
            tokio::time::sleep(AFTER_FAILED_ACCEPT).await;
            None
        }
    }
}

/// Connections that could not be taken since the last one that was. It is told when that begins and when it ends.
#[derive(Debug, Default)]
struct Failing(u64);

impl Failing {
    /// Answers whether it did not fail before.
    fn fails(&mut self) -> bool {
        self.0 += 1;
        self.0 == 1
    }

    /// Answers how often it failed, if it did.
    fn ends(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.0)).filter(|times| *times > 0)
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    // An answer is written in one piece; waiting for more to send with it would only delay it.
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_send_buffer_size(UNREAD_KEPT_BY_SYSTEM_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_no_connection_can_be_taken_is_told_once_and_so_is_its_end() {
        let mut failing = Failing::default();
        assert_eq!(failing.ends(), None);
        assert_eq!([failing.fails(), failing.fails(), failing.fails()], [true, false, false]);
        assert_eq!((failing.ends(), failing.ends(), failing.fails()), (Some(3), None, true));
    }
}
