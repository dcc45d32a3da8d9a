//! Commands over a real broker: published, recorded once, answered with their records; a dry run tells what they do.

mod dry_run;
mod refused;

use std::io::Write as _;
use std::process::{Output, Stdio};

use ledger_tests::kafka::{self, Cluster, Isolation, Message};
use ledger_tests::server::{self, Server, Setup};
use ledger_tests::{scratch, wait};
use serde_json::{Value, json};

const PARTITIONS: i32 = 3;

struct Running {
    setup: Setup,
    server: Server,
    cluster: Cluster,
    _scratch: tempfile::TempDir,
}

fn running() -> Running {
    running_on(kafka::shared(), "")
}

fn running_on(cluster: &Cluster, config: &str) -> Running {
    let scratch = scratch::directory();
    let mut setup = Setup::new(cluster, kafka::unique_name("commands"), scratch.path().join("data"));
    cluster.create_topic(&setup.topic, PARTITIONS, &[("message.timestamp.type", "LogAppendTime")]);
    setup.more.push(("KAFKA__PARTITIONER", "murmur2".to_owned()));
    let path = scratch.path().join("config.toml");
    std::fs::write(&path, config).unwrap();
    setup.more.push(("CONFIG", path.display().to_string()));
    // Ticks are messages too.
    setup.more.push(("EVIDENCE__TICK_INTERVAL", "1h".to_owned()));
    let installs = (0..6).map(|number| {
        let client = format!("tenant-{number}");
        let value = format!(
            r#"{{"id":"i-{number}","type":"installed","time":"2026-01-02T00:00:00Z","clientKey":"{client}","appKey":"app","endpointRealm":"EU","productRealm":"EU"}}"#
        );
        Message::new(client, value)
    });
    cluster.produce(&setup.topic, &installs.collect::<Vec<_>>());
    let server = Server::start(&setup, &scratch.path().join("log"));
    server.wait_until_ready(usize::try_from(PARTITIONS).unwrap());
    Running { setup, server, cluster: cluster.clone(), _scratch: scratch }
}

impl Running {
    fn post(&self, query: &str, event: &Value) -> (u16, Value) {
        self.server.post(&format!("/v1/commands{query}"), event)
    }

    fn messages(&self) -> usize {
        self.cluster.read_all(&self.setup.topic, Isolation::ReadCommitted).len()
    }

    fn submit(&self, event: &Value, more: &[&str]) -> Output {
        let mut command = server::command();
        command.args(["submit", "-", "--url", &self.server.url]).args(more);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(event.to_string().as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }
}

fn pin(id: &str, client: &str) -> Value {
    json!({"id": id, "type": "override", "time": "2026-01-03T00:00:00Z", "clientKey": client, "appKey": "app",
           "action": "PIN", "realm": "US", "actor": "eva", "reason": "case 1"})
}

#[test]
fn override_is_recorded_once_and_answered_with_its_record() {
    let running = running();
    let before = running.messages();
    let (status, dry) = running.post("?dryRun=true", &pin("pin-1", "tenant-1"));
    assert_eq!(status, 200, "{dry}");
    assert_eq!(
        (&dry["before"][0]["pinnedRealm"], &dry["after"][0]["pinnedRealm"]),
        (&"EU".into(), &"US".into())
    );
    assert_eq!(dry["changed"], 1);
    assert_eq!(running.messages(), before, "a dry run publishes nothing");

    let (status, answer) = running.post("", &pin("pin-1", "tenant-1"));
    assert_eq!(status, 201, "{answer}");
    let record = &answer["records"][0];
    let (_, log) = running.server.get("/v1/tenants/tenant-1/log");
    let logged = log["records"].as_array().unwrap().last().unwrap();
    assert_eq!((&logged["event"]["id"], &logged["seq"]), (&"pin-1".into(), &record["seq"]), "{log}");
    assert_eq!(logged["position"], record["position"]);
    let (_, state) = running.server.get("/v1/tenants/tenant-1/apps/app");
    assert_eq!(state["installation"]["pinnedRealm"], "US");
    let (mut shown, mut expected) = (state["installation"].clone(), dry["after"][0].clone());
    for state in [&mut shown, &mut expected] {
        state.as_object_mut().unwrap().remove("asOf");
    }
    assert_eq!(shown, expected, "the dry run showed what came");

    // The same again, with other content, and what became of it.
    assert_eq!(running.messages(), before + 1);
    assert_eq!(running.post("", &pin("pin-1", "tenant-1")), (201, answer.clone()));
    let mut other = pin("pin-1", "tenant-1");
    other["realm"] = "DE".into();
    let (status, problem) = running.post("", &other);
    assert_eq!((status, &problem["code"]), (409, &"event-id-conflict".into()));
    assert_eq!(running.messages(), before + 1, "neither was published");
    for keys in ["clientKey=tenant-1", "clientKey=tenant-1&appKey=app"] {
        let (status, told) = running.server.get(&format!("/v1/commands/pin-1?{keys}"));
        assert_eq!(
            (status, &told["records"], &told["pending"]),
            (200, &answer["records"], &Value::Null),
            "{told}"
        );
        assert_eq!(told["freshness"][0]["phase"], "LIVE");
    }
    // Already recorded: it changes nothing.
    let (_, again) = running.post("?dryRun=true", &pin("pin-1", "tenant-1"));
    assert_eq!((&again["changed"], &again["records"]), (&0.into(), &answer["records"]), "{again}");
    let (status, problem) = running.server.get("/v1/commands/pin-2?clientKey=tenant-1");
    assert_eq!((status, &problem["code"]), (404, &"not-found".into()));
    running.server.drain();
    server::verified(&running.setup.data_dir, &[]);
}

#[test]
fn event_of_an_app_is_recorded_in_every_partition() {
    let running = running();
    let policy = json!({"id": "policy-1", "type": "policy-set", "time": "2026-01-01T00:00:00Z", "appKey": "app",
                        "policy": {"mode": "days", "days": 5}});
    let before = running.messages();
    let output = running.submit(&policy, &[]);
    assert!(output.status.success(), "{}", server::stderr(&output));
    let records = String::from_utf8(output.stdout).unwrap();
    let records: Vec<Value> = records.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let partitions: Vec<_> = records.iter().map(|record| record["partition"].as_i64().unwrap()).collect();
    assert_eq!(partitions, [0, 1, 2]);
    assert_eq!(running.messages(), before + 3);
    let (status, found) = running.server.get("/v1/commands/policy-1?appKey=app");
    assert_eq!((status, found["records"].as_array().unwrap().len()), (200, 3), "{found}");
    let output = running.submit(&policy, &[]);
    assert!(output.status.success(), "{}", server::stderr(&output));
    assert_eq!(running.messages(), before + 3, "nothing is published twice");
    // A tenant that left within the policy's time, and what a later command would make of that.
    let leave = Message::new(
        "tenant-2",
        r#"{"id":"u-2","type":"uninstalled","time":"2026-01-04T00:00:00Z","clientKey":"tenant-2","appKey":"app"}"#,
    );
    kafka::shared().produce(&running.setup.topic, &[leave]);
    wait::until("the uninstall is recorded", || {
        running.server.get("/v1/tenants/tenant-2/apps/app").1["installation"]["status"] == "UNINSTALLED"
    });
    let mut longer = policy;
    (longer["id"], longer["time"], longer["policy"]["days"]) =
        ("policy-2".into(), "2026-01-03T00:00:00Z".into(), 9.into());
    let output = running.submit(&longer, &["--dry-run", "--format", "table"]);
    let table = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<_> = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!((rows.len(), rows[1][2], rows[2][2]), (3, "before", "after"), "{table}");
    assert!(table.contains("2026-01-09") && table.contains("2026-01-13"), "{table}");
    let output = running.submit(&longer, &["--dry-run"]);
    let dry: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&dry["changed"], &dry["changes"][0]["clientKey"]), (&1.into(), &"tenant-2".into()), "{dry}");
    let window = |side: &str| dry["changes"][0][side]["window"]["end"].as_str().unwrap().to_owned();
    assert_eq!([window("before"), window("after")], ["2026-01-09T00:00:00.000Z", "2026-01-13T00:00:00.000Z"]);
    assert!(running.submit(&longer, &[]).status.success());
    let (_, state) = running.server.get("/v1/tenants/tenant-2/apps/app");
    assert_eq!(state["installation"]["window"]["end"], "2026-01-13T00:00:00.000Z");
    running.server.drain();
}
