//! What a message takes that is only sent back; and clients that do little.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use h2::client::SendRequest;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use ledger_api::http::serve_routes;
use ledger_api::limits::Deadlines;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// More than any answer of one installation.
const BODY_MAX: usize = 1 << 20;
const GRPC: &str = "application/grpc";

/// Answers each request with its own body, behind the guards and measures of the server.
pub(crate) async fn serve_guarded(listener: TcpListener) {
    let routes = Router::new().route("/echo", post(echo));
    serve_routes(listener, routes, 100, Deadlines::default(), std::future::pending()).await;
}

/// The same on the libraries alone.
pub(crate) async fn serve_bare(listener: TcpListener) {
    let router = Router::new().route("/echo", post(echo));
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await
        });
    }
}

async fn echo(request: Request) -> Response {
    let is_grpc = request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == GRPC);
    let sent = Full::new(to_bytes(request.into_body(), BODY_MAX).await.expect("a body"));
    if !is_grpc {
        return ([(header::CONTENT_TYPE, "application/json")], Body::new(sent)).into_response();
    }
    let trailers = HeaderMap::from_iter([(
        header::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]);
    let sent = sent.with_trailers(async { Some(Ok(trailers)) });
    ([(header::CONTENT_TYPE, GRPC)], Body::new(sent)).into_response()
}

/// HTTP/1.1 on one connection, on the thread that asks.
pub(crate) struct HttpClient(BufReader<TcpStream>);

impl HttpClient {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        Self(BufReader::new(stream))
    }

    pub(crate) fn get(&mut self, target: &str) -> Vec<u8> {
        let (status, body) = self.try_get(target);
        assert_eq!(status, 200, "{target}");
        body
    }

    /// The status of the answer too, whatever it is.
    pub(crate) fn try_get(&mut self, target: &str) -> (u16, Vec<u8>) {
        self.ask(format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes())
    }

    pub(crate) fn post(&mut self, target: &str, body: &[u8]) -> Vec<u8> {
        let head =
            format!("POST {target} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
        let (status, body) = self.ask(&[head.as_bytes(), body].concat());
        assert_eq!(status, 200, "{target}");
        body
    }

    fn ask(&mut self, request: &[u8]) -> (u16, Vec<u8>) {
        self.0.get_mut().write_all(request).expect("a request that is taken");
        let (mut line, mut status, mut length) = (String::new(), 0, 0);
        loop {
            line.clear();
            self.0.read_line(&mut line).expect("a head");
            if line == "\r\n" {
                break;
            }
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest.get(..3).and_then(|digits| digits.parse().ok()).expect("a status");
            } else if let Some(number) = line.strip_prefix("content-length: ") {
                length = number.trim_end().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("a body");
        (status, body)
    }
}

/// gRPC on one connection, with a runtime of its own on the thread that asks.
pub(crate) struct GrpcClient {
    runtime: Runtime,
    client: SendRequest<Bytes>,
}

impl GrpcClient {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let client = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
            stream.set_nodelay(true).expect("a socket");
            let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
            tokio::spawn(connection);
            client
        });
        Self { runtime, client }
    }

    /// Sends a frame; the frame that comes back.
    pub(crate) fn call(&mut self, path: &str, frame: &[u8]) -> Vec<u8> {
        let request = axum::http::Request::post(format!("http://localhost{path}"));
        let request = request.header("content-type", GRPC).header("te", "trailers").body(());
        let (client, sent) = (self.client.clone(), Bytes::copy_from_slice(frame));
        self.runtime.block_on(async {
            let mut client = client.ready().await.expect("a connection");
            let (answer, mut body) =
                client.send_request(request.expect("a request"), false).expect("a stream");
            body.send_data(sent, true).expect("a body that is taken");
            let mut body = answer.await.expect("an answer").into_body();
            let mut came = Vec::new();
            while let Some(data) = body.data().await {
                let data = data.expect("data");
                body.flow_control().release_capacity(data.len()).expect("an open stream");
                came.extend_from_slice(&data);
            }
            let trailers = body.trailers().await.expect("trailers").expect("a status");
            assert_eq!(
                trailers.get("grpc-status").map(HeaderValue::as_bytes),
                Some(&b"0"[..]),
                "{trailers:?}"
            );
            came
        })
    }
}

/// A message of texts below 128 bytes, framed.
pub(crate) fn frame(fields: &[(u8, &str)]) -> Vec<u8> {
    let length =
        |bytes: usize| u8::try_from(bytes).ok().filter(|length| *length < 128).expect("a short text");
    let mut message = Vec::new();
    for (number, text) in fields {
        message.extend([number << 3 | 2, length(text.len())]);
        message.extend_from_slice(text.as_bytes());
    }
    let size = u32::try_from(message.len()).expect("a short message");
    [&[0][..], &size.to_be_bytes(), &message].concat()
}
