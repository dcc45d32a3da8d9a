//! The server: takes connections until it is told to stop, then lets open requests come to their end.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use super::Api;
use super::body::{AnswerBody, TimedBody};
use super::connection::{ConnectionPlace, Connections};
use super::metric;
use super::socket::Socket;
use super::tls::{ClientCertificate, Tls};
use crate::limits::{
    ADMIN_CONNECTIONS_MAX, DRAIN, Deadlines, HEAD_MAX_BYTES, TLS_FILES_INTERVAL, UNREAD_KEPT_BY_SYSTEM_BYTES,
};

/// How long to wait after a connection could not be taken, so that a lack of file descriptors does not
/// become a busy loop.
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(50);

/// Serves until `shutdown` completes and the open requests are answered, or [`DRAIN`] is over.
pub async fn serve(listener: TcpListener, api: Api, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let connections = Arc::new(Connections::new(api.options.connections, true));
    tracing::info!(address = %listener.local_addr()?, "the HTTP interface is open");
    let (deadlines, places, tls) = (api.deadlines, api.places.clone(), api.tls.clone());
    let following = tls.clone().map(|tls| tokio::spawn(follow_files(tls)));
    let protocol = Protocol { router: api.router(), tls, deadlines };
    take_all(listener, connections, protocol, shutdown, || places.close()).await;
    if let Some(following) = following {
        following.abort();
    }
    Ok(())
}

/// Serves probes and metrics in the same way.
pub async fn serve_admin(
    listener: TcpListener,
    api: Api,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let connections = Arc::new(Connections::new(ADMIN_CONNECTIONS_MAX, false));
    tracing::info!(address = %listener.local_addr()?, "probes and metrics are open");
    let deadlines = api.deadlines;
    let protocol = Protocol { router: api.admin_router(), tls: None, deadlines };
    take_all(listener, connections, protocol, shutdown, || ()).await;
    Ok(())
}

/// Keeps to the files of the certificate.
async fn follow_files(tls: Arc<Tls>) {
    loop {
        tokio::time::sleep(TLS_FILES_INTERVAL).await;
        let tls = Arc::clone(&tls);
        // A panic was reported where it happened; the next look may do better.
        let _ = tokio::task::spawn_blocking(move || tls.follow_files()).await;
    }
}

/// How connections are spoken with.
struct Protocol {
    router: Router,
    tls: Option<Arc<Tls>>,
    deadlines: Deadlines,
}

/// Takes connections until the shutdown, then lets what is open come to its end.
async fn take_all(
    listener: TcpListener,
    connections: Arc<Connections>,
    protocol: Protocol,
    shutdown: impl Future<Output = ()>,
    stop: impl FnOnce(),
) {
    let open = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    let mut failing = Failing::default();
    loop {
        let taken = tokio::select! {
            () = &mut shutdown => break,
            taken = take(&listener, &connections, &mut failing) => taken,
        };
        if let Some((stream, place)) = taken {
            protocol.begin(stream, place, open.watcher());
        }
    }
    drop(listener);
    stop();
    if tokio::time::timeout(DRAIN, open.shutdown()).await.is_err() {
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

impl Protocol {
    /// Speaks with a client, over TLS once the handshake is done.
    fn begin(&self, stream: TcpStream, place: ConnectionPlace, open: Watcher) {
        if let Err(error) = prepare(&stream) {
            tracing::debug!(%error, "a connection is gone already");
            return;
        }
        let (router, deadlines) = (self.router.clone(), self.deadlines);
        let Some(tls) = &self.tls else {
            return converse(stream, None, place, router, deadlines, open);
        };
        let handshake = tokio::time::timeout(deadlines.head, tls.acceptor().accept(stream));
        tokio::spawn(async move {
            let shaken = tokio::select! {
                shaken = handshake => shaken,
                () = place.activity.closed() => return,
            };
            match shaken {
                Ok(Ok(stream)) => {
                    let certificate = ClientCertificate::of(stream.get_ref().1.peer_certificates());
                    converse(stream, certificate, place, router, deadlines, open);
                }
                Ok(Err(error)) => tracing::debug!(%error, "a client does not speak TLS as it is spoken here"),
                Err(_) => metric::closed(metric::Why::Head),
            }
        });
    }
}

fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    certificate: Option<ClientCertificate>,
    place: ConnectionPlace,
    router: Router,
    deadlines: Deadlines,
    open: Watcher,
) {
    let activity = Arc::clone(&place.activity);
    let socket = Socket::new(stream, Arc::clone(&activity), deadlines);
    let router = TowerToHyperService::new(router);
    let answering = service_fn(move |mut request: Request<Incoming>| {
        if let Some(certificate) = certificate {
            request.extensions_mut().insert(certificate);
        }
        let open = activity.begin_request();
        let timed = |body: Incoming| {
            if body.is_end_stream() {
                return Body::empty();
            }
            Body::new(TimedBody::new(body, Arc::clone(&activity), deadlines))
        };
        let answer = router.call(request.map(timed));
        async move {
            let answer = answer.await?;
            Ok::<_, Infallible>(answer.map(|inner| Body::new(AnswerBody { inner, _request: open })))
        }
    });
    let connection = http1::Builder::new()
        // The socket has the deadlines.
        .header_read_timeout(None)
        .max_buf_size(HEAD_MAX_BYTES)
        .serve_connection(TokioIo::new(socket), answering);
    let watched = open.watch(connection);
    tokio::spawn(async move {
        tokio::select! {
            ended = watched => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
            }
            () = place.activity.closed() => {}
        }
    });
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
