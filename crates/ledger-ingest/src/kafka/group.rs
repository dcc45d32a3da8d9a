//! Membership in the consumer group: which partitions this process reads.
//!
//! Kafka is the distributed engine: the group assigns partitions (cooperative-sticky, so that only what
//! moves stands still), each partition is a shard with its own worker. The offset to start at comes from
//! the shard, never from the group; what is committed to Kafka is a courtesy for lag tools and tells only
//! what is durable here (I-2).
//!
//! ```text
//!   assigned ─► open shard ─► own queue, paused, at the stored offset ─► worker compares, seeks, resumes
//!   revoked  ─► stop worker ─► it writes what it has begun ─► shard parked ─► partition given up
//! ```
//!
//! A partition's queue is cut off from the consumer's before it is assigned, so no message of it can come
//! out of the consumer itself; one that does halts its shard rather than be lost.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ledger_record::rows::SourcePosition;
use ledger_store::{Catalog, DataDir, OpenError, Served, Shard, ShardId, ShardStatus};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message as _;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tracing::{debug, error, info, warn};

use super::client_log;
use super::continuity::{Halt, TopicFacts};
use super::options::{FixedProperty, KafkaOptions};
use super::topic;
use super::worker::{Durable, GroupConsumer, Task, Worker};

/// How often the courtesy commit is sent.
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);

/// How long leaving the group may take.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the first look at the cluster may take; the group goes on waiting after that.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// Why ingestion cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A property that is not the operator's to set.
    #[error(transparent)]
    Options(#[from] FixedProperty),
    /// The data directory belongs to another cluster.
    #[error("{0}")]
    OtherCluster(Halt),
    /// The client could not be made.
    #[error("kafka client: {0}; check kafka.brokers and kafka.client")]
    Client(#[from] KafkaError),
    /// A shard on disk could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Ingestion of a whole process, until stopped.
#[derive(Debug)]
pub struct Ingest {
    stop: Arc<AtomicBool>,
    drain_timeout: Duration,
    member: JoinHandle<()>,
}

impl Ingest {
    /// Opens what is on disk, joins the group, and reads what is assigned.
    pub fn start(
        data: Arc<DataDir>,
        catalog: Arc<Catalog>,
        options: &KafkaOptions,
    ) -> Result<Self, StartError> {
        options.check()?;
        let parked = park_local_shards(&data, &catalog, options)?;
        let membership = Membership {
            data,
            catalog,
            options: options.clone(),
            consumer: OnceLock::new(),
            held: Mutex::new(Held { parked, ..Held::default() }),
        };
        let consumer: Arc<GroupConsumer> = Arc::new(options.consumer().create_with_context(membership)?);
        let context = Arc::clone(consumer.client().context());
        // The cell was made a moment ago and nobody else has it.
        let _ = context.consumer.set(Arc::downgrade(&consumer));
        refuse_other_cluster(&consumer, &context)?;
        let topics: Vec<&str> = options.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics)?;
        let stop = Arc::new(AtomicBool::new(false));
        let member = {
            let stop = Arc::clone(&stop);
            thread::Builder::new().name("group".to_owned()).spawn(move || run(&consumer, &context, &stop))?
        };
        Ok(Self { stop, drain_timeout: options.drain_timeout, member })
    }

    /// Writes what was begun, gives the partitions back, leaves the group. Leaving may hang when the brokers
    /// are gone; it gets a deadline, for everything that was begun is durable by then or comes again.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Release);
        let deadline = Instant::now() + self.drain_timeout + LEAVE_TIMEOUT;
        while !self.member.is_finished() {
            if Instant::now() >= deadline {
                warn!("the group was not left in time; its coordinator will notice by itself");
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        if self.member.join().is_err() {
            error!("the group thread panicked; what it had begun comes again from Kafka");
        }
    }

    /// Whether the group thread has ended by itself: a fatal error of the client.
    pub fn is_finished(&self) -> bool {
        self.member.is_finished()
    }
}

/// Shards on disk answer from the first moment; they are fed once the group assigns them.
fn park_local_shards(
    data: &DataDir,
    catalog: &Catalog,
    options: &KafkaOptions,
) -> Result<BTreeMap<ShardId, Shard>, OpenError> {
    let mut parked = BTreeMap::new();
    for id in data.shards()?.into_iter().filter(|id| options.topics.contains(&id.topic)) {
        let shard = data.open_shard(&id)?;
        let status = Arc::new(ShardStatus::default());
        status.update(|now| now.next_offset = next_offset(&shard, &id));
        catalog.insert(id.clone(), Served { reader: shard.reader(), status });
        parked.insert(id, shard);
    }
    Ok(parked)
}

fn next_offset(shard: &Shard, id: &ShardId) -> Option<u64> {
    match shard.source_position(&id.topic) {
        Ok(Some(SourcePosition::Kafka { next_offset, .. })) => Some(next_offset),
        _ => None,
    }
}

fn refuse_other_cluster(consumer: &GroupConsumer, context: &Membership) -> Result<(), StartError> {
    for name in &context.options.topics {
        let recorded = context.data.identity(name)?.and_then(|identity| identity.cluster_id);
        let (Some(recorded), Ok(TopicFacts { cluster_id: Some(found), .. })) =
            (recorded, topic::facts(consumer.client(), name, FIRST_LOOK))
        else {
            continue;
        };
        if recorded != found {
            let halt = Halt::OtherCluster { topic: name.clone(), recorded, found };
            return Err(StartError::OtherCluster(halt));
        }
    }
    Ok(())
}

/// The group thread: serves rebalances and errors; the messages come out of the partitions' own queues.
fn run(consumer: &Arc<GroupConsumer>, context: &Arc<Membership>, stop: &AtomicBool) {
    let mut committed = Instant::now();
    while !stop.load(Ordering::Acquire) {
        match consumer.poll(Duration::from_millis(100)) {
            None | Some(Err(KafkaError::PartitionEOF(_))) => {}
            Some(Ok(stray)) => context.halt_stray(stray.topic(), stray.partition(), stray.offset()),
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                error!(%code, "the kafka client failed for good; restart the process");
                break;
            }
            Some(Err(error)) => warn!(%error, "kafka"),
        }
        if committed.elapsed() >= COMMIT_INTERVAL {
            committed = Instant::now();
            context.commit(consumer, CommitMode::Async);
        }
    }
    context.stop_workers(None);
    context.commit(consumer, CommitMode::Sync);
    consumer.unsubscribe();
    let until = Instant::now() + context.options.drain_timeout;
    while Instant::now() < until && consumer.assignment().is_ok_and(|left| left.count() > 0) {
        let _ = consumer.poll(Duration::from_millis(50));
    }
}

/// What the group's callbacks need; the context of the consumer.
pub(super) struct Membership {
    data: Arc<DataDir>,
    catalog: Arc<Catalog>,
    options: KafkaOptions,
    consumer: OnceLock<Weak<GroupConsumer>>,
    held: Mutex<Held>,
}

/// The shards of this process, fed or not.
#[derive(Default)]
struct Held {
    parked: BTreeMap<ShardId, Shard>,
    workers: BTreeMap<ShardId, Worker>,
    /// What is durable of each assigned partition, also while its worker is being stopped.
    durable: BTreeMap<ShardId, Durable>,
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
        client_log::tell_error(&error, reason);
    }
}

impl ConsumerContext for Membership {
    fn rebalance(&self, base: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let result = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(base, list),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                if base.assignment_lost() {
                    warn!(
                        "this process was thrown out of the group; its partitions are someone else's by now"
                    );
                }
                let revoked = ids(list);
                self.stop_workers(Some(&revoked));
                if !base.assignment_lost() {
                    self.commit(base, CommitMode::Sync);
                }
                self.lock().durable.retain(|id, _| !revoked.contains(id));
                base.incremental_unassign(list)
            }
            other => {
                warn!(code = ?other, "rebalance failed; the group tries again");
                self.stop_workers(None);
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

fn store_failed(error: impl std::error::Error) -> Halt {
    Halt::Store { error: error.to_string() }
}

fn ids(list: &TopicPartitionList) -> Vec<ShardId> {
    let id = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| ShardId {
        topic: element.topic().to_owned(),
        partition: u32::try_from(element.partition()).unwrap_or(0),
    };
    list.elements().iter().map(id).collect()
}

impl Membership {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn assign(&self, base: &BaseConsumer<Self>, list: &mut TopicPartitionList) -> KafkaResult<()> {
        let Some(consumer) = self.consumer.get().and_then(Weak::upgrade) else {
            return base.incremental_assign(list);
        };
        let mut ready = Vec::new();
        for id in ids(list) {
            match self.bind_new_topic(base, &id.topic).and_then(|()| self.open(&id).map_err(store_failed)) {
                Ok(opened) => {
                    let partition = i32::try_from(id.partition).unwrap_or(i32::MAX);
                    let queue = consumer.split_partition_queue(&id.topic, partition);
                    ready.extend(queue.map(|queue| (id, opened, queue)));
                }
                Err(failed) => {
                    error!(shard = %id, error = %failed, "shard cannot be opened");
                    self.catalog.fail(id, failed.told());
                }
            }
        }
        for (id, (shard, _), _) in &ready {
            let partition = i32::try_from(id.partition).unwrap_or(i32::MAX);
            let start = self.first_offset(base, shard, id, partition);
            if let Some(mut element) = list.find_partition(&id.topic, partition) {
                element.set_offset(Offset::Offset(start))?;
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
    fn first_offset(&self, base: &BaseConsumer<Self>, shard: &Shard, id: &ShardId, partition: i32) -> i64 {
        match next_offset(shard, id) {
            Some(next) => i64::try_from(next).unwrap_or(i64::MAX),
            None if self.options.accept_incomplete_history => {
                base.fetch_watermarks(&id.topic, partition, FIRST_LOOK).map_or(0, |(low, _)| low)
            }
            None => 0,
        }
    }

    /// Shards are opened under a topic that the data directory knows, so a new one is made known first.
    /// Whether a known one is still the same is the worker's to compare.
    fn bind_new_topic(&self, base: &BaseConsumer<Self>, topic: &str) -> Result<(), Halt> {
        if self.data.identity(topic).map_err(store_failed)?.is_some() {
            return Ok(());
        }
        let facts = topic::facts(base.client(), topic, FIRST_LOOK).map_err(store_failed)?;
        self.data.bind(topic, &facts.into()).map_err(store_failed)
    }

    fn open(&self, id: &ShardId) -> Result<(Shard, Arc<ShardStatus>), OpenError> {
        let parked = self.lock().parked.remove(id);
        let shard = match parked {
            Some(shard) => shard,
            None => self.data.open_shard(id)?,
        };
        let status = self.catalog.get(id).map_or_else(Arc::default, |served| served.status);
        self.catalog.insert(id.clone(), Served { reader: shard.reader(), status: Arc::clone(&status) });
        Ok((shard, status))
    }

    fn feed(
        &self,
        id: ShardId,
        shard: Shard,
        status: &Arc<ShardStatus>,
        queue: rdkafka::consumer::base_consumer::PartitionQueue<Self>,
        consumer: &Arc<GroupConsumer>,
    ) {
        let position = match shard.source_position(&id.topic) {
            Ok(position) => position,
            Err(failed) => {
                status.halt(Halt::Store { error: failed.to_string() }.told());
                return;
            }
        };
        let task = Task {
            id: id.clone(),
            status: Arc::clone(status),
            batch_max_events: self.options.batch_max_events,
            batch_max_bytes: self.options.batch_max_bytes,
            check_interval: self.options.check_interval,
            accept_incomplete_history: self.options.accept_incomplete_history,
            data: Arc::clone(&self.data),
            catalog: Arc::clone(&self.catalog),
        };
        info!(shard = %id, "assigned");
        match Worker::start(task, shard, position.as_ref(), queue, Arc::clone(consumer)) {
            Ok(worker) => {
                let mut held = self.lock();
                held.durable.insert(id.clone(), worker.durable());
                held.workers.insert(id, worker);
            }
            Err(failed) => status.halt(Halt::Store { error: failed.to_string() }.told()),
        }
    }

    /// Drains and stops the workers of these shards, or all.
    fn stop_workers(&self, of: Option<&[ShardId]>) {
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
        for (id, worker) in stopping {
            let Some(shard) = worker.join(deadline) else {
                warn!(shard = %id, "not drained in time; what it had begun comes again from Kafka");
                continue;
            };
            info!(shard = %id, "given up");
            self.mark_idle(&id);
            self.lock().parked.insert(id, shard);
        }
    }

    fn mark_idle(&self, id: &ShardId) {
        if let Some(served) = self.catalog.get(id) {
            served.status.update(|now| {
                if now.phase != ledger_store::Phase::Halted {
                    now.phase = ledger_store::Phase::Idle;
                }
            });
        }
    }

    /// Tells Kafka how far this process is, for lag tools.
    fn commit(&self, consumer: &BaseConsumer<Self>, mode: CommitMode) {
        let mut list = TopicPartitionList::new();
        for (id, durable) in &self.lock().durable {
            let Some(durable) = durable.offset().and_then(|offset| i64::try_from(offset).ok()) else {
                continue;
            };
            let partition = i32::try_from(id.partition).unwrap_or(i32::MAX);
            if let Err(error) = list.add_partition_offset(&id.topic, partition, Offset::Offset(durable)) {
                debug!(%error, shard = %id, "offset not committed");
            }
        }
        if list.count() > 0
            && let Err(error) = consumer.commit(&list, mode)
        {
            debug!(%error, "offsets for lag tools were not committed");
        }
    }

    fn halt_stray(&self, topic: &str, partition: i32, offset: i64) {
        let id = ShardId { topic: topic.to_owned(), partition: u32::try_from(partition).unwrap_or(0) };
        let (worker, served) = (self.lock().workers.remove(&id), self.catalog.get(&id));
        let found = u64::try_from(offset).unwrap_or(0);
        if let Some(worker) = worker {
            worker.stop();
        }
        if let Some(served) = served {
            let next = served.status.freshness().next_offset.unwrap_or(0);
            let halt = Halt::OutOfOrder { topic: id.topic, partition: id.partition, next, found };
            error!(reason = %halt, "shard halted");
            served.status.halt(halt.told());
        }
    }
}
