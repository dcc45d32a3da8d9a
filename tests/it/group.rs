//! Two programs in one consumer group share the partitions of a topic: each answers for its own, reports unassigned
//! ones, and takes over those of the other.

use std::path::Path;

use ledger_tests::kafka::{self, Cluster, Message};
use ledger_tests::server::{self, Server, Setup};
use ledger_tests::{scratch, wait};
use serde_json::Value;

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
