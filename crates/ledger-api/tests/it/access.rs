//! Who may ask what, over the socket: every route, every method, and every kind of credentials.

mod calls;
mod live;
mod order;
mod places;
mod web;

use std::sync::{Arc, LazyLock};

use ledger_api::access::{Access, AccessOptions, AccessScope, Grants, TokenOptions, new_token, token_hash};
use ledger_api::action::{ACTIONS, Action, BACKUP, RETRY, SUBMIT};
use ledger_api::http::Options;
use ledger_api::query::Query;
use ledger_core::event::{Evidence, InstallationFact};
use ledger_core::ids::InstallationKey;
use ledger_record::proof::note::SignerKey;

use crate::filled::{Filled, about, app, client, hour, installed, product_moved, realm, uninstalled};
use crate::http::{Server, is_documented};

const TENANT: &str = "acme.atlassian.net";
/// The app that is granted, one that is not, and one that does not exist.
const GRANTED: &str = "com.granted.app";
const HIDDEN: &str = "com.hidden.app";
const ABSENT: &str = "com.absent.app";

/// Routes that know no tenant, and need no credentials. Those of the page are beside them.
const OPEN: [&str; 3] = ["/livez", "/readyz", "/openapi.json"];

/// What takes `audit`; actions and this one question take `operate`, and all else `read`.
const AUDIT: [&str; 7] =
    ["Log", "Corrections", "Quarantine", "QuarantineItem", "Checkpoints", "Proof", "Replay"];

const OPERATE: &str = "Command";
/// The code that each action ends with where a server has nothing to do it with.
const LACKING: [(&Action, &str); ACTIONS.len()] =
    [(&SUBMIT, "no-commands"), (&RETRY, "no-commands"), (&BACKUP, "no-backup-dir")];

fn action_of(path: &str) -> Option<&'static (&'static Action, &'static str)> {
    LACKING.iter().find(|(action, _)| path_of(action.route, GRANTED) == path)
}

fn scope_of(question: &str) -> AccessScope {
    match question {
        _ if ACTIONS.iter().any(|action| action.name == question) || question == OPERATE => {
            AccessScope::Operate
        }
        _ if AUDIT.contains(&question) => AccessScope::Audit,
        _ => AccessScope::Read,
    }
}

/// An override of an app.
fn order(app: &str) -> serde_json::Value {
    serde_json::json!({"id": "order", "type": "override", "time": "2026-03-01T00:00:00.000Z", "clientKey": TENANT,
                       "appKey": app, "action": "RELEASE", "actor": "eva", "reason": "case 1"})
}

/// Whose token it is.
#[derive(Clone, Copy)]
enum Owner {
    All = 1,
    Reader,
    OneApp,
    Expired,
    /// With `audit`, which does not bring `read`.
    Auditor,
    Nobody,
}

fn token(owner: Owner) -> String {
    new_token([owner as u8; 32])
}

fn access() -> Access {
    let owner =
        |owner: Owner, name: &str, scope: AccessScope, apps: &[&str], expires: Option<i64>| TokenOptions {
            name: name.to_owned(),
            sha256: token_hash(&token(owner)),
            scopes: [scope].into_iter().collect(),
            apps: Grants::parse(apps).unwrap(),
            expires: expires.map(hour),
        };
    let tokens = vec![
        owner(Owner::All, "all", AccessScope::Operate, &["*"], None),
        owner(Owner::Reader, "reader", AccessScope::Read, &["*"], Some(101)),
        owner(Owner::OneApp, "partner", AccessScope::Operate, &[GRANTED], None),
        owner(Owner::Auditor, "auditor", AccessScope::Audit, &["*"], None),
        owner(Owner::Expired, "gone", AccessScope::Operate, &["*"], Some(100)),
    ];
    Access::new(&AccessOptions { tokens, issuers: vec![web::issuer()], ..AccessOptions::default() }).unwrap()
}

/// What an owner may send: its static token, or a web token with the same rights.
fn bearers(owner: Owner) -> [String; 2] {
    [token(owner), web::token(owner)].map(|token| format!("Bearer {token}"))
}

/// A tenant with both apps, one with the hidden one alone, and what is late, moved and refused.
fn ledger() -> Filled {
    let mut filled = Filled::with(1);
    for app in [GRANTED, HIDDEN] {
        filled.publish(0, app, &["EU", "US"]);
        filled.take(0, 1, installed(TENANT, app, "EU", "EU"));
    }
    filled.take(0, 2, product_moved(TENANT, "US"));
    filled.take(0, 3, installed("only.hidden.example", HIDDEN, "US", "US"));
    let from = InstallationKey { client: client(TENANT), app: app(HIDDEN) };
    let evidence = Evidence::new("a ticket").unwrap();
    let link = InstallationFact::Continued { from, from_realm: None, evidence };
    filled.take(0, 3, about("only.hidden.example", HIDDEN, link));
    let located = InstallationFact::DataLocated { realm: realm("US") };
    filled.take(0, 4, about(TENANT, HIDDEN, located));
    for app in [HIDDEN, GRANTED] {
        filled.take(0, 20, uninstalled(TENANT, app));
        filled.take_late(0, 10, 21, installed(TENANT, app, "US", "US"));
    }
    filled.refuse(0);
    filled.sign(0, &SignerKey::from_seed("realm.lifecycle/0", [3; 32]).unwrap());
    filled
}

struct Asked {
    status: u16,
    code: String,
    challenge: bool,
    body: String,
}

impl Server {
    fn asked(&self, path: &str, accept: &str, authorization: &[&str]) -> Asked {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let url = format!("http://{}{path}", self.address());
        let mut answer = if path == "/v1/whatif" || path.starts_with("/v1/whatif?") {
            let body = r#"{"policies":[{"mode":"off"}],"differences":DIFFERENCES,"appKey":"APP"}"#;
            let app = path.split("?app=").nth(1).unwrap_or(GRANTED);
            let body = body.replace("APP", app).replace("DIFFERENCES", &(accept != JSON).to_string());
            let url = url.split('?').next().unwrap_or_default();
            let request = authorization
                .iter()
                .fold(agent.post(url), |request, value| request.header("authorization", *value));
            request.header("accept", accept).header("content-type", JSON).send(body).unwrap()
        } else if let Some((action, _)) = action_of(path) {
            let sent = authorization.iter();
            let request =
                sent.fold(agent.post(url), |request, value| request.header("authorization", *value));
            let body = if *action == &SUBMIT { order(GRANTED).to_string() } else { String::new() };
            request.header("accept", accept).header("content-type", JSON).send(body).unwrap()
        } else {
            let request = authorization
                .iter()
                .fold(agent.get(url), |request, value| request.header("authorization", *value));
            request.header("accept", accept).call().unwrap()
        };
        let challenge = answer.headers().contains_key("www-authenticate");
        let body = answer.body_mut().read_to_string().unwrap();
        let json: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        let code = json["code"].as_str().unwrap_or_default().to_owned();
        let is_post = path.starts_with("/v1/whatif") || action_of(path).is_some();
        let (verb, status) = (if is_post { "post" } else { "get" }, answer.status().as_u16());
        let is_known = code.is_empty() || is_documented(path, verb, status, &code) != Some(false);
        assert!(is_known, "{path}: {status} {code} is not in the document");
        Asked { status, code, challenge, body }
    }

    fn with_token(&self, path: &str, owner: Owner) -> Asked {
        self.asked(path, JSON, &[&format!("Bearer {}", token(owner))])
    }
}

const JSON: &str = "application/json";

/// The route as a request about an app.
fn path_of(route: &str, app: &str) -> String {
    let path = route.replace("{clientKey}", TENANT).replace("{appKey}", app);
    let path = path.replace("{topic}", "realm.lifecycle").replace("{partition}", "0").replace("{seq}", "1");
    let path = path.replace("/{id}", &format!("/e-2?clientKey={TENANT}"));
    // Line by line it would go on.
    match path.as_str() {
        "/v1/decisions" => format!("{path}?limit=1"),
        "/v1/search" => format!("{path}?q=o"),
        _ => path,
    }
}

/// Every route with its question, if it has one: as the router has them, by its text.
static ROUTES: LazyLock<Vec<(Option<&'static str>, &'static str)>> = LazyLock::new(|| {
    let source = include_str!("../../src/http/mod.rs");
    let routes = source.split("fn routes(self)").nth(1).unwrap();
    let routes = routes.split(".fallback(").next().unwrap();
    let mut all = Vec::new();
    for line in routes.lines().filter_map(|line| line.trim().strip_prefix(".route(")) {
        if let Some(question) = line.split("Query::ROUTE").next().filter(|_| line.contains("Query::ROUTE")) {
            let known = Query::ROUTES.iter().find(|(name, _)| *name == question);
            let (name, route) = known.unwrap_or_else(|| panic!("{line}: no question of the table"));
            all.push((Some(*name), *route));
        } else if let Some((constant, _)) = line.split_once(".route,") {
            let known = ACTIONS.iter().find(|action| action.name.to_uppercase() == constant);
            let action = known.unwrap_or_else(|| panic!("{line}: no action of the table"));
            all.push((Some(action.name), action.route));
        } else {
            let route = line.split('"').nth(1).unwrap_or_else(|| panic!("{line}: no route"));
            all.push((None, route));
        }
    }
    all
});

#[test]
fn every_route_is_a_question_or_an_action_of_the_tables_or_open() {
    let questions = ROUTES.iter().filter(|(question, _)| question.is_some()).count();
    assert_eq!(questions, Query::ROUTES.len() + ACTIONS.len(), "each question and action has one route");
    let others: Vec<_> =
        ROUTES.iter().filter(|(question, _)| question.is_none()).map(|(_, route)| *route).collect();
    assert_eq!(others, OPEN, "what needs no credentials is listed here");
}

#[test]
fn every_route_refuses_everyone_but_who_may_ask_it() {
    let filled = ledger();
    let server = Server::guarded(&filled.ledger, access());
    let [all, web] = bearers(Owner::All);
    let wrong: Vec<_> = web::wrong().map(|token| format!("Bearer {token}")).collect();
    for (question, route) in ROUTES.iter() {
        let path = path_of(route, GRANTED);
        if question.is_none() {
            assert_eq!(
                server.asked(&path, JSON, &[]).code,
                if path == "/readyz" { "not-ready" } else { "" },
                "{path}"
            );
            continue;
        }
        let (unknown, expired) = (token(Owner::Nobody), token(Owner::Expired));
        let bad = ["Basic YTpi", "Bearer", "Bearer x", "Bearer eyJhbGciOiJub25lIn0.e30.", &all[..50]]
            .map(ToOwned::to_owned);
        let bad = bad.into_iter().chain([unknown, expired].map(|token| format!("Bearer {token}")));
        let bad = bad.chain(wrong.iter().cloned());
        let none = server.asked(&path, JSON, &[]);
        let twice = server.asked(&path, JSON, &[&all, &all]);
        let refused = bad.map(|value| server.asked(&path, JSON, &[&value])).chain([none, twice]);
        for answer in refused {
            assert_eq!(
                (answer.status, &*answer.code, answer.challenge),
                (401, "unauthenticated", true),
                "{path}: {}",
                answer.body
            );
        }
        for authorization in [&all, &all.replace("Bearer", "bearer"), &web] {
            let answer = server.asked(&path, JSON, &[authorization]);
            // It came as far as what this server does not have.
            let let_in = action_of(&path).map_or((200, ""), |(_, code)| (409, code));
            assert_eq!((answer.status, &*answer.code), let_in, "{path}: {}", answer.body);
        }
    }
    for nowhere in ["/v1", "/v1/nothing", "/metrics", "/page", "/page/a/b"] {
        assert_eq!(server.asked(nowhere, JSON, &[]).code, "unauthenticated", "{nowhere}");
        assert_eq!(server.asked(nowhere, JSON, &[&all]).code, "no-such-route", "{nowhere}");
    }
}

#[test]
fn files_of_the_page_are_open_where_it_is_served() {
    let filled = ledger();
    let server = Server::guarded(&filled.ledger, access());
    assert_eq!(["/", "/page/main.js"].map(|path| server.asked(path, JSON, &[]).status), [200; 2]);
    assert_eq!(server.asked("/page/nothing.js", JSON, &[]).code, "no-such-route");
    let options = Options { page: false, ..Options::default() };
    let server = Server::with(&filled.ledger, options, |api| api.with_access(Arc::new(access())));
    assert_eq!(["/", "/page/main.js"].map(|path| server.asked(path, JSON, &[]).status), [401; 2]);
}

#[test]
fn audit_takes_its_scope_and_read_does_not_bring_it() {
    let filled = ledger();
    let server = Server::guarded(&filled.ledger, access());
    for (question, route) in ROUTES.iter() {
        let Some(question) = question else { continue };
        for bearer in bearers(Owner::Reader) {
            let answer = server.asked(&path_of(route, GRANTED), JSON, &[&bearer]);
            let scope = scope_of(question);
            if scope == AccessScope::Read {
                assert_eq!(answer.status, 200, "{question}: {}", answer.body);
                continue;
            }
            assert_eq!((answer.status, &*answer.code), (403, "scope-missing"), "{question}");
            assert!(answer.body.contains(&format!("scope {scope}")), "{}", answer.body);
        }
    }
}

#[test]
fn what_is_not_granted_is_answered_byte_for_byte_as_what_does_not_exist() {
    let filled = ledger();
    let server = Server::guarded(&filled.ledger, access());
    let about_an_app = |app: &str| {
        let one = format!("/v1/tenants/{TENANT}/apps/{app}");
        let at = "at=2026-03-01T05:00:00Z";
        let mut paths = vec![one.clone(), format!("{one}/explanation"), format!("{one}/preview")];
        paths.extend(
            [&one, &format!("{one}/explanation"), &format!("{one}/preview")]
                .map(|path| format!("{path}?{at}")),
        );
        paths.push(format!("/v1/tenants/never.seen.example/apps/{app}/preview"));
        paths.push(format!("{one}/preview?knownSeq=1"));
        paths.push(format!("/v1/installations?appKey={app}"));
        paths.push(format!("/v1/installations?appKey={app}&{at}"));
        paths.push(format!("/v1/installations?appKey={app}&window=OPEN&{at}"));
        paths.push(format!("/v1/installations?appKey={app}&drift=true"));
        paths.push(format!("/v1/migrations?appKey={app}"));
        paths.push(format!("/v1/lineage?appKey={app}"));
        paths.push(format!("/v1/replay?appKey={app}"));
        paths.push(format!("/v1/replay?clientKey={TENANT}&appKey={app}"));
        paths.push(format!("/v1/tenants/{TENANT}/proof?appKey={app}"));
        paths.push(format!("/v1/whatif?app={app}"));
        paths.push(format!("/v1/commands/e-3?appKey={app}"));
        paths.push(format!("/v1/commands/e-4?clientKey={TENANT}&appKey={app}"));
        paths
    };
    let partner = bearers(Owner::OneApp);
    for (hidden, absent) in about_an_app(HIDDEN).into_iter().zip(about_an_app(ABSENT)) {
        for (accept, bearer) in
            partner.iter().flat_map(|bearer| [(JSON, bearer), ("application/x-ndjson", bearer)])
        {
            let [hidden, absent] =
                [&hidden, &absent].map(|path| (path, server.asked(path, accept, &[bearer])));
            // The leaves of a bundle name the apps of all its records: they are what was signed.
            let is_bundle = hidden.0.contains("/proof");
            let renamed = if is_bundle { hidden.1.body } else { hidden.1.body.replace(HIDDEN, ABSENT) };
            assert_eq!((hidden.1.status, &renamed), (absent.1.status, &absent.1.body), "{}", hidden.0);
            let seen = server.asked(hidden.0, accept, &[&format!("Bearer {}", token(Owner::All))]);
            let has_nothing = ["migrations", "window", "drift"].iter().any(|part| hidden.0.contains(part));
            assert!(has_nothing || seen.body != renamed, "{}: all see it", hidden.0);
        }
    }
}

/// Regression: an empty list and 404, so that any partner could ask who is a customer of others.
#[test]
fn a_tenant_of_other_apps_is_answered_as_one_that_does_not_exist() {
    let filled = ledger();
    let server = Server::guarded(&filled.ledger, access());
    let (hidden, absent) = ("only.hidden.example", "never.seen.example");
    let one = format!("/v1/tenants/{hidden}");
    let mut paths = Vec::new();
    for path in ["", "/log", "/corrections", "/proof"] {
        paths.push(format!("{one}{path}"));
    }
    for app in [GRANTED, HIDDEN] {
        for path in ["", "/explanation", "/preview"] {
            paths.push(format!("{one}/apps/{app}{path}"));
        }
    }
    // Of the tenant itself, and of apps that are granted and not.
    paths.push(format!("/v1/commands/e-5?clientKey={hidden}"));
    paths.push(format!("/v1/commands/e-5?clientKey={hidden}&appKey={GRANTED}"));
    paths.push(format!("/v1/commands/e-5?clientKey={hidden}&appKey={HIDDEN}"));
    paths.push(format!("{one}?knownSeq=99"));
    paths.push(format!("{one}?at=2026-03-02T06:00:00Z"));
    paths.push(format!("{one}/log?fromSeq=2"));
    paths.push(format!("{one}/proof?partition=0"));
    paths.push(format!("{one}/proof?partition=0&appKey={GRANTED}"));
    paths.push(format!("/v1/replay?clientKey={hidden}"));
    paths.push(format!("/v1/replay?clientKey={hidden}&topic=realm.lifecycle&partition=0"));
    for path in paths {
        for accept in [JSON, "application/x-ndjson"] {
            let bearer = format!("Bearer {}", token(Owner::OneApp));
            let answer = server.asked(&path, accept, &[&bearer]);
            let other = server.asked(&path.replace(hidden, absent), accept, &[&bearer]);
            let renamed = answer.body.replace(hidden, absent);
            assert_eq!((answer.status, renamed), (other.status, other.body), "{path} {accept}");
        }
    }
}

/// Regression: they were members by their order.
#[test]
fn a_list_is_no_body() {
    let filled = ledger();
    let server = Server::guarded(&filled.ledger, access());
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    for (path, body) in [("/v1/backups", "[2]"), ("/v1/whatif", r#"[[["off"]],null,null,null,false]"#)] {
        let request = agent.post(format!("http://{}{path}", server.address()));
        let request = request.header("authorization", format!("Bearer {}", token(Owner::All)));
        let mut answer = request.header("content-type", JSON).send(body).unwrap();
        let problem: serde_json::Value = serde_json::from_reader(answer.body_mut().as_reader()).unwrap();
        assert_eq!(problem["code"], "invalid-body", "{path}: {problem}");
    }
}

#[test]
fn an_app_that_is_not_granted_is_in_no_answer() {
    let filled = ledger();
    let server = Server::guarded(&filled.ledger, access());
    let partner = bearers(Owner::OneApp);
    let more = [
        "/v1/installations?window=OPEN",
        "/v1/installations?window=OPEN&at=2026-03-02T06:00:00Z",
        "/v1/installations?realm=US",
        "/v1/installations?limit=1",
        "/v1/installations?splitBrain=true",
        "/v1/search?q=acme",
        "/v1/search?q=only.hidden.exampl",
        "/v1/installations?at=2026-03-01T05:00:00Z",
        "/v1/replay?topic=realm.lifecycle&partition=0",
    ];
    let replay = format!("/v1/replay?clientKey={TENANT}");
    let paths =
        ROUTES.iter().filter(|(question, _)| question.is_some()).map(|(_, route)| path_of(route, GRANTED));
    // The leaves of a bundle name the apps of all its records: they are what was signed.
    let paths = paths.filter(|path| !path.ends_with("/proof"));
    for path in paths.chain(more.map(ToOwned::to_owned)).chain([replay]) {
        for (accept, bearer) in
            partner.iter().flat_map(|bearer| [(JSON, bearer), ("application/x-ndjson", bearer)])
        {
            let answer = server.asked(&path, accept, &[bearer]);
            for canary in [HIDDEN, "only.hidden.example", "data-located"] {
                assert!(!answer.body.contains(canary), "{path} {accept}: {}", answer.body);
            }
            if let Some(cursor) = answer.body.split("\"nextCursor\":\"").nth(1) {
                let cursor = cursor.split('"').next().unwrap();
                let next = server.asked(&format!("{path}&cursor={cursor}"), accept, &[bearer]);
                assert!(!next.body.contains(HIDDEN) && next.status == 200, "{path}: {}", next.body);
            }
        }
    }
}

#[test]
fn a_partner_sees_its_app_in_full_and_of_others_the_places_of_their_records() {
    let filled = ledger();
    let server = Server::guarded(&filled.ledger, access());
    let get = |path: &str| {
        let answer = server.with_token(path, Owner::OneApp);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str::<serde_json::Value>(&answer.body).unwrap()
    };
    let tenant = get(&format!("/v1/tenants/{TENANT}"));
    assert_eq!(tenant["installations"].as_array().unwrap().len(), 1);
    assert_eq!(server.with_token("/v1/tenants/only.hidden.example", Owner::OneApp).status, 404);
    let log = get(&format!("/v1/tenants/{TENANT}/log"));
    let records = log["records"].as_array().unwrap();
    let shape =
        |record: &serde_json::Value| (record["event"]["type"].clone(), record.as_object().unwrap().len());
    assert_eq!(records.len(), 8);
    assert_eq!(shape(&records[0]).0, "installed");
    assert_eq!(shape(&records[1]), (serde_json::Value::Null, 2), "{}", records[1]);
    assert!(records[1]["seq"] == 2 && records[1]["position"].is_u64(), "{}", records[1]);
    assert_eq!(shape(&records[2]).0, "product-moved", "what is the tenant's is seen in full");
    let corrections = get(&format!("/v1/tenants/{TENANT}/corrections"));
    let corrections = corrections["corrections"].as_array().unwrap();
    assert!(
        !corrections.is_empty() && corrections.iter().all(|found| found["appKey"] == GRANTED),
        "{corrections:?}"
    );
    assert_eq!(
        get("/v1/quarantine")["items"],
        serde_json::json!([]),
        "of which app it is nothing says for sure"
    );
    let listed = get("/v1/installations");
    assert_eq!(listed["installations"].as_array().unwrap().len(), 1);
    let bundle = server.with_token(&format!("/v1/tenants/{TENANT}/proof"), Owner::OneApp).body;
    let opened = |bundle: &str| bundle.lines().filter(|line| line.contains("\"payload\"")).count();
    let whole = server.with_token(&format!("/v1/tenants/{TENANT}/proof"), Owner::All).body;
    assert_eq!(bundle.lines().filter(|line| line.contains(r#""type":"record""#)).count(), 9);
    assert_eq!((opened(&bundle), opened(&whole)), (5, 10), "{bundle}");
}

#[test]
fn without_anyone_named_everyone_may_ask() {
    let filled = ledger();
    let server = Server::guarded(&filled.ledger, Access::default());
    assert_eq!(server.asked("/v1/quarantine", JSON, &[]).status, 200);
    assert_eq!(server.asked("/v1/quarantine", JSON, &["Bearer whatever"]).status, 200);
    drop(server);
    let server = Server::of(&filled.ledger, Options::default());
    assert_eq!(server.asked("/v1/quarantine", JSON, &[]).status, 200);
}

#[test]
fn more_requests_than_the_rate_are_refused_for_that_principal_alone() {
    let filled = ledger();
    let owner = |owner: Owner, name: &str| TokenOptions {
        name: name.to_owned(),
        sha256: token_hash(&token(owner)),
        scopes: [AccessScope::Read].into_iter().collect(),
        apps: Grants::All,
        expires: None,
    };
    let tokens = vec![owner(Owner::All, "a"), owner(Owner::Reader, "b")];
    let options = AccessOptions { rate: 1, burst: 3, tokens, ..AccessOptions::default() };
    let server = Server::guarded(&filled.ledger, Access::new(&options).unwrap());
    let answers: Vec<_> = (0..5).map(|_| server.with_token("/v1/installations", Owner::All)).collect();
    assert!(answers[..3].iter().all(|answer| answer.status == 200));
    assert!(answers[3..].iter().all(|answer| answer.status == 429 && answer.code == "rate-limited"));
    assert_eq!(server.with_token("/v1/installations", Owner::Reader).status, 200);
}
