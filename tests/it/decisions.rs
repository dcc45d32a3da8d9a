//! Decisions as server-sent events, taken by curl through restarts and a crash of the server, against the topic of
//! decisions: no gap, no repeat, the same bytes.

use std::fs::File;
use std::path::Path;

use ledger_tests::kafka::{self, Isolation, Message};
use ledger_tests::process::Process;
use ledger_tests::server::{Server, Setup};
use ledger_tests::workload::{self, Mix};
use ledger_tests::{scratch, wait};
use serde_json::Value;

const PARTITIONS: i32 = 3;

/// What curl received of one answer: the whole events, each with its name, id and data.
fn events(file: &Path) -> Vec<(String, String, String)> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    // An event that was cut off is none.
    let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
    let event = |text: &str| {
        let of =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
        (of("event: "), of("id: "), of("data: "))
    };
    whole.split("\n\n").filter(|text| !text.is_empty()).map(event).collect()
}

/// Curl, on the stream of a server.
fn curl(server: &Server, last: Option<&str>, into: &Path) -> Process {
    let into = File::create(into).unwrap();
    Process::start("curl", |command| {
        command.args(["--silent", "--no-buffer", "--header", "accept: text/event-stream"]);
        if let Some(id) = last {
            command.args(["--header", &format!("last-event-id: {id}")]);
        }
        command.arg(format!("{}/v1/decisions?from=begin", server.url)).stdout(into);
    })
}

/// The notices of each shard, in their order.
fn by_shard(notices: impl IntoIterator<Item = String>) -> Vec<Vec<String>> {
    let mut shards = vec![Vec::new(); usize::try_from(PARTITIONS).unwrap()];
    for text in notices {
        let notice: Value = serde_json::from_str(&text).unwrap();
        let source = notice["source"].as_str().unwrap();
        let partition: usize = source.rsplit('/').next().unwrap().parse().unwrap();
        shards[partition].push(text);
    }
    shards
}

/// Lives of tenants, some events of them late, repeated or refused.
fn messages() -> Vec<Message> {
    let mix = Mix {
        seed: 14,
        tenants: 90,
        events: 6_000,
        partitions: PARTITIONS,
        late_percent: 5,
        repeats_per_mille: 20,
        conflicts_per_mille: 5,
        malformed_per_mille: 5,
        late_app_events: true,
    };
    workload::stream(mix).into_iter().map(|sent| sent.message).collect()
}

#[test]
fn curl_gets_each_decision_once_through_restarts_and_a_crash() {
    let cluster = kafka::shared();
    let scratch = scratch::directory();
    let topic = kafka::unique_name("subscribed");
    let setup = Setup {
        decisions_topic: format!("{topic}.decisions"),
        ..Setup::new(cluster, topic.clone(), scratch.path().join("data"))
    };
    cluster.create_topic(&topic, PARTITIONS, &[("message.timestamp.type", "LogAppendTime")]);
    cluster.create_topic(&setup.decisions_topic, 1, &[]);
    let messages = messages();
    let log = scratch.path().join("log");
    let mut received: Vec<(String, String, String)> = Vec::new();
    let parts: Vec<&[Message]> = messages.chunks(messages.len().div_ceil(4)).collect();
    for (visit, part) in parts.iter().enumerate() {
        let mut server = Server::start(&setup, &log);
        let file = scratch.path().join(format!("events-{visit}"));
        let mut curl = curl(&server, received.last().map(|(_, id, _)| id.as_str()), &file);
        // Some come while the partitions are being assigned, the others live.
        cluster.produce(&topic, part);
        if visit % 2 == 0 {
            let has_some = || events(&file).iter().filter(|(name, ..)| name.is_empty()).count() > 100;
            wait::until("decisions on the stream", has_some);
            server.drain();
            curl.wait(std::time::Duration::from_mins(1));
            let whole = events(&file);
            let (name, _, problem) = whole.last().unwrap();
            assert!(name == "problem" && problem.contains("stopping"), "{name} {problem}");
            received.extend(whole);
        } else {
            wait::until("decisions on the stream", || events(&file).len() > 100);
            server.process.kill();
            curl.wait(std::time::Duration::from_mins(1));
            received.extend(events(&file));
        }
    }
    let server = Server::start(&setup, &log);
    let file = scratch.path().join("events-last");
    let curl = curl(&server, received.last().map(|(_, id, _)| id.as_str()), &file);
    server.wait_until_ready(usize::try_from(PARTITIONS).unwrap());

    let published = || {
        let mut ids = std::collections::BTreeSet::new();
        let all = cluster.read_all(&setup.decisions_topic, Isolation::ReadCommitted);
        let texts =
            all.into_iter().map(|message| String::from_utf8(message.value.unwrap_or_default()).unwrap());
        // After a crash the last ones are published again, with the same ids.
        let id =
            |text: &String| serde_json::from_str::<Value>(text).unwrap()["id"].as_str().unwrap().to_owned();
        by_shard(texts.filter(|text| ids.insert(id(text))))
    };
    let notices = || {
        let all = received.iter().cloned().chain(events(&file));
        by_shard(all.filter(|(name, ..)| name.is_empty()).map(|(.., data)| data))
    };
    let counts = |shards: Vec<Vec<String>>| shards.iter().map(Vec::len).collect::<Vec<_>>();
    wait::until_or(
        || counts(notices()) == counts(published()) && counts(published()).iter().sum::<usize>() > 4_000,
        || format!("{:?} of {:?}", counts(notices()), counts(published())),
    );
    drop(curl);
    server.drain();
    for (shard, (received, published)) in notices().into_iter().zip(published()).enumerate() {
        assert!(received == published, "shard {shard}");
    }
}
