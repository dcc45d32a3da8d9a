//! `verify --bundle` and `verify --tlog`, as a partner uses them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use realm_ledger::Exit;
use serde::Deserialize;
use serde_json::Value;

use crate::world::{Run, RunResult, World};

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
    fn judged(&self, world: &World) -> RunResult {
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
        Run::new(&format!("verify --tlog {}{}{pinned}", directory.display(), keys.concat())).execute()
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

    fn judged(&self, world: &World, more: &str) -> RunResult {
        let (bundle, pinned) = self.files(world);
        let keys: Vec<String> = self.keys.iter().map(|key| format!(" --key {key}")).collect();
        let pinned = pinned.map_or_else(String::new, |path| format!(" --pinned {}", path.display()));
        Run::new(&format!("verify --bundle {}{}{pinned}{more}", bundle.display(), keys.concat())).execute()
    }
}

#[test]
fn published_bundles_have_their_exit_codes_and_messages() {
    let world = World::new();
    for case in cases() {
        let result = case.judged(&world, "");
        assert_eq!(result.exit.code(), case.exit, "{}: {}", case.name, result.messages);
        let verdict =
            ["valid: ", "error: the bundle cannot be judged\n", "", "error: the bundle is not valid\n"]
                [usize::from(case.exit)];
        assert!(result.messages.starts_with(verdict), "{}: {}", case.name, result.messages);
        assert_eq!(
            result.messages.contains("caused by: "),
            case.exit != 0,
            "{}: {}",
            case.name,
            result.messages
        );
        assert_eq!(result.output.is_empty(), case.exit != 0, "{}: nothing was proven", case.name);
    }
    let dropped = case("first record dropped").judged(&world, "").messages;
    assert!(dropped.contains("caused by: record 1 of the tenant: is not the next one"), "{dropped}");
}

#[test]
fn valid_bundle_reports_what_it_proves() {
    let world = World::new();
    let result = case("whole history").judged(&world, " --client acme");
    let proven: Value = serde_json::from_str(result.done().trim()).unwrap();
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

/// Regression: the bundle was called invalid for it.
#[test]
fn pinned_file_that_is_no_checkpoint_is_named() {
    let world = World::new();
    let case = case("goes on from a pinned checkpoint");
    let note = case.pinned.clone().unwrap();
    let text = note.split("\n\n").next().unwrap();
    let log = || serde_json::from_str::<LogCase>(LOGS.lines().next().unwrap()).unwrap();
    for garbage in ["", "garbage\n", text, &note.replacen('\n', "\nfar", 1)] {
        let pinned = Some(garbage.to_owned());
        let of_bundle = Case { pinned: pinned.clone(), ..self::case(&case.name) }.judged(&world, "");
        let of_log = LogCase { pinned, ..log() }.judged(&world);
        for result in [of_bundle, of_log] {
            assert_eq!(result.exit, Exit::Failed, "{garbage}: {}", result.messages);
            assert!(result.messages.contains("pinned.txt is not a signed checkpoint"), "{}", result.messages);
            assert!(!result.messages.contains("bundle"), "{}", result.messages);
        }
    }
}

#[test]
fn bundle_of_another_client_is_refused() {
    let result = case("whole history").judged(&World::new(), " --client other");
    assert_eq!(result.exit, Exit::Difference);
    assert!(result.messages.contains("it tells of client key acme, not of other"), "{}", result.messages);
}

#[test]
fn bundle_is_read_from_standard_input() {
    let case = case("whole history");
    let run = Run { input: &case.bundle, ..Run::new(&format!("verify --bundle - --key {}", case.keys[0])) };
    assert!(run.execute().done().contains(r#""records":7"#));
}

#[test]
fn non_text_bundle_is_malformed_and_missing_file_fails() {
    let world = World::new();
    let path = world.path().join("bundle");
    fs::write(&path, b"{}\n\xff\n").unwrap();
    let result = Run::new(&format!("verify --bundle {}", path.display())).execute();
    assert_eq!(result.exit, Exit::Difference);
    assert!(result.messages.contains("malformed: line 2"), "{}", result.messages);
    let result = Run::new("verify --bundle /nowhere").execute();
    assert_eq!(result.exit, Exit::Failed);
    assert!(result.messages.starts_with("error: /nowhere cannot be read"), "{}", result.messages);
    for line in [
        "verify --data-dir d --bundle b",
        "verify --bundle b --key mistyped",
        "verify --bundle b --tlog d",
        "verify --tlog d --client c",
    ] {
        assert_eq!(Run::new(line).execute().exit, Exit::Usage, "{line}");
    }
}

#[test]
fn published_logs_have_their_exit_codes_and_messages() {
    for line in LOGS.lines() {
        let case: LogCase = serde_json::from_str(line).unwrap();
        let result = case.judged(&World::new());
        assert_eq!(result.exit.code(), case.exit, "{}: {}", case.name, result.messages);
        assert_eq!(
            result.messages.contains("caused by: "),
            case.exit != 0,
            "{}: {}",
            case.name,
            result.messages
        );
        if case.name == "map with stale heads" {
            assert!(result.messages.contains("is not valid\ncaused by: leaf 14\ncaused by: the map"));
        }
        if case.name == "goes on from a pinned checkpoint" {
            let proven: Value = serde_json::from_str(result.done().trim()).unwrap();
            assert_eq!((&proven["verdict"], &proven["goesOnFromPinned"]), (&"valid".into(), &true.into()));
            assert_eq!((&proven["refused"], &proven["streams"]), (&1.into(), &95.into()), "{proven}");
        }
    }
}
