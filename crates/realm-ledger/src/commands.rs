//! Commands: what the server publishes for those who act on the ledger, to the lifecycle topics by a producer of its own, or
//! to the journal of a ledger without Kafka.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ledger_api::command::{CommandSink, NotPublished, NotRetried};
use ledger_core::event::Event;
use ledger_gateway::journal::Journal;
use ledger_ingest::decode::{self, Message, to_native_json};
use ledger_ingest::kafka::KafkaOptions;
use ledger_ingest::placing;
use ledger_ingest::publish::{PublishError, Sender};
use ledger_ingest::retry::{NotDecoded, decode_again};
use ledger_record::rejection::{Reason, Refused, Rejection};
use ledger_store::{DataDir, Partitioner, ShardId, with_causes};
use tracing::info;

use crate::command::now;

/// How long the brokers may take: the operator waits.
const BROKERS_WITHIN: Duration = Duration::from_secs(5);

/// Reads what is kept of a refused message as ingestion does.
pub(crate) fn decode_refused(refused: &Refused) -> Result<Event, NotRetried> {
    decode_again(refused).map_err(|error| {
        let path =
            if let NotDecoded::Rejected(Rejection { path, .. }) = &error { path.clone() } else { None };
        NotRetried { path, detail: format!("it is still no event, and was not sent: {error}") }
    })
}

/// Reads and checks a native event as ingestion does.
pub(crate) fn decode(text: &[u8]) -> Result<Event, Rejection> {
    let decoded = decode::decode(&Message { value: Some(text), ..Message::default() })?;
    decoded.event().cloned().ok_or_else(|| Rejection {
        reason: Reason::UnsupportedType,
        path: Some("type".to_owned()),
        detail: "a tick is no command".to_owned(),
    })
}

/// By topic. Connected when it is first needed; gone after a failure, so that the next command connects anew.
type Senders = BTreeMap<String, Sender>;

/// The lifecycle topics, to which the server sends as `publish` does.
pub(crate) struct KafkaCommands {
    options: KafkaOptions,
    data: Arc<DataDir>,
    senders: Mutex<Senders>,
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

    /// A sender to a topic whose brokers answer: what they do not answer to is not sent.
    fn sender(&self, senders: &mut Senders, topic: &str) -> Result<Sender, PublishError> {
        match senders.remove(topic) {
            Some(mut sender) => {
                // Partitions may have been added.
                sender.count_partitions()?;
                Ok(sender)
            }
            None => self.connect(topic),
        }
    }

    /// One at a time: the acknowledgements are counted.
    fn senders(&self) -> Result<MutexGuard<'_, Senders>, NotPublished> {
        let began = Instant::now();
        let senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if began.elapsed() > BROKERS_WITHIN {
            let detail =
                "it was not sent, as the brokers had not answered to those before it; check the brokers";
            return Err(NotPublished(detail.to_owned()));
        }
        Ok(senders)
    }

    fn places_in(
        &self,
        senders: &mut Senders,
        topic: &str,
        event: &Event,
    ) -> Result<Vec<ShardId>, PublishError> {
        let mut sender = self.sender(senders, topic)?;
        let partitions = sender.partitions_for(event)?;
        senders.insert(topic.to_owned(), sender);
        let shard = |partition| ShardId { topic: topic.to_owned(), partition };
        Ok(partitions.into_iter().map(shard).collect())
    }

    fn send(
        &self,
        senders: &mut Senders,
        topic: &str,
        event: &Event,
        partitions: &[u32],
    ) -> Result<(), PublishError> {
        let mut sender = self.sender(senders, topic)?;
        sender.send_event(event, partitions)?;
        sender.settle()?;
        senders.insert(topic.to_owned(), sender);
        Ok(())
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
    fn places(
        &self,
        event: &Event,
        known: Option<&ShardId>,
        topic: Option<&str>,
    ) -> Result<Vec<ShardId>, NotPublished> {
        if let Some(topic) = topic.filter(|topic| *topic != self.topic) {
            return Err(no_source_of(topic));
        }
        let mut shards = self.data.shards().map_err(|error| NotPublished(with_causes(&error)))?;
        shards.retain(|shard| shard.topic == self.topic);
        if let Some(client) = event.client() {
            let partitions = u32::try_from(shards.len()).unwrap_or(u32::MAX);
            let place = || match partitions {
                1 => Some(0),
                several => self.partitioner.partition(client.as_bytes(), several),
            };
            let partition = known.map(|known| known.partition).or_else(place);
            shards.retain(|shard| partition.is_none_or(|partition| partition == shard.partition));
        }
        Ok(shards)
    }

    fn publish(&self, event: &Event, _: &[ShardId]) -> Result<(), NotPublished> {
        let written = self.journal.append_blocking(&to_native_json(event), now());
        written.map_err(|error| NotPublished(with_causes(&error)))?;
        info!(id = event.id.as_str(), kind = event.type_name(), "wrote a command to the journal");
        Ok(())
    }
}

impl CommandSink for KafkaCommands {
    fn places(
        &self,
        event: &Event,
        known: Option<&ShardId>,
        topic: Option<&str>,
    ) -> Result<Vec<ShardId>, NotPublished> {
        let topics = &self.options.topics;
        if let (Some(_), Some(known)) = (event.client(), known.filter(|known| topics.contains(&known.topic)))
        {
            return Ok(vec![known.clone()]);
        }
        let topics = match (event.client(), topic) {
            (Some(_), Some(topic)) => {
                let at = topics.iter().position(|of| of == topic).ok_or_else(|| no_source_of(topic))?;
                &topics[at..=at]
            }
            (Some(_), None) => topics.get(..1).unwrap_or_default(),
            (None, _) => topics,
        };
        let mut senders = self.senders()?;
        let mut shards = Vec::new();
        for topic in topics {
            let places = self.places_in(&mut senders, topic, event);
            shards.extend(places.map_err(|error| NotPublished(with_causes(&error)))?);
        }
        Ok(shards)
    }

    fn publish(&self, event: &Event, to: &[ShardId]) -> Result<(), NotPublished> {
        let mut senders = self.senders()?;
        let mut partitions: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for ShardId { topic, partition } in to {
            partitions.entry(topic).or_default().push(*partition);
        }
        for (topic, partitions) in partitions {
            let sent = self.send(&mut senders, topic, event, &partitions);
            sent.map_err(|error| NotPublished(with_causes(&error)))?;
        }
        let places = to.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        info!(id = event.id.as_str(), kind = event.type_name(), places, "published a command");
        Ok(())
    }
}

fn no_source_of(topic: &str) -> NotPublished {
    NotPublished(format!("this server does not read {topic}, so nothing is sent there"))
}
