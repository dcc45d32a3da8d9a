//! Partitions and messages as librdkafka has them: a topic's name, a signed partition, borrowed headers.

use ledger_record::rows::SourcePosition;
use ledger_store::{Shard, ShardId};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::decode::Header;

/// The other spelling of a shard's id.
pub(crate) trait KafkaPartition {
    /// The shard of a partition that librdkafka names.
    fn from_kafka(topic: &str, partition: i32) -> Self;

    /// Its number, signed.
    fn kafka_partition(&self) -> i32;

    /// A list of it alone.
    fn alone(&self) -> TopicPartitionList;

    /// A list of it alone, at an offset.
    fn alone_at(&self, offset: u64) -> Result<TopicPartitionList, KafkaError>;
}

impl KafkaPartition for ShardId {
    fn from_kafka(topic: &str, partition: i32) -> Self {
        // Negative numbers mean no partition, and come with no message.
        Self { topic: topic.to_owned(), partition: u32::try_from(partition).unwrap_or(0) }
    }

    fn kafka_partition(&self) -> i32 {
        i32::try_from(self.partition).unwrap_or(i32::MAX)
    }

    fn alone(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&self.topic, self.kafka_partition());
        list
    }

    fn alone_at(&self, offset: u64) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(&self.topic, self.kafka_partition(), offset_of(offset))?;
        Ok(list)
    }
}

/// How far a shard was read from its topic.
pub(crate) fn next_offset(shard: &Shard, id: &ShardId) -> Option<u64> {
    match shard.source_position(&id.topic) {
        Ok(Some(SourcePosition::Kafka { next_offset, .. })) => Some(next_offset),
        _ => None,
    }
}

/// An offset as librdkafka wants it.
pub(crate) fn offset_of(offset: u64) -> Offset {
    Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX))
}

/// A header without value is absent.
pub(crate) fn headers<'m>(message: &'m BorrowedMessage<'_>) -> Vec<Header<'m>> {
    let present = |header: rdkafka::message::Header<'m, &'m [u8]>| Some((header.key, header.value?));
    message.headers().map_or_else(Vec::new, |headers| headers.iter().filter_map(present).collect())
}
