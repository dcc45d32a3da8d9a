//! Commands to the lifecycle topic: what the server publishes for those who act on the ledger.

use std::sync::{Arc, Mutex, PoisonError};

use ledger_api::command::CommandTopic;
use ledger_core::event::Event;
use ledger_ingest::decode::{self, Message};
use ledger_ingest::kafka::KafkaOptions;
use ledger_ingest::placing;
use ledger_ingest::publish::{PublishError, Sender};
use ledger_record::rejection::{Reason, Rejection};
use ledger_store::{DataDir, ShardId, with_causes};

/// The first lifecycle topic, to which the server sends as `publish` does.
pub(crate) struct LifecycleTopic {
    options: KafkaOptions,
    data: Arc<DataDir>,
    /// Connected when it is first needed; gone after a failure, so that the next command connects anew.
    sender: Mutex<Option<Sender>>,
}

impl LifecycleTopic {
    pub(crate) fn new(options: &KafkaOptions, data: &Arc<DataDir>) -> Arc<Self> {
        Arc::new(Self { options: options.clone(), data: Arc::clone(data), sender: Mutex::default() })
    }

    fn name(&self) -> &str {
        self.options.topics.first().map_or("", String::as_str)
    }

    /// Places keys as it is set, as the data directory remembers, or as the topic shows.
    fn connect(&self) -> Result<Sender, String> {
        let agreed = placing::agreed(&self.data, self.name(), self.options.partitioner);
        let partitioner = agreed.map_err(|error| with_causes(&error))?;
        let options = KafkaOptions { partitioner, ..self.options.clone() };
        Sender::connect(&options).map_err(|error| with_causes(&error))
    }
}

impl CommandTopic for LifecycleTopic {
    fn read(&self, text: &[u8]) -> Result<Event, Rejection> {
        let decoded = decode::decode(&Message { value: Some(text), ..Message::default() })?;
        decoded.event().cloned().ok_or_else(|| Rejection {
            reason: Reason::UnsupportedType,
            path: Some("type".to_owned()),
            detail: "a tick is no command".to_owned(),
        })
    }

    fn publish(&self, event: &Event) -> Result<Vec<ShardId>, String> {
        // One at a time: the acknowledgements are counted.
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let connected = match sender.take() {
            Some(connected) => connected,
            None => self.connect()?,
        };
        let (partitions, connected) = send(connected, event).map_err(|error| with_causes(&error))?;
        *sender = Some(connected);
        let topic = self.name();
        Ok(partitions.into_iter().map(|partition| ShardId { topic: topic.to_owned(), partition }).collect())
    }
}

/// Sends, and gives the sender back unless it failed.
fn send(mut sender: Sender, event: &Event) -> Result<(Vec<u32>, Sender), PublishError> {
    let partitions = sender.send_event(event)?;
    sender.settle()?;
    Ok((partitions, sender))
}
