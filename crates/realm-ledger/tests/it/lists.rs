//! `import` of what partners have of the time before: audit logs of Forge, tables of their own; and through a journal.

use serde_json::Value;

use crate::world::{Run, World, execute};

const AUDIT_LOG: &str = "App ID,Site ID,Environment,Event,Event date,Location,Target location\n\
    ari:app/1,site-1,production,App installed,2026-01-01,US,N/A\n\
    ari:app/1,site-2,development,App installed,2026-01-01,US,N/A\n\
    ari:app/1,site-1,production,Forge backfill started,2026-01-02,US,N/A\n\
    ari:app/1,site-1,production,Migration completed,2026-02-01,US,EU\n";

const TABLE: &str = "clientKey,appKey,realm,installedAt,siteUrl\n\
    acme,com.example.app,EU,2025-05-01,https://acme.atlassian.net\n\
    birch,com.example.app,GLOBAL,,\n";

fn state(world: &World, client: &str) -> Value {
    let state = world.ask(&format!("state {client} com.example.app")).done();
    serde_json::from_str(&state).unwrap()
}

#[test]
fn audit_log_is_checked_and_imported_and_rows_that_say_nothing_are_counted() {
    let world = World::new();
    let file = world.file("audit.csv", AUDIT_LOG);
    let import =
        format!("import {} --format forge-audit-log --app-id ari:app/1=com.example.app", file.display());
    let checked = execute(&format!("{import} --check"));
    let skipped =
        "rows of the list left out: 1 of another environment than production, 1 that say nothing of a realm";
    assert!(checked.messages.contains(skipped), "{}", checked.messages);
    assert!(checked.messages.contains("2 rows of the list make 2 events"), "{}", checked.messages);
    let report: Value = serde_json::from_str(&checked.done()).unwrap();
    assert_eq!(
        (&report["events"], &report["types"]["migrated"], &report["refused"]),
        (&2.into(), &1.into(), &0.into())
    );
    assert!(!world.data_dir().exists(), "nothing is written");
    world.ask(&import).done();
    let state = state(&world, "site-1");
    assert_eq!((&state["pinnedRealm"], &state["pinnedBy"]), (&"EU".into(), &"MIGRATED".into()), "{state}");
    assert_eq!(state["pinnedSince"], "2026-02-01T00:00:00.000Z");
    let again = world.ask(&import);
    assert!(again.messages.contains("2 taken before, 0 events appended"), "{}", again.messages);
}

#[test]
fn table_of_installations_says_where_the_data_is() {
    let world = World::new();
    let file = world.file("installations.csv", TABLE);
    let import = format!("import {} --format installations", file.display());
    world.ask(&import).done();
    let state = state(&world, "acme");
    let told =
        ["pinnedRealm", "dataRealm", "pinnedSince", "siteUrl"].map(|name| state[name].as_str().unwrap());
    assert_eq!(told, ["EU", "EU", "2025-05-01T00:00:00.000Z", "https://acme.atlassian.net"]);
    let wrong = world.file("wrong.csv", "clientKey,appKey\na,b\n");
    let refused = execute(&format!("import {} --format installations --check", wrong.display()));
    assert!(refused.messages.contains("no clientKey, appKey and realm"), "{}", refused.messages);
    let elsewhere = execute("config show --format installations");
    assert!(elsewhere.messages.contains("--format is json or table here"), "{}", elsewhere.messages);
}

#[test]
fn journal_takes_events_and_what_quarantine_gets_of_other_lines() {
    let world = World::new();
    let event = |id: u32| {
        format!(
            r#"{{"id":"{id}","type":"installed","time":"2026-03-0{id}T00:00:00Z","clientKey":"acme","appKey":"com.example.app","endpointRealm":"EU","sharedSecret":"canary"}}"#
        )
    };
    let conflict = event(1).replace("\"EU\"", "\"US\"");
    let file = world.file("mixed.ndjson", &format!("{}\nno event\n\n{}\n{conflict}\n", event(1), event(2)));
    let import = world.ask(&format!("import {} --local", file.display()));
    let summary = "5 lines: 0 taken before, 2 events appended (0 late), 0 repeated, 2 refused";
    assert!(import.messages.contains(summary), "{}", import.messages);
    import.done();
    assert_eq!(state(&world, "acme")["pinnedRealm"], "EU");
    let journal = std::fs::read_dir(world.data_dir().join("journal")).unwrap();
    for file in journal {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains("canary") && !text.contains("no event"), "{text}");
    }
    let detail = world.ask("quarantine show realm.lifecycle/0/1").done();
    assert!(detail.contains("; line 2 of mixed.ndjson"), "{detail}");
    // From now on files go through the journal, whether it is said or not.
    let again = world.ask(&format!("import {}", file.display()));
    assert!(
        again.messages.contains("0 events appended (0 late), 3 repeated, 1 refused"),
        "{}",
        again.messages
    );
    let items = world.ask("quarantine list").done();
    let item: Value = serde_json::from_str(items.lines().nth(1).unwrap()).unwrap();
    assert_eq!(
        (&item["source"]["name"], &item["reason"]),
        (&"import:journal".into(), &"event-id-conflict".into()),
        "{item}"
    );
    let name = format!("{}/0/2", item["topic"].as_str().unwrap());
    let retried = world.ask(&format!("quarantine retry {name}"));
    assert!(retried.messages.contains("was refused again"), "{}", retried.messages);
    let mut verify = Run::new("verify --data-dir");
    verify.arguments.push(world.data_dir().display().to_string());
    verify.execute().done();
}

#[test]
fn directory_that_a_file_feeds_gets_no_journal() {
    let world = World::new();
    let event = r#"{"id":"1","type":"enabled","time":"2026-03-01T00:00:00Z","clientKey":"c","appKey":"a"}"#;
    let file = world.file("history.ndjson", event);
    world.ask(&format!("import {}", file.display())).done();
    let refused = world.ask(&format!("import {} --local", file.display())).messages;
    assert!(refused.contains("has what came from import:history.ndjson"), "{refused}");
    assert!(!world.data_dir().join("journal").exists());
}
