//! HTTP/2 on the same port, and every guard against clients that keep it waiting.

use std::time::{Duration, Instant};

use ledger_api::http::Options;
use ledger_api::limits::{Deadlines, HEAD_MAX_BYTES, HTTP_2_PIECE_BYTES, HTTP_2_STREAMS};
use serde_json::Value;

use crate::filled::Filled;
use crate::frames::{
    Client, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW, PREFACE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame, head,
};
use crate::http::Server;
use crate::load::{PATIENCE, SOON, long};

const JSON: (&str, &str) = ("content-type", "application/json");
const LINES: (&str, &str) = ("accept", "application/x-ndjson");
const LOG: &str = "/v1/tenants/acme/log";
const OK: &str = r#"{"status":"ok"}"#;

/// The stream is not needed any more, and the limit on streams.
const CANCEL: [u8; 4] = [0, 0, 0, 8];
const REFUSED: [u8; 4] = [0, 0, 0, 7];

fn waiting(deadlines: impl FnOnce(&mut Deadlines)) -> Deadlines {
    let mut of = Deadlines::default();
    deadlines(&mut of);
    of
}

fn code(body: &str) -> Value {
    serde_json::from_str::<Value>(body).unwrap()["code"].clone()
}

#[test]
fn both_protocols_are_served_on_one_port() {
    let filled = Filled::with(1);
    let server = Server::of(&filled.ledger, Options::default());
    let mut client = Client::of(&server);
    for stream in [1, 3, 5] {
        client.get(stream, "/livez", &[]);
        assert_eq!(client.answer(stream).0, OK);
    }
    client.get(7, "/v1/tenants/nobody", &[]);
    assert!(["not-found", "not-ready"].map(Value::from).contains(&code(&client.answer(7).0)));
    assert_eq!(server.get("/livez").body, OK);
    // The preface may come byte by byte.
    let mut slow = Client::of(&server);
    slow.stream = std::net::TcpStream::connect(server.address()).unwrap();
    for byte in PREFACE {
        slow.send(&[*byte]);
    }
    slow.send(&frame(SETTINGS, 0, 0, &[]));
    slow.get(1, "/livez", &[]);
    assert_eq!(slow.answer(1).0, OK);
}

#[test]
fn client_that_sends_half_of_something_is_cut_off() {
    let filled = Filled::with(1);
    let server = Server::patient(&filled.ledger, Options::default(), waiting(|of| of.head = SOON));
    let block = head("GET", "/livez", &[]);
    let half_block = frame(HEADERS, END_STREAM, 1, &block[..4]);
    let half_frame = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)[..12].to_vec();
    for half in [half_block, half_frame] {
        let mut client = Client::of(&server);
        client.send(&half);
        let began = Instant::now();
        client.rest();
        assert!(began.elapsed() < PATIENCE);
    }
    // Neither the first bytes nor the settings may be kept back.
    for begun in [&PREFACE[..9], PREFACE] {
        let mut client = Client::of(&server);
        client.stream = std::net::TcpStream::connect(server.address()).unwrap();
        client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        client.send(begun);
        client.rest();
    }
    // A client that has sent all of it may be silent.
    let mut client = Client::of(&server);
    std::thread::sleep(2 * SOON);
    client.get(1, "/livez", &[]);
    assert_eq!(client.answer(1).0, OK);
}

#[test]
fn idle_connection_is_told_that_it_ends() {
    let filled = Filled::with(1);
    let server = Server::patient(&filled.ledger, Options::default(), waiting(|of| of.idle = SOON));
    let mut client = Client::of(&server);
    client.get(1, "/livez", &[]);
    assert_eq!(client.answer(1).0, OK);
    let began = Instant::now();
    let rest = client.rest();
    assert!(began.elapsed() >= SOON / 2, "it had its time");
    assert!(rest.iter().all(|frame| frame.kind == GOAWAY) && !rest.is_empty(), "{rest:?}");
}

#[test]
fn client_that_does_not_answer_a_ping_is_cut_off() {
    let filled = Filled::with(1);
    let server = Server::patient(&filled.ledger, Options::default(), waiting(|of| of.ping = SOON));
    let mut dead = Client::of(&server);
    dead.answers_pings = false;
    let began = Instant::now();
    dead.rest();
    assert!(began.elapsed() < PATIENCE);
    // Pings that are answered keep a connection open; a machine that hesitates answers late.
    let ping = Duration::from_secs(2);
    let server = Server::patient(&filled.ledger, Options::default(), waiting(|of| of.ping = ping));
    let mut alive = Client::of(&server);
    for stream in (1..20).step_by(2) {
        std::thread::sleep(ping / 4);
        alive.get(stream, "/livez", &[]);
        assert_eq!(alive.answer(stream).0, OK);
    }
}

#[test]
fn stream_that_is_not_read_is_reset_and_others_go_on() {
    let filled = long();
    // Half of the places are for expensive questions, as these four are.
    let options = Options { concurrent_requests: 8, ..Options::default() };
    let server = Server::patient(&filled.ledger, options, waiting(|of| of.unread = SOON));
    // The first window has no room at all, the second for less than a piece.
    for window in [0, 100] {
        let mut client = Client::with_settings(&server, &[(INITIAL_WINDOW, window)]);
        for (stream, path, accept) in [(1, LOG, &[LINES][..]), (3, "/v1/tenants/acme/log?limit=100", &[])] {
            client.get(stream, path, accept);
            let is_reset = |client: &mut Client| {
                std::iter::from_fn(|| client.next())
                    .find(|frame| frame.stream == stream && frame.kind == RST_STREAM)
            };
            assert_eq!(is_reset(&mut client).unwrap().payload, CANCEL, "{window} {path}");
        }
        client.get(5, "/livez", &[]);
        client.send(&frame(WINDOW_UPDATE, 0, 5, &1000_u32.to_be_bytes()));
        assert_eq!(client.answer(5).0, OK, "the connection is whole");
    }
    let until = Instant::now() + PATIENCE;
    while server.get("/v1/installations").status != 200 {
        assert!(Instant::now() < until, "the places never came back");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn client_that_reads_nothing_is_cut_off() {
    let filled = long();
    let server = Server::patient(&filled.ledger, Options::default(), waiting(|of| of.unread = SOON));
    let mut client = Client::with_settings(&server, &[(INITIAL_WINDOW, (1 << 31) - 1)]);
    client.send(&frame(WINDOW_UPDATE, 0, 0, &((1_u32 << 31) - 1 - 65_535).to_be_bytes()));
    client.get(1, LOG, &[LINES]);
    std::thread::sleep(4 * SOON);
    let is_end =
        |frame: &crate::frames::Frame| frame.payload.windows(11).any(|text| text == b"\"freshness\"");
    assert!(!client.rest().iter().any(is_end), "it was cut off");
}

#[test]
fn body_that_does_not_come_ends_its_stream_alone() {
    let filled = Filled::with(1);
    let server = Server::patient(&filled.ledger, Options::default(), waiting(|of| of.body = SOON));
    let mut client = Client::of(&server);
    client.send(&frame(HEADERS, END_HEADERS, 1, &head("POST", "/v1/whatif", &[JSON])));
    client.send(&frame(DATA, 0, 1, b"{"));
    client.get(3, "/livez", &[]);
    assert_eq!(client.answer(3).0, OK);
    assert_eq!(code(&client.answer(1).0), "request-timeout");
    client.get(5, "/livez", &[]);
    assert_eq!(client.answer(5).0, OK);
}

#[test]
fn too_many_streams_and_too_long_heads_are_refused() {
    let filled = Filled::with(1);
    let server = Server::of(&filled.ledger, Options::default());
    let mut client = Client::of(&server);
    for stream in 0..=HTTP_2_STREAMS {
        client.send(&frame(HEADERS, END_HEADERS, 2 * stream + 1, &head("POST", "/v1/whatif", &[JSON])));
    }
    let (_, last) = client.answer(2 * HTTP_2_STREAMS + 1);
    assert_eq!((last.kind, &last.payload[..]), (RST_STREAM, &REFUSED[..]));
    let mut client = Client::of(&server);
    for (stream, length) in [(1, HEAD_MAX_BYTES), (3, 3 * HEAD_MAX_BYTES), (5, 7 * HEAD_MAX_BYTES)] {
        let long = "a".repeat(length);
        let block = head("GET", "/livez", &[("x-long", &long)]);
        let (first, rest) = block.split_at(16_000);
        client.send(&frame(HEADERS, END_STREAM, stream, first));
        let parts = rest.chunks(16_000);
        let last = parts.len() - 1;
        for (at, part) in parts.enumerate() {
            client.send(&frame(9, if at == last { END_HEADERS } else { 0 }, stream, part));
        }
        assert_eq!(code(&client.answer(stream).0), "head-too-large", "{length}");
    }
}

#[test]
fn idle_and_stuck_connections_make_room() {
    const CONNECTIONS: usize = 8;
    let filled = long();
    let options = Options { connections: CONNECTIONS, ..Options::default() };
    let stuck: [fn(&mut Client); 3] = [
        |_| {},
        |client| client.send(&frame(HEADERS, END_HEADERS, 1, &head("POST", "/v1/whatif", &[JSON]))),
        |client| client.get(1, LOG, &[LINES]),
    ];
    for stick in stuck {
        let server = Server::of(&filled.ledger, options.clone());
        let held = (0..2 * CONNECTIONS).map(|_| {
            let mut client = Client::with_settings(&server, &[(INITIAL_WINDOW, 0)]);
            stick(&mut client);
            client
        });
        let held: Vec<_> = held.collect();
        let began = Instant::now();
        assert_eq!(server.get("/livez").status, 200);
        assert!(began.elapsed() < PATIENCE / 2);
        drop(held);
    }
}

#[test]
fn stream_ends_with_a_problem_when_the_server_stops() {
    let filled = long();
    let mut server = Server::of(&filled.ledger, Options::default());
    let mut client = Client::of(&server);
    client.get(1, LOG, &[LINES]);
    assert_eq!(client.next().unwrap().kind, HEADERS);
    server.stop();
    // The server notices that it is to stop beside this.
    std::thread::sleep(Duration::from_millis(200));
    let (body, last) = client.answer(1);
    let line: Value = serde_json::from_str(body.lines().last().unwrap()).unwrap();
    assert_eq!(line["problem"]["code"], "stopping");
    assert_eq!((last.kind, last.flags & END_STREAM), (DATA, END_STREAM));
    let began = Instant::now();
    client.rest();
    assert!(began.elapsed() < PATIENCE / 2, "nothing keeps the connection open");
}

#[test]
fn client_that_tells_what_it_read_gets_the_end_of_its_answer() {
    let filled = long();
    let mut server = Server::of(&filled.ledger, Options::default());
    let mut client = Client::with_settings(&server, &[(INITIAL_WINDOW, 0)]);
    client.get(1, "/v1/tenants/acme/log?limit=1000", &[]);
    assert_eq!(client.next().unwrap().kind, HEADERS);
    server.stop();
    assert_eq!(client.next().unwrap().kind, GOAWAY);
    for stream in [0, 1] {
        client.send(&frame(WINDOW_UPDATE, 0, stream, &(1_u32 << 24).to_be_bytes()));
    }
    let first = std::iter::from_fn(|| client.next()).find(|frame| frame.kind == DATA).unwrap();
    // The server has time to send all of it and to close: a socket that is closed answers what it is told by a reset, and the
    // client loses what it has not read.
    std::thread::sleep(Duration::from_millis(300));
    client.send(&frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()));
    client.send(&frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()));
    let (rest, last) = client.answer(1);
    let body = String::from_utf8(first.payload).unwrap() + &rest;
    assert!(serde_json::from_str::<Value>(&body).is_ok(), "whole: {} bytes", body.len());
    assert_eq!((last.kind, last.flags & END_STREAM), (DATA, END_STREAM));
}

#[test]
fn answers_are_handed_over_in_small_pieces() {
    let filled = long();
    let server = Server::of(&filled.ledger, Options::default());
    let mut client = Client::of(&server);
    client.get(1, "/v1/tenants/acme/log?limit=1000", &[]);
    let (body, _) = client.answer(1);
    assert!(body.len() > 16 * HTTP_2_PIECE_BYTES);
    let by_http1 = server.get("/v1/tenants/acme/log?limit=1000");
    assert_eq!(body, by_http1.body);
}
