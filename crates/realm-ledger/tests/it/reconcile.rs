//! `reconcile`: a partner's list compared with the ledger.

use realm_ledger::Exit;
use serde_json::{Value, json};

use crate::world::{ODD_KEY, Run, RunResult, Server, World, history};

const APP: &str = "com.example.roadmap";

fn lines(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Verdict, client key, and one more member.
fn short(output: &str, member: &str) -> Vec<(String, String, Value)> {
    let text = |found: &Value, name: &str| found[name].as_str().unwrap().to_owned();
    let of = |found: &Value| (text(found, "verdict"), text(found, "clientKey"), found[member].clone());
    lines(output).iter().map(of).collect()
}

fn one(verdict: &str, client: &str, member: Value) -> (String, String, Value) {
    (verdict.to_owned(), client.to_owned(), member)
}

fn reconcile(world: &World, list: &str, flags: &str) -> RunResult {
    let line = format!("reconcile - --data-dir {} {flags}", world.data_dir().display());
    Run { input: list, ..Run::new(&line) }.execute()
}

#[test]
fn list_is_compared_with_evidence() {
    let world = World::with(&history());
    let list =
        format!("clientKey,appKey,realm\nacme.atlassian.net,{APP},us\n{ODD_KEY},{APP},US\nnobody,{APP},EU\n");
    let result = reconcile(&world, &list, "");
    assert_eq!(result.exit, Exit::Difference, "{}", result.messages);
    assert!(
        result.messages.contains("1 agree, 1 differ, 1 of the list unknown to the ledger, 0 of"),
        "{}",
        result.messages
    );
    let found = lines(&result.output);
    assert_eq!(
        found[0],
        json!({"verdict": "DIFFERS", "clientKey": "acme.atlassian.net", "appKey": APP, "listedRealm": "US", "line": 2,
            "status": "INSTALLED", "pinnedRealm": "EU", "pinnedSince": "2026-03-02T00:00:00.000Z", "pinnedBy": "OBSERVED",
            "seqs": found[0]["seqs"]})
    );
    assert_eq!(found[0]["seqs"], json!([1, 4]));
    assert_eq!(found[1]["verdict"], "UNKNOWN_TO_LEDGER");
    assert_eq!(found.len(), 2);
    // From a server, as NDJSON, with agreements; nothing differs, something is missing.
    let server = Server::over(&world.data_dir());
    let file = world.file(
        "ours.ndjson",
        &format!("{{\"clientKey\":\"acme.atlassian.net\",\"appKey\":\"{APP}\",\"realm\":\"EU\"}}\n"),
    );
    let asked = format!("reconcile {} --all --url {}", file.display(), server.url());
    let result = crate::world::execute(&asked);
    let verdicts: Vec<_> = lines(&result.output).iter().map(|found| found["verdict"].clone()).collect();
    assert_eq!((result.exit, verdicts), (Exit::Done, vec!["AGREES".into(), "UNKNOWN_TO_LIST".into()]));
}

#[test]
fn unknown_app_fails_without_a_verdict() {
    let world = World::with(&history());
    let list = "clientKey,appKey,realm\nacme.atlassian.net,com.example.roadmpa,EU\n";
    let result = reconcile(&world, list, "--app com.example.roadmpa");
    assert_eq!((result.exit, result.output.as_str()), (Exit::Failed, ""), "{}", result.messages);
    assert!(
        result.messages.contains("nothing is recorded of app com.example.roadmpa"),
        "{}",
        result.messages
    );
    let then = reconcile(&world, list, &format!("--app {APP} --at 2025-01-01T00:00:00Z"));
    assert_eq!(then.exit, Exit::Done, "known, and not installed then: {}", then.messages);
}

#[test]
fn forge_audit_log_and_past_instants_are_compared() {
    let world = World::with(&history());
    let log = format!(
        "App ID,App name,Site ID,Atlassian app,Environment,Installed version,Event,Event date,Location,Target location\n\
         {APP},Roadmap,acme.atlassian.net,Jira,production,2,Migration completed,2026-02-20,EU,US\n\
         {APP},Roadmap,acme.atlassian.net,Jira,production,2,App installed,2026-01-02,EU,N/A\n"
    );
    let result = reconcile(&world, &log, "--app com.example.roadmap");
    assert_eq!(result.exit, Exit::Difference);
    assert_eq!(lines(&result.output)[0]["listedRealm"], "US");
    let before = reconcile(&world, &log, "--at 2025-12-31T00:00:00Z");
    assert_eq!(before.exit, Exit::Done);
    assert_eq!(lines(&before.output)[0]["verdict"], "UNKNOWN_TO_LEDGER");
    let broken = reconcile(&world, "client,realm\n", "");
    assert_eq!(broken.exit, Exit::Failed);
    assert!(broken.messages.contains("no clientKey"), "{}", broken.messages);
}

#[test]
fn printed_lines_have_status_and_evidence() {
    let world = World::with(&history());
    let list = format!(
        "clientKey,appKey,realm\nacme.atlassian.net,{APP},EU\nopen.atlassian.net,{APP},EU\nodd.atlassian.net,{APP},EU\n"
    );
    let result = reconcile(&world, &list, "");
    assert_eq!(result.exit, Exit::Done, "{}", result.messages);
    // An agreement about an installed app is not printed; one about an uninstalled app is.
    let expected = [
        one("UNKNOWN_TO_LIST", ODD_KEY, json!([1])),
        one("AGREES", "odd.atlassian.net", json!([1])),
        one("AGREES", "open.atlassian.net", json!([1])),
    ];
    assert_eq!(short(&result.output, "seqs"), expected);
    assert_eq!(lines(&result.output)[2]["status"], "UNINSTALLED");
    assert!(result.messages.contains("3 agree, 0 differ"), "{}", result.messages);
}

#[test]
fn unknown_realm_differs_from_an_unknown_tenant() {
    let mut history = history();
    history.push(format!(
        r#"{{"id":"u","type":"enabled","time":"2026-01-08T00:00:00Z","clientKey":"unknown","appKey":"{APP}"}}"#
    ));
    let world = World::with(&history);
    let list = format!("clientKey,appKey,realm\nunknown,{APP},EU\nnobody,{APP},EU\n");
    let result = reconcile(&world, &list, "");
    let found = short(&result.output, "seqs");
    assert!(found.contains(&one("REALM_UNKNOWN", "unknown", json!([1]))), "{found:?}");
    assert!(found.contains(&one("UNKNOWN_TO_LEDGER", "nobody", Value::Null)), "{found:?}");
    assert!(result.messages.contains("1 of unknown realm"), "{}", result.messages);
}

#[test]
fn knowledge_bound_is_compared() {
    let world = World::with(&history());
    let list = format!("clientKey,appKey,realm\nacme.atlassian.net,{APP},EU\nopen.atlassian.net,{APP},EU\n");
    // An import records each event at its event time.
    let result = reconcile(&world, &list, "--all --known-at 2026-01-02T12:00:00Z");
    let expected = [
        one("AGREES", "acme.atlassian.net", json!([1])),
        one("UNKNOWN_TO_LEDGER", "open.atlassian.net", Value::Null),
    ];
    assert_eq!(short(&result.output, "seqs"), expected);
}

#[test]
fn torn_tenant_could_not_be_asked() {
    let world = World::with(&history());
    let again = format!(
        "{{\"id\":\"a\",\"type\":\"installed\",\"time\":\"2026-01-02T00:00:00Z\",\"clientKey\":\"acme.atlassian.net\",\"appKey\":\"{APP}\",\"endpointRealm\":\"US\"}}\n"
    );
    let file = world.file("again.ndjson", &again);
    world.ask(&format!("import {} --topic other --partitions 1", file.display())).done();
    let list = format!("clientKey,appKey,realm\nacme.atlassian.net,{APP},EU\nnobody,{APP},EU\n");
    let result = reconcile(&world, &list, "");
    assert_eq!(result.exit, Exit::Failed, "{}", result.messages);
    let found = short(&result.output, "because");
    assert!(
        found.contains(&one("COULD_NOT_BE_ASKED", "acme.atlassian.net", json!("tenant-in-two-partitions"))),
        "{found:?}"
    );
    assert!(found.contains(&one("UNKNOWN_TO_LEDGER", "nobody", Value::Null)), "{found:?}");
}

#[test]
fn tenant_of_an_unassigned_shard_could_not_be_asked() {
    let world = World::new();
    let file = world.file("history.ndjson", &(history().join("\n") + "\n"));
    world.ask(&format!("import {} --partitions 3 --partitioner murmur2", file.display())).done();
    let (here, elsewhere) = ("acme.atlassian.net", "open.atlassian.net");
    let shard = world.shard_of(here);
    assert_ne!(shard, world.shard_of(elsewhere), "or the test shows nothing");
    let list =
        world.file("ours.csv", &format!("clientKey,appKey,realm\n{here},{APP},US\n{elsewhere},{APP},EU\n"));
    let server = Server::of_one_shard(&world.data_dir(), &shard);
    let result = crate::world::execute(&format!("reconcile {} --url {}", list.display(), server.url()));
    let found = short(&result.output, "because");
    assert!(found.contains(&one("DIFFERS", here, Value::Null)), "{found:?}");
    assert!(found.contains(&one("COULD_NOT_BE_ASKED", elsewhere, json!("not-ready"))), "{found:?}");
    assert_eq!(result.exit, Exit::Failed, "{}", result.messages);
    assert!(result.messages.contains("1 of the list could not be asked"), "{}", result.messages);
    // With all shards at hand the list is compared.
    let whole = crate::world::execute(&format!(
        "reconcile {} --data-dir {}",
        list.display(),
        world.data_dir().display()
    ));
    assert_eq!(whole.exit, Exit::Difference, "{}", whole.messages);
}

#[test]
fn audit_log_maps_the_app_id_and_counts_omissions() {
    let world = World::with(&history());
    let log = "App ID,Site ID,Environment,Event,Event date,Location\n\
               ari:app/1,acme.atlassian.net,production,App installed,2026-01-02,EU\n\
               ari:app/1,acme.atlassian.net,staging,App installed,2026-01-03,US\n\
               ari:app/1,acme.atlassian.net,production,Forge backfill started,2026-01-04,N/A\n";
    let agrees = [one("AGREES", "acme.atlassian.net", Value::Null)];
    let by_app = reconcile(&world, log, &format!("--all --app {APP} --known-at 2026-01-02T12:00:00Z"));
    assert_eq!(short(&by_app.output, "because"), agrees);
    for reported in [
        format!("app id ari:app/1, the only one of the list, is taken for {APP}"),
        "left out: 1 of another environment than production, 1 that name no place".to_owned(),
    ] {
        assert!(by_app.messages.contains(&reported), "{}", by_app.messages);
    }
    let by_id =
        reconcile(&world, log, &format!("--all --app-id ari:app/1={APP} --known-at 2026-01-02T12:00:00Z"));
    assert_eq!(short(&by_id.output, "because"), agrees);
    assert_eq!(reconcile(&world, log, "--app-id nothing").exit, Exit::Usage);
}
