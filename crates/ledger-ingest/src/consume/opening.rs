//! Opening shards. In: the data directory and what the process was started with. Out: shards that answer, and where in
//! the topic each goes on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ledger_store::{Catalog, DataDir, OpenError, Served, Shard, ShardId, ShardStatus, with_causes};
use rdkafka::consumer::Consumer as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError;
use tracing::warn;

use crate::consume::callbacks::{GroupCallbacks, GroupConsumer};
use crate::consume::contact::Contact;
use crate::consume::continuity::Halt;
use crate::consume::partitions::OLD_HANDLES;
use crate::consume::worker::{Task, TopicPlacing};
use crate::kafka::options::KafkaOptions;
use crate::kafka::partition::{KafkaPartition as _, next_offset};
use crate::kafka::times::TopicTimes;

/// How long the first look at the cluster may take; the group goes on waiting after that.
pub(super) const FIRST_LOOK: Duration = Duration::from_secs(5);

/// What ingestion was started with, and everything that its threads share.
pub(super) struct Ingestion {
    pub(super) data: Arc<DataDir>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) options: KafkaOptions,
    /// Whose clock recorded times come from; none: any clock is accepted.
    times: Option<Arc<TopicTimes>>,
    placing: BTreeMap<String, Arc<TopicPlacing>>,
    pub(super) contact: Arc<Contact>,
}

impl Ingestion {
    pub(super) fn new(
        data: Arc<DataDir>,
        catalog: Arc<Catalog>,
        options: KafkaOptions,
        times: Option<Arc<TopicTimes>>,
    ) -> Self {
        let of_topic = |topic: &String| (topic.clone(), Arc::new(TopicPlacing::new(options.partitioner)));
        let placing = options.topics.iter().map(of_topic).collect();
        Self { data, catalog, options, times, placing, contact: Arc::default() }
    }

    /// What a worker of the shard needs.
    pub(super) fn task(&self, id: &ShardId, status: Arc<ShardStatus>) -> Task {
        Task {
            id: id.clone(),
            status,
            batch_max_events: self.options.batch_max_events,
            check_interval: self.options.check_interval,
            accept_incomplete_history: self.options.accept_incomplete_history,
            counts_tombstones: self.options.tombstones == "count",
            times: self.times.clone(),
            brokers: self.options.brokers.clone(),
            data: Arc::clone(&self.data),
            catalog: Arc::clone(&self.catalog),
            contact: Arc::clone(&self.contact),
            noted: Arc::default(),
            placing: self.placing.get(&id.topic).map_or_else(Arc::default, Arc::clone),
        }
    }
}

/// An open shard that is served.
pub(super) struct OpenedShard {
    pub(super) shard: Shard,
    pub(super) status: Arc<ShardStatus>,
    /// The offset to assign its partition at.
    pub(super) start: u64,
}

/// Opens a shard, if it is not parked, and serves it.
pub(super) fn open(
    ingestion: &Ingestion,
    consumer: Option<&GroupConsumer>,
    id: &ShardId,
    parked: Option<Shard>,
) -> Result<OpenedShard, OpenError> {
    let shard = match parked {
        Some(shard) => shard,
        None => open_anew(&ingestion.data, id)?,
    };
    let catalog = &ingestion.catalog;
    let status = catalog.get(id).map_or_else(Arc::default, |served| served.status);
    catalog.insert(id.clone(), Served { reader: shard.reader(), status: Arc::clone(&status) });
    let start = first_offset(&ingestion.options, consumer, &shard, id);
    Ok(OpenedShard { shard, status, start })
}

/// A question that is being answered may keep the shard open for a moment longer.
fn open_anew(data: &DataDir, id: &ShardId) -> Result<Shard, OpenError> {
    let until = Instant::now() + OLD_HANDLES;
    let passes =
        |error: &OpenError| matches!(error, OpenError::Locked { .. }) || error.is_out_of_descriptors();
    loop {
        match data.open_shard(id) {
            Err(error) if passes(&error) && Instant::now() < until => {
                thread::sleep(Duration::from_millis(50));
            }
            other => return other,
        }
    }
}

/// Where to assign a partition: librdkafka does not seek in one that was assigned where nothing is.
fn first_offset(
    options: &KafkaOptions,
    consumer: Option<&GroupConsumer>,
    shard: &Shard,
    id: &ShardId,
) -> u64 {
    match (next_offset(shard, id), consumer) {
        (Some(next), _) => next,
        (None, Some(consumer)) if options.accept_incomplete_history => {
            let marks = consumer.fetch_watermarks(&id.topic, id.kafka_partition(), FIRST_LOOK);
            marks.ok().and_then(|(low, _)| u64::try_from(low).ok()).unwrap_or(0)
        }
        _ => 0,
    }
}

/// Adds a partition to the client's assignment, cut off from the consumer's own queue. Nothing flows before the worker has
/// compared shard and source.
pub(super) fn add(
    consumer: &Arc<GroupConsumer>,
    id: &ShardId,
    start: u64,
) -> Result<PartitionQueue<GroupCallbacks>, Halt> {
    let queue = own_queue(id, consumer.split_partition_queue(&id.topic, id.kafka_partition()))?;
    let added = || -> Result<(), KafkaError> {
        let alone = id.alone_at(start)?;
        // One whose shard was opened anew is there already; its worker seeks.
        if consumer.assignment()?.find_partition(&id.topic, id.kafka_partition()).is_none() {
            consumer.incremental_assign(&alone)?;
        }
        consumer.pause(&alone)
    };
    added().map_err(|error| Halt::refused(id, &error))?;
    Ok(queue)
}

/// Without a queue of its own a partition would be assigned and not read.
fn own_queue<Q>(id: &ShardId, queue: Option<Q>) -> Result<Q, Halt> {
    let error = || "the Kafka client has no queue for it".to_owned();
    queue.ok_or_else(|| Halt::Refused { shard: id.clone(), error: error() })
}

/// Opens the shards on disk, so that they answer at once; the group assigns them later. A shard that does not open may be
/// another process's, and is opened again when it is assigned, so it is not reported as failed here.
pub(super) fn park_local_shards(
    data: &DataDir,
    catalog: &Catalog,
    options: &KafkaOptions,
) -> Result<BTreeMap<ShardId, Shard>, OpenError> {
    for topic in &options.topics {
        catalog.expect(topic, data.identity(topic)?.map(|identity| identity.partitions));
    }
    let (mut parked, mut locked) = (BTreeMap::new(), None);
    let on_disk = data.shards()?.into_iter().filter(|id| options.topics.contains(&id.topic)).collect();
    for (id, opened) in side_by_side(on_disk, |id| {
        let opened = data.open_shard(&id);
        (id, opened)
    }) {
        let shard = match opened {
            Ok(shard) => shard,
            Err(error) if is_of_one_shard(&error) => {
                warn!(shard = %id, error = with_causes(&error), "a shard on disk does not open, going on without it");
                locked = locked.or(matches!(error, OpenError::Locked { .. }).then_some(error));
                continue;
            }
            Err(error) => return Err(error),
        };
        let status = Arc::new(ShardStatus::default());
        status.update(|now| now.next_offset = next_offset(&shard, &id));
        catalog.insert(id.clone(), Served { reader: shard.reader(), status });
        parked.insert(id, shard);
    }
    match locked {
        // Another process works in this directory, and would lose its place in the group to this one.
        Some(error) if parked.is_empty() => Err(error),
        _ => Ok(parked),
    }
}

/// Damage, a disk error or a lock concerns one shard, and the others go on (I-9). Any other error concerns the directory or
/// the program.
fn is_of_one_shard(error: &OpenError) -> bool {
    error.is_damage()
        || matches!(
            error,
            OpenError::Storage(_)
                | OpenError::Io { .. }
                | OpenError::Locked { .. }
                | OpenError::WrongShard { .. }
        )
}

/// Does each job on one of a few threads, and returns the results in the order of the jobs. Opening a shard may wait for
/// its write-ahead log, or for a process that keeps it open.
pub(super) fn side_by_side<J: Send, T: Send>(jobs: Vec<J>, work: impl Fn(J) -> T + Sync) -> Vec<T> {
    const AT_A_TIME: usize = 16;
    let threads = AT_A_TIME.min(jobs.len());
    let (left, done) = (Mutex::new(jobs.into_iter().enumerate()), Mutex::new(Vec::new()));
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((index, job)) = next() {
                    let result = work(job);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use ledger_store::{Elsewhere, SourceIdentity, StopCode, StoreOptions};

    use super::*;

    fn shard(partition: u32) -> ShardId {
        ShardId { topic: "realm.lifecycle".to_owned(), partition }
    }

    /// A data directory with three shards, of which none is open.
    fn three_shards(path: &std::path::Path) -> DataDir {
        let secret = ledger_record::proof::line::LedgerSecret::from_bytes([7; 32]);
        let data = DataDir::open(path, StoreOptions::default(), secret).unwrap();
        let identity = SourceIdentity { cluster_id: None, topic_id: None, partitions: 3 };
        data.bind("realm.lifecycle", &identity).unwrap();
        for partition in 0..3 {
            data.open_shard(&shard(partition)).unwrap();
        }
        data
    }

    #[test]
    fn a_shard_that_does_not_open_is_no_failure_of_a_process_that_does_not_own_it() {
        let scratch = tempfile::tempdir().unwrap();
        let data = three_shards(scratch.path());
        std::fs::write(scratch.path().join("shards/realm.lifecycle/0/CURRENT"), "no such manifest\n")
            .unwrap();
        let _elsewhere = data.open_shard(&shard(1)).unwrap();
        let catalog = Catalog::default();
        let parked = park_local_shards(&data, &catalog, &KafkaOptions::default()).unwrap();
        assert_eq!(parked.into_keys().collect::<Vec<_>>(), [shard(2)]);
        assert_eq!(catalog.failed(), []);
        let elsewhere = [0, 1, 2].map(|partition| Elsewhere::Shard(shard(partition)));
        assert_eq!(catalog.elsewhere(), elsewhere, "nothing is assigned yet");
    }

    #[test]
    fn a_directory_that_another_process_works_in_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let data = three_shards(scratch.path());
        let _elsewhere = [0, 1, 2].map(|partition| data.open_shard(&shard(partition)).unwrap());
        let refused = park_local_shards(&data, &Catalog::default(), &KafkaOptions::default());
        assert!(matches!(refused, Err(OpenError::Locked { .. })), "{refused:?}");
    }

    #[test]
    fn a_partition_without_a_queue_is_reported_and_not_dropped() {
        let id = ShardId::from_kafka("t", 3);
        let halt = own_queue(&id, None::<()>).unwrap_err();
        assert_eq!(halt.code(), StopCode::SourceRefused);
        assert!(halt.to_string().starts_with("t/3 cannot be read: the Kafka client has no queue"), "{halt}");
        assert!(own_queue(&id, Some(())).is_ok());
    }
}
