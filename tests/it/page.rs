//! The page in a real browser, served by the program and fed by Kafka: each point of what it is for, every view in both
//! themes under axe's rules, the way from search to proof with the keyboard alone, its verifier on the published vectors.
//!
//! `REALM_LEDGER_TEST_SHOTS=DIR` keeps the pictures of all views there, to be looked at.

mod history;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use ledger_record::proof::note::VerifierKey;
use ledger_tests::kafka::{self, Message};
use ledger_tests::server::{self, Server, Setup};
use ledger_tests::{node, python, scratch, wait};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::proofs::signing_setup;

/// A server with a tenant for each thing that the page shows.
struct World {
    server: Server,
    topic: String,
    key: VerifierKey,
    scratch: tempfile::TempDir,
}

impl World {
    fn start() -> Self {
        Self::start_with(|_, _| ())
    }

    /// With further settings, of files in the directory.
    fn start_with(configure: impl FnOnce(&mut Setup, &Path)) -> Self {
        let scratch = scratch::directory();
        let (mut setup, key) = signing_setup(kafka::shared(), "page", [5; 32], scratch.path());
        configure(&mut setup, scratch.path());
        let server = Server::start(&setup, &scratch.path().join("log"));
        Self { server, topic: setup.topic, key, scratch }
    }

    fn send(&self, events: &[Value]) {
        // Events of an app have its key.
        let key =
            |event: &Value| event["clientKey"].as_str().or(event["appKey"].as_str()).unwrap().to_owned();
        let message = |event: &Value| Message::new(key(event), event.to_string());
        kafka::shared().produce(&self.topic, &events.iter().map(message).collect::<Vec<_>>());
    }

    /// Waits until all is recorded and a checkpoint covers it.
    fn wait_until_signed(&self) {
        self.server.wait_until_ready(1);
        let (_, ready) = self.server.get("/readyz");
        let last = ready["shards"][0]["position"].as_u64().unwrap();
        wait::for_value(|| {
            let (_, answer) = self.server.get("/v1/checkpoints");
            let size = answer["checkpoints"][0]["size"].as_u64();
            if size.is_some_and(|size| size > last) { Ok(()) } else { Err(answer) }
        });
    }

    /// Runs a script of `tests/page` on the server; returns what it wrote.
    fn run(&self, script: &str, arguments: &[&Path]) -> String {
        self.run_with(script, arguments, &Value::Null)
    }

    fn run_with(&self, script: &str, arguments: &[&Path], tokens: &Value) -> String {
        let mut command = node::script(script);
        command.env("PAGE_TOKENS", tokens.to_string());
        command.arg(&self.server.url).args(arguments);
        command.env("PAGE_KEY", self.key.to_string()).env("PAGE_TOPIC", &self.topic);
        let output = command.output().unwrap();
        let [written, failed] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert!(output.status.success(), "{script}: {written}{failed}");
        written
    }

    fn shots(&self) -> PathBuf {
        let kept = std::env::var_os("REALM_LEDGER_TEST_SHOTS").map(PathBuf::from);
        kept.unwrap_or_else(|| self.scratch.path().join("shots"))
    }
}

#[test]
fn page_answers_each_of_its_points_to_mouse_keyboard_and_screen_reader() {
    let world = World::start();
    world.send(&history::apps());
    world.send(&history::small_tenants());
    world.send(&history::moved_site());
    world.send(&history::late_tenant()[..2]);
    // What is known before and after has to have two times.
    thread::sleep(Duration::from_millis(50));
    world.send(&history::late_tenant()[2..]);
    world.send(&history::busy_tenant());
    kafka::shared()
        .produce(&world.topic, &[Message::new("wonka.atlassian.net", "{\"type\":\"unheard-of\"}")]);
    world.wait_until_signed();

    for script in ["points.mjs", "walk.mjs"] {
        println!("{}", world.run(script, &[]));
    }
    world.run("views.mjs", &[&world.shots()]);
    // Figures for a person: the speed of a shared machine fails no test.
    println!("{}", world.run("speed.mjs", &[&world.scratch.path().join("trace.json")]));
    // Last, as it changes what the others look at.
    println!("{}", world.run("commands.mjs", &[]));
    world.server.drain();
}

/// A token as the program makes it, and its lines of the configuration.
fn token(name: &str, scopes: &[&str], app: &str) -> (String, String) {
    let mut command = server::command();
    command.args(["token", "create", name, "--app", app]);
    let output = command.args(scopes.iter().flat_map(|scope| ["--scope", scope])).output().unwrap();
    let written = String::from_utf8(output.stdout).unwrap();
    let (token, lines) = written.split_once('\n').unwrap();
    (token.to_owned(), lines.to_owned())
}

#[test]
fn page_shows_what_a_token_grants_and_keeps_neither_it_nor_a_tenant() {
    let (operator, all) = token("operator", &["operate"], "*");
    let (one_app, one) = token("one-app", &["read", "audit"], "com.example.roadmap");
    let (reader, read) = token("reader", &["read"], "*");
    let world = World::start_with(|setup, directory| {
        let path = directory.join("config.toml");
        std::fs::write(&path, [all, one, read].concat()).unwrap();
        setup.more.push(("CONFIG", path.display().to_string()));
    });
    world.send(&history::apps());
    world.send(&history::small_tenants());
    world.server.wait_until_ready(1);
    let tokens = json!({"operator": operator, "oneApp": one_app, "reader": reader});
    println!("{}", world.run_with("token.mjs", &[], &tokens));
    world.server.drain();
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    name: String,
    want_err: bool,
}

#[test]
fn page_and_python_give_the_same_verdict_on_every_published_vector() {
    let world = World::start();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let read = |name: &str| std::fs::read_to_string(fixtures.join(name)).unwrap();
    let verdicts: BTreeMap<String, Vec<Value>> =
        serde_json::from_str(&world.run("vectors.mjs", &[&fixtures])).unwrap();

    let cases = read("bundles/cases.ndjson");
    let theirs = python::answer(python::script("judge_many.py"), &cases);
    assert!(theirs.status.success());
    let theirs = String::from_utf8(theirs.stdout).unwrap();
    let theirs: Vec<Value> = theirs.lines().map(|code| code.parse::<u64>().unwrap().into()).collect();
    assert_eq!(verdicts["bundles"], theirs);
    assert!(theirs.len() > 100, "{}", theirs.len());

    for kind in ["inclusion", "consistency"] {
        let lines = read(&format!("vectors/rfc6962/{kind}.ndjson"));
        let vectors: Vec<Vector> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(vectors.len(), verdicts[kind].len());
        for (Vector { name, want_err }, verdict) in vectors.iter().zip(&verdicts[kind]) {
            assert_eq!(*verdict, json!(!want_err), "{kind} {name}");
        }
    }
    let wycheproof: Value = serde_json::from_str(&read("vectors/wycheproof/ed25519_test.json")).unwrap();
    let groups = wycheproof["testGroups"].as_array().unwrap();
    let tests = groups.iter().flat_map(|group| group["tests"].as_array().unwrap());
    let expected: Vec<Value> = tests.map(|test| json!(test["result"] == "valid")).collect();
    assert_eq!(verdicts["wycheproof"], expected);
    let accepted = verdicts["edges"].iter().filter(|verdict| **verdict == json!(true)).count();
    assert_eq!((accepted, verdicts["edges"].len()), (43, 768));
    world.server.drain();
}
