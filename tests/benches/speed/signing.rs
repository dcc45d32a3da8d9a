//! From an event to a signed checkpoint that has it, with ticks every second: everything that lies between,
//! in this process, with a trickle of events at random moments.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ledger_ingest::consume::Ingest;
use ledger_ingest::kafka::KafkaOptions;
use ledger_ingest::publish::Ticker;
use ledger_ingest::sign::{Origins, Signing, SigningOptions};
use ledger_record::proof::note::SignerKey;
use ledger_record::record::Content;
use ledger_store::{Catalog, DataDir, Phase, Served, ShardId, StoreOptions};
use ledger_tests::kafka::{self, Cluster, Message};
use ledger_tests::workload::Chance;

use super::measure::quantile;

const EVENTS: usize = 120;
const INTERVAL: Duration = Duration::from_secs(1);

pub(crate) fn run(cluster: &Cluster, dir: &Path) {
    let options = KafkaOptions {
        brokers: cluster.bootstrap().to_owned(),
        topics: vec![kafka::unique_name("signing")],
        group: kafka::unique_name("group"),
        checkpoints_topic: Some(kafka::unique_name("checkpoints")),
        ..KafkaOptions::default()
    };
    let topic = options.topics[0].clone();
    cluster.create_topic(&topic, 1, &[("message.timestamp.type", "LogAppendTime")]);
    let compacted = [("cleanup.policy", "compact")];
    cluster.create_topic(options.checkpoints_topic.as_deref().expect("named above"), 1, &compacted);
    let data = DataDir::open(&dir.join("signing"), StoreOptions::default(), ledger_tests::secret());
    let data = Arc::new(data.expect("a data directory"));
    let catalog = Arc::new(Catalog::default());
    let ingest = Ingest::start(data, Arc::clone(&catalog), &options).expect("ingestion");
    let ticker = Ticker::start(Arc::clone(&catalog), &options, INTERVAL).expect("ticks");
    let key = SignerKey::from_seed("bench", [5; 32]).expect("a key");
    let (keys_dir, secret) = (dir.join("keys"), ledger_tests::secret());
    let signing = SigningOptions { keys: vec![key], keys_dir, origins: Origins::default(), secret };
    let signing = Signing::start(Arc::clone(&catalog), options, signing).expect("signing");

    let served = await_live(&catalog, &topic);
    let mut took = watch(cluster, &topic, &served);
    println!("\n{EVENTS} events at random moments, a tick every {INTERVAL:?}, one partition");
    let (p50, p99) = (quantile(&mut took, 0.5), quantile(&mut took, 0.99));
    println!("  from an event to its signed checkpoint: p50 {p50:.0} ms, p99 {p99:.0} ms");
    ticker.stop_by(std::time::Instant::now() + std::time::Duration::from_mins(1));
    ingest.stop();
    signing.stop();
}

fn await_live(catalog: &Catalog, topic: &str) -> Served {
    let id = ShardId { topic: topic.to_owned(), partition: 0 };
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let live = catalog.get(&id).filter(|served| served.status.freshness().phase == Phase::Live);
        if let Some(served) = live {
            return served;
        }
        assert!(Instant::now() < deadline, "the partition is not read");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Milliseconds of each event, from its acknowledgement by the broker until a checkpoint covers it.
fn watch(cluster: &Cluster, topic: &str, served: &Served) -> Vec<f64> {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut chance = Chance::new(17);
            for number in 0..EVENTS {
                cluster.produce(topic, &[event(number)]);
                std::thread::sleep(Duration::from_millis(chance.below(300)));
            }
        });
        let (mut took, mut signed) = (Vec::new(), 0);
        while took.len() < EVENTS {
            let size = served.status.checkpoint().map_or(0, |signed| signed.checkpoint.size);
            let now = now_ms();
            while signed < size {
                let record = served.reader.snapshot().record_at(signed).expect("a record").expect("signed");
                if matches!(record.content, Content::Event { .. }) {
                    took.push((now - record.recorded.as_millis()) as f64);
                }
                signed += 1;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        took
    })
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("a clock before the end of time")
}

fn event(number: usize) -> Message {
    let value = format!(
        r#"{{"id":"s-{number}","type":"enabled","time":"2024-03-01T00:00:00Z","clientKey":"acme","appKey":"app"}}"#
    );
    Message::new("acme", value)
}
