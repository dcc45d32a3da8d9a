//! Sends native events to the lifecycle topic: keyed by client key and placed as its other producers place keys,
//! app-level events and ticks to every partition.
//!
//! What is sent has been read and checked by the same decoder that ingestion uses, so a mistake is reported to
//! the sender and does not become a dead letter.

use std::time::Duration;

use ledger_core::event::Event;
use ledger_core::time::Timestamp;
use ledger_record::json::time::format_instant;
use ledger_record::rejection::{Reason, Rejection};
use ledger_store::Partitioner;
use rdkafka::error::KafkaError;
use serde_json::{Map, Value};

use crate::decode::{self, Decoded, Incoming, Message, refused_line_alone, to_native_json};
use crate::kafka::options::{BROKER_TIMEOUT, KafkaOptions};
use crate::kafka::topic::TopicFacts;
use crate::placing::sample::sample_keys;
use crate::placing::{PlacingError, to_place};
use crate::publish::outbox::{Outbox, Outgoing, SendError, content_type};
use crate::quarantine::refused_line;

/// How many messages are under way before their acknowledgements are waited for.
const UNDER_WAY: u64 = 10_000;

/// A message was not sent.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// It is not an event.
    #[error(transparent)]
    Invalid(#[from] Rejection),
    /// The topic cannot be found.
    #[error("topic {topic}: {error}; create it with `topics create`, or check kafka.brokers")]
    Topic { topic: String, error: KafkaError },
    /// The partition of a client key cannot be computed.
    #[error(transparent)]
    Placing(#[from] PlacingError),
    /// It was not acknowledged.
    #[error(transparent)]
    Send(#[from] SendError),
}

impl PublishError {
    /// Why it can never be sent, however often it is tried; none: it may be later.
    #[must_use]
    pub fn why_never(&self) -> Option<Rejection> {
        match self {
            Self::Invalid(rejection) => Some(rejection.clone()),
            Self::Send(error) if error.is_too_large() => {
                let detail = "the message is larger than the topic takes".to_owned();
                Some(Rejection { reason: Reason::TooLarge, path: None, detail })
            }
            _ => None,
        }
    }
}

/// Sends events to one topic.
pub struct Sender {
    outbox: Outbox,
    topic: String,
    partitions: u32,
    options: KafkaOptions,
    /// How client keys are placed, once that was needed.
    partitioner: Option<Partitioner>,
    under_way: u64,
    /// How long the brokers may take.
    patience: Duration,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Sender {
    /// Connects, and asks how many partitions the first lifecycle topic has.
    pub fn connect(options: &KafkaOptions) -> Result<Self, PublishError> {
        Self::connect_within(options, BROKER_TIMEOUT)
    }

    /// The same for someone who waits no longer than that for the brokers, each time.
    pub fn connect_within(options: &KafkaOptions, patience: Duration) -> Result<Self, PublishError> {
        let topic = options.topics.first().cloned().unwrap_or_default();
        let of_topic = |error| PublishError::Topic { topic: topic.clone(), error };
        let outbox = Outbox::new(options).map_err(of_topic)?;
        let partitions = outbox.partitions(&topic, patience).map_err(of_topic)?;
        let (options, partitioner) = (options.clone(), options.partitioner);
        Ok(Self { outbox, topic, partitions, options, partitioner, under_way: 0, patience })
    }

    /// Checks one native JSON event and sends it, as far as the ledger reads it: nothing else is known to hold
    /// no secret. Returns how many messages that made.
    pub fn send(&mut self, line: &[u8]) -> Result<u32, PublishError> {
        let message = Message { key: None, value: Some(line), headers: &[], timestamp: None };
        match decode::decode(&message)? {
            Decoded::Event(Incoming { event, .. }) => {
                let partitions = self.partitions_for(&event)?;
                self.send_event(&event, &partitions)?;
                Ok(u32::try_from(partitions.len()).unwrap_or(u32::MAX))
            }
            Decoded::Tick => self.send_everywhere(&tick_alone(line)),
        }
    }

    /// The same for a line of a journal, which can stand in place of a message that was refused: readers of the topic put that
    /// in quarantine, as one of the journal does.
    pub fn send_line(&mut self, line: &[u8]) -> Result<u32, PublishError> {
        match refused_line_alone(line) {
            Some(refused) => self.send_to(Some(0), None, &refused).map(|()| 1),
            None => self.send(line),
        }
    }

    /// Sends the refusal of a value in its place, of which the digest stays.
    pub fn send_refused(&mut self, value: &[u8], rejection: Rejection) -> Result<(), PublishError> {
        let message = Message { value: Some(value), ..Message::default() };
        self.send_to(Some(0), None, &refused_line(&message, rejection, 0))
    }

    /// The partitions that an event belongs to: one of a tenant where its key does, one of a whole app everywhere.
    pub fn partitions_for(&mut self, event: &Event) -> Result<Vec<u32>, PublishError> {
        Ok(match event.client() {
            Some(client) => vec![self.partition_of(client.as_bytes())?],
            None => (0..self.partitions).collect(),
        })
    }

    /// Sends an event that was read and checked already, to these partitions.
    pub fn send_event(&mut self, event: &Event, partitions: &[u32]) -> Result<(), PublishError> {
        let key = event.client().map(ledger_core::ids::ClientKey::as_str);
        let key = key.or_else(|| event.app().map(ledger_core::ids::AppKey::as_str));
        let value = to_native_json(event);
        for partition in partitions {
            self.send_to(Some(*partition), key, &value)?;
        }
        Ok(())
    }

    /// Sends a tick to every partition: what is unsealed there is sealed. Returns how many messages that made.
    pub fn send_tick(&mut self, now: Timestamp) -> Result<u32, PublishError> {
        let time = format_instant(now);
        self.send_everywhere(format!(r#"{{"id":"tick-{time}","type":"tick","time":"{time}"}}"#).as_bytes())
    }

    /// Sends bytes as they are, with this key: for messages that no decoder would take, such as the
    /// malformed ones of the demo.
    pub fn send_raw(&mut self, key: Option<&str>, value: &[u8]) -> Result<(), PublishError> {
        let partition = key.map(|key| self.partition_of(key.as_bytes())).transpose()?;
        self.send_to(partition, key, value)
    }

    /// How client keys were placed; none: there was none to place, or one partition only.
    pub fn partitioner(&self) -> Option<Partitioner> {
        self.partitioner
    }

    /// Which topic it sends to, as the brokers tell.
    pub fn topic_facts(&self) -> Result<TopicFacts, PublishError> {
        let of_topic = |error| PublishError::Topic { topic: self.topic.clone(), error };
        self.outbox.facts(&self.topic, self.patience).map_err(of_topic)
    }

    /// Waits until everything sent is acknowledged.
    pub fn settle(&mut self) -> Result<(), PublishError> {
        self.under_way = 0;
        Ok(self.outbox.settle(self.patience)?)
    }

    /// Asks the brokers once more how many partitions the topic has. They answer before anything is sent.
    pub fn count_partitions(&mut self) -> Result<(), PublishError> {
        let of_topic = |error| PublishError::Topic { topic: self.topic.clone(), error };
        self.partitions = self.outbox.partitions(&self.topic, self.patience).map_err(of_topic)?;
        Ok(())
    }

    /// Where a key belongs.
    fn partition_of(&mut self, key: &[u8]) -> Result<u32, PublishError> {
        let partitioner = match self.partitioner {
            _ if self.partitions <= 1 => return Ok(0),
            Some(partitioner) => partitioner,
            None => *self.partitioner.insert(self.learn()?),
        };
        let partitioner = to_place(&self.topic, self.partitions, Some(partitioner))?;
        Ok(partitioner.partition(key, self.partitions).unwrap_or(0))
    }

    /// From the keys of the topic. With too few of them keys are placed as Java's client does.
    fn learn(&self) -> Result<Partitioner, PublishError> {
        let sampled = sample_keys(&self.options, &self.topic);
        let tally = sampled.map_err(|error| PublishError::Topic { topic: self.topic.clone(), error })?;
        match tally.verdict() {
            Some(Partitioner::Unknown) => {
                let (topic, shown) = (self.topic.clone(), Some(tally.to_string()));
                Err(PlacingError::Unknown { topic, shown }.into())
            }
            verdict => Ok(verdict.unwrap_or(Partitioner::Murmur2)),
        }
    }

    fn send_everywhere(&mut self, value: &[u8]) -> Result<u32, PublishError> {
        for partition in 0..self.partitions {
            self.send_to(Some(partition), None, value)?;
        }
        Ok(self.partitions)
    }

    fn send_to(
        &mut self,
        partition: Option<u32>,
        key: Option<&str>,
        value: &[u8],
    ) -> Result<(), PublishError> {
        self.outbox.send(Outgoing {
            topic: &self.topic,
            partition,
            key: key.map(str::as_bytes),
            value: value.into(),
            headers: content_type("application/json"),
        })?;
        self.under_way += 1;
        if self.under_way >= UNDER_WAY {
            self.settle()?;
        }
        Ok(())
    }
}

/// A tick as far as the ledger reads it.
fn tick_alone(line: &[u8]) -> Vec<u8> {
    let mut members: Map<String, Value> = serde_json::from_slice(line).unwrap_or_default();
    members.retain(|name, _| matches!(name.as_str(), "id" | "type" | "time"));
    Value::Object(members).to_string().into_bytes()
}
