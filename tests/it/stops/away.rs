//! Brokers that are gone longer than the session timeout, so that the group assignment is lost too: the reason stays,
//! and the log reports it once.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ledger_tests::kafka::{self, Broker};
use ledger_tests::scratch;
use ledger_tests::server::{Server, Setup};
use serde_json::Value;

use super::{are_all, events, setup, wait_ready};

const THREE: i32 = 3;

/// How long brokers are away; the session timeout of the tests is six seconds.
const AWAY: Duration = Duration::from_secs(20);

/// Everything that uses brokers runs: group, publisher, signer, ticks.
fn all_at_work(broker: &Broker, data_dir: &Path) -> Setup {
    let cluster = broker.cluster();
    let mut setup = setup(cluster, "away", THREE, data_dir);
    for (topic, stem) in [
        (&mut setup.decisions_topic, "decisions"),
        (&mut setup.dead_letter_topic, "dead-letters"),
        (&mut setup.checkpoints_topic, "checkpoints"),
    ] {
        *topic = kafka::unique_name(stem);
        cluster.create_topic(topic, 1, &[]);
    }
    setup.more.push(("EVIDENCE__TICK_INTERVAL", "1s".to_owned()));
    setup
}

fn lines_since(log: &Path, begin: usize) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap();
    text[begin..].lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn of_level<'a>(lines: &'a [Value], levels: &[&str]) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["level"].as_str().is_some_and(|level| levels.contains(&level))).collect()
}

/// Polls `/readyz`; once it reports the reason it must continue to.
fn watch(server: &Server, until: Instant) {
    let names_it = |reported: &Value| {
        reported["detail"].as_str().is_some_and(|detail| detail.contains("source-unreachable"))
    };
    let reported = wait_ready(server, "told", |status, reported| status == 503 && names_it(reported));
    assert!(!reported["shards"].as_array().unwrap().is_empty());
    let mut was_out = false;
    while Instant::now() < until {
        let (status, reported) = server.get("/readyz");
        assert!(status == 503 && names_it(&reported), "the reason is gone: {reported:#}");
        assert_eq!(server.get("/livez").0, 200);
        was_out |= are_all(&reported, |shard| shard["assigned"] == false);
        thread::sleep(Duration::from_millis(100));
    }
    assert!(was_out, "the session did not end, so this test shows nothing");
    let (_, reported) = server.get("/readyz");
    assert!(are_all(&reported, |shard| shard["stalled"]["code"] == "source-unreachable"), "{reported:#}");
    let (_, answer) = server.get("/v1/tenants/tenant-1");
    assert_eq!(answer["freshness"][0]["stale"], true);
}

fn brokers_that_go(stop: impl Fn(&mut Broker), come_back: impl Fn(&mut Broker)) {
    let (mut broker, scratch) = (Broker::start(), scratch::directory());
    let setup = all_at_work(&broker, &scratch.path().join("data"));
    let log = scratch.path().join("log");
    let server = Server::start(&setup, &log);
    broker.cluster().produce(&setup.topic, &events(THREE, 0, 30));
    server.wait_until_ready(3);
    // Until all records are signed and published.
    thread::sleep(Duration::from_secs(3));
    let begin = std::fs::metadata(&log).unwrap().len();
    // A record without a seal when the brokers stop.
    broker.cluster().produce(&setup.topic, &events(THREE, 30, 3));
    stop(&mut broker);
    watch(&server, Instant::now() + AWAY);
    let lines = lines_since(&log, usize::try_from(begin).unwrap());
    let warned = of_level(&lines, &["WARN", "ERROR"]);
    assert_eq!(warned.len(), 1, "{warned:#?}");
    assert!(warned[0].to_string().contains("the brokers do not answer"), "{warned:#?}");

    come_back(&mut broker);
    server.wait_until_ready(3);
    broker.cluster().produce(&setup.topic, &events(THREE, 33, 3));
    wait_ready(&server, "read on", |status, reported| {
        let offsets =
            reported["shards"].as_array().unwrap().iter().filter_map(|shard| shard["offset"].as_u64());
        status == 200 && offsets.sum::<u64>() >= 36 && reported["away"].is_null()
    });
    server.drain();
    let lines = lines_since(&log, usize::try_from(begin).unwrap());
    let text = lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    // While they start, a client that was refused just before can tell so behind the first answer of another one.
    let answered = text.matches("the brokers answer again").count();
    assert!((1..=2).contains(&answered), "{text}");
    for lie in ["someone else", "thrown out"] {
        assert!(!text.contains(lie), "{lie}: {text}");
    }
}

#[test]
fn killed_brokers_are_the_reason_until_they_return() {
    brokers_that_go(Broker::kill, Broker::restart);
}

#[test]
fn frozen_brokers_are_the_reason_until_they_return() {
    brokers_that_go(ledger_tests::kafka::Broker::freeze, ledger_tests::kafka::Broker::thaw);
}
