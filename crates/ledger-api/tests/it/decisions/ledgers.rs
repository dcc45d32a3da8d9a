//! A cursor belongs to a ledger: it is good at every process that has the same logs, and refused at others.

use std::sync::Arc;
use std::time::Duration;

use ledger_api::decisions::{DecisionFilter, Decisions, DecisionsEnd, DecisionsFrom};
use ledger_api::http::Options;
use serde_json::json;

use super::patient;
use super::subscriber::{Log, Subscriber, runtime};
use crate::filled::{Filled, installed, shard};
use crate::http::Server;

/// Installs of these tenants, one after the other.
fn filled(tenants: impl IntoIterator<Item = String>) -> Filled {
    let mut filled = Filled::with(1);
    filled.take_all(0, tenants.into_iter().map(|tenant| (1, 1, installed(&tenant, "app", "EU", "EU"))));
    filled
}

fn named(prefix: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |number| format!("{prefix}{number}"))
}

/// The cursor behind so many notices.
fn cursor_of(filled: &Filled, notices: usize) -> String {
    let runtime = runtime();
    let decisions = Decisions::of(Arc::clone(&filled.ledger), patient());
    let everything = DecisionFilter::default();
    let mut subscriber = Subscriber::start(&runtime, &decisions, DecisionsFrom::Begin, everything);
    assert_eq!(subscriber.take(notices), notices);
    subscriber.cursor()
}

/// The end of a stream from a cursor, if there is one soon.
fn ended(filled: &Filled, cursor: &str) -> Option<DecisionsEnd> {
    let runtime = runtime();
    let decisions = Decisions::of(Arc::clone(&filled.ledger), patient());
    let begun = async { decisions.subscribe(cursor.parse().unwrap(), DecisionFilter::default()).await };
    runtime.block_on(begun).err()
}

#[test]
fn a_cursor_is_good_at_another_process_that_has_the_same_log() {
    let (one, mut other) = (filled(named("c", 100)), filled(named("c", 100)));
    other.take(0, 2, installed("new", "app", "EU", "EU"));
    for notices in [1, 40, 100] {
        let cursor = cursor_of(&one, notices);
        let runtime = runtime();
        let decisions = Decisions::of(Arc::clone(&other.ledger), patient());
        let from = cursor.parse().unwrap();
        let mut rest = Subscriber::start(&runtime, &decisions, from, DecisionFilter::default());
        assert_eq!(rest.take(101 - notices), 101 - notices);
        assert_eq!(rest.texts(), Log::of(&other).texts(0)[notices..]);
    }
}

#[test]
fn a_cursor_of_another_ledger_is_refused_at_every_door() {
    let (one, other) = (filled(named("a", 10)), filled(named("b", 10)));
    let server = Server::of(&other.ledger, Options::default());
    let of_now =
        Server::of(&one.ledger, Options::default()).get("/v1/decisions?from=now").json()["cursor"].clone();
    let of_now = of_now.as_str().unwrap().to_owned();
    for cursor in [cursor_of(&one, 1), cursor_of(&one, 10), of_now] {
        for accept in ["application/json", "application/x-ndjson", "text/event-stream"] {
            let answer = server.accepting(&format!("/v1/decisions?from={cursor}"), accept);
            assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid-cursor")), "{accept}");
            assert!(answer.body.contains("another ledger"), "{}", answer.body);
        }
        let reply = server.call("SubscribeDecisions", &json!({ "from": cursor }));
        assert_eq!((reply.status, &*reply.reason().0), (3, "invalid-cursor"), "{}", reply.message);
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let url = format!("http://{}/v1/decisions", server.address());
        let events = agent.get(url).header("accept", "text/event-stream").header("last-event-id", &cursor);
        assert_eq!(events.call().unwrap().status(), 400);
    }
}

#[test]
fn a_cursor_of_other_topics_is_refused() {
    let one = filled(named("a", 3));
    let cursor = cursor_of(&one, 3);
    // Another topic of the same length, elsewhere nothing is different.
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, &cursor).unwrap();
    let at = bytes.windows(5).position(|part| part == b"realm").unwrap();
    let mut other = bytes;
    other[at..at + 5].copy_from_slice(b"other");
    let other = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, &other);
    assert!(
        matches!(ended(&one, &other), Some(DecisionsEnd::OtherLedger { shard }) if shard.topic == "other.lifecycle")
    );
    assert_eq!(ended(&one, &cursor), None);
}

/// As after a restore: the beginning is the same, and then the ledger went on in its own way.
#[test]
fn a_ledger_that_went_another_way_refuses_the_cursor_once_it_is_as_long() {
    let (one, mut other) = (filled(named("c", 20)), filled(named("c", 10)));
    let cursor = cursor_of(&one, 20);
    let server = Server::of(&other.ledger, Options::default());
    let page = server.get(&format!("/v1/decisions?from={cursor}"));
    assert_eq!((page.status, &page.json()["code"]), (503, &json!("position-not-reached")), "{}", page.body);
    let runtime = runtime();
    let decisions = Decisions::of(Arc::clone(&other.ledger), patient());
    let from = cursor.parse().unwrap();
    let mut stream = Subscriber::start(&runtime, &decisions, from, DecisionFilter::default());
    other.take_all(0, named("d", 9).map(|tenant| (1, 1, installed(&tenant, "app", "EU", "EU"))));
    assert_eq!(stream.take_within(1, Duration::from_millis(300)), 0);
    assert_eq!(stream.end(), None, "it may still become the same");
    other.take_all(0, named("e", 5).map(|tenant| (1, 1, installed(&tenant, "app", "EU", "EU"))));
    assert_eq!(stream.take(1), 0);
    assert_eq!(stream.end(), Some(DecisionsEnd::OtherLedger { shard: shard(0) }));
    let page = server.get(&format!("/v1/decisions?from={cursor}"));
    assert_eq!((page.status, &page.json()["code"]), (400, &json!("invalid-cursor")), "{}", page.body);
}
