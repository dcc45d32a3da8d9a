//! Decisions for someone who is granted one app: pages, lines, events and messages.

use std::time::{Duration, Instant};

use ledger_api::access::{Access, AccessOptions, AccessScope, Grants, TokenOptions, token_hash};
use ledger_core::time::Timestamp;
use serde_json::{Value, json};

use super::{ABSENT, GRANTED, HIDDEN, JSON, Owner, TENANT, access, ledger, token, web};
use crate::call::{SERVICE, encoded, framed, method};
use crate::decisions::doors::Stream;
use crate::filled::{Filled, hour, installed};
use crate::http::Server;

const LINES: &str = "application/x-ndjson";

fn page(server: &Server, path: &str, owner: Owner) -> Value {
    let answer = server.with_token(path, owner);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

fn count_of(page: &Value, app: &str) -> usize {
    page["decisions"].as_array().unwrap().iter().filter(|notice| notice["data"]["appKey"] == app).count()
}

#[test]
fn a_page_has_the_granted_app_alone_and_its_cursor_is_behind_the_others() {
    let filled = ledger();
    let server = Server::guarded(&filled.ledger, access());
    let whole = page(&server, "/v1/decisions", Owner::All);
    let seen = page(&server, "/v1/decisions", Owner::OneApp);
    assert!(count_of(&whole, HIDDEN) > 1 && count_of(&whole, GRANTED) > 1, "{whole}");
    assert_eq!((count_of(&seen, GRANTED), count_of(&seen, HIDDEN)), (count_of(&whole, GRANTED), 0));
    assert!(!seen.to_string().contains(HIDDEN), "{seen}");
    assert_eq!((&seen["cursor"], &seen["more"]), (&whole["cursor"], &json!(false)));
    let [hidden, absent] = [HIDDEN, ABSENT]
        .map(|app| server.with_token(&format!("/v1/decisions?app={app}"), Owner::OneApp).body);
    assert_eq!(hidden, absent);
    let limited = page(&server, "/v1/decisions?limit=1", Owner::OneApp);
    assert_eq!((count_of(&limited, GRANTED), count_of(&limited, HIDDEN)), (1, 0));
}

/// What comes of the hidden app, then of the granted one.
fn go_on(filled: &mut Filled) {
    for app in [HIDDEN, GRANTED] {
        filled.take(0, 30, installed("later.example", app, "EU", "EU"));
    }
}

#[test]
fn a_stream_has_the_granted_app_alone_while_catching_up_and_live() {
    for accept in [LINES, "text/event-stream"] {
        let mut filled = ledger();
        let server = Server::guarded(&filled.ledger, access());
        let seen = count_of(&page(&server, "/v1/decisions", Owner::OneApp), GRANTED);
        let open = |owner| {
            let headers = format!("accept: {accept}\r\nauthorization: Bearer {}\r\n", token(owner));
            Stream::open(&server, "/v1/decisions?from=begin", &headers)
        };
        let (mut partner, mut all) = (open(Owner::OneApp), open(Owner::All));
        let mut before = Vec::new();
        while before.len() < seen {
            let line = partner.line_with("");
            assert!(!line.contains(HIDDEN), "{accept}: {line}");
            before.extend(line.contains(GRANTED).then_some(line));
        }
        go_on(&mut filled);
        let live = partner.line_with("");
        let mut last = live;
        while !last.contains("later.example") {
            last = partner.line_with("");
        }
        assert!(last.contains(GRANTED) && !last.contains(HIDDEN), "{accept}: {last}");
        // What the partner did not get came.
        let first = all.line_with("later.example");
        assert!(first.contains(HIDDEN), "{accept}: {first}");
    }
}

#[test]
fn a_subscription_over_grpc_has_the_granted_app_alone() {
    let mut filled = ledger();
    let server = Server::guarded(&filled.ledger, access());
    go_on(&mut filled);
    let whole = page(&server, "/v1/decisions", Owner::All);
    let input = method("SubscribeDecisions").input();
    let subscribed = |owner: Owner, limit: usize| {
        let body = framed(&encoded(&input, &json!({ "from": "begin", "limit": limit })));
        let authorization = format!("Bearer {}", token(owner));
        let path = format!("/{SERVICE}/SubscribeDecisions");
        let reply = server.call_with(&path, body, &[("authorization", &authorization)]);
        assert_eq!(reply.status, 0, "{}", reply.message);
        String::from_utf8_lossy(&reply.messages.concat()).into_owned()
    };
    let (of_granted, of_hidden) = (count_of(&whole, GRANTED), count_of(&whole, HIDDEN));
    let told = subscribed(Owner::OneApp, of_granted);
    assert!(told.contains("later.example") && told.contains(TENANT) && !told.contains(HIDDEN), "{told}");
    assert!(subscribed(Owner::All, of_granted + of_hidden).contains(HIDDEN));
}

#[test]
fn a_stream_takes_its_scope_and_credentials() {
    let filled = ledger();
    let server = Server::guarded(&filled.ledger, access());
    for accept in [LINES, "text/event-stream", JSON] {
        let none = server.asked("/v1/decisions?limit=1", accept, &[]);
        assert_eq!((none.status, &*none.code, none.challenge), (401, "unauthenticated", true), "{accept}");
        let read =
            server.asked("/v1/decisions?limit=1", accept, &[&format!("Bearer {}", token(Owner::Reader))]);
        assert_eq!(read.status, 200, "{accept}: {}", read.body);
        let audit =
            server.asked("/v1/decisions?limit=1", accept, &[&format!("Bearer {}", token(Owner::Auditor))]);
        assert_eq!((audit.status, &*audit.code), (403, "scope-missing"), "{accept}");
    }
}

/// How long the tokens of the next test are good.
const GOOD_FOR: Duration = Duration::from_secs(3);

#[test]
fn a_subscription_ends_with_its_token_and_says_so() {
    let filled = ledger();
    let short = TokenOptions {
        name: "short".to_owned(),
        sha256: token_hash(&token(Owner::All)),
        scopes: [AccessScope::Read].into_iter().collect(),
        apps: Grants::All,
        expires: Some(Timestamp::from_millis(
            hour(100).as_millis() + i64::try_from(GOOD_FOR.as_millis()).unwrap(),
        )),
    };
    let options =
        AccessOptions { tokens: vec![short], issuers: vec![web::issuer()], ..AccessOptions::default() };
    let server = Server::guarded(&filled.ledger, Access::new(&options).unwrap());
    for token in [token(Owner::All), web::token_good_for(GOOD_FOR)] {
        let begun = Instant::now();
        let headers = |accept: &str| format!("accept: {accept}\r\nauthorization: Bearer {token}\r\n");
        let open = |accept| Stream::open(&server, "/v1/decisions?from=now", &headers(accept));
        let (mut lines, mut events) = (open(LINES), open("text/event-stream"));
        let line = lines.line_with("problem");
        assert!(begun.elapsed() >= GOOD_FOR, "it was good until then");
        let last: Value = serde_json::from_str(&line).unwrap();
        let problem = &last["problem"];
        assert_eq!(
            (&problem["code"], &problem["status"]),
            (&json!("unauthenticated"), &json!(401)),
            "{line}"
        );
        assert!(problem["detail"].as_str().unwrap().contains("have expired"), "{line}");
        events.line_with("event: problem");
        let id = events.line_with("id: ");
        assert_eq!(id.strip_prefix("id: "), last["cursor"].as_str(), "where new ones go on");
        assert!(events.line_with("data: ").contains(r#""code":"unauthenticated""#));
        for stream in [&mut lines, &mut events] {
            while stream.line_with("") != "0" {}
        }
        let body = framed(&encoded(&method("SubscribeDecisions").input(), &json!({ "from": "now" })));
        let authorization = format!("Bearer {token}");
        let path = format!("/{SERVICE}/SubscribeDecisions");
        let reply = server.call_with(&path, body, &[("authorization", &authorization)]);
        assert_eq!((reply.status, &*reply.reason().0), (16, "unauthenticated"), "{}", reply.message);
        assert!(!reply.messages.is_empty(), "the last message has the cursor");
    }
}
