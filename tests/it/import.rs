//! History from a file is the same history: `import` of NDJSON gives the same as Kafka.

mod field;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use ledger_core::time::Timestamp;
use ledger_record::json::time::format_instant;
use ledger_record::record::{Content, Stream};
use ledger_store::{DataDir, ShardId, StoreOptions};
use ledger_tests::kafka;
use ledger_tests::scratch;
use ledger_tests::server::{self, Server, Setup};
use ledger_tests::workload::{Mix, native_lines};
use serde_json::Value;

const TOPIC_PARTITIONS: i32 = 3;

/// The program with the tests' secret.
pub(crate) fn program(args: &[&str]) -> Command {
    let mut command = server::command();
    command.env("REALM_LEDGER_SECRET", ledger_tests::SECRET).args(args);
    command
}

fn run(args: &[&str]) -> Output {
    program(args).output().unwrap()
}

/// Checks that everything verifies and was signed at the end of the last import.
fn assert_verified(data_dirs: &[&Path]) {
    for data_dir in data_dirs {
        let reports = server::verified(data_dir, &[]);
        assert_eq!(reports.len(), usize::try_from(TOPIC_PARTITIONS).unwrap());
        assert!(reports.iter().all(|report| report["signedSize"] == report["size"]), "{reports:?}");
    }
}

fn importing(file: &Path, data_dir: &Path) -> Command {
    let [file, data_dir] = [file, data_dir].map(|path| path.to_str().unwrap());
    let mut command = program(&["import", file, "--data-dir", data_dir]);
    command.args(["--partitions", "3", "--partitioner", "murmur2", "--source", "history"]);
    command
}

fn import(file: &Path, data_dir: &Path, topic: &str) -> Output {
    importing(file, data_dir).args(["--topic", topic]).output().unwrap()
}

/// Every tenant's log and folded state: seqs, recorded events, outcomes, without their source.
pub(crate) fn tenants(data_dir: &Path, topic: &str) -> BTreeMap<String, (Vec<String>, String)> {
    let data = DataDir::open_existing_read_only(data_dir, StoreOptions::default()).unwrap();
    let mut tenants = BTreeMap::new();
    for partition in 0..u32::try_from(TOPIC_PARTITIONS).unwrap() {
        let reader = data.read_shard(&ShardId { topic: topic.to_owned(), partition }).unwrap();
        let snapshot = reader.snapshot();
        for row in snapshot.tenants(None).unwrap() {
            let (client, row) = row.unwrap();
            tenants.insert(client.to_string(), (Vec::new(), format!("{:?}", row.tenant)));
        }
        for record in snapshot.tenant_records().unwrap() {
            let record = record.unwrap();
            let Content::Event { event, outcome, .. } = &record.content else { continue };
            let (log, _) = tenants.get_mut(event.client().unwrap().as_str()).unwrap();
            log.push(format!("{} {event:?} {outcome:?}", record.seq));
        }
    }
    tenants
}

/// The app records of each shard, which are the same in all.
pub(crate) fn apps(data_dir: &Path, topic: &str) -> Vec<Vec<String>> {
    let data = DataDir::open_existing_read_only(data_dir, StoreOptions::default()).unwrap();
    let of = |partition: u32| {
        let reader = data.read_shard(&ShardId { topic: topic.to_owned(), partition }).unwrap();
        let records = reader.snapshot().records_from(0).unwrap().map(Result::unwrap).collect::<Vec<_>>();
        let reported = records.into_iter().filter_map(|record| match (&record.stream, &record.content) {
            (Stream::App(app), Content::Event { event, outcome, .. }) => {
                Some(format!("{app} {} {event:?} {outcome:?}", record.seq))
            }
            _ => None,
        });
        reported.collect()
    };
    (0..u32::try_from(TOPIC_PARTITIONS).unwrap()).map(of).collect()
}

/// The next position of each shard.
fn positions(data_dir: &Path, topic: &str) -> Vec<u64> {
    let data = DataDir::open_existing_read_only(data_dir, StoreOptions::default()).unwrap();
    let next = |partition: u32| {
        data.read_shard(&ShardId { topic: topic.to_owned(), partition }).unwrap().next_position()
    };
    (0..u32::try_from(TOPIC_PARTITIONS).unwrap()).map(next).collect()
}

/// The number of records of each shard without seals, whose number depends on the imports.
pub(crate) fn heads(data_dir: &Path, topic: &str) -> Vec<u64> {
    let data = DataDir::open_existing_read_only(data_dir, StoreOptions::default()).unwrap();
    let next = |partition: i32| {
        let id = ShardId { topic: topic.to_owned(), partition: u32::try_from(partition).unwrap() };
        let reader = data.read_shard(&id).unwrap();
        let seals = reader.snapshot().last_seal().unwrap().map_or(0, |seal| seal.seq);
        reader.next_position() - seals
    };
    (0..TOPIC_PARTITIONS).map(next).collect()
}

fn lines() -> String {
    native_lines(mix())
}

fn mix() -> Mix {
    Mix {
        seed: 11,
        tenants: 300,
        events: 6_000,
        partitions: 1,
        late_percent: 5,
        repeats_per_mille: 30,
        conflicts_per_mille: 3,
        malformed_per_mille: 0,
        late_app_events: true,
    }
}

#[test]
fn import_and_kafka_give_the_same_tenants() {
    let cluster = kafka::shared();
    let scratch = scratch::directory();
    let setup = Setup::new(cluster, kafka::unique_name("same"), scratch.path().join("kafka"));
    cluster.create_topic(&setup.topic, TOPIC_PARTITIONS, &[("message.timestamp.type", "LogAppendTime")]);
    let file = scratch.path().join("history.ndjson");
    std::fs::write(&file, lines()).unwrap();

    let imported = scratch.path().join("imported");
    let output = import(&file, &imported, &setup.topic);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = file.to_str().unwrap();
    let published = run(&["publish", file, "--brokers", &setup.brokers, "--topic", &setup.topic]);
    assert!(published.status.success(), "{}", String::from_utf8_lossy(&published.stderr));
    let server = Server::start(&setup, &scratch.path().join("log"));
    server.wait_until_ready(usize::try_from(TOPIC_PARTITIONS).unwrap());
    server.drain();

    let (by_file, by_kafka) = (tenants(&imported, &setup.topic), tenants(&setup.data_dir, &setup.topic));
    assert!(by_file.len() > 250, "{}", by_file.len());
    assert_eq!(by_file, by_kafka);
    let of_apps = apps(&imported, &setup.topic);
    assert!(of_apps.iter().all(|reported| reported.len() == 20), "{of_apps:?}");
    assert_eq!(of_apps, apps(&setup.data_dir, &setup.topic));
    assert_verified(&[&imported]);
    server::verified(&setup.data_dir, &[]);
}

#[test]
fn import_is_idempotent_and_resumes_after_any_cut() {
    let scratch = scratch::directory();
    let (topic, file) = ("realm.lifecycle", scratch.path().join("history.ndjson"));
    let text = lines();
    std::fs::write(&file, &text).unwrap();
    let whole = scratch.path().join("whole");
    assert!(import(&file, &whole, topic).status.success());
    let (once, next) = (heads(&whole, topic), positions(&whole, topic));
    assert!(import(&file, &whole, topic).status.success());
    assert_eq!(positions(&whole, topic), next, "a second import appended something");

    let bit_by_bit = scratch.path().join("bit-by-bit");
    for cut in [1, 777, 30_000, text.len() / 2, text.len() - 40, text.len()] {
        std::fs::write(&file, &text[..cut]).unwrap();
        let output = import(&file, &bit_by_bit, topic);
        let cut_off = text.as_bytes()[cut - 1] != b'\n';
        assert_eq!(output.status.code(), Some(i32::from(cut_off)), "cut at {cut}");
    }
    assert_eq!(tenants(&bit_by_bit, topic), tenants(&whole, topic));
    assert_eq!(heads(&bit_by_bit, topic), once);

    std::fs::write(&file, text.replacen("tenant-", "TENANT-", 1)).unwrap();
    let output = import(&file, &whole, topic);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("name another source"));
    assert_eq!(heads(&whole, topic), once, "a file whose beginning differs was taken");
    assert_verified(&[&whole, &bit_by_bit]);
}

#[test]
fn import_resumes_after_each_line() {
    let scratch = scratch::directory();
    let (topic, file) = ("realm.lifecycle", scratch.path().join("history.ndjson"));
    let text: Vec<String> = lines().lines().take(50).map(|line| format!("{line}\n")).collect();
    let [whole, line_by_line] = ["whole", "line-by-line"].map(|name| scratch.path().join(name));
    std::fs::write(&file, text.concat()).unwrap();
    assert!(import(&file, &whole, topic).status.success());
    for cut in 1..=text.len() {
        std::fs::write(&file, text[..cut].concat()).unwrap();
        assert!(import(&file, &line_by_line, topic).status.success(), "cut after line {cut}");
    }
    assert_eq!(tenants(&line_by_line, topic), tenants(&whole, topic));
    assert_eq!(heads(&line_by_line, topic), heads(&whole, topic));
    assert_verified(&[&whole, &line_by_line]);
}

/// Imports with several kills at any point, and then to the end.
fn import_with_kills(file: &Path, data_dir: &Path, flags: &[&str], took: Duration) {
    const ROUNDS: u32 = 12;
    let mut kills = 0;
    for round in 1..=ROUNDS {
        let mut child = importing(file, data_dir).args(flags).spawn().unwrap();
        std::thread::sleep(took * round / ROUNDS);
        child.kill().unwrap();
        kills += u32::from(!child.wait().unwrap().success());
    }
    assert!(kills > 3, "{kills} of {ROUNDS} imports were killed in the middle");
    let output = field::import_with(file, data_dir, flags);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The lines with ascending recorded times, a millisecond apart.
fn recorded_in_order(text: &str) -> String {
    let begin = 1_770_000_000_000_i64;
    let line = |(number, line): (i64, &str)| {
        let at = format_instant(Timestamp::from_millis(begin + number));
        line.replacen('{', &format!("{{\"recordedAt\":\"{at}\","), 1) + "\n"
    };
    (0..).zip(text.lines()).map(line).collect()
}

/// The lines in their order, packed or with a mark; and sorted by tenant.
#[test]
fn killed_import_resumes_in_every_packing() {
    let scratch = scratch::directory();
    let topic = "realm.lifecycle";
    // More lines than are judged before the first write.
    let text = recorded_in_order(&native_lines(Mix { events: 24_000, ..mix() }));
    let file = |name: &str, text: &str| {
        let path = scratch.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let plain = file("history.ndjson", &text);
    let whole = scratch.path().join("whole");
    let began = Instant::now();
    assert!(import(&plain, &whole, topic).status.success());
    let took = began.elapsed();
    let expected = field::digests(&whole);
    let mut by_tenant: Vec<&str> = text.lines().collect();
    by_tenant.sort_by_key(|line| serde_json::from_str::<Value>(line).unwrap()["clientKey"].to_string());
    let marked = format!("\u{feff}{text}");
    assert!(Command::new("gzip").args(["--keep", "--fast"]).arg(&plain).status().unwrap().success());
    for (file, flags) in [
        (plain.clone(), &[][..]),
        (file("history-marked.ndjson", &marked), &[]),
        (plain.with_extension("ndjson.gz"), &[]),
        (file("by-tenant.ndjson", &(by_tenant.join("\n") + "\n")), &["--sort"]),
    ] {
        let killed = file.with_extension("killed");
        import_with_kills(&file, &killed, flags, took);
        assert_eq!(field::digests(&killed), expected, "{}", file.display());
        assert_verified(&[&killed]);
    }
}
