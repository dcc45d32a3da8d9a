//! An app behind the gateway: atlassian-connect-express, and Atlassian's starter for Spring Boot, each with its own
//! verification on. It sees each call as it came, and the caller sees its answer as it was.

use std::sync::{Arc, Mutex};

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::realm::Realm;
use ledger_gateway::{KnownInstallation, KnownInstallations, LookupFailed};
use ledger_tests::gateway::Script;
use ledger_tests::wait;
use serde_json::{Value, json};

use super::{
    APP, BASE, CLIENT, FORGE_APP, SECRET, World, app_options, install_order, journal_text, now, payload, with,
};

/// What an app is made with.
type Framework = fn(&[&str]) -> Script;

const EXPRESS: Framework = |args| Script::node("app.js", args);
const SPRING: Framework = Script::spring;

/// A gateway in front of an app.
fn in_front(framework: Framework) -> (World, Script) {
    let (connect, forge) = (Script::node("connect.js", &[]), Script::python("forge.py"));
    let app = framework(&[BASE, APP, FORGE_APP, &connect.url, &forge.url]);
    let world =
        World::between(connect, forge, |connect, forge| app_options(connect, forge, Some(&app.url)), None);
    (world, app)
}

/// The host of the realm: calls come with the app's own paths, as Atlassian signed them.
const HOST: (&str, &str) = ("host", "eu.app.example.com");

impl World {
    fn by_host(&self, method: &str, path: &str, authorization: &str, body: &Value) -> super::Answer {
        let headers = [
            HOST,
            ("authorization", authorization),
            ("content-type", "application/json"),
            ("x-b3-traceid", "ab12"),
        ];
        let body = if method == "GET" { String::new() } else { body.to_string() };
        self.call(method, path, &headers, &body)
    }

    /// Signed with the tenant's secret, as all calls but installs are.
    fn app_signed(&self, method: &str, path: &str, secret: &str) -> String {
        let claims = json!({ "iss": CLIENT, "iat": now(), "exp": now() + 180 });
        let order =
            json!({ "claims": claims, "method": method, "url": path, "alg": "HS256", "secret": secret });
        format!("JWT {}", self.connect.token(&order))
    }
}

#[test]
fn connect_app_of_express_verifies_by_itself_and_what_it_takes_is_recorded() {
    connect_app(EXPRESS);
}

#[test]
fn connect_app_of_spring_boot_verifies_by_itself_and_what_it_takes_is_recorded() {
    connect_app(SPRING);
}

fn connect_app(framework: Framework) {
    let (world, app) = in_front(framework);
    let installed = payload("installed");
    let token = world.install_token("/installed", json!({}));
    let answer = world.by_host("POST", "/installed", &token, &installed);
    assert_eq!(answer.status, 204, "{answer:?}");
    let seen = app.next_line();
    assert_eq!(
        (&seen["method"], &seen["url"], &seen["status"]),
        (&"POST".into(), &"/installed".into(), &204.into())
    );
    assert_eq!(seen["body"], installed.to_string(), "byte for byte, the secret too");
    assert_eq!(seen["headers"]["authorization"], token);
    assert_eq!(seen["headers"]["x-b3-traceid"], "ab12");

    let enabled = payload("enabled");
    let refused = world.by_host("POST", "/enabled", &world.app_signed("POST", "/enabled", "wrong"), &enabled);
    assert!(refused.status >= 400, "the app knows better: {refused:?}");
    assert_eq!(world.recorded_types(), ["installed"]);
    let answered = world.by_host("POST", "/enabled", &world.app_signed("POST", "/enabled", SECRET), &enabled);
    assert_eq!(answered.status, 204);

    let step = |step: &str, body: &Value, secret: &str| {
        let path = format!("/migration/{step}");
        world.by_host("POST", &path, &world.app_signed("POST", &path, secret), body)
    };
    let schedule =
        |id: u64| json!({ "migrationId": id, "location": "EU", "startTime": "2026-12-01T00:00:00.000Z" });
    let refused = step("schedule", &schedule(13), SECRET);
    assert_eq!((refused.status, &*refused.body), (409, r#"{"errorResponseCode":"E0004"}"#));
    assert!(step("schedule", &schedule(14), "wrong").status >= 400);
    let scheduled = step("schedule", &schedule(14), SECRET);
    assert_eq!((scheduled.status, &*scheduled.body), (200, r#"{"done":"schedule"}"#));
    assert_eq!(step("start", &json!({ "migrationId": 14 }), SECRET).status, 200);
    let path = "/migration/status?migrationId=14";
    let status = world.by_host("GET", path, &world.app_signed("GET", path, SECRET), &Value::Null);
    assert_eq!((status.status, &*status.body), (200, r#"{"status":"ready-to-commit"}"#));
    assert_eq!(status.headers["x-app"], "kept");
    assert_eq!(step("commit", &json!({ "migrationId": 14 }), SECRET).status, 200);
    assert_eq!(step("rollback", &json!({ "migrationId": 14 }), SECRET).status, 200);

    let token = world.install_token("/uninstalled", json!({}));
    assert_eq!(world.by_host("POST", "/uninstalled", &token, &payload("uninstalled")).status, 204);
    let expected = [
        "installed",
        "enabled",
        "migration-scheduled",
        "migration-started",
        "migration-committed",
        "migration-rolled-back",
        "uninstalled",
    ];
    assert_eq!(world.recorded_types(), expected);
    for event in world.recorded() {
        assert_eq!((&event["clientKey"], &event["appKey"]), (&CLIENT.into(), &APP.into()));
    }
    let recorded = &world.recorded()[0];
    assert_eq!((&recorded["siteUrl"], &recorded["actor"]), (&super::SITE.into(), &"account-1".into()));
    let text = journal_text(&world.journal);
    for secret in [SECRET, "MIGf-public", "Words of the customer", "eyJ"] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[test]
fn forge_events_of_both_shapes_and_steps_of_a_migration_reach_an_app_of_express_and_the_ledger() {
    forge_app(EXPRESS);
}

#[test]
fn forge_events_of_both_shapes_and_steps_of_a_migration_reach_an_app_of_spring_boot_and_the_ledger() {
    forge_app(SPRING);
}

fn forge_app(framework: Framework) {
    let (world, app) = in_front(framework);
    let event =
        |body: &Value, claims: Value| world.by_host("POST", "/forge", &world.forge_token(claims), body);
    let at_top = json!({
        "id": "1a2b", "context": "ari:cloud:jira::site/cloud-1", "installerAccountId": "a", "app": { "id": FORGE_APP },
        "eventType": "avi:forge:installed:app"
    });
    let answer = event(
        &at_top,
        json!({ "principal": "account-2", "context": { "cloudId": "cloud-1", "siteUrl": super::SITE } }),
    );
    assert_eq!((answer.status, &*answer.body), (202, "taken"));
    assert_eq!(answer.headers["x-app"], "kept");
    let seen = app.next_line();
    assert_eq!(seen["body"], at_top.to_string());
    let below =
        json!({ "payload": { "id": "1a2b", "upgraderAccountId": "a", "retryContext": { "retryCount": 1 } } });
    assert_eq!(event(&below, json!({})).status, 202);
    let other = json!({ "eventType": "avi:ecosystem.migration:triggered:listener", "id": "x" });
    assert_eq!(event(&other, json!({})).status, 202);
    let recorded = world.recorded();
    assert_eq!(world.recorded_types(), ["installed", "installed"]);
    for event in &recorded {
        assert_eq!(event["clientKey"], "cloud-1");
        assert_eq!(event["installationId"], "ari:cloud:ecosystem::installation/1a2b");
        assert_eq!(event["endpointRealm"], "EU");
    }
    assert_eq!((&recorded[0]["actor"], &recorded[0]["siteUrl"]), (&"account-2".into(), &super::SITE.into()));

    let step = |step: &str, body: Value| {
        world.by_host("POST", &format!("/migration/{step}"), &world.forge_token(json!({})), &body)
    };
    assert_eq!(step("schedule", json!({ "migrationId": 13, "location": "EU" })).status, 409);
    assert_eq!(step("schedule", json!({ "migrationId": 57500, "location": "EU" })).status, 200);
    assert_eq!(step("rollback", json!({ "migrationId": 57500 })).status, 200);
    let gone = json!({ "context": { "cloudId": "cloud-1", "moduleKey": "gone" }, "contextToken": "secret-of-forge" });
    let module = json!({ "app": { "module": { "type": "core:preUninstall" } } });
    assert_eq!(event(&gone, module).status, 202);
    let expected = ["installed", "installed", "migration-scheduled", "migration-rolled-back", "uninstalled"];
    assert_eq!(world.recorded_types(), expected);
    assert!(!journal_text(&world.journal).contains("secret-of-forge"));
}

#[test]
fn copies_that_an_app_of_express_sends_on_are_recorded() {
    app_that_copies(EXPRESS);
}

#[test]
fn copies_that_an_app_of_spring_boot_sends_on_are_recorded() {
    app_that_copies(SPRING);
}

fn app_that_copies(framework: Framework) {
    let world = World::new(None);
    let gateway = format!("{}/hooks/roadmap/EU", world.url);
    let (connect, forge) = (&world.connect.url, &world.forge.url);
    let app = framework(&[BASE, APP, FORGE_APP, connect, forge, &gateway, &world.copy_token]);
    let send = |path: &str, authorization: &str, body: &Value| {
        let headers = [("authorization", authorization), ("content-type", "application/json")];
        super::call(&format!("{}{path}", app.url), "POST", &headers, &body.to_string()).status
    };
    let recorded = |expected: &[&str]| {
        wait::for_value(|| {
            let types = world.recorded_types();
            if types == expected { Ok(()) } else { Err(format!("{types:?}")) }
        });
    };
    let token = world.install_token("/installed", json!({}));
    assert_eq!(send("/installed", &token, &payload("installed")), 204);
    recorded(&["installed"]);
    let enabled = payload("enabled");
    assert!(send("/enabled", &world.app_signed("POST", "/enabled", "wrong"), &enabled) >= 400);
    assert_eq!(send("/enabled", &world.app_signed("POST", "/enabled", SECRET), &enabled), 204);
    recorded(&["installed", "enabled"]);
    assert!(!journal_text(&world.journal).contains(SECRET));
}

#[test]
fn traffic_is_recorded_once_a_day_and_realm_and_a_licence_when_it_changes() {
    let world = World::new(None);
    let seen = |realm: &str, claims: Value| {
        let token = world.forge_token(claims);
        let headers = [("authorization", &*token), ("x-realm-ledger-token", &*world.copy_token)];
        let answer = world.call("POST", &format!("/hooks/roadmap/{realm}/forge/seen"), &headers, "");
        assert_eq!(answer.status, 204, "{answer:?}");
    };
    let licence =
        |active: bool| json!({ "app": { "license": { "active": active, "ccpEntitlementId": "E-1" } } });
    seen("EU", json!({}));
    seen("EU", json!({}));
    seen("EU", licence(true));
    seen("EU", licence(true));
    seen("GLOBAL", licence(false));
    seen("GLOBAL", json!({}));
    let other = json!({ "app": { "installationId": "ari:cloud:ecosystem::installation/other" } });
    seen("GLOBAL", other);
    // The call of a module that runs when the app goes is no traffic, whatever route its copy takes.
    let gone = json!({ "app": { "installationId": "ari:cloud:ecosystem::installation/gone", "module": { "type": "core:preUninstall" } } });
    seen("GLOBAL", gone.clone());
    seen("GLOBAL", gone.clone());
    let going = with(gone, json!({ "app": { "installationId": "ari:cloud:ecosystem::installation/going" } }));
    let commit = world.copy("migration/commit", &world.forge_token(going), &json!({ "migrationId": 1 }));
    assert_eq!(commit.status, 204, "{commit:?}");
    let told: Vec<_> = world
        .recorded()
        .iter()
        .map(|event| {
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            format!("{} {}{}", text("type"), text("endpointRealm"), text("state"))
        })
        .collect();
    let expected = [
        "installed EU",
        "subscription-observed ACTIVE",
        "installed GLOBAL",
        "subscription-observed INACTIVE",
        "installed GLOBAL",
        "uninstalled GLOBAL",
        "migration-committed ",
    ];
    assert_eq!(told, expected);
}

#[test]
fn app_that_is_away_fails_the_call_and_a_rollback_is_recorded_all_the_same() {
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", nowhere.local_addr().unwrap());
    drop(nowhere);
    let world = World::with(|connect, forge| app_options(connect, forge, Some(&url)), None);
    let step = |step: &str| {
        world.hook(
            &format!("migration/{step}"),
            &world.forge_token(json!({})),
            &json!({ "migrationId": 1, "location": "EU" }),
        )
    };
    for name in ["schedule", "rollback", "status"] {
        assert_eq!((step(name).status, &*step(name).code), (502, "app-unreachable"), "{name}");
    }
    let rolled_back = world.recorded_types().iter().filter(|event| *event == "migration-rolled-back").count();
    assert_eq!(rolled_back, 2, "each call of its own");
    assert!(!world.recorded_types().contains(&"migration-scheduled".to_owned()));
    let token = world.connect.token(&install_order("/installed"));
    let answer = world.hook("connect/installed", &format!("JWT {token}"), &payload("installed"));
    assert_eq!((answer.status, &*answer.code), (502, "app-unreachable"));
    assert_eq!(world.recorded_types().last().unwrap(), "installed", "it is sent again, which is a refresh");
}

/// What a ledger knows.
#[derive(Debug, Default)]
struct Known(Mutex<Vec<Result<Vec<KnownInstallation>, ()>>>);

impl KnownInstallations for Known {
    fn with_id(&self, app: &AppKey, id: &str) -> Result<Vec<KnownInstallation>, LookupFailed> {
        assert_eq!((app.as_str(), id), (APP, "ari:cloud:ecosystem::installation/1a2b"));
        let next = self.0.lock().unwrap().remove(0);
        next.map_err(|()| LookupFailed { reason: "not ready".to_owned() })
    }
}

#[test]
fn first_sight_of_an_installation_that_is_known_from_connect_tells_both() {
    let eu = Realm::parse("EU").ok();
    let known = KnownInstallation {
        client: ClientKey::new(CLIENT).unwrap(),
        realm: eu,
        successor: None,
        predecessor: None,
    };
    let answers = vec![Err(()), Ok(vec![known])];
    let known = Arc::new(Known(Mutex::new(answers)));
    let world = World::with(|connect, forge| app_options(connect, forge, None), Some(known));
    let seen = || assert_eq!(world.copy("forge/seen", &world.forge_token(json!({})), &json!({})).status, 204);
    seen();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(world.recorded_types(), ["installed"], "the ledger could not say");
    seen();
    let told = wait::for_value(|| {
        let recorded = world.recorded();
        if recorded.len() == 3 { Ok(recorded) } else { Err(format!("{recorded:?}")) }
    });
    let [_, continued, superseded] = &told[..] else { panic!("{told:?}") };
    let expected = json!({ "clientKey": "cloud-1", "fromClientKey": CLIENT, "fromRealm": "EU", "evidence": "connect-installed" });
    assert_eq!(with(continued.clone(), expected.clone()), *continued);
    let expected = json!({ "clientKey": CLIENT, "toClientKey": "cloud-1", "type": "superseded" });
    assert_eq!(with(superseded.clone(), expected), *superseded);
    seen();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(world.recorded().len(), 3, "once");
}
