//! Ingestion at full speed beside subscribers of decisions, and 500 questions a second: what the subscribers take of its
//! rate and of memory, and how long answers take.
//!
//! The clients are in this process, so their share of the processors and some of the memory is theirs. The subscribers
//! begin at the first record, as ingestion does; a question about a tenant that has not come yet is answered `not-ready`.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ledger_api::http::{Api, Options};
use ledger_api::ledger::Ledger;
use ledger_api::serve;
use ledger_store::Catalog;
use ledger_tests::kafka;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use super::asking::{Answers, Asking};
use super::ingest::{Source, ingest};
use super::measure::{Took, median, report, tell_ratio};

/// How many of which filter.
type Crowd = &'static [(usize, &'static str)];

const CROWDS: [(&str, Crowd); 4] = [
    ("no subscriber", &[]),
    ("1 of everything", &[(1, "")]),
    ("1000 of what is rare", &[(1000, "&rule=REALM_WITHDRAWN")]),
    ("990 of what is rare, 10 of everything", &[(990, "&rule=REALM_WITHDRAWN"), (10, "")]),
];

pub(crate) fn run(source: &Source<'_>, clients: &Arc<Vec<String>>, dir: &Path, pairs: usize) {
    let mut all: Vec<Vec<Took>> = vec![Vec::new(); CROWDS.len()];
    let mut all_p99 = vec![Vec::new(); CROWDS.len()];
    for pair in 0..pairs {
        for (((name, crowd), took), p99) in CROWDS.iter().zip(&mut all).zip(&mut all_p99) {
            // Not that of the run before: a read that is still under way there keeps it open.
            let ledger = dir.join(kafka::unique_name("subscribed"));
            let (this, subscribers) =
                ingest(source, &ledger, false, |catalog| Subscribers::start(catalog, crowd, clients));
            took.push(this);
            let (told, mut answers) = subscribers.stop();
            println!("  {pair} {name:<40} {told}");
            println!("  {:<42} {}", "", answers.told());
            p99.push(answers.p99());
        }
    }
    let none = all.first().cloned().unwrap_or_default();
    let p99_of = |of: &[f64]| median(of.iter().copied());
    let none_p99 = all_p99.first().map_or(f64::NAN, |none| p99_of(none));
    for (((name, _), took), p99) in CROWDS.iter().zip(&all).zip(&all_p99) {
        report(name, source.messages, took);
        tell_ratio(&format!("{name} / none"), took, &none);
        println!("  {:<44} {:>10.2}", format!("{name} / none, p99 of answers"), p99_of(p99) / none_p99);
    }
}

/// A server with its subscribers.
struct Subscribers {
    runtime: Runtime,
    bytes: Arc<AtomicU64>,
    slow: Arc<AtomicU64>,
    before: u64,
    asking: Asking,
}

impl Subscribers {
    fn start(catalog: &Arc<Catalog>, crowd: Crowd, clients: &Arc<Vec<String>>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let before = resident_kib();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let ledger = Arc::new(Ledger::from_catalog(Arc::clone(catalog)));
        let options = Options { connections: 1100, ..Options::default() };
        runtime.spawn(serve(
            listener,
            Api::new(ledger, Arc::new(String::new), options),
            std::future::pending(),
        ));
        let (bytes, slow) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        for (count, filter) in crowd {
            for _ in 0..*count {
                let (bytes, slow) = (Arc::clone(&bytes), Arc::clone(&slow));
                let head = format!(
                    "GET /v1/decisions?from=begin{filter} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n"
                );
                runtime.spawn(async move {
                    let mut stream = TcpStream::connect(address).await.expect("a connection");
                    stream.write_all(head.as_bytes()).await.expect("a request");
                    let mut read = vec![0; 16 * 1024];
                    while let Ok(length @ 1..) = stream.read(&mut read).await {
                        bytes.fetch_add(length as u64, Ordering::Relaxed);
                        let is_end = read[..length].windows(13).any(|part| part == b"slow-consumer");
                        slow.fetch_add(u64::from(is_end), Ordering::Relaxed);
                    }
                });
            }
        }
        Self { runtime, bytes, slow, before, asking: Asking::start(address, clients) }
    }

    fn stop(self) -> (String, Answers) {
        let resident = resident_kib();
        let answers = self.asking.stop();
        self.runtime.shutdown_timeout(Duration::from_secs(5));
        let told = format!(
            "{:>8} MB received, {} ended as slow, resident {} MiB, {} before",
            self.bytes.load(Ordering::Relaxed) / 1_000_000,
            self.slow.load(Ordering::Relaxed),
            resident / 1024,
            self.before / 1024,
        );
        (told, answers)
    }
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
