//! How producers place keys, and how we place them.
//!
//! A tenant stands in one partition, and which one that is its producers decide, by a hash that differs between
//! clients ([`Partitioner`]). So what is imported or published here is placed as they do, and what they send is
//! compared with that.
//!
//! **Learning.** Keys that stand in a topic tell how they were placed: a partitioner fits when it gives each of them the
//! partition that it is in. One that fits by chance does so for one key in as many as there are partitions, so a few
//! keys are enough ([`KeyTally`]). Whoever can look at all partitions does so before deciding: the first keys may be those
//! of one producer among several. Only events of tenants tell anything: those of apps, and ticks, are sent to every
//! partition.
//!
//! **In force** is what is set (`kafka.partitioner`), else what the data directory remembers, else what was learnt.
//! What was set or learnt is remembered. What is set against what is remembered is refused, but for `unknown`,
//! which computes nothing and compares nothing; and where no record was placed by what is remembered, neither by an
//! import nor by a refill, what is set takes its place ([`agreed`]).

use std::collections::BTreeSet;
use std::fmt;

use ledger_core::ids::ClientKey;
use ledger_record::record::Stream;
use ledger_record::rows::SourcePosition;
use ledger_store::{DataDir, OpenError, Partitioner, ReadError, Reader};

use crate::kafka::{KafkaError, KafkaOptions};

/// One in so many sets of keys fits a partitioner by chance when that is believed.
const BY_CHANCE: f64 = 1e6;

/// Most keys that are counted as distinct.
const DISTINCT_KEYS: usize = 20_000;

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

/// Why the partition of a key cannot be computed.
#[derive(Debug, thiserror::Error)]
pub enum PlacingError {
    /// Nothing is set or learnt.
    #[error(
        "{topic} has {partitions} partitions, and nothing tells yet how its producers place client keys; set \
         kafka.partitioner (--partitioner) to what they use: murmur2 (Java and most others), crc32 (librdkafka: \
         confluent-kafka, node-rdkafka) or fnv1a (Sarama), or give --brokers to learn it from the topic"
    )]
    Unset { topic: String, partitions: u32 },
    /// The topic was looked at, and has too few keys.
    #[error(
        "{topic} has {partitions} partitions and too few client keys to show how its producers place them ({keys} were \
         found); set kafka.partitioner (--partitioner) to what they use: murmur2 (Java and most others), crc32 \
         (librdkafka: confluent-kafka, node-rdkafka) or fnv1a (Sarama)"
    )]
    TooFewKeys { topic: String, partitions: u32, keys: u64 },
    /// It is known that none of the partitioners fits, or it is set so.
    #[error(
        "no partition can be computed for the client keys of {topic}: its producers place them by no partitioner that \
         is known, or not all by the same{}; let all of them use one, and set kafka.partitioner to it",
        shown.as_deref().map(|shown| format!(" (where the keys are fits {shown})")).unwrap_or_default()
    )]
    Unknown {
        topic: String,
        /// How many keys each of them places where they are, if they were looked at.
        shown: Option<String>,
    },
    /// The topic cannot be looked at.
    #[error("cannot learn from {topic} how its producers place client keys: {error}; set kafka.partitioner")]
    Sample { topic: String, error: KafkaError },
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
        if partitions <= 1 || data.partitioner(topic)?.is_some() {
            return to_place(topic, partitions, agreed(data, topic, self.set)?);
        }
        let learnt = self.learn(data, topic, partitions)?;
        self.by_keys(topic, partitions, learnt.as_ref())
    }

    /// The same for a ledger that is not there yet, before anything of it is made.
    pub fn partitioner_afresh(&self, topic: &str, partitions: u32) -> Result<Partitioner, PlacingError> {
        let learnt = if partitions > 1 { self.sample(topic)? } else { None };
        self.by_keys(topic, partitions, learnt.as_ref())
    }

    /// As set, else as the keys show that were looked at.
    fn by_keys(
        &self,
        topic: &str,
        partitions: u32,
        learnt: Option<&KeyTally>,
    ) -> Result<Partitioner, PlacingError> {
        let known = learnt.and_then(KeyTally::verdict);
        to_place(topic, partitions, in_force(topic, self.set, known)?).map_err(|error| match error {
            PlacingError::Unknown { topic, .. } => {
                PlacingError::Unknown { topic, shown: learnt.map(KeyTally::to_string) }
            }
            PlacingError::Unset { topic, partitions } => match learnt {
                Some(KeyTally { keys, .. }) => PlacingError::TooFewKeys { topic, partitions, keys: *keys },
                None => PlacingError::Unset { topic, partitions },
            },
            error => error,
        })
    }

    /// How many partitions the topic has; none: its brokers are not named, or it is not there.
    pub fn partitions(&self, topic: &str) -> Result<Option<u32>, KafkaError> {
        self.kafka.as_ref().map_or(Ok(None), |options| count_partitions(options, topic))
    }

    fn learn(&self, data: &DataDir, topic: &str, partitions: u32) -> Result<Option<KeyTally>, PlacingError> {
        let mut tally = KeyTally::new(partitions);
        for shard in data.shards()?.into_iter().filter(|shard| shard.topic == topic) {
            tally_recorded(&mut tally, &data.read_shard(&shard)?)?;
        }
        match tally.verdict() {
            None => self.sample(topic),
            Some(_) => Ok(Some(tally)),
        }
    }

    fn sample(&self, topic: &str) -> Result<Option<KeyTally>, PlacingError> {
        let Some(options) = &self.kafka else { return Ok(None) };
        match sample_keys(options, topic) {
            Ok(tally) => Ok(Some(tally)),
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

/// What is set and what a directory remembers, as one. What was learnt from few messages may be wrong: it stands only
/// where records were placed by it.
pub fn agreed(
    data: &DataDir,
    topic: &str,
    set: Option<Partitioner>,
) -> Result<Option<Partitioner>, PlacingError> {
    match in_force(topic, set, data.partitioner(topic)?) {
        Err(PlacingError::Conflict { .. }) if !has_placed(data, topic)? => Ok(set),
        agreed => agreed,
    }
}

/// Remembers what is set where that is not what the directory remembers, or fails where records were placed by that.
pub fn set_right(data: &DataDir, topic: &str, set: Option<Partitioner>) -> Result<(), PlacingError> {
    let (agreed, known) = (agreed(data, topic, set)?, data.partitioner(topic)?);
    match agreed.filter(|agreed| *agreed != Partitioner::Unknown) {
        Some(agreed) if known.is_some_and(|known| known != agreed) => {
            Ok(data.replace_partitioner(topic, agreed)?)
        }
        _ => Ok(()),
    }
}

/// Whether records of a topic were placed here: by an import, or by a refill.
fn has_placed(data: &DataDir, topic: &str) -> Result<bool, PlacingError> {
    for shard in data.shards()?.into_iter().filter(|shard| shard.topic == topic) {
        let positions = data.read_shard(&shard)?.snapshot().source_positions()?;
        if positions.iter().any(|(_, position)| !matches!(position, SourcePosition::Kafka { .. })) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A partitioner that computes, for placing keys.
pub fn to_place(
    topic: &str,
    partitions: u32,
    in_force: Option<Partitioner>,
) -> Result<Partitioner, PlacingError> {
    let topic = topic.to_owned();
    match in_force {
        _ if partitions <= 1 => Ok(Partitioner::Murmur2),
        None => Err(PlacingError::Unset { topic, partitions }),
        Some(Partitioner::Unknown) => Err(PlacingError::Unknown { topic, shown: None }),
        Some(partitioner) => Ok(partitioner),
    }
}

/// Keys and where they are.
#[derive(Debug, Clone)]
pub struct KeyTally {
    partitions: u32,
    /// Those that were counted, and where they were, as far as they are counted as distinct.
    seen: BTreeSet<(Vec<u8>, u32)>,
    keys: u64,
    /// How many of them each places where they are.
    fits: [(Partitioner, u64); Partitioner::COMPUTING.len()],
}

impl KeyTally {
    /// Of a topic with so many partitions.
    #[must_use]
    pub fn new(partitions: u32) -> Self {
        let fits = Partitioner::COMPUTING.map(|partitioner| (partitioner, 0));
        Self { partitions, seen: BTreeSet::new(), keys: 0, fits }
    }

    /// A key is in a partition.
    pub fn take(&mut self, key: &[u8], partition: u32) {
        if self.seen.len() < DISTINCT_KEYS && !self.seen.insert((key.to_vec(), partition)) {
            return;
        }
        self.keys += 1;
        for (partitioner, fits) in &mut self.fits {
            *fits += u64::from(partitioner.partition(key, self.partitions) == Some(partition));
        }
    }

    /// How keys are placed; none: too few of them to tell.
    #[must_use]
    pub fn verdict(&self) -> Option<Partitioner> {
        let mut fitting = self.fits.iter().filter(|(_, fits)| *fits == self.keys);
        match (fitting.next(), fitting.next()) {
            (None, _) => Some(Partitioner::Unknown),
            (Some((only, _)), None) if are_enough(self.keys, self.partitions) => Some(*only),
            _ => None,
        }
    }
}

impl fmt::Display for KeyTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.fits.map(|(partitioner, fits)| format!("{partitioner} {fits} of {}", self.keys));
        f.write_str(&shown.join(", "))
    }
}

/// Whether a partitioner that fits so many keys does not fit them by chance.
#[must_use]
pub fn are_enough(keys: u64, partitions: u32) -> bool {
    let keys = i32::try_from(keys).unwrap_or(i32::MAX);
    f64::from(partitions).powi(keys) >= BY_CHANCE
}

/// Counts the tenants of a shard whose first record came from its topic.
fn tally_recorded(tally: &mut KeyTally, shard: &Reader) -> Result<(), ReadError> {
    let (id, snapshot) = (shard.shard(), shard.snapshot());
    let clients: Vec<ClientKey> =
        snapshot.tenant_keys()?.take(TENANTS_LOOKED_AT).collect::<Result<_, ReadError>>()?;
    for client in clients {
        let key = client.as_bytes().to_vec();
        let first = snapshot.records(&Stream::Tenant(client), 1)?.next().transpose()?;
        if first.is_some_and(|record| *record.source.source == *id.topic) {
            tally.take(&key, id.partition);
        }
    }
    Ok(())
}

pub(crate) mod sample;
#[cfg(test)]
mod tests;

pub(crate) use sample::count_partitions;
pub use sample::sample_keys;
