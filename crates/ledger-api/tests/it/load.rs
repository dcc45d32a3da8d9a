//! Slow clients, and more queries than the server answers at a time.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ledger_api::http::Options;
use ledger_api::limits::{BODY_MAX_BYTES, Deadlines, HEAD_MAX_BYTES, STREAM_CHUNK_BYTES};
use serde_json::Value;

use crate::filled::{Filled, installed};
use crate::http::Server;

pub(crate) const SOON: Duration = Duration::from_millis(300);

/// Longer than any deadline of these tests, and than this machine hesitates.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

const STUCK_BODY: &str = "POST /v1/whatif HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n";
const LOG: &str =
    "GET /v1/tenants/acme/log HTTP/1.1\r\nhost: localhost\r\naccept: application/x-ndjson\r\n\r\n";

/// A tenant whose log exceeds the socket buffers of an unread answer.
pub(crate) fn long() -> Filled {
    let mut filled = Filled::with(1);
    for _ in 0..10 {
        filled.take_all(0, (0..2_000).map(|_| (1, 1, installed("acme", "app", "EU", "EU"))));
    }
    filled
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn sending(server: &Server, text: &str) -> TcpStream {
    let mut stream = connect(server);
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

/// Everything the server sends until it closes the connection.
fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

fn problem(answer: &str, status: u16, code: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{code}: {answer}");
    assert!(answer.contains("content-type: application/problem+json\r\n"), "{code}: {answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close\r\n"), "{code}: {answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", body.len())), "{answer}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&body["code"], &body["status"]), (&code.into(), &status.into()), "{answer}");
    assert_eq!(body["type"], format!("urn:realm-ledger:problem:{code}"));
}

#[test]
fn malformed_request_gets_a_problem() {
    let filled = Filled::with(1);
    let server = Server::of(&filled.ledger, Options::default());
    for malformed in [
        "what is this\r\n\r\n",
        "GET /livez HTTP/1.1\r\nno colon\r\n\r\n",
        "GET /livez HTTP/9.9\r\nhost: localhost\r\n\r\n",
        "GET /live z HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM!\r\n",
        "POST /v1/whatif HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: many\r\n\r\n",
    ] {
        problem(&rest(&mut sending(&server, malformed)), 400, "malformed-request");
    }
    let headers = "x: y\r\n".repeat(101);
    let many = format!("GET /livez HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
    problem(&rest(&mut sending(&server, &many)), 431, "head-too-large");
    let long = "a".repeat(2 * HEAD_MAX_BYTES);
    let large = format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx-long: {long}\r\n\r\n");
    problem(&rest(&mut sending(&server, &large)), 431, "head-too-large");
    // The limit of the options applies although the HTTP library allows more.
    for (bytes, status) in [(HEAD_MAX_BYTES - 200, 200), (HEAD_MAX_BYTES + 1, 431), (40_000, 431)] {
        let head =
            format!("GET /livez HTTP/1.1\r\nconnection: close\r\nx-long: {}\r\n\r\n", "a".repeat(bytes));
        let answer = rest(&mut sending(&server, &head));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes}: {answer}");
    }
    for (target, code) in [
        ("/v1/tenants/%zz", "invalid-key"),
        ("/v1/tenants/acme%2", "invalid-key"),
        ("/v1/installations?appKey=%", "invalid-parameter"),
    ] {
        let answer = server.get(target);
        assert_eq!((answer.status, answer.json()["code"].as_str()), (400, Some(code)), "{target}");
    }
    // An earlier request on the same connection is answered normally.
    let mut stream = sending(&server, "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\nwhat is this\r\n\r\n");
    let both = rest(&mut stream);
    let second = both.find("HTTP/1.1 400").unwrap();
    assert!(
        both[..second].starts_with("HTTP/1.1 200") && both[..second].ends_with(r#"{"status":"ok"}"#),
        "{both}"
    );
    problem(&both[second..], 400, "malformed-request");
}

#[test]
fn oversized_body_gets_a_problem() {
    let filled = Filled::with(1);
    let server = Server::of(&filled.ledger, Options::default());
    let body = "x".repeat(4 * BODY_MAX_BYTES);
    let announced = format!(
        "POST /v1/whatif HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    problem(&rest(&mut sending(&server, &announced)), 413, "body-too-large");
    let head = "POST /v1/whatif HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunked = format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    problem(&rest(&mut sending(&server, &chunked)), 413, "body-too-large");
}

#[test]
fn silent_client_times_out() {
    let filled = Filled::with(1);
    let deadlines = Deadlines { idle: SOON, head: SOON, body: SOON, ..Deadlines::default() };
    let server = Server::patient(&filled.ledger, Options::default(), deadlines);
    let began = Instant::now();
    assert_eq!(rest(&mut connect(&server)), "", "no first byte");
    problem(&rest(&mut sending(&server, "GET /livez HTTP/1.1\r\nhost:")), 408, "request-timeout");
    problem(&rest(&mut sending(&server, STUCK_BODY)), 408, "request-timeout");
    let after_an_answer = rest(&mut sending(&server, "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    assert!(after_an_answer.ends_with(r#"{"status":"ok"}"#), "{after_an_answer}");
    assert!(began.elapsed() < PATIENCE);
    // A byte now and then does not extend the deadline: the connection is closed though they come.
    let long_body = STUCK_BODY.replace("content-length: 100\r\n", "content-length: 60000\r\n");
    for begins in ["GET /livez HTTP/1.1\r\nx: ", &long_body] {
        let mut stream = sending(&server, begins);
        let until = Instant::now() + PATIENCE;
        while stream.write_all(b"x").is_ok() {
            assert!(Instant::now() < until, "{begins:?} is still waited for");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn stuck_connections_make_room_for_new_ones() {
    const CONNECTIONS: usize = 8;
    let filled = long();
    let options = Options { connections: CONNECTIONS, ..Options::default() };
    for stuck in ["", "GET /livez HTTP/1.1\r\nhost:", STUCK_BODY, LOG] {
        let server = Server::of(&filled.ledger, options.clone());
        let held: Vec<_> = (0..3 * CONNECTIONS).map(|_| sending(&server, stuck)).collect();
        for _ in 0..3 {
            let began = Instant::now();
            assert_eq!(server.get("/livez").status, 200);
            assert!(began.elapsed() < PATIENCE / 2, "{stuck:?}: {:?}", began.elapsed());
        }
        drop(held);
    }
}

#[test]
fn client_that_does_not_read_is_dropped() {
    let filled = long();
    let options = Options { concurrent_requests: 2, ..Options::default() };
    let deadlines = Deadlines { unread: SOON, ..Deadlines::default() };
    let server = Server::patient(&filled.ledger, options, deadlines);
    // One of the two slots is for expensive queries: with the first bytes of its answer, this one has it.
    let mut unread = sending(&server, LOG);
    unread.read_exact(&mut [0; 16]).unwrap();
    let until = Instant::now() + PATIENCE;
    while server.get("/v1/installations").status != 200 {
        assert!(Instant::now() < until, "the place never came back");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut reported = Vec::new();
    let _ = unread.read_to_end(&mut reported);
    assert!(!String::from_utf8_lossy(&reported).contains("freshness"), "it was cut off");
}

#[test]
fn expensive_queries_leave_slots_for_others() {
    let filled = long();
    let options = Options { concurrent_requests: 4, ..Options::default() };
    let server = Server::of(&filled.ledger, options);
    let mut streams: Vec<_> = (0..2).map(|_| sending(&server, LOG)).collect();
    for stream in &mut streams {
        stream.read_exact(&mut [0; 16]).unwrap();
    }
    let much = server.get("/v1/installations");
    assert_eq!((much.status, &much.json()["code"]), (503, &"overloaded".into()));
    let past = server.get("/v1/tenants/acme?at=2026-03-01T02:00:00Z");
    assert_eq!(past.status, 503, "the past is folded anew");
    for _ in 0..20 {
        assert_eq!(server.get("/v1/tenants/acme").status, 200);
        assert_eq!(server.get("/v1/tenants/acme/apps/app").status, 200);
    }
}

#[test]
fn stream_ends_with_a_problem_when_the_server_stops() {
    let filled = long();
    for path in ["/v1/tenants/acme/log", "/v1/replay?clientKey=acme"] {
        let mut server = Server::of(&filled.ledger, Options::default());
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: application/x-ndjson\r\n\r\n");
        let mut stream = sending(&server, &request);
        stream.read_exact(&mut [0; 16]).unwrap();
        server.stop();
        // The server notices that it is to stop beside this.
        std::thread::sleep(Duration::from_millis(200));
        let reported = rest(&mut stream);
        let last = reported.lines().rfind(|line| line.starts_with('{')).unwrap();
        let last: Value = serde_json::from_str(last).unwrap();
        assert_eq!(last["problem"]["code"], "stopping", "{path}");
    }
}

#[test]
fn stream_is_sent_in_small_chunks() {
    let filled = long();
    let server = Server::of(&filled.ledger, Options::default());
    let reported =
        rest(&mut sending(&server, &LOG.replace("host: localhost", "host: localhost\r\nconnection: close")));
    let (_, body) = reported.split_once("\r\n\r\n").unwrap();
    // Each chunk begins with its length, alone in a line.
    let lengths = body.split("\r\n").filter(|line| !line.starts_with('{') && !line.is_empty());
    let lengths: Vec<_> = lengths.filter_map(|line| usize::from_str_radix(line, 16).ok()).collect();
    assert!(lengths.len() > 20, "{}", lengths.len());
    // A chunk ends with the line that exceeds its size.
    assert!(lengths.iter().all(|length| *length < STREAM_CHUNK_BYTES + 4096), "{lengths:?}");
}
