//! Every invalid request and its problem.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use ledger_api::http::Options;
use serde_json::Value;

use crate::filled::{Filled, installed};
use crate::http::{Server, is_documented};

fn served(options: Options) -> (Filled, Server) {
    let mut filled = Filled::with(2);
    filled.publish(0, "app", &["EU"]);
    filled.take(0, 1, installed("acme", "app", "EU", "EU"));
    filled.take(0, 2, installed("split", "app", "EU", "EU"));
    filled.take(1, 3, installed("split", "app", "EU", "EU"));
    let server = Server::of(&filled.ledger, options);
    (filled, server)
}

fn problem(server: &Server, path: &str) -> (u16, String, Value) {
    let answer = server.get(path);
    let problem = answer.json();
    assert_eq!(answer.content_type, "application/problem+json", "{path}");
    let code = problem["code"].as_str().unwrap().to_owned();
    assert_eq!(problem["status"], answer.status, "{path}");
    assert_eq!(problem["type"], format!("urn:realm-ledger:problem:{code}"), "{path}");
    assert!(!problem["title"].as_str().unwrap().is_empty(), "{path}");
    assert!(!problem["detail"].as_str().unwrap().is_empty(), "{path}");
    let is_known = is_documented(path, "get", answer.status, &code) != Some(false);
    assert!(is_known, "{path}: {} {code} is not in the document", answer.status);
    (answer.status, code, problem["parameter"].clone())
}

#[test]
fn bad_parameter_is_refused_by_name() {
    let (_filled, server) = served(Options::default());
    let lists = [
        ("realms=EU", "unknown-parameter", "realms"),
        ("realm=EU&realm=US", "unknown-parameter", "realm"),
        ("knownSeq=1", "unknown-parameter", "knownSeq"),
        ("appKey=", "invalid-parameter", "appKey"),
        ("appKey=a%00b", "invalid-parameter", "appKey"),
        ("status=installed", "invalid-parameter", "status"),
        ("realm=E", "invalid-parameter", "realm"),
        ("drift=yes", "invalid-parameter", "drift"),
        ("splitBrain=1", "invalid-parameter", "splitBrain"),
        ("anomalous=", "invalid-parameter", "anomalous"),
        ("window=CLOSED", "invalid-parameter", "window"),
        ("windowClosingBefore=tomorrow", "invalid-parameter", "windowClosingBefore"),
        ("at=2026-03-01", "invalid-parameter", "at"),
        ("knownAt=1", "invalid-parameter", "knownAt"),
        ("limit=0", "invalid-parameter", "limit"),
        ("limit=1001", "invalid-parameter", "limit"),
        ("limit=ten", "invalid-parameter", "limit"),
        ("cursor=abc", "invalid-cursor", "cursor"),
    ];
    for (query, code, parameter) in lists {
        let expected = (400, code.to_owned(), parameter.into());
        assert_eq!(problem(&server, &format!("/v1/installations?{query}")), expected, "{query}");
    }
    let others = [
        ("/v1/tenants/acme?limit=1", "unknown-parameter", "limit"),
        ("/v1/tenants/acme?knownSeq=-1", "invalid-parameter", "knownSeq"),
        ("/v1/tenants/acme?knownSeq=1&knownAt=2026-03-01T00:00:00Z", "invalid-parameter", "knownSeq"),
        ("/v1/tenants/acme?minPosition=x", "invalid-parameter", "minPosition"),
        ("/v1/tenants/acme/log?fromSeq=0", "invalid-parameter", "fromSeq"),
        ("/v1/tenants/acme/log?limit=1001", "invalid-parameter", "limit"),
        ("/v1/tenants/acme/apps/app/preview?productRealm=%20", "invalid-parameter", "productRealm"),
        ("/v1/tenants/acme/apps/app/explanation?at=", "invalid-parameter", "at"),
        ("/v1/quarantine?cursor=%20", "invalid-cursor", "cursor"),
        ("/v1/quarantine?reason=bad", "invalid-parameter", "reason"),
        ("/v1/quarantine?limit=-1", "invalid-parameter", "limit"),
        ("/v1/quarantine/realm.lifecycle/x/1", "invalid-key", "partition"),
        ("/v1/quarantine/realm.lifecycle/1/x", "invalid-key", "seq"),
        ("/v1/quarantine/realm.lifecycle/1/9007199254740992", "invalid-key", "seq"),
        ("/v1/tenants/acme?minPosition=9007199254740992", "invalid-parameter", "minPosition"),
        ("/v1/tenants/acme?knownSeq=18446744073709551615", "invalid-parameter", "knownSeq"),
        ("/v1/tenants/acme/log?fromSeq=18446744073709551615", "invalid-parameter", "fromSeq"),
        ("/v1/tenants/acme/log?limit=9007199254740992", "invalid-parameter", "limit"),
        ("/v1/tenants/acme/corrections?fromPosition=9007199254740992", "invalid-parameter", "fromPosition"),
        ("/v1/tenants/acme/proof?pinned=9007199254740992", "invalid-parameter", "pinned"),
        (
            "/v1/replay?topic=realm.lifecycle&partition=0&fromPosition=18446744073709551615",
            "invalid-parameter",
            "fromPosition",
        ),
        ("/v1/installations?appKey=caf%e9", "invalid-parameter", "appKey"),
        ("/v1/decisions?app=caf%E9", "invalid-parameter", "app"),
        ("/v1/search?q=%ff", "invalid-parameter", "q"),
        ("/v1/commands/x?clientKey=caf%e9", "invalid-parameter", "clientKey"),
        ("/v1/installations?limit=1&&%ff=1", "invalid-parameter", "\u{fffd}"),
        ("/v1/tenants/a%0Ab", "invalid-key", "clientKey"),
        ("/v1/tenants/acme/apps/a%7Fb", "invalid-key", "appKey"),
    ];
    for (path, code, parameter) in others {
        assert_eq!(problem(&server, path), (400, code.to_owned(), parameter.into()), "{path}");
    }
    assert_eq!(problem(&server, "/v1/tenants/%FF").1, "invalid-key");
}

/// What is asked for by the largest number is not there; nothing counts beyond it.
#[test]
fn the_largest_number_of_json_is_answered() {
    let (_filled, server) = served(Options::default());
    let most = (1_u64 << 53) - 1;
    for (path, status) in [
        (format!("/v1/tenants/acme/log?fromSeq={most}"), 200),
        (format!("/v1/tenants/acme/corrections?fromPosition={most}"), 200),
        (format!("/v1/replay?topic=realm.lifecycle&partition=0&fromPosition={most}"), 200),
        (format!("/v1/tenants/acme?knownSeq={most}"), 404),
        (format!("/v1/quarantine/realm.lifecycle/0/{most}"), 404),
    ] {
        assert_eq!(server.get(&path).status, status, "{path}");
    }
    let text = server.get("/v1/installations?appKey=caf%C3%A9");
    assert_eq!(text.status, 200, "a key in UTF-8 is one: {:?}", text.json());
}

#[test]
fn absent_and_torn_subjects_get_their_problem_codes() {
    let (_filled, server) = served(Options::default());
    let cases = [
        ("/v1/tenants/nobody", 404, "not-found"),
        ("/v1/tenants/acme/apps/nothing", 404, "not-found"),
        ("/v1/tenants/acme/apps/nothing/explanation", 404, "not-found"),
        ("/v1/tenants/acme/apps/nothing/preview", 404, "not-found"),
        ("/v1/tenants/acme?knownSeq=2", 404, "seq-not-recorded"),
        ("/v1/quarantine/realm.lifecycle/0/1", 404, "not-found"),
        ("/v1/tenants/split", 409, "tenant-in-two-partitions"),
        ("/v1/tenants/split/log", 409, "tenant-in-two-partitions"),
        ("/v2/tenants", 404, "no-such-route"),
        ("/page/nothing.js", 404, "no-such-route"),
    ];
    for (path, status, code) in cases {
        let (found, reported, _) = problem(&server, path);
        assert_eq!((found, reported.as_str()), (status, code), "{path}");
    }
    let target = format!("/v1/installations?appKey={}", "a".repeat(9000));
    let (status, code, _) = problem(&server, &target);
    assert_eq!((status, code.as_str()), (414, "uri-too-long"));
}

#[test]
fn other_methods_are_not_allowed() {
    let (_filled, server) = served(Options::default());
    let answer = server.raw("DELETE /v1/tenants/acme HTTP/1.1\r\nhost: localhost");
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    assert!(answer.contains(r#""code":"method-not-allowed""#), "{answer}");
}

#[test]
fn overload_is_refused_and_health_still_answers() {
    let options = Options { concurrent_requests: 0, ..Options::default() };
    let (_filled, server) = served(options);
    let (status, code, _) = problem(&server, "/v1/tenants/acme");
    assert_eq!((status, code.as_str()), (503, "overloaded"));
    let lines = server.accepting("/v1/installations", "application/x-ndjson");
    assert_eq!((lines.status, &lines.json()["code"]), (503, &"overloaded".into()));
    assert_eq!(server.get("/livez").status, 200);
    assert_eq!(server.admin("/metrics").status, 200);
}

#[test]
fn slow_query_times_out() {
    let options = Options { request_timeout: Duration::from_millis(50), ..Options::default() };
    let (_filled, server) = served(options);
    let (status, code, _) = problem(&server, "/v1/tenants/acme?minPosition=99");
    assert_eq!((status, code.as_str()), (503, "timeout"));
    assert_eq!(server.get("/v1/tenants/acme").status, 200);
}

#[test]
fn long_head_is_refused() {
    let (_filled, server) = served(Options::default());
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let request =
        format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx-long: {}\r\n\r\n", "a".repeat(64 * 1024));
    // The server may close before everything is written.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 200"));
}
