//! What librdkafka knows and rust-rdkafka does not hand out: topic ids, leader epochs, positions, cached
//! watermarks.
//!
//! The only unsafe code of the workspace, but for the options of the allocators in `main`. Every pointer is used
//! within the call that obtained it, and every object that librdkafka hands over is destroyed before the function
//! returns.
#![expect(unsafe_code, reason = "rust-rdkafka wraps none of these calls; each block says why it is sound")]

use std::ffi::{CStr, CString};
use std::ptr;
use std::slice;
use std::time::Duration;

use ledger_store::ShardId;
use rdkafka::bindings as rd;
use rdkafka::client::{Client, ClientContext};
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::partition::KafkaPartition as _;

/// The offsets between which a partition can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watermarks {
    /// Oldest offset that can still be read.
    pub low: u64,
    /// Offset that the next message gets.
    pub high: u64,
}

/// Leader epoch of a message, where the broker sends one.
pub(crate) fn leader_epoch(message: &BorrowedMessage<'_>) -> Option<i32> {
    // SAFETY: the message is alive for the whole call.
    let epoch = unsafe { rd::rd_kafka_message_leader_epoch(message.ptr()) };
    (epoch >= 0).then_some(epoch)
}

/// Notes the leader epoch of the last message read, so that a seek lets the broker check it (KIP-320).
pub(crate) fn set_leader_epoch(list: &mut TopicPartitionList, topic: &CStr, partition: i32, epoch: i32) {
    // SAFETY: the list is alive and borrowed mutably; `find` answers an element of it or null.
    unsafe {
        let element = rd::rd_kafka_topic_partition_list_find(list.ptr(), topic.as_ptr(), partition);
        if !element.is_null() {
            rd::rd_kafka_topic_partition_set_leader_epoch(element, epoch);
        }
    }
}

/// The metadata of a partition's committed offset. `rust-rdkafka` panics where another program committed no text.
pub(crate) fn metadata(list: &TopicPartitionList, id: &ShardId) -> Option<String> {
    let topic = CString::new(id.topic.as_str()).ok()?;
    // SAFETY: the list is alive; `find` answers an element of it or null, which owns as many bytes as it says.
    let bytes = unsafe {
        let element =
            rd::rd_kafka_topic_partition_list_find(list.ptr(), topic.as_ptr(), id.kafka_partition());
        if element.is_null() || (*element).metadata.is_null() {
            return None;
        }
        slice::from_raw_parts((*element).metadata.cast::<u8>(), (*element).metadata_size).to_vec()
    };
    String::from_utf8(bytes).ok()
}

/// The watermarks that came with the last fetch; no request is made.
pub(crate) fn cached_watermarks<C: ClientContext>(
    client: &Client<C>,
    topic: &CStr,
    partition: i32,
) -> Option<Watermarks> {
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client and the topic name are alive; the two numbers are written within the call.
    let result = unsafe {
        rd::rd_kafka_get_watermark_offsets(
            client.native_ptr(),
            topic.as_ptr(),
            partition,
            &raw mut low,
            &raw mut high,
        )
    };
    if result != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return None;
    }
    Some(Watermarks { low: u64::try_from(low).ok()?, high: u64::try_from(high).ok()? })
}

/// Where the client is in the one partition of the list: behind what it handed out, and behind the control records
/// that it keeps to itself. No request is made.
pub(crate) fn position<C: ClientContext>(client: &Client<C>, partition: &TopicPartitionList) -> Option<u64> {
    // SAFETY: the client and the list are alive; the list's elements are written within the call.
    let result = unsafe { rd::rd_kafka_position(client.native_ptr(), partition.ptr()) };
    if result != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return None;
    }
    match partition.elements().first()?.offset() {
        Offset::Offset(offset) => u64::try_from(offset).ok(),
        _ => None,
    }
}

/// Kafka's id of a topic, where the broker has one to tell (Apache Kafka 2.8 and later).
pub(super) fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Option<String> {
    let name = CString::new(topic).ok()?;
    let mut names = [name.as_ptr()];
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: every object made here is destroyed here, after the last use of anything it lends: the
    // description and its id live as long as the event, and the id's text is copied before that ends.
    unsafe {
        let topics = rd::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1);
        let queue = rd::rd_kafka_queue_new(client.native_ptr());
        rd::rd_kafka_DescribeTopics(client.native_ptr(), topics, ptr::null(), queue);
        let event = rd::rd_kafka_queue_poll(queue, timeout_ms);
        let id = if event.is_null() { None } else { described_id(event) };
        if !event.is_null() {
            rd::rd_kafka_event_destroy(event);
        }
        rd::rd_kafka_queue_destroy(queue);
        rd::rd_kafka_TopicCollection_destroy(topics);
        id
    }
}

/// # Safety
/// `event` is a live event.
unsafe fn described_id(event: *mut rd::rd_kafka_event_t) -> Option<String> {
    // SAFETY: each accessor takes null or a live object, and answers null or what the event owns.
    unsafe {
        let result = rd::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return None;
        }
        let mut count = 0;
        let topics = rd::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if topics.is_null() || count == 0 {
            return None;
        }
        let id = rd::rd_kafka_TopicDescription_topic_id(*topics);
        if id.is_null() {
            return None;
        }
        let zero = rd::rd_kafka_Uuid_most_significant_bits(id) == 0
            && rd::rd_kafka_Uuid_least_significant_bits(id) == 0;
        let text = rd::rd_kafka_Uuid_base64str(id);
        if zero || text.is_null() {
            return None;
        }
        Some(CStr::from_ptr(text).to_string_lossy().into_owned())
    }
}
