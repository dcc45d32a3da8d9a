//! Every scenario, through the program as a user calls it: `import`, then `state --at`.

use std::path::Path;

use ledger_tests::scratch;
use ledger_tests::server::command;
use serde_json::Value;

fn run(args: &[&str]) -> Vec<Value> {
    let output = command().args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The state without the fields that no scenario has: they depend on arrival or on the query.
fn without_the_asking(mut state: Value) -> Value {
    let fields = state.as_object_mut().unwrap();
    fields.remove("seq");
    fields.remove("asOf");
    state
}

fn play(scenario: &Value, scratch: &Path) {
    let name = scenario["name"].as_str().unwrap();
    let (file, data_dir) = (scratch.join(format!("{name}.ndjson")), scratch.join(name));
    let events = scenario["events"].as_array().unwrap().iter().map(|event| format!("{event}\n"));
    std::fs::write(&file, events.collect::<String>()).unwrap();
    let data_dir = data_dir.to_str().unwrap();
    run(&["import", file.to_str().unwrap(), "--data-dir", data_dir]);
    for expected in scenario["expect"].as_array().unwrap() {
        let at = expected["at"].as_str().unwrap();
        let states = run(&["state", "--at", at, "--data-dir", data_dir, "--format", "json"]);
        let found: Vec<Value> = states.into_iter().map(without_the_asking).collect();
        assert_eq!(&Value::Array(found), &expected["states"], "{name} at {at}");
    }
    let refused = run(&["quarantine", "list", "--data-dir", data_dir, "--format", "json"]);
    let found: Vec<(u64, &str)> = refused
        .iter()
        .map(|item| (item["source"]["offset"].as_u64().unwrap(), item["reason"].as_str().unwrap()))
        .collect();
    let wanted: Vec<(u64, &str)> = scenario["rejected"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|line| (line["line"].as_u64().unwrap(), line["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(found, wanted, "{name}: refused lines");
}

#[test]
fn every_scenario_has_its_expected_states() {
    let scratch = scratch::directory();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/scenarios");
    let mut played = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            play(&serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap(), scratch.path());
            played += 1;
        }
    }
    assert!(played >= 30, "only {played} histories were found");
}
