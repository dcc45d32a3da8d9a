//! What librdkafka calls from within `poll`, on the group's thread. In: rebalances, logs, errors. Out: reports to the
//! owner of the partitions, which decides and does everything else.
//!
//! ```text
//!   assigned ─► reported; the rebalance ends at once, the owner adds each partition when its shard is open
//!   revoked, lost ─► reported ─► waits for the owner, at most until a deadline ─► partitions given back
//! ```
//!
//! librdkafka reports to the coordinator that partitions are given back when they leave the client's assignment, so a
//! callback must not return before their workers have stopped. It returns without the owner's answer at a deadline below the
//! session timeout, and at once when there is no owner any more: a client is closed by polling it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use ledger_store::ShardId;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use tracing::{debug, error, warn};

use crate::consume::contact::Contact;
use crate::kafka::client_log;
use crate::kafka::partition::KafkaPartition as _;

/// The consumer of a whole process.
pub(super) type GroupConsumer = BaseConsumer<GroupCallbacks>;

/// What the group has decided.
#[derive(Debug)]
pub(super) enum Rebalance {
    Assigned(Vec<ShardId>),
    Revoked(Vec<ShardId>, SyncSender<()>),
    Lost(Vec<ShardId>, SyncSender<()>),
}

/// The context of the consumer. It knows the owner only by what it reports to.
pub(super) struct GroupCallbacks {
    report: Box<dyn Fn(Rebalance) + Send + Sync>,
    contact: Arc<Contact>,
    /// How long a revocation waits for its release.
    release_timeout: Duration,
    is_disconnected: AtomicBool,
}

impl std::fmt::Debug for GroupCallbacks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupCallbacks").finish_non_exhaustive()
    }
}

impl GroupCallbacks {
    pub(super) fn new(
        report: impl Fn(Rebalance) + Send + Sync + 'static,
        contact: Arc<Contact>,
        release_timeout: Duration,
    ) -> Self {
        Self { report: Box::new(report), contact, release_timeout, is_disconnected: AtomicBool::new(false) }
    }

    /// From now on nothing is reported: the client is thrown away, and its partitions may be another client's.
    pub(super) fn disconnect(&self) {
        self.is_disconnected.store(true, Ordering::Release);
    }

    fn report(&self, rebalance: Rebalance) {
        if !self.is_disconnected.load(Ordering::Acquire) {
            (self.report)(rebalance);
        }
    }

    fn give_back(
        &self,
        consumer: &BaseConsumer<Self>,
        list: &TopicPartitionList,
        report: impl FnOnce(Vec<ShardId>, SyncSender<()>) -> Rebalance,
    ) -> KafkaResult<()> {
        let (release, released) = sync_channel(1);
        let ids = ids(list);
        self.report(report(ids.clone(), release));
        if released.recv_timeout(self.release_timeout) == Err(RecvTimeoutError::Timeout) {
            warn!("the revoked partitions are given back before their shards are released");
        }
        consumer.incremental_unassign(&added(consumer, &ids))
    }
}

/// Those of the partitions that are in the client's assignment: librdkafka refuses the whole list for one partition that
/// was never added, as its shard was not open yet.
pub(super) fn added(consumer: &GroupConsumer, ids: &[ShardId]) -> TopicPartitionList {
    let assigned = consumer.assignment().ok();
    let mut added = TopicPartitionList::new();
    for id in ids {
        let is_in =
            |list: &TopicPartitionList| list.find_partition(&id.topic, id.kafka_partition()).is_some();
        if assigned.as_ref().is_none_or(is_in) {
            added.add_partition(&id.topic, id.kafka_partition());
        }
    }
    added
}

impl ClientContext for GroupCallbacks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client_log::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.contact.failed(&error);
        client_log::log_error(&error, reason);
    }
}

impl ConsumerContext for GroupCallbacks {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let result = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.report(Rebalance::Assigned(ids(list)));
                // librdkafka waits for a call. Nothing of a partition may flow before its shard is open.
                consumer.incremental_assign(&TopicPartitionList::new())
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS if !consumer.assignment_lost() => {
                self.give_back(consumer, list, Rebalance::Revoked)
            }
            _ => self.give_back(consumer, list, Rebalance::Lost),
        };
        if let Err(error) = result {
            error!(%error, "rebalance could not be carried out");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            debug!(%error, "offsets for lag tools were not committed");
        }
    }
}

fn ids(list: &TopicPartitionList) -> Vec<ShardId> {
    list.elements().iter().map(|element| ShardId::from_kafka(element.topic(), element.partition())).collect()
}
