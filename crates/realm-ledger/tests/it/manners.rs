//! Exit codes, messages, import, rebuild, quarantine and configuration.

use std::io::{self, Write};

use ledger_store::{DataDir, StoreOptions};
use realm_ledger::{Env, Exit, run};

use crate::world::{Run, World, execute, history};

/// Regression: every tenant was torn in silence.
#[test]
fn import_beside_another_topic_needs_a_named_topic() {
    let world = World::new();
    let text = history().join("\n") + "\n";
    let (first, second) = (world.file("first.ndjson", &text), world.file("second.ndjson", &text));
    world.ask(&format!("import {} --topic orders", first.display())).done();
    let before = world.ask("export --ndjson").done();
    let unnamed = world.ask(&format!("import {}", second.display()));
    assert_eq!(unnamed.exit, Exit::Failed, "{}", unnamed.messages);
    assert!(unnamed.messages.contains("holds orders, and not realm.lifecycle"), "{}", unnamed.messages);
    assert!(unnamed.messages.contains("--topic TOPIC, or kafka.topics"), "{}", unnamed.messages);
    assert_eq!(world.ask("export --ndjson").done(), before);
    let mut configured =
        Run::new(&format!("import {} --data-dir {}", first.display(), world.data_dir().display()));
    configured.environment.insert("REALM_LEDGER_KAFKA__TOPICS".to_owned(), "orders".to_owned());
    configured.execute().done();
    world.ask(&format!("import {} --topic realm.lifecycle", second.display())).done();
    world.ask(&format!("import {}", second.display())).done();
}

#[test]
fn wrong_usage_exits_2_with_stderr_only() {
    let wrong = execute("state --at yesterday");
    assert_eq!((wrong.exit, wrong.output.as_str()), (Exit::Usage, ""));
    assert!(wrong.messages.contains("RFC 3339"), "{}", wrong.messages);
    let backwards = "--from 2026-03-02T00:00:00Z --to 2026-03-01T00:00:00Z";
    for command in ["replay", "whatif --policy {\"mode\":\"off\"}"] {
        let wrong = execute(&format!("{command} {backwards}"));
        assert_eq!(wrong.exit, Exit::Usage, "{command}: {}", wrong.messages);
        assert!(wrong.messages.contains("before it begins"), "{}", wrong.messages);
    }
    let unnamed = Run { input: "", ..Run::new("import -") }.execute();
    assert_eq!(unnamed.exit, Exit::Usage);
    assert!(unnamed.messages.contains("--source NAME"), "{}", unnamed.messages);
}

#[test]
fn directory_without_ledger_exits_1_unchanged() {
    let world = World::new();
    for command in ["drift", "rebuild", "quarantine retry realm.lifecycle/0/1"] {
        let result = world.ask(command);
        assert_eq!(result.exit, Exit::Failed, "{command}");
        assert!(result.messages.contains("holds no ledger"), "{command}: {}", result.messages);
    }
    assert!(!world.data_dir().exists());
}

#[test]
fn newer_format_exits_4_for_every_command() {
    let world = World::with(&history());
    let manifest = world.data_dir().join("ledger.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let newer = text.replacen("\"format\": ", "\"format\": 9", 1);
    assert_ne!(text, newer);
    std::fs::write(&manifest, newer).unwrap();
    let file = world.file("more.ndjson", "");
    let import = format!("import {}", file.display());
    for command in ["drift", "log acme.atlassian.net", "rebuild", import.as_str()] {
        let result = world.ask(command);
        assert_eq!(result.exit, Exit::OtherLedger, "{command}: {}", result.messages);
        assert!(result.messages.contains("use a newer realm-ledger"), "{}", result.messages);
    }
}

#[test]
fn new_ledger_reports_its_secret_and_needs_it_later() {
    let world = World::new();
    let file = world.file("history.ndjson", &(history().join("\n") + "\n"));
    let import = format!("import {}", file.display());
    let first = world.ask(&import);
    assert_eq!(first.exit, Exit::Done, "{}", first.messages);
    assert!(first.messages.starts_with("made the ledger secret "), "{}", first.messages);
    assert!(first.messages.contains("every replica needs the same"), "{}", first.messages);
    let secret = world.path().join("ledger.keys/secret");
    let text = std::fs::read_to_string(&secret).unwrap();
    std::fs::remove_file(&secret).unwrap();

    let without = world.ask(&import);
    assert_eq!(without.exit, Exit::Failed);
    assert!(without.messages.contains("is not in"), "{}", without.messages);
    assert!(!secret.exists());
    assert_eq!(world.ask("drift").exit, Exit::Done, "reading takes no secret");
    let by_variable = |text: &str| {
        let mut run = Run::new(&format!("{import} --data-dir {}", world.data_dir().display()));
        run.environment.insert("REALM_LEDGER_SECRET".to_owned(), text.to_owned());
        run.execute()
    };
    assert_eq!(by_variable(&text).exit, Exit::Done);
    let other = by_variable("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    assert_eq!(other.exit, Exit::Failed);
    assert!(other.messages.contains("is not the one"), "{}", other.messages);
    let short = by_variable("AAAA");
    assert!(short.messages.contains("32 bytes as base64"), "{}", short.messages);
    assert!(!short.messages.contains("AAAA"), "{}", short.messages);
}

#[test]
fn end_of_import_is_sealed_once() {
    let world = World::with(&history());
    let seals = || {
        let data = DataDir::open_existing_read_only(&world.data_dir(), StoreOptions::default()).unwrap();
        let reader = data.read_shard(&data.shards().unwrap()[0]).unwrap();
        let seal = reader.snapshot().last_seal().unwrap().unwrap();
        assert_eq!(seal.position + 1, reader.next_position());
        (seal.seq, seal.source.offset)
    };
    let (count, next) = seals();
    assert_eq!(next, 11);
    let file = world.path().join("history.ndjson");
    assert_eq!(world.ask(&format!("import {}", file.display())).exit, Exit::Done);
    assert_eq!(seals(), (count, 11));
}

#[test]
fn import_without_a_partitioner_creates_nothing() {
    let world = World::new();
    let file = world.file("history.ndjson", &(history().join("\n") + "\n"));
    let result = world.ask(&format!("import {} --partitions 6", file.display()));
    assert_eq!(result.exit, Exit::Failed, "{}", result.messages);
    assert!(
        result.messages.contains("--partitioner") && result.messages.contains("--brokers"),
        "{}",
        result.messages
    );
    let left: Vec<_> =
        std::fs::read_dir(world.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["history.ndjson"], "no data, no lock, no secret, no keys");
}

#[test]
fn import_counts_lines_once_and_copies_apart() {
    let world = World::new();
    let lines = history();
    let file = world.file("history.ndjson", &(lines.join("\n") + "\nno event\n"));
    let import = format!("import {} --partitions 6 --partitioner murmur2 --format json", file.display());
    let result = world.ask(&import);
    let events = lines.len();
    let expected = format!(
        "{} lines: 0 taken before, {events} events appended (0 late), 0 repeated, 1 refused; 5 copies of app-level",
        events + 1
    );
    assert!(result.messages.contains(&expected), "{}", result.messages);
    let report: serde_json::Value = serde_json::from_str(&result.done()).unwrap();
    assert_eq!((&report["appended"], &report["copies"]), (&events.into(), &5.into()), "{report}");
    let again: serde_json::Value = serde_json::from_str(&world.ask(&import).done()).unwrap();
    assert_eq!((&again["alreadyTaken"], &again["copies"]), (&(events + 1).into(), &0.into()), "{again}");
}

#[test]
fn wrong_path_kind_is_reported_by_name() {
    let world = World::new();
    for directory in ["/", ".."] {
        let result = world.ask(&format!("import {directory}"));
        assert_eq!(result.exit, Exit::Failed);
        assert!(result.messages.contains("is a directory"), "{}", result.messages);
    }
    let file = world.file("history.ndjson", &(history().join("\n") + "\n"));
    for command in ["state".to_owned(), format!("import {}", file.display())] {
        let result = execute(&format!("{command} --data-dir {}", file.display()));
        assert_eq!(result.exit, Exit::Failed);
        assert!(result.messages.contains("hint: a data directory is a directory"), "{}", result.messages);
    }
}

#[test]
fn second_import_appends_nothing_and_a_grown_file_continues() {
    let world = World::with(&history());
    let file = world.path().join("history.ndjson");
    let import = format!("import {}", file.display());
    let again = world.ask(&import);
    assert_eq!(again.exit, Exit::Done);
    assert_eq!(again.output, "", "an import has no data to print");
    assert!(again.messages.starts_with("10 lines: 10 taken before, 0 events appended"), "{}", again.messages);
    let mut text = std::fs::read_to_string(&file).unwrap();
    text.push_str("{\"id\":\"x\",\"type\":\"instaled\"}\n");
    std::fs::write(&file, &text).unwrap();
    let grown = world.ask(&import);
    assert_eq!(grown.exit, Exit::Done, "refused lines do not fail an import");
    assert!(
        grown.messages.contains("0 events appended (0 late), 0 repeated, 1 refused"),
        "{}",
        grown.messages
    );
    std::fs::write(&file, text.replacen("d-1", "d-2", 1)).unwrap();
    let other = world.ask(&import);
    assert_eq!(other.exit, Exit::Failed);
    assert!(other.messages.contains("--source"), "{}", other.messages);
}

#[test]
fn truncated_line_is_not_imported_and_exits_1() {
    let world = World::new();
    let history = history().join("\n");
    let input = format!("{history}\n{{\"id\":\"cut\",\"ty");
    let line = format!("import - --source pipe --data-dir {}", world.data_dir().display());
    let result = Run { input: &input, ..Run::new(&line) }.execute();
    assert_eq!(result.exit, Exit::Failed);
    assert!(result.messages.contains("line 11"), "{}", result.messages);
    assert!(result.messages.contains("10 lines: 0 taken before, 10 events appended"), "{}", result.messages);
    assert_eq!(world.ask("log acme.atlassian.net").done().lines().count(), 4, "what was complete is kept");

    let shorter = &input[..input.len() / 2];
    let result = Run { input: shorter, ..Run::new(&line) }.execute();
    assert_eq!(result.exit, Exit::Failed);
    assert!(result.messages.contains("but 10 were imported before"), "{}", result.messages);
}

#[test]
fn truncated_import_continues_after_a_refill() {
    let world = World::new();
    let lines = history();
    let cut_off = world.file("history.ndjson", &(lines[..5].join("\n") + "\n{\"id\":"));
    let import = format!("import {}", cut_off.display());
    assert_eq!(world.ask(&import).exit, Exit::Failed);
    let new = world.path().join("new");
    let refill = format!("refill --from {} --data-dir {}", world.data_dir().display(), new.display());
    let reported = execute(&refill);
    assert_eq!(reported.exit, Exit::Done, "{}", reported.messages);
    assert!(
        reported.messages.contains("its logs are named realm.lifecycle~2 instead of realm.lifecycle."),
        "{}",
        reported.messages
    );
    world.file("history.ndjson", &(lines.join("\n") + "\n"));
    let rest = execute(&format!("{import} --data-dir {}", new.display()));
    assert!(rest.messages.contains("5 taken before, 5 events appended"), "{}", rest.messages);
    execute(&format!("verify --data-dir {}", new.display())).done();
}

#[test]
fn rebuild_of_a_sound_ledger_finds_no_difference() {
    let world = World::with(&history());
    let result = world.ask("rebuild");
    assert_eq!(result.exit, Exit::Done, "{}", result.messages);
    assert!(result.messages.contains("not a byte differed"));
    let report: serde_json::Value = serde_json::from_str(result.output.trim()).unwrap();
    assert_eq!((report["records"].clone(), report["tenants"].clone()), (10.into(), 4.into()));
}

#[test]
fn quarantine_retry_appends_acceptable_events_once() {
    let world = World::new();
    // The limit is 24 hours ahead: an event an hour beyond stays refused, one ten seconds beyond is accepted soon.
    let in_hours = |hours| jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours);
    let soon = in_hours(24) + jiff::SignedDuration::from_secs(10);
    let event = |id: &str, time: jiff::Timestamp| {
        format!(r#"{{"id":"{id}","type":"enabled","time":"{time:.3}","clientKey":"t","appKey":"a"}}"#)
    };
    let lines = [
        event("early", in_hours(25)),
        r#"{"id":"x","type":"instaled","sharedSecret":"hunter2"}"#.to_owned(),
        "no json".to_owned(),
        event("soon", soon),
    ];
    let file = world.file("h.ndjson", &(lines.join("\n") + "\n"));
    let imported = world.ask(&format!("import {}", file.display()));
    assert!(imported.messages.contains("4 refused"), "{}", imported.messages);
    let still = world.ask("quarantine retry realm.lifecycle/0/2");
    assert_eq!(still.exit, Exit::Failed);
    assert!(still.messages.contains("caused by: unsupported-type"), "{}", still.messages);
    let digest = world.ask("quarantine retry realm.lifecycle/0/3");
    assert!(digest.messages.contains("only the SHA-256 was kept"), "{}", digest.messages);
    for item in [1, 4, 1, 4] {
        let early = world.ask(&format!("quarantine retry realm.lifecycle/0/{item}"));
        assert_eq!(early.exit, Exit::Failed);
        assert!(early.messages.contains("was refused again"), "{}", early.messages);
        assert!(early.messages.contains("caused by: time-in-future"), "{}", early.messages);
    }
    while jiff::Timestamp::now() < soon - jiff::SignedDuration::from_hours(24) {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let taken = world.ask("quarantine retry realm.lifecycle/0/4");
    assert_eq!(
        (taken.exit, taken.messages.as_str()),
        (Exit::Done, "item realm.lifecycle/0/4 is recorded now\n")
    );
    let again = world.ask("quarantine retry realm.lifecycle/0/4");
    assert_eq!(again.exit, Exit::Done);
    assert!(again.messages.contains("is recorded already"), "{}", again.messages);
    let log = world.ask("log t").done();
    assert_eq!(log.lines().count(), 1);
    assert!(log.contains(r#""source":{"name":"import:retry:realm.lifecycle/0/4""#), "{log}");
    let list = world.ask("quarantine list").done();
    assert_eq!(list.lines().count(), 4, "a retry that is refused leaves no trace");
    assert!(!list.contains("hunter2"));
}

#[test]
fn configuration_is_shown_with_origins_and_checked() {
    let world = World::new();
    let file = world.file("c.toml", "[kafka.client]\n'sasl.password' = 'hunter2'\n");
    let mut run = Run::new(&format!("config show --config {}", file.display()));
    run.environment.insert("REALM_LEDGER_KAFKA__GROUP".to_owned(), "other".to_owned());
    let shown = run.execute().done();
    assert!(!shown.contains("hunter2"));
    let masked = r#"{"setting":"kafka.client.\"sasl.password\"","value":"\"********\"","origin":""#;
    assert!(shown.lines().any(|line| line.starts_with(masked) && line.ends_with("c.toml:2\"}")), "{shown}");
    assert!(
        shown.contains(r#""value":"\"other\"","origin":"environment variable REALM_LEDGER_KAFKA__GROUP""#)
    );
    assert!(
        shown.contains(r#"{"setting":"kafka.topics","value":"[\"realm.lifecycle\"]","origin":"default"}"#)
    );
    assert_eq!(execute(&format!("config check --config {}", file.display())).exit, Exit::Done);
    let wrong = world.file("w.toml", "kafka.borkers = 'x'\n");
    let checked = execute(&format!("config check --config {}", wrong.display()));
    assert_eq!(checked.exit, Exit::Failed);
    assert!(
        checked.messages.contains("w.toml:1: there is no setting kafka.borkers; did you mean kafka.brokers?")
    );
}

/// Regression: `config check` approved files that `serve` then refused.
#[test]
fn configuration_check_opens_the_files_that_serve_opens() {
    let world = World::new();
    let checked = |text: &str| {
        let file = world.file("files.toml", text);
        execute(&format!("config check --config {}", file.display()))
    };
    let jwks = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"b","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let [keys, text] =
        [("keys.json", jwks), ("text.pem", "no PEM")].map(|(name, text)| world.file(name, text));
    let issuer = |name: &str, more: &str| {
        format!(
            "[[access.issuer]]\nissuer = 'https://{name}'\naudience = 'a'\nalgorithms = ['EdDSA']\n{more}\n"
        )
    };
    let (keys, text) = (keys.display(), text.display());
    let good = issuer("one", &format!("jwks = '{keys}'"));
    assert_eq!(checked(&good).exit, Exit::Done, "{}", checked(&good).messages);
    let wrong = [
        format!("[http.tls]\ncertificate = '/nowhere.pem'\nkey = '{text}'\nclient_ca = '{text}'\n"),
        good,
        issuer("two", "jwks = '/nowhere.json'"),
        issuer("three", &format!("jwks = '{text}'")),
        issuer("four", &format!("jwks = 'https://127.0.0.1:9/keys'\nca = '{text}'")),
        format!("[gateway]\nforge_jwks = ['/nowhere.json']\nforward_ca = '{text}'\n"),
        "[[gateway.app]]\nname = 'n'\napp_key = 'a'\nrealms = ['EU']\nforge_app = 'ari:cloud:ecosystem::app/1'\n".to_owned(),
    ];
    let refused = checked(&wrong.concat());
    assert_eq!(refused.exit, Exit::Failed);
    for fault in [
        "cannot be used, for 8 reasons".to_owned(),
        "access: the keys of issuer https://two cannot be read: /nowhere.json could not be read".to_owned(),
        format!("access: the keys of issuer https://three cannot be read: {text} has no JWKS"),
        format!(
            "issuer https://four cannot be read: the authorities of https://127.0.0.1:9/keys cannot be used: {text} has no certificate"
        ),
        "http.tls: /nowhere.pem cannot be read as PEM".to_owned(),
        format!("http.tls: {text} has no certificate"),
        format!("http.tls: {text} cannot be read as PEM"),
        "gateway.forge_jwks: /nowhere.json could not be read".to_owned(),
        format!("gateway.forward_ca: {text} has no certificate"),
    ] {
        assert!(refused.messages.contains(&fault), "{fault}: {}", refused.messages);
    }
}

#[test]
fn import_without_a_key_is_recorded_unsigned() {
    let world = World::with(&history());
    let keys = world.path().join("ledger.keys");
    let key = std::fs::read_dir(&keys).unwrap().map(|entry| entry.unwrap().path());
    let key = key.into_iter().find(|path| path.is_file() && !path.ends_with("secret")).unwrap();
    std::fs::remove_file(&key).unwrap();
    let more = r#"{"id":"m","type":"enabled","time":"2026-05-01T00:00:00Z","clientKey":"acme.atlassian.net","appKey":"a"}"#;
    let file = world.file("more.ndjson", &format!("{more}\n"));
    let result = world.ask(&format!("import {}", file.display()));
    assert_eq!(result.exit, Exit::Done, "{}", result.messages);
    assert!(result.messages.contains("recorded, but not signed: "), "{}", result.messages);
    assert!(result.messages.contains("keys generate"), "{}", result.messages);
}

#[test]
fn colours_follow_the_terminal_and_no_color() {
    let reported = |terminal: bool, no_colour: Option<&str>| {
        let environment = no_colour.map(|value| ("NO_COLOR".to_owned(), value.to_owned()));
        let environment = environment.into_iter().collect();
        Run { messages_terminal: terminal, environment, ..Run::new("state --data-dir /nowhere/at/all") }
            .execute()
            .messages
    };
    assert!(reported(true, None).starts_with("\x1b[1;31merror:\x1b[0m "), "{}", reported(true, None));
    assert!(reported(true, Some("")).contains('\x1b'), "empty is as good as not there");
    for plain in [reported(true, Some("1")), reported(false, None)] {
        assert!(plain.starts_with("error: "), "{plain}");
    }
    // Wrong usage is reported by the parser, which has colours of its own.
    let usage = |environment: &[(&str, &str)]| {
        let pairs = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Run { messages_terminal: true, environment: pairs.collect(), ..Run::new("nonsense") }
            .execute()
            .messages
    };
    assert!(usage(&[]).contains('\x1b'));
    assert!(!usage(&[("NO_COLOR", "1")]).contains('\x1b'));
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The result of a run whose output is closed at once.
fn unread(command: &str) -> (Exit, String) {
    let mut messages = Vec::new();
    let mut env = Env {
        environment: std::collections::BTreeMap::new(),
        not_unicode: Vec::new(),
        input: Box::new(io::empty()),
        output: Box::new(Closed),
        messages: Box::new(&mut messages),
        output_is_terminal: false,
        messages_are_terminal: false,
    };
    let exit = run(Run::new(command).arguments.into_iter().map(Into::into), &mut env);
    drop(env);
    (exit, String::from_utf8(messages).unwrap())
}

#[test]
fn closed_output_ends_quietly() {
    let world = World::with(&history());
    let of = format!("--data-dir {}", world.data_dir().display());
    let asked = ["state", "log acme.atlassian.net", "replay", "export --ndjson"];
    let asked = asked.map(|command| format!("{command} {of}"));
    for command in asked.iter().map(String::as_str).chain(["config show", "completions bash"]) {
        assert_eq!(unread(command), (Exit::Done, String::new()), "{command}");
    }
}

#[test]
fn closed_output_keeps_the_exit_code() {
    let world = World::with(&history());
    let of = format!("--data-dir {}", world.data_dir().display());
    let list = world.file("list.csv", "clientKey,appKey,realm\nacme.atlassian.net,com.example.roadmap,US\n");
    let (exit, messages) = unread(&format!("reconcile {} {of}", list.display()));
    assert_eq!(exit, Exit::Difference, "{messages}");
    assert!(messages.contains("1 differ"), "{messages}");
    std::fs::write(world.data_dir().join("shards/realm.lifecycle/0/CURRENT"), "nothing\n").unwrap();
    assert_eq!(unread(&format!("verify {of}")).0, Exit::Difference);

    let world = World::new();
    let file = world.file("history.ndjson", &(history().join("\n") + "\n"));
    world.ask(&format!("import {} --partitions 3 --partitioner murmur2", file.display())).done();
    let of = format!("--data-dir {}", world.data_dir().display());
    std::fs::write(world.data_dir().join("shards/realm.lifecycle/2/CURRENT"), "nothing\n").unwrap();
    for command in ["state", "drift", "replay", "export --ndjson", "whatif --policy {\"mode\":\"off\"}"] {
        let (exit, messages) = unread(&format!("{command} {of}"));
        assert_eq!(exit, Exit::Failed, "{command}: {messages}");
        assert!(messages.contains("realm.lifecycle/2 could not be asked"), "{command}: {messages}");
    }
}
