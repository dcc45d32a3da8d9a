//! What the owner of a partition leaves behind for the next one: how far its decisions and dead letters were
//! published, as the metadata of the group's committed offset.
//!
//! ```text
//!   {"published":{"realm.decisions":4711,"realm.dead-letter":4711}}      next offset of the source, by output topic
//! ```
//!
//! Without it a process that gets a partition on a new disk would publish the whole history again. Metadata of another
//! program is ignored: then everything is published again, which the stable ids of the messages allow for.

use std::time::Duration;

use ledger_store::{Catalog, PublishedOffsets, ShardId};
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use tracing::debug;

use crate::consume::callbacks::GroupConsumer;
use crate::kafka::native;
use crate::kafka::partition::{KafkaPartition as _, offset_of};

#[derive(Debug, Default, Serialize, Deserialize)]
struct Metadata {
    published: PublishedOffsets,
}

/// What the last owner of a partition committed.
#[derive(Debug, Default)]
pub(super) struct GroupProgress {
    /// The next offset that it would have read.
    pub(super) offset: Option<u64>,
    pub(super) published: PublishedOffsets,
}

impl GroupProgress {
    /// Asks the group's coordinator. A process that may not ask publishes everything again, rather than nothing.
    pub(super) fn ask(consumer: &GroupConsumer, id: &ShardId, timeout: Duration) -> KafkaResult<Self> {
        let list = match consumer.committed_offsets(id.alone(), timeout) {
            Err(error) if is_denied(&error) => return Ok(Self::default()),
            asked => asked?,
        };
        let offset = match list.elements().first().map(TopicPartitionListElem::offset) {
            Some(Offset::Offset(offset)) => u64::try_from(offset).ok(),
            _ => None,
        };
        let metadata = native::metadata(&list, id);
        Ok(Self { offset, published: metadata.as_deref().map(from_metadata).unwrap_or_default() })
    }
}

/// Commits how far this process is, for lag tools, and how far it published, for the partitions' next owners. As long
/// as it has not read what the owner before it committed, it commits nothing in its place.
pub(super) fn commit(
    consumer: &GroupConsumer,
    catalog: &Catalog,
    durable: impl Iterator<Item = (ShardId, u64)>,
    mode: CommitMode,
) {
    let mut list = TopicPartitionList::new();
    for (id, offset) in durable {
        let published = catalog.get(&id).and_then(|served| served.status.published().get());
        let Some(published) = published else { continue };
        if let Err(error) = add(&mut list, &id, offset, published) {
            debug!(%error, shard = %id, "offset not committed");
        }
    }
    if list.count() > 0
        && let Err(error) = consumer.commit(&list, mode)
    {
        debug!(%error, "offsets for lag tools were not committed");
    }
}

/// Adds what the owner of a partition commits.
fn add(
    list: &mut TopicPartitionList,
    id: &ShardId,
    offset: u64,
    published: PublishedOffsets,
) -> KafkaResult<()> {
    list.add_partition_offset(&id.topic, id.kafka_partition(), offset_of(offset))?;
    if let Some(mut element) = list.find_partition(&id.topic, id.kafka_partition()) {
        element.set_metadata(to_metadata(published));
    }
    Ok(())
}

fn is_denied(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::GroupAuthorizationFailed | RDKafkaErrorCode::TopicAuthorizationFailed)
    )
}

/// Empty as long as nothing was published.
#[expect(clippy::disallowed_methods, reason = "offsets that only this module reads again")]
fn to_metadata(published: PublishedOffsets) -> String {
    if published.is_empty() {
        return String::new();
    }
    serde_json::to_string(&Metadata { published }).unwrap_or_default()
}

fn from_metadata(metadata: &str) -> PublishedOffsets {
    serde_json::from_str::<Metadata>(metadata).unwrap_or_default().published
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_keeps_each_topic_and_foreign_metadata_is_ignored() {
        let offsets = PublishedOffsets::from([("realm.decisions".to_owned(), 7), ("dead".to_owned(), 0)]);
        assert_eq!(from_metadata(&to_metadata(offsets.clone())), offsets);
        assert_eq!(to_metadata(PublishedOffsets::new()), "");
        for foreign in ["", "host-1", r#"{"published":3}"#, r#"{"other":{}}"#] {
            assert!(from_metadata(foreign).is_empty(), "{foreign}");
        }
    }
}
