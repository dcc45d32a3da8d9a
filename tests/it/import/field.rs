//! Files as partners have them: packed, with a mark, in the wrong format or order, with a wrong clock.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use ledger_store::{DataDir, FamilyDigest, ShardId, StoreOptions};
use ledger_tests::server::stderr;
use serde_json::Value;

use super::*;

const TOPIC: &str = "realm.lifecycle";

fn fixture(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/field/import").join(name);
    assert!(path.exists(), "{}", path.display());
    path
}

/// Every byte of every shard.
pub(super) fn digests(data_dir: &Path) -> Vec<Vec<FamilyDigest>> {
    let data = DataDir::open_existing_read_only(data_dir, StoreOptions::default()).unwrap();
    let of = |partition: u32| {
        let reader = data.read_shard(&ShardId { topic: TOPIC.to_owned(), partition }).unwrap();
        reader.snapshot().digests().unwrap()
    };
    (0..u32::try_from(TOPIC_PARTITIONS).unwrap()).map(of).collect()
}

pub(super) fn import_with(file: &Path, data_dir: &Path, flags: &[&str]) -> Output {
    program(&["import", "--partitions", "3", "--partitioner", "murmur2", "--source", "history"])
        .args(["--topic", TOPIC])
        .arg(file)
        .arg("--data-dir")
        .arg(data_dir)
        .args(flags)
        .output()
        .unwrap()
}

fn imported(file: &Path, data_dir: &Path, flags: &[&str]) -> String {
    let output = import_with(file, data_dir, flags);
    assert!(output.status.success(), "{}: {}", file.display(), stderr(&output));
    stderr(&output)
}

fn json(args: &[&str]) -> Vec<Value> {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn foreign_formats_are_refused_before_writing() {
    let scratch = scratch::directory();
    let data_dir = scratch.path().join("ledger");
    for (name, what, command) in [
        ("history-pretty.json", "values span several lines", "jq -c . "),
        ("history-array.json", "a JSON array", "jq -c '.[]' "),
        ("history-array-lines.json", "a JSON array", "jq -c '.[]' "),
        (
            "packed-array.json.gz",
            "a JSON array",
            "packed-array.json.gz > unpacked`; then `jq -c '.[]' unpacked`",
        ),
        ("history-envelope.json", "holds the events in an array", "jq -c '.events[]' "),
        ("history-strings.ndjson", "JSON inside JSON strings", "jq -c fromjson "),
        ("history-utf16.ndjson", "UTF-16 (little-endian)", "iconv -f UTF-16LE -t UTF-8 "),
        ("history-utf16be.ndjson", "UTF-16 (big-endian)", "iconv -f UTF-16BE -t UTF-8 "),
        ("history.csv", "CSV", "csv.DictReader"),
        ("history.ndjson.bz2", "bzip2", "bzip2 -dc "),
        ("history.ndjson.xz", "xz", "xz -dc "),
        ("history.zip", "a zip archive", "unzip -p "),
        ("dump.sql", "an SQL dump", "as JSON"),
        ("login.html", "an HTML page", "error page"),
        ("console-consumer.txt", "something before the JSON", "sed 's/^[^{]*//' "),
    ] {
        let file = fixture(name);
        let publish = ["publish", file.to_str().unwrap(), "--brokers", "127.0.0.1:1", "--topic", "t"];
        for output in
            [import_with(&file, &data_dir, &[]), import_with(&file, &data_dir, &["--check"]), run(&publish)]
        {
            let messages = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{name}: {messages}");
            assert!(
                messages.contains(&format!("it looks like {what}")) || messages.contains(what),
                "{name}: {messages}"
            );
            assert!(messages.contains(command), "{name}: {messages}");
            assert!(!data_dir.exists(), "{name}: something was written");
        }
        if name != "history.csv" {
            let output =
                run(&["reconcile", file.to_str().unwrap(), "--data-dir", data_dir.to_str().unwrap()]);
            assert_eq!(output.status.code(), Some(1), "{name}");
            assert!(stderr(&output).contains(what), "{name}: {}", stderr(&output));
        }
    }
}

#[test]
fn packed_file_is_the_same_import() {
    let scratch = scratch::directory();
    let plain = scratch.path().join("plain");
    imported(&fixture("history.ndjson"), &plain, &[]);
    let expected = digests(&plain);
    let wrappings = ["history-marked.ndjson", "history.ndjson.gz", "history.ndjson.zst"];
    for name in wrappings {
        let data_dir = scratch.path().join(name);
        imported(&fixture(name), &data_dir, &[]);
        assert_eq!(digests(&data_dir), expected, "{name}");
        // In every order: nothing more is appended.
        for other in wrappings.into_iter().chain(["history.ndjson"]) {
            let messages = imported(&fixture(other), &data_dir, &[]);
            assert!(
                messages.contains("12 lines: 12 taken before, 0 events appended"),
                "{name}, {other}: {messages}"
            );
        }
        assert_eq!(digests(&data_dir), expected, "{name}");
    }
    for name in wrappings {
        let data_dir = scratch.path().join(format!("from standard input: {name}"));
        let mut child =
            program(&["import", "-", "--partitions", "3", "--source", "history", "--topic", TOPIC])
                .args(["--partitioner", "murmur2"])
                .arg("--data-dir")
                .arg(&data_dir)
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
        child.stdin.take().unwrap().write_all(&std::fs::read(fixture(name)).unwrap()).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(digests(&data_dir), expected, "{name} from standard input");
    }
    // The source name of a packed file is that of its content.
    let data_dir = scratch.path().join("named");
    for (name, taken_before) in [("history.ndjson", 0), ("history.ndjson.gz", 12), ("history.ndjson.zst", 12)]
    {
        let output = run(&[
            "import",
            fixture(name).to_str().unwrap(),
            "--data-dir",
            data_dir.to_str().unwrap(),
            "--partitions",
            "3",
            "--partitioner",
            "murmur2",
        ]);
        assert!(
            stderr(&output).contains(&format!("12 lines: {taken_before} taken before")),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn truncated_packed_file_is_refused_before_recording() {
    let scratch = scratch::directory();
    for name in ["history.ndjson.gz", "history.ndjson.zst"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        let file = scratch.path().join(name);
        std::fs::write(&file, &whole[..whole.len() - 5]).unwrap();
        let data_dir = scratch.path().join("ledger");
        let output = import_with(&file, &data_dir, &[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("data is cut off"), "{}", stderr(&output));
        assert!(!data_dir.exists(), "{name}: something was written");
    }
}

#[test]
fn too_many_refused_lines_stop_an_import_before_recording() {
    let scratch = scratch::directory();
    let (file, data_dir) = (scratch.path().join("events.ndjson"), scratch.path().join("ledger"));
    let event = |number: u32, kind: &str| {
        format!(
            "{{\"id\":\"{number}\",\"type\":\"{kind}\",\"time\":\"2026-01-01T00:00:00Z\",\
             \"clientKey\":\"tenant-{number}\",\"appKey\":\"a\"}}\n"
        )
    };
    let text = |refused: u32, lines: u32| -> String {
        (0..lines)
            .map(|number| event(number, if number < refused { "enabbled" } else { "enabled" }))
            .collect()
    };
    for (refused, lines) in [(5, 499), (101, 10_000), (6_000, 30_000)] {
        std::fs::write(&file, text(refused, lines)).unwrap();
        let output = import_with(&file, &data_dir, &[]);
        let looked_at = lines.min(10_000);
        let expected =
            format!("{refused} of the first {looked_at} lines would be refused; nothing was recorded");
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(&expected), "{}", stderr(&output));
        assert!(stderr(&output).contains("unsupported-type at type"), "{}", stderr(&output));
        assert!(stderr(&output).contains("--accept-refusals"), "{}", stderr(&output));
        let data = DataDir::open_existing_read_only(&data_dir, StoreOptions::default()).unwrap();
        assert_eq!(data.shards().unwrap(), [], "{refused} of {lines}: something was recorded");
        let output = import_with(&file, &data_dir, &["--check"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("an import stops before"), "{}", stderr(&output));
    }
    for (refused, lines, flags) in
        [(4, 50, &[][..]), (5, 500, &[]), (100, 10_001, &[]), (101, 10_000, &["--accept-refusals"])]
    {
        std::fs::write(&file, text(refused, lines)).unwrap();
        let data_dir = scratch.path().join(format!("{refused}-of-{lines}"));
        let shown = imported(&file, &data_dir, flags);
        assert!(shown.contains(&format!("{refused} refused")), "{shown}");
        assert_eq!(heads(&data_dir, TOPIC).iter().sum::<u64>(), u64::from(lines));
    }
    // A file grown by one refused line is still the same file.
    std::fs::write(&file, text(4, 50) + &event(50, "enabbled")).unwrap();
    let shown = imported(&file, &scratch.path().join("4-of-50"), &[]);
    assert!(shown.contains("50 taken before, 0 events appended (0 late), 0 repeated, 1 refused"), "{shown}");
}

#[test]
fn wrong_clock_line_is_refused_without_moving_recorded_time() {
    let scratch = scratch::directory();
    let data_dir = scratch.path().join("ledger");
    imported(&fixture("one-wrong-clock.ndjson"), &data_dir, &[]);
    let data_dir = data_dir.to_str().unwrap();
    let refused = json(&["quarantine", "list", "--data-dir", data_dir, "--format", "json"]);
    let facts = |item: &Value| {
        let text = |name: &str| item[name].as_str().unwrap().to_owned();
        (item["source"]["offset"].as_u64().unwrap(), text("reason"), text("path"))
    };
    let facts: Vec<_> = refused.iter().map(facts).collect();
    assert_eq!(facts, [(3, "time-in-future".to_owned(), "recordedAt".to_owned())]);
    for client in ["acme.atlassian.net", "birch.atlassian.net", "jira:7f1c"] {
        let records = json(&["log", client, "--data-dir", data_dir, "--format", "json"]);
        assert!(!records.is_empty());
        for record in records {
            let recorded = record["recordedAt"].as_str().unwrap();
            assert!(recorded.starts_with("2026-01-"), "{client}: {record}");
        }
    }
}

#[test]
fn array_on_a_line_is_refused() {
    let scratch = scratch::directory();
    let (file, data_dir) = (scratch.path().join("events.ndjson"), scratch.path().join("ledger"));
    let text = std::fs::read_to_string(fixture("history.ndjson")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    std::fs::write(&file, format!("{}\n[{}]\n{}\n", lines[0], lines[1], lines[2..].join("\n"))).unwrap();
    imported(&file, &data_dir, &[]);
    let refused = json(&["quarantine", "list", "--data-dir", data_dir.to_str().unwrap(), "--format", "json"]);
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0]["reason"], "undecodable", "{}", refused[0]);
    assert_eq!(refused[0].get("path"), None, "{}", refused[0]);
}

#[test]
fn dump_sorted_by_tenant_is_explained_and_sortable() {
    let scratch = scratch::directory();
    let [dump, sorted, plain] = ["dump", "sorted", "plain"].map(|name| scratch.path().join(name));
    let shown = imported(&fixture("by-tenant.ndjson"), &dump, &[]);
    assert!(shown.contains("events were recorded later than the file says, by up to"), "{shown}");
    assert!(shown.contains("--sort"), "{shown}");

    let shown = imported(&fixture("by-tenant.ndjson"), &sorted, &["--sort"]);
    assert!(!shown.contains("later than the file says"), "{shown}");
    imported(&fixture("history.ndjson"), &plain, &[]);
    assert_eq!(digests(&sorted), digests(&plain), "not the import of the sorted file");
    assert_eq!(std::fs::read_dir(&sorted).unwrap().count(), std::fs::read_dir(&plain).unwrap().count());

    // The sorted file is the same import, the unsorted one is not.
    let shown = imported(&fixture("by-tenant.ndjson"), &sorted, &["--sort"]);
    assert!(shown.contains("12 taken before, 0 events appended"), "{shown}");
    imported(&fixture("history.ndjson"), &sorted, &[]);
    let output = import_with(&fixture("by-tenant.ndjson"), &sorted, &[]);
    assert!(stderr(&output).contains("are not those imported before"), "{}", stderr(&output));

    // It can grow by later lines only.
    let line = |id: &str, day: u32| {
        format!(
            "{{\"id\":\"{id}\",\"type\":\"enabled\",\"time\":\"2026-01-{day:02}T00:00:00Z\",\
             \"clientKey\":\"acme.atlassian.net\",\"appKey\":\"com.example.app\"}}\n"
        )
    };
    let grown = scratch.path().join("grown.ndjson");
    let by_tenant = std::fs::read_to_string(fixture("by-tenant.ndjson")).unwrap();
    std::fs::write(&grown, format!("{}{by_tenant}{}", line("later-2", 21), line("later-1", 20))).unwrap();
    let shown = imported(&grown, &sorted, &["--sort"]);
    assert!(shown.contains("14 lines: 12 taken before, 2 events appended (0 late)"), "{shown}");
    std::fs::write(&grown, format!("{by_tenant}{}{}", line("earlier", 1), line("x", 20))).unwrap();
    let before = digests(&sorted);
    let output = import_with(&grown, &sorted, &["--sort"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("grow by lines that are later"), "{}", stderr(&output));
    assert_eq!(digests(&sorted), before, "a file whose beginning differs was taken");
}

#[test]
fn import_check_reports_and_writes_nothing() {
    let scratch = scratch::directory();
    let (file, data_dir) = (scratch.path().join("events.ndjson"), scratch.path().join("ledger"));
    let mut text = std::fs::read_to_string(fixture("by-tenant.ndjson")).unwrap();
    let first = text.lines().next().unwrap().to_owned();
    let conflict = text.lines().nth(1).unwrap().replace("EU", "DE");
    let ahead = first.replace("2026-01-01", "2206-01-01");
    text.extend(["\n", &first, "\n", &conflict, "\nno event\n", &ahead, "\n"]);
    std::fs::write(&file, &text).unwrap();
    let check = |flags: &[&str]| import_with(&file, &data_dir, &[flags, &["--check"]].concat());
    let output = check(&["--format", "json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("--sort"), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = serde_json::json!({
        "lines": 17, "blankLines": 1, "events": 12, "repeated": 1, "refused": 3,
        "types": {"data-located": 1, "descriptor-published": 1, "disabled": 1, "enabled": 1, "installed": 4,
                  "migration-committed": 1, "migration-scheduled": 1, "uninstalled": 2},
        "apps": {"com.example.app": 12}, "realms": {"EU": 2, "GLOBAL": 2, "US": 5}, "tenants": 3,
        "firstRecorded": "2026-01-01T08:00:00.000Z", "lastRecorded": "2026-01-12T08:00:00.000Z",
        "timesBackwards": {"count": 6, "mostMs": 691_200_000, "firstLines": [6, 7, 8, 9, 10]},
        "importStops": false
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&report[name], value, "{name} of {report}");
    }
    let refusals: Vec<(&str, u64)> = report["refusals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|refusal| (refusal["reason"].as_str().unwrap(), refusal["firstLines"][0].as_u64().unwrap()))
        .collect();
    assert_eq!(refusals, [("undecodable", 16), ("event-id-conflict", 15), ("time-in-future", 17)]);

    let output = check(&["--format", "table"]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("types.installed"), "{table}");
    assert!(!data_dir.exists(), "a check wrote something");
}
