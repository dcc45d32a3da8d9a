//! `refill` of a ledger with tenants torn between partitions, while its topic continues.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ledger_record::record::Content;
use ledger_record::rows::SourcePosition;
use ledger_store::{DataDir, Partitioner, Reader, ShardId, StoreOptions};
use ledger_tests::kafka::{self, Cluster, Message};
use ledger_tests::process::Process;
use ledger_tests::server::{self, Server, Setup};
use ledger_tests::{python, scratch};
use serde_json::Value;

const PARTITIONS: i32 = 4;
const TENANTS: usize = 12;

/// The default partitioner of librdkafka.
const LIBRDKAFKA: &str = "consistent_random";

fn run(more: &[(&str, &str)], args: &[&str]) -> Output {
    let mut command = server::command();
    command.env("REALM_LEDGER_SECRET", ledger_tests::SECRET).args(args);
    command.envs(more.iter().map(|(name, value)| (format!("REALM_LEDGER_{name}"), value)));
    command.output().unwrap()
}

#[track_caller]
fn done(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn tenant(number: usize) -> String {
    format!("customer-{}.atlassian.net", number % TENANTS)
}

/// Four years of an app: a descriptor, and installs and uninstalls of every tenant.
fn history() -> String {
    let mut lines = vec![
        r#"{"id":"d1","type":"descriptor-published","time":"2020-01-01T00:00:00Z","appKey":"app","descriptor":{"baseUrl":"https://x","regionBaseUrls":{"EU":"https://eu","US":"https://us"},"dataResidency":{"realmPersistence":true,"realmPersistenceDays":14}}}"#
            .to_owned(),
    ];
    for number in 0..5 * TENANTS {
        let (year, month) = (2021 + number / (2 * TENANTS), 1 + number % TENANTS);
        let kind = if (number / TENANTS).is_multiple_of(2) {
            r#""type":"installed","endpointRealm":"EU""#
        } else {
            r#""type":"uninstalled""#
        };
        lines.push(format!(
            r#"{{"id":"h{number}",{kind},"time":"{year}-{month:02}-0{}T00:00:00Z","clientKey":"{}","appKey":"app"}}"#,
            1 + (number / TENANTS) % 9,
            tenant(number)
        ));
    }
    lines.join("\n") + "\n"
}

/// A live event; some are installs in another realm, some are dated back.
fn live(number: usize) -> Message {
    let kind = match number % 5 {
        0 => r#""type":"uninstalled""#,
        1 | 3 => r#""type":"installed","endpointRealm":"US""#,
        2 => r#""type":"disabled""#,
        _ => r#""type":"installed","endpointRealm":"EU""#,
    };
    let (hour, minute) = (number / 60 % 24, number % 60);
    let day = if number % 7 == 3 { 2 } else { 3 };
    let text = format!(
        r#"{{"id":"l{number}",{kind},"time":"2026-02-0{day}T{hour:02}:{minute:02}:00Z","clientKey":"{}","appKey":"app"}}"#,
        tenant(number)
    );
    Message::new(tenant(number), text)
}

/// A policy for every partition.
fn policy(number: usize) -> Vec<Message> {
    let text = format!(
        r#"{{"id":"p{number}","type":"policy-set","time":"2026-02-01T0{}:00:00Z","appKey":"app","policy":{{"mode":"days","days":{}}}}}"#,
        number % 10,
        1 + number
    );
    (0..PARTITIONS).map(|partition| Message::new("app", text.clone()).to_partition(partition)).collect()
}

fn send(cluster: &Cluster, topic: &str, messages: &[Message]) {
    cluster.produce_by(LIBRDKAFKA, topic, messages);
}

fn import(file: &Path, data_dir: &Path, topic: &str, partitioner: &str) {
    let [file, data_dir] = [file, data_dir].map(|path| path.to_str().unwrap());
    let args = ["import", file, "--data-dir", data_dir, "--partitions", "4", "--topic", topic];
    let settings = [("KAFKA__TOPICS", topic), ("KAFKA__PARTITIONER", partitioner)];
    done(&run(&settings, &[&args[..], &["--source", "history"]].concat()));
}

fn refill(from: &Path, to: &Path, topic: &str, more: &[&str]) -> Output {
    let [from, to] = [from, to].map(|path| path.to_str().unwrap());
    run(&[("KAFKA__TOPICS", topic)], &[&["refill", "--from", from, "--data-dir", to], more].concat())
}

fn readers(data_dir: &Path, topic: &str) -> Vec<Reader> {
    let data = DataDir::open_existing_read_only(data_dir, StoreOptions::default()).unwrap();
    let ids = (0..u32::try_from(PARTITIONS).unwrap())
        .map(|partition| ShardId { topic: topic.to_owned(), partition });
    ids.map(|id| data.read_shard(&id).unwrap()).collect()
}

/// For every tenant: its partitions, its events with their outcomes, its state.
type Tenants = BTreeMap<String, (Vec<u32>, Vec<String>, String)>;

fn tenants(data_dir: &Path, topic: &str) -> Tenants {
    let mut tenants = Tenants::new();
    for reader in readers(data_dir, topic) {
        let snapshot = reader.snapshot();
        for row in snapshot.tenants(None).unwrap() {
            let (client, row) = row.unwrap();
            let tenant = tenants.entry(client.to_string()).or_default();
            tenant.0.push(reader.shard().partition);
            tenant.2 = format!("{:?}", row.tenant);
        }
        for record in snapshot.tenant_records().unwrap() {
            let record = record.unwrap();
            let Content::Event { event, outcome, .. } = &record.content else { continue };
            let client = event.client().unwrap().as_str();
            tenants.get_mut(client).unwrap().1.push(format!("{} {event:?} {outcome:?}", record.seq));
        }
    }
    tenants
}

fn placed(client: &str) -> u32 {
    Partitioner::Crc32.partition(client.as_bytes(), u32::try_from(PARTITIONS).unwrap()).unwrap()
}

/// Sends live events one by one, each tenth twice, until stopped; returns their number.
fn keep_sending(
    cluster: &'static Cluster,
    topic: String,
    first: usize,
    stop: &'static AtomicBool,
) -> thread::JoinHandle<usize> {
    thread::spawn(move || {
        let mut number = first;
        while !stop.load(Ordering::Acquire) {
            send(cluster, &topic, &[live(number)]);
            if number.is_multiple_of(10) {
                send(cluster, &topic, &[live(number - 7), live(number)]);
            }
            if number.is_multiple_of(100) {
                cluster.produce(&topic, &policy(number / 100));
            }
            number += 1;
            thread::sleep(Duration::from_millis(5));
        }
        number
    })
}

/// The next offset of each shard in the topic.
fn next_offsets(data_dir: &Path, topic: &str) -> Vec<u64> {
    let positions = readers(data_dir, topic).into_iter().map(|reader| {
        let positions = reader.snapshot().source_positions().unwrap();
        positions.into_iter().find_map(|(source, position)| match position {
            SourcePosition::Kafka { next_offset, .. } if source == topic => Some(next_offset),
            _ => None,
        })
    });
    positions.map(Option::unwrap).collect()
}

/// The number of app-level copies that a refill reports.
fn copied(messages: &str) -> u64 {
    let copies = messages.split(" copies of app-level events").next().filter(|before| *before != messages);
    copies.and_then(|before| before.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

fn assert_whole(found: &Tenants, expected: &Tenants) {
    assert_eq!(found.len(), TENANTS);
    for (client, tenant) in expected {
        assert_eq!(found[client], *tenant, "{client}");
        assert_eq!(tenant.0, [placed(client)], "{client}");
    }
}

/// The numbers of refusals and duplicates.
fn refused_and_repeats(data_dir: &Path, topic: &str) -> (u64, u64) {
    let heads = readers(data_dir, topic).into_iter().map(|reader| reader.snapshot().head().unwrap());
    heads.fold((0, 0), |(refused, repeats), head| (refused + head.refused, repeats + head.duplicates))
}

#[test]
fn refill_makes_torn_tenants_whole_on_a_live_topic() {
    static STOP: AtomicBool = AtomicBool::new(false);
    let cluster = kafka::shared();
    let [topic, checkpoints] = ["refill", "refill-checkpoints"].map(kafka::unique_name);
    cluster.create_topic(&topic, PARTITIONS, &[("message.timestamp.type", "LogAppendTime")]);
    cluster.create_topic(&checkpoints, 1, &[("cleanup.policy", "compact")]);
    let dir = scratch::directory();
    let [old, new, right, file] = ["old", "new", "right", "history"].map(|name| dir.path().join(name));
    std::fs::write(&file, history()).unwrap();
    import(&file, &old, &topic, "murmur2");

    // Torn: live events arrive in other partitions than the imported ones.
    let tick = ("EVIDENCE__TICK_INTERVAL", "1s".to_owned());
    // Otherwise the shards halt before a tenant is torn.
    let more = vec![tick.clone(), ("KAFKA__PARTITIONER", "unknown".to_owned())];
    let setup = Setup {
        checkpoints_topic: checkpoints.clone(),
        more,
        ..Setup::new(cluster, topic.clone(), old.clone())
    };
    let log = dir.path().join("log");
    let server = Server::start(&setup, &log);
    cluster.produce(&topic, &policy(0));
    send(cluster, &topic, &(0..60).map(live).collect::<Vec<_>>());
    send(cluster, &topic, &[Message::new("customer-1.atlassian.net", "no event"), live(7), live(8)]);
    server.wait_until_ready(4);
    let sending = keep_sending(cluster, topic.clone(), 60, &STOP);
    thread::sleep(Duration::from_secs(2));
    server.drain();
    let before = tenants(&old, &topic);
    let torn = before.values().filter(|(partitions, ..)| partitions.len() > 1).count();
    assert!(torn >= 5, "{torn} of {TENANTS} are torn");
    let next = |data_dir: &Path| next_offsets(data_dir, &topic);
    let stood = next(&old);

    let messages = done(&refill(&old, &new, &topic, &[]));
    assert!(
        messages.contains(&format!("{torn} tenants were torn")) && messages.contains("placed by crc32"),
        "{messages}"
    );
    assert_eq!(next(&new), stood, "it goes on where the old one stood");
    assert_eq!(tenants(&old, &topic), before, "the old one is as it was");
    let again = refill(&old, &new, &topic, &[]);
    assert_eq!(again.status.code(), Some(1), "{}", String::from_utf8_lossy(&again.stderr));

    let on = Setup { data_dir: new.clone(), more: vec![tick], ..setup.clone() };
    let server = Server::start(&on, &log);
    thread::sleep(Duration::from_secs(2));
    STOP.store(true, Ordering::Release);
    let sent = sending.join().unwrap();
    server.wait_until_ready(4);
    server.drain();
    assert!(next(&new).iter().zip(&stood).any(|(now, then)| now > then), "{sent} were sent");

    // The ledger that right placement from the start would have given.
    import(&file, &right, &topic, "crc32");
    let reference = Setup::new(cluster, topic.clone(), right.clone());
    let server = Server::start(&reference, &log);
    server.wait_until_ready(4);
    server.drain();
    assert_whole(&tenants(&new, &topic), &tenants(&right, &topic));
    let (refused, repeats) = refused_and_repeats(&right, &topic);
    // App events that only one shard had read were copied, and arrived again.
    let expected = (refused, repeats + copied(&messages));
    assert_eq!(refused_and_repeats(&new, &topic), expected, "each message is recorded, repeated or refused");

    assert_based_on_the_old_logs(&new, &topic, dir.path());
    assert_torn_and_nothing_else(&old, &topic);
}

fn assert_torn_and_nothing_else(data_dir: &Path, topic: &str) {
    let judged = server::verify(data_dir, &[("KAFKA__TOPICS", topic.to_owned())]);
    let shown = String::from_utf8_lossy(&judged.stderr);
    assert!(judged.status.code() == Some(1) && shown.contains("every shard is valid by itself"), "{shown}");
}

/// Checks that everything verifies, is signed, and names the old logs.
fn assert_based_on_the_old_logs(new: &Path, topic: &str, scratch: &Path) {
    let reports = server::verified(new, &[("KAFKA__TOPICS", topic.to_owned())]);
    assert_eq!(reports.len(), 4);
    for report in &reports {
        assert_eq!(report["basedOn"].as_array().map(Vec::len), Some(4), "{report}");
        // The last records may be after the last tick.
        assert!(report["signedSize"].as_u64() > Some(0), "{report}");
    }
    let shown = run(&[("KAFKA__TOPICS", topic)], &["checkpoint", "--data-dir", new.to_str().unwrap()]);
    done(&shown);
    let origins: Vec<String> = String::from_utf8_lossy(&shown.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["origin"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(origins, (0..4).map(|partition| format!("{topic}~2/{partition}")).collect::<Vec<_>>());
    assert_both_verifiers_accept(new, topic, scratch);
}

/// Both verifiers accept a bundle of the new log.
fn assert_both_verifiers_accept(data_dir: &Path, topic: &str, scratch: &Path) {
    let (data_dir, bundle) = (data_dir.to_str().unwrap(), scratch.join("bundle"));
    let bundle = bundle.to_str().unwrap();
    let shown = run(&[("KAFKA__TOPICS", topic)], &["keys", "show", "--data-dir", data_dir]);
    done(&shown);
    let keys = String::from_utf8_lossy(&shown.stdout)
        .lines()
        .flat_map(|line| {
            let key =
                serde_json::from_str::<Value>(line).unwrap()["verifierKey"].as_str().unwrap().to_owned();
            ["--key".to_owned(), key]
        })
        .collect::<Vec<_>>();
    for number in 0..TENANTS {
        let client = tenant(number);
        let args = ["prove", &client, "--data-dir", data_dir, "-o", bundle];
        done(&run(&[("KAFKA__TOPICS", topic)], &args));
        let args: Vec<&str> = ["verify", "--bundle", bundle, "--client", &client]
            .into_iter()
            .chain(keys.iter().map(String::as_str))
            .collect();
        let messages = done(&run(&[], &args));
        assert!(messages.contains("the decisions follow from the records"), "{messages}");
        let judged = python::script("realm_ledger_verify.py").arg(bundle).args(&keys).output().unwrap();
        done(&judged);
    }
}

fn many(events: usize) -> String {
    let lines = (0..events).map(|number| {
        let kind = if number.is_multiple_of(2) { "installed" } else { "uninstalled" };
        let (hour, minute, second) = (number / 3600 % 24, number / 60 % 60, number % 60);
        format!(
            r#"{{"id":"m{number}","type":"{kind}","time":"2024-02-0{}T{hour:02}:{minute:02}:{second:02}Z","clientKey":"tenant-{}","appKey":"app"}}"#,
            1 + number / 86_400,
            number % 997
        )
    });
    history() + &lines.collect::<Vec<_>>().join("\n") + "\n"
}

#[test]
fn killed_refill_leaves_no_usable_ledger() {
    let dir = scratch::directory();
    let [old, new, whole, file] = ["old", "new", "whole", "history"].map(|name| dir.path().join(name));
    std::fs::write(&file, many(40_000)).unwrap();
    import(&file, &old, "t", "murmur2");

    let started = std::time::Instant::now();
    done(&refill(&old, &whole, "t", &["--partitioner", "crc32"]));
    let took = started.elapsed();
    let mut killed = 0;
    for part in 1..10 {
        let mut process = Process::start(server::program(), |command| {
            command.env("REALM_LEDGER_SECRET", ledger_tests::SECRET).env("REALM_LEDGER_KAFKA__TOPICS", "t");
            command
                .args(["refill", "--partitioner", "crc32", "--from"])
                .arg(&old)
                .arg("--data-dir")
                .arg(&new);
        });
        thread::sleep(took * part / 10);
        process.kill();
        if !new.join("ledger.json").exists() {
            continue;
        }
        let refused = run(&[("KAFKA__TOPICS", "t")], &["state", "--data-dir", new.to_str().unwrap()]);
        if refused.status.code() == Some(0) {
            // The refill had finished.
            std::fs::remove_dir_all(&new).unwrap();
            continue;
        }
        killed += 1;
        let messages = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(messages.contains("is not whole") && messages.contains("refill"), "{messages}");
        let args = ["serve", "--data-dir", new.to_str().unwrap()];
        let settings = [("HTTP__LISTEN", "127.0.0.1:0"), ("HTTP__ADMIN_LISTEN", "127.0.0.1:0")];
        let served = run(&[&settings[..], &[("KAFKA__TOPICS", "t")]].concat(), &args);
        assert_eq!(served.status.code(), Some(1), "{}", String::from_utf8_lossy(&served.stderr));
    }
    assert!(killed > 2, "killed in the middle {killed} times");
    done(&refill(&old, &new, "t", &["--partitioner", "crc32"]));
    let roots = |data_dir: &Path| -> Vec<(Value, Value)> {
        let reports = server::verified(data_dir, &[("KAFKA__TOPICS", "t".to_owned())]);
        assert!(reports.iter().all(|report| report["signedSize"] == report["size"]), "{reports:?}");
        reports.into_iter().map(|report| (report["size"].clone(), report["root"].clone())).collect()
    };
    assert_eq!(roots(&new), roots(&whole), "the same log, whatever was killed before");
    let tenants = tenants(&new, "t");
    assert!(tenants.iter().all(|(client, (partitions, ..))| *partitions == [placed(client)]));
    let records: usize = tenants.values().map(|(_, events, _)| events.len()).sum();
    assert_eq!(records, 40_000 + 5 * TENANTS);

    // The imported file has grown: an import into the new directory continues it.
    std::fs::write(&file, many(40_100)).unwrap();
    import(&file, &new, "t", "crc32");
    server::verified(&new, &[("KAFKA__TOPICS", "t".to_owned())]);
    let records: usize = self::tenants(&new, "t").values().map(|(_, events, _)| events.len()).sum();
    assert_eq!(records, 40_100 + 5 * TENANTS);
}
