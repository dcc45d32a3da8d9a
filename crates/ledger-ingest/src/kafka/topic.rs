//! What a broker answers about a topic.

use std::time::Duration;

use ledger_store::SourceIdentity;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::kafka::native;

/// The identity of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicFacts {
    /// Kafka's id of the cluster.
    pub cluster_id: Option<String>,
    /// Kafka's id of this very topic: another one under the same name has another id.
    pub topic_id: Option<String>,
    /// How many partitions it has; 0 when it does not exist.
    pub partitions: u32,
}

impl From<SourceIdentity> for TopicFacts {
    fn from(identity: SourceIdentity) -> Self {
        let SourceIdentity { cluster_id, topic_id, partitions } = identity;
        Self { cluster_id, topic_id, partitions }
    }
}

impl From<TopicFacts> for SourceIdentity {
    fn from(facts: TopicFacts) -> Self {
        let TopicFacts { cluster_id, topic_id, partitions } = facts;
        Self { cluster_id, topic_id, partitions }
    }
}

/// How long the topic's id may take. Brokers that have ids tell them at once; others (librdkafka's embedded
/// one) never answer that question.
const ID_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks the broker which topic this is.
pub(crate) fn facts<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<TopicFacts, KafkaError> {
    let partitions = partitions(client, topic, timeout)?;
    Ok(TopicFacts {
        cluster_id: client.fetch_cluster_id(timeout),
        topic_id: native::topic_id(client, topic, timeout.min(ID_TIMEOUT)),
        partitions,
    })
}

/// Asks the broker how many partitions a topic has.
pub(crate) fn partitions<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<u32, KafkaError> {
    let metadata = client.fetch_metadata(Some(topic), timeout)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let Some(found) = found.filter(|found| !found.partitions().is_empty()) else {
        return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition));
    };
    Ok(u32::try_from(found.partitions().len()).unwrap_or(u32::MAX))
}
