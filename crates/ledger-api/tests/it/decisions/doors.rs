//! Decisions over HTTP: lines, events, pages.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ledger_api::http::Options;
use ledger_api::limits::SubscriptionBounds;
use serde_json::Value;

use super::many;
use super::subscriber::Log;
use crate::filled::{Filled, client, installed};
use crate::http::Server;

const LINES: &str = "application/x-ndjson";
const EVENTS: &str = "text/event-stream";

/// The lines of an answer while they come, without those of the chunks.
pub(crate) struct Stream(BufReader<TcpStream>);

impl Stream {
    pub(crate) fn open(server: &Server, path: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        Self(BufReader::new(stream))
    }

    /// The next line that has this.
    pub(crate) fn line_with(&mut self, part: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "no line with {part}");
            if line.contains(part) {
                return line.trim_end().to_owned();
            }
        }
    }
}

/// The events of a whole answer: name, id, data.
fn events(body: &str) -> Vec<(Option<&str>, &str, &str)> {
    body.split("\n\n")
        .filter(|event| !event.is_empty())
        .map(|event| {
            let of = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
            (of("event: "), of("id: ").unwrap(), of("data: ").unwrap())
        })
        .collect()
}

fn filled() -> Filled {
    let mut filled = Filled::with(2);
    many(&mut filled, 0, 300);
    filled.take(1, 1, installed("acme", "app", "EU", "US"));
    filled.take(1, 2, installed("acme", "other", "US", "US"));
    filled
}

#[test]
fn lines_are_as_published_and_end_with_the_cursor() {
    let filled = filled();
    let server = Server::of(&filled.ledger, Options::default());
    let answer = server.accepting("/v1/decisions?limit=302", LINES);
    assert_eq!((answer.status, answer.content_type.as_str()), (200, LINES));
    let log = Log::of(&filled);
    let (cursors, notices): (Vec<_>, Vec<_>) =
        answer.body.lines().map(str::to_owned).partition(|line| line.starts_with(r#"{"cursor""#));
    let of = |partition: usize| -> Vec<String> {
        let part = format!("/realm.lifecycle/{partition}\"");
        notices.iter().filter(|line| line.contains(&part)).cloned().collect()
    };
    assert_eq!((of(0), of(1), notices.len()), (log.texts(0), log.texts(1), 302));
    let last: Value = serde_json::from_str(cursors.last().unwrap()).unwrap();
    assert!(answer.body.ends_with(&format!("{}\n", cursors.last().unwrap())));
    let rest = server.get(&format!("/v1/decisions?from={}", last["cursor"].as_str().unwrap())).json();
    assert_eq!((&rest["decisions"], &rest["more"]), (&serde_json::json!([]), &serde_json::json!(false)));
}

#[test]
fn filters_leave_out_and_are_checked() {
    let filled = filled();
    let server = Server::of(&filled.ledger, Options::default());
    for format in [LINES, "application/json"] {
        let answer = server
            .accepting("/v1/decisions?app=other&rule=FRESH&moved=false&corrections=false&limit=1", format);
        assert!(answer.body.contains(r#""appKey":"other""#) && !answer.body.contains(r#""appKey":"app""#));
    }
    let page = server.get("/v1/decisions?app=other").json();
    assert_eq!(page["decisions"][0]["data"]["appKey"], "other", "{page}");
    for (query, parameter) in [
        ("rule=BEST", "rule"),
        ("moved=1", "moved"),
        ("from=abc", "from"),
        ("limit=0", "limit"),
        ("a=1", "a"),
    ] {
        for format in [LINES, EVENTS, "application/json"] {
            let refused = server.accepting(&format!("/v1/decisions?{query}"), format);
            assert_eq!(
                (refused.status, refused.json()["parameter"].as_str()),
                (400, Some(parameter)),
                "{query}"
            );
        }
    }
}

#[test]
fn every_event_has_the_cursor_to_go_on_from() {
    let filled = filled();
    let server = Server::of(&filled.ledger, Options::default());
    let whole = server.accepting("/v1/decisions?limit=302", EVENTS);
    assert_eq!(whole.content_type, EVENTS);
    let whole = events(&whole.body);
    assert_eq!(whole.len(), 302);
    for at in [0, 1, 150, 299, 300] {
        let (_, id, _) = whole[at];
        let mut rest = Stream::open(
            &server,
            "/v1/decisions?from=begin",
            &format!("accept: {EVENTS}\r\nlast-event-id: {id}\r\n"),
        );
        let next = rest.line_with("data: ");
        assert_eq!(next, format!("data: {}", whole[at + 1].2), "behind {at}");
    }
    // A problem is no line: it ends with the connection.
    let headers = format!("accept: {EVENTS}\r\nlast-event-id: 17\r\nconnection: close\r\n");
    let odd = Stream::open(&server, "/v1/decisions", &headers).line_with("{");
    assert!(odd.contains("invalid-cursor") && odd.contains("Last-Event-ID"), "{odd}");
}

#[test]
fn pages_go_on_to_the_end() {
    let filled = filled();
    let server = Server::of(&filled.ledger, Options::default());
    let (mut from, mut received) = ("begin".to_owned(), 0);
    loop {
        let page = server.get(&format!("/v1/decisions?from={from}&limit=70")).json();
        received += page["decisions"].as_array().unwrap().len();
        from = page["cursor"].as_str().unwrap().to_owned();
        assert_eq!(page["freshness"].as_array().unwrap().len(), 2);
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(received, 302);
}

#[test]
fn what_is_new_comes_at_once_and_a_server_that_stops_says_so_with_the_cursor() {
    let mut filled = filled();
    let mut server = Server::of(&filled.ledger, Options::default());
    let mut lines = Stream::open(&server, "/v1/decisions?from=now", &format!("accept: {LINES}\r\n"));
    let mut events = Stream::open(&server, "/v1/decisions?from=now", &format!("accept: {EVENTS}\r\n"));
    lines.line_with("ndjson");
    events.line_with("event-stream");
    let begun = Instant::now();
    filled.take(1, 3, installed("birch", "app", "EU", "EU"));
    let line = lines.line_with("birch");
    assert!(begun.elapsed() < SubscriptionBounds::default().heartbeat, "{:?}", begun.elapsed());
    assert_eq!(events.line_with("data: "), format!("data: {line}"));
    let cursor: Value = serde_json::from_str(&lines.line_with("cursor")).unwrap();
    server.stop();
    let end: Value = serde_json::from_str(&lines.line_with("problem")).unwrap();
    assert_eq!((end["problem"]["code"].as_str(), &end["cursor"]), (Some("stopping"), &cursor["cursor"]));
    assert!(events.line_with("event: ").ends_with("problem"));
    assert!(events.line_with("id: ").contains(cursor["cursor"].as_str().unwrap()));
    assert!(events.line_with("data: ").contains("stopping"));
    let after = Server::of(&filled.ledger, Options::default());
    filled.take(1, 4, installed("cedar", "app", "EU", "EU"));
    let path = format!("/v1/decisions?from={}", cursor["cursor"].as_str().unwrap());
    let notice: Value =
        serde_json::from_str(&Stream::open(&after, &path, &format!("accept: {LINES}\r\n")).line_with("{"))
            .unwrap();
    assert_eq!(notice["data"]["clientKey"], client("cedar").as_str());
}

#[test]
fn streams_take_no_place_among_the_questions() {
    let filled = filled();
    let server = Server::of(&filled.ledger, Options { concurrent_requests: 1, ..Options::default() });
    let open: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = Stream::open(&server, "/v1/decisions", &format!("accept: {LINES}\r\n"));
            stream.line_with("cursor");
            stream
        })
        .collect();
    assert_eq!(server.get("/v1/tenants/acme").status, 200);
    drop(open);
}
