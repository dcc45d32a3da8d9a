//! Load that must neither halt nor starve a running ledger: more connections than open files, clients that do not
//! send or read, and brokers that do not answer at shutdown.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ledger_tests::kafka::{self, Broker, Cluster, Message};
use ledger_tests::server::{Server, Setup};
use ledger_tests::{scratch, wait};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

fn setup(cluster: &Cluster, stem: &str, scratch: &Path, partitions: i32) -> Setup {
    let setup = Setup::new(cluster, kafka::unique_name(stem), scratch.join("data"));
    cluster.create_topic(&setup.topic, partitions, &[("message.timestamp.type", "LogAppendTime")]);
    setup
}

fn enabled(number: u32, reason: &str) -> Message {
    let value = format!(
        r#"{{"id":"e-{number}","type":"enabled","time":"2024-03-01T00:00:00Z","clientKey":"acme","appKey":"app","reason":"{reason}"}}"#
    );
    Message::new("acme", value)
}

fn connect(server: &Server, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The server may have closed it to make room.
    let _ = stream.write_all(request.as_bytes());
    stream
}

/// Waits until this is the last seq of the tenant.
fn wait_for_seq(server: &Server, seq: u64) {
    let has_seq = || server.get("/v1/tenants/acme").1["installations"][0]["seq"] == seq;
    wait::until_or(has_seq, || format!("{:?}; {}", server.get("/v1/tenants/acme"), server.get("/readyz").1));
}

/// The usual limit is 1,024: the process raises it, or accepts only as many connections as leave files for its
/// shards.
#[test]
fn more_connections_than_open_files_halt_no_shard() {
    let (cluster, scratch) = (kafka::shared(), scratch::directory());
    for (name, open_files, connections) in [("raised", (1024, 4096), 1_030), ("fewer", (1024, 1024), 1_030)] {
        let scratch = scratch.path().join(name);
        std::fs::create_dir(&scratch).unwrap();
        let setup = Setup {
            open_files: Some(open_files),
            more: vec![("KAFKA__CHECK_INTERVAL", "1s".to_owned())],
            ..setup(cluster, name, &scratch, 2)
        };
        cluster.produce(&setup.topic, &[enabled(1, "")]);
        let server = Server::start(&setup, &scratch.join("log"));
        server.wait_until_ready(2);
        let idle: Vec<_> = (0..connections).map(|_| connect(&server, "")).collect();
        // Some checks of the shards, which open files.
        thread::sleep(Duration::from_secs(4));
        cluster.produce(&setup.topic, &[enabled(2, "")]);
        wait_for_seq(&server, 2);
        server.wait_until_ready(2);
        let log = std::fs::read_to_string(scratch.join("log")).unwrap();
        assert!(!log.contains("halted") && !log.contains("Too many open files"), "{log}");
        drop(idle);
        server.drain();
    }
}

#[test]
fn too_few_open_files_refuse_the_start_with_numbers() {
    let (cluster, scratch) = (kafka::shared(), scratch::directory());
    let setup = Setup { open_files: Some((256, 256)), ..setup(cluster, "few", scratch.path(), 2) };
    let log = scratch.path().join("log");
    let ended = Server::launch(&setup, &log).process.wait(PATIENCE);
    let log = std::fs::read_to_string(&log).unwrap();
    assert_eq!(ended.code(), Some(1), "{log}");
    assert!(log.contains("the process may open 256 files and needs"), "{log}");
    assert!(log.contains("LimitNOFILE="), "{log}");
}

#[test]
fn missing_bodies_do_not_block_health() {
    let (cluster, scratch) = (kafka::shared(), scratch::directory());
    let setup = setup(cluster, "stuck", scratch.path(), 1);
    let server = Server::start(&setup, &scratch.path().join("log"));
    let stuck = "POST /v1/whatif HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n";
    let held: Vec<_> = (0..1_030).map(|_| connect(&server, stuck)).collect();
    let mut took: Vec<_> = (0..20).map(|_| livez(&server)).collect();
    took.sort_unstable();
    assert!(took[19] < Duration::from_secs(10), "a body may take as long: {took:?}");
    let (_, metrics) = server.get("/metrics");
    let metrics = metrics.as_str().unwrap();
    assert!(metrics.contains(r#"realm_ledger_http_slow_clients_total{why="room"}"#), "{metrics}");
    drop(held);
    server.drain();
}

/// The time of the answer, on a connection of its own.
fn livez(server: &Server) -> Duration {
    let began = Instant::now();
    let mut stream = connect(server, "GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    began.elapsed()
}

#[test]
fn unread_log_streams_cost_little_memory() {
    const CLIENTS: usize = 200;
    let (cluster, scratch) = (kafka::shared(), scratch::directory());
    let setup = Setup {
        more: vec![("HTTP__CONCURRENT_REQUESTS", (2 * CLIENTS).to_string())],
        ..setup(cluster, "unread", scratch.path(), 1)
    };
    // A page of 500 records is megabytes long.
    let reason = "x".repeat(8 * 1024);
    let events: Vec<_> = (1..=2_500).map(|number| enabled(number, &reason)).collect();
    cluster.produce(&setup.topic, &events);
    let server = Server::start(&setup, &scratch.path().join("log"));
    server.wait_until_ready(1);
    wait_for_seq(&server, 2_500);
    let before = resident_mib(&server);
    let log = "GET /v1/tenants/acme/log HTTP/1.1\r\nhost: localhost\r\naccept: application/x-ndjson\r\n\r\n";
    let mut held: Vec<_> = (0..CLIENTS).map(|_| connect(&server, log)).collect();
    for stream in &mut held {
        let mut first = [0; 15];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK");
    }
    thread::sleep(Duration::from_secs(3));
    let grown = resident_mib(&server).saturating_sub(before);
    println!("{CLIENTS} clients that do not read: {before} MiB before, {grown} MiB more");
    assert!(grown < 150, "{grown} MiB");
    drop(held);
    server.drain();
}

fn resident_mib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[test]
fn frozen_brokers_do_not_delay_shutdown() {
    const WITHIN: Duration = Duration::from_secs(8);
    let (mut broker, scratch) = (Broker::start(), scratch::directory());
    let log = scratch.path().join("log");
    let setup = setup(broker.cluster(), "silent", scratch.path(), 4);
    let setup = Setup {
        decisions_topic: format!("{}.decisions", setup.topic),
        dead_letter_topic: format!("{}.dead-letter", setup.topic),
        checkpoints_topic: format!("{}.checkpoints", setup.topic),
        more: vec![("SHUTDOWN_TIMEOUT", format!("{}s", WITHIN.as_secs()))],
        ..setup
    };
    for topic in [&setup.decisions_topic, &setup.dead_letter_topic, &setup.checkpoints_topic] {
        broker.cluster().create_topic(topic, 1, &[]);
    }
    let events: Vec<_> = (1..=5_000).map(|number| enabled(number, "")).collect();
    broker.cluster().produce(&setup.topic, &events);
    let mut server = Server::start(&setup, &log);
    // Some events are recorded and probably not published yet.
    let deadline = Instant::now() + PATIENCE;
    while server.get("/v1/tenants/acme").0 != 200 {
        assert!(Instant::now() < deadline, "{}", server.get("/readyz").1);
        thread::sleep(Duration::from_millis(5));
    }
    broker.freeze();
    let began = Instant::now();
    server.process.signal("TERM");
    let ended = server.process.wait(PATIENCE);
    let took = began.elapsed();
    println!("ended after {took:?}");
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(took < WITHIN + Duration::from_secs(10), "{took:?}: {log}");
    assert_eq!(ended.code(), Some(0), "{log}");
    assert!(log.contains("leaving the consumer group"), "{log}");
}
