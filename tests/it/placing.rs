//! A tenant is in one partition: producers of every kind beside imported history, and torn tenants.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use ledger_store::Partitioner;
use ledger_tests::kafka::{self, Client, Cluster, Message};
use ledger_tests::server::{self, Server, Setup, stderr};
use ledger_tests::{scratch, wait};
use serde_json::Value;
use tempfile::TempDir;

const PARTITIONS: u32 = 4;
const TENANTS: usize = 12;
const PATIENCE: Duration = Duration::from_mins(2);

/// A topic and its data directories.
struct Field {
    cluster: &'static Cluster,
    topic: String,
    scratch: TempDir,
}

impl Field {
    fn new() -> Self {
        let (cluster, topic) = (kafka::shared(), kafka::unique_name("placing"));
        let partitions = i32::try_from(PARTITIONS).unwrap();
        cluster.create_topic(&topic, partitions, &[("message.timestamp.type", "LogAppendTime")]);
        Self { cluster, topic, scratch: scratch::directory() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Imports an install of every tenant.
    fn import(&self, data_dir: &str, more: &[&str]) -> Output {
        let file = self.path("history.ndjson");
        let lines: String = (0..TENANTS).map(|tenant| event(tenant, "installed") + "\n").collect();
        std::fs::write(&file, lines).unwrap();
        let mut command = server::command();
        command.env("REALM_LEDGER_SECRET", ledger_tests::SECRET).arg("import").arg(file);
        command.arg("--data-dir").arg(self.path(data_dir));
        command.args(["--topic", &self.topic, "--partitions", &PARTITIONS.to_string()]).args(more);
        command.output().unwrap()
    }

    /// One live event of every tenant.
    fn go_on(&self, client: Client) {
        let live: Vec<Message> =
            (0..TENANTS).map(|tenant| Message::new(name(tenant), event(tenant, "disabled"))).collect();
        self.cluster.produce_by_client(client, &self.topic, &live);
    }

    fn serve(&self, data_dir: &str, more: &[(&'static str, &str)]) -> Server {
        let mut setup = Setup::new(self.cluster, self.topic.clone(), self.path(data_dir));
        setup.more = more.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Server::start(&setup, &self.path("log"))
    }

    fn remembered(&self, data_dir: &str) -> Value {
        let manifest = std::fs::read(self.path(data_dir).join("ledger.json")).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        manifest["topics"][&self.topic]["partitioner"].clone()
    }
}

fn name(tenant: usize) -> String {
    format!("customer-{tenant}.atlassian.net")
}

fn event(tenant: usize, kind: &str) -> String {
    format!(
        r#"{{"id":"{kind}-{tenant}","type":"{kind}","time":"2026-03-01T10:00:00Z","clientKey":"{}","appKey":"app"}}"#,
        name(tenant)
    )
}

/// The partition of a tenant by a partitioner.
fn place(partitioner: Partitioner, tenant: usize) -> u32 {
    partitioner.partition(name(tenant).as_bytes(), PARTITIONS).unwrap()
}

/// The partitions where CRC32 puts a tenant that murmur2 puts elsewhere.
fn contradicted() -> Vec<u32> {
    let moved = (0..TENANTS).filter(|t| place(Partitioner::Crc32, *t) != place(Partitioner::Murmur2, *t));
    let mut partitions: Vec<u32> = moved.map(|tenant| place(Partitioner::Crc32, tenant)).collect();
    partitions.sort_unstable();
    partitions.dedup();
    partitions
}

/// Waits until every shard is halted or read to its end; returns `/readyz`.
fn settled(server: &Server) -> (u16, Vec<Value>) {
    wait::for_value(|| {
        let (status, body) = server.get("/readyz");
        let shards = body["shards"].as_array().cloned().unwrap_or_default();
        let is_settled =
            |shard: &Value| shard["phase"] == "HALTED" || shard["caughtUp"] == true && shard["lag"] == 0;
        if shards.len() == PARTITIONS as usize && shards.iter().all(is_settled) {
            return Ok((status, shards));
        }
        Err(body)
    })
}

/// The status of the first query about each tenant, and its number of records.
fn answers(server: &Server) -> Vec<(u16, usize)> {
    let ask = |tenant| {
        let (status, body) = server.get(&format!("/v1/tenants/{}/log", name(tenant)));
        (status, body["records"].as_array().map_or(0, Vec::len))
    };
    (0..TENANTS).map(ask).collect()
}

/// The sum of a gauge over all shards.
fn torn_by_metrics(server: &Server) -> f64 {
    let (_, text) = server.get("/metrics");
    let of_shard = |line: &&str| line.starts_with("realm_ledger_split_tenants{");
    let values = text.as_str().unwrap().lines().filter(of_shard);
    values.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

fn ask(data_dir: &Path, arguments: &[&str]) -> Output {
    let mut command = server::command();
    command.args(arguments).arg("--data-dir").arg(data_dir).output().unwrap()
}

/// Regression: 9 of 12 tenants torn, `/readyz` 200.
#[test]
fn misplaced_events_halt_their_shard_before_recording() {
    let field = Field::new();
    let imported = field.import("data", &["--partitioner", "murmur2"]);
    assert!(imported.status.success(), "{}", stderr(&imported));
    assert_eq!(field.remembered("data"), "murmur2");
    field.go_on(Client::Confluent);
    let server = field.serve("data", &[]);
    let (status, shards) = settled(&server);
    assert_eq!(status, 503);
    let halted: Vec<u32> = shards
        .iter()
        .filter(|shard| shard["phase"] == "HALTED")
        .map(|shard| u32::try_from(shard["partition"].as_u64().unwrap()).unwrap())
        .collect();
    assert_eq!(halted, contradicted());
    for shard in shards.iter().filter(|shard| shard["phase"] == "HALTED") {
        assert_eq!(shard["halted"]["code"], "key-misplaced");
        assert_eq!(shard["partitioner"], "murmur2");
        let message = shard["halted"]["message"].as_str().unwrap();
        let is_named = (0..TENANTS).any(|tenant| message.contains(&name(tenant)));
        assert!(!is_named, "readiness is shown to everyone: {message}");
        for part in [
            format!("{}/{}", field.topic, shard["partition"]),
            " by murmur2".to_owned(),
            "partitioner=murmur2_random".to_owned(),
            "realm-ledger refill --from OLD --data-dir NEW".to_owned(),
        ] {
            assert!(message.contains(&part), "{part}: {message}");
        }
    }
    assert!(answers(&server).iter().all(|(status, records)| *status == 200 && *records >= 1));
    assert_eq!(torn_by_metrics(&server).to_bits(), 0f64.to_bits());
    server.drain();
    torn_tenants_are_named_everywhere(&field);
}

/// The operator continues with `unknown`: every list names the torn tenants, a restart still counts them, and
/// `verify` finds no difference.
fn torn_tenants_are_named_everywhere(field: &Field) {
    let unknown = [("KAFKA__PARTITIONER", "unknown")];
    let server = field.serve("data", &unknown);
    assert_eq!(settled(&server).0, 200);
    let torn: Vec<String> = (0..TENANTS)
        .filter(|tenant| place(Partitioner::Crc32, *tenant) != place(Partitioner::Murmur2, *tenant))
        .map(name)
        .collect();
    assert!((5..TENANTS).contains(&torn.len()), "{torn:?}");
    let refused = answers(&server).into_iter().filter(|(status, _)| *status == 409).count();
    assert_eq!(refused, torn.len());
    let mut sorted = torn.clone();
    sorted.sort();
    for list in [
        "installations?drift=true",
        "migrations?overdue=true",
        "installations?window=OPEN",
        "installations?splitBrain=true",
        "installations?anomalous=true",
        "installations?appKey=nobody",
        "installations?status=INSTALLED",
    ] {
        let (status, page) = server.get(&format!("/v1/{list}"));
        let named = page["refused"].as_array().unwrap().iter();
        let named: Vec<_> = named.map(|tenant| tenant["clientKey"].as_str().unwrap().to_owned()).collect();
        assert_eq!((status, named), (200, sorted.clone()), "{list}");
    }
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let in_two_shards = 2.0 * torn.len() as f64;
    assert!((torn_by_metrics(&server) - in_two_shards).abs() < 0.5);
    // Killed: the torn tenants are stored with the data.
    drop(server);
    let server = field.serve("data", &unknown);
    assert!((torn_by_metrics(&server) - in_two_shards).abs() < 0.5, "right after the restart");
    server.drain();
    let data_dir = field.path("data");
    for list in [
        &["drift"][..],
        &["windows"],
        &["split-brain"],
        &["anomalies"],
        &["migrations", "--overdue"],
        &["state"],
    ] {
        let listed = ask(&data_dir, list);
        let reported = stderr(&listed);
        assert_eq!(listed.status.code(), Some(1), "{list:?}: {reported}");
        assert!(
            torn.iter().all(|tenant| reported.contains(tenant)) && reported.contains("refill"),
            "{list:?}: {reported}"
        );
    }
    let verified = server::verify(&data_dir, &[]);
    let reported = stderr(&verified);
    assert_eq!(verified.status.code(), Some(1), "{reported}");
    assert!(torn.iter().all(|tenant| reported.contains(tenant)) && reported.contains("refill"), "{reported}");
    let verdicts = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert_eq!(
        verdicts.lines().filter(|line| line.contains(r#""verdict":"valid""#)).count(),
        4,
        "{verdicts}"
    );
}

#[test]
fn java_events_continue_history_placed_by_murmur2() {
    let field = Field::new();
    assert!(field.import("data", &["--partitioner", "murmur2_random"]).status.success());
    field.go_on(Client::Java);
    let server = field.serve("data", &[]);
    assert_eq!(settled(&server).0, 200);
    assert_eq!(answers(&server), [(200, 2); TENANTS]);
    server.drain();
}

#[test]
fn import_learns_the_partitioner_of_its_topic() {
    let field = Field::new();
    let asked = field.import("alone", &[]);
    assert_eq!(asked.status.code(), Some(1));
    assert!(stderr(&asked).contains("set kafka.partitioner"), "{}", stderr(&asked));
    assert!(!field.path("alone").join("shards").exists(), "before anything is made");
    let brokers = ["--brokers", field.cluster.bootstrap()];
    let empty = field.import("empty", &brokers);
    assert_eq!(empty.status.code(), Some(1), "an empty topic says nothing");

    field.go_on(Client::Confluent);
    let learnt = field.import("brokers", &brokers);
    assert!(learnt.status.success(), "{}", stderr(&learnt));
    assert_eq!(field.remembered("brokers"), "crc32");
    let against =
        field.import("against", &["--brokers", field.cluster.bootstrap(), "--partitioner", "murmur2"]);
    assert_eq!(against.status.code(), Some(1));
    assert!(stderr(&against).contains("placed by crc32"), "{}", stderr(&against));

    let server = field.serve("served", &[]);
    let (_, shards) = settled(&server);
    assert!(shards.iter().all(|shard| shard["partitioner"] == "crc32"), "{shards:?}");
    server.drain();
    assert!(field.import("served", &[]).status.success());
    let server = field.serve("served", &[]);
    assert_eq!(settled(&server).0, 200);
    assert_eq!(answers(&server), [(200, 2); TENANTS]);
    server.drain();
    let set = [("KAFKA__PARTITIONER", "murmur2")];
    let mut setup = Setup::new(field.cluster, field.topic.clone(), field.path("served"));
    setup.more = set.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let mut refused = Server::launch(&setup, &field.path("conflict"));
    assert_eq!(refused.process.wait(PATIENCE).code(), Some(1));
    let log = std::fs::read_to_string(field.path("conflict")).unwrap();
    assert!(log.contains("placed by crc32") && log.contains("refill"), "{log}");
}
