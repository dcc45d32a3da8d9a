//! A look at the newest messages of a topic, to learn how its producers place keys.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ledger_core::event::Event;
use ledger_core::time::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use crate::decode::{self, Decoded, Message};
use crate::kafka::client_log::LogContext;
use crate::kafka::options::KafkaOptions;
use crate::kafka::partition::headers;
use crate::kafka::topic;
use crate::placing::KeyTally;

/// Messages of each partition that are looked at.
const MESSAGES_OF_EACH: i64 = 500;

/// Messages of all partitions that are looked at, however many those are, unless that is less than one of each.
const MESSAGES: i64 = 20_000;

/// How long a broker may take to answer a question.
const ASK: Duration = Duration::from_secs(5);

/// How long looking may take.
const LOOK: Duration = Duration::from_secs(30);

/// How many partitions a topic has; none: there is no such topic.
pub(crate) fn count_partitions(options: &KafkaOptions, topic: &str) -> Result<Option<u32>, KafkaError> {
    let consumer = looking(options)?;
    match topic::partitions(consumer.client(), topic, ASK) {
        Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition)) => Ok(None),
        counted => counted.map(Some),
    }
}

/// Where the newest keys of a topic are, of all its partitions.
pub fn sample_keys(options: &KafkaOptions, topic: &str) -> Result<KeyTally, KafkaError> {
    let consumer = looking(options)?;
    let partitions = topic::partitions(consumer.client(), topic, ASK)?;
    let mut tally = KeyTally::new(partitions);
    let mut start = TopicPartitionList::new();
    // By partition, where its sample ends: others may go on sending.
    let mut open = BTreeMap::new();
    let of_each = MESSAGES_OF_EACH.min(MESSAGES / i64::from(partitions.max(1))).max(1);
    for partition in 0..i32::try_from(partitions).unwrap_or(i32::MAX) {
        let (low, high) = consumer.fetch_watermarks(topic, partition, ASK)?;
        if low < high {
            start.add_partition_offset(topic, partition, Offset::Offset((high - of_each).max(low)))?;
            open.insert(partition, high);
        }
    }
    consumer.assign(&start)?;
    let until = Instant::now() + LOOK;
    while !open.is_empty() {
        if Instant::now() >= until {
            // A part of it would speak for the producers of that part.
            return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
        }
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) => return Err(error),
            Some(Ok(message)) => {
                if open.get(&message.partition()).is_some_and(|high| message.offset() + 1 >= *high) {
                    open.remove(&message.partition());
                }
                let Some(key) = message.key() else { continue };
                let headers = headers(&message);
                let decoded = decode::decode(&Message {
                    key: Some(key),
                    value: message.payload(),
                    headers: &headers,
                    timestamp: message.timestamp().to_millis().map(Timestamp::from_millis),
                });
                let event = decoded.as_ref().ok().and_then(Decoded::event);
                if event.and_then(Event::client).is_some() {
                    tally.take(key, u32::try_from(message.partition()).unwrap_or(0));
                }
            }
        }
    }
    Ok(tally)
}

/// A consumer of no group that counts.
fn looking(options: &KafkaOptions) -> Result<BaseConsumer<LogContext>, KafkaError> {
    let mut config = options.base();
    // Assigned by hand and never committed: the group is a name that the client insists on.
    config.set("group.id", "realm-ledger-sample");
    for (name, value) in [
        ("isolation.level", "read_committed"),
        ("enable.auto.commit", "false"),
        ("enable.partition.eof", "true"),
        ("auto.offset.reset", "earliest"),
        ("allow.auto.create.topics", "false"),
    ] {
        config.set(name, value);
    }
    config.create_with_context(LogContext)
}
