//! The group's thread: it keeps this process a member of the consumer group.
//!
//! Kafka is the distributed engine: the group assigns partitions (cooperative-sticky, so that only what
//! moves stands still), each partition is a shard with its own worker. The offset to start at comes from
//! the shard, never from the group; what is committed to Kafka is a courtesy for lag tools and names only
//! what is durable here (I-2).
//!
//! ```text
//!   assigned ─► shard opened ─► own queue, paused, at the stored offset ─► worker compares, seeks, resumes
//!   revoked  ─► worker stopped ─► it writes what it has begun ─► shard parked ─► partition given up
//!   fenced   ─► all workers stopped ─► client thrown away ─► a moment's rest ─► a new client joins
//! ```
//!
//! The first two are the owner's ([`crate::consume::owner`]); here the client is polled, which calls the callbacks. A
//! partition's queue is cut off from the consumer's before it is added, so no message of it can come out of the consumer
//! itself; one that does halts its shard rather than be lost.
//!
//! librdkafka takes some errors for the end of a client. One of them, a static member that was fenced, says
//! only that the coordinator knows this name by another member id: it forgot the newest one in a crash, or
//! another process has the same name. The first is healed by a new client and the second is not, so this
//! process joins anew, but not again and again ([`Rejoining`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ledger_store::{Catalog, DataDir, MemoryPart, OpenError};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use tracing::{debug, error, warn};

use crate::attempts::Backoff;
use crate::consume::callbacks::GroupConsumer;
use crate::consume::continuity::Halt;
use crate::consume::opening::{FIRST_LOOK, Ingestion, park_local_shards};
use crate::consume::owner::OwnerHandle;
use crate::consume::subscription::TopicSubscription;
use crate::kafka::options::{KafkaOptions, OptionsError};
use crate::kafka::times::TopicTimes;
use crate::kafka::topic;
use crate::kafka::topic::TopicFacts;
use crate::placing::{self, PlacingError};
use crate::stopping::{STOP_TIMEOUT, StoppableThread, sleep_unless_stopped};

/// How soon a topic that is not known is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Why ingestion cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
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

/// Bytes that librdkafka holds for one byte of small messages that it has fetched.
const HELD_PER_BYTE: usize = 3;

/// How long the brokers may take to tell how many partitions a new topic has, and for how many it is taken if they do
/// not: too many costs a little speed until the next start.
const PARTITIONS_TIMEOUT: Duration = Duration::from_secs(1);
const UNKNOWN_PARTITIONS: u32 = 64;

/// What may be fetched ahead of each partition, if this process gets all of them. librdkafka takes no other value later.
fn fetch_ahead_bytes(ingestion: &Ingestion) -> Result<usize, KafkaError> {
    let Ingestion { data, options, .. } = ingestion;
    let mut partitions = 0;
    for name in &options.topics {
        partitions += if let Ok(Some(identity)) = data.identity(name) {
            identity.partitions
        } else {
            let client: BaseConsumer = options.base().create()?;
            topic::partitions(client.client(), name, PARTITIONS_TIMEOUT).unwrap_or(UNKNOWN_PARTITIONS)
        };
    }
    let share = data.memory().share(MemoryPart::Queues);
    Ok(share / HELD_PER_BYTE / usize::try_from(partitions.max(1)).unwrap_or(usize::MAX))
}

/// Ingestion of a whole process, until stopped.
#[derive(Debug)]
pub struct Ingest(StoppableThread);

impl Ingest {
    /// Opens what is on disk, joins the group, and reads what is assigned.
    pub fn start(
        data: Arc<DataDir>,
        catalog: Arc<Catalog>,
        options: &KafkaOptions,
    ) -> Result<Self, IngestError> {
        options.check()?;
        for topic in &options.topics {
            placing::set_right(&data, topic, options.partitioner)?;
        }
        let parked = park_local_shards(&data, &catalog, options)?;
        let times =
            (!options.accept_producer_times).then(|| TopicTimes::new(options)).transpose()?.map(Arc::new);
        let ingestion = Arc::new(Ingestion::new(data, catalog, options.clone(), times));
        let owner = OwnerHandle::start(Arc::clone(&ingestion), parked)?;
        let mut member = GroupMember::new(owner, ingestion)?;
        member.refuse_other_cluster()?;
        member.subscribe()?;
        let on_panic = "the group thread panicked; what it had begun comes again from Kafka";
        Ok(Self(StoppableThread::start("group", on_panic, move |stop| run(member, &stop))?))
    }

    /// Writes what was begun, gives the partitions back, leaves the group, at the latest at the deadline: whether it
    /// did. Leaving hangs when the brokers are gone; everything that was begun is durable by then or comes again, and
    /// the coordinator of the group notices by itself.
    pub fn stop_by(self, deadline: Instant) -> bool {
        self.0.stop_by(deadline)
    }

    /// The same, for a caller that has the time.
    pub fn stop(self) {
        self.stop_by(Instant::now() + STOP_TIMEOUT);
    }

    /// Whether the group thread has ended by itself: an error of the client that no new client heals.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

/// The group thread: one client after the other, until it is to stop or no new client helps.
fn run(mut member: GroupMember, stop: &AtomicBool) {
    let mut rejoining = Rejoining::default();
    loop {
        let joined = Instant::now();
        let failed = match member.serve(stop) {
            ServeEnd::Stopped => return member.leave(),
            ServeEnd::OwnerGone => return,
            ServeEnd::Fatal(failed) => failed,
        };
        let Some(rest) = rejoining.rest_before_next(failed.code, joined.elapsed()) else {
            error!(code = %failed.code, reason = failed.reason, "{}", failed.advice());
            return member.leave();
        };
        warn!(code = %failed.code, reason = failed.reason, ?rest, "the kafka client ended, joining with a new one");
        metrics::counter!(crate::metric::REJOINED).increment(1);
        let (owner, ingestion) = member.dissolve();
        sleep_unless_stopped(rest, stop);
        member = match GroupMember::new(owner, ingestion).and_then(GroupMember::subscribed) {
            Ok(member) => member,
            Err(failed) => return error!(error = %failed, "no new kafka client; restart the process"),
        };
    }
}

/// Why the client is not served any more.
enum ServeEnd {
    Stopped,
    Fatal(Fatal),
    /// A fault of this program, which has been logged.
    OwnerGone,
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
#[derive(Debug)]
struct Rejoining {
    left: u32,
    backoff: Backoff,
}

impl Default for Rejoining {
    fn default() -> Self {
        Self { left: Self::MOST_IN_A_ROW, backoff: Backoff::new(Self::FIRST_REST, Self::LONGEST_REST) }
    }
}

impl Rejoining {
    const FIRST_REST: Duration = Duration::from_millis(500);
    const LONGEST_REST: Duration = Duration::from_secs(16);
    const MOST_IN_A_ROW: u32 = 6;
    /// A member that was one for so long had a place in the group.
    const STEADY: Duration = Duration::from_mins(1);

    /// How long to rest before the next client; none if none would help.
    fn rest_before_next(&mut self, code: RDKafkaErrorCode, lived: Duration) -> Option<Duration> {
        if code != RDKafkaErrorCode::FencedInstanceId {
            return None;
        }
        if lived >= Self::STEADY {
            *self = Self::default();
        }
        self.left = self.left.checked_sub(1)?;
        Some(self.backoff.rest())
    }
}

/// A client of the group. The owner of the partitions outlives it, and ends before the last one is closed.
struct GroupMember {
    owner: OwnerHandle,
    consumer: Arc<GroupConsumer>,
    ingestion: Arc<Ingestion>,
    subscription: TopicSubscription,
}

impl GroupMember {
    fn new(owner: OwnerHandle, ingestion: Arc<Ingestion>) -> Result<Self, KafkaError> {
        let config = ingestion.options.consumer(fetch_ahead_bytes(&ingestion)?);
        let consumer: Arc<GroupConsumer> = Arc::new(config.create_with_context(owner.callbacks())?);
        owner.join(&consumer);
        Ok(Self { owner, consumer, ingestion, subscription: TopicSubscription::default() })
    }

    fn subscribed(mut self) -> Result<Self, KafkaError> {
        self.subscribe()?;
        Ok(self)
    }

    fn subscribe(&mut self) -> Result<(), KafkaError> {
        self.subscription.extend(&self.consumer, &self.ingestion)
    }

    fn refuse_other_cluster(&self) -> Result<(), IngestError> {
        for name in &self.ingestion.options.topics {
            let identity = self.ingestion.data.identity(name)?;
            let Some(recorded) = identity.and_then(|identity| identity.cluster_id) else { continue };
            let Ok(TopicFacts { cluster_id: Some(found), .. }) =
                topic::facts(self.consumer.client(), name, FIRST_LOOK)
            else {
                continue;
            };
            if recorded != found {
                let halt = Halt::OtherCluster { topic: name.clone(), recorded, found };
                return Err(IngestError::OtherCluster(halt));
            }
        }
        Ok(())
    }

    /// Serves rebalances and errors, until stopped or until the client has ended; the messages come out of
    /// the partitions' own queues.
    fn serve(&mut self, stop: &AtomicBool) -> ServeEnd {
        let mut asked = Instant::now();
        while !stop.load(Ordering::Acquire) {
            match self.consumer.poll(Duration::from_millis(100)) {
                None | Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Ok(stray)) => self.owner.halt_stray(stray.topic(), stray.partition(), stray.offset()),
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    // The queue delivers that there was a fatal error, and not which.
                    let (code, reason) =
                        self.consumer.client().fatal_error().unwrap_or((code, String::new()));
                    return ServeEnd::Fatal(Fatal { code, reason });
                }
                Some(Err(error)) if self.ingestion.contact.failed(&error) => debug!(%error, "kafka"),
                Some(Err(error)) => warn!(%error, "kafka"),
            }
            if self.owner.is_finished() {
                return ServeEnd::OwnerGone;
            }
            self.look_for_brokers();
            if self.subscription.is_partial(&self.ingestion) && asked.elapsed() >= ASK_AGAIN {
                if let Err(error) = self.subscribe() {
                    warn!(%error, "kafka");
                }
                asked = Instant::now();
            }
        }
        ServeEnd::Stopped
    }

    /// Asks the brokers whether they are there, if something failed.
    fn look_for_brokers(&self) {
        let Ingestion { contact, options, catalog, .. } = &*self.ingestion;
        if let Some(topic) = options.topics.first() {
            let is_assigned = self.owner.is_any_assigned();
            contact.look(self.consumer.client(), topic, catalog, is_assigned);
            contact.report_unread(catalog, self.subscription.unread().filter(|_| !is_assigned));
        }
    }

    /// What is recorded by now stays this process's to publish.
    fn leave(&self) {
        self.owner.leave();
        self.part();
    }

    /// Throws the client away; what it fed is another member's until it is assigned again.
    fn dissolve(self) -> (OwnerHandle, Arc<Ingestion>) {
        self.owner.dissolve();
        self.consumer.context().disconnect();
        self.part();
        (self.owner, self.ingestion)
    }

    /// Leaves the group, if its coordinator answers.
    fn part(&self) {
        self.consumer.unsubscribe();
        let until = Instant::now() + self.ingestion.options.drain_timeout;
        while Instant::now() < until && self.consumer.assignment().is_ok_and(|left| left.count() > 0) {
            let _ = self.consumer.poll(Duration::from_millis(50));
        }
    }
}

#[cfg(test)]
mod tests {
    use ledger_store::StoreOptions;

    use super::*;

    const SOON: Duration = Duration::from_secs(1);

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
        let ingestion = Arc::new(Ingestion::new(Arc::clone(&data), Arc::clone(&catalog), options, None));
        let owner = OwnerHandle::start(Arc::clone(&ingestion), std::collections::BTreeMap::new()).unwrap();
        let member =
            GroupMember::new(owner, Arc::clone(&ingestion)).and_then(GroupMember::subscribed).unwrap();
        assert!(member.subscription.is_partial(&ingestion));
        let unread = member.subscription.unread().unwrap();
        assert!(unread.contains("the topic missing is not read") && !unread.contains("there is"), "{unread}");
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
        let mut rejoining = Rejoining { left: 0, ..Rejoining::default() };
        let rest = rejoining.rest_before_next(RDKafkaErrorCode::FencedInstanceId, Rejoining::STEADY);
        assert_eq!(rest, Some(Rejoining::FIRST_REST));
    }

    #[test]
    fn no_other_error_is_healed_by_a_new_client() {
        let mut rejoining = Rejoining::default();
        assert_eq!(rejoining.rest_before_next(RDKafkaErrorCode::GroupAuthorizationFailed, SOON), None);
    }
}
