//! Sending with acknowledgement: nothing counts as sent before the broker has it (I-7).

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use tracing::warn;

use crate::kafka::client_log;
use crate::kafka::options::{BROKER_TIMEOUT, KafkaOptions};
use crate::kafka::topic::TopicFacts;

/// How often the client is asked for acknowledgements while it is sent to: each time it reads the clock.
const SENT_BETWEEN_POLLS: u64 = 64;

/// How long the client is asked for acknowledgements at a time. It always takes as long.
const POLL: Duration = Duration::from_millis(1);

/// A message to be sent.
#[derive(Debug, Default)]
pub(super) struct Outgoing<'a> {
    pub(super) topic: &'a str,
    /// None: by key.
    pub(super) partition: Option<u32>,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Cow<'a, [u8]>,
    pub(super) headers: OwnedHeaders,
}

/// The only header of most messages.
pub(super) fn content_type(value: &str) -> OwnedHeaders {
    OwnedHeaders::new_with_capacity(1).insert(Header { key: "content-type", value: Some(value) })
}

/// Why messages were not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The client or the broker refused.
    #[error("kafka did not take the messages: {0}; check the topic and the access rights")]
    Refused(KafkaError),
    /// The broker did not acknowledge in time.
    #[error("{waiting} messages were not acknowledged within {}s; check the brokers", waited.as_secs())]
    TimedOut {
        /// How many are missing.
        waiting: u64,
        /// How long was waited.
        waited: Duration,
    },
}

impl SendError {
    /// A message was larger than the client, or the topic, takes.
    pub(super) fn is_too_large(&self) -> bool {
        let Self::Refused(KafkaError::MessageProduction(code)) = self else { return false };
        matches!(code, RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize)
    }
}

/// A producer that counts acknowledgements. One thread uses it.
///
/// A producer that failed for good never sends again, and one that was waited for in vain goes on trying beside
/// whatever is sent in place of that: both are thrown away, with what they still had.
pub(super) struct Outbox {
    config: ClientConfig,
    producer: BaseProducer<Acks>,
    sent: u64,
}

impl Outbox {
    pub(super) fn new(options: &KafkaOptions) -> Result<Self, KafkaError> {
        let config = options.producer();
        let producer = config.create_with_context(Acks::default())?;
        Ok(Self { config, producer, sent: 0 })
    }

    fn begin_anew(&mut self) {
        match self.config.create_with_context(Acks::default()) {
            Ok(producer) => (self.producer, self.sent) = (producer, 0),
            Err(error) => warn!(%error, "no new publishing client"),
        }
    }

    /// Hands a message to the client; waits while its queue is full, but not for ever.
    pub(super) fn send(&mut self, message: Outgoing<'_>) -> Result<(), SendError> {
        let mut record = BaseRecord::to(message.topic).payload(&*message.value).headers(message.headers);
        record.key = message.key;
        record.partition = message.partition.and_then(|partition| i32::try_from(partition).ok());
        let mut full_since = None;
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    if full_since.get_or_insert_with(Instant::now).elapsed() > BROKER_TIMEOUT {
                        let waiting = self.sent.saturating_sub(self.producer.context().answered());
                        self.begin_anew();
                        return Err(SendError::TimedOut { waiting, waited: BROKER_TIMEOUT });
                    }
                    self.producer.poll(POLL);
                    record = again;
                }
                Err((error, _)) => {
                    if self.producer.client().fatal_error().is_some() {
                        self.begin_anew();
                    }
                    return Err(SendError::Refused(error));
                }
            }
        }
        self.sent += 1;
        if self.sent.is_multiple_of(SENT_BETWEEN_POLLS) {
            self.producer.poll(Duration::ZERO);
        }
        Ok(())
    }

    /// Waits until everything sent is acknowledged.
    pub(super) fn settle(&mut self, timeout: Duration) -> Result<(), SendError> {
        let started = Instant::now();
        let acks = self.producer.context();
        while acks.answered() < self.sent && started.elapsed() < timeout {
            self.producer.poll(POLL);
        }
        let waiting = self.sent.saturating_sub(acks.answered());
        let failure = acks.take_failure();
        if let Some((code, reason)) = self.producer.client().fatal_error() {
            warn!(%code, reason, "the publishing client ended, going on with a new one");
            self.begin_anew();
        } else if waiting > 0 {
            self.begin_anew();
        }
        match failure {
            Some(code) => Err(SendError::Refused(KafkaError::MessageProduction(code))),
            None if waiting > 0 => Err(SendError::TimedOut { waiting, waited: timeout }),
            None => Ok(()),
        }
    }

    /// Which topic this is.
    pub(super) fn facts(&self, topic: &str, timeout: Duration) -> Result<TopicFacts, KafkaError> {
        crate::kafka::topic::facts(self.producer.client(), topic, timeout)
    }

    /// How many partitions a topic has.
    pub(super) fn partitions(&self, topic: &str, timeout: Duration) -> Result<u32, KafkaError> {
        crate::kafka::topic::partitions(self.producer.client(), topic, timeout)
    }
}

/// Counts what came back.
#[derive(Default)]
struct Acks {
    answered: AtomicU64,
    failure: Mutex<Option<RDKafkaErrorCode>>,
}

impl Acks {
    fn answered(&self) -> u64 {
        self.answered.load(Ordering::Acquire)
    }

    fn take_failure(&self) -> Option<RDKafkaErrorCode> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Acks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client_log::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client_log::log_error(&error, reason);
    }
}

impl ProducerContext for Acks {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(code);
        }
        self.answered.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;

    use super::*;

    #[test]
    fn what_was_waited_for_in_vain_is_not_sent_beside_what_is_sent_in_its_place() {
        let cluster = MockCluster::<DefaultProducerContext>::new(1).unwrap();
        cluster.create_topic("out", 1, 1).unwrap();
        let options = KafkaOptions { brokers: cluster.bootstrap_servers(), ..KafkaOptions::default() };
        let mut outbox = Outbox::new(&options).unwrap();
        let message = || Outgoing { topic: "out", value: b"once".into(), ..Outgoing::default() };
        cluster.broker_down(1).unwrap();
        outbox.send(message()).unwrap();
        let timed_out = outbox.settle(Duration::from_millis(100));
        assert!(matches!(timed_out, Err(SendError::TimedOut { waiting: 1, .. })), "{timed_out:?}");
        cluster.broker_up(1).unwrap();
        outbox.send(message()).unwrap();
        outbox.settle(BROKER_TIMEOUT).unwrap();
        let marks = outbox.producer.client().fetch_watermarks("out", 0, BROKER_TIMEOUT).unwrap();
        assert_eq!(marks, (0, 1));
    }
}
