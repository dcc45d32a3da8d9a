//! The real binary: starting, refusing, draining.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::world::{World, execute, history};

fn program(arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_realm-ledger"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("REALM_LEDGER_")) {
        command.env_remove(name);
    }
    // The demo takes any port for its metrics; tests beside this one have the usual one.
    if arguments.first() == Some(&"serve") {
        command.env("REALM_LEDGER_HTTP__ADMIN_LISTEN", "127.0.0.1:0");
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Exit code and stderr of a child that must end within a minute.
fn ended(mut child: Child) -> (Option<i32>, String) {
    let until = Instant::now() + Duration::from_mins(1);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            child.kill().unwrap();
            panic!("it did not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut messages = String::new();
    child.stderr.take().unwrap().read_to_string(&mut messages).unwrap();
    (child.wait().unwrap().code(), messages)
}

/// Reads stderr until a line contains the text; gives the pipe back to the child.
fn wait_for_message(child: &mut Child, text: &str) {
    let mut reader = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap() > 0 {
        if line.contains(text) {
            child.stderr = Some(reader.into_inner());
            return;
        }
        line.clear();
    }
    panic!("it never said {text:?}");
}

#[test]
fn demo_plays_answers_and_ends_on_a_signal() {
    let mut child = program(&["demo", "--listen", "127.0.0.1:0", "--tenants", "40"]);
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut welcome = String::new();
    while !welcome.contains("Ctrl-C") {
        assert!(reader.read_line(&mut welcome).unwrap() > 0, "{}", ended(child).1);
    }
    let tries: Vec<&str> =
        welcome.lines().map(str::trim).filter_map(|line| line.strip_prefix("realm-ledger ")).collect();
    let tries: Vec<&str> = tries.into_iter().filter(|line| line.contains("--url http")).collect();
    assert_eq!(tries.len(), 4, "{welcome}");
    for line in &tries {
        assert!(!execute(line).done().is_empty(), "{line}");
    }
    let url = tries[0].split("--url ").nth(1).unwrap();
    let drift = execute(&format!("drift --url {url}")).done();
    assert!(drift.contains("acme.atlassian.net") && drift.contains("globex.atlassian.net"), "{drift}");
    let split = execute(&format!("split-brain --url {url}")).done();
    assert!(split.contains("jira:4d1a7f2e-8c55-4a0b-9d3e-6f10c2b7a981"), "{split}");
    let late = execute(&format!("log initech.atlassian.net --url {url}")).done();
    assert!(late.contains("\"late\":true") && late.contains("\"correction\""), "{late}");
    let refused = execute(&format!("quarantine list --url {url}")).done();
    assert!(refused.contains("event-id-conflict") && refused.contains("undecodable"), "{refused}");
    assert!(!refused.contains("not-for-the-ledger"));
    assert_finds_its_keys(&welcome);
    // The tour in README forges this decision.
    let until = Instant::now() + Duration::from_mins(1);
    let bundle = loop {
        let proved = execute(&format!("prove acme.atlassian.net --url {url}"));
        if proved.exit == realm_ledger::Exit::Done || Instant::now() > until {
            break proved.done();
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    assert!(bundle.contains(r#"\"u\":\"FRESH\""#), "{bundle}");
    let metrics = welcome.lines().find_map(|line| line.trim().strip_prefix("metrics")).unwrap().trim();
    let metrics = ureq::get(metrics).call().unwrap().body_mut().read_to_string().unwrap();
    for counter in [
        "realm_ledger_publish_failures_total",
        "realm_ledger_misplaced_keys_total{shard=\"realm.lifecycle/0\"}",
        "realm_ledger_http_slow_clients_total{why=\"room\"}",
    ] {
        assert!(metrics.lines().any(|line| line == format!("{counter} 0")), "{counter}: {metrics}");
    }
    // Publishing learns the partitioner from the partition ends and reports nothing.
    let brokers = welcome.lines().find_map(|line| line.trim().strip_prefix("Kafka")).unwrap().trim();
    let file = World::new();
    let file = file.file(
        "event.ndjson",
        "{\"id\":\"mv\",\"type\":\"product-moved\",\"time\":\"2026-03-01T00:00:00Z\",\"clientKey\":\"c\",\"productRealm\":\"US\"}\n",
    );
    let (code, messages) = ended(program(&["publish", &file.to_string_lossy(), "--brokers", brokers]));
    assert_eq!(code, Some(0), "{messages}");
    assert!(messages.contains("1 events sent") && !messages.contains("EOF"), "{messages}");
    signal(&child, "-INT");
    let (code, messages) = ended(child);
    assert_eq!(code, Some(0), "{messages}");
    assert!(!messages.contains("WARN"), "whoever starts the demo can do nothing about it: {messages}");
}

/// Regression: the demo kept its keys where no command looks for them, and the README's proof found none.
fn assert_finds_its_keys(welcome: &str) {
    let data = welcome.lines().find_map(|line| line.trim().strip_prefix("data")).unwrap().trim();
    let keys = execute(&format!("keys show --data-dir {data}")).done();
    assert!(keys.contains("realm.lifecycle/1+"), "{keys}");
    execute(&format!("verify --data-dir {data}")).done();
}

#[test]
fn demo_refuses_an_existing_ledger_and_a_configuration() {
    let world = World::with(&history());
    let before = world.ask("log acme.atlassian.net").done();
    let directory = world.data_dir();
    let directory = directory.to_string_lossy();
    let child =
        program(&["demo", "--listen", "127.0.0.1:0", "--data-dir", &directory, "--config", "no.toml"]);
    let (code, messages) = ended(child);
    assert_eq!(code, Some(1), "{messages}");
    assert!(messages.contains("is not empty: the sample events"), "{messages}");
    assert!(messages.contains("a configuration of its own, without --config"), "{messages}");
    assert_eq!(world.ask("log acme.atlassian.net").done(), before);
}

#[test]
fn non_unicode_arguments_and_variables_are_refused() {
    let broken = std::ffi::OsStr::from_bytes(b"ledger-\xff");
    let binary = env!("CARGO_BIN_EXE_realm-ledger");
    let named = Command::new(binary).args(["state", "--data-dir"]).arg(broken).output().unwrap();
    assert_eq!(named.status.code(), Some(2), "{named:?}");
    let set = Command::new(binary).arg("config").arg("check").env("REALM_LEDGER_DATA_DIR", broken).output();
    let set = set.unwrap();
    assert_eq!(set.status.code(), Some(1), "{set:?}");
    let reported = String::from_utf8_lossy(&set.stderr);
    assert!(reported.contains("environment variable REALM_LEDGER_DATA_DIR: not Unicode"), "{reported}");
    let other = Command::new(binary).arg("--version").env("OTHERS", broken).output().unwrap();
    assert!(other.status.success(), "what is not ours is not looked at");
}

#[test]
fn server_without_broker_waits_and_drains_on_sigterm() {
    let world = World::new();
    let directory = world.data_dir();
    let directory = directory.to_string_lossy();
    let mut child =
        program(&["serve", "--data-dir", &directory, "--brokers", "127.0.0.1:1", "--listen", "127.0.0.1:0"]);
    wait_for_message(&mut child, "\"ready\"");
    signal(&child, "-TERM");
    let (code, messages) = ended(child);
    assert_eq!(code, Some(0), "{messages}");
    assert!(messages.contains("drained"), "{messages}");
    assert_nothing_is_known(&world);
}

/// Regression: a directory whose server never reached a broker was answered for as an empty ledger.
fn assert_nothing_is_known(world: &World) {
    let list =
        world.file("list.csv", "client_key,app_key,realm\nacme.atlassian.net,com.example.roadmap,EU\n");
    let reconcile = format!("reconcile {}", list.display());
    for command in [
        "state",
        "state acme.atlassian.net",
        "drift",
        "migrations",
        "quarantine list",
        "replay",
        "whatif --policy {\"mode\":\"off\"}",
        &reconcile,
    ] {
        let result = world.ask(command);
        assert_eq!(result.exit, realm_ledger::Exit::Failed, "{command}: {}", result.messages);
        let reported = result.messages.contains("the partitions of realm.lifecycle are not known yet");
        assert!(reported && result.output.is_empty(), "{command}: {}{}", result.output, result.messages);
    }
    for command in ["rebuild", "rebuild --check", "verify", "export --ndjson", "export --tlog mirror"] {
        let result = world.ask(command);
        assert_eq!(result.exit, realm_ledger::Exit::Failed, "{command}: {}", result.messages);
        assert!(result.messages.contains("there is nothing to "), "{command}: {}", result.messages);
    }
}

#[test]
fn taken_port_is_reported_before_anything_is_created() {
    let world = World::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = world.data_dir();
    let child = program(&["serve", "--data-dir", &directory.to_string_lossy(), "--listen", &address]);
    let (code, messages) = ended(child);
    assert_eq!(code, Some(1), "{messages}");
    assert!(messages.contains(&format!("error: {address} cannot be listened to")), "{messages}");
    assert!(messages.contains("hint: another process may have the port"), "{messages}");
    assert!(!directory.exists());
}
