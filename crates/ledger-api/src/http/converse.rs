//! One connection: which protocol it speaks, its requests to the router, its end.
//!
//! In: a stream of bytes, whatever it comes through, and what is known of its client already. HTTP/2 is known by its
//! preface, which is read within the deadlines of any first bytes; a client that agreed on a protocol before, over TLS, and
//! begins with another one is let go. Both protocols run on the same [`Socket`] and are ended by the same three: the client,
//! the listener that needs room, the server that stops. So is a handshake before them.
//!
//! HTTP/2 has guards of its own beside those of the socket: pings that must be answered, few streams for each
//! connection, small buffers, and a deadline for each answer that is not read ([`super::unread`]).

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, header};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::body::{AnswerBody, TimedBody};
use super::connection::{ConnectionPlace, OpenRequest};
use super::metric;
use super::socket::Socket;
use super::tls::shake_hands;
use super::unread::{StreamExecutor, UnreadAnswer};
use crate::access::ClientCertificate;
use crate::limits::{
    BODY_MAX_BYTES, Deadlines, HEAD_MAX_BYTES, HTTP_2_CONNECTION_WINDOW_BYTES, HTTP_2_HEAD_MAX_BYTES,
    HTTP_2_STREAMS, LAST_OF_HTTP_2,
};

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// What is known of a client before its first byte of HTTP.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Peer {
    /// What it agreed to speak.
    pub(super) protocol: Option<Protocol>,
    /// What it proved to have the key of.
    pub(super) certificate: Option<ClientCertificate>,
}

/// What all connections share.
#[derive(Debug, Clone)]
pub(super) struct Conversation {
    pub(super) router: Router,
    pub(super) deadlines: Deadlines,
    /// True once the server stops. The server waits until all copies are gone.
    pub(super) stopping: watch::Receiver<bool>,
}

impl Conversation {
    /// Serves a connection over TLS to its end. A client that does not shake hands has the time of a head for it.
    pub(super) async fn hold_secured(self, stream: TcpStream, acceptor: TlsAcceptor, place: ConnectionPlace) {
        let mut stopping = self.stopping.clone();
        let handshake = tokio::time::timeout(self.deadlines.head, shake_hands(acceptor, stream));
        let shaken = tokio::select! {
            shaken = handshake => shaken,
            () = place.activity.closed() => return,
            () = stopped(&mut stopping) => return,
        };
        match shaken {
            Ok(Ok((stream, peer))) => self.hold(stream, peer, place).await,
            Ok(Err(error)) => tracing::debug!(%error, "a client does not speak TLS as it is spoken here"),
            Err(_) => metric::closed(metric::Why::Head),
        }
    }

    /// Serves a connection to its end.
    pub(super) async fn hold<S>(self, stream: S, peer: Peer, place: ConnectionPlace)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::clone(&place.activity);
        let mut socket = Socket::new(stream, Arc::clone(&activity), self.deadlines);
        let mut stopping = self.stopping.clone();
        let protocol = tokio::select! {
            protocol = socket.protocol() => protocol,
            () = activity.closed() => None,
            () = stopped(&mut stopping) => None,
        };
        match protocol.filter(|protocol| peer.protocol.is_none_or(|agreed| agreed == *protocol)) {
            Some(Protocol::Http1) => self.hold_http1(socket, peer, place).await,
            Some(Protocol::Http2) => self.hold_http2(socket, peer, place).await,
            None => {}
        }
    }

    async fn hold_http1<S>(self, socket: Socket<S>, peer: Peer, place: ConnectionPlace)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let answering = answering(self.router, &place, peer, self.deadlines, |answer, open| {
            answer.map(|inner| Body::new(AnswerBody::new(inner, open)))
        });
        let connection = http1::Builder::new()
            // The socket has the deadlines.
            .header_read_timeout(None)
            .max_buf_size(HEAD_MAX_BYTES)
            .serve_connection(TokioIo::new(socket), answering);
        drive(connection, &place, self.stopping, None).await;
    }

    async fn hold_http2<S>(self, mut socket: Socket<S>, peer: Peer, place: ConnectionPlace)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let deadlines = self.deadlines;
        let answering = answering(self.router, &place, peer, deadlines, |answer, open| {
            let unread = UnreadAnswer::of_this_stream();
            let body = |inner| Body::new(AnswerBody::new(inner, open).in_pieces(unread));
            without_connection(answer).map(body)
        });
        socket.speak_http2();
        let mut builder = http2::Builder::new(StreamExecutor::new(deadlines.unread));
        let connection = builder
            .timer(TokioTimer::new())
            .keep_alive_interval(deadlines.ping)
            .keep_alive_timeout(deadlines.ping)
            .max_concurrent_streams(HTTP_2_STREAMS)
            .max_header_list_size(HTTP_2_HEAD_MAX_BYTES)
            .initial_stream_window_size(u32::try_from(BODY_MAX_BYTES).ok())
            .initial_connection_window_size(HTTP_2_CONNECTION_WINDOW_BYTES)
            .serve_connection(TokioIo::new(socket), answering);
        // A client that does not answer the last ping would keep the connection open.
        drive(connection, &place, self.stopping, Some(LAST_OF_HTTP_2)).await;
    }
}

/// Answers requests by the router; `send` makes of each answer what the protocol sends.
fn answering(
    router: Router,
    place: &ConnectionPlace,
    peer: Peer,
    deadlines: Deadlines,
    send: fn(Response<Body>, Arc<OpenRequest>) -> Response<Body>,
) -> impl Service<
    Request<Incoming>,
    Response = Response<Body>,
    Error = Infallible,
    Future: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
> + use<> {
    let activity = Arc::clone(&place.activity);
    let router = TowerToHyperService::new(router);
    service_fn(move |mut request: Request<Incoming>| {
        if let Some(certificate) = peer.certificate {
            request.extensions_mut().insert(certificate);
        }
        let open = activity.begin_request();
        let answer = router.call(request.map(|body| timed(body, &open, deadlines)));
        async move { Ok::<_, Infallible>(send(answer.await?, open)) }
    })
}

/// The body of a request, which has a deadline.
fn timed(body: Incoming, open: &Arc<OpenRequest>, deadlines: Deadlines) -> Body {
    if body.is_end_stream() {
        return Body::empty();
    }
    Body::new(TimedBody::new(body, Arc::clone(open), deadlines))
}

/// On HTTP/2 a stream ends alone, and this header is none.
fn without_connection(mut answer: Response<Body>) -> Response<Body> {
    answer.headers_mut().remove(header::CONNECTION);
    answer
}

/// Completes when the server stops, or is gone without a word.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stops| *stops).await;
}

/// Runs a connection until its client ends it, it must make room, or nothing keeps a server that stops. A connection
/// that is told to end and has no request gets no more than the grace, if there is one.
async fn drive<C: GracefulConnection>(
    connection: C,
    place: &ConnectionPlace,
    mut stopping: watch::Receiver<bool>,
    grace: Option<Duration>,
) where
    C::Error: std::fmt::Display,
{
    let mut connection = pin!(connection);
    let mut is_ending = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            () = place.activity.closed() => return,
            () = stopped(&mut stopping), if !is_ending => {}
            () = place.activity.idled(), if !is_ending => {}
            () = tokio::time::sleep(grace.unwrap_or_default()), if is_ending && grace.is_some() => {
                if !place.activity.has_requests() {
                    return;
                }
                continue;
            }
        }
        is_ending = true;
        connection.as_mut().graceful_shutdown();
    }
}
