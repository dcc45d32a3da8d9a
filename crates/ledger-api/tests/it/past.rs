//! Queries as of an instant and with a knowledge bound.

use ledger_api::ledger::Ledger;
use ledger_api::query::{AsOf, PreviewQuery};
use ledger_core::event::{AppFact, Body};
use ledger_core::state::Status;
use ledger_core::tenant::Tenant;
use ledger_store::KnowledgeBound;
use serde_json::json;

use crate::filled::Ask as _;
use crate::filled::{
    Filled, app, client, descriptor, hour, installed, json, product_moved, realm, uninstalled,
};

/// Installed in EU at 1; uninstalled at 5, recorded at 20 only; product moved at 8.
fn lived() -> Filled {
    let mut filled = Filled::with(2);
    filled.publish(0, "app", &["EU", "US"]);
    filled.take(1, 1, installed("acme", "app", "EU", "EU"));
    filled.take(1, 8, product_moved("acme", "US"));
    filled.take_late(1, 5, 20, uninstalled("acme", "app"));
    filled
}

fn status(ledger: &Ledger, as_of: AsOf, now: i64) -> (Status, u64) {
    let answer = ledger.installation(&client("acme"), &app("app"), as_of, hour(now)).unwrap();
    (answer.installation.installation.status, answer.installation.seq)
}

#[test]
fn past_state_respects_instant_and_knowledge_bound() {
    let filled = lived();
    let at = |at: i64| AsOf { at: Some(hour(at)), known: KnowledgeBound::All, min_position: None };
    let known = |known| AsOf { at: Some(hour(6)), known, min_position: None };
    assert_eq!(status(&filled.ledger, AsOf::default(), 30), (Status::Uninstalled, 3));
    assert_eq!(status(&filled.ledger, at(4), 30), (Status::Installed, 3));
    assert_eq!(status(&filled.ledger, at(5), 30), (Status::Uninstalled, 3));
    assert_eq!(status(&filled.ledger, known(KnowledgeBound::All), 30), (Status::Uninstalled, 3));
    assert_eq!(status(&filled.ledger, known(KnowledgeBound::Recorded(hour(19))), 30), (Status::Installed, 2));
    assert_eq!(
        status(&filled.ledger, known(KnowledgeBound::Recorded(hour(20))), 30),
        (Status::Uninstalled, 3)
    );
    assert_eq!(status(&filled.ledger, known(KnowledgeBound::Seq(2)), 30), (Status::Installed, 2));
    assert_eq!(status(&filled.ledger, known(KnowledgeBound::Seq(1)), 30), (Status::Installed, 1));
}

#[test]
fn state_answer_has_the_documented_fields() {
    let filled = lived();
    let as_of = AsOf { at: Some(hour(9)), known: KnowledgeBound::Seq(2), min_position: None };
    let answer = filled.ledger.installation(&client("acme"), &app("app"), as_of, hour(30)).unwrap();
    let answer = json(&answer);
    let state = &answer["installation"];
    assert_eq!(state["clientKey"], "acme");
    assert_eq!(state["pinnedRealm"], "EU");
    assert_eq!(state["baseUrl"], "https://EU.app.example.com");
    assert_eq!(state["productRealm"], "US");
    assert_eq!(state["drift"], true);
    assert_eq!(state["asOf"], "2026-03-01T09:00:00.000Z");
    let freshness = &answer["freshness"][0];
    // Four records, each of another minute, with a seal before each but the first.
    assert_eq!((&freshness["partition"], &freshness["position"]), (&json!(1), &json!(6)));
}

#[test]
fn event_dated_ahead_has_not_happened_yet() {
    let mut filled = lived();
    filled.take_late(1, 40, 30, installed("acme", "app", "US", ""));
    assert_eq!(status(&filled.ledger, AsOf::default(), 31), (Status::Uninstalled, 4));
    assert_eq!(status(&filled.ledger, AsOf::default(), 39), (Status::Uninstalled, 4));
    assert_eq!(status(&filled.ledger, AsOf::default(), 40), (Status::Installed, 4));
    // An event dated ahead for another app does not change the product realm yet either.
    filled.take_late(1, 50, 41, installed("acme", "other", "DE", "DE"));
    let answer = filled.ledger.tenant(&client("acme"), AsOf::default(), hour(45)).unwrap();
    assert_eq!(answer.installations.len(), 1);
    assert_eq!(answer.installations[0].product_realm, Some(realm("US")));
}

#[test]
fn app_events_count_from_their_event_time() {
    let mut filled = lived();
    // The first answer fills the cache, the second updates it.
    assert_eq!(status(&filled.ledger, AsOf::default(), 30).0, Status::Uninstalled);
    filled.publish(25, "app", &["US"]);
    let state = |at| {
        let as_of = AsOf { at: Some(hour(at)), known: KnowledgeBound::All, min_position: None };
        let answer = filled.ledger.installation(&client("acme"), &app("app"), as_of, hour(30)).unwrap();
        json(&answer)["installation"]["baseUrl"].clone()
    };
    assert_eq!(state(24), "https://EU.app.example.com");
    assert_eq!(state(25), json!(null));
}

#[test]
fn absent_tenant_app_or_seq_is_not_found() {
    let filled = lived();
    let ask = |who: &str, what: &str, as_of| {
        let answer = filled.ledger.installation(&client(who), &app(what), as_of, hour(30));
        answer.map(|_| ()).map_err(|error| error.code())
    };
    assert_eq!(ask("nobody", "app", AsOf::default()), Err("not-found"));
    assert_eq!(ask("acme", "nothing", AsOf::default()), Err("not-found"));
    let before = AsOf { at: Some(hour(0)), known: KnowledgeBound::All, min_position: None };
    assert_eq!(ask("acme", "app", before), Err("not-found"));
    assert_eq!(filled.ledger.tenant(&client("acme"), before, hour(30)).unwrap().installations.len(), 0);
    let beyond = AsOf { at: None, known: KnowledgeBound::Seq(4), min_position: None };
    assert_eq!(ask("acme", "app", beyond), Err("seq-not-recorded"));
    let nothing = AsOf { at: None, known: KnowledgeBound::Seq(0), min_position: None };
    assert_eq!(ask("acme", "app", nothing), Err("not-found"));
}

#[test]
fn log_is_read_in_pages() {
    let filled = lived();
    let seqs = |from, limit| {
        let answer =
            json(&filled.ledger.log(&client("acme"), from, limit, AsOf::default(), hour(30)).unwrap());
        let records = answer["records"].as_array().unwrap();
        let seqs: Vec<_> = records.iter().map(|record| record["seq"].as_u64().unwrap()).collect();
        (seqs, answer["nextSeq"].as_u64())
    };
    assert_eq!(seqs(1, 2), (vec![1, 2], Some(3)));
    assert_eq!(seqs(3, 2), (vec![3], None));
    assert_eq!(seqs(1, 3), (vec![1, 2, 3], None));
    assert_eq!(seqs(4, 3), (vec![], None));
    let answer = json(&filled.ledger.log(&client("acme"), 3, 1, AsOf::default(), hour(30)).unwrap());
    assert_eq!(answer["records"][0]["late"], true);
    assert_eq!(answer["records"][0]["event"]["type"], "uninstalled");
}

#[test]
fn preview_needs_a_known_app_but_no_tenant() {
    let filled = lived();
    let preview = |who: &str, what: &str, product: Option<&str>, at| {
        let asked = PreviewQuery {
            client: client(who),
            app: app(what),
            product_realm: product.map(realm),
            as_of: AsOf { at: Some(hour(at)), known: KnowledgeBound::All, min_position: None },
        };
        filled.ledger.put(&asked, hour(30)).map(|answer| json(&answer)["decision"].clone())
    };
    assert_eq!(preview("acme", "app", None, 30).unwrap()["expectedRealm"], "US");
    assert_eq!(preview("acme", "app", Some("EU"), 30).unwrap()["expectedRealm"], "EU");
    assert_eq!(preview("acme", "app", None, 3).unwrap()["rule"], "REFRESH");
    let fresh = preview("nobody", "app", Some("EU"), 30).unwrap();
    assert_eq!((&fresh["rule"], &fresh["expectedRealm"]), (&json!("FRESH"), &json!("EU")));
    assert_eq!(fresh.get("seq"), None);
    assert_eq!(preview("acme", "nothing", None, 30).unwrap_err().code(), "not-found");
    assert_eq!(preview("nobody", "nothing", None, 30).unwrap_err().code(), "not-found");
}

#[test]
fn explanation_cites_records() {
    let filled = lived();
    let explain =
        |what: &str, at: i64| filled.ledger.explain(&client("acme"), &app(what), at_hour(at), hour(30));
    let answer = json(&explain("app", 30).unwrap());
    let sentences = answer["explanation"]["sentences"].as_array().unwrap();
    assert!(sentences.iter().any(|sentence| sentence["text"].as_str().unwrap().contains("EU")), "{answer}");
    assert!(sentences.iter().any(|sentence| sentence["seqs"] == json!([1])), "{answer}");
    assert_eq!(explain("nothing", 30).unwrap_err().code(), "not-found");
    assert_eq!(explain("app", 0).unwrap_err().code(), "not-found", "as its state is, by then");
    let unheard = AsOf { at: None, known: KnowledgeBound::Seq(0), min_position: None };
    let explained = filled.ledger.explain(&client("acme"), &app("app"), unheard, hour(30));
    assert_eq!(explained.unwrap_err().code(), "not-found");
}

fn at_hour(at: i64) -> AsOf {
    AsOf { at: Some(hour(at)), known: KnowledgeBound::All, min_position: None }
}

#[test]
fn log_preview_and_explanation_respect_the_knowledge_bound() {
    let filled = lived();
    let (acme, what) = (client("acme"), app("app"));
    let seqs = |as_of| {
        let answer = filled.ledger.log(&acme, 1, 9, as_of, hour(30)).unwrap();
        (answer.records.iter().map(ledger_api::query::Logged::seq).collect::<Vec<_>>(), answer.next_seq)
    };
    assert_eq!(seqs(AsOf::default()), (vec![1, 2, 3], None));
    assert_eq!(seqs(at_hour(6)), (vec![1, 3], None), "what had happened by then");
    assert_eq!(
        seqs(AsOf { at: None, known: KnowledgeBound::Recorded(hour(19)), min_position: None }),
        (vec![1, 2], None)
    );
    assert_eq!(seqs(AsOf { at: None, known: KnowledgeBound::Seq(1), min_position: None }), (vec![1], None));
    let rule = |known| {
        let as_of = AsOf { at: Some(hour(10)), known, min_position: None };
        let asked = PreviewQuery { client: acme.clone(), app: what.clone(), product_realm: None, as_of };
        json(&filled.ledger.put(&asked, hour(30)).unwrap())["decision"]["rule"].clone()
    };
    assert_eq!(rule(KnowledgeBound::All), "PERSISTENCE_OFF");
    assert_eq!(rule(KnowledgeBound::Seq(2)), "REFRESH");
    let present = |known| {
        let as_of = AsOf { at: Some(hour(10)), known, min_position: None };
        let answer = json(&filled.ledger.explain(&acme, &what, as_of, hour(30)).unwrap());
        answer["explanation"]["sentences"][0]["fact"]["status"].clone()
    };
    assert_eq!(
        (present(KnowledgeBound::All), present(KnowledgeBound::Seq(2))),
        (json!("UNINSTALLED"), json!("INSTALLED"))
    );
}

#[test]
fn explanation_has_rule_policy_and_evidence() {
    let mut filled = lived();
    filled.publish(21, "app", &["EU"]);
    filled.take(1, 22, installed("acme", "app", "GLOBAL", ""));
    let answer = filled.ledger.explain(&client("acme"), &app("app"), AsOf::default(), hour(30)).unwrap();
    let explanation = &json(&answer)["explanation"];
    assert_eq!((&explanation["rule"], &explanation["row"]), (&json!("PERSISTENCE_OFF"), &json!(11)));
    assert_eq!(explanation["inForce"]["policy"], json!({"mode": "descriptor"}));
    let regions = &explanation["inForce"]["descriptor"]["regionBaseUrls"];
    assert_eq!(regions, &json!({"EU": "https://EU.app.example.com"}));
    assert_eq!(explanation["inForce"]["descriptorEvent"], "e-7", "{explanation:#}");
    assert_eq!(explanation["evidence"], json!([1, 2, 3, 4]));
    assert_eq!(explanation["appEvidence"], json!(["e-2", "e-7"]), "of now, and of the uninstall");
    let then = &explanation["inForceAtUninstall"];
    assert_eq!((&then["at"], &then["descriptorEvent"]), (&json!("2026-03-01T05:00:00.000Z"), &json!("e-2")));
    assert_eq!(explanation["inForceAtDecision"]["at"], "2026-03-01T22:00:00.000Z");
    let sentences = explanation["sentences"].as_array().unwrap();
    let of_role = |role: &str| {
        let found = sentences.iter().filter(|sentence| sentence["role"] == role);
        found.map(|sentence| sentence["fact"].clone()).collect::<Vec<_>>()
    };
    let lost: Vec<_> =
        of_role("alternative").iter().map(|fact| (fact["rows"].clone(), fact["because"].clone())).collect();
    let expected = [
        (json!([1, 6]), json!("not-installed")),
        (json!([7, 7]), json!("no-override")),
        (json!([8, 8]), json!("known-before")),
        (json!([9, 9]), json!("realm-was-known")),
        (json!([10, 10]), json!("not-forgotten")),
    ];
    assert_eq!(lost, expected);
    assert_eq!(of_role("decision")[0]["pinnedRealm"], "GLOBAL");
    assert_eq!(of_role("outlook"), [json!({"kind": "hook-would-reinstall"})]);
}

#[test]
fn bound_at_the_last_seq_excludes_later_app_events() {
    let mut filled = lived();
    let known = |filled: &Filled, known| {
        let as_of = AsOf { at: Some(hour(30)), known, min_position: None };
        let answer = filled.ledger.installation(&client("acme"), &app("app"), as_of, hour(40)).unwrap();
        let state = &json(&answer)["installation"];
        (state["seq"].clone(), state["baseUrl"].clone())
    };
    let in_eu = (json!(3), json!("https://EU.app.example.com"));
    for knowledge in [
        KnowledgeBound::All,
        KnowledgeBound::Seq(3),
        KnowledgeBound::Recorded(hour(20)),
        KnowledgeBound::Recorded(hour(99)),
    ] {
        assert_eq!(known(&filled, knowledge), in_eu, "{knowledge:?}");
    }
    filled.publish(25, "app", &["US"]);
    for knowledge in [KnowledgeBound::Seq(3), KnowledgeBound::Recorded(hour(20))] {
        assert_eq!(known(&filled, knowledge), in_eu, "{knowledge:?}");
    }
    for knowledge in
        [KnowledgeBound::All, KnowledgeBound::Recorded(hour(25)), KnowledgeBound::Recorded(hour(99))]
    {
        assert_eq!(known(&filled, knowledge), (json!(3), json!(null)), "{knowledge:?}");
    }
}

#[test]
fn log_page_continues_until_it_is_full() {
    let mut filled = Filled::with(1);
    for recorded in 1..=40 {
        filled.take_late(0, 100 - recorded, recorded + 90, uninstalled("acme", "app"));
    }
    let found = |limit, as_of| {
        let answer = filled.ledger.log(&client("acme"), 1, limit, as_of, hour(999)).unwrap();
        (answer.records.iter().map(ledger_api::query::Logged::seq).collect::<Vec<_>>(), answer.next_seq)
    };
    assert_eq!(found(1, at_hour(60)), (vec![40], None), "the first that had happened by then is the last");
    assert_eq!(found(1, at_hour(61)), (vec![39], Some(40)));
    let known = |seq| AsOf { at: None, known: KnowledgeBound::Seq(seq), min_position: None };
    assert_eq!(found(3, known(3)), (vec![1, 2, 3], None), "nothing follows that was known");
    assert_eq!(found(2, known(3)), (vec![1, 2], Some(3)));
}

#[test]
fn app_known_to_another_shard_can_be_previewed() {
    let mut filled = lived();
    let fact = AppFact::DescriptorPublished { descriptor: descriptor(&["DE"]) };
    filled.take(0, 2, Body::App { app: app("elsewhere"), fact });
    let preview = |as_of| {
        let (client, app) = (client("acme"), app("elsewhere"));
        let asked = PreviewQuery { client, app, product_realm: Some(realm("DE")), as_of };
        filled.ledger.put(&asked, hour(30)).map(|answer| json(&answer)["decision"]["pinnedRealm"].clone())
    };
    assert_eq!(preview(AsOf::default()).unwrap(), "DE");
    // A seq of this shard does not bound the knowledge of another shard.
    assert_eq!(
        preview(AsOf { at: None, known: KnowledgeBound::Seq(1), min_position: None }).unwrap_err().code(),
        "not-found"
    );
}

/// That what is asked of a tenant is the fold of its records, whatever was kept of earlier questions.
fn assert_is_fold(filled: &Filled, at: i64, known: KnowledgeBound) {
    let (acme, what) = (client("acme"), app("app"));
    let as_of = AsOf { at: Some(hour(at)), known, min_position: None };
    let answer = filled.ledger.installation(&acme, &what, as_of, hour(99_999)).unwrap();
    let readers = filled.readers();
    let history = readers[0].1.snapshot().history(&acme, known).unwrap();
    let folded = Tenant::as_of(&history.entries(), &history.apps, hour(at));
    assert_eq!(answer.installation.installation, folded.installations[&what], "{at} {known:?}");
    assert_eq!(answer.installation.seq, history.events.last().unwrap().seq);
}

#[test]
fn past_of_a_long_history_is_its_fold() {
    let mut filled = Filled::with(1);
    filled.publish(0, "app", &["EU", "US"]);
    // Each seventh is late.
    let records = (1..=5_000_i64).map(|recorded| {
        let happened = if recorded % 7 == 0 { recorded - 3 } else { recorded };
        let region = if recorded % 4 == 0 { "EU" } else { "US" };
        let body =
            if recorded % 3 == 0 { uninstalled("acme", "app") } else { installed("acme", "app", region, "") };
        (happened, recorded, body)
    });
    filled.take_all(0, records);
    let ask = |filled: &Filled| {
        for at in [1, 2, 511, 512, 513, 3_000, 4_998, 4_999] {
            assert_is_fold(filled, at, KnowledgeBound::All);
        }
        for known in [KnowledgeBound::Seq(4_500), KnowledgeBound::Recorded(hour(4_200))] {
            assert_is_fold(filled, 4_100, known);
            assert_is_fold(filled, 4_400, known);
        }
    };
    ask(&filled);
    ask(&filled);
    filled.take_late(0, 600, 5_001, uninstalled("acme", "app"));
    ask(&filled);
    // What was published changes states that are kept.
    filled.publish(700, "app", &["DE"]);
    ask(&filled);
}
