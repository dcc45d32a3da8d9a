//! An unknown answer is not given: on a replica that is catching up, beside a halted shard, and with an app-level
//! event in one partition only.

use std::process::Output;

use ledger_tests::kafka::{self, Cluster, Message};
use ledger_tests::server::{self, Server, Setup, stderr};
use ledger_tests::{scratch, wait};
use serde_json::Value;

const APP: &str = "com.example.app";
const APPEND_TIME: [(&str, &str); 1] = [("message.timestamp.type", "LogAppendTime")];

fn installed(client: &str, id: &str, partition: i32) -> Message {
    let value = format!(
        r#"{{"id":"{id}","type":"installed","time":"2024-03-01T00:00:00Z","clientKey":"{client}","appKey":"{APP}","endpointRealm":"EU"}}"#
    );
    Message::new(client, value).to_partition(partition)
}

fn policy(id: &str, days: u32, partition: i32) -> Message {
    let value = format!(
        r#"{{"id":"{id}","type":"policy-set","time":"2024-01-01T00:00:00Z","appKey":"{APP}","policy":{{"mode":"days","days":{days}}}}}"#
    );
    Message::new(APP, value).to_partition(partition)
}

fn run(arguments: &[&str]) -> Output {
    server::command().args(arguments).output().unwrap()
}

/// The queries about a tenant over HTTP.
fn ways(client: &str) -> [String; 5] {
    let of_tenant = format!("/v1/tenants/{client}");
    [
        of_tenant.clone(),
        format!("{of_tenant}/log"),
        format!("{of_tenant}/apps/{APP}"),
        format!("{of_tenant}/apps/{APP}/explanation"),
        format!("{of_tenant}/apps/{APP}/preview"),
    ]
}

#[test]
fn fresh_replica_reports_no_absence_before_reading_all() {
    let cluster = kafka::shared();
    let scratch = scratch::directory();
    let setup = Setup::new(cluster, kafka::unique_name("replica"), scratch.path().join("data"));
    cluster.create_topic(&setup.topic, 2, &APPEND_TIME);
    let mut history = vec![policy("p-1", 30, 0), policy("p-1", 30, 1)];
    history.extend(
        (0..40_000).map(|number| installed(&format!("tenant-{}", number % 500), &format!("e-{number}"), 0)),
    );
    history.push(installed("late-comer", "e-1", 0));
    cluster.produce(&setup.topic, &history);
    let server = Server::start(&setup, &scratch.path().join("log"));

    let mut not_ready = 0;
    wait::until("the tenant is answered", || {
        let answers = ways("late-comer").map(|way| server.get(&way));
        for (status, answer) in &answers {
            match status {
                200 => assert_ne!(answer["decision"]["rule"], "FRESH", "{answer}"),
                503 => {
                    assert_eq!(answer["code"], "not-ready", "{answer}");
                    not_ready += 1;
                }
                _ => panic!("{status}: {answer}"),
            }
        }
        // Absence of an unknown tenant is not reported either.
        let (status, answer) = server.get("/v1/tenants/nobody");
        assert!(status == 503 || server.get("/readyz").1["shards"][0]["caughtUp"] == true, "{answer}");
        answers.iter().all(|(status, _)| *status == 200)
    });
    assert!(not_ready > 0, "it was never asked while it read");
    server.wait_until_ready(2);
    let [tenant, log, installation, explanation, preview] = ways("nobody").map(|way| server.get(&way));
    for (status, answer) in [tenant, log, installation, explanation] {
        assert_eq!((status, &answer["code"]), (404, &Value::from("not-found")), "{answer}");
    }
    assert_eq!((preview.0, &preview.1["decision"]["rule"]), (200, &Value::from("FRESH")), "{}", preview.1);
    server.drain();
    // The final directory is complete for local readers.
    let list = run(&["state", "--data-dir", setup.data_dir.to_str().unwrap()]);
    assert_eq!(list.status.code(), Some(0), "{}", stderr(&list));
}

#[test]
fn halted_shard_makes_absence_and_lists_incomplete() {
    let cluster = kafka::shared();
    let scratch = scratch::directory();
    let setup = Setup::new(cluster, kafka::unique_name("halted"), scratch.path().join("data"));
    cluster.create_topic(&setup.topic, 2, &APPEND_TIME);
    let history = [
        policy("p-1", 30, 0),
        policy("p-1", 30, 1),
        installed("lost", "e-1", 0),
        installed("here", "e-1", 1),
    ];
    cluster.produce(&setup.topic, &history);
    cluster.delete_records_before(&setup.topic, 0, 1);
    let server = Server::start(&setup, &scratch.path().join("log"));
    let shard = |partition: usize| server.get("/readyz").1["shards"][partition].clone();
    wait::until("one shard halts, one is read", || {
        shard(0)["halted"]["code"] == "history-incomplete" && shard(1)["caughtUp"] == true
    });

    for client in ["lost", "nobody"] {
        for way in ways(client) {
            let (status, answer) = server.get(&way);
            assert_eq!((status, &answer["code"]), (503, &Value::from("not-ready")), "{way}: {answer}");
            let phases: Vec<_> =
                answer["freshness"].as_array().unwrap().iter().map(|of| &of["phase"]).collect();
            assert_eq!(phases, ["HALTED", "LIVE"], "{answer}");
        }
    }
    assert_eq!(server.get("/v1/tenants/here").0, 200, "what is there is answered");

    let halted = format!("{}/0 has halted (history-incomplete)", setup.topic);
    let denied = run(&["preview", "nobody", APP, "--url", &server.url]);
    assert_eq!(denied.status.code(), Some(1));
    assert!(stderr(&denied).contains(&halted), "{}", stderr(&denied));
    let list = run(&["state", "--url", &server.url]);
    assert_eq!(list.status.code(), Some(1), "{}", stderr(&list));
    assert!(stderr(&list).contains(&halted), "{}", stderr(&list));
    assert!(String::from_utf8_lossy(&list.stdout).contains("\"here\""), "what is known is printed");

    let directory = setup.data_dir.to_str().unwrap();
    for command in [&["state", "nobody"][..], &["preview", "nobody", APP], &["drift"], &["state"]] {
        let output = run(&[command, &["--data-dir", directory]].concat());
        assert_eq!(output.status.code(), Some(1), "{command:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(&format!("{}/0", setup.topic)), "{command:?}: {}", stderr(&output));
    }
    server.drain();
}

/// The first sample of a gauge of each partition.
fn gauge(server: &Server, topic: &str, partition: u32) -> Option<f64> {
    let (_, metrics) = server.get("/metrics");
    let name = format!("realm_ledger_missing_app_events{{shard=\"{topic}/{partition}\"}} ");
    metrics.as_str()?.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok())
}

fn missing(server: &Server) -> Vec<u64> {
    let (_, messages) = server.get("/readyz");
    let shards = messages["shards"].as_array().cloned().unwrap_or_default();
    shards.iter().map(|shard| shard["missingAppEvents"].as_u64().unwrap_or(0)).collect()
}

/// The day on which the window of a tenant ends.
fn window_end(server: &Server, client: &str) -> String {
    let (_, answer) = server.get(&format!("/v1/tenants/{client}/apps/{APP}"));
    let end = answer["installation"]["window"]["end"].as_str().unwrap_or_default();
    end.split('T').next().unwrap_or_default().to_owned()
}

fn uninstalled(client: &str, partition: i32) -> Message {
    let value = format!(
        r#"{{"id":"u-1","type":"uninstalled","time":"2024-04-01T00:00:00Z","clientKey":"{client}","appKey":"{APP}","endpointRealm":"EU"}}"#
    );
    Message::new(client, value).to_partition(partition)
}

fn fill(cluster: &Cluster, topic: &str) {
    let mut history = Vec::new();
    for partition in 0..3 {
        let client = format!("tenant-{partition}");
        history.push(policy("everywhere", 30, partition));
        history.push(installed(&client, "e-1", partition));
        history.push(uninstalled(&client, partition));
    }
    cluster.produce(topic, &history);
}

#[test]
fn app_event_in_one_partition_is_reported_and_copied() {
    let cluster = kafka::shared();
    let scratch = scratch::directory();
    let setup = Setup::new(cluster, kafka::unique_name("copies"), scratch.path().join("data"));
    cluster.create_topic(&setup.topic, 3, &APPEND_TIME);
    fill(cluster, &setup.topic);
    let server = Server::start(&setup, &scratch.path().join("log"));
    server.wait_until_ready(3);
    // An ordinary producer sends one message to the partition of its key.
    cluster.produce(&setup.topic, &[policy("in-one", 7, 1)]);
    wait::until("the copies are missed", || missing(&server) == [1, 0, 1]);
    let ends =
        |server: &Server| [0, 1, 2].map(|partition| window_end(server, &format!("tenant-{partition}")));
    assert_eq!(ends(&server), ["2024-05-01", "2024-04-08", "2024-05-01"], "that is why it matters");
    let shown = server.get("/readyz").1["shards"][0]["missingCopies"].clone();
    assert_eq!(shown["code"], "app-events-missing");
    assert!(
        shown["message"].as_str().unwrap().contains("`realm-ledger publish --missing-copies`"),
        "{shown}"
    );
    assert_eq!(
        [0, 1, 2].map(|partition| gauge(&server, &setup.topic, partition)),
        [Some(1.0), Some(0.0), Some(1.0)]
    );

    let directory = setup.data_dir.to_str().unwrap();
    let repair = [
        "publish",
        "--missing-copies",
        "--data-dir",
        directory,
        "--brokers",
        cluster.bootstrap(),
        "--topic",
        &setup.topic,
    ];
    let sent = run(&repair);
    assert_eq!(sent.status.code(), Some(0), "{}", stderr(&sent));
    assert!(stderr(&sent).contains("2 copies were missing in the 3 partitions"), "{}", stderr(&sent));
    wait::until("every partition has it", || {
        missing(&server) == [0, 0, 0] && ends(&server) == ["2024-04-08"; 3]
    });
    let again = run(&repair);
    assert!(stderr(&again).contains("0 copies were missing"), "{}", stderr(&again));
    assert_eq!(gauge(&server, &setup.topic, 0), Some(0.0));
    server.drain();
}
