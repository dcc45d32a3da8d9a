//! How producers place keys, and how we place them.
//!
//! A tenant stands in one partition, and which one that is its producers decide, by a hash that differs between
//! clients ([`Partitioner`]). So what is imported or published here is placed as they do, and what they send is
//! compared with that.
//!
//! **Learning.** Keys that stand in a topic tell how they were placed: a partitioner fits when it gives each of them the
//! partition that it is in. One that fits by chance does so for one key in as many as there are partitions, so a few
//! keys are enough ([`Tally`]). Only events of tenants tell anything: those of apps, and ticks, are sent to every
//! partition.
//!
//! **In force** is what is set (`kafka.partitioner`), else what the data directory remembers, else what was learnt.
//! What was set or learnt is remembered. What is set against what is remembered is refused, but for `unknown`,
//! which computes nothing and compares nothing.

use std::collections::BTreeSet;

use ledger_core::ids::ClientKey;
use ledger_record::record::Stream;
use ledger_store::{DataDir, OpenError, Partitioner, ReadError, Reader};

use crate::kafka::{KafkaError, KafkaOptions, sample_keys};

/// One in so many sets of keys fits a partitioner by chance when that is believed.
const BY_CHANCE: f64 = 1e6;

/// Most tenants of a shard that are looked at to learn how they were placed.
const TENANTS_LOOKED_AT: usize = 1_000;

/// How producers place client keys: set, or to be learnt.
#[derive(Debug, Clone, Default)]
pub struct Placement {
    /// As configured; none: learnt.
    pub set: Option<Partitioner>,
    /// Where the topic can be looked at.
    pub kafka: Option<KafkaOptions>,
}

/// Why nobody can say where a key belongs.
#[derive(Debug, thiserror::Error)]
pub enum PlacingError {
    /// Nothing tells.
    #[error(
        "{topic} has {partitions} partitions, and nothing tells yet how its producers place client keys; set \
         kafka.partitioner (--partitioner) to what they use: murmur2 (Java and most others), crc32 (librdkafka: \
         confluent-kafka, node-rdkafka) or fnv1a (Sarama), or give --brokers to learn it from the topic"
    )]
    Unset {
        /// The topic.
        topic: String,
        /// How many it has.
        partitions: u32,
    },
    /// It is known that none of the partitioners fits, or it is set so.
    #[error(
        "no partition can be computed for the client keys of {topic}: its producers place them by no partitioner that \
         is known, or not all by the same; let all of them use one, and set kafka.partitioner to it"
    )]
    Unknown {
        /// The topic.
        topic: String,
    },
    /// The topic cannot be looked at.
    #[error("cannot learn from {topic} how its producers place client keys: {error}; set kafka.partitioner")]
    Sample {
        /// The topic.
        topic: String,
        /// What the client said.
        error: KafkaError,
    },
    /// The data directory cannot be read or written.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A shard cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What is set is not what is.
    #[error(
        "kafka.partitioner is {set}, but the client keys of {topic} were placed by {known}; leave it away, or, if the \
         producers have changed, make a directory that fits them: `realm-ledger refill --from OLD --data-dir NEW`"
    )]
    Conflict {
        /// The topic.
        topic: String,
        /// As configured.
        set: Partitioner,
        /// As remembered, or as the keys show.
        known: Partitioner,
    },
}

impl Placement {
    /// How the keys of a topic are placed: as set or remembered, else as the tenants show that came from it, else as its
    /// newest messages do. Writes nothing.
    pub fn partitioner(
        &self,
        data: &DataDir,
        topic: &str,
        partitions: u32,
    ) -> Result<Partitioner, PlacingError> {
        let known = match data.partitioner(topic)? {
            None if partitions > 1 => self.learn(data, topic, partitions)?,
            known => known,
        };
        to_place(topic, partitions, in_force(topic, self.set, known)?)
    }

    /// The same for a ledger that is not there yet, before anything of it is made.
    pub fn partitioner_afresh(&self, topic: &str, partitions: u32) -> Result<Partitioner, PlacingError> {
        let known = if partitions > 1 { self.sample(topic)? } else { None };
        to_place(topic, partitions, in_force(topic, self.set, known)?)
    }

    fn learn(
        &self,
        data: &DataDir,
        topic: &str,
        partitions: u32,
    ) -> Result<Option<Partitioner>, PlacingError> {
        let mut tally = Tally::new(partitions);
        for shard in data.shards()?.into_iter().filter(|shard| shard.topic == topic) {
            tally_recorded(&mut tally, &data.read_shard(&shard)?)?;
        }
        match tally.verdict() {
            None => self.sample(topic),
            verdict => Ok(verdict),
        }
    }

    fn sample(&self, topic: &str) -> Result<Option<Partitioner>, PlacingError> {
        let Some(options) = &self.kafka else { return Ok(None) };
        match sample_keys(options, topic) {
            Ok(tally) => Ok(tally.verdict()),
            // What is set needs no brokers.
            Err(_) if self.set.is_some() => Ok(None),
            Err(error) => Err(PlacingError::Sample { topic: topic.to_owned(), error }),
        }
    }
}

/// What is set and what is known, as one; none when neither says anything.
pub fn in_force(
    topic: &str,
    set: Option<Partitioner>,
    known: Option<Partitioner>,
) -> Result<Option<Partitioner>, PlacingError> {
    let is_computing = |partitioner: &Partitioner| *partitioner != Partitioner::Unknown;
    match (set, known.filter(is_computing)) {
        (Some(set), Some(known)) if is_computing(&set) && set != known => {
            Err(PlacingError::Conflict { topic: topic.to_owned(), set, known })
        }
        (set, computing) => Ok(set.or(computing).or(known)),
    }
}

/// One that computes, for whoever has to place keys.
pub fn to_place(
    topic: &str,
    partitions: u32,
    in_force: Option<Partitioner>,
) -> Result<Partitioner, PlacingError> {
    let topic = topic.to_owned();
    match in_force {
        _ if partitions <= 1 => Ok(Partitioner::Murmur2),
        None => Err(PlacingError::Unset { topic, partitions }),
        Some(Partitioner::Unknown) => Err(PlacingError::Unknown { topic }),
        Some(partitioner) => Ok(partitioner),
    }
}

/// Keys and where they are.
#[derive(Debug, Clone)]
pub struct Tally {
    partitions: u32,
    /// No more than are needed.
    keys: BTreeSet<Vec<u8>>,
    fitting: Vec<Partitioner>,
}

impl Tally {
    /// Of a topic with so many partitions.
    #[must_use]
    pub fn new(partitions: u32) -> Self {
        Self { partitions, keys: BTreeSet::new(), fitting: Partitioner::COMPUTING.to_vec() }
    }

    /// A key is in a partition.
    pub fn take(&mut self, key: &[u8], partition: u32) {
        let partitions = self.partitions;
        self.fitting.retain(|partitioner| partitioner.partition(key, partitions) == Some(partition));
        if !self.are_enough() {
            self.keys.insert(key.to_vec());
        }
    }

    /// How keys are placed; none: too few of them to tell.
    #[must_use]
    pub fn verdict(&self) -> Option<Partitioner> {
        match self.fitting[..] {
            [] => Some(Partitioner::Unknown),
            [only] if self.are_enough() => Some(only),
            _ => None,
        }
    }

    fn are_enough(&self) -> bool {
        are_enough(self.keys.len() as u64, self.partitions)
    }
}

/// Whether a partitioner that fits so many keys does not fit them by chance.
#[must_use]
pub fn are_enough(keys: u64, partitions: u32) -> bool {
    let keys = i32::try_from(keys).unwrap_or(i32::MAX);
    f64::from(partitions).powi(keys) >= BY_CHANCE
}

/// Counts the tenants of a shard whose first record came from its topic.
fn tally_recorded(tally: &mut Tally, shard: &Reader) -> Result<(), ReadError> {
    let (id, snapshot) = (shard.shard(), shard.snapshot());
    let clients: Vec<ClientKey> =
        snapshot.tenant_keys()?.take(TENANTS_LOOKED_AT).collect::<Result<_, ReadError>>()?;
    for client in clients {
        let key = client.as_bytes().to_vec();
        let first = snapshot.records(&Stream::Tenant(client), 1)?.next().transpose()?;
        if first.is_some_and(|record| *record.source.source == *id.topic) {
            tally.take(&key, id.partition);
        }
        if tally.verdict().is_some() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_partitioner_is_learnt_when_it_alone_fits_more_keys_than_chance_would() {
        for partitions in [2, 4, 12, 1_000] {
            for partitioner in Partitioner::COMPUTING {
                let mut tally = Tally::new(partitions);
                let (mut taken, mut verdict) = (0, None);
                for key in keys() {
                    let partition = partitioner.partition(key.as_bytes(), partitions).unwrap();
                    tally.take(key.as_bytes(), partition);
                    tally.take(key.as_bytes(), partition);
                    taken += 1;
                    verdict = tally.verdict();
                    if verdict.is_some() {
                        break;
                    }
                }
                assert_eq!(verdict, Some(partitioner), "{partitions}");
                let least = if partitions == 1_000 { 2 } else { 6 };
                assert!((least..40).contains(&taken), "{taken} keys of {partitions}");
            }
        }
    }

    #[test]
    fn keys_of_two_partitioners_fit_none() {
        let mut tally = Tally::new(4);
        for (number, key) in keys().iter().enumerate() {
            let partitioner = Partitioner::COMPUTING[number % 2];
            tally.take(key.as_bytes(), partitioner.partition(key.as_bytes(), 4).unwrap());
        }
        assert_eq!(tally.verdict(), Some(Partitioner::Unknown));
        assert_eq!(Tally::new(4).verdict(), None);
    }

    #[test]
    fn what_is_set_against_what_is_known_is_refused_unless_it_sets_nothing() {
        use Partitioner::{Crc32, Murmur2, Unknown};
        let at = |set, known| in_force("t", set, known);
        assert_eq!(at(None, Some(Crc32)).unwrap(), Some(Crc32));
        assert_eq!(at(Some(Crc32), None).unwrap(), Some(Crc32));
        assert_eq!(at(Some(Unknown), Some(Crc32)).unwrap(), Some(Unknown));
        assert_eq!(at(Some(Crc32), Some(Unknown)).unwrap(), Some(Crc32));
        assert_eq!(at(None, None).unwrap(), None);
        let conflict = at(Some(Murmur2), Some(Crc32)).unwrap_err();
        assert!(conflict.to_string().contains("realm-ledger refill"), "{conflict}");
        assert!(matches!(to_place("t", 4, None), Err(PlacingError::Unset { .. })));
        assert!(matches!(to_place("t", 4, Some(Unknown)), Err(PlacingError::Unknown { .. })));
        assert_eq!(to_place("t", 1, None).unwrap(), Murmur2);
    }

    use std::time::Duration;

    use rdkafka::ClientConfig;
    use rdkafka::client::ClientContext;
    use rdkafka::message::{DeliveryResult, Message as _};
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

    use std::sync::Mutex;

    use super::*;
    use crate::kafka::EmbeddedBroker;

    /// Where librdkafka put each key.
    #[derive(Default)]
    struct Places(Mutex<Vec<(Vec<u8>, i32)>>);

    impl ClientContext for Places {}

    impl ProducerContext for Places {
        type DeliveryOpaque = ();

        fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
            let message = result.as_ref().unwrap();
            self.0.lock().unwrap().push((message.key().unwrap().to_vec(), message.partition()));
        }
    }

    /// Client keys as they are met in the field, and every length, so that all tails of the hashes are taken.
    fn keys() -> Vec<String> {
        let sites = (0..150).map(|n| format!("customer-{n}.atlassian.net"));
        let uuids = (0..50u64).map(|n| format!("jira:{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let lengths = (1..=40).map(|length| "ü".repeat(length) + &"x".repeat(length % 4));
        sites.chain(uuids).chain(lengths).collect()
    }

    #[test]
    fn every_partition_is_the_one_that_librdkafka_takes() {
        let names = ["murmur2", "murmur2_random", "consistent", "consistent_random", "fnv1a", "fnv1a_random"];
        for partitions in [2, 4, 7, 12] {
            let broker = EmbeddedBroker::start(&[("t", partitions)]).unwrap();
            for name in names {
                let mut config = ClientConfig::new();
                config.set("bootstrap.servers", broker.address()).set("partitioner", name);
                let producer: BaseProducer<Places> = config.create_with_context(Places::default()).unwrap();
                let keys = keys();
                for key in &keys {
                    producer
                        .send(BaseRecord::to("t").key(key).payload("x"))
                        .map_err(|(error, _)| error)
                        .unwrap();
                }
                producer.flush(Duration::from_mins(1)).unwrap();
                let places = std::mem::take(&mut *producer.context().0.lock().unwrap());
                assert_eq!(places.len(), keys.len());
                let partitioner = Partitioner::parse(name).unwrap();
                for (key, partition) in places {
                    let computed = partitioner.partition(&key, partitions);
                    assert_eq!(computed, u32::try_from(partition).ok(), "{name} of {partitions}: {key:?}");
                }
            }
        }
    }
}
