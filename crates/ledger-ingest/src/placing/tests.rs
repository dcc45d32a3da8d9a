//! How partitioners are learnt, agreed and set.

use std::sync::Mutex;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use crate::kafka::EmbeddedBroker;
use crate::placing::*;

#[test]
fn partitioner_is_learnt_when_it_alone_fits_beyond_chance() {
    for partitions in [2, 4, 12, 1_000] {
        for partitioner in Partitioner::COMPUTING {
            let mut tally = KeyTally::new(partitions);
            let (mut taken, mut verdict) = (0, None);
            for key in keys() {
                let partition = partitioner.partition(key.as_bytes(), partitions).unwrap();
                tally.take(key.as_bytes(), partition);
                tally.take(key.as_bytes(), partition);
                taken += 1;
                verdict = tally.verdict();
                if verdict.is_some() {
                    break;
                }
            }
            assert_eq!(verdict, Some(partitioner), "{partitions}");
            let least = if partitions == 1_000 { 2 } else { 6 };
            assert!((least..40).contains(&taken), "{taken} keys of {partitions}");
        }
    }
}

#[test]
fn keys_of_two_partitioners_give_unknown() {
    let mut tally = KeyTally::new(4);
    for (number, key) in keys().iter().enumerate() {
        let partitioner = Partitioner::COMPUTING[number % 2];
        tally.take(key.as_bytes(), partitioner.partition(key.as_bytes(), 4).unwrap());
    }
    assert_eq!(tally.verdict(), Some(Partitioner::Unknown));
    let shown = tally.to_string();
    assert!(
        shown.starts_with("murmur2 ") && shown.contains(&format!(" of {}, crc32 ", keys().len())),
        "{shown}"
    );
    assert_eq!(KeyTally::new(4).verdict(), None);
}

/// Keys of one producer, and behind them as many of another one, in every partition.
fn mixed() -> Vec<(String, u32)> {
    let by = |partitioner: Partitioner, keys: &[String]| {
        let placed = keys.iter().map(|key| (key.clone(), partitioner.partition(key.as_bytes(), 4).unwrap()));
        placed.collect::<Vec<_>>()
    };
    let keys = keys();
    let (first, rest) = keys.split_at(keys.len() / 2);
    [by(Partitioner::Crc32, first), by(Partitioner::Murmur2, rest)].concat()
}

/// Regression: the first ten keys of one partition decided.
#[test]
fn all_partitions_are_sampled_before_deciding() {
    let broker = EmbeddedBroker::start(&[("t", 4)]).unwrap();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address());
    let producer: BaseProducer = config.create().unwrap();
    for (key, partition) in mixed() {
        let event = format!(
            r#"{{"id":"{key}","type":"installed","time":"2026-03-01T10:00:00Z","clientKey":"{key}","appKey":"a"}}"#
        );
        let record = BaseRecord::to("t").key(&key).payload(&event);
        let sent = producer.send(record.partition(i32::try_from(partition).unwrap()));
        sent.map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_mins(1)).unwrap();
    let options = KafkaOptions { brokers: broker.address(), ..KafkaOptions::default() };
    let placing = Placement { set: None, kafka: Some(options) };
    assert_eq!(placing.partitions("t").unwrap(), Some(4));
    assert_eq!(placing.partitions("none").unwrap(), None);
    let (_scratch, data) = directory();
    let reported = placing.partitioner(&data, "t", 4).unwrap_err();
    let keys = keys().len();
    assert!(reported.to_string().contains(&format!(" of {keys}, crc32 ")), "{reported}");
    assert!(matches!(reported, PlacingError::Unknown { shown: Some(_), .. }), "{reported:?}");
}

fn directory() -> (tempfile::TempDir, DataDir) {
    let scratch = tempfile::tempdir().unwrap();
    let secret = ledger_record::proof::line::LedgerSecret::from_bytes([7; 32]);
    let data = DataDir::open(scratch.path(), ledger_store::StoreOptions::default(), secret).unwrap();
    let identity = ledger_store::SourceIdentity { cluster_id: None, topic_id: None, partitions: 4 };
    data.bind("t", &identity).unwrap();
    (scratch, data)
}

/// Records an event of each tenant in its partition, from this source.
fn record(data: &DataDir, source: &str, position: &SourcePosition, placed: &[(String, u32)]) {
    for partition in 0..4 {
        let id = ledger_store::ShardId { topic: "t".to_owned(), partition };
        let mut shard = data.open_shard(&id).unwrap();
        let mut batch = shard.begin();
        let own = placed.iter().filter(|(_, of)| *of == partition);
        for (offset, (key, _)) in (1..).zip(own) {
            let line = format!(
                r#"{{"id":"{key}","type":"installed","time":"2026-03-01T10:00:00Z","clientKey":"{key}","appKey":"a"}}"#
            );
            let message = crate::decode::Message {
                key: None,
                value: Some(line.as_bytes()),
                headers: &[],
                timestamp: None,
            };
            let decoded = crate::decode::decode(&message).unwrap();
            let event = decoded.event().unwrap().clone();
            batch
                .offer(ledger_store::IncomingEvent {
                    from: ledger_record::record::Coordinates { source: source.into(), partition, offset },
                    source_time: event.time,
                    event,
                    time_defaulted: false,
                    future: ledger_store::FutureLimit::AfterRecorded,
                })
                .unwrap();
        }
        batch.advance(source, position.clone());
        batch.commit().unwrap();
    }
}

const FROM_KAFKA: SourcePosition = SourcePosition::Kafka { next_offset: 500, leader_epoch: None };

#[test]
fn recorded_tenants_of_all_partitions_are_counted() {
    let (_scratch, data) = directory();
    record(&data, "t", &FROM_KAFKA, &mixed());
    let reported = Placement::default().partitioner(&data, "t", 4).unwrap_err();
    assert!(matches!(reported, PlacingError::Unknown { shown: Some(_), .. }), "{reported:?}");
}

/// Regression: a partitioner learnt from a few keys could not be replaced.
#[test]
fn set_partitioner_replaces_the_learnt_unless_records_used_it() {
    let (_scratch, data) = directory();
    record(&data, "t", &FROM_KAFKA, &mixed()[..3]);
    data.remember_partitioner("t", Partitioner::Murmur2).unwrap();
    let set = Some(Partitioner::Crc32);
    assert_eq!(agreed(&data, "t", set).unwrap(), set);
    set_right(&data, "t", set).unwrap();
    assert_eq!(data.partitioner("t").unwrap(), set);
    set_right(&data, "t", Some(Partitioner::Unknown)).unwrap();
    set_right(&data, "t", None).unwrap();
    assert_eq!(data.partitioner("t").unwrap(), set);

    let imported = SourcePosition::Import { lines: 1, sha256: [0; 32] };
    record(&data, "import:f", &imported, &mixed()[..1]);
    let refused = set_right(&data, "t", Some(Partitioner::Murmur2));
    assert!(matches!(refused, Err(PlacingError::Conflict { .. })), "{refused:?}");
    assert_eq!(data.partitioner("t").unwrap(), set);
}

#[test]
fn conflicting_partitioner_is_refused_unless_unknown() {
    use Partitioner::{Crc32, Murmur2, Unknown};
    let at = |set, known| in_force("t", set, known);
    assert_eq!(at(None, Some(Crc32)).unwrap(), Some(Crc32));
    assert_eq!(at(Some(Crc32), None).unwrap(), Some(Crc32));
    assert_eq!(at(Some(Unknown), Some(Crc32)).unwrap(), Some(Unknown));
    assert_eq!(at(Some(Crc32), Some(Unknown)).unwrap(), Some(Crc32));
    assert_eq!(at(None, None).unwrap(), None);
    let conflict = at(Some(Murmur2), Some(Crc32)).unwrap_err();
    assert!(conflict.to_string().contains("realm-ledger refill"), "{conflict}");
    assert!(matches!(to_place("t", 4, None), Err(PlacingError::Unset { .. })));
    assert!(matches!(to_place("t", 4, Some(Unknown)), Err(PlacingError::Unknown { .. })));
    assert_eq!(to_place("t", 1, None).unwrap(), Murmur2);
}

/// The partition that librdkafka chose for each key.
#[derive(Default)]
struct Places(Mutex<Vec<(Vec<u8>, i32)>>);

impl ClientContext for Places {}

impl ProducerContext for Places {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let message = result.as_ref().unwrap();
        self.0.lock().unwrap().push((message.key().unwrap().to_vec(), message.partition()));
    }
}

/// Client keys of every kind and length, so that all tails of the hashes are covered.
fn keys() -> Vec<String> {
    let sites = (0..150).map(|n| format!("customer-{n}.atlassian.net"));
    let uuids = (0..50u64).map(|n| format!("jira:{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let lengths = (1..=40).map(|length| "ü".repeat(length) + &"x".repeat(length % 4));
    sites.chain(uuids).chain(lengths).collect()
}

#[test]
fn partitions_match_those_of_librdkafka() {
    let names = ["murmur2", "murmur2_random", "consistent", "consistent_random", "fnv1a", "fnv1a_random"];
    for partitions in [2, 4, 7, 12] {
        let broker = EmbeddedBroker::start(&[("t", partitions)]).unwrap();
        for name in names {
            let mut config = ClientConfig::new();
            config.set("bootstrap.servers", broker.address()).set("partitioner", name);
            let producer: BaseProducer<Places> = config.create_with_context(Places::default()).unwrap();
            let keys = keys();
            for key in &keys {
                producer.send(BaseRecord::to("t").key(key).payload("x")).map_err(|(error, _)| error).unwrap();
            }
            producer.flush(Duration::from_mins(1)).unwrap();
            let places = std::mem::take(&mut *producer.context().0.lock().unwrap());
            assert_eq!(places.len(), keys.len());
            let partitioner = Partitioner::parse(name).unwrap();
            for (key, partition) in places {
                let computed = partitioner.partition(&key, partitions);
                assert_eq!(computed, u32::try_from(partition).ok(), "{name} of {partitions}: {key:?}");
            }
        }
    }
}
