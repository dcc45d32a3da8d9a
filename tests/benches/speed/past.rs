//! Questions about the past, of a tenant of 10 and of one of 100,000 records, in this process: the answer is
//! folded from the tenant's history, so they cost as much as that is long, and no more.

use std::path::Path;
use std::time::Instant;

use ledger_api::ledger::Ledger;
use ledger_api::query::{AsOf, CorrectionsQuery, ExplainQuery, InstallationQuery, LogQuery, no_lines};
use ledger_core::descriptor::Descriptor;
use ledger_core::event::{AppFact, Body, Event, InstallationFact, Installed};
use ledger_core::ids::{AppKey, ClientKey, EventId};
use ledger_core::realm::Realm;
use ledger_core::time::Timestamp;
use ledger_record::proof::line::LedgerSecret;
use ledger_record::record::Coordinates;
use ledger_store::{
    AppendResult, DataDir, FutureLimit, IncomingEvent, KnowledgeBound, Shard, ShardId, SourceIdentity,
    StoreOptions,
};

use super::measure::quantile;

const TOPIC: &str = "past";
const SIZES: [u64; 2] = [10, 100_000];
/// One in this number of records is late and corrects later outcomes.
const LATE_ONE_IN: u64 = 10_000;

pub(crate) fn run(dir: &Path) {
    let options = StoreOptions::default();
    let data =
        DataDir::open(&dir.join("past"), options, LedgerSecret::from_bytes([7; 32])).expect("a directory");
    data.bind(TOPIC, &SourceIdentity { cluster_id: None, topic_id: None, partitions: 1 }).expect("new");
    let id = ShardId { topic: TOPIC.to_owned(), partition: 0 };
    let mut shard = data.open_shard(&id).expect("a shard");
    for records in SIZES {
        fill(&mut shard, records);
    }
    let ledger = Ledger::from_readers(vec![(id, shard.reader())]);
    for records in SIZES {
        println!("\nquestions about the past of a tenant of {records} records");
        ask(&ledger, records);
    }
}

fn ask(ledger: &Ledger, records: u64) {
    let (client, app, now) = (client(records), app(), minute(records + 1));
    let at = AsOf { at: Some(minute(records / 2)), known: KnowledgeBound::All, min_position: None };
    let known = |seq| AsOf { at: None, known: KnowledgeBound::Seq(seq), min_position: None };
    let state = |as_of| {
        let (client, app) = (client.clone(), app.clone());
        let question = InstallationQuery { client, app, as_of };
        move || drop(ledger.ask(&question, now, &no_lines).expect("an installation"))
    };
    report(records, "state", state(AsOf::default()));
    report(records, "state --at the middle", state(at));
    report(records, "state --known-seq of the middle", state(known(records / 2)));
    report(records, "state --known-seq of the last", state(known(records)));
    let explain = |as_of| {
        let (client, app) = (client.clone(), app.clone());
        let question = ExplainQuery { client, app, as_of };
        move || drop(ledger.ask(&question, now, &no_lines).expect("an explanation"))
    };
    report(records, "explain", explain(AsOf::default()));
    report(records, "explain --at the middle", explain(at));
    let as_of = AsOf::default();
    report(records, "log --corrections, all", || {
        let (client, limit) = (client.clone(), Some(1000));
        let mut question = CorrectionsQuery { client, from_position: 0, limit, as_of };
        while let Some(next) = ledger.ask(&question, now, &no_lines).expect("corrections").next_position {
            question.from_position = next;
        }
    });
    let last = LogQuery { client: client.clone(), from_seq: Some(records - 9), limit: Some(10), as_of };
    report(records, "log, the last 10", || drop(ledger.ask(&last, now, &no_lines).expect("records")));
}

fn report(records: u64, what: &str, question: impl Fn()) {
    let times = if records > 1000 { 15 } else { 2000 };
    question();
    let mut took: Vec<f64> = (0..times)
        .map(|_| {
            let begun = Instant::now();
            question();
            begun.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    println!("  {what:<44} p50 {:>10.1} µs", quantile(&mut took, 0.5));
}

/// An app that is installed, disabled, enabled and uninstalled over and over, a minute between two records.
fn fill(shard: &mut Shard, records: u64) {
    let published = Body::App { app: app(), fact: AppFact::DescriptorPublished { descriptor: descriptor() } };
    let about = |fact| Body::Installation { client: client(records), app: app(), fact };
    let bodies = (1..=records).map(|number| {
        let fact = match number % 4 {
            1 => InstallationFact::Installed(Box::new(Installed {
                endpoint_realm: Some(realm(["EU", "US"][usize::from(number % 8 > 3)])),
                ..Installed::default()
            })),
            2 => InstallationFact::Disabled,
            3 => InstallationFact::Enabled,
            _ => InstallationFact::Uninstalled { endpoint_realm: None, installation_id: None },
        };
        let late = number % LATE_ONE_IN == 0;
        (if late { number - 6 } else { number }, number, about(fact))
    });
    let all: Vec<_> = std::iter::once((0, 0, published)).chain(bodies).collect();
    for some in all.chunks(1000) {
        let mut batch = shard.begin();
        for (happened, recorded, body) in some {
            let id = EventId::new(format!("{records}-{recorded}")).expect("an id");
            let event = Event { id, time: minute(*happened), actor: None, reason: None, body: body.clone() };
            let from = Coordinates { source: TOPIC.into(), partition: 0, offset: records * 2 + recorded };
            let offer = batch.offer(IncomingEvent {
                from,
                source_time: minute(*recorded),
                event,
                time_defaulted: false,
                future: FutureLimit::AfterRecorded,
            });
            let AppendResult::Appended { .. } = offer.expect("an event") else { panic!("not appended") };
        }
        batch.commit().expect("a write");
    }
}

fn client(records: u64) -> ClientKey {
    ClientKey::new(format!("tenant-of-{records}")).expect("a key")
}

fn app() -> AppKey {
    AppKey::new("com.example.app").expect("a key")
}

fn realm(key: &str) -> Realm {
    Realm::parse(key).expect("a realm")
}

fn descriptor() -> Descriptor {
    let url = |key: &str| (realm(key), format!("https://{key}.app.example.com"));
    Descriptor {
        version: None,
        base_url: "https://app.example.com".to_owned(),
        region_base_urls: ["EU", "US"].into_iter().map(url).collect(),
        data_residency: None,
    }
}

fn minute(minute: u64) -> Timestamp {
    Timestamp::from_millis(1_772_323_200_000 + i64::try_from(minute).expect("a short history") * 60_000)
}
