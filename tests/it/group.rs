//! Two programs in one consumer group share the partitions of a topic: each answers for its own, reports unassigned
//! ones, and takes over those of the other.

use std::path::Path;

use ledger_store::Partitioner;
use ledger_tests::kafka::{self, Cluster, Isolation, Message};
use ledger_tests::server::{self, Server, Setup};
use ledger_tests::{scratch, wait};
use serde_json::{Value, json};

const APP: &str = "app";

fn setup(cluster: &Cluster, topic: &str, name: &str, scratch: &Path) -> Setup {
    Setup {
        group: format!("{topic}.group"),
        instance: name.to_owned(),
        ..Setup::new(cluster, topic.to_owned(), scratch.join(name))
    }
}

fn tenant(partition: u32, name: &str) -> String {
    format!("{name}-{partition}")
}

/// One event of a tenant for each of the two partitions.
fn send(cluster: &Cluster, topic: &str, name: &str) {
    let event = |partition: u32| {
        let client = tenant(partition, name);
        let value = format!(
            r#"{{"id":"e-1","type":"enabled","time":"2024-03-01T00:00:00Z","clientKey":"{client}","appKey":"{APP}"}}"#
        );
        Message::new(client, value).to_partition(i32::try_from(partition).unwrap())
    };
    cluster.produce(topic, &[event(0), event(1)]);
}

/// The partitions that are assigned to a program and read to their end.
fn fed(server: &Server) -> Vec<u64> {
    let (_, reported) = server.get("/readyz");
    let shards = reported["shards"].as_array().cloned().unwrap_or_default();
    let fed = shards.iter().filter(|shard| shard["assigned"] == true && shard["caughtUp"] == true);
    fed.map(|shard| shard["partition"].as_u64().unwrap()).collect()
}

/// Waits until each of the two has one partition; returns them in partition order.
fn shared<'s>(one: &'s Server, other: &'s Server) -> [&'s Server; 2] {
    let mut owners = [one, other];
    wait::until("each has a partition", || match (&fed(one)[..], &fed(other)[..]) {
        ([0], [1]) => true,
        ([1], [0]) => {
            owners = [other, one];
            true
        }
        _ => false,
    });
    owners
}

fn ask(server: &Server, client: &str) -> (u16, Value) {
    server.get(&format!("/v1/tenants/{client}/apps/{APP}"))
}

fn answers(server: &Server, client: &str) {
    wait::until(&format!("an answer about {client}"), || {
        let (status, reported) = ask(server, client);
        status == 200 && reported["freshness"][0]["stale"] == false
    });
}

/// The output of `state` for all tenants, and its messages. It exits with 1 where the answer is incomplete.
fn list(server: &Server) -> (Vec<String>, String) {
    let output = server::command().args(["state", "--url", &server.url]).output().unwrap();
    let reported = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(i32::from(!reported.is_empty())), "{reported}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let clients = lines.lines().map(|line| {
        let state: Value = serde_json::from_str(line).unwrap();
        state["clientKey"].as_str().unwrap().to_owned()
    });
    (clients.collect(), reported)
}

#[test]
fn process_takes_over_partitions_of_a_leaving_one() {
    let cluster = kafka::shared();
    let topic = kafka::unique_name("group-of-two");
    cluster.create_topic(&topic, 2, &[("message.timestamp.type", "LogAppendTime")]);
    let scratch = scratch::directory();
    let log = |name: &str| scratch.path().join(format!("{name}.log"));
    let [one, two] = ["one", "two"].map(|name| setup(cluster, &topic, name, scratch.path()));
    let first = Server::start(&one, &log("one"));
    let second = Server::start(&two, &log("two"));
    let owners = shared(&first, &second);
    send(cluster, &topic, "early");
    for (partition, owner) in (0..).zip(owners) {
        answers(owner, &tenant(partition, "early"));
        let foreign = 1 - partition;
        let (status, reported) = ask(owner, &tenant(foreign, "early"));
        assert_eq!((status, &reported["code"]), (503, &Value::from("not-ready")), "{reported}");
        assert!(reported["detail"].as_str().unwrap().contains(&format!("{topic}/{foreign}")), "{reported}");
        // A tenant without records may be in the other's partition, as far as this one knows.
        assert_eq!(ask(owner, "nobody").1["code"], "not-ready");
        let (clients, reported) = list(owner);
        assert_eq!(clients, [tenant(partition, "early")]);
        assert!(reported.contains(&format!("does not feed {topic}/{foreign}:")), "{reported}");
    }

    second.drain();
    wait::until("the first has taken over", || fed(&first) == [0, 1]);
    for partition in 0..2 {
        answers(&first, &tenant(partition, "early"));
    }
    assert_eq!(ask(&first, "nobody").1["code"], "not-found");
    assert_eq!(list(&first), (vec![tenant(0, "early"), tenant(1, "early")], String::new()));

    // The released partition is kept unchanged, and every answer is marked as stale.
    let second = Server::start(&two, &log("two"));
    let owners = shared(&first, &second);
    send(cluster, &topic, "later");
    for (partition, owner) in (0..).zip(owners) {
        answers(owner, &tenant(partition, "later"));
    }
    let foreign = u32::from(std::ptr::eq(owners[0], &raw const first));
    let (status, reported) = ask(&first, &tenant(foreign, "early"));
    assert_eq!((status, &reported["freshness"][0]["stale"]), (200, &Value::Bool(true)), "{reported}");
    assert_eq!(ask(&first, &tenant(foreign, "later")).1["code"], "not-ready");
    first.drain();
    second.drain();
}

/// Regression: a process that does not feed the tenant published what is recorded with other content, and answered 202.
#[test]
fn command_is_taken_only_where_its_shard_is_fed() {
    let cluster = kafka::shared();
    let topic = kafka::unique_name("group-commands");
    cluster.create_topic(&topic, 2, &[("message.timestamp.type", "LogAppendTime")]);
    let scratch = scratch::directory();
    let [one, two] = ["one", "two"].map(|name| {
        let mut setup = setup(cluster, &topic, name, scratch.path());
        setup.more.push(("KAFKA__PARTITIONER", "murmur2".to_owned()));
        setup.more.push(("EVIDENCE__TICK_INTERVAL", "1h".to_owned()));
        (Server::start(&setup, &scratch.path().join(format!("{name}.log"))), setup.data_dir)
    });
    let owners = shared(&one.0, &two.0);
    // Tenants of the first partition, and one of the second.
    let placed = |partition: u32| {
        let names = (0..).map(|number| format!("tenant-{number}"));
        names.filter(move |name| Partitioner::Murmur2.partition(name.as_bytes(), 2) == Some(partition))
    };
    let known = placed(0).next().unwrap();
    let install = format!(
        r#"{{"id":"i","type":"installed","time":"2026-01-02T00:00:00Z","clientKey":"{known}","appKey":"{APP}","endpointRealm":"EU"}}"#
    );
    cluster.produce(&topic, &[Message::new(known.clone(), install)]);
    answers(owners[0], &known);
    let pin = |id: &str, client: &str, reason: &str| {
        json!({"id": id, "type": "override", "time": "2026-01-03T00:00:00Z", "clientKey": client, "appKey": APP,
               "action": "PIN", "realm": "US", "actor": "eva", "reason": reason})
    };
    let post = |owner: usize, event: &Value| owners[owner].post("/v1/commands", event);
    let (status, recorded) = post(0, &pin("pin-1", &known, "case 1"));
    assert_eq!((status, recorded["records"].as_array().map(Vec::len)), (201, Some(1)), "{recorded}");
    let newcomer = placed(0).nth(1).unwrap();
    let before = cluster.read_all(&topic, Isolation::ReadCommitted).len();
    for event in
        [pin("pin-1", &known, "case 2"), pin("pin-1", &known, "case 1"), pin("pin-2", &newcomer, "case 3")]
    {
        let (status, problem) = post(1, &event);
        assert_eq!((status, &problem["code"]), (503, &json!("not-ready")), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(&format!("{topic}/0")), "{problem}");
    }
    assert_eq!(cluster.read_all(&topic, Isolation::ReadCommitted).len(), before, "nothing was published");
    assert_eq!(post(0, &pin("pin-1", &known, "case 2")).1["code"], "event-id-conflict");
    assert_eq!(post(0, &pin("pin-2", &newcomer, "case 3")).0, 201);
    assert_eq!(post(1, &pin("pin-3", &placed(1).next().unwrap(), "case 4")).0, 201);

    // One of a whole app has a copy in every shard, so any process knows its id.
    let policy = |days: u32| {
        json!({"id": "policy-1", "type": "policy-set", "time": "2026-01-01T00:00:00Z", "appKey": APP,
               "policy": {"mode": "days", "days": days}, "actor": "eva", "reason": "case 5"})
    };
    let (status, answer) = post(1, &policy(5));
    assert_eq!((status, &answer["elsewhere"]), (201, &json!([format!("{topic}/0")])), "{answer}");
    assert_eq!((answer["records"].as_array().map(Vec::len), &answer["pending"]), (Some(1), &Value::Null));
    wait::until("the other shard has it", || {
        owners[0].get(&format!("/v1/commands/policy-1?appKey={APP}")).0 == 200
    });
    for owner in [0, 1] {
        assert_eq!(post(owner, &policy(6)).1["code"], "event-id-conflict");
    }
    for (server, data_dir) in [one, two] {
        server.drain();
        server::verified(&data_dir, &[]);
    }
}
