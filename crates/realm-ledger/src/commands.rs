//! Commands: what the server publishes for those who act on the ledger, to the lifecycle topics by a producer of its own, or
//! to the journal of a ledger without Kafka.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ledger_api::command::{CommandSink, NotPublished};
use ledger_core::event::Event;
use ledger_gateway::journal::Journal;
use ledger_ingest::decode::{self, Message, to_native_json};
use ledger_ingest::kafka::KafkaOptions;
use ledger_ingest::placing;
use ledger_ingest::publish::{PublishError, Sender};
use ledger_record::rejection::{Reason, Rejection};
use ledger_store::{DataDir, Partitioner, ShardId, with_causes};
use tracing::info;

use crate::command::now;

/// How long the brokers may take: the operator waits.
const BROKERS_WITHIN: Duration = Duration::from_secs(5);

/// Reads and checks a native event as ingestion does.
pub(crate) fn decode(text: &[u8]) -> Result<Event, Rejection> {
    let decoded = decode::decode(&Message { value: Some(text), ..Message::default() })?;
    decoded.event().cloned().ok_or_else(|| Rejection {
        reason: Reason::UnsupportedType,
        path: Some("type".to_owned()),
        detail: "a tick is no command".to_owned(),
    })
}

/// The lifecycle topics, to which the server sends as `publish` does.
pub(crate) struct KafkaCommands {
    options: KafkaOptions,
    data: Arc<DataDir>,
    /// By topic. Connected when it is first needed; gone after a failure, so that the next command connects anew.
    senders: Mutex<BTreeMap<String, Sender>>,
}

impl KafkaCommands {
    pub(crate) fn new(options: &KafkaOptions, data: &Arc<DataDir>) -> Arc<Self> {
        Arc::new(Self { options: options.clone(), data: Arc::clone(data), senders: Mutex::default() })
    }

    /// Places keys as it is set, as the data directory remembers, or as the topic shows.
    fn connect(&self, topic: &str) -> Result<Sender, PublishError> {
        let partitioner = placing::agreed(&self.data, topic, self.options.partitioner)?;
        let options = KafkaOptions { partitioner, topics: vec![topic.to_owned()], ..self.options.clone() };
        Sender::connect_within(&options, BROKERS_WITHIN)
    }

    fn send(
        &self,
        senders: &mut BTreeMap<String, Sender>,
        topic: &str,
        event: &Event,
        known: Option<u32>,
    ) -> Result<Vec<ShardId>, PublishError> {
        let mut sender = match senders.remove(topic) {
            Some(mut sender) => {
                // Partitions may have been added; and what the brokers do not answer to is not sent.
                sender.count_partitions()?;
                sender
            }
            None => self.connect(topic)?,
        };
        let partitions = sender.send_event(event, known)?;
        sender.settle()?;
        senders.insert(topic.to_owned(), sender);
        let shard = |partition| ShardId { topic: topic.to_owned(), partition };
        Ok(partitions.into_iter().map(shard).collect())
    }
}

/// The journal that is the source of a ledger without Kafka.
pub(crate) struct JournalCommands {
    pub(crate) journal: Journal,
    pub(crate) data: Arc<DataDir>,
    /// The name that its shards have.
    pub(crate) topic: String,
    /// How the journal's reader places keys, where several shards are.
    pub(crate) partitioner: Partitioner,
}

impl CommandSink for JournalCommands {
    fn publish(&self, event: &Event, known: Option<&ShardId>) -> Result<Vec<ShardId>, NotPublished> {
        let not_published = |error: &dyn std::error::Error| NotPublished(with_causes(error));
        let shards = self.data.shards().map_err(|error| not_published(&error))?;
        let mut shards: Vec<ShardId> = shards.into_iter().filter(|shard| shard.topic == self.topic).collect();
        if let Some(client) = event.client() {
            let partitions = u32::try_from(shards.len()).unwrap_or(u32::MAX);
            let place = || match partitions {
                1 => Some(0),
                several => self.partitioner.partition(client.as_bytes(), several),
            };
            let partition = known.map(|known| known.partition).or_else(place);
            shards.retain(|shard| partition.is_none_or(|partition| partition == shard.partition));
        }
        let native = to_native_json(event);
        self.journal.append_blocking(&native, now()).map_err(|error| not_published(&error))?;
        info!(id = event.id.as_str(), kind = event.type_name(), "wrote a command to the journal");
        Ok(shards)
    }
}

impl CommandSink for KafkaCommands {
    fn publish(&self, event: &Event, known: Option<&ShardId>) -> Result<Vec<ShardId>, NotPublished> {
        let began = Instant::now();
        // One at a time: the acknowledgements are counted.
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if began.elapsed() > BROKERS_WITHIN {
            let detail =
                "it was not sent, as the brokers had not answered to those before it; check the brokers";
            return Err(NotPublished(detail.to_owned()));
        }
        let known = known.filter(|known| self.options.topics.contains(&known.topic));
        let topics = match (event.client(), known) {
            (Some(_), Some(known)) => std::slice::from_ref(&known.topic),
            (Some(_), None) => self.options.topics.get(..1).unwrap_or_default(),
            (None, _) => self.options.topics.as_slice(),
        };
        let mut shards = Vec::new();
        for topic in topics {
            let sent = self.send(&mut senders, topic, event, known.map(|known| known.partition));
            shards.extend(sent.map_err(|error| NotPublished(with_causes(&error)))?);
        }
        let places = shards.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        info!(id = event.id.as_str(), kind = event.type_name(), places, "published a command");
        Ok(shards)
    }
}
