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
//!   fenced   ─► all workers stop ─► client thrown away ─► a moment's rest ─► a new client joins
//! ```
//!
//! A partition's queue is cut off from the consumer's before it is assigned, so no message of it can come
//! out of the consumer itself; one that does halts its shard rather than be lost.
//!
//! librdkafka takes some errors for the end of a client. One of them, a static member that was fenced, says
//! only that the coordinator knows this name by another member id: it forgot the newest one in a crash, or
//! another process has the same name. The first is healed by a new client and the second is not, so this
//! process joins anew, but not again and again ([`Rejoining`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ledger_store::{Catalog, DataDir, OpenError, Served, Shard, ShardId, ShardStatus, with_causes};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use tracing::{debug, error, warn};

use crate::consume::continuity::Halt;
use crate::consume::membership::{FIRST_LOOK, Membership};
use crate::consume::mending::Mending;
use crate::consume::side_by_side::side_by_side;
use crate::consume::worker::GroupConsumer;
use crate::kafka::options::{KafkaOptions, OptionsError};
use crate::kafka::shard::next_offset;
use crate::kafka::times::TopicTimes;
use crate::kafka::topic;
use crate::kafka::topic::TopicFacts;
use crate::placing::{self, PlacingError};
use crate::stopping::{STOP_TIMEOUT, join_until, sleep_unless_stopped};
use crate::topics::warn_of_differences;

/// How often the courtesy commit is sent.
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);

/// How soon a topic that is not known is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// How often it is looked for shards that the disk halted.
const MEND_INTERVAL: Duration = Duration::from_millis(500);

/// Why ingestion cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The options cannot be used.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// What is set is not how the directory's keys were placed.
    #[error(transparent)]
    Placing(#[from] PlacingError),
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
    group: JoinHandle<()>,
}

impl Ingest {
    /// Opens what is on disk, joins the group, and reads what is assigned.
    pub fn start(
        data: Arc<DataDir>,
        catalog: Arc<Catalog>,
        options: &KafkaOptions,
    ) -> Result<Self, StartError> {
        options.check()?;
        for topic in &options.topics {
            placing::set_right(&data, topic, options.partitioner)?;
        }
        let parked = park_local_shards(&data, &catalog, options)?;
        let times =
            (!options.accept_producer_times).then(|| TopicTimes::new(options)).transpose()?.map(Arc::new);
        let mut member = Member::new(Membership::new(data, catalog, options.clone(), times, parked))?;
        member.refuse_other_cluster()?;
        member.subscribe()?;
        let asked = options.clone();
        // Beside everything else: a broker that does not answer keeps nobody waiting.
        thread::Builder::new().name("topics".to_owned()).spawn(move || warn_of_differences(&asked))?;
        let stop = Arc::new(AtomicBool::new(false));
        let group = {
            let stop = Arc::clone(&stop);
            thread::Builder::new().name("group".to_owned()).spawn(move || run(member, &stop))?
        };
        Ok(Self { stop, group })
    }

    /// Writes what was begun, gives the partitions back, leaves the group, at the latest at the deadline: whether it
    /// did. Leaving hangs when the brokers are gone; everything that was begun is durable by then or comes again, and
    /// the coordinator of the group notices by itself.
    pub fn stop_by(self, deadline: Instant) -> bool {
        self.stop.store(true, Ordering::Release);
        let Some(ended) = join_until(self.group, deadline) else { return false };
        if ended.is_err() {
            error!("the group thread panicked; what it had begun comes again from Kafka");
        }
        true
    }

    /// The same, for a caller that has the time.
    pub fn stop(self) {
        self.stop_by(Instant::now() + STOP_TIMEOUT);
    }

    /// Whether the group thread has ended by itself: an error of the client that no new client heals.
    pub fn is_finished(&self) -> bool {
        self.group.is_finished()
    }
}

/// Shards on disk answer from the first moment; they are fed once the group assigns them. One that does not open
/// is another process's until then, and is opened again: an error now is no reason to say that this one failed.
fn park_local_shards(
    data: &DataDir,
    catalog: &Catalog,
    options: &KafkaOptions,
) -> Result<BTreeMap<ShardId, Shard>, OpenError> {
    for topic in &options.topics {
        catalog.expect(topic, data.identity(topic)?.map(|identity| identity.partitions));
    }
    let (mut parked, mut locked) = (BTreeMap::new(), None);
    let on_disk = data.shards()?.into_iter().filter(|id| options.topics.contains(&id.topic)).collect();
    for (id, opened) in side_by_side(on_disk, |id| data.open_shard(id)) {
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

/// Damage, a disk error, another one's hands on it: the other shards have nothing to do with that (I-9). All else
/// says that this is not the directory or the program to go on with.
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

/// The group thread: one client after the other, until it is told to stop or nothing heals any more.
fn run(mut member: Member, stop: &AtomicBool) {
    let mut rejoining = Rejoining::default();
    loop {
        let joined = Instant::now();
        let Some(failed) = member.serve(stop) else { return member.leave() };
        let Some(rest) = rejoining.rest_before_next(failed.code, joined.elapsed()) else {
            error!(code = %failed.code, reason = failed.reason, "{}", failed.advice());
            return member.leave();
        };
        warn!(code = %failed.code, reason = failed.reason, ?rest, "the kafka client ended, joining with a new one");
        metrics::counter!(crate::metric::REJOINED).increment(1);
        let membership = member.dissolve();
        sleep_unless_stopped(rest, stop);
        member = match Member::new(membership).and_then(Member::subscribed) {
            Ok(member) => member,
            Err(failed) => return error!(error = %failed, "no new kafka client; restart the process"),
        };
    }
}

/// An error that librdkafka takes for the end of a client.
struct Fatal {
    code: RDKafkaErrorCode,
    reason: String,
}

impl Fatal {
    fn advice(&self) -> &'static str {
        match self.code {
            RDKafkaErrorCode::FencedInstanceId => {
                "fenced again and again: another process has the same kafka.instance; give each its own"
            }
            _ => "the kafka client failed for good; restart the process",
        }
    }
}

/// How a fenced member comes back: soon, later each time it is fenced again, and at last not any more.
#[derive(Debug, Default)]
struct Rejoining {
    in_a_row: u32,
}

impl Rejoining {
    const FIRST_REST: Duration = Duration::from_millis(500);
    const MOST_IN_A_ROW: u32 = 6;
    /// A member that was one for so long had a place in the group.
    const STEADY: Duration = Duration::from_mins(1);

    /// How long to rest before the next client; none if none would help.
    fn rest_before_next(&mut self, code: RDKafkaErrorCode, lived: Duration) -> Option<Duration> {
        if code != RDKafkaErrorCode::FencedInstanceId {
            return None;
        }
        self.in_a_row = if lived >= Self::STEADY { 1 } else { self.in_a_row + 1 };
        (self.in_a_row <= Self::MOST_IN_A_ROW).then(|| Self::FIRST_REST * 2_u32.pow(self.in_a_row - 1))
    }
}

/// A client of the group and what it holds.
struct Member {
    consumer: Arc<GroupConsumer>,
    context: Arc<Membership>,
    /// How many topics it is subscribed to.
    topics: usize,
}

impl Member {
    fn new(membership: Membership) -> Result<Self, KafkaError> {
        let config = membership.options().consumer();
        let consumer: Arc<GroupConsumer> = Arc::new(config.create_with_context(membership)?);
        let context = Arc::clone(consumer.client().context());
        context.know_consumer(&consumer);
        Ok(Self { consumer, context, topics: 0 })
    }

    fn subscribed(mut self) -> Result<Self, KafkaError> {
        self.subscribe()?;
        Ok(self)
    }

    /// Subscribes to the topics that are known by now, if those are more than before.
    fn subscribe(&mut self) -> Result<(), KafkaError> {
        let known = self.context.known_topics(self.consumer.client());
        if known.len() > self.topics {
            self.topics = known.len();
            self.consumer.subscribe(&known.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        Ok(())
    }

    fn refuse_other_cluster(&self) -> Result<(), StartError> {
        for name in &self.context.options().topics {
            let Some(recorded) = self.context.recorded_cluster(name)? else { continue };
            let Ok(TopicFacts { cluster_id: Some(found), .. }) =
                topic::facts(self.consumer.client(), name, FIRST_LOOK)
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

    /// Serves rebalances and errors, until stopped or until the client has ended; the messages come out of
    /// the partitions' own queues.
    fn serve(&mut self, stop: &AtomicBool) -> Option<Fatal> {
        let (mut committed, mut asked, mut mended) = (Instant::now(), Instant::now(), Instant::now());
        let mut mending = Mending::default();
        while !stop.load(Ordering::Acquire) {
            match self.consumer.poll(Duration::from_millis(100)) {
                None | Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Ok(stray)) => self.context.halt_stray(stray.topic(), stray.partition(), stray.offset()),
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    // What comes out of the queue says that there was a fatal error, and not which.
                    let (code, reason) =
                        self.consumer.client().fatal_error().unwrap_or((code, String::new()));
                    return Some(Fatal { code, reason });
                }
                Some(Err(error)) if self.context.contact().failed(&error) => debug!(%error, "kafka"),
                Some(Err(error)) => warn!(%error, "kafka"),
            }
            self.context.look_for_brokers(self.consumer.client());
            if self.topics < self.context.options().topics.len() && asked.elapsed() >= ASK_AGAIN {
                if let Err(error) = self.subscribe() {
                    warn!(%error, "kafka");
                }
                asked = Instant::now();
            }
            if mended.elapsed() >= MEND_INTERVAL {
                mended = Instant::now();
                self.context.mend(&self.consumer, &mut mending);
            }
            if committed.elapsed() >= COMMIT_INTERVAL {
                committed = Instant::now();
                self.context.commit(&self.consumer, CommitMode::Async);
            }
        }
        None
    }

    /// What is recorded by now stays this process's to publish.
    fn leave(&self) {
        self.context.begin_to_leave();
        self.context.stop_workers(None);
        self.context.commit(&self.consumer, CommitMode::Sync);
        self.consumer.unsubscribe();
        let until = Instant::now() + self.context.options().drain_timeout;
        while Instant::now() < until && self.consumer.assignment().is_ok_and(|left| left.count() > 0) {
            let _ = self.consumer.poll(Duration::from_millis(50));
        }
    }

    /// Throws the client away; what it fed is someone else's until it is assigned again.
    fn dissolve(self) -> Membership {
        self.context.give_up(None);
        self.leave();
        self.context.without_consumer()
    }
}

#[cfg(test)]
mod tests {
    use ledger_store::{Elsewhere, SourceIdentity, StoreOptions};

    use super::*;

    const SOON: Duration = Duration::from_secs(1);

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
    fn a_topic_that_the_brokers_do_not_tell_of_is_waited_for_and_keeps_no_other() {
        let broker = crate::kafka::EmbeddedBroker::start(&[("there", 2)]).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let secret = ledger_record::proof::line::LedgerSecret::from_bytes([7; 32]);
        let data = Arc::new(DataDir::open(scratch.path(), StoreOptions::default(), secret).unwrap());
        let options = KafkaOptions {
            brokers: broker.address(),
            topics: ["missing", "there"].map(str::to_owned).to_vec(),
            ..KafkaOptions::default()
        };
        let catalog = Arc::new(Catalog::default());
        let parked = BTreeMap::new();
        let membership = Membership::new(Arc::clone(&data), Arc::clone(&catalog), options, None, parked);
        let mut member = Member::new(membership).unwrap();
        member.subscribe().unwrap();
        assert_eq!(member.topics, 1);
        let partitions = |topic| data.identity(topic).unwrap().map(|identity| identity.partitions);
        assert_eq!((partitions("there"), partitions("missing")), (Some(2), None));
        assert_eq!(catalog.failed(), [], "it is no failure of any shard");
    }

    #[test]
    fn a_fenced_member_comes_back_later_each_time_and_at_last_no_more() {
        let mut rejoining = Rejoining::default();
        let fenced = RDKafkaErrorCode::FencedInstanceId;
        let rests: Vec<_> = (0..7).map(|_| rejoining.rest_before_next(fenced, SOON)).collect();
        let expected = [500, 1_000, 2_000, 4_000, 8_000, 16_000].map(|ms| Some(Duration::from_millis(ms)));
        assert_eq!(rests, [&expected[..], &[None]].concat());
    }

    #[test]
    fn a_member_that_had_its_place_begins_anew() {
        let mut rejoining = Rejoining { in_a_row: Rejoining::MOST_IN_A_ROW };
        let rest = rejoining.rest_before_next(RDKafkaErrorCode::FencedInstanceId, Rejoining::STEADY);
        assert_eq!(rest, Some(Rejoining::FIRST_REST));
    }

    #[test]
    fn no_other_error_is_healed_by_a_new_client() {
        let mut rejoining = Rejoining::default();
        assert_eq!(rejoining.rest_before_next(RDKafkaErrorCode::GroupAuthorizationFailed, SOON), None);
    }
}
