//! A data directory of each frozen format is opened as it was left, found true, and goes on.

use std::fs;
use std::path::{Path, PathBuf};

use crate::world::{World, execute};

/// Where the directory of the frozen format is, and what it says.
fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/format-7")
}

fn expected(file: &str) -> String {
    fs::read_to_string(fixture().join(file)).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

/// What the program writes into is a copy.
fn world() -> World {
    let world = World::new();
    for name in ["ledger", "ledger.keys"] {
        copy(&fixture().join(name), &world.path().join(name));
    }
    world
}

#[test]
fn directory_of_format_7_is_opened_and_true() {
    let world = world();
    assert_eq!(world.ask("verify").done(), expected("verify.ndjson"), "sizes and roots are for ever");
    let states = world.ask("state --at 2026-06-15T00:00:00Z").done();
    assert_eq!(states, expected("state.ndjson"));
    // Its rows are what this program makes of the log.
    let rebuilt = world.ask("rebuild --check");
    assert_eq!(rebuilt.exit, realm_ledger::Exit::Done, "{}{}", rebuilt.output, rebuilt.messages);
}

#[test]
fn directory_of_format_7_goes_on() {
    let world = world();
    let event = r#"{"id":"after","type":"installed","time":"2026-06-16T00:00:00Z","clientKey":"new","appKey":"com.example.app","endpointRealm":"EU"}"#;
    let more = world.file("more.ndjson", &format!("{event}\n"));
    let import = format!("import {} --local --format json --data-dir", more.display());
    let done = execute(&format!("{import} {}", world.data_dir().display())).done();
    let done: serde_json::Value = serde_json::from_str(&done).unwrap();
    assert_eq!((&done["appended"], &done["refused"]), (&1.into(), &0.into()), "{done}");
    let shards = world.ask("verify").done();
    let size = |shards: &str| -> u64 {
        let sizes = shards.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        sizes.map(|shard| shard["size"].as_u64().unwrap()).sum()
    };
    assert!(size(&shards) > size(&expected("verify.ndjson")), "{shards}");
    let state = world.ask("state new").done();
    assert!(state.contains("\"pinnedRealm\":\"EU\""), "{state}");
    // What was known before is known still.
    let earlier = world.ask("state --at 2026-06-15T00:00:00Z").done();
    assert_eq!(earlier, expected("state.ndjson"));
}
