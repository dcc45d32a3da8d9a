//! The topics that a member can subscribe to, and why it does not subscribe to others yet.

use ledger_store::{BindError, OpenError, with_causes};
use rdkafka::client::Client;
use rdkafka::error::KafkaError;
use tracing::warn;

use crate::consume::membership::{FIRST_LOOK, Membership};
use crate::kafka::topic;

/// Why a topic is not subscribed to.
#[derive(Debug, thiserror::Error)]
enum NotKnown {
    #[error("the brokers do not tell of it: {0}; create it with `topics create`, or check kafka.brokers")]
    Asked(KafkaError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Bind(#[from] BindError),
}

impl From<KafkaError> for NotKnown {
    fn from(error: KafkaError) -> Self {
        Self::Asked(error)
    }
}

impl Membership {
    /// The topics that can be subscribed to: shards are opened under a topic that the data directory knows, so a new
    /// one is asked for first. Whether a known one is still the same is the worker's to compare.
    pub(crate) fn known_topics(&self, client: &Client<Self>) -> Vec<String> {
        let is_known = |topic: &&String| match self.make_known(client, topic) {
            Ok(()) => {
                self.lock().unread.remove(*topic);
                true
            }
            Err(error) => {
                let is_away = matches!(&error, NotKnown::Asked(error) if self.contact.failed(error));
                let is_new =
                    self.lock().unread.insert((*topic).clone(), error.to_string()) != Some(error.to_string());
                if is_new && !is_away {
                    warn!(%topic, error = with_causes(&error), "not read yet, trying again");
                }
                false
            }
        };
        self.options.topics.iter().filter(is_known).cloned().collect()
    }

    /// Why topics are not read, in words; none: all are.
    pub(crate) fn unread(&self) -> Option<String> {
        let held = self.lock();
        let told = held.unread.iter().map(|(topic, why)| format!("the topic {topic} is not read: {why}"));
        Some(told.collect::<Vec<_>>().join("; ")).filter(|told| !told.is_empty())
    }

    fn make_known(&self, client: &Client<Self>, topic: &str) -> Result<(), NotKnown> {
        if self.data.identity(topic)?.is_some() {
            return Ok(());
        }
        let facts = topic::facts(client, topic, FIRST_LOOK)?;
        let partitions = facts.partitions;
        self.data.bind(topic, &facts.into())?;
        self.catalog.expect(topic, Some(partitions));
        Ok(())
    }
}
