//! A look at the newest messages of a topic, to learn how its producers place keys.

use std::time::{Duration, Instant};

use ledger_core::event::Event;
use ledger_core::time::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::checkpoints::Said;
use super::options::KafkaOptions;
use super::{topic, worker};
use crate::decode::{self, Decoded, Message};
use crate::placing::Tally;

/// Messages of each partition that are looked at.
const MESSAGES_OF_EACH: i64 = 500;

/// Messages of all partitions that are looked at.
const MESSAGES: usize = 20_000;

/// How long a broker may take to answer a question.
const ASK: Duration = Duration::from_secs(5);

/// How long looking may take.
const LOOK: Duration = Duration::from_secs(15);

/// Where the newest keys of a topic are. Ends as soon as they tell how they were placed.
pub fn sample_keys(options: &KafkaOptions, topic: &str) -> Result<Tally, KafkaError> {
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
    let consumer: BaseConsumer<Said> = config.create_with_context(Said)?;
    let partitions = topic::partitions(consumer.client(), topic, ASK)?;
    let mut tally = Tally::new(partitions);
    let mut start = TopicPartitionList::new();
    let mut open = 0;
    for partition in 0..i32::try_from(partitions).unwrap_or(i32::MAX) {
        let (low, high) = consumer.fetch_watermarks(topic, partition, ASK)?;
        if low < high {
            let from = (high - MESSAGES_OF_EACH).max(low);
            start.add_partition_offset(topic, partition, Offset::Offset(from))?;
            open += 1;
        }
    }
    consumer.assign(&start)?;
    let (until, mut looked_at) = (Instant::now() + LOOK, 0);
    while open > 0 && looked_at < MESSAGES && tally.verdict().is_none() && Instant::now() < until {
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(error)) => return Err(error),
            Some(Ok(message)) => {
                looked_at += 1;
                let Some(key) = message.key() else { continue };
                let headers = worker::headers(&message);
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
