//! The topics that a member can subscribe to, and why it does not subscribe to others yet.

use std::collections::BTreeMap;

use ledger_store::{BindError, OpenError, with_causes};
use rdkafka::client::Client;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult};
use tracing::warn;

use crate::consume::callbacks::{GroupCallbacks, GroupConsumer};
use crate::consume::opening::{FIRST_LOOK, Ingestion};
use crate::kafka::topic;

/// Why a topic is not subscribed to.
#[derive(Debug, thiserror::Error)]
enum NotKnown {
    #[error("the brokers do not tell of it: {0}; create it with `topics create`, or check kafka.brokers")]
    Asked(#[from] KafkaError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Bind(#[from] BindError),
}

/// The topics of this process.
#[derive(Debug, Default)]
pub(super) struct TopicSubscription {
    /// How many topics the client is subscribed to.
    known: usize,
    /// Topics that it is not subscribed to yet, and why.
    unread: BTreeMap<String, String>,
}

impl TopicSubscription {
    /// Whether topics are missing.
    pub(super) fn is_partial(&self, ingestion: &Ingestion) -> bool {
        self.known < ingestion.options.topics.len()
    }

    /// Subscribes to the topics that are known by now, if those are more than before. Shards are opened under a topic that
    /// the data directory knows, so a new one is asked for first. Whether a known one is still the same is the worker's
    /// to compare.
    pub(super) fn extend(&mut self, consumer: &GroupConsumer, ingestion: &Ingestion) -> KafkaResult<()> {
        let mut known = Vec::new();
        for topic in &ingestion.options.topics {
            match make_known(ingestion, consumer.client(), topic) {
                Ok(()) => {
                    self.unread.remove(topic);
                    known.push(topic.as_str());
                }
                Err(error) => self.report(ingestion, topic, &error),
            }
        }
        if known.len() > self.known {
            self.known = known.len();
            consumer.subscribe(&known)?;
        }
        Ok(())
    }

    /// Why topics are not read, in words; none: all are.
    pub(super) fn unread(&self) -> Option<String> {
        let unread = self.unread.iter().map(|(topic, why)| format!("the topic {topic} is not read: {why}"));
        Some(unread.collect::<Vec<_>>().join("; ")).filter(|unread| !unread.is_empty())
    }

    fn report(&mut self, ingestion: &Ingestion, topic: &str, error: &NotKnown) {
        let is_away = matches!(error, NotKnown::Asked(error) if ingestion.contact.failed(error));
        let is_new = self.unread.insert(topic.to_owned(), error.to_string()) != Some(error.to_string());
        if is_new && !is_away {
            warn!(%topic, error = with_causes(error), "not read yet, trying again");
        }
    }
}

fn make_known(ingestion: &Ingestion, client: &Client<GroupCallbacks>, topic: &str) -> Result<(), NotKnown> {
    if ingestion.data.identity(topic)?.is_some() {
        return Ok(());
    }
    let facts = topic::facts(client, topic, FIRST_LOOK)?;
    let partitions = facts.partitions;
    ingestion.data.bind(topic, &facts.into())?;
    ingestion.catalog.expect(topic, Some(partitions));
    Ok(())
}
