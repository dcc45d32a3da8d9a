//! What strangers, hasty callers and a full journal do: nothing is lost without a word, and nobody else is kept out.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ledger_gateway::journal::JournalOptions;
use ledger_tests::gateway::Script;
use ledger_tests::process::Process;
use ledger_tests::server::program;
use ledger_tests::{scratch, wait};
use serde_json::{Value, json};

use super::story::{configuration, hooks_url};
use super::{CLIENT, World, app_options, call, payload, with};

/// An app that takes its time for each call, and counts them.
struct SlowApp {
    url: String,
    calls: Arc<AtomicUsize>,
}

impl SlowApp {
    fn start(time: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let calls = Arc::clone(&counted);
                std::thread::spawn(move || answer(stream, time, &calls));
            }
        });
        Self { url, calls }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Acquire)
    }
}

fn answer(mut stream: TcpStream, time: Duration, calls: &AtomicUsize) {
    let mut read = vec![0; 64 * 1024];
    // A hook of these tests comes in one piece, or in two: its head and its body.
    let _ = stream.read(&mut read);
    calls.fetch_add(1, Ordering::AcqRel);
    std::thread::sleep(time);
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}");
}

/// A token as only the app can check it.
pub(super) fn app_token() -> String {
    let [header, claims] = [json!({ "alg": "HS256" }), json!({ "iss": CLIENT })]
        .map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string()));
    format!("JWT {header}.{claims}.x")
}

fn scripts() -> (Script, Script) {
    (Script::node("connect.js", &[]), Script::python("forge.py"))
}

/// Sends a hook, and goes away as soon as the app has it.
fn send_and_go(world: &World, app: &SlowApp, path: &str, authorization: &str, body: &str) {
    let before = app.calls();
    let mut stream = TcpStream::connect(world.url.trim_start_matches("http://")).unwrap();
    let length = body.len();
    write!(stream, "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\ncontent-length: {length}\r\n\r\n{body}")
        .unwrap();
    wait::until("the app has the call", || app.calls() > before);
}

#[test]
fn caller_that_hangs_up_while_the_app_works_leaves_nothing_out() {
    let app = SlowApp::start(Duration::from_millis(700));
    let (connect, forge) = scripts();
    let world =
        World::between(connect, forge, |connect, forge| app_options(connect, forge, Some(&app.url)), None);
    let commit = json!({ "migrationId": 1 }).to_string();
    let at = |hook: &str| format!("/hooks/roadmap/EU/{hook}");
    send_and_go(&world, &app, &at("migration/commit"), &app_token(), &commit);
    send_and_go(&world, &app, &at("connect/enabled"), &app_token(), &payload("enabled").to_string());
    let token = world.forge_token(json!({}));
    send_and_go(&world, &app, &at("migration/commit"), &token, &commit);
    let expected = ["enabled", "installed", "migration-committed", "migration-committed"];
    wait::for_value(|| {
        let mut types = world.recorded_types();
        types.sort();
        if types == expected { Ok(()) } else { Err(format!("{types:?}")) }
    });
    // The sighting of that day is recorded, so nothing more is.
    assert_eq!(world.copy("forge/seen", &world.forge_token(json!({})), &json!({})).status, 204);
    assert_eq!(world.recorded().len(), 4);
}

#[test]
fn body_that_the_ledger_cannot_read_lets_nobody_else_and_no_token_twice_to_the_app() {
    let app = SlowApp::start(Duration::ZERO);
    let (connect, forge) = scripts();
    let world =
        World::between(connect, forge, |connect, forge| app_options(connect, forge, Some(&app.url)), None);
    let token = world.install_token("/installed", json!({}));
    let install = |other| world.hook("connect/installed", &token, &with(payload("installed"), other));
    for (other, code) in [
        (json!({ "entitlementId": 5, "clientKey": "another" }), "wrong-issuer"),
        (json!({ "entitlementId": 5, "key": "com.example.other" }), "wrong-app"),
        (json!({ "entitlementId": 5, "baseUrl": 7 }), "wrong-site"),
    ] {
        let answer = install(other);
        assert_eq!((answer.status, &*answer.code), (401, code));
    }
    assert_eq!(app.calls(), 0);
    for (other, code) in
        [(json!({ "clientKey": "another" }), "wrong-issuer"), (json!({ "key": "other" }), "wrong-app")]
    {
        let answer = world.hook("connect/enabled", &app_token(), &with(payload("enabled"), other));
        assert_eq!((answer.status, &*answer.code, app.calls()), (401, code, 0));
    }
    assert_eq!(install(json!({ "entitlementId": 5 })).status, 200);
    let token = world.forge_token(json!({}));
    let commit = || world.hook("migration/commit", &token, &json!({ "x": 1 }));
    assert_eq!(commit().status, 200, "the app may read it");
    let again = commit();
    assert_eq!((again.status, &*again.code, app.calls()), (401, "replayed", 2));
    // Nothing is lost without a trace: what the app took is in quarantine.
    assert_eq!(world.recorded_types(), ["refused", "refused"]);
    let schedule = json!({ "migrationId": 7, "location": "Moon!", "sharedSecret": "canary" });
    assert_eq!(world.hook("migration/schedule", &app_token(), &schedule).status, 200);
    let refused = &world.recorded()[2]["refused"];
    assert_eq!((&refused["reason"], &refused["path"]), (&"invalid-field".into(), &"data.location".into()));
    let kept: Value = serde_json::from_str(refused["json"].as_str().unwrap()).unwrap();
    assert_eq!((&kept["subject"], &kept["endpointrealm"]), (&CLIENT.into(), &"EU".into()));
    assert!(kept["data"]["migrationId"] == 7 && !refused.to_string().contains("canary"), "{refused}");
    // A copy is told so.
    let answer = world.copy("migration/schedule", &app_token(), &schedule);
    assert_eq!((answer.status, &*answer.code, world.recorded().len()), (400, "bad-body", 3));
}

#[test]
fn full_journal_puts_off_what_it_cannot_record_before_the_app_has_done_it() {
    let app = SlowApp::start(Duration::ZERO);
    let (connect, forge) = scripts();
    let journal = JournalOptions { max_bytes: 4_096, ..JournalOptions::default() };
    let options = |connect: &Script, forge: &Script| app_options(connect, forge, Some(&app.url));
    let world = World::open(scratch::directory(), &journal, connect, forge, options, None);
    let token = world.install_token("/installed", json!({}));
    let full = (0..100).find_map(|_| {
        let answer = world.copy("connect/installed", &token, &payload("installed"));
        (answer.status != 204).then_some(answer)
    });
    let full = full.unwrap();
    assert_eq!((full.status, &*full.code), (503, "journal-full"));
    let step = |step: &str| {
        let body = json!({ "migrationId": 1, "location": "EU" });
        world.hook(&format!("migration/{step}"), &app_token(), &body)
    };
    let recorded = world.recorded().len();
    // A shorter event may still have room: it is recorded then, and never answered without that.
    let mut recorded_steps = 0;
    for name in ["schedule", "start", "commit"].into_iter().cycle().take(30) {
        let (before, answer) = (app.calls(), step(name));
        match answer.status {
            200 => recorded_steps += 1,
            503 => assert_eq!((&*answer.code, app.calls()), ("journal-full", before), "{name}"),
            other => panic!("{name}: {other}"),
        }
    }
    assert_eq!(world.recorded().len(), recorded + recorded_steps);
    assert!(recorded_steps < 30, "it is full");
    let before = app.calls();
    let enabled = world.hook("connect/enabled", &app_token(), &payload("enabled"));
    assert_eq!((enabled.status, &*enabled.code, app.calls()), (503, "journal-full", before));
    assert_eq!((step("status").status, step("rollback").status), (200, 200));
    assert_eq!(app.calls(), before + 2);
    assert_eq!(
        world.recorded().len(),
        recorded + recorded_steps,
        "the log says what went on without being recorded"
    );
}

#[test]
fn strangers_who_promise_bodies_keep_nobody_out() {
    let world = World::new(None);
    let address = world.url.trim_start_matches("http://");
    let promise = |authorization: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "POST /hooks/roadmap/EU/connect/installed HTTP/1.1\r\nhost: x\r\n{authorization}x-realm-ledger-token: {}\r\n\
             content-length: 1048576\r\n\r\n",
            world.copy_token
        )
        .unwrap();
        stream
    };
    let token = world.install_token("/hooks/roadmap/EU/connect/installed", json!({}));
    let strangers: Vec<TcpStream> =
        (0..200).map(|_| promise(&format!("authorization: {}\r\n", app_token()))).collect();
    let mut tokenless = promise("");
    let mut told = [0; 12];
    tokenless.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"HTTP/1.1 401", "nothing is read of a call that has no token");
    let answer = world.copy("connect/installed", &token, &payload("installed"));
    assert_eq!(answer.status, 204, "{answer:?}");
    drop(strangers);
}

#[test]
fn installs_that_come_at_once_after_a_start_share_one_request_for_their_key() {
    let world = World::new(None);
    let token = world.install_token("/hooks/roadmap/EU/connect/installed", json!({}));
    let made_up = world.install_token("/hooks/roadmap/EU/connect/installed", json!({ "kid": "asap/key-2" }));
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let install = |token: &str| world.copy("connect/installed", token, &payload("installed")).status;
        let (token, made_up) = (&token, &made_up);
        let all: Vec<_> = (0..80)
            .map(|number| scope.spawn(move || install(if number % 2 == 0 { token } else { made_up })))
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 40);
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 40);
    assert_eq!(world.connect.order(&json!({ "count": true }))["asked"], 2, "one for each key");
}

#[test]
fn not_even_the_finest_log_has_a_token() {
    let (app, scratch) = (SlowApp::start(Duration::ZERO), scratch::directory());
    let (connect, forge) = scripts();
    let config = configuration(scratch.path(), &connect, &forge, &"00".repeat(32));
    let mut text = std::fs::read_to_string(&config).unwrap();
    text = text.replace(
        "[[access.token]]",
        &format!("[gateway.app.forward]\nEU = \"{}\"\n[[access.token]]", app.url),
    );
    std::fs::write(&config, text).unwrap();
    let log = scratch.path().join("log");
    let file = std::fs::File::create(&log).unwrap();
    let _gateway = Process::start(program(), |command| {
        command.args(["-vv", "gateway", "--config", &config, "--brokers", "127.0.0.1:1", "--data-dir"]);
        command.arg(scratch.path().join("data")).env("REALM_LEDGER_HTTP__ADMIN_LISTEN", "127.0.0.1:0");
        command.env("REALM_LEDGER_LOG__FORMAT", "json").stdout(file.try_clone().unwrap()).stderr(file);
    });
    let url = hooks_url(&log);
    let token = app_token();
    let plain = token.strip_prefix("JWT ").unwrap();
    let path = "/hooks/roadmap/EU/migration/start";
    let oauth = ("x-forge-oauth-system", "eyJ-system-token");
    let body = json!({ "migrationId": 1 }).to_string();
    assert_eq!(call(&format!("{url}{path}"), "POST", &[("authorization", &token), oauth], &body).status, 200);
    assert_eq!(call(&format!("{url}{path}?jwt={plain}"), "POST", &[oauth], &body).status, 200);
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("\"TRACE\"") || log.contains("\"DEBUG\""), "{log}");
    let told: Vec<&str> = log.lines().filter(|line| line.contains("eyJ")).collect();
    assert!(told.is_empty(), "{told:#?}");
}
