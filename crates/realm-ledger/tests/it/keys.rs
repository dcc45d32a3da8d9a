//! Signing keys: who has them, what partners are reported.

use ledger_record::proof::note::{Checkpoint, VerifierKey};
use realm_ledger::Exit;
use serde_json::Value;

use crate::world::{Run, World};

fn shown(world: &World, flags: &str) -> Vec<Value> {
    let output = world.ask(&format!("keys show {flags}")).done();
    output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn keys_are_generated_once_shown_per_log_and_replaced() {
    let world = World::new();
    let missing = world.ask("keys show");
    assert_eq!(missing.exit, Exit::Failed);
    assert!(missing.messages.contains("keys generate"), "{}", missing.messages);

    assert_eq!(world.ask("keys generate").done(), "", "a secret is never printed");
    assert_eq!(world.ask("keys generate").exit, Exit::Failed);
    world.ask("keys generate --add").done();
    let of_seven = shown(&world, "--partition 7");
    assert_eq!(of_seven.len(), 2);
    for line in &of_seven {
        assert_eq!(line["origin"], "realm.lifecycle/7");
        let key = VerifierKey::parse(line["verifierKey"].as_str().unwrap()).unwrap();
        assert_eq!(key.name(), "realm.lifecycle/7");
    }
    world.ask(&format!("keys retire {}", of_seven[0]["key"].as_str().unwrap())).done();
    assert_eq!(shown(&world, "--partition 7"), of_seven[1..]);
    let elsewhere = shown(&world, "--origin ledger.example.com/x/1");
    assert_eq!(elsewhere[0]["origin"], "ledger.example.com/x/1");
    assert!(world.path().join("ledger.keys/signing-keys").exists(), "beside the data directory");
}

fn event(id: &str) -> String {
    format!(
        r#"{{"id":"{id}","type":"enabled","time":"2026-01-01T00:00:00Z","clientKey":"acme","appKey":"app"}}"#
    )
}

#[test]
fn import_is_signed_and_a_shorter_one_is_not() {
    let world = World::with(&[event("one"), event("two")]);
    let elsewhere = world.ask("keys show --partition 3");
    assert_eq!(elsewhere.exit, Exit::Failed);
    assert!(elsewhere.messages.contains("realm.lifecycle has 1 partitions"), "{}", elsewhere.messages);
    let checkpoint = || {
        let lines = world.ask("checkpoint").done();
        serde_json::from_str::<Value>(&lines).unwrap()
    };
    let first = checkpoint();
    let verifier = VerifierKey::parse(shown(&world, "")[0]["verifierKey"].as_str().unwrap()).unwrap();
    let note = first["note"].as_str().unwrap();
    let opened = Checkpoint::open(note, &[verifier]).unwrap();
    assert_eq!((opened.origin.as_str(), opened.size), ("realm.lifecycle/0", 3));
    assert_eq!(world.ask("checkpoint realm.lifecycle/0").done(), note);
    assert_eq!(world.ask("checkpoint realm.lifecycle/1").exit, Exit::Failed);

    let longer = world
        .file("history.ndjson", &[event("one"), event("two"), event("three")].map(|e| e + "\n").concat());
    world.ask(&format!("import {}", longer.display())).done();
    assert_eq!(checkpoint()["size"], 5);
    // An older history in place of the newer one: recorded, reported, and not signed.
    std::fs::remove_dir_all(world.data_dir()).unwrap();
    let shorter = world.file("shorter.ndjson", &(event("one") + "\n"));
    let refused = world.ask(&format!("import {}", shorter.display()));
    assert_eq!(refused.exit, Exit::Failed);
    assert!(refused.messages.contains("5 were published"), "{}", refused.messages);
    assert_eq!(checkpoint()["size"], 5);
}

#[test]
fn key_is_retired_after_its_successor_signed() {
    let world = World::with(&[event("one"), event("two")]);
    let old = shown(&world, "")[0]["key"].as_str().unwrap().to_owned();
    world.ask("keys generate --add").done();
    let early = world.ask(&format!("keys retire {old}"));
    assert_eq!(early.exit, Exit::Failed);
    assert!(early.messages.contains(&format!("was signed by {old} and by no key that would be left")));
    // Nothing new is recorded, but the log is signed again.
    world.ask(&format!("import {}", world.path().join("history.ndjson").display())).done();
    world.ask(&format!("keys retire {old}")).done();
    for command in ["checkpoint", "verify", "prove acme"] {
        world.ask(command).done();
    }
}

#[test]
fn origin_without_topic_is_refused_for_several_topics() {
    let mut run = Run::new("config check");
    run.environment.insert("REALM_LEDGER_KAFKA__TOPICS".to_owned(), "one,two".to_owned());
    run.environment.insert("REALM_LEDGER_EVIDENCE__ORIGIN".to_owned(), "ledger.example.com".to_owned());
    let refused = run.execute();
    assert_eq!(refused.exit, Exit::Failed);
    assert!(refused.messages.contains("{topic}"), "{}", refused.messages);
}
