//! The clock of recorded times (rules 1): the broker's, or the producers' within the broker's bound. A topic with
//! other settings is not read, and no message far ahead of the clock is recorded.

use std::time::{SystemTime, UNIX_EPOCH};

use ledger_ingest::kafka::{EmbeddedBroker, KafkaOptions};
use ledger_record::record::{Content, Stream};
use ledger_store::{Phase, Reader};
use ledger_tests::kafka::{self, Cluster};
use ledger_tests::scratch;

use super::running::{Running, is_live};
use super::{create, events, ingest_until, options, read_to, reader};

const TYPE: &str = "message.timestamp.type";
const AFTER_MAX: &str = "message.timestamp.after.max.ms";
const NO_BOUND: &str = "9223372036854775807";
const DAY_MS: i64 = 86_400_000;

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// A topic with producer timestamps without a bound.
fn unbounded(cluster: &Cluster, stem: &str) -> KafkaOptions {
    let options = options(cluster, stem);
    cluster.create_topic(&options.topics[0], 1, &[(TYPE, "CreateTime"), (AFTER_MAX, NO_BOUND)]);
    options
}

/// Recorded times of the records, by offset.
fn recorded(reader: &Reader) -> Vec<(u64, i64)> {
    let snapshot = reader.snapshot();
    let records = snapshot.records_from(0).unwrap().map(Result::unwrap);
    let came_in = records.filter(|record| record.stream != Stream::Seals);
    came_in.map(|record| (record.source.offset, record.recorded.as_millis())).collect()
}

#[test]
fn unbounded_producer_times_halt_before_the_first_record() {
    let (cluster, dir) = (kafka::shared(), scratch::directory());
    let options = unbounded(cluster, "unbounded");
    cluster.produce(&options.topics[0], &events(0, 0, 3));
    let running = Running::begin(&options, dir.path());
    let reported = running.wait_until_halted("producer-times");
    let command = format!(
        "kafka-configs.sh --bootstrap-server {} --alter --entity-type topics --entity-name {} --add-config \
         {TYPE}=LogAppendTime",
        cluster.bootstrap(),
        running.topic
    );
    assert!(reported.contains(&command), "{reported}");
    let halted = running.wait("its lag", |now| now.lag_events == Some(3));
    assert_eq!(halted.next_offset, None, "nothing is recorded");
    cluster.produce(&running.topic, &events(0, 3, 2));
    running.wait("a lag of five", |now| now.lag_events == Some(5));

    cluster.configure_topic(&running.topic, &[(TYPE, "LogAppendTime")]);
    running.wait("read on", |now| now.next_offset == Some(5) && is_live(now));
    assert_eq!(running.wait("mended", is_live).halted, None);
    running.ingest.stop();
    let offsets: Vec<u64> =
        recorded(&reader(dir.path(), &options.topics[0])).iter().map(|(at, _)| *at).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 4]);
}

#[test]
fn producer_times_bounded_to_a_day_are_accepted() {
    let (cluster, dir) = (kafka::shared(), scratch::directory());
    for (bound, is_read) in [("3600000", true), ("86400000", true), ("86400001", false)] {
        let options = options(cluster, &format!("bounded-{bound}"));
        cluster.create_topic(&options.topics[0], 1, &[(TYPE, "CreateTime"), (AFTER_MAX, bound)]);
        cluster.produce(&options.topics[0], &events(0, 0, 3));
        let running = Running::begin(&options, &dir.path().join(bound));
        if is_read {
            running.wait("read", |now| now.next_offset == Some(3) && is_live(now));
        } else {
            assert!(running.wait_until_halted("producer-times").contains("up to 86400001 ms ahead"));
        }
        running.ingest.stop();
    }
}

#[test]
fn loosened_topic_settings_halt_a_live_shard() {
    let (cluster, dir) = (kafka::shared(), scratch::directory());
    let options = options(cluster, "loosened");
    create(cluster, &options.topics[0], 1);
    cluster.produce(&options.topics[0], &events(0, 0, 3));
    let running = Running::start(&options, dir.path());
    running.wait("read", |now| now.next_offset == Some(3));
    cluster.configure_topic(&running.topic, &[(TYPE, "CreateTime"), (AFTER_MAX, NO_BOUND)]);
    running.wait_until_halted("producer-times");
    cluster.produce(&running.topic, &[events(0, 3, 1).remove(0).at(now_ms() * 1000)]);
    running.wait("its lag", |now| now.lag_events == Some(1));
    running.ingest.stop();
    assert_eq!(recorded(&reader(dir.path(), &options.topics[0])).len(), 3);
}

/// The message arrived before the topic settings were corrected.
#[test]
fn message_in_microseconds_halts_after_earlier_records() {
    let (cluster, dir) = (kafka::shared(), scratch::directory());
    let options = unbounded(cluster, "microseconds");
    let topic = &options.topics[0];
    let mut messages = events(0, 0, 4);
    messages[2] = messages[2].clone().at(now_ms() * 1000);
    cluster.produce(topic, &messages);
    cluster.configure_topic(topic, &[(TYPE, "LogAppendTime")]);
    let running = Running::begin(&options, dir.path());
    let reported = running.wait_until_halted("time-ahead");
    assert!(
        reported.contains(&format!("offset 2 of {topic}/0")) && reported.contains("accept_producer_times"),
        "{reported}"
    );
    let halted = running.wait("written what was before", |now| now.next_offset == Some(2));
    assert_eq!((halted.phase, halted.lag_events), (Phase::Halted, Some(2)));
    running.ingest.stop();
    // The catalog keeps the shard open.
    drop(running.catalog);
    assert_eq!(recorded(&reader(dir.path(), topic)).len(), 2);

    let accepting = KafkaOptions { accept_producer_times: true, ..options.clone() };
    ingest_until(&accepting, dir.path(), |catalog| read_to(catalog, 0, 4));
    let recorded = recorded(&reader(dir.path(), topic));
    assert_eq!(recorded.len(), 4);
    assert!(recorded[3].1 > now_ms() + 1000 * DAY_MS, "as the operator wanted it: {recorded:?}");
}

#[test]
fn messages_without_time_take_the_previous_recorded_time() {
    let (cluster, dir) = (kafka::shared(), scratch::directory());
    let options = options(cluster, "timeless");
    let topic = &options.topics[0];
    cluster.create_topic(topic, 1, &[(TYPE, "CreateTime")]);
    let timeless = |number| events(0, number, 1).remove(0).at(-1);
    let at = now_ms() - DAY_MS;
    cluster.produce(topic, &[timeless(0)]);
    cluster.produce(topic, &[events(0, 1, 1).remove(0).at(at)]);
    cluster.produce(topic, &[timeless(2)]);
    let stored = cluster.read_all(topic, kafka::Isolation::ReadCommitted);
    let times: Vec<_> = stored.iter().map(|message| message.timestamp_ms).collect();
    assert_eq!(times, [None, Some(at), None], "the broker keeps them as they are");
    ingest_until(&options, dir.path(), |catalog| read_to(catalog, 0, 3));
    let reader = reader(dir.path(), topic);
    assert_eq!(recorded(&reader)[1..], [(1, at), (2, at)]);
    let snapshot = reader.snapshot();
    let first = snapshot.records_from(0).unwrap().map(Result::unwrap).next().unwrap();
    let Content::Refused(refused) = &first.content else { panic!("{first:?}") };
    let why = (refused.rejection.reason.as_str(), refused.rejection.path.as_deref());
    assert_eq!(why, ("missing-field", Some("timestamp")));
}

/// A broker that does not describe its topics, as without permission: an unknown time source is not accepted.
#[test]
fn undescribed_topic_halts_on_the_first_producer_time() {
    let (broker, dir) = (EmbeddedBroker::start(&[("untold", 1)]).unwrap(), scratch::directory());
    let cluster = Cluster::at(broker.address());
    let options = KafkaOptions { topics: vec!["untold".to_owned()], ..options(&cluster, "untold") };
    let running = Running::begin(&options, dir.path());
    running.wait("read, as nothing is in it", is_live);
    cluster.produce("untold", &events(0, 0, 3));
    let reported = running.wait_until_halted("producer-times");
    assert!(
        reported.contains("offset 0 has its producer's time") && reported.contains("do not tell"),
        "{reported}"
    );
    running.wait("its lag", |now| now.lag_events == Some(3));
    running.ingest.stop();
    drop(running.catalog);
    let accepting = KafkaOptions { accept_producer_times: true, ..options.clone() };
    ingest_until(&accepting, dir.path(), |catalog| read_to(catalog, 0, 3));
}

/// A librdkafka producer states its own clock by default.
#[test]
fn ordinary_producer_is_read_with_default_topic_settings() {
    let (cluster, dir) = (kafka::shared(), scratch::directory());
    let options = options(cluster, "defaults");
    cluster.create_topic(&options.topics[0], 1, &[]);
    cluster.produce(&options.topics[0], &events(0, 0, 2));
    let running = Running::start(&options, dir.path());
    running.wait("read", |now| now.next_offset == Some(2) && is_live(now));
    running.ingest.stop();
    let recorded = recorded(&reader(dir.path(), &options.topics[0]));
    assert!(recorded.iter().all(|(_, at)| (now_ms() - at).abs() < 600_000), "{recorded:?}");
}
