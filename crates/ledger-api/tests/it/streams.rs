//! Lists as NDJSON streams, and shutdown of the server.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger_api::http::{Api, Options};
use ledger_api::serve;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::filled::{Filled, installed};
use crate::http::Server;

const LINES: &str = "application/x-ndjson";

fn many() -> Filled {
    let mut filled = Filled::with(2);
    for partition in [0, 1] {
        let numbers = (0..1200).filter(|number| number % 2 == partition);
        let one = |number| (1, 1, installed(&format!("t-{number:04}"), "app", "EU", "EU"));
        filled.take_all(partition, numbers.map(one));
    }
    filled.take(0, 2, installed("split", "app", "EU", "EU"));
    filled.take(1, 2, installed("split", "app", "EU", "EU"));
    filled
}

fn lines(body: &str) -> Vec<Value> {
    body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn list_is_streamed_to_its_end() {
    let filled = many();
    let server = Server::of(&filled.ledger, Options::default());
    let answer = server.accepting("/v1/installations", "text/html;q=0.1, application/x-ndjson; q=0.9");
    assert_eq!((answer.status, answer.content_type.as_str()), (200, LINES));
    let mut lines = lines(&answer.body);
    assert_eq!(lines.pop().unwrap()["freshness"].as_array().unwrap().len(), 2);
    assert_eq!(lines.len(), 1201);
    let refused: Vec<_> = lines.extract_if(.., |line| line.get("refused").is_some()).collect();
    assert_eq!(refused[0]["refused"]["clientKey"], "split");
    for (number, state) in lines.iter().enumerate() {
        assert_eq!(state["clientKey"], format!("t-{number:04}"));
    }
}

#[test]
fn limit_ends_a_stream() {
    let filled = many();
    let server = Server::of(&filled.ledger, Options::default());
    for limit in [1, 500, 501, 2000] {
        let answer = server.accepting(&format!("/v1/installations?appKey=app&limit={limit}"), LINES);
        assert_eq!(lines(&answer.body).len(), limit.min(1201) + 1, "{limit}");
    }
}

#[test]
fn log_is_streamed_and_early_errors_are_problems() {
    let mut filled = Filled::with(1);
    filled.take_all(0, (0..1100).map(|_| (1, 1, installed("acme", "app", "EU", "EU"))));
    let server = Server::of(&filled.ledger, Options::default());
    let mut records = lines(&server.accepting("/v1/tenants/acme/log?fromSeq=3", LINES).body);
    assert!(records.pop().unwrap()["freshness"].is_array());
    let seqs: Vec<_> = records.iter().map(|record| record["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (3..=1100).collect::<Vec<_>>());
    let unknown = server.accepting("/v1/tenants/nobody/log", LINES);
    assert_eq!((unknown.status, unknown.content_type.as_str()), (404, "application/problem+json"));
}

#[test]
fn disconnected_client_frees_its_slot() {
    let filled = many();
    let options = Options { concurrent_requests: 1, ..Options::default() };
    let server = Server::of(&filled.ledger, options);
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let request = format!("GET /v1/installations HTTP/1.1\r\nhost: localhost\r\naccept: {LINES}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut first = [0; 16];
    stream.read_exact(&mut first).unwrap();
    drop(stream);
    let until = Instant::now() + Duration::from_secs(20);
    while server.get("/v1/tenants/t-0001").status != 200 {
        assert!(Instant::now() < until, "the place is still taken");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn stopping_server_answers_open_requests() {
    let filled = many();
    let server = Server::of(&filled.ledger, Options::default());
    let api = Api::new(Arc::clone(&filled.ledger), Arc::new(String::new), Options::default());
    let (stop, stopped) = oneshot::channel::<()>();
    let (address, serving) = server.runtime().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = async move {
            let _ = stopped.await;
        };
        (address, tokio::spawn(serve(listener, api, shutdown)))
    });
    // The request waits for a position that is recorded after the server was signalled to stop.
    let mut open = TcpStream::connect(address).unwrap();
    let request = "GET /v1/tenants/t-0001?minPosition=603 HTTP/1.1\r\nhost: localhost\r\n\r\n";
    open.write_all(request.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    stop.send(()).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert!(!serving.is_finished(), "a request is open");
    let mut filled = filled;
    while filled.take(1, 3, installed("t-0001", "app", "EU", "EU")) < 603 {}
    let mut answer = String::new();
    open.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    server.runtime().block_on(serving).unwrap().unwrap();
    assert!(TcpStream::connect(address).is_err(), "closed");
}
