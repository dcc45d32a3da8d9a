//! Every refusal, by tokens of other libraries: refused with its code, and nothing recorded.

use ledger_api::access::new_token;
use ledger_tests::gateway::Script;
use serde_json::{Value, json};

use super::{APP, Answer, World, app_options, call, forge_claims, install_order, now, payload, with};

fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code.as_str()), (status, code), "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/problem+json");
}

#[test]
fn install_tokens_that_are_not_right_are_refused() {
    let world = World::new(None);
    let path = "/hooks/roadmap/EU/connect/installed";
    let install = |authorization: &str| world.copy("connect/installed", authorization, &payload("installed"));
    let claims = |claims: Value| world.install_token(path, json!({ "claims": claims }));
    let order = |other: Value| world.install_token(path, other);
    let cases = [
        (order(json!({ "url": "/hooks/roadmap/EU/connect/uninstalled" })), "wrong-query-hash"),
        (order(json!({ "url": format!("{path}?user=1") })), "wrong-query-hash"),
        (order(json!({ "method": "GET" })), "wrong-query-hash"),
        (order(json!({ "url": null })), "wrong-query-hash"),
        (claims(json!({ "aud": ["https://evil.example.com"] })), "wrong-audience"),
        (claims(json!({ "aud": null })), "malformed-token"),
        (claims(json!({ "iss": "another-client" })), "wrong-issuer"),
        (claims(json!({ "iss": null })), "malformed-token"),
        (claims(json!({ "exp": now() - 60 })), "expired"),
        (claims(json!({ "exp": null })), "malformed-token"),
        (claims(json!({ "nbf": now() + 60 })), "not-yet-valid"),
        (order(json!({ "alg": "none" })), "wrong-algorithm"),
        (order(json!({ "alg": "HS256", "secret": "public" })), "wrong-algorithm"),
        (order(json!({ "signer": "stranger" })), "bad-signature"),
        (order(json!({ "kid": "asap/../key-1" })), "bad-key-id"),
        (order(json!({ "kid": "https://evil.example.com/key" })), "bad-key-id"),
        (order(json!({ "kid": "asap/key-2" })), "unknown-key"),
        ("JWT not.a.token".to_owned(), "malformed-token"),
        (world.forge_token(json!({})), "no-token"),
    ];
    for (token, code) in &cases {
        refused(&install(token), 401, code);
    }
    let token = order(json!({}));
    refused(
        &world.copy(
            "connect/installed",
            &token,
            &with(payload("installed"), json!({ "baseUrl": "https://acme.evil.net" })),
        ),
        401,
        "wrong-site",
    );
    refused(
        &world.copy(
            "connect/installed",
            &token,
            &with(payload("installed"), json!({ "key": "com.example.other" })),
        ),
        401,
        "wrong-app",
    );
    refused(&world.copy("connect/installed", &token, &json!({})), 401, "wrong-issuer");
    let copy = ("x-realm-ledger-token", world.copy_token.as_str());
    let plain = token.strip_prefix("JWT ").unwrap();
    let twice = world.call(
        "POST",
        &format!("{path}?jwt={plain}"),
        &[("authorization", &token), copy],
        &payload("installed").to_string(),
    );
    refused(&twice, 401, "two-tokens");
    refused(&world.call("POST", path, &[copy], "{}"), 401, "no-token");
    assert_eq!(world.recorded(), Vec::<Value>::new());
    let in_query =
        world.call("POST", &format!("{path}?jwt={plain}"), &[copy], &payload("installed").to_string());
    assert_eq!(in_query.status, 204, "the query is not a part of what is signed: {in_query:?}");
    assert_eq!(world.recorded_types(), ["installed"]);
}

#[test]
fn forge_tokens_that_are_not_right_are_refused() {
    let world = World::new(None);
    let event = json!({ "eventType": "avi:forge:installed:app", "id": "1a2b", "installerAccountId": "a" });
    let of = |hook: &str, authorization: &str| world.copy(hook, authorization, &event);
    let order = |other: Value| world.signed_forge_token(&with(json!({ "claims": forge_claims() }), other));
    let cases = [
        (world.forge_token(json!({ "iss": "forge/other" })), "wrong-issuer"),
        (world.forge_token(json!({ "aud": "ari:cloud:ecosystem::app/other" })), "wrong-audience"),
        (world.forge_token(json!({ "exp": now() - 6 })), "expired"),
        (world.forge_token(json!({ "nbf": now() + 30 })), "not-yet-valid"),
        (world.forge_token(json!({ "jti": null })), "no-token-id"),
        (world.forge_token(json!({ "icLabel": "../evil" })), "bad-label"),
        (world.forge_token(json!({ "icLabel": "fine-but-not-configured" })), "bad-label"),
        (world.forge_token(json!({ "app": { "installation": null } })), "no-tenant"),
        (order(json!({ "alg": "none" })), "wrong-algorithm"),
        (order(json!({ "alg": "HS256" })), "wrong-algorithm"),
        (order(json!({ "signer": "stranger" })), "bad-signature"),
        (world.install_token("/forge", json!({})), "no-token"),
    ];
    for (token, code) in &cases {
        refused(&of("forge", token), 401, code);
    }
    // The set was read a moment ago: nobody can tell whether the key is a new one.
    refused(&of("forge", &order(json!({ "kid": "forge-2" }))), 503, "keys-unavailable");
    assert_eq!(world.recorded(), Vec::<Value>::new());
    let token = world.forge_token(json!({}));
    assert_eq!(of("forge", &token).status, 204);
    refused(&of("forge", &token), 401, "replayed");
    let migration = json!({ "migrationId": 1, "location": "EU" });
    refused(&world.copy("migration/schedule", &token, &migration), 401, "replayed");
    assert_eq!(of("forge/seen", &token).status, 204, "any number of copies of one call");
    assert_eq!(world.recorded_types(), ["installed"]);
}

#[test]
fn copies_take_a_token_of_scope_hooks_for_that_app() {
    let world = World::new(None);
    let path = "/hooks/roadmap/EU/connect/installed";
    let token = world.install_token(path, json!({}));
    let copy = |copy_token: Option<&str>| {
        let mut headers = vec![("authorization", token.as_str())];
        headers.extend(copy_token.map(|token| ("x-realm-ledger-token", token)));
        world.call("POST", path, &headers, &payload("installed").to_string())
    };
    refused(&copy(None), 401, "no-token");
    refused(&copy(Some("")), 401, "copy-refused");
    refused(&copy(Some(&new_token([1; 32]))), 401, "copy-refused");
    refused(&copy(Some(&world.copy_token[..51])), 401, "copy-refused");
    refused(&copy(Some(&new_token([8; 32]))), 403, "scope-missing");
    refused(&copy(Some(&new_token([7; 32]))), 404, "no-such-hook");
    assert_eq!(world.recorded(), Vec::<Value>::new());
    assert_eq!(copy(Some(&world.copy_token)).status, 204);
}

#[test]
fn realms_apps_and_hosts_that_are_not_configured_are_not_there() {
    let world = World::new(None);
    let copy = ("x-realm-ledger-token", world.copy_token.as_str());
    let at = |path: &str, headers: &[(&str, &str)]| {
        let token = world.install_token(path, json!({}));
        let headers: Vec<_> =
            [copy, ("authorization", &*token)].into_iter().chain(headers.iter().copied()).collect();
        world.call("POST", path, &headers, &payload("installed").to_string())
    };
    for path in [
        "/hooks/roadmap/US/connect/installed",
        "/hooks/other/EU/connect/installed",
        "/hooks/roadmap/EU/connect/upgraded",
        "/hooks/roadmap/EU",
        "/installed",
        "/",
    ] {
        refused(&at(path, &[]), 404, "no-such-hook");
    }
    let elsewhere = [("host", "eu.app.example.com")];
    refused(&at("/hooks/roadmap/GLOBAL/connect/installed", &elsewhere), 404, "no-such-hook");
    refused(
        &world.call("GET", "/hooks/roadmap/EU/connect/installed", &[copy], ""),
        405,
        "method-not-allowed",
    );
    assert_eq!(world.recorded(), Vec::<Value>::new());
    assert_eq!(at("/installed", &[("host", "EU.app.example.com:443")]).status, 204, "by its host");
    assert_eq!(at("/hooks/roadmap/default/connect/installed", &[]).status, 204);
    let realms: Vec<_> = world.recorded().iter().map(|event| event["endpointRealm"].clone()).collect();
    assert_eq!(realms, ["EU", "GLOBAL"]);
}

#[test]
fn body_of_two_mebibytes_is_refused() {
    let world = World::new(None);
    let token = world.install_token("/hooks/roadmap/EU/connect/installed", json!({}));
    let large = with(payload("installed"), json!({ "description": "x".repeat(2 << 20) }));
    refused(&world.copy("connect/installed", &token, &large), 413, "body-too-large");
    assert_eq!(world.recorded(), Vec::<Value>::new());
}

#[test]
fn keys_that_are_held_are_used_while_their_servers_are_down() {
    let world = World::new(None);
    let path = "/hooks/roadmap/EU/connect/installed";
    let install = |other: Value| {
        world.copy("connect/installed", &world.install_token(path, other), &payload("installed"))
    };
    assert_eq!(install(json!({})).status, 204);
    assert_eq!(world.connect.order(&json!({ "close": true }))["closed"], true);
    assert_eq!(world.forge.order(&json!({ "close": true }))["closed"], true);
    assert_eq!(install(json!({})).status, 204);
    refused(&install(json!({ "kid": "asap/key-2" })), 503, "keys-unavailable");
    let event = json!({ "eventType": "avi:forge:installed:app", "id": "1a2b" });
    assert_eq!(world.copy("forge", &world.forge_token(json!({})), &event).status, 204);
    let unknown = world.signed_forge_token(&json!({ "claims": forge_claims(), "kid": "forge-2" }));
    refused(&world.copy("forge", &unknown, &event), 503, "keys-unavailable");
    assert_eq!(world.recorded_types(), ["installed", "installed", "installed"]);
}

#[test]
fn second_key_server_is_asked_where_the_first_lacks_the_key() {
    let world = World::with(
        |connect, forge| {
            let mut options = app_options(connect, forge, None);
            options.install_keys = vec![format!("{}/nothing", connect.url), connect.url.clone()];
            options
        },
        None,
    );
    let token = world.connect.token(&install_order("/installed"));
    let headers = [("authorization", &*format!("JWT {token}")), ("x-realm-ledger-token", &*world.copy_token)];
    let url = format!("{}/hooks/roadmap/GLOBAL/connect/installed", world.url);
    // What Atlassian signed is the app's own path.
    assert_eq!(call(&url, "POST", &headers, &payload("installed").to_string()).status, 204);
    let event = &world.recorded()[0];
    assert_eq!((&event["appKey"], &event["endpointRealm"]), (&APP.into(), &"GLOBAL".into()));
}

#[test]
fn forge_only_app_takes_no_tokens_that_nobody_can_verify() {
    let without_audiences = |connect: &Script, forge: &Script| {
        let mut options = app_options(connect, forge, Some("http://127.0.0.1:1"));
        options.apps[0].audiences.clear();
        options
    };
    let world = World::with(without_audiences, None);
    let token = "JWT eyJhbGciOiJub25lIn0.eyJpc3MiOiJ2aWN0aW0ifQ.x";
    for hook in ["migration/commit", "connect/enabled", "connect/installed"] {
        refused(&world.hook(hook, token, &json!({ "migrationId": 1 })), 401, "wrong-audience");
    }
    assert_eq!(world.recorded(), Vec::<Value>::new());
}

#[test]
fn token_of_an_event_that_cannot_be_read_is_good_for_its_retry() {
    let world = World::new(None);
    let token = world.forge_token(json!({}));
    let headers = [("authorization", &*token), ("x-realm-ledger-token", &*world.copy_token)];
    let event = |body: &str| world.call("POST", "/hooks/roadmap/EU/forge", &headers, body);
    refused(&event("{"), 400, "bad-body");
    assert_eq!(event(r#"{"payload":"free","eventType":"avi:jira:updated:issue"}"#).status, 204);
    // A message that the brokers would never take is refused, and does not hold up the rest.
    let token = world.install_token("/hooks/roadmap/EU/connect/installed", json!({}));
    let long = with(payload("installed"), json!({ "entitlementId": "x".repeat(1_020_000) }));
    refused(&world.copy("connect/installed", &token, &long), 400, "bad-body");
}
