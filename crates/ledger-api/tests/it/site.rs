//! A server without access control is driven by programs of its machine and by its own page, and by no other site.

use std::sync::Arc;

use ledger_api::access::{Access, AccessOptions};
use ledger_api::http::Options;

use crate::call::{SERVICE, framed};
use crate::filled::Filled;
use crate::frames::Client;
use crate::http::Server;

#[test]
fn names_and_pages_of_other_sites_are_refused_without_access() {
    let filled = Filled::with(1);
    let server = Server::of(&filled.ledger, Options::default());
    let port = server.address().port();
    for host in ["evil.example", &format!("evil.example:{port}"), "10.1.1.1"] {
        for path in ["/", "/v1/installations", "/livez", "/openapi.json", "/v1/nothing"] {
            let answer = server.raw(&format!("GET {path} HTTP/1.1\r\nhost: {host}"));
            assert!(
                answer.starts_with("HTTP/1.1 403") && answer.contains("foreign-site"),
                "{host}: {answer}"
            );
        }
    }
    let own = format!("127.0.0.1:{port}");
    let order = |more: &str| format!("POST /v1/backups HTTP/1.1\r\nhost: {own}\r\ncontent-length: 0{more}");
    let across = server.raw(&order("\r\ncontent-type: application/json\r\norigin: https://evil.example"));
    assert!(across.contains("foreign-site"), "{across}");
    let simple = server.raw(&order(""));
    assert!(simple.contains("invalid-body"), "a form of another site has no JSON: {simple}");
    let own_page = server.raw(&order(&format!("\r\ncontent-type: application/json\r\norigin: http://{own}")));
    assert!(own_page.contains("no-backup-dir"), "{own_page}");
    for name in ["localhost", "127.0.0.1", "[::1]"] {
        let answer = server.raw(&format!("GET /livez HTTP/1.1\r\nhost: {name}:{port}"));
        assert!(answer.starts_with("HTTP/1.1 200"), "{name}: {answer}");
    }
}

#[test]
fn foreign_names_are_refused_over_http_2_and_grpc() {
    let filled = Filled::with(1);
    let server = Server::of(&filled.ledger, Options::default());
    let mut client = Client::of(&server);
    client.get(1, "/livez", &[("host", "evil.example")]);
    assert!(client.answer(1).0.contains("foreign-site"));
    client.get(3, "/livez", &[]);
    assert!(client.answer(3).0.contains("ok"));
    let path = format!("/{SERVICE}/ListCheckpoints");
    let reply = server.call_with(&path, framed(b""), &[("host", "evil.example")]);
    assert_eq!((reply.status, &*reply.reason().0), (7, "foreign-site"), "{}", reply.message);
    assert_eq!(server.call_with(&path, framed(b""), &[]).status, 0);
}

#[test]
fn any_name_is_answered_where_its_owner_says_so() {
    let filled = Filled::with(1);
    let options = AccessOptions { open: true, ..AccessOptions::default() };
    let access = Arc::new(Access::new(&options).unwrap());
    let server = Server::with(&filled.ledger, Options::default(), |api| api.with_access(access));
    let answer = server.raw("GET /livez HTTP/1.1\r\nhost: ledger.example");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
