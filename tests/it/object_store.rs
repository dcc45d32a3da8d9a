//! Backups in a foreign S3 server (moto), looked at by a foreign client (boto3).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use ledger_tests::gateway::Script;
use ledger_tests::tools::printed;
use ledger_tests::{scratch, server};
use serde_json::json;

const SECRET: &str = "canary/of+the/store/secret";
const PLACE: &str = "s3://ledger/eu/backups";

/// A store with an empty bucket.
struct Foreign(Script);

impl Foreign {
    fn start() -> Self {
        Self(Script::verifier("serve_s3.py"))
    }

    /// The objects and their sizes.
    fn objects(&self) -> BTreeMap<String, u64> {
        serde_json::from_value(self.0.order(&json!({ "list": true }))).unwrap()
    }

    fn run(&self, arguments: &str) -> Output {
        let mut command = server::command();
        command.args(arguments.split(' ')).env("AWS_ENDPOINT_URL", &self.0.url);
        command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", SECRET);
        command.output().unwrap()
    }

    fn done(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments}: {}", printed(&output));
        printed(&output)
    }
}

fn import(data: &Path, name: &str, round: u32) {
    let event = |number: u32| {
        let (id, client) = (format!("e-{round}-{number}"), format!("tenant-{round}-{number}"));
        json!({ "id": id, "type": "installed", "time": "2026-03-01T00:00:00Z", "clientKey": client,
                "appKey": "com.example.app", "endpointRealm": "EU" })
        .to_string()
    };
    let events = (0..50).map(event).collect::<Vec<_>>().join("\n");
    let file = data.parent().unwrap().join(name);
    std::fs::write(&file, events).unwrap();
    // Without Kafka, so that there is a journal too.
    let import = ["import", "--local", "--data-dir"];
    let output = server::command().args(import).args([data, &file]).output().unwrap();
    assert!(output.status.success(), "{}", printed(&output));
}

fn exported(data: &Path) -> Vec<u8> {
    let output = server::command().args(["export", "--ndjson", "--data-dir"]).arg(data).output().unwrap();
    assert!(output.status.success(), "{}", printed(&output));
    output.stdout
}

#[test]
fn generations_go_to_a_store_and_come_back_and_damage_there_is_found() {
    let (scratch, foreign) = (scratch::directory(), Foreign::start());
    let at = |name: &str| scratch.path().join(name);
    let (data, dir) = (at("data"), at("backup").display().to_string());
    import(&data, "one", 1);
    let back_up = format!("backup {dir} --data-dir {} --to {PLACE}", data.display());
    foreign.done(&back_up);
    let first = foreign.objects();
    let local = |under: &str| std::fs::read_dir(at("backup").join(under)).unwrap().count();
    assert_eq!(first.len(), local("blobs") + local("generations"), "the same layout: {first:?}");
    assert!(first.contains_key("eu/backups/generations/1.json"), "{first:?}");
    let then = exported(&data);
    import(&data, "two", 2);
    let told = foreign.done(&back_up);
    assert!(told.contains("generation 2 is in s3://ledger/eu/backups"), "{told}");
    assert!(first.keys().all(|object| foreign.objects().contains_key(object)), "what was there stays");
    // Once more, nothing is to be copied.
    let again = foreign.done(&format!("backup {dir} --copy-only --to {PLACE}"));
    assert!(again.contains("0 B are new there"), "{again}");
    foreign.done(&format!("backup {PLACE} --verify"));
    for (generation, expected) in [(" --generation 1", then), ("", exported(&data))] {
        let to = at(&format!("restored{}", generation.len()));
        foreign.done(&format!("restore {PLACE} --data-dir {}{generation}", to.display()));
        assert_eq!(exported(&to), expected, "{generation}");
        assert!(to.join("journal").join("source").exists(), "{generation}");
    }
    // A bit of a table that generation 2 needs.
    let newest = foreign.objects().into_iter().filter(|(object, _)| !first.contains_key(object));
    let blob = newest.map(|(object, _)| object).find(|object| object.contains("/blobs/")).unwrap();
    foreign.0.order(&json!({ "flip": blob }));
    let checked = foreign.run(&format!("backup {PLACE} --verify"));
    let name = blob.rsplit('/').next().unwrap();
    assert!(checked.status.code() == Some(3) && printed(&checked).contains(name), "{}", printed(&checked));
    let refused = foreign.run(&format!("restore {PLACE} --data-dir {}", at("refused").display()));
    assert!(!refused.status.success() && printed(&refused).contains(name), "{}", printed(&refused));
    // What is kept needs what it needs.
    foreign.0.order(&json!({ "remove": blob }));
    foreign.done(&format!("backup {dir} --copy-only --to {PLACE} --keep 1"));
    assert!(!foreign.objects().contains_key("eu/backups/generations/1.json"));
    foreign.done(&format!("restore {PLACE} --data-dir {}", at("kept").display()));
    assert_eq!(exported(&at("kept")), exported(&data));
}

#[test]
fn another_ledger_is_refused_and_the_secret_is_nowhere() {
    let (scratch, foreign) = (scratch::directory(), Foreign::start());
    let at = |name: &str| scratch.path().join(name);
    let mut told = String::new();
    for (name, is_first) in [("one", true), ("two", false)] {
        let data = at(name);
        import(&data, &format!("{name}.ndjson"), 1);
        let dir = at(&format!("{name}.backup"));
        let made =
            foreign.run(&format!("backup {} --data-dir {} --to {PLACE}", dir.display(), data.display()));
        told += &printed(&made);
        assert_eq!(made.status.success(), is_first, "{}", printed(&made));
    }
    assert!(told.contains("of another ledger"), "{told}");
    let nowhere = foreign.run("backup s3://no-such-bucket/x --verify");
    told += &printed(&nowhere);
    assert!(told.contains("NoSuchBucket"), "{told}");
    let all = foreign.0.order(&json!({ "contains": [SECRET, "X-Amz-Signature"] }));
    assert_eq!((all, told.contains(SECRET), told.contains("X-Amz")), (json!(false), false, false), "{told}");
    let without = server::command().args(["backup", PLACE, "--verify"]).output().unwrap();
    assert!(printed(&without).contains("AWS_ACCESS_KEY_ID is not set"), "{}", printed(&without));
}
