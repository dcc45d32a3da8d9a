//! Answers where not every shard can be asked: from the others, and what is lacking is told.

use realm_ledger::Exit;

use crate::world::{World, history, said};

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
fn a_shard_that_does_not_open_leaves_the_others_answering() {
    let (world, shard) = damaged("acme.atlassian.net");
    let told = format!("{shard} could not be asked, what it has is not in the answer: ");
    let all = world.ask("state");
    assert_eq!(all.exit, Exit::Done, "{}", all.messages);
    assert!(all.messages.contains(&told), "{}", all.messages);
    let found = clients(&all.output);
    assert!(!found.is_empty() && !found.contains(&"acme.atlassian.net".to_owned()), "{found:?}");
    for client in found {
        let one = world.ask(&format!("explain {client} {APP}"));
        assert_eq!(one.exit, Exit::Done, "{}", one.messages);
    }
    let lost = world.ask("state acme.atlassian.net");
    assert_eq!(lost.exit, Exit::Failed);
    assert!(lost.messages.contains(&told), "{}", lost.messages);
    assert!(lost.messages.contains("error: not found, but "), "not that it is not there: {}", lost.messages);
}

#[test]
fn with_no_shard_left_there_is_nobody_to_ask() {
    let world = World::with(&history());
    std::fs::write(world.data_dir().join("shards/realm.lifecycle/0/CURRENT"), "nothing\n").unwrap();
    let said = said(&format!("state --data-dir {}", world.data_dir().display()));
    assert_eq!((said.exit, said.output.as_str()), (Exit::Failed, ""), "{}", said.messages);
}
