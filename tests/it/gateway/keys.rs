//! Whom the gateway believes: keys of installs over restarts, and in spite of strangers; authorities of the app.

use std::path::Path;
use std::process::Command;

use ledger_tests::gateway::Script;
use ledger_tests::scratch;
use serde_json::{Value, json};

use super::robust::app_token;
use super::{World, app_options, now, payload};

const HOOK: &str = "/hooks/roadmap/EU/connect/installed";

fn asked(world: &World) -> Value {
    world.connect.order(&json!({ "count": true }))["asked"].clone()
}

fn install(world: &World, other: Value) -> (u16, String) {
    let token = world.install_token(HOOK, other);
    let answer = world.copy("connect/installed", &token, &payload("installed"));
    (answer.status, answer.code)
}

#[test]
fn key_that_signed_an_install_is_there_after_a_restart_without_its_server() {
    let world = World::new(None);
    let file = world.journal.join("install-keys.json");
    assert_eq!(install(&world, json!({ "signer": "stranger" })), (401, "bad-signature".to_owned()));
    assert!(!file.exists(), "no signature by it was good");
    assert_eq!(install(&world, json!({})).0, 204);
    ledger_tests::wait::until("the key is kept", || file.exists());
    let world = world.restarted();
    assert_eq!((install(&world, json!({})).0, asked(&world)), (204, 2.into()), "it may have been withdrawn");
    assert_eq!(world.connect.order(&json!({ "close": true }))["closed"], true);
    let world = world.restarted();
    assert_eq!(install(&world, json!({})).0, 204);
    assert_eq!(install(&world, json!({ "kid": "asap/key-2" })), (503, "keys-unavailable".to_owned()));
    std::fs::write(&file, "{").unwrap();
    let world = world.restarted();
    assert_eq!(install(&world, json!({})), (503, "keys-unavailable".to_owned()), "as if none was kept");
    assert_eq!(world.recorded_types(), ["installed"; 3]);
}

#[test]
fn tokens_that_are_refused_whatever_their_key_is_ask_for_none() {
    let world = World::new(None);
    let kid = |number: u32| format!("asap/made-up-{number}");
    for (claims, code) in [
        (json!({ "aud": ["https://evil.example.com"] }), "wrong-audience"),
        (json!({ "exp": now() - 60 }), "expired"),
        (json!({ "iss": "another" }), "wrong-issuer"),
    ] {
        let answer = install(&world, json!({ "kid": kid(0), "claims": claims, "signer": "stranger" }));
        assert_eq!(answer, (401, code.to_owned()));
    }
    let unsigned = json!({ "kid": kid(0), "url": "/elsewhere", "signer": "stranger" });
    assert_eq!(install(&world, unsigned), (401, "wrong-query-hash".to_owned()));
    assert_eq!(asked(&world), 0, "none of them needs a key to be refused");
    // The rest has to be asked for.
    let of_tenant = |number: u32| {
        let claims = json!({ "iss": "another" });
        let token =
            world.install_token(HOOK, json!({ "kid": kid(number), "claims": claims, "signer": "stranger" }));
        let body = super::with(payload("installed"), json!({ "clientKey": "another" }));
        world.copy("connect/installed", &token, &body).status
    };
    let told: Vec<u16> = (1..=14).map(of_tenant).collect();
    assert_eq!(told, [401; 14]);
    assert_eq!((install(&world, json!({})).0, asked(&world)), (204, 15.into()));
}

/// An authority, and a certificate of localhost by it, in a directory.
fn make_certificates(directory: &Path) {
    let script = "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=tests -days 2 && \
                  openssl req -newkey rsa:2048 -nodes -keyout app.key -out app.csr -subj /CN=localhost && \
                  echo subjectAltName=DNS:localhost > names && \
                  openssl x509 -req -in app.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out app.pem -days 2 -extfile names";
    let made = Command::new("sh").args(["-c", script]).current_dir(directory).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn app_behind_a_private_authority_is_forwarded_to_where_that_is_configured() {
    let scratch = scratch::directory();
    make_certificates(scratch.path());
    let file = |name: &str| scratch.path().join(name);
    let app = Script::node(
        "tls.js",
        &["app.key", "app.pem"].map(|name| file(name).display().to_string()).each_ref().map(String::as_str),
    );
    for (authorities, status) in [(None, 502), (Some(file("ca.pem")), 200)] {
        let world = World::with(
            |connect, forge| {
                let options = app_options(connect, forge, Some(&app.url));
                ledger_gateway::options::GatewayOptions { forward_ca: authorities, ..options }
            },
            None,
        );
        let answer = world.hook("migration/start", &app_token(), &json!({ "migrationId": 1 }));
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(world.recorded().len(), usize::from(status == 200));
    }
}
