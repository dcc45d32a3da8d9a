//! Whatever a door answers instead of an answer is in the document, for every operation that the document has.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use ledger_api::access::{Access, AccessOptions, AccessScope, Grants, TokenOptions, new_token, token_hash};
use ledger_api::http::Options;
use ledger_store::{Halted, Phase};
use serde_json::Value;

use crate::filled::{Filled, installed};
use crate::http::{DOCUMENT, Server, is_documented};

/// The path of each operation, about what is there, and its verb.
fn operations() -> Vec<(String, String)> {
    let values = [
        ("{clientKey}", "acme"),
        ("{appKey}", "app"),
        ("{topic}", "realm.lifecycle"),
        ("{partition}", "0"),
        ("{seq}", "1"),
        ("{id}", "e-1"),
        ("{name}", "main.js"),
    ];
    let filled =
        |route: &str| values.iter().fold(route.to_owned(), |path, (name, value)| path.replace(name, value));
    let of_route = |(route, of): (&String, &Value)| {
        of.as_object().unwrap().keys().map(|verb| (filled(route), verb.clone())).collect::<Vec<_>>()
    };
    DOCUMENT["paths"].as_object().unwrap().iter().flat_map(of_route).collect()
}

/// A request that is wrong in one way, or not at all.
#[derive(Default)]
struct Wrong {
    method: Option<&'static str>,
    query: String,
    /// In place of the usual ones.
    head: Option<&'static str>,
    more: String,
    body: &'static str,
}

fn wrong_requests() -> Vec<Wrong> {
    let heads = ["host: evil.example\r\ncontent-type: application/json", "host: localhost"];
    let more = [
        "origin: https://evil.example".to_owned(),
        "authorization: Bearer x".to_owned(),
        "authorization: Basic YTpi".to_owned(),
        format!("x-long: {}", "x".repeat(60_000)),
        "no header at all".to_owned(),
    ];
    let long = format!("?a={}", "x".repeat(40_000));
    let queries = [
        "?nonsense=1",
        "?a=%zz",
        "?limit=x",
        "?limit=1&limit=2",
        "?cursor=x",
        "?knownSeq=99",
        "?q=a",
        "?clientKey=acme",
        &long,
    ];
    let too_long =
        Wrong { method: Some("POST"), more: "content-length: 99999999\r\n".to_owned(), ..Wrong::default() };
    let bodies = ["[1]", "{}", "no json", r#"{"id":"x","type":"installed"}"#];
    let mut all = vec![Wrong::default(), too_long];
    all.extend(heads.map(|head| Wrong { head: Some(head), body: "text", ..Wrong::default() }));
    all.extend(more.map(|more| Wrong { more: format!("{more}\r\n"), ..Wrong::default() }));
    all.extend(queries.map(|query| Wrong { query: query.to_owned(), ..Wrong::default() }));
    all.extend(["DELETE", "POST", "GET"].map(|method| Wrong { method: Some(method), ..Wrong::default() }));
    all.extend(bodies.map(|body| Wrong { body, ..Wrong::default() }));
    all
}

impl Wrong {
    fn text(&self, path: &str, verb: &str, token: Option<u8>) -> String {
        let Self { method, query, head, more, body } = self;
        let method = method.map_or_else(|| verb.to_uppercase(), ToOwned::to_owned);
        let head = head.unwrap_or("host: localhost\r\ncontent-type: application/json");
        let bearer = |seed: u8| format!("authorization: Bearer {}\r\n", new_token([seed; 32]));
        let token = token.map(bearer).unwrap_or_default();
        let length = if more.contains("length") {
            String::new()
        } else {
            format!("content-length: {}\r\n", body.len())
        };
        format!(
            "{method} {path}{query} HTTP/1.1\r\n{head}\r\n{token}{length}{more}connection: close\r\n\r\n{body}"
        )
    }
}

/// Servers that refuse for a reason of their own each.
fn open_servers(filled: &Filled) -> [Server; 4] {
    let options = Options::default;
    let all = [
        options(),
        Options { concurrent_requests: 0, ..options() },
        Options { request_timeout: Duration::ZERO, ..options() },
        Options { page: false, ..options() },
    ];
    all.map(|options| Server::of(&filled.ledger, options))
}

/// One that knows who asks: someone with all rights, someone with none for questions, someone with another app.
fn guarded(filled: &Filled, rate: u32) -> Server {
    let owner = |seed: u8, scope: AccessScope, apps: &[&str]| TokenOptions {
        name: format!("owner-{seed}"),
        sha256: token_hash(&new_token([seed; 32])),
        scopes: [scope].into_iter().collect(),
        apps: Grants::parse(apps).unwrap(),
        expires: None,
    };
    let tokens = vec![
        owner(1, AccessScope::Operate, &["*"]),
        owner(2, AccessScope::Hooks, &["*"]),
        owner(3, AccessScope::Operate, &["other"]),
    ];
    let access = AccessOptions { rate, burst: rate, tokens, ..AccessOptions::default() };
    Server::guarded(&filled.ledger, Access::new(&access).unwrap())
}

/// Status and code of the answer, if it is a problem.
fn problem(server: &Server, request: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    // A refusal may come before all was sent, and its connection be closed.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status: u16 = head.split(' ').nth(1)?.parse().unwrap();
    let code = || serde_json::from_str::<Value>(body).ok()?["code"].as_str().map(ToOwned::to_owned);
    (status >= 400).then(|| (status, code().unwrap_or_else(|| panic!("no problem: {answer}"))))
}

#[test]
fn every_refusal_of_a_door_is_in_the_document_for_every_operation() {
    let mut filled = Filled::with(2);
    filled.publish(0, "app", &["EU"]);
    filled.take(0, 1, installed("acme", "app", "EU", "EU"));
    filled.refuse(0);
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut faults = BTreeSet::new();
    let mut try_all = |server: &Server, tokens: &[Option<u8>]| {
        let wrong = wrong_requests();
        for (path, verb) in operations() {
            for (wrong, token) in
                wrong.iter().flat_map(|wrong| tokens.iter().map(move |token| (wrong, *token)))
            {
                let Some((status, code)) = problem(server, &wrong.text(&path, &verb, token)) else {
                    continue;
                };
                if is_documented(&path, &verb, status, &code) != Some(true) {
                    let query = &wrong.query[..wrong.query.len().min(20)];
                    faults.insert(format!("{verb} {path}{query}: {status} {code}"));
                }
                seen.entry(path.clone()).or_default().insert(code);
            }
        }
    };
    for server in open_servers(&filled) {
        try_all(&server, &[None]);
    }
    for rate in [0, 1] {
        try_all(&guarded(&filled, rate), &[None, Some(1), Some(2), Some(3)]);
    }
    for (phase, code) in [(Phase::CatchingUp, None), (Phase::Halted, Some("topic-truncated"))] {
        for status in &filled.statuses {
            let halted = code.map(|code| Halted { code, message: "see to it".to_owned() });
            status.update(|now| (now.phase, now.halted) = (phase, halted.clone()));
        }
        try_all(&Server::of(&filled.ledger, Options::default()), &[None]);
    }
    assert!(faults.is_empty(), "{} are not in the document: {faults:#?}", faults.len());
    let fewest = seen.values().map(BTreeSet::len).min().unwrap();
    assert!(seen.len() == operations().len() && fewest >= 5, "{seen:#?}");
}
