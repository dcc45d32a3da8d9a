//! `import` through a journal does and reports what the plain import does.

use std::path::Path;
use std::process::Output;

use ledger_tests::kafka;
use ledger_tests::scratch;
use ledger_tests::server::{self, Server, Setup};
use serde_json::Value;

use crate::import::program;

/// Three lines that are no events, of six.
const LINES: &str = concat!(
    r#"{"id":"1","type":"enabled","time":"2026-01-02T00:00:00Z","clientKey":"a","appKey":"app"}"#,
    "\n\n{\n",
    r#"{"id":"2","type":"enabled","time":"2099-01-01T00:00:00Z","clientKey":"a","appKey":"app","sharedSecret":"canary"}"#,
    "\n",
    r#"{"id":"3","type":"enabled","time":"2026-01-01T00:00:00Z","clientKey":"b","appKey":"app"}"#,
    "\n",
    r#"{"id":"4","type":"enabbled","time":"2026-01-03T00:00:00Z","clientKey":"a","appKey":"app"}"#,
    "\n",
);

fn run(file: &Path, data_dir: &Path, flags: &[&str]) -> Output {
    let arguments = ["import", "--partitions", "3", "--partitioner", "murmur2", "--format", "json"];
    program(&arguments).arg(file).arg("--data-dir").arg(data_dir).args(flags).output().unwrap()
}

fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", server::stderr(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Reason, path and body of what is in quarantine, in any order.
fn quarantine(data_dir: &Path) -> Vec<String> {
    let list =
        program(&["quarantine", "list", "--format", "json", "--data-dir"]).arg(data_dir).output().unwrap();
    let listed = String::from_utf8(list.stdout).unwrap();
    let shown = |line: &str| {
        let item: Value = serde_json::from_str(line).unwrap();
        format!("{} {} {}", item["reason"], item["path"], item["body"])
    };
    let mut all: Vec<String> = listed.lines().map(shown).collect();
    all.sort();
    all
}

#[test]
fn refused_lines_are_in_quarantine_and_reported_as_by_the_plain_import() {
    let scratch = scratch::directory();
    let [file, plain, local] = ["history.ndjson", "plain", "local"].map(|name| scratch.path().join(name));
    std::fs::write(&file, LINES).unwrap();
    let of_plain = report(&run(&file, &plain, &[]));
    let output = run(&file, &local, &["--local"]);
    assert_eq!(report(&output), of_plain);
    assert_eq!(
        (&of_plain["refused"], &of_plain["raised"], &of_plain["lines"]),
        (&3.into(), &0.into(), &6.into())
    );
    assert!(server::stderr(&output).contains("quarantine list"), "{}", server::stderr(&output));
    let refused = quarantine(&local);
    assert_eq!(refused, quarantine(&plain));
    assert!(refused.len() == 3 && !refused.concat().contains("canary"), "{refused:?}");
    let journal = std::fs::read_to_string(local.join("journal").join(format!("{:020}.ndjson", 1))).unwrap();
    assert!(journal.contains("; line 4 of history.ndjson") && !journal.contains("canary"), "{journal}");

    let again = report(&run(&file, &local, &[]));
    let counts = ["appended", "repeated", "refused"].map(|name| again[name].as_u64().unwrap());
    assert_eq!(counts, [0, 5, 0], "what is recorded, or refused, is not again");
    assert_eq!(quarantine(&local), refused);

    // The reading of it beforehand says the same, and so does a list, whose rows are the lines.
    let [of_plain, of_local] =
        [&["--check"][..], &["--check", "--local"]].map(|flags| report(&run(&file, &local, flags)));
    assert_eq!(of_local, of_plain);
    assert_eq!(of_local["refused"], 3);
    let list = scratch.path().join("list.csv");
    std::fs::write(&list, "clientKey,appKey,realm,installedAt\nx,app,EU,2099-01-01\ny,app,EU,2026-01-01\n")
        .unwrap();
    let installations = ["--format", "installations"];
    let listed = |flags: &[&str]| {
        let arguments = ["import", "--data-dir", local.to_str().unwrap(), list.to_str().unwrap()];
        program(&arguments).args(installations).args(flags).output().unwrap()
    };
    let checked: Value = serde_json::from_slice(&listed(&["--check"]).stdout).unwrap();
    assert_eq!(checked["refusals"][0]["firstLines"], serde_json::json!([2, 2]), "{checked}");
    let said = server::stderr(&listed(&[]));
    assert!(said.contains("2 events appended") && said.contains("2 refused"), "{said}");
    let segment = std::fs::read_to_string(local.join("journal").join(format!("{:020}.ndjson", 1))).unwrap();
    assert!(segment.contains("; line 2 of list.csv"), "{segment}");
    server::verified(&local, &[]);
}

#[test]
fn beginning_that_is_refused_stops_an_import_before_anything_is_in_the_journal() {
    let scratch = scratch::directory();
    let [file, local] = ["bad.ndjson", "local"].map(|name| scratch.path().join(name));
    std::fs::write(&file, LINES.repeat(3)).unwrap();
    let stopped = run(&file, &local, &["--local"]);
    let said = server::stderr(&stopped);
    assert!(
        stopped.status.code() == Some(1) && said.contains("9 of the first 15 lines would be refused"),
        "{said}"
    );
    assert!(!local.join("journal").exists(), "nothing is there");
    assert_eq!(run(&file, &local, &["--local", "--check"]).status.code(), Some(1));
    assert_eq!(report(&run(&file, &local, &["--local", "--accept-refusals"]))["refused"], 9);
    // What means nothing there is refused, whether the directory or a flag says that it is local.
    for flags in
        [&["--local", "--topic", "x"][..], &["--brokers", "x:1"], &["--source", "x"], &["--topic", "x"]]
    {
        assert_eq!(run(&file, &local, flags).status.code(), Some(2), "{flags:?}");
    }
}

#[test]
fn times_that_go_back_are_reported_and_sorted() {
    let scratch = scratch::directory();
    let [dump, sorted] = ["dump", "sorted"].map(|name| scratch.path().join(name));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/field/import/by-tenant.ndjson");
    let said = server::stderr(&run(&file, &dump, &["--local"]));
    assert!(said.contains("events were recorded later than the file says, by up to"), "{said}");
    let output = run(&file, &sorted, &["--local", "--sort"]);
    assert_eq!((&report(&output)["raised"], &report(&output)["appended"]), (&0.into(), &12.into()));
    assert!(!server::stderr(&output).contains("later than the file says"), "{}", server::stderr(&output));
}

#[test]
fn refused_lines_of_a_journal_are_in_quarantine_too_where_it_is_published_to() {
    let (cluster, scratch) = (kafka::shared(), scratch::directory());
    let [file, local, moved] = ["history.ndjson", "local", "moved"].map(|name| scratch.path().join(name));
    std::fs::write(&file, LINES).unwrap();
    report(&run(&file, &local, &["--local"]));
    let topic = kafka::unique_name("refused");
    cluster.create_topic(&topic, 3, &[("message.timestamp.type", "LogAppendTime")]);
    let published = program(&["publish", "--brokers", cluster.bootstrap(), "--topic", &topic])
        .args(["--partitioner", "murmur2", "--journal"])
        .arg(&local)
        .output()
        .unwrap();
    assert!(published.status.success(), "{}", server::stderr(&published));
    let server = Server::start(&Setup::new(cluster, topic, moved.clone()), &scratch.path().join("log"));
    server.wait_until_ready(3);
    server.drain();
    assert_eq!(quarantine(&moved), quarantine(&local));
    assert_eq!(quarantine(&moved).len(), 3);
}
