//! Producing with an acknowledgement for every message, inside a transaction or not.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::cluster::{Cluster, TIMEOUT};
use super::{Message, unique_name};

/// How a transaction ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    Commit,
    /// The messages are in the log, and a `read_committed` reader never sees them.
    Abort,
    /// The producer is gone, and the transaction stays open until the broker aborts it some seconds later.
    Never,
}

/// The partitioner of the Java producer, which most of those that fill a topic use.
const JAVA: &str = "murmur2_random";

/// Where a message was written: partition and offset.
type Place = (i32, i64);

impl Cluster {
    /// Produces with all acknowledgements; returns partition and offset of each message, in the order given.
    pub fn produce(&self, topic: &str, messages: &[Message]) -> Vec<Place> {
        self.produce_by(JAVA, topic, messages)
    }

    /// The same with this partitioner, by its librdkafka name.
    pub fn produce_by(&self, partitioner: &str, topic: &str, messages: &[Message]) -> Vec<Place> {
        let mut config = self.client_config();
        config.set("acks", "all").set("enable.idempotence", "true");
        let producer = Sender::new(&config, partitioner);
        producer.send_all(topic, messages)
    }

    /// Produces the messages in one transaction and ends it as `ending` says.
    pub fn produce_in_transaction(&self, topic: &str, messages: &[Message], ending: Ending) -> Vec<Place> {
        let mut config = self.client_config();
        config.set("transactional.id", unique_name("transaction"));
        // The broker aborts expired transactions every ten seconds.
        config.set("transaction.timeout.ms", "10000");
        let sender = Sender::new(&config, JAVA);
        sender.producer.init_transactions(TIMEOUT).expect("a transactional producer");
        sender.producer.begin_transaction().expect("begin a transaction");
        let places = sender.send_all(topic, messages);
        match ending {
            Ending::Commit => sender.producer.commit_transaction(TIMEOUT).expect("commit the transaction"),
            Ending::Abort => sender.producer.abort_transaction(TIMEOUT).expect("abort the transaction"),
            Ending::Never => {}
        }
        places
    }
}

struct Sender {
    producer: BaseProducer<Receipts>,
}

impl Sender {
    fn new(config: &rdkafka::ClientConfig, partitioner: &str) -> Self {
        let mut config = config.clone();
        config.set("partitioner", partitioner).set("linger.ms", "1").set("message.max.bytes", "4194304");
        Self { producer: config.create_with_context(Receipts::default()).expect("a producer") }
    }

    fn send_all(&self, topic: &str, messages: &[Message]) -> Vec<Place> {
        for (index, message) in messages.iter().enumerate() {
            self.send(topic, index, message);
        }
        self.producer.flush(TIMEOUT).expect("the broker takes what was produced");
        let receipts = self.producer.context().take();
        assert_eq!(receipts.len(), messages.len(), "one receipt for each message");
        receipts
            .into_iter()
            .map(|(_, receipt)| receipt.expect("the broker acknowledges the message"))
            .collect()
    }

    fn send(&self, topic: &str, index: usize, message: &Message) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            match self.producer.send(record(topic, index, message)) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    assert!(Instant::now() < deadline, "the broker takes nothing for {TIMEOUT:?}");
                    self.producer.poll(Duration::from_millis(10));
                }
                Err((error, _)) => panic!("cannot produce message {index} to {topic}: {error}"),
            }
        }
    }
}

fn record<'a>(topic: &'a str, index: usize, message: &'a Message) -> BaseRecord<'a, Vec<u8>, Vec<u8>, usize> {
    let mut record = BaseRecord::with_opaque_to(topic, index).headers(message.owned_headers());
    record.key = message.key.as_ref();
    record.payload = message.value.as_ref();
    record.partition = message.partition;
    record.timestamp = message.timestamp_ms;
    record
}

type Receipt = (usize, Result<Place, KafkaError>);

#[derive(Default)]
struct Receipts {
    received: Mutex<Vec<Receipt>>,
}

impl Receipts {
    /// In the order in which the messages were sent.
    fn take(&self) -> Vec<Receipt> {
        let mut receipts = std::mem::take(&mut *self.received.lock().unwrap_or_else(PoisonError::into_inner));
        receipts.sort_by_key(|(index, _)| *index);
        receipts
    }
}

impl ClientContext for Receipts {}

impl ProducerContext for Receipts {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        let place = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.clone()),
        };
        self.received.lock().unwrap_or_else(PoisonError::into_inner).push((index, place));
    }
}
