//! The reading commands, on a directory and on a server.

use realm_ledger::Exit;
use serde_json::Value;

use crate::world::{ODD_KEY, Run, Server, World, execute, history};

const APP: &str = "com.example.roadmap";

fn lines(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn clients(output: &str) -> Vec<String> {
    lines(output).iter().map(|line| line["clientKey"].as_str().unwrap().to_owned()).collect()
}

/// The output without the parts that depend on the current time.
fn timeless(output: &str) -> String {
    let mut text = output.to_owned();
    for name in ["\"asOf\":", "\"remainingMs\":"] {
        while let Some(at) = text.find(name) {
            let end = text[at + name.len()..].find([',', '}']).unwrap() + at + name.len();
            text.replace_range(at..end, "\"now\"");
        }
    }
    text
}

#[test]
fn state_lists_all_one_tenant_or_one_installation() {
    let world = World::with(&history());
    let all = world.ask("state").done();
    assert_eq!(clients(&all), ["acme.atlassian.net", ODD_KEY, "odd.atlassian.net", "open.atlassian.net"]);
    let one = world.ask(&format!("state acme.atlassian.net {APP} --at 2026-02-05T00:00:00Z")).done();
    let state = &lines(&one)[0];
    assert_eq!(state["status"], "UNINSTALLED");
    assert_eq!(state["window"]["remainingMs"], 26 * 86_400_000_u64);
    assert!(
        one.starts_with(r#"{"clientKey":"acme.atlassian.net","appKey":"#),
        "in the order of the interface"
    );
    let known = world.ask("state acme.atlassian.net --known-seq 1").done();
    assert_eq!(
        (lines(&known)[0]["seq"].clone(), lines(&known)[0]["status"].clone()),
        (1.into(), "INSTALLED".into())
    );
}

#[test]
fn log_shows_changes_and_can_be_limited() {
    let world = World::with(&history());
    let log = lines(&world.ask("log acme.atlassian.net").done());
    assert_eq!(log.len(), 4);
    assert_eq!(log[3]["changes"][0]["decision"]["rule"], "PERSISTED");
    let cut = lines(&world.ask("log acme.atlassian.net --from-seq 2 --limit 2").done());
    assert_eq!(cut, log[1..3]);
    let table = world.ask("log acme.atlassian.net --format table").done();
    assert!(table.contains("decided PERSISTED"), "{table}");
}

#[test]
fn past_and_knowledge_bound_can_be_queried() {
    let world = World::with(&history());
    let long_ago = "--at 2026-02-05T00:00:00Z";
    assert_eq!(clients(&world.ask(&format!("drift {long_ago}")).done()), [""; 0]);
    assert_eq!(clients(&world.ask(&format!("windows {long_ago}")).done()), ["acme.atlassian.net"]);
    // An import records each event at its event time.
    let before = "--known-at 2026-01-03T12:00:00Z";
    assert_eq!(clients(&world.ask(&format!("split-brain {before}")).done()), [""; 0]);
    assert_eq!(clients(&world.ask(&format!("anomalies {before}")).done()), [""; 0]);
    assert_eq!(lines(&world.ask("log acme.atlassian.net --known-seq 2").done()).len(), 2);
    let rule = |known: &str| {
        let asked = format!("preview acme.atlassian.net {APP} --at 2026-02-05T00:00:00Z {known}");
        lines(&world.ask(&asked).done())[0]["rule"].clone()
    };
    assert_eq!((rule(""), rule("--known-seq 1")), ("PERSISTED".into(), "REFRESH".into()));
}

#[test]
fn corrections_show_before_after_and_cause() {
    let mut history = history();
    let app_event = |time: &str| {
        format!(
            r#"{{"id":"p-1","type":"policy-set","time":"{time}","recordedAt":"2026-05-01T00:00:00Z","appKey":"{APP}","policy":{{"mode":"off"}}}}"#
        )
    };
    history.push(app_event("2026-01-15T00:00:00Z"));
    let world = World::with(&history);
    let found = lines(&world.ask("log acme.atlassian.net --corrections").done());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["before"]["decision"]["rule"], "PERSISTED");
    assert_eq!(found[0]["after"]["decision"]["rule"], "PERSISTENCE_OFF");
    assert_eq!(found[0]["event"]["type"], "policy-set");
    // To continue later: from the position after the last one.
    let position = found[0]["position"].as_u64().unwrap();
    let from = |position: u64| {
        let asked = format!("log acme.atlassian.net --corrections --from-position {position}");
        lines(&world.ask(&asked).done())
    };
    assert_eq!((from(position), from(position + 1)), (found, vec![]));
    let table = world.ask("log acme.atlassian.net --corrections --format table").done();
    assert!(table.contains("INSTALLED EU PERSISTED ") && table.contains("(p-1)"), "{table}");
}

#[test]
fn explain_prints_sentences_or_json() {
    let world = World::with(&history());
    // Both at one instant: what an uninstall would open is reported for it.
    let question = format!("explain acme.atlassian.net {APP} --at 2027-01-01T00:00:00Z");
    let json = world.ask(&question).done();
    let sentences = lines(&json)[0]["sentences"].as_array().unwrap().clone();
    let text = world.ask(&format!("{question} --format table")).done();
    assert_eq!(text.lines().count(), sentences.len());
    for (line, sentence) in text.lines().zip(&sentences) {
        assert!(line.starts_with(sentence["text"].as_str().unwrap()), "{line}");
    }
    assert!(text.contains("[seq "), "{text}");
}

#[test]
fn lists_contain_matching_installations() {
    let world = World::with(&history());
    assert_eq!(clients(&world.ask("drift").done()), ["acme.atlassian.net"]);
    assert_eq!(clients(&world.ask("split-brain").done()), [ODD_KEY]);
    assert_eq!(clients(&world.ask("windows").done()), ["open.atlassian.net"]);
    assert_eq!(clients(&world.ask("windows --closing-before 2026-01-01T00:00:00Z").done()), [""; 0]);
    assert_eq!(clients(&world.ask("anomalies").done()), ["odd.atlassian.net"]);
    let preview = lines(&world.ask(&format!("preview open.atlassian.net {APP} --product-realm us")).done());
    assert_eq!(
        (preview[0]["rule"].clone(), preview[0]["pinnedRealm"].clone()),
        ("PERSISTED".into(), "EU".into())
    );
}

#[test]
fn overdue_migrations_are_listed_locally_and_remotely() {
    let scheduled = |client: &str, end: &str| {
        format!(
            r#"{{"id":"m","type":"migration-scheduled","time":"2026-02-01T00:00:00Z","clientKey":"{client}","appKey":"{APP}","migrationId":57500,"targetRealm":"EU","endTime":"{end}T00:00:00Z"}}"#
        )
    };
    let world = World::with(&[scheduled("due", "2026-02-05"), scheduled("later", "2026-02-07")]);
    let asked = |overdue: &str| format!("migrations {overdue} --at 2026-02-06T00:00:00Z");
    assert_eq!(clients(&world.ask(&asked("")).done()), ["due", "later"]);
    let overdue = world.ask(&asked("--overdue")).done();
    assert_eq!(clients(&overdue), ["due"]);
    let migration = &lines(&overdue)[0]["migration"];
    assert_eq!(
        (&migration["dueBy"], &migration["overdue"]),
        (&"2026-02-05T00:00:00.000Z".into(), &true.into())
    );
    let table = world.ask(&format!("{} --format table", asked("--overdue"))).done();
    assert!(table.contains("57500") && table.contains("2026-02-05T00:00:00.000Z  yes"), "{table}");
    let explained = world.ask(&format!("explain due {APP} --at 2026-02-06T00:00:00Z --format table")).done();
    assert!(explained.contains("No commit or rollback was seen"), "{explained}");
    let server = Server::over(&world.data_dir());
    for overdue in ["", "--overdue"] {
        let remote = execute(&format!("{} --url {}", asked(overdue), server.url())).done();
        assert_eq!(remote, world.ask(&asked(overdue)).done(), "{overdue}");
    }
}

#[test]
fn directory_and_server_give_the_same_bytes() {
    let mut history = history();
    history.push(r#"{"id":"x","type":"instaled"}"#.to_owned());
    // More than a page of everything.
    for number in 0..1200 {
        history.push(format!(
            r#"{{"id":"p-{number}","type":"installed","time":"2026-01-07T00:00:00Z","clientKey":"page-{number}","appKey":"{APP}","endpointRealm":"EU"}}"#
        ));
        history.push(format!(
            r#"{{"id":"q-{number}","type":"enabled","time":"2026-01-08T00:00:00Z","clientKey":"long","appKey":"{APP}"}}"#
        ));
    }
    for (id, kind, time) in
        [("l-1", "installed", "01"), ("l-3", "installed", "03"), ("l-2", "uninstalled", "02")]
    {
        history.push(format!(
            r#"{{"id":"{id}","type":"{kind}","time":"2026-03-{time}T00:00:00Z","clientKey":"late.atlassian.net","appKey":"{APP}","endpointRealm":"EU"}}"#
        ));
    }
    let world = World::with(&history);
    let server = Server::over(&world.data_dir());
    let at = "--at 2026-04-01T00:00:00Z";
    let commands = [
        format!("state {at}"),
        format!("state acme.atlassian.net {at}"),
        format!("state {ODD_KEY} {APP} {at}"),
        format!("state acme.atlassian.net {at} --known-seq 2"),
        format!("state acme.atlassian.net {at} --known-at 2026-02-01T00:00:00Z"),
        "log long".to_owned(),
        "log acme.atlassian.net --known-seq 3 --at 2026-02-05T00:00:00Z".to_owned(),
        "log late.atlassian.net --corrections".to_owned(),
        format!("explain acme.atlassian.net {APP} {at} --known-seq 2"),
        format!("preview acme.atlassian.net {APP} {at} --known-at 2026-02-05T00:00:00Z"),
        format!("drift {at} --known-at 2026-03-05T00:00:00Z"),
        format!("log {ODD_KEY} --limit 1"),
        format!("explain {ODD_KEY} {APP} {at}"),
        format!("preview acme.atlassian.net {APP} --product-realm US {at}"),
        "drift".to_owned(),
        "windows".to_owned(),
        "windows --closing-before 2100-01-01T00:00:00Z".to_owned(),
        "split-brain".to_owned(),
        "anomalies".to_owned(),
        "quarantine list".to_owned(),
        "quarantine show realm.lifecycle/0/1".to_owned(),
    ];
    for command in commands {
        let local = world.ask(&command).done();
        let remote = execute(&format!("{command} --url {}", server.url())).done();
        assert!(!local.is_empty(), "{command}");
        assert_eq!(timeless(&local), timeless(&remote), "{command}");
    }
    assert_eq!(lines(&world.ask("state").done()).len(), 1206);
    assert_eq!(lines(&world.ask("log long").done()).len(), 1200);
}

#[test]
fn refused_message_is_found_by_its_source_offset() {
    let mut history = history();
    history.push(r#"{"id":"odd","type":"reinstalled"}"#.to_owned());
    let world = World::with(&history);
    let server = Server::over(&world.data_dir());
    let listed = lines(&world.ask("quarantine list").done()).remove(0);
    let source = &listed["source"];
    let from = format!("{}/{}@{}", source["name"].as_str().unwrap(), source["partition"], source["offset"]);
    let by_item = world.ask("quarantine show realm.lifecycle/0/1").done();
    assert_eq!(world.ask(&format!("quarantine show {from}")).done(), by_item);
    assert_eq!(execute(&format!("quarantine show {from} --url {}", server.url())).done(), by_item);
    let nothing = world.ask("quarantine show realm.lifecycle/0@999");
    assert_eq!(nothing.exit, Exit::Failed);
    assert!(
        nothing.messages.contains("no refused message is from realm.lifecycle/0@999"),
        "{}",
        nothing.messages
    );
    assert_eq!(world.ask("quarantine show realm.lifecycle@1").exit, Exit::Usage);
}

#[test]
fn directory_and_server_give_the_same_errors() {
    let world = World::with(&history());
    let server = Server::over(&world.data_dir());
    let commands = [
        "state nobody",
        "state acme.atlassian.net com.example.other",
        "state acme.atlassian.net --known-seq 99",
        "log nobody",
        "explain nobody a",
        "preview nobody no.such.app",
        "replay --app no.such.app",
        "replay acme.atlassian.net --app no.such.app",
        "whatif --policy {\"mode\":\"off\"} --app no.such.app",
        "quarantine show realm.lifecycle/0/7",
        "quarantine show other/0/1",
    ];
    for command in commands {
        let local = world.ask(command);
        let remote = execute(&format!("{command} --url {}", server.url()));
        assert_eq!(local.exit, Exit::Failed, "{command}");
        assert_eq!((local.exit, local.output), (remote.exit, remote.output), "{command}");
        assert_eq!(local.messages, remote.messages, "{command}");
        assert!(local.messages.starts_with("error: "), "{command}: {}", local.messages);
    }
    for command in ["quarantine show other/0/1", "quarantine retry other/0/1"] {
        let reported = world.ask(command).messages;
        assert!(reported.contains("there is no shard other/0 here"), "{reported}");
        assert!(reported.contains("hint: `realm-ledger quarantine list`"), "{reported}");
    }
}

#[test]
fn format_defaults_to_table_on_a_terminal_and_json_in_a_pipe() {
    let world = World::with(&history());
    let line = format!("drift --data-dir {}", world.data_dir().display());
    let terminal = Run { terminal: true, ..Run::new(&line) }.execute().done();
    assert!(terminal.trim_start().starts_with("CLIENT KEY"), "{terminal}");
    let forced = Run { terminal: true, ..Run::new(&format!("{line} --format json")) }.execute().done();
    assert_eq!(timeless(&forced), timeless(&execute(&line).done()));
    let table = execute(&format!("{line} --format table")).done();
    assert!(table.contains("drift: aligned would be US"), "{table}");
    assert!(!table.contains('\x1b'), "no colours in a pipe");
}

#[test]
fn empty_list_prints_a_message_only_with_tables() {
    let world = World::with(&history());
    for command in [
        "migrations",
        "quarantine list",
        "log acme.atlassian.net --corrections",
        "log acme.atlassian.net --from-seq 99",
        "state acme.atlassian.net --at 2025-01-01T00:00:00Z",
    ] {
        let table = world.ask(&format!("{command} --format table"));
        assert_eq!((table.exit, table.output.as_str()), (Exit::Done, ""), "{command}");
        assert_eq!(table.messages.lines().count(), 1, "{command}: {}", table.messages);
        assert_eq!(world.ask(command).messages, "", "{command}");
    }
    assert_eq!(world.ask("state --format table").messages, "");
}

#[test]
fn unreachable_url_is_reported_with_a_hint() {
    let result = execute("drift --url http://127.0.0.1:1");
    assert_eq!(result.exit, Exit::Failed);
    assert!(
        result.messages.starts_with("error: http://127.0.0.1:1 cannot be asked\ncaused by: "),
        "{}",
        result.messages
    );
    assert!(
        result.messages.ends_with("hint: is the server running, and is this its address?\n"),
        "{}",
        result.messages
    );
}

#[test]
fn control_characters_are_escaped_for_a_terminal() {
    let mut history = history();
    history.push(format!(
        r#"{{"id":"t","type":"installed","time":"2026-04-01T00:00:00Z","clientKey":"evil","appKey":"{APP}","siteUrl":"https://a.example/\u001b]0;owned\u0007","reason":"\u001b[2J"}}"#
    ));
    history.push(r#"{"id":"\u001b[31m","type":"\u001b[2Jinstaled"}"#.to_owned());
    let world = World::with(&history);
    for command in [
        &format!("state evil {APP}"),
        "state evil",
        "log evil",
        "replay evil",
        "quarantine list",
        "quarantine show realm.lifecycle/0/1",
    ] {
        let result = world.ask(&format!("{command} --format table"));
        assert_eq!(result.exit, Exit::Done, "{}", result.messages);
        let raw = result.output.chars().find(|sign| sign.is_control() && *sign != '\n');
        assert_eq!(raw, None, "{command}: {}", result.output);
    }
    let shown = world.ask(&format!("state evil {APP} --format table")).done();
    assert!(shown.contains(r"https://a.example/\u{1b}]0;owned\u{7}"), "{shown}");
    let json = world.ask(&format!("state evil {APP}")).done();
    assert_eq!(lines(&json)[0]["siteUrl"], "https://a.example/\u{1b}]0;owned\u{7}", "data is left as it is");
}

#[test]
fn absence_in_the_past_gives_no_spelling_hint() {
    let world = World::with(&history());
    let server = Server::over(&world.data_dir());
    for command in [
        "state acme.atlassian.net --at 2025-01-01T00:00:00Z",
        "log acme.atlassian.net --known-at 2025-01-01T00:00:00Z",
        &format!("explain acme.atlassian.net {APP} --at 2025-01-01T00:00:00Z"),
    ] {
        for result in [world.ask(command), execute(&format!("{command} --url {}", server.url()))] {
            assert!(!result.messages.contains("letter by letter"), "{command}: {}", result.messages);
        }
    }
    // A list of a known tenant is empty; a single installation or its explanation is not found.
    let early = "--at 2025-01-01T00:00:00Z";
    assert_eq!(world.ask(&format!("state acme.atlassian.net {early}")).done(), "");
    for question in ["state", "explain"] {
        let then = world.ask(&format!("{question} acme.atlassian.net {APP} {early}"));
        assert_eq!((then.exit, then.output.as_str()), (Exit::Failed, ""), "{question}");
        assert!(then.messages.contains("has no installation of app"), "{question}: {}", then.messages);
    }
    let unknown = world.ask("state nobody");
    assert!(unknown.messages.contains("keys are compared letter by letter"), "{}", unknown.messages);
    let then = world.ask("state nobody --at 2026-03-01T00:00:00Z");
    assert_eq!(then.exit, Exit::Failed);
    assert!(then.messages.contains("leave them out for now"), "{}", then.messages);
}
