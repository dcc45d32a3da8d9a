//! What-if over several shards, and over HTTP.

use std::ops::ControlFlow;
use std::sync::Mutex;

use ledger_api::http::Options;
use ledger_api::ledger::QueryError;
use ledger_api::query::{LedgerLine, WhatIfQuery};
use ledger_core::policy::Policy;
use ledger_core::whatif::WhatIfScope;
use serde_json::{Value, json};

use crate::filled::{Filled, app, hour, installed, uninstalled};
use crate::http::{Answer, Server};

/// Each of three shards has a tenant that returned after its shard number plus one hours; one tenant is in two
/// shards.
fn filled() -> Filled {
    let mut filled = Filled::with(3);
    filled.publish(0, "app", &["EU", "US"]);
    for shard in 0..3 {
        let tenant = format!("t-{shard}");
        filled.take(shard, 1, installed(&tenant, "app", "EU", "EU"));
        filled.take(shard, 2, uninstalled(&tenant, "app"));
        filled.take(shard, 3 + i64::try_from(shard).unwrap(), installed(&tenant, "app", "US", "US"));
    }
    for shard in [0, 2] {
        filled.take(shard, 1, installed("split", "app", "EU", "EU"));
    }
    filled
}

fn asked(differences: bool) -> WhatIfQuery {
    let policies = vec![Policy::Off, Policy::Indefinite];
    WhatIfQuery { policies, scope: WhatIfScope::default(), differences }
}

#[test]
fn whatif_counts_every_shard_and_omits_torn_tenants() {
    let filled = filled();
    let reported = Mutex::new(Vec::new());
    let answer = filled.ledger.ask(&asked(true), hour(9), &|line| {
        reported.lock().unwrap().push(crate::filled::json(line));
        ControlFlow::Continue(())
    });
    let answer = crate::filled::json(&answer.unwrap());
    assert_eq!(answer["reports"][0]["moved"], 3);
    assert_eq!(answer["reports"][1]["persisted"], 3);
    let max = answer["reports"][1]["gaps"]["maxDays"].as_f64().unwrap();
    assert!((max * 24.0 - 3.0).abs() < 1e-9, "{max}");
    assert_eq!((answer["tenants"].clone(), answer["records"].clone()), (3.into(), 9.into()));
    assert_eq!(answer["refused"][0]["clientKey"], "split");
    assert_eq!(answer["refused"][0]["shards"], json!(["realm.lifecycle/0", "realm.lifecycle/2"]));
    let reported = reported.into_inner().unwrap();
    let mut differ: Vec<_> =
        reported.iter().filter_map(|line| line.pointer("/difference/clientKey")?.as_str()).collect();
    differ.sort_unstable();
    // One difference is the window at the uninstall, one the realm at the install.
    assert_eq!(differ, ["t-0", "t-0", "t-1", "t-1", "t-2", "t-2"]);
    let progress = |line: &Value| line.pointer("/progress/total").and_then(Value::as_u64);
    assert!(reported.iter().filter_map(progress).all(|total| total == 11), "no seal and no record of an app");
    let last = reported.iter().rfind(|line| line.get("progress").is_some()).unwrap();
    assert_eq!(last["progress"]["records"], last["progress"]["total"]);
}

#[test]
fn line_callback_can_end_the_whatif() {
    let filled = filled();
    let hears = |line: &LedgerLine<'_>| match line {
        LedgerLine::Difference(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let Err(QueryError::GivenUp) = filled.ledger.ask(&asked(true), hour(9), &hears) else {
        panic!("it went on")
    };
}

#[test]
fn whatif_route_answers_as_json_or_ndjson() {
    let filled = filled();
    let server = Server::of(&filled.ledger, Options::default());
    let body = r#"{"policies":[{"mode":"off"},{"mode":"days","days":30}],"appKey":"app"}"#;
    let Answer { status, body: text, .. } = server.posting("/v1/whatif", "application/json", body);
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, answer["reports"][1]["persisted"].clone()), (200, 3.into()), "{text}");
    assert_eq!(answer["freshness"].as_array().unwrap().len(), 3);
    let Answer { status, body: text, .. } = server.posting("/v1/whatif", "application/x-ndjson", body);
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(status, 200);
    assert!(lines[0].get("progress").is_some(), "{text}");
    let reports: Vec<_> = lines.iter().filter_map(|line| line.get("report")).cloned().collect();
    assert_eq!(Value::from(reports), answer["reports"]);
    assert!(lines.last().unwrap().get("freshness").is_some(), "{text}");
}

#[test]
fn invalid_whatif_body_gets_a_problem() {
    let filled = filled();
    let server = Server::of(&filled.ledger, Options::default());
    for body in [
        "",
        "{}",
        r#"{"policies":[]}"#,
        r#"{"policies":[{"mode":"days","days":0}]}"#,
        r#"{"policies":[{"mode":"off"}],"apKey":"a"}"#,
        r#"{"policies":[{"mode":"off"}],"appKey":""}"#,
        r#"{"policies":[{"mode":"off","days":5}]}"#,
        r#"{"policies":[{"mode":"days","days":5,"graceDays":5}]}"#,
        "null",
        "[]",
        r#"{"policies":[null]}"#,
        r#"{"policies":[7]}"#,
    ] {
        let Answer { status, body: text, .. } = server.posting("/v1/whatif", "application/json", body);
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, problem["code"].clone()), (400, "invalid-body".into()), "{text}");
        assert!(!text.contains("Given") && !text.contains("struct"), "a name of the program's own: {text}");
    }
    // Differences are sent as NDJSON only.
    let differences = r#"{"policies":[{"mode":"off"}],"differences":true}"#;
    assert_eq!(server.posting("/v1/whatif", "application/json", differences).status, 400);
    assert_eq!(server.posting("/v1/whatif", "application/x-ndjson", differences).status, 200);
    assert_eq!(server.get("/v1/whatif").status, 405);
}

#[test]
fn invalid_whatif_query_is_refused() {
    let filled = filled();
    let refused = |asked: &WhatIfQuery| {
        filled.ledger.ask(asked, hour(9), &|_| ControlFlow::Continue(())).unwrap_err().code()
    };
    let policies = vec![Policy::Off; 33];
    assert_eq!(refused(&WhatIfQuery { policies, ..asked(false) }), "invalid-body");
    assert_eq!(refused(&WhatIfQuery { policies: Vec::new(), ..asked(false) }), "invalid-body");
    let scope = WhatIfScope { app: Some(app("ap")), ..WhatIfScope::default() };
    assert_eq!(refused(&WhatIfQuery { scope, ..asked(false) }), "not-found", "a key that is mistyped");
    let scope = WhatIfScope { from: Some(hour(2)), to: Some(hour(1)), ..WhatIfScope::default() };
    assert_eq!(refused(&WhatIfQuery { scope, ..asked(false) }), "invalid-parameter");
}
