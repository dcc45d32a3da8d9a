//! `verify --bundle` and `verify --tlog`, as a partner uses them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use realm_ledger::Exit;
use serde::Deserialize;
use serde_json::Value;

use crate::world::{Run, Said, World};

const CASES: &str = include_str!("../../../../tests/fixtures/bundles/cases.ndjson");

const LOGS: &str = include_str!("../../../../tests/fixtures/tlogs/cases.ndjson");

#[derive(Deserialize)]
struct LogCase {
    name: String,
    exit: u8,
    keys: Vec<String>,
    pinned: Option<String>,
    files: BTreeMap<String, String>,
}

impl LogCase {
    fn judged(&self, world: &World) -> Said {
        let directory = world.path().join("log");
        fs::create_dir_all(&directory).unwrap();
        for (path, base64) in &self.files {
            let path = directory.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, STANDARD.decode(base64).unwrap()).unwrap();
        }
        let keys: Vec<String> = self.keys.iter().map(|key| format!(" --key {key}")).collect();
        let pinned = self.pinned.as_ref().map(|note| world.file("pinned.txt", note));
        let pinned = pinned.map_or_else(String::new, |path| format!(" --pinned {}", path.display()));
        Run::of(&format!("verify --tlog {}{}{pinned}", directory.display(), keys.concat())).said()
    }
}

#[derive(Deserialize)]
struct Case {
    name: String,
    exit: u8,
    keys: Vec<String>,
    pinned: Option<String>,
    bundle: String,
}

fn cases() -> impl Iterator<Item = Case> {
    CASES.lines().map(|line| serde_json::from_str(line).unwrap())
}

fn case(name: &str) -> Case {
    cases().find(|case| case.name == name).unwrap()
}

impl Case {
    fn files(&self, world: &World) -> (PathBuf, Option<PathBuf>) {
        let pinned = self.pinned.as_ref().map(|note| world.file("pinned.txt", note));
        (world.file("bundle", &self.bundle), pinned)
    }

    fn judged(&self, world: &World, more: &str) -> Said {
        let (bundle, pinned) = self.files(world);
        let keys: Vec<String> = self.keys.iter().map(|key| format!(" --key {key}")).collect();
        let pinned = pinned.map_or_else(String::new, |path| format!(" --pinned {}", path.display()));
        Run::of(&format!("verify --bundle {}{}{pinned}{more}", bundle.display(), keys.concat())).said()
    }
}

#[test]
fn published_bundles_have_their_exit_codes_and_messages() {
    let world = World::new();
    for case in cases() {
        let said = case.judged(&world, "");
        assert_eq!(said.exit.code(), case.exit, "{}: {}", case.name, said.messages);
        let verdict =
            ["valid: ", "error: the bundle cannot be judged\n", "", "error: the bundle is not valid\n"]
                [usize::from(case.exit)];
        assert!(said.messages.starts_with(verdict), "{}: {}", case.name, said.messages);
        assert_eq!(said.messages.contains("caused by: "), case.exit != 0, "{}: {}", case.name, said.messages);
        assert_eq!(said.output.is_empty(), case.exit != 0, "{}: nothing was proven", case.name);
    }
    let dropped = case("first record dropped").judged(&world, "").messages;
    assert!(dropped.contains("caused by: record 1 of the tenant: is not the next one"), "{dropped}");
}

#[test]
fn valid_bundle_reports_what_it_proves() {
    let world = World::new();
    let said = case("whole history").judged(&world, " --client acme");
    let proven: Value = serde_json::from_str(said.done().trim()).unwrap();
    assert_eq!(proven["verdict"], "valid");
    assert_eq!((&proven["clientKey"], &proven["records"]), (&"acme".into(), &7.into()));
    assert_eq!((&proven["origin"], &proven["size"]), (&"ledger.example.com/realm/7".into(), &15.into()));
    assert_eq!(proven["decisionsFollow"], true);
    assert_eq!(proven["installations"][0]["appKey"], "app.one");
    assert_eq!(proven["installations"][0]["pinnedRealm"], "EU");
    assert!(proven["completeUpTo"].as_str().unwrap().ends_with('Z'), "{proven}");
    let partly = case("one app only").judged(&world, "");
    assert!(partly.messages.contains("was not checked"), "{}", partly.messages);
    let absent = case("absence at nothing").judged(&world, "");
    assert!(absent.messages.contains("there is no record of nobody-3"), "{}", absent.messages);
    let pinned = case("goes on from a pinned checkpoint").judged(&world, "").done();
    assert!(pinned.contains(r#""goesOnFromPinned":true"#), "{pinned}");
}

#[test]
fn bundle_of_another_client_is_refused() {
    let said = case("whole history").judged(&World::new(), " --client other");
    assert_eq!(said.exit, Exit::Difference);
    assert!(said.messages.contains("it tells of client key acme, not of other"), "{}", said.messages);
}

#[test]
fn bundle_is_read_from_standard_input() {
    let case = case("whole history");
    let run = Run { input: &case.bundle, ..Run::of(&format!("verify --bundle - --key {}", case.keys[0])) };
    assert!(run.said().done().contains(r#""records":7"#));
}

#[test]
fn non_text_bundle_is_malformed_and_missing_file_fails() {
    let world = World::new();
    let path = world.path().join("bundle");
    fs::write(&path, b"{}\n\xff\n").unwrap();
    let said = Run::of(&format!("verify --bundle {}", path.display())).said();
    assert_eq!(said.exit, Exit::Difference);
    assert!(said.messages.contains("malformed: line 2"), "{}", said.messages);
    let said = Run::of("verify --bundle /nowhere").said();
    assert_eq!(said.exit, Exit::Failed);
    assert!(said.messages.starts_with("error: /nowhere cannot be read"), "{}", said.messages);
    for line in [
        "verify --data-dir d --bundle b",
        "verify --bundle b --key mistyped",
        "verify --bundle b --tlog d",
        "verify --tlog d --client c",
    ] {
        assert_eq!(Run::of(line).said().exit, Exit::Usage, "{line}");
    }
}

#[test]
fn published_logs_have_their_exit_codes_and_messages() {
    for line in LOGS.lines() {
        let case: LogCase = serde_json::from_str(line).unwrap();
        let said = case.judged(&World::new());
        assert_eq!(said.exit.code(), case.exit, "{}: {}", case.name, said.messages);
        assert_eq!(said.messages.contains("caused by: "), case.exit != 0, "{}: {}", case.name, said.messages);
        if case.name == "map with stale heads" {
            assert!(said.messages.contains("is not valid\ncaused by: leaf 14\ncaused by: the map"));
        }
        if case.name == "goes on from a pinned checkpoint" {
            let proven: Value = serde_json::from_str(said.done().trim()).unwrap();
            assert_eq!((&proven["verdict"], &proven["goesOnFromPinned"]), (&"valid".into(), &true.into()));
            assert_eq!((&proven["refused"], &proven["streams"]), (&1.into(), &95.into()), "{proven}");
        }
    }
}
