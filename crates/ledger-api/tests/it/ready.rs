//! Absence is reported only after every shard that could have the tenant is read to its end.

use std::ops::ControlFlow;
use std::sync::Arc;

use ledger_api::decisions::{DecisionFilter, Decisions, DecisionsFrom};
use ledger_api::http::Options;
use ledger_api::ledger::{Ledger, QueryError};
use ledger_api::limits::SubscriptionBounds;
use ledger_api::query::{AsOf, PreviewQuery, ProofQuery, ReplayQuery};
use ledger_store::{Catalog, Halted, KnowledgeBound, Phase};

use crate::filled::Ask as _;
use crate::filled::{Filled, app, client, hour, installed, json, product_moved, shard};
use crate::http::Server;
use crate::proof::key;

type Change<'a> = &'a dyn Fn(&mut ledger_store::Freshness);

/// The outcome of every query that can report absence of a tenant.
fn asked(ledger: &Ledger, who: &str, what: &str) -> [&'static str; 7] {
    let (who, what, now, as_of) = (client(who), app(what), hour(9), AsOf::default());
    let preview = PreviewQuery { client: who.clone(), app: what.clone(), product_realm: None, as_of };
    let proof = ProofQuery { client: who.clone(), app: None, pinned: None, partition: None, topic: None };
    let replay = ReplayQuery {
        client: Some(who.clone()),
        app: None,
        shard: None,
        from: None,
        to: None,
        from_position: 0,
    };
    let code = |error: QueryError| error.code();
    [
        ledger.tenant(&who, as_of, now).err().map_or("answered", code),
        ledger.installation(&who, &what, as_of, now).err().map_or("answered", code),
        ledger.log(&who, 1, 9, as_of, now).err().map_or("answered", code),
        ledger.explain(&who, &what, as_of, now).err().map_or("answered", code),
        ledger.put(&preview, now).err().map_or("answered", code),
        ledger.put(&proof, now).err().map_or("answered", code),
        ledger.ask(&replay, now, &|_| ControlFlow::Continue(())).err().map_or("answered", code),
    ]
}

fn filled() -> Filled {
    let mut filled = Filled::with(2);
    filled.publish(1, "app", &["EU"]);
    filled.take(0, 2, installed("acme", "app", "EU", "EU"));
    filled.take(1, 2, installed("zeta", "app", "EU", "EU"));
    filled.take(0, 2, product_moved("bare", "EU"));
    filled.sign(0, &key(0));
    filled.sign(1, &key(1));
    filled
}

/// Regression: an empty list, as of a ledger in which nothing is recorded.
#[test]
fn lists_are_not_ready_while_no_partition_is_known() {
    let catalog = Arc::new(Catalog::default());
    let server = Server::of(&Arc::new(Ledger::from_catalog(Arc::clone(&catalog))), Options::default());
    catalog.expect("realm.lifecycle", None);
    for path in ["/v1/installations", "/v1/migrations", "/v1/quarantine"] {
        let answer = server.get(path);
        assert_eq!(answer.status, 503, "{path}");
        let problem = answer.json();
        assert_eq!(problem["code"], "not-ready", "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("the partitions of realm.lifecycle are not known yet"), "{problem}");
    }
    catalog.expect("realm.lifecycle", Some(2));
    let list = server.get("/v1/installations");
    assert_eq!(list.status, 200);
    assert_eq!(list.json()["freshness"].as_array().unwrap().len(), 2, "it names what it lacks");
}

#[test]
fn absence_is_not_ready_while_a_shard_is_behind_or_halted() {
    let filled = filled();
    let ledger = &filled.ledger;
    let absent =
        ["not-found", "not-found", "not-found", "not-found", "answered", "invalid-parameter", "not-found"];
    assert_eq!(asked(ledger, "nobody", "app"), absent);
    let server = Server::of(ledger, Options::default());
    let halted = Halted { code: "topic-truncated", message: "the topic ends at 5".to_owned() };
    let cases: [(&str, Change<'_>); 3] = [
        ("is catching up", &|now| now.phase = Phase::CatchingUp),
        ("is not fed here", &|now| now.phase = Phase::Idle),
        ("has halted (topic-truncated)", &|now| {
            (now.phase, now.halted) = (Phase::Halted, Some(halted.clone()));
        }),
    ];
    for (why, change) in cases {
        filled.statuses[1].update(|now| (now.phase, now.halted) = (Phase::Live, None));
        filled.statuses[1].update(change);
        assert_eq!(asked(ledger, "nobody", "app"), ["not-ready"; 7], "{why}");
        let error = ledger.tenant(&client("nobody"), AsOf::default(), hour(9)).unwrap_err();
        assert!(error.to_string().ends_with(&format!("realm.lifecycle/1 {why}")), "{error}");
        let QueryError::NotReady(not_ready) = error else { panic!("{error}") };
        assert_eq!(not_ready.freshness, ledger.freshness(hour(9)), "of every shard");
        let problem = server.get("/v1/tenants/nobody").json();
        let waits = problem["detail"].as_str().unwrap().contains("ask again later");
        assert_eq!(waits, !why.contains("halted"), "only a person ends it: {problem}");
        // A tenant that is found is answered with its freshness.
        let of_zeta = ledger.installation(&client("zeta"), &app("app"), AsOf::default(), hour(9)).unwrap();
        assert_eq!(of_zeta.freshness[0].phase, filled.statuses[1].freshness().phase.as_str());
        let found = asked(ledger, "zeta", "app");
        assert_eq!(found, ["answered"; 7], "{why}");
        // Only shards that could have the tenant matter.
        let of_acme = asked(ledger, "acme", "other");
        assert_eq!((of_acme[1], of_acme[3]), ("not-found", "not-found"), "{why}");
    }
}

/// Regression: "not there" for 45 seconds after the brokers had gone.
#[test]
fn absence_is_not_ready_while_the_brokers_give_nothing() {
    let filled = filled();
    let away = Halted { code: "source-unreachable", message: "the brokers do not answer".to_owned() };
    filled.catalog.set_away(Some(away));
    assert_eq!(asked(&filled.ledger, "nobody", "app"), ["not-ready"; 7]);
    assert_eq!(asked(&filled.ledger, "zeta", "app"), ["answered"; 7]);
    let server = Server::of(&filled.ledger, Options::default());
    let problem = server.get("/v1/tenants/nobody").json();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("the brokers give nothing (source-unreachable)"), "{problem}");
    filled.catalog.set_away(None);
    assert_eq!(asked(&filled.ledger, "nobody", "app")[0], "not-found");
}

/// Regression: no decisions, and no more of them, where nothing was looked at; and a cursor of now that passed over what
/// came before the shards were assigned.
#[test]
fn decisions_are_not_nothing_while_no_shard_is_assigned() {
    let mut filled = filled();
    let server = Server::of(&filled.ledger, Options::default());
    let decisions = |from: &str| server.get(&format!("/v1/decisions?from={from}"));
    let live = decisions("now").json()["cursor"].clone();
    for status in &filled.statuses {
        status.update(|now| (now.is_ours, now.phase) = (false, Phase::Idle));
    }
    for from in ["begin", "now", live.as_str().unwrap()] {
        let answer = decisions(from);
        assert_eq!((answer.status, &answer.json()["code"]), (503, &"not-ready".into()), "{from}");
    }
    assert!(
        server.get("/v1/checkpoints").json()["checkpoints"].as_array().is_some_and(|all| !all.is_empty())
    );
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let all = Decisions::of(Arc::clone(&filled.ledger), SubscriptionBounds::default());
    let from_now = async { all.subscribe(DecisionsFrom::Now, DecisionFilter::default()).await };
    let subscription = runtime.block_on(from_now).unwrap();
    let unassigned = subscription.cursor().to_string();
    assert_eq!(unassigned, live, "it names the places of all shards that are here");
    filled.take(1, 3, installed("late", "app", "EU", "EU"));
    for status in &filled.statuses {
        status.update(|now| (now.is_ours, now.phase) = (true, Phase::Live));
    }
    let page = decisions(&unassigned).json();
    assert_eq!(page["decisions"].as_array().map(Vec::len), Some(1), "{page}");
}

/// A rollout waits for the first time; what stops later takes no process away that still answers.
#[test]
fn process_that_was_at_the_end_of_its_shards_once_stays_ready_for_who_asks_that() {
    let filled = filled();
    let server = Server::of(&filled.ledger, Options::default());
    let status = |path: &str| server.admin(path).status;
    let all = |change: Change<'_>| filled.statuses.iter().for_each(|status| status.update(change));
    all(&|now| (now.is_ours, now.phase) = (false, Phase::Idle));
    assert_eq!(status("/readyz?once=true"), 503, "nothing is assigned");
    all(&|now| (now.is_ours, now.phase) = (true, Phase::CatchingUp));
    filled.statuses[0].update(|now| now.phase = Phase::Live);
    assert_eq!(status("/readyz?once=true"), 503, "one still catches up");
    let halt = Halted { code: "topic-truncated", message: "the topic ends at 5".to_owned() };
    filled.statuses[1].update(|now| (now.phase, now.halted) = (Phase::Halted, Some(halt.clone())));
    assert_eq!(
        [status("/readyz?once=true"), status("/readyz"), status("/readyz?once=false")],
        [200, 503, 503]
    );
    assert_eq!(server.admin("/readyz?once=true").json()["ready"], false, "the body has what is so now");
    filled.statuses[0].update(|now| now.phase = Phase::CatchingUp);
    assert_eq!([status("/readyz?once=true"), status("/readyz")], [200, 503], "a shard that came later");
    assert_eq!(server.get("/readyz?once=true").status, 200, "at either listener");
    assert_eq!(server.get("/readyz?onec=true").json()["code"], "unknown-parameter");
    let another = Server::of(&filled.ledger, Options::default());
    assert_eq!(another.admin("/readyz?once=true").status, 503, "each process for itself");
    all(&|now| (now.is_ours, now.phase, now.halted) = (false, Phase::Idle, None));
    let away = Halted { code: "source-unreachable", message: "the brokers do not answer".to_owned() };
    filled.catalog.set_away(Some(away));
    assert_eq!(
        [another.admin("/readyz?once=true").status, another.admin("/readyz").status],
        [200, 503],
        "it answers from what is recorded"
    );
}

#[test]
fn shard_of_a_found_tenant_decides_absence() {
    let filled = filled();
    let ledger = &filled.ledger;
    let before = AsOf { at: Some(hour(1)), known: KnowledgeBound::All, min_position: None };
    let of_seq = AsOf { at: None, known: KnowledgeBound::Seq(7), min_position: None };
    let preview = |of: &str, what: &str| {
        let asked =
            PreviewQuery { client: client(of), app: app(what), product_realm: None, as_of: AsOf::default() };
        ledger.put(&asked, hour(9)).map(|answer| json(&answer)["decision"]["rule"].clone())
    };
    let code = |error: Option<QueryError>| error.map_or("answered", |error| error.code());
    let all = || {
        [
            code(ledger.installation(&client("acme"), &app("other"), AsOf::default(), hour(9)).err()),
            code(ledger.tenant(&client("acme"), before, hour(9)).err()),
            code(ledger.log(&client("acme"), 1, 9, before, hour(9)).err()),
            code(ledger.corrections(&client("acme"), 0, 9, before, hour(9)).err()),
            code(ledger.tenant(&client("acme"), of_seq, hour(9)).err()),
            code(ledger.quarantine_item(&shard(0), 1, hour(9)).err()),
            code(preview("bare", "app").err()),
        ]
    };
    let known =
        ["not-found", "answered", "answered", "answered", "seq-not-recorded", "not-found", "answered"];
    assert_eq!(all(), known);
    assert_eq!(preview("bare", "app").unwrap(), "FRESH");
    filled.statuses[1].update(|now| now.phase = Phase::CatchingUp);
    assert_eq!(all(), known, "it is not in the other one");
    filled.statuses[0].update(|now| now.phase = Phase::CatchingUp);
    assert_eq!(all(), ["not-ready"; 7]);
    assert!(preview("acme", "app").is_ok(), "found, and labelled with its freshness");
    assert!(ledger.log(&client("acme"), 99, 9, AsOf::default(), hour(9)).is_ok(), "nothing more yet");
}

#[test]
fn absence_proof_needs_a_shard_read_to_its_end() {
    let filled = filled();
    let of = |who: &str| ProofQuery {
        client: client(who),
        app: None,
        pinned: None,
        partition: Some(0),
        topic: None,
    };
    let proof = |filled: &Filled, who| filled.ledger.put(&of(who), hour(9)).map_err(|error| error.code());
    assert!(proof(&filled, "nobody").is_ok());
    filled.statuses[0].update(|now| now.phase = Phase::CatchingUp);
    assert_eq!(proof(&filled, "nobody"), Err("not-ready"));
    assert!(proof(&filled, "acme").is_ok());
}
