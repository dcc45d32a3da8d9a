//! How fast the ledger is, as ratios inside one run: what it does against the least that could be done with
//! the same bytes on the same machine.
//!
//! ```text
//! cargo bench -p ledger-tests --bench speed -- [ingest] [replay] [query] [past] [signing] [stuck] [subscribers] [events=300000] [pairs=3]
//! cargo bench -p ledger-tests --bench speed -- ledger=DIR [pairs=3]
//! ```
//!
//! Without a part all run. Each part takes turns with what it is measured against, `pairs` times, and prints
//! the medians; CPU is that of this process (the broker is another) from `/proc/self/stat`, in seconds for a
//! million events. A program to be run by hand: no test has an opinion on time.
//!
//! - `ingest`: Kafka to synced, against the same consumer that discards; and to signed, against to synced.
//! - `replay`: the log into the fold, against the log read and decoded. `ledger=DIR` does that, and nothing else, with
//!   partition 0 of `realm.lifecycle` in a data directory that is there: one that was imported with
//!   `REALM_LEDGER_SECRET` = 32 bytes of 7, in base64, for more events than fit into a topic of a test.
//! - `query`: one installation, in this process, and over HTTP and gRPC against an echo of the same message.
//! - `past`: a tenant of 10 and one of 100,000 records, in the past and explained; alone it needs no broker.
//! - `subscribers`: ingestion beside 1,000 subscribers of decisions and 500 questions a second, against ingestion with the
//!   questions alone; only if it is named.
//! - `stuck`: questions beside clients that neither read nor send, against questions alone.
//! - `signing`: from an event to the signed checkpoint that has it.
//!
//! `cargo bench -p ledger-store --bench append` measures the writes alone.
#![expect(clippy::print_stdout, reason = "a program that prints what it measured")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]
#![expect(clippy::expect_used, clippy::panic, reason = "what cannot be measured ends the program")]

mod speed {
    pub(super) mod asking;
    pub(super) mod echo;
    pub(super) mod hashing;
    pub(super) mod ingest;
    pub(super) mod measure;
    pub(super) mod past;
    pub(super) mod query;
    pub(super) mod replay;
    pub(super) mod signing;
    pub(super) mod stuck;
    pub(super) mod subscribers;
}

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use ledger_tests::kafka::{self, Broker};
use ledger_tests::workload::{Fate, Mix, stream};
use speed::{ingest, measure, past, query, replay, signing, stuck, subscribers};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The command line of the benchmark.
struct Plan {
    parts: Vec<String>,
    events: usize,
    pairs: usize,
    ledger: Option<PathBuf>,
}

impl Plan {
    /// `cargo bench` adds an argument of its own.
    fn of_arguments() -> Self {
        let mut plan = Self { parts: Vec::new(), events: 300_000, pairs: 3, ledger: None };
        for argument in std::env::args().skip(1).filter(|argument| !argument.starts_with("--")) {
            match argument.split_once('=') {
                Some(("events", number)) => plan.events = number.parse().expect("a number of events"),
                Some(("pairs", number)) => plan.pairs = number.parse().expect("a number of pairs"),
                Some(("ledger", directory)) => plan.ledger = Some(directory.into()),
                Some((unknown, _)) => panic!("no such setting: {unknown}"),
                None => plan.parts.push(argument),
            }
        }
        plan
    }

    fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|wanted| wanted == part)
    }
}

fn main() {
    let plan = Plan::of_arguments();
    println!("{}", measure::machine());
    if let Some(ledger) = &plan.ledger {
        return replay::run(ledger, "realm.lifecycle", plan.pairs);
    }
    let dir = ledger_tests::scratch::directory();
    if plan.wants("past") {
        past::run(dir.path());
    }
    if plan.parts == ["past"] {
        return;
    }
    let broker = Broker::start();
    if plan.wants("signing") {
        signing::run(broker.cluster(), dir.path());
    }
    if plan.parts.iter().any(|part| part == "subscribers") {
        let topic = kafka::unique_name("speed");
        let (messages, clients) = produce(&broker, &topic, plan.events, 6);
        println!("\n{messages} messages, 6 partitions, {} pairs", plan.pairs);
        let source = ingest::Source { cluster: broker.cluster(), topic: &topic, partitions: 6, messages };
        subscribers::run(&source, &Arc::new(clients), dir.path(), plan.pairs);
    }
    // What reads uses the ledger of the last run with one partition.
    for partitions in [6, 1] {
        let wanted = ["ingest", "replay", "query", "stuck"].into_iter().any(|part| plan.wants(part));
        if !wanted || partitions > 1 && !plan.wants("ingest") {
            continue;
        }
        let topic = kafka::unique_name("speed");
        let (messages, _) = produce(&broker, &topic, plan.events, partitions);
        println!("\n{messages} messages, {partitions} partitions, {} pairs", plan.pairs);
        let source = ingest::Source { cluster: broker.cluster(), topic: &topic, partitions, messages };
        let pairs = if plan.wants("ingest") { plan.pairs } else { 1 };
        ingest::run(&source, dir.path(), pairs);
        if partitions == 1 {
            let left = dir.path().join("ledger");
            if plan.wants("replay") {
                replay::run(&left, &topic, plan.pairs);
            }
            if plan.wants("query") {
                query::run(&left, &topic, plan.pairs);
            }
            if plan.wants("stuck") {
                stuck::run(&left, &topic, plan.pairs);
            }
        }
    }
    println!("\n{}", measure::machine());
}

/// Fills a topic; returns the number of messages, and the tenants.
fn produce(broker: &Broker, topic: &str, events: usize, partitions: i32) -> (usize, Vec<String>) {
    let settings = [("message.timestamp.type", "LogAppendTime"), ("max.message.bytes", "4194304")];
    broker.cluster().create_topic(topic, partitions, &settings);
    let sent = stream(Mix {
        seed: 7,
        tenants: events / 20,
        events,
        partitions,
        late_percent: 2,
        repeats_per_mille: 5,
        conflicts_per_mille: 0,
        malformed_per_mille: 0,
        late_app_events: false,
    });
    let clients: BTreeSet<String> = sent
        .iter()
        .filter_map(|sent| match &sent.fate {
            Fate::Appended(event) => event.client().map(ToString::to_string),
            Fate::Duplicate | Fate::Refused(..) => None,
        })
        .collect();
    let messages: Vec<_> = sent.into_iter().map(|sent| sent.message).collect();
    for some in messages.chunks(50_000) {
        broker.cluster().produce(topic, some);
    }
    (messages.len(), clients.into_iter().collect())
}
