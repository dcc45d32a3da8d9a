//! A full disk that gets room again.

use std::path::Path;
use std::process::Command;

use ledger_tests::disk::SmallDisk;
use ledger_tests::kafka;
use ledger_tests::scratch;
use ledger_tests::server::{self, Server};

use super::{are_all, events, setup, wait_ready};

const TWO: i32 = 2;

/// Every shard halts, reports the reason, its lag and the remedy, and still answers; with room again all continue,
/// and nothing is lost or doubled.
#[test]
fn shards_halted_by_a_full_disk_resume_when_freed() {
    let (cluster, disk, scratch) = (kafka::shared(), SmallDisk::mount(48), scratch::directory());
    let setup = setup(cluster, "full", TWO, &disk.path().join("data"));
    let server = Server::start(&setup, &scratch.path().join("log"));
    cluster.produce(&setup.topic, &events(TWO, 0, 100));
    server.wait_until_ready(2);
    disk.fill();
    let mut sent = 100;
    let reported = loop {
        // Until the space that the write-ahead logs had reserved is used up.
        cluster.produce(&setup.topic, &events(TWO, sent, 200));
        sent += 200;
        let reported = wait_ready(&server, "read or halted", |_, reported| {
            are_all(reported, |shard| shard["phase"] == "HALTED" || shard["lag"] == 0)
        });
        if are_all(&reported, |shard| shard["phase"] == "HALTED") {
            break reported;
        }
        assert!(sent < 1_000_000, "the disk is not full: {reported:#}");
    };
    for shard in reported["shards"].as_array().unwrap() {
        assert_eq!(shard["halted"]["code"], "disk-full", "{reported:#}");
        let message = shard["halted"]["message"].as_str().unwrap();
        assert!(message.contains("make room on the disk") && message.contains("by itself"), "{message}");
    }
    assert_eq!(server.get("/livez").0, 200);
    assert_eq!(server.get("/v1/tenants/tenant-7").0, 200, "what is recorded is answered");
    cluster.produce(&setup.topic, &events(TWO, sent, 50));
    sent += 50;
    let unread = |reported: &serde_json::Value| {
        let shards = reported["shards"].as_array().unwrap().iter();
        shards.map(|shard| shard["lag"].as_u64().unwrap_or(0)).sum::<u64>()
    };
    let offsets = |reported: &serde_json::Value| {
        let shards = reported["shards"].as_array().unwrap().iter();
        shards.map(|shard| shard["offset"].as_u64().unwrap_or(0)).sum::<u64>()
    };
    let sent_in_all = u64::try_from(sent).unwrap();
    wait_ready(&server, "told how much waits", |status, reported| {
        status == 503 && unread(reported) >= 50 && offsets(reported) + unread(reported) == sent_in_all
    });

    disk.free();
    server.wait_until_ready(2);
    let (status, reported) = server.get("/readyz");
    assert_eq!((status, offsets(&reported)), (200, sent_in_all), "{reported:#}");
    assert!(are_all(&reported, |shard| shard["halted"].is_null()), "{reported:#}");
    for number in [0, sent / 2, sent - 1] {
        let (_, log) = server.get(&format!("/v1/tenants/tenant-{number}/log"));
        assert_eq!(log["records"].as_array().map(Vec::len), Some(1), "{log:#}");
    }
    server.drain();
    let shards = server::verified(&setup.data_dir, &[]);
    assert_eq!(shards.len(), 2, "{shards:?}");
}

/// The program starts on a full disk: at first it serves nothing.
#[test]
fn start_on_a_full_disk_resumes_when_freed() {
    let (cluster, disk, scratch) = (kafka::shared(), SmallDisk::mount(48), scratch::directory());
    let setup = setup(cluster, "full-at-start", TWO, &disk.path().join("data"));
    let log = scratch.path().join("log");
    let server = Server::start(&setup, &log);
    cluster.produce(&setup.topic, &events(TWO, 0, 10));
    server.wait_until_ready(2);
    server.drain();
    disk.fill();
    cluster.produce(&setup.topic, &events(TWO, 10, 10));
    let server = Server::start(&setup, &log);
    wait_ready(&server, "halted by the disk", |status, reported| {
        status == 503 && are_all(reported, |shard| shard["halted"]["code"] == "disk-full")
    });
    disk.free();
    server.wait_until_ready(2);
    assert_eq!(server.get("/v1/tenants/tenant-19").0, 200);
    server.drain();
}

/// No descriptor is left: neither a disk failure nor damage.
#[test]
fn process_without_descriptors_resumes_when_it_has_some() {
    let (cluster, scratch) = (kafka::shared(), scratch::directory());
    let setup = setup(cluster, "descriptors", 1, &scratch.path().join("data"));
    let server = Server::start(&setup, &scratch.path().join("log"));
    cluster.produce(&setup.topic, &events(1, 0, 5));
    server.wait_until_ready(1);
    // A connection for `/readyz` takes one, so the process is asked when it has some again.
    let open = std::fs::read_dir(Path::new("/proc").join(server.process.id().to_string()).join("fd"));
    let open = open.unwrap().count();
    limit(&server, open.saturating_sub(1));
    std::thread::sleep(std::time::Duration::from_secs(4));
    limit(&server, open + 1_000);
    cluster.produce(&setup.topic, &events(1, 5, 5));
    wait_ready(&server, "read on", |status, reported| status == 200 && reported["shards"][0]["offset"] == 10);
    assert_eq!(server.get("/v1/tenants/tenant-9").0, 200);
    server.drain();
    let log = std::fs::read_to_string(scratch.path().join("log")).unwrap();
    assert!(!log.contains("shard-damaged") && !log.contains("disk-failed"), "{log}");
}

fn limit(server: &Server, descriptors: usize) {
    let limit = format!("--nofile={descriptors}:");
    let limited = Command::new("prlimit").args(["--pid", &server.process.id().to_string(), &limit]).status();
    assert!(limited.unwrap().success(), "run the tests as root: prlimit {limit}");
}
