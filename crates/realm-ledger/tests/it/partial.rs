//! Answers where not every shard can be asked: from the others, and what is lacking is reported.

use realm_ledger::Exit;

use crate::world::{World, execute, history};

const APP: &str = "com.example.roadmap";

/// A ledger of three shards, the shard of one tenant damaged; and that shard.
fn damaged(client: &str) -> (World, String) {
    let world = World::new();
    let file = world.file("history.ndjson", &(history().join("\n") + "\n"));
    world.ask(&format!("import {} --partitions 3 --partitioner murmur2", file.display())).done();
    let shard = world.shard_of(client);
    std::fs::write(world.data_dir().join("shards").join(&shard).join("CURRENT"), "nothing\n").unwrap();
    (world, shard)
}

fn clients(output: &str) -> Vec<String> {
    let lines = output.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.map(|line| line["clientKey"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn damaged_shard_leaves_the_others_answering() {
    let (world, shard) = damaged("acme.atlassian.net");
    let reported = format!("{shard} could not be asked, what it has is not in the answer: ");
    let all = world.ask("state");
    assert_eq!(all.exit, Exit::Failed, "{}", all.messages);
    assert!(all.messages.contains(&reported), "{}", all.messages);
    assert!(all.messages.contains("files of shard"), "{}", all.messages);
    assert!(!all.messages.contains("try again"), "{}", all.messages);
    let found = clients(&all.output);
    assert!(!found.is_empty() && !found.contains(&"acme.atlassian.net".to_owned()), "{found:?}");
    for client in found {
        let one = world.ask(&format!("explain {client} {APP}"));
        assert_eq!(one.exit, Exit::Done, "{}", one.messages);
    }
    let lost = world.ask("state acme.atlassian.net");
    assert_eq!(lost.exit, Exit::Failed);
    assert!(lost.messages.contains(&reported), "{}", lost.messages);
    assert!(lost.messages.contains("error: not found, but "), "not that it is not there: {}", lost.messages);
    assert_eq!(one_remedy(&lost.messages), format!("move shards/{shard} to shards/{shard}.away"));
}

/// The remedy in the messages, which must be the only one.
fn one_remedy(messages: &str) -> String {
    assert!(!messages.contains("ask again later") && !messages.contains("/readyz"), "{messages}");
    let reported: Vec<&str> = messages.match_indices(".away").map(|(at, _)| &messages[..at]).collect();
    let [before] = reported[..] else { panic!("{messages}") };
    let at = before.rfind("move ").or_else(|| before.rfind("make ")).unwrap();
    format!("{}.away", &before[at..])
}

/// Every command that reads all shards.
const OF_ALL: &[&str] = &[
    "state",
    "drift",
    "windows",
    "split-brain",
    "anomalies",
    "quarantine list",
    "export --ndjson",
    "replay",
    "whatif --policy {\"mode\":\"off\"}",
];

#[test]
fn lists_fail_beside_a_damaged_or_missing_shard() {
    let (world, shard) = damaged("acme.atlassian.net");
    let directory = world.data_dir().join("shards").join(&shard);
    for command in OF_ALL {
        let answer = world.ask(command);
        assert_eq!(answer.exit, Exit::Failed, "{command}: {}", answer.messages);
        assert!(
            answer.messages.contains(&format!("{shard} could not be asked")),
            "{command}: {}",
            answer.messages
        );
    }
    // A compliance list of a directory without one shard would be shorter and look complete.
    std::fs::rename(&directory, world.path().join("elsewhere")).unwrap();
    for command in OF_ALL {
        let answer = world.ask(command);
        assert_eq!(answer.exit, Exit::Failed, "{command}: {}", answer.messages);
        assert!(answer.messages.contains("which is gone"), "{command}: {}", answer.messages);
    }
    let state = world.ask("state");
    assert!(!clients(&state.output).is_empty(), "what is known is printed");
    let (again, verified) = (world.ask("state acme.atlassian.net"), world.ask("verify"));
    for gone in [&again, &verified] {
        assert_eq!(one_remedy(&gone.messages), format!("make an empty directory shards/{shard}.away"));
    }
    assert_eq!((again.exit, verified.exit), (Exit::Failed, Exit::Difference), "{}", verified.messages);
    let file = world.file("more.ndjson", &(history().join("\n") + "\n"));
    let import = world.ask(&format!("import {}", file.display()));
    assert_eq!(import.exit, Exit::Failed, "nothing is begun anew without a word: {}", import.messages);
    assert!(import.messages.contains("which is gone"), "{}", import.messages);
}

/// An older backup of `ledger.json`: shards missing in it would be left out silently.
#[test]
fn older_manifest_gives_no_shorter_list() {
    let world = World::new();
    let file = world.file("history.ndjson", &(history().join("\n") + "\n"));
    let import = format!("import {} --partitions 3 --partitioner murmur2", file.display());
    world.ask(&import).done();
    let manifest = world.data_dir().join("ledger.json");
    let good = std::fs::read_to_string(&manifest).unwrap();
    let fewer = good.replace("\"partitions\": 3", "\"partitions\": 2").replace(",\n        2", "");
    let refused = |reported: &str| {
        for command in OF_ALL.iter().chain(&["state nosuch", "state acme.atlassian.net", &import]) {
            let answer = world.ask(command);
            assert_eq!((answer.exit, answer.output.as_str()), (Exit::Failed, ""), "{command}");
            assert!(answer.messages.contains(reported), "{command}: {}", answer.messages);
        }
        let verified = world.ask("verify");
        assert_eq!(verified.exit, Exit::Difference, "{}", verified.messages);
        assert!(verified.messages.contains(reported), "{}", verified.messages);
    };
    std::fs::write(&manifest, fewer).unwrap();
    refused("ledger.json does not know shard realm.lifecycle/2");
    std::fs::remove_file(&manifest).unwrap();
    refused("ledger.json is missing");
    std::fs::write(&manifest, good).unwrap();
    world.ask("verify").done();
}

#[test]
fn directory_left_behind_reports_no_absence() {
    let world = World::with(&history());
    assert_eq!(world.ask("state").exit, Exit::Done);
    std::fs::write(world.data_dir().join("shards/realm.lifecycle/0.behind"), "").unwrap();
    for command in ["state", "drift", "state nobody", &format!("preview nobody {APP}")] {
        let answer = world.ask(command);
        assert_eq!(answer.exit, Exit::Failed, "{command}: {}", answer.messages);
        assert!(
            answer.messages.contains("realm.lifecycle/0 could not be asked"),
            "{command}: {}",
            answer.messages
        );
    }
    assert_eq!(world.ask("state acme.atlassian.net").exit, Exit::Done, "what is there is answered");
}

#[test]
fn verify_names_the_file_of_a_flipped_bit() {
    let world = World::with(&history());
    let shard = world.data_dir().join("shards/realm.lifecycle/0");
    let files = || std::fs::read_dir(&shard).unwrap().map(|entry| entry.unwrap().path());
    // A finished import does not need the write-ahead log.
    for log in files().filter(|path| path.extension() == Some("log".as_ref())) {
        std::fs::write(log, "").unwrap();
    }
    world.ask("verify").done();
    let table = files()
        .filter(|path| path.extension() == Some("sst".as_ref()))
        .max_by_key(|path| path.metadata().unwrap().len());
    let table = table.unwrap();
    let mut bytes = std::fs::read(&table).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&table, bytes).unwrap();
    let verified = world.ask("verify");
    assert_eq!(verified.exit, Exit::Difference, "{}", verified.messages);
    let name = table.file_name().unwrap().to_string_lossy().into_owned();
    assert!(verified.messages.contains(&name), "{name}: {}", verified.messages);
}

/// One bad block: the shard opens, and the list reads the block later.
#[test]
fn unreadable_block_fails_its_shard_only() {
    let world = World::new();
    let file = world.file("history.ndjson", &(history().join("\n") + "\n"));
    world.ask(&format!("import {} --partitions 3 --partitioner murmur2", file.display())).done();
    let shard = world.shard_of("acme.atlassian.net");
    let others: Vec<_> = {
        let of_shard = |client: &String| world.shard_of(client) == shard;
        clients(&world.ask("state").output).into_iter().filter(|client| !of_shard(client)).collect()
    };
    let files = std::fs::read_dir(world.data_dir().join("shards").join(&shard)).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let mut unread = 0;
    for table in files.filter(|path| path.extension() == Some("sst".as_ref())) {
        let good = std::fs::read(&table).unwrap();
        let mut bad = good.clone();
        bad[40] ^= 1;
        std::fs::write(&table, bad).unwrap();
        for command in ["state", "drift", "state --at 2026-03-02T00:00:00Z"] {
            let answer = world.ask(command);
            if answer.exit == Exit::Done {
                continue;
            }
            assert!(answer.messages.contains(&shard), "{command}: {}", answer.messages);
            if command != "drift" {
                assert_eq!(clients(&answer.output), others, "{command}: {}", answer.messages);
            }
            if answer.messages.contains("does not read") {
                unread += 1;
                assert!(answer.messages.contains(".away and restart"), "{command}: {}", answer.messages);
                assert!(answer.messages.contains("(shard-damaged)"), "{command}: {}", answer.messages);
            }
        }
        std::fs::write(&table, good).unwrap();
    }
    assert!(unread > 0, "no table was read in vain");
}

#[test]
fn no_readable_shard_fails_the_command() {
    let world = World::with(&history());
    std::fs::write(world.data_dir().join("shards/realm.lifecycle/0/CURRENT"), "nothing\n").unwrap();
    let result = execute(&format!("state --data-dir {}", world.data_dir().display()));
    assert_eq!((result.exit, result.output.as_str()), (Exit::Failed, ""), "{}", result.messages);
}
