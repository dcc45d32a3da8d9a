//! `replay` and `rebuild --check`: the commands of auditors.

use realm_ledger::Exit;
use serde_json::{Value, json};

use crate::world::{Server, World, execute, history};

const APP: &str = "com.example.roadmap";

fn lines(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The event id, and status and realm of each state.
fn short(step: &Value) -> Value {
    let states = step["states"].as_array().unwrap().iter();
    let states: Vec<_> = states.map(|state| json!([state["status"], state["pinnedRealm"]])).collect();
    json!([step["record"]["event"]["id"], states])
}

fn position(step: &Value) -> u64 {
    step["position"].as_u64().unwrap()
}

#[test]
fn replay_shows_the_state_after_each_record() {
    let mut history = history();
    // Recorded much later: the forgotten window was unknown until then.
    history.push(format!(
        r#"{{"id":"late","type":"override","action":"FORGET","actor":"me","reason":"asked","time":"2026-02-20T00:00:00Z","recordedAt":"2026-06-01T00:00:00Z","clientKey":"acme.atlassian.net","appKey":"{APP}"}}"#
    ));
    let world = World::with(&history);
    let server = Server::over(&world.data_dir());
    let steps = lines(&world.ask("replay acme.atlassian.net").done());
    let expected = [
        json!(["e-1", [["INSTALLED", "EU"]]]),
        json!(["e-2", [["UNINSTALLED", "EU"]]]),
        json!(["e-3", [["UNINSTALLED", "EU"]]]),
        json!(["e-4", [["INSTALLED", "EU"]]]),
        json!(["late", [["INSTALLED", "EU"]]]),
    ];
    assert_eq!(steps.iter().map(short).collect::<Vec<_>>(), expected);
    let rule = |at: usize| steps[at]["states"][0]["decision"]["rule"].clone();
    assert_eq!((rule(3), rule(4)), ("PERSISTED".into(), "WINDOW_FORGOTTEN".into()));
    // Resumed, limited, or from a server: the same steps.
    for (flags, expected) in [
        (String::new(), &steps[..]),
        (format!("--from-position {}", position(&steps[1]) + 1), &steps[2..]),
        (format!("--from-position {}", position(&steps[4])), &steps[4..]),
        (
            "--from 2026-02-10T00:00:00Z --to 2026-03-02T00:00:00Z".to_owned(),
            &[steps[2].clone(), steps[4].clone()],
        ),
    ] {
        let asked = format!("replay acme.atlassian.net {flags}");
        let output = world.ask(&asked).done();
        assert_eq!(lines(&output), expected, "{flags}");
        assert_eq!(execute(&format!("{asked} --url {}", server.url())).done(), output, "{flags}");
    }
}

#[test]
fn shard_and_app_replay_in_position_order() {
    let mut history = history();
    history.push(r#"{"id":"no","type":"instaled"}"#.to_owned());
    history.push(
        r#"{"id":"o","type":"installed","time":"2026-04-01T00:00:00Z","clientKey":"acme.atlassian.net","appKey":"com.example.other"}"#
            .to_owned(),
    );
    let world = World::with(&history);
    let server = Server::over(&world.data_dir());
    let all = lines(&world.ask("replay").done());
    // All events except the refused one, and no seals.
    let ids: Vec<_> = all.iter().map(|step| step["record"]["event"]["id"].clone()).collect();
    assert_eq!(ids, ["d-1", "e-1", "e-2", "e-3", "e-4", "e-5", "e-6", "e-7", "e-8", "e-9", "o"]);
    assert!(all.is_sorted_by_key(position));
    assert_eq!(short(&all[0]), json!(["d-1", []]), "an event of the app has no states");
    assert_eq!(short(&all[6]), json!(["e-6", [["INSTALLED", "US"]]]));
    let resumed = format!("replay --shard realm.lifecycle/0 --from-position {}", position(&all[7]));
    assert_eq!(lines(&world.ask(&resumed).done()), all[7..]);
    assert_eq!(execute(&format!("{resumed} --url {}", server.url())).done(), world.ask(&resumed).done());
    // The product move affects it too.
    assert_eq!(lines(&world.ask(&format!("replay --app {APP}")).done()), all[..10]);
    let missing = world.ask("replay --shard realm.lifecycle/7");
    assert_eq!(missing.exit, Exit::Failed);
    assert!(missing.messages.contains("there is no shard realm.lifecycle/7 here"), "{}", missing.messages);
    let table = world.ask("replay acme.atlassian.net --format table").done();
    assert!(table.contains("com.example.roadmap UNINSTALLED EU"), "{table}");
}

#[test]
fn rebuild_check_changes_nothing() {
    let world = World::with(&history());
    let result = world.ask("rebuild --check");
    assert!(result.messages.contains("not a byte differed"), "{}", result.messages);
    let report = lines(&result.done());
    assert_eq!((report[0]["tenants"].clone(), report[0]["records"].clone()), (4.into(), 10.into()));
    assert_eq!(lines(&world.ask("rebuild --check").done()), report);
}
