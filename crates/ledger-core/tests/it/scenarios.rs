//! The scenarios: their expected states, folded from zero and record by record.

use std::fs;
use std::path::{Path, PathBuf};

use ledger_core::time::Timestamp;
use serde_json::Value;

use crate::ledger::{Arrival, Ledger};
use crate::{reader, shown};

const COUNT: usize = 30;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/scenarios")
}

fn scenarios() -> Vec<Value> {
    let mut paths: Vec<_> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    assert_eq!(paths.len(), COUNT, "a scenario came or went");
    paths.iter().map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap()).collect()
}

/// Plays a scenario and compares the conflicts with those it lists. Lines that the decoder refuses do not reach the
/// fold.
fn play(scenario: &Value) -> Ledger {
    let mut ledger = Ledger::default();
    let mut conflicts = Vec::new();
    let rejected = scenario["rejected"].as_array().cloned().unwrap_or_default();
    let (in_conflict, undecoded): (Vec<_>, Vec<_>) =
        rejected.into_iter().partition(|line| line["reason"] == "event-id-conflict");
    for (event, line) in scenario["events"].as_array().unwrap().iter().zip(1..) {
        if undecoded.iter().any(|refused| refused["line"] == line) {
            continue;
        }
        if ledger.append(reader::event(event)) == Arrival::Conflict {
            conflicts.push(serde_json::json!({"line": line, "reason": "event-id-conflict"}));
        }
    }
    assert_eq!(conflicts, in_conflict, "{}", scenario["name"]);
    ledger
}

fn shown_at(ledger: &Ledger, at: Timestamp) -> Value {
    let folded = ledger.folded_anew(at);
    folded.iter().flat_map(|(client, tenant)| shown::tenant(client, tenant, &ledger.apps, at)).collect()
}

#[test]
fn every_scenario_gives_its_expected_states() {
    for scenario in scenarios() {
        let ledger = play(&scenario);
        for expect in scenario["expect"].as_array().unwrap() {
            let at = reader::instant(&expect["at"]).unwrap();
            let shown = shown_at(&ledger, at);
            assert_eq!(
                serde_json::to_string_pretty(&shown).unwrap(),
                serde_json::to_string_pretty(&expect["states"]).unwrap(),
                "{} at {}",
                scenario["name"],
                expect["at"]
            );
        }
    }
}

#[test]
fn incremental_state_equals_the_fold_from_zero() {
    for scenario in scenarios() {
        let ledger = play(&scenario);
        assert_eq!(ledger.incremental(), ledger.folded_anew(Timestamp::MAX), "{}", scenario["name"]);
    }
}

#[test]
fn reversed_arrival_equals_the_fold_from_zero() {
    for scenario in scenarios() {
        let mut events: Vec<_> = scenario["events"].as_array().unwrap().iter().map(reader::event).collect();
        events.reverse();
        let ledger = Ledger::from_events(events);
        assert_eq!(ledger.incremental(), ledger.folded_anew(Timestamp::MAX), "{}", scenario["name"]);
    }
}
