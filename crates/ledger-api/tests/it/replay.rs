//! Replays: every record that changed a state, with the state after it.

use std::ops::ControlFlow;
use std::sync::Mutex;

use ledger_api::ledger::{Ledger, QueryError};
use ledger_api::query::{AsOf, LedgerLine, ReplayQuery};
use ledger_core::event::{AppFact, Body, InstallationFact};
use ledger_core::policy::Policy;
use ledger_store::Phase;
use serde_json::{Value, json};

use crate::filled::Ask as _;
use crate::filled::{Filled, about, app, client, hour, installed, product_moved, shard, uninstalled};

fn replayed(ledger: &Ledger, asked: &ReplayQuery) -> Result<Vec<Value>, QueryError> {
    let lines = Mutex::new(Vec::new());
    ledger.answer_lines(&asked.clone().into(), hour(99), &|line| {
        if let LedgerLine::Step(step) = line {
            lines.lock().unwrap().push(crate::filled::json(step));
        }
        ControlFlow::Continue(())
    })?;
    Ok(lines.into_inner().unwrap())
}

/// The type of the event, and of each state: app, status, product realm, whether it has a window.
fn short(step: &Value) -> Value {
    let states = step["states"].as_array().unwrap().iter().map(|state| {
        json!([state["appKey"], state["status"], state["productRealm"], state.get("window").is_some()])
    });
    json!([step["record"]["event"]["type"], states.collect::<Vec<_>>()])
}

fn shorts(ledger: &Ledger, asked: &ReplayQuery) -> Vec<Value> {
    replayed(ledger, asked).unwrap().iter().map(short).collect()
}

/// Two apps of one tenant, one uninstalled; a late policy without end covers its uninstall.
fn lived() -> Filled {
    let mut filled = Filled::with(2);
    filled.publish(0, "a", &["EU", "US"]);
    filled.publish(0, "b", &["EU", "US"]);
    filled.take(1, 1, installed("acme", "a", "EU", "EU"));
    filled.take(1, 2, installed("acme", "b", "US", "US"));
    filled.take(1, 3, uninstalled("acme", "a"));
    let policy = Body::App { app: app("a"), fact: AppFact::PolicySet { policy: Policy::Indefinite } };
    filled.take_late(1, 2, 4, policy);
    filled.take(1, 5, about("acme", "b", InstallationFact::Disabled));
    filled.take(1, 6, product_moved("acme", "DE"));
    filled.take(0, 7, installed("other", "b", "EU", "EU"));
    filled
}

#[test]
fn tenant_replay_has_every_changing_record() {
    let filled = lived();
    let asked = ReplayQuery { client: Some(client("acme")), ..ReplayQuery::default() };
    let expected = [
        json!(["installed", [["a", "INSTALLED", "EU", false]]]),
        // The product realm belongs to the tenant, so the other app's state changed too.
        json!(["installed", [["a", "INSTALLED", "US", false], ["b", "INSTALLED", "US", false]]]),
        json!(["uninstalled", [["a", "UNINSTALLED", "US", false]]]),
        json!(["policy-set", [["a", "UNINSTALLED", "US", true]]]),
        json!(["disabled", [["b", "INSTALLED", "US", false]]]),
        json!(["product-moved", [["a", "UNINSTALLED", "DE", true], ["b", "INSTALLED", "DE", false]]]),
    ];
    assert_eq!(shorts(&filled.ledger, &asked), expected);
}

#[test]
fn app_replay_includes_product_moves_by_other_apps() {
    let filled = lived();
    let asked = ReplayQuery { client: Some(client("acme")), app: Some(app("a")), ..ReplayQuery::default() };
    let types: Vec<_> = shorts(&filled.ledger, &asked).iter().map(|step| step[0].clone()).collect();
    assert_eq!(types, ["installed", "installed", "uninstalled", "policy-set", "product-moved"]);
    // A replay of all shards adds the app's own events and leaves out tenants without it.
    let asked = ReplayQuery { app: Some(app("a")), ..ReplayQuery::default() };
    let types: Vec<_> = shorts(&filled.ledger, &asked).iter().map(|step| step[0].clone()).collect();
    let published = "descriptor-published";
    let of_acme = ["installed", "installed", "uninstalled", "policy-set", "product-moved"];
    assert_eq!(types, [&[published, published][..], &of_acme[..]].concat());
}

#[test]
fn replay_from_a_position_gives_the_same_steps() {
    let filled = lived();
    for asked in [
        ReplayQuery { shard: Some(shard(1)), ..ReplayQuery::default() },
        ReplayQuery { client: Some(client("acme")), ..ReplayQuery::default() },
        ReplayQuery { client: Some(client("acme")), app: Some(app("a")), ..ReplayQuery::default() },
    ] {
        let all = replayed(&filled.ledger, &asked).unwrap();
        for from_position in 0..20 {
            let rest = replayed(&filled.ledger, &ReplayQuery { from_position, ..asked.clone() }).unwrap();
            let expected: Vec<_> =
                all.iter().filter(|step| step["position"].as_u64() >= Some(from_position)).cloned().collect();
            assert_eq!(rest, expected, "{asked:?} from {from_position}");
        }
        let (from, to) = (Some(hour(3)), Some(hour(6)));
        let span = replayed(&filled.ledger, &ReplayQuery { from, to, ..asked.clone() }).unwrap();
        let expected: Vec<_> = all
            .iter()
            .filter(|step| {
                let time = step["record"]["event"]["time"].as_str().unwrap();
                ("2026-03-01T03"..="2026-03-01T05:00:00.000Z").contains(&time)
            })
            .cloned()
            .collect();
        assert_eq!(span, expected, "{asked:?} in a span");
    }
}

#[test]
fn late_record_refolds_the_replayed_tenant() {
    let mut filled = lived();
    filled.take_late(1, 2, 8, uninstalled("acme", "b"));
    let asked = ReplayQuery { client: Some(client("acme")), ..ReplayQuery::default() };
    let last = replayed(&filled.ledger, &asked).unwrap().pop().unwrap();
    let state = filled.ledger.installation(&client("acme"), &app("b"), AsOf::default(), hour(8)).unwrap();
    assert_eq!(last["states"], crate::filled::json(&[state.installation]));
}

#[test]
fn invalid_replay_is_refused() {
    let filled = lived();
    let code = |asked: ReplayQuery| replayed(&filled.ledger, &asked).unwrap_err().code();
    let acme = || ReplayQuery { client: Some(client("acme")), ..ReplayQuery::default() };
    assert_eq!(code(ReplayQuery { shard: Some(shard(0)), ..acme() }), "not-found", "it is in the other one");
    assert_eq!(code(ReplayQuery { shard: Some(shard(7)), ..ReplayQuery::default() }), "not-found");
    assert_eq!(code(ReplayQuery { from_position: 1, ..ReplayQuery::default() }), "invalid-parameter");
    let mistyped = || Some(app("ap"));
    assert_eq!(code(ReplayQuery { app: mistyped(), ..ReplayQuery::default() }), "not-found");
    assert_eq!(code(ReplayQuery { app: mistyped(), ..acme() }), "not-found");
    let backwards = ReplayQuery { from: Some(hour(2)), to: Some(hour(1)), ..acme() };
    assert_eq!(code(backwards), "invalid-parameter", "nothing happened then, whatever happened");
    // A shard that is catching up could have the app; the answer reports it as incomplete.
    filled.statuses[0].update(|now| now.phase = Phase::CatchingUp);
    assert!(
        replayed(&filled.ledger, &ReplayQuery { app: mistyped(), ..ReplayQuery::default() })
            .unwrap()
            .is_empty()
    );
}
