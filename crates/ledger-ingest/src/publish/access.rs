//! Lines about access on a topic of their own. In: lines as JSON, from whatever thread logs them. Out: messages.
//!
//! No thread waits for a broker here. A line is lost on the topic where the client's queue has no room for it, or no broker
//! acknowledges it in time; that is counted, and the log has the line all the same.

use std::fmt;
use std::time::Duration;

use metrics::counter;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};

use super::outbox::content_type;
use crate::kafka::client_log;
use crate::kafka::options::KafkaOptions;
use crate::metric;

const CLOUD_EVENT: &str = "application/cloudevents+json";

/// What bounds the lines that wait to be sent, and how long each of them does.
const WAITING: &[(&str, &str)] = &[
    ("queue.buffering.max.messages", "10000"),
    ("queue.buffering.max.kbytes", "8192"),
    ("message.timeout.ms", "60000"),
    // An idempotent client can fail for good. A line that comes twice has the same id.
    ("enable.idempotence", "false"),
];

/// Sends lines about access until it is dropped.
pub struct AccessTopic {
    producer: ThreadedProducer<Counting>,
    topic: String,
}

impl fmt::Debug for AccessTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessTopic").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl AccessTopic {
    /// Of these brokers, which are connected to when the first line is sent.
    pub fn new(options: &KafkaOptions, topic: &str) -> Result<Self, KafkaError> {
        let mut config = options.producer();
        for (name, value) in WAITING {
            config.set(*name, *value);
        }
        let topic = topic.to_owned();
        Ok(Self { producer: config.create_with_context(Counting(topic.clone()))?, topic })
    }

    /// Sends a line that is a `CloudEvent` as JSON; those of one key stay in order. It never waits.
    pub fn send(&self, key: Option<&str>, line: &[u8]) {
        let mut record: BaseRecord<'_, str, [u8]> = BaseRecord::to(&self.topic);
        record = record.payload(line).headers(content_type(CLOUD_EVENT));
        record.key = key;
        if self.producer.send(record).is_err() {
            counter!(metric::ACCESS_LOST).increment(1);
        }
    }

    /// Waits until what was sent is acknowledged or lost; whether it was in time.
    pub fn settle(&self, within: Duration) -> bool {
        self.producer.flush(within).is_ok()
    }
}

/// Counts what came back.
struct Counting(String);

impl ClientContext for Counting {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client_log::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client_log::log_error(&error, reason);
    }
}

impl ProducerContext for Counting {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => counter!(metric::PUBLISHED, "topic" => self.0.clone()).increment(1),
            Err(_) => counter!(metric::ACCESS_LOST).increment(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_line_waits_for_no_broker_and_the_queue_is_bounded() {
        let options = KafkaOptions { brokers: "127.0.0.1:1".to_owned(), ..KafkaOptions::default() };
        let topic = AccessTopic::new(&options, "access").unwrap();
        let begun = Instant::now();
        for _ in 0..20_000 {
            topic.send(Some("support"), b"{}");
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert!(topic.producer.in_flight_count() <= 10_000, "{}", topic.producer.in_flight_count());
        assert!(!topic.settle(Duration::from_millis(100)));
    }
}
