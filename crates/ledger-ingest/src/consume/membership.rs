//! What this process holds of the group: shards, fed or not, and what happens when the group moves them.
//!
//! The context of the consumer: librdkafka calls it from within `poll`, on the group's thread.

mod topics;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use ledger_store::{Catalog, DataDir, OpenError, Served, Shard, ShardId, ShardStatus, StopCode};
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use tracing::{debug, error, info, warn};

use crate::consume::contact::Contact;
use crate::consume::continuity::Halt;
use crate::consume::side_by_side::side_by_side;
use crate::consume::worker::Durable;
use crate::consume::worker::GroupConsumer;
use crate::consume::worker::Task;
use crate::consume::worker::TopicPlacing;
use crate::consume::worker::Worker;
use crate::consume::worker::fail;
use crate::consume::worker::halt;
use crate::kafka::client_log;
use crate::kafka::options::KafkaOptions;
use crate::kafka::shard::{KafkaPartition as _, next_offset, offset_of};
use crate::kafka::times::TopicTimes;

/// How long the first look at the cluster may take; the group goes on waiting after that.
pub(super) const FIRST_LOOK: Duration = Duration::from_secs(5);

/// How long a shard may stay open after it was to be closed.
const OLD_HANDLES: Duration = Duration::from_secs(5);

/// What the group's callbacks need; the context of the consumer.
pub(super) struct Membership {
    data: Arc<DataDir>,
    catalog: Arc<Catalog>,
    options: KafkaOptions,
    /// Whose word recorded times are; none: whoever's.
    times: Option<Arc<TopicTimes>>,
    placing: BTreeMap<String, Arc<TopicPlacing>>,
    consumer: OnceLock<Weak<GroupConsumer>>,
    contact: Arc<Contact>,
    held: Mutex<Held>,
}

/// The shards of this process, fed or not.
#[derive(Default)]
pub(super) struct Held {
    /// What the group has given to this process, fed or not.
    assigned: BTreeSet<ShardId>,
    parked: BTreeMap<ShardId, Shard>,
    workers: BTreeMap<ShardId, Worker>,
    /// Workers that were told to stop, and needed longer.
    draining: BTreeMap<ShardId, Worker>,
    /// What is durable of each assigned partition, also while its worker is being stopped.
    pub(super) durable: BTreeMap<ShardId, Durable>,
    /// Topics that are not subscribed to yet, and why.
    unread: BTreeMap<String, String>,
    /// The process leaves for good: what it fed until now stays its own to publish.
    leaving: bool,
}

impl std::fmt::Debug for Membership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Membership").field("options", &self.options).finish_non_exhaustive()
    }
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client_log::tell(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.contact.failed(&error);
        client_log::tell_error(&error, reason);
    }
}

impl ConsumerContext for Membership {
    fn rebalance(&self, base: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let result = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(base, list),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                if base.assignment_lost() {
                    self.tell_lost(base.client());
                }
                let revoked = ids(list);
                self.give_up(Some(&revoked));
                if !base.assignment_lost() {
                    self.commit(base, CommitMode::Sync);
                }
                self.lock().durable.retain(|id, _| !revoked.contains(id));
                self.forget_published(&revoked);
                base.incremental_unassign(list)
            }
            other => {
                warn!(code = ?other, "rebalance failed; the group tries again");
                let assigned: Vec<_> = self.assigned().into_iter().collect();
                self.give_up(None);
                self.forget_published(&assigned);
                base.unassign()
            }
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

fn passes(error: &OpenError) -> bool {
    matches!(error, OpenError::Locked { .. }) || error.is_out_of_descriptors()
}

/// Without a queue of its own a partition would be assigned, and nobody would read it.
fn own_queue<Q>(id: &ShardId, queue: Option<Q>) -> Result<Q, Halt> {
    queue.ok_or_else(|| Halt::Refused {
        topic: id.topic.clone(),
        partition: id.partition,
        error: "the Kafka client has no queue for it".to_owned(),
    })
}

fn ids(list: &TopicPartitionList) -> Vec<ShardId> {
    list.elements().iter().map(|element| ShardId::of(element.topic(), element.partition())).collect()
}

impl Membership {
    pub(super) fn new(
        data: Arc<DataDir>,
        catalog: Arc<Catalog>,
        options: KafkaOptions,
        times: Option<Arc<TopicTimes>>,
        parked: BTreeMap<ShardId, Shard>,
    ) -> Self {
        let held = Mutex::new(Held { parked, ..Held::default() });
        let of_topic = |topic: &String| (topic.clone(), Arc::new(TopicPlacing::new(options.partitioner)));
        let placing = options.topics.iter().map(of_topic).collect();
        let (consumer, contact) = (OnceLock::new(), Arc::default());
        Self { data, catalog, options, times, placing, consumer, contact, held }
    }

    /// The same shards, for another consumer. Its own has none any more.
    pub(super) fn without_consumer(&self) -> Self {
        let (parked, draining) = {
            let mut held = self.lock();
            (std::mem::take(&mut held.parked), std::mem::take(&mut held.draining))
        };
        let (data, catalog, times) = (Arc::clone(&self.data), Arc::clone(&self.catalog), self.times.clone());
        let mut next = Self::new(data, catalog, self.options.clone(), times, parked);
        next.contact = Arc::clone(&self.contact);
        next.lock().draining = draining;
        next
    }

    /// The consumer that it is the context of; told once, right after that was made.
    pub(super) fn know_consumer(&self, consumer: &Arc<GroupConsumer>) {
        let _ = self.consumer.set(Arc::downgrade(consumer));
    }

    pub(super) fn options(&self) -> &KafkaOptions {
        &self.options
    }

    /// The cluster that the data directory was filled from.
    pub(super) fn recorded_cluster(&self, topic: &str) -> Result<Option<String>, OpenError> {
        Ok(self.data.identity(topic)?.and_then(|identity| identity.cluster_id))
    }

    pub(super) fn contact(&self) -> &Contact {
        &self.contact
    }

    pub(super) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub(super) fn data(&self) -> &DataDir {
        &self.data
    }

    /// What the group has given to this process, fed or not.
    pub(super) fn assigned(&self) -> BTreeSet<ShardId> {
        self.lock().assigned.clone()
    }

    pub(super) fn is_assigned_any(&self) -> bool {
        !self.lock().assigned.is_empty()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn assign(&self, base: &BaseConsumer<Self>, list: &mut TopicPartitionList) -> KafkaResult<()> {
        self.lock().assigned.extend(ids(list));
        let Some(consumer) = self.consumer.get().and_then(Weak::upgrade) else {
            return base.incremental_assign(list);
        };
        let mut ready = Vec::new();
        for (id, opened) in side_by_side(ids(list), |id| self.open(id)) {
            crate::metric::assigned(&id);
            let opened = opened.map_err(|error| Halt::store(&error));
            let queue = || consumer.split_partition_queue(&id.topic, id.kafka_partition());
            match opened.and_then(|opened| Ok((opened, own_queue(&id, queue())?))) {
                Ok((opened, queue)) => ready.push((id, opened, queue)),
                Err(failed) => fail(&self.catalog, id, &failed),
            }
        }
        for (id, (shard, _), _) in &ready {
            let start = self.first_offset(base, shard, id);
            if let Some(mut element) = list.find_partition(&id.topic, id.kafka_partition()) {
                element.set_offset(offset_of(start))?;
            }
        }
        base.incremental_assign(list)?;
        // Nothing flows before the worker has compared shard and source.
        base.pause(list)?;
        for (id, (shard, status), queue) in ready {
            self.feed(id, shard, &status, queue, &consumer);
        }
        Ok(())
    }

    /// Where to assign a partition: librdkafka does not seek in one that was assigned where nothing is.
    fn first_offset(&self, base: &BaseConsumer<Self>, shard: &Shard, id: &ShardId) -> u64 {
        match next_offset(shard, id) {
            Some(next) => next,
            None if self.options.accept_incomplete_history => {
                let marks = base.fetch_watermarks(&id.topic, id.kafka_partition(), FIRST_LOOK);
                marks.ok().and_then(|(low, _)| u64::try_from(low).ok()).unwrap_or(0)
            }
            None => 0,
        }
    }

    fn open(&self, id: &ShardId) -> Result<(Shard, Arc<ShardStatus>), OpenError> {
        let (parked, draining) = {
            let mut held = self.lock();
            (held.parked.remove(id), held.draining.remove(id))
        };
        // What its last worker had begun when the shard was given up is most likely written by now.
        let drained = draining.and_then(|worker| self.wait_for(id, worker, Instant::now() + OLD_HANDLES));
        let shard = match parked.or(drained) {
            Some(shard) => shard,
            None => self.open_anew(id)?,
        };
        let status = self.catalog.get(id).map_or_else(Arc::default, |served| served.status);
        self.catalog.insert(id.clone(), Served { reader: shard.reader(), status: Arc::clone(&status) });
        Ok((shard, status))
    }

    /// Who asks the shard at this moment may keep it open for a moment longer.
    fn open_anew(&self, id: &ShardId) -> Result<Shard, OpenError> {
        let until = Instant::now() + OLD_HANDLES;
        loop {
            match self.data.open_shard(id) {
                Err(error) if passes(&error) && Instant::now() < until => {
                    thread::sleep(Duration::from_millis(50));
                }
                other => return other,
            }
        }
    }

    /// The shard of a worker that was told to stop. One that cannot be written any more is not served either: as long
    /// as it is, it cannot be opened anew.
    fn wait_for(&self, id: &ShardId, worker: Worker, deadline: Instant) -> Option<Shard> {
        match worker.join(deadline) {
            Ok(None) => {
                self.catalog.remove(id);
                None
            }
            Ok(shard) => {
                info!(shard = %id, "given up");
                shard
            }
            Err(worker) => {
                let told = "not drained in time; what it had begun comes again from Kafka";
                // Its reader waits for brokers that are told as away.
                if self.contact.is_lost() {
                    info!(shard = %id, "{told}");
                } else {
                    warn!(shard = %id, "{told}");
                }
                self.lock().draining.insert(id.clone(), worker);
                None
            }
        }
    }

    fn feed(
        &self,
        id: ShardId,
        shard: Shard,
        status: &Arc<ShardStatus>,
        queue: PartitionQueue<Self>,
        consumer: &Arc<GroupConsumer>,
    ) {
        status.update(|now| now.is_ours = true);
        let position = match shard.source_position(&id.topic) {
            Ok(position) => position,
            Err(failed) => return halt(&id, status, &Halt::store(&failed)),
        };
        let task = Task {
            id: id.clone(),
            status: Arc::clone(status),
            batch_max_events: self.options.batch_max_events,
            batch_max_bytes: self.options.batch_max_bytes,
            check_interval: self.options.check_interval,
            accept_incomplete_history: self.options.accept_incomplete_history,
            counts_tombstones: self.options.tombstones == "count",
            times: self.times.clone(),
            brokers: self.options.brokers.clone(),
            data: Arc::clone(&self.data),
            catalog: Arc::clone(&self.catalog),
            noted: Arc::default(),
            placing: self.placing.get(&id.topic).map_or_else(Arc::default, Arc::clone),
        };
        info!(shard = %id, "assigned");
        match Worker::start(task, shard, position.as_ref(), queue, Arc::clone(consumer)) {
            Ok(worker) => {
                let mut held = self.lock();
                held.durable.insert(id.clone(), worker.durable());
                held.workers.insert(id, worker);
            }
            Err(failed) => {
                let error = format!("no thread can be started: {failed}");
                halt(&id, status, &Halt::Store { code: StopCode::StoreFailed, error });
            }
        }
    }

    /// Before the group is left for good: the partitions that are revoked then are not given up.
    pub(super) fn begin_to_leave(&self) {
        self.lock().leaving = true;
    }

    /// Drains and stops the workers of these shards, or all: what they feed is someone else's from now on.
    pub(super) fn give_up(&self, of: Option<&[ShardId]>) {
        let stopped = self.stop_workers(of);
        match of {
            Some(of) => self.lock().assigned.retain(|id| !of.contains(id)),
            None => self.lock().assigned.clear(),
        }
        if self.lock().leaving {
            return;
        }
        // One that failed has no worker, and is someone else's all the same.
        for id in of.unwrap_or(&stopped) {
            self.catalog.give_up(id);
        }
    }

    /// Drains and stops the workers of these shards, or all. Answers which had one.
    pub(super) fn stop_workers(&self, of: Option<&[ShardId]>) -> Vec<ShardId> {
        let stopping: Vec<(ShardId, Worker)> = {
            let mut held = self.lock();
            let ids: Vec<ShardId> = match of {
                Some(ids) => ids.to_vec(),
                None => held.workers.keys().cloned().collect(),
            };
            ids.into_iter().filter_map(|id| held.workers.remove(&id).map(|worker| (id, worker))).collect()
        };
        for (_, worker) in &stopping {
            worker.stop();
        }
        let deadline = Instant::now() + self.options.drain_timeout;
        let stopped = stopping.iter().map(|(id, _)| id.clone()).collect();
        for (id, worker) in stopping {
            if let Some(shard) = self.wait_for(&id, worker, deadline) {
                self.lock().parked.insert(id.clone(), shard);
            }
            self.mark_idle(&id);
        }
        stopped
    }

    /// Stops the worker of one shard, if it has one, and waits for it. A shard that can be written still is kept.
    pub(super) fn end_worker(&self, id: &ShardId, deadline: Instant) {
        let Some(worker) = self.lock().workers.remove(id) else { return };
        worker.stop();
        if let Some(shard) = self.wait_for(id, worker, deadline) {
            self.lock().parked.insert(id.clone(), shard);
        }
    }

    fn mark_idle(&self, id: &ShardId) {
        if let Some(served) = self.catalog.get(id) {
            served.status.rest();
        }
    }

    pub(super) fn halt_stray(&self, topic: &str, partition: i32, offset: i64) {
        let id = ShardId::of(topic, partition);
        let (worker, served) = (self.lock().workers.remove(&id), self.catalog.get(&id));
        let found = u64::try_from(offset).unwrap_or(0);
        if let Some(worker) = worker {
            worker.stop();
            self.lock().draining.insert(id.clone(), worker);
        }
        if let Some(served) = served {
            let next = served.status.freshness().next_offset.unwrap_or(0);
            let (topic, partition) = (id.topic.clone(), id.partition);
            halt(&id, &served.status, &Halt::OutOfOrder { topic, partition, next, found });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_without_a_queue_is_told_and_not_dropped() {
        let id = ShardId::of("t", 3);
        let halt = own_queue(&id, None::<()>).unwrap_err();
        assert_eq!(halt.code(), StopCode::SourceRefused);
        assert!(halt.to_string().starts_with("t/3 cannot be read: the Kafka client has no queue"), "{halt}");
        assert!(own_queue(&id, Some(())).is_ok());
    }
}
