//! Corrections: which answers changed, and by which record.

use ledger_api::http::Options;
use ledger_api::ledger::Ledger;
use ledger_api::query::AsOf;
use ledger_core::event::{AppFact, Body, InstallationFact, Installed};
use ledger_core::policy::Policy;
use ledger_store::KnowledgeBound;
use serde_json::{Value, json};

use crate::filled::Ask as _;
use crate::filled::{Filled, about, app, client, hour, installed, json, realm, uninstalled};
use crate::http::Server;

/// Uninstalled at 2, reinstalled at 50 in US. Recorded late: at 60 a policy without end from 0 on; at 61 an install
/// in DE at 40 and its uninstall at 45.
fn corrected() -> Filled {
    let mut filled = Filled::with(1);
    filled.publish(0, "app", &["EU", "US", "DE"]);
    filled.take(0, 1, installed("acme", "app", "EU", "EU"));
    filled.take(0, 1, installed("other", "app", "EU", "EU"));
    filled.take(0, 2, uninstalled("acme", "app"));
    filled.take(0, 50, installed("acme", "app", "US", ""));
    let policy = Body::App { app: app("app"), fact: AppFact::PolicySet { policy: Policy::Indefinite } };
    filled.take_late(0, 0, 60, policy);
    filled.take_late(0, 40, 61, installed("acme", "app", "DE", ""));
    filled.take_late(0, 45, 62, uninstalled("acme", "app"));
    filled
}

fn corrections(filled: &Filled, from: u64, limit: u64, as_of: AsOf) -> (Vec<Value>, Option<u64>) {
    let answer = filled.ledger.corrections(&client("acme"), from, limit, as_of, hour(99)).unwrap();
    (answer.corrections.iter().map(json).collect(), answer.next_position)
}

/// Tenant seq, type of the event, rule and previous realm before and after.
fn short(correction: &Value) -> Value {
    let decided = |side: &str| {
        json!([
            correction.pointer(&format!("/{side}/decision/rule")),
            correction.pointer(&format!("/{side}/decision/previousRealm")),
        ])
    };
    json!([correction["seq"], correction["event"]["type"], decided("before"), decided("after")])
}

#[test]
fn correction_has_before_after_and_cause() {
    let filled = corrected();
    let (found, next) = corrections(&filled, 0, 10, AsOf::default());
    let expected = [
        json!([null, "policy-set", ["PERSISTENCE_OFF", "EU"], ["PERSISTED", "EU"]]),
        json!([4, "installed", ["PERSISTED", "EU"], ["IMPLICIT_REINSTALL", "DE"]]),
        json!([5, "uninstalled", ["IMPLICIT_REINSTALL", "DE"], ["PERSISTED", "DE"]]),
    ];
    assert_eq!((found.iter().map(short).collect::<Vec<_>>(), next), (expected.to_vec(), None));
    assert_eq!(found[1]["recordedAt"], "2026-03-03T13:00:00.000Z");
    assert_eq!((&found[1]["firstSeq"], &found[1]["appKey"]), (&json!(3), &json!("app")));
    assert_eq!(found[1]["before"]["status"], "INSTALLED");
}

#[test]
fn corrections_page_and_respect_the_knowledge_bound() {
    let filled = corrected();
    let (all, _) = corrections(&filled, 0, 10, AsOf::default());
    let (first, next) = corrections(&filled, 0, 1, AsOf::default());
    let (rest, end) = corrections(&filled, next.unwrap(), 10, AsOf::default());
    assert_eq!(([first, rest].concat(), end), (all.clone(), None));
    // From where no page ended, and by a ledger that has answered nothing yet: the same.
    let readers = filled.readers();
    for from in 0..20 {
        let anew = Ledger::from_readers(readers.clone());
        let found = anew.corrections(&client("acme"), from, 10, AsOf::default(), hour(99)).unwrap();
        let found: Vec<Value> = found.corrections.iter().map(json).collect();
        assert_eq!(found, corrections(&filled, from, 10, AsOf::default()).0, "from {from}");
        assert_eq!(found[..], all[all.len() - found.len()..]);
    }
    let known = |known| corrections(&filled, 0, 10, AsOf { at: None, known, min_position: None }).0.len();
    assert_eq!(
        [
            known(KnowledgeBound::Recorded(hour(59))),
            known(KnowledgeBound::Recorded(hour(60))),
            known(KnowledgeBound::Seq(4))
        ],
        [0, 1, 2]
    );
    let happened = AsOf { at: Some(hour(39)), known: KnowledgeBound::All, min_position: None };
    assert_eq!(corrections(&filled, 0, 10, happened).0, all[..1]);
}

#[test]
fn corrections_route_gives_the_same_answers() {
    let filled = corrected();
    let server = Server::of(&filled.ledger, Options::default());
    let get = |path: &str| -> Value { serde_json::from_str(&server.get(path).body).unwrap() };
    let (all, _) = corrections(&filled, 0, 10, AsOf::default());
    assert_eq!(get("/v1/tenants/acme/corrections")["corrections"], Value::from(all.clone()));
    let from = &all[1]["position"];
    let page = get(&format!("/v1/tenants/acme/corrections?limit=1&fromPosition={from}"));
    assert_eq!(page["corrections"], json!([all[1]]));
    assert_eq!(page["nextPosition"], all[2]["position"]);
    assert_eq!(server.get("/v1/tenants/nobody/corrections").status, 404);
}

#[test]
fn withdrawn_decision_is_not_shown_as_before() {
    let mut filled = Filled::with(1);
    filled.take(0, 5, installed("acme", "app", "EU", ""));
    // The late enabled implies an earlier installation, so the install was a refresh; the late uninstall makes it a
    // reinstall.
    filled.take_late(0, 2, 6, about("acme", "app", InstallationFact::Enabled));
    filled.take_late(0, 3, 7, uninstalled("acme", "app"));
    let (found, _) = corrections(&filled, 0, 10, AsOf::default());
    let rules: Vec<_> = found
        .iter()
        .map(|found| {
            (found["before"]["decision"]["rule"].clone(), found["after"]["decision"]["rule"].clone())
        })
        .collect();
    let expected = [(json!("FRESH"), Value::Null), (Value::Null, json!("PRIOR_UNKNOWN"))];
    assert_eq!(rules, expected, "{found:#?}");
}

#[test]
fn corrections_page_ends_at_its_byte_budget() {
    let mut filled = Filled::with(1);
    filled.take(0, 1, installed("acme", "app", "EU", ""));
    filled.take(0, 50, installed("acme", "app", "US", ""));
    for late in 0..12_i64 {
        let fact = Installed {
            endpoint_realm: Some(realm(["DE", "EU"][usize::try_from(late % 2).unwrap()])),
            site_url: Some("x".repeat(1_000_000)),
            ..Installed::default()
        };
        let body = about("acme", "app", InstallationFact::Installed(Box::new(fact)));
        filled.take_late(0, 10 + late, 60 + late, body);
    }
    let (mut from, mut found) = (Some(0), 0);
    while let Some(next) = from {
        let (page, after) = corrections(&filled, next, 100, AsOf::default());
        assert!((1..4).contains(&page.len()), "{}", page.len());
        (from, found) = (after, found + page.len());
    }
    assert_eq!(found, 12);
}
