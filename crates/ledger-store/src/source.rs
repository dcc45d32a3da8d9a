//! Where messages come from: the shard of a partition, the identity of a topic, and which partition a producer gives a key.
//!
//! Kafka's brokers do not decide that, the clients do, and they differ. What hashes a key is taken from each client
//! as it is, with its sign handling:
//!
//! | partitioner | hash | partition | clients that use it unless told otherwise |
//! | --- | --- | --- | --- |
//! | `murmur2` | `MurmurHash2`, seed `9747b28c` | lower 31 bits, modulo | Java, kafkajs, franz-go, kafka-python |
//! | `crc32` | CRC-32 of zlib | unsigned, modulo | librdkafka: confluent-kafka (Python, .NET, Go), node-rdkafka |
//! | `fnv1a` | FNV-1a, 32 bits | absolute value as `i32`, modulo | Sarama |
//!
//! The names of librdkafka are taken as well; its `…_random` differ for empty keys only, and no client key is empty.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names a shard: one partition of one topic. Imports name the topic they stand in for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
}

impl ShardId {
    /// Reads `topic/partition`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (topic, partition) = text.rsplit_once('/')?;
        Some(Self { topic: topic.to_owned(), partition: partition.parse().ok()? })
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// Where the messages of a topic come from. An import knows the number of partitions only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceIdentity {
    /// The Kafka cluster.
    pub cluster_id: Option<String>,
    /// The topic, beyond its name: a topic that is deleted and made again gets another one.
    pub topic_id: Option<String>,
    /// How many partitions it has.
    pub partitions: u32,
}

/// How the producers of a topic place a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Partitioner {
    /// The default of Java's client.
    Murmur2,
    /// The default of librdkafka.
    Crc32,
    /// The default of Sarama.
    Fnv1a,
    /// None of these, or not always the same.
    Unknown,
}

impl Partitioner {
    /// Those that compute a partition from a key.
    pub const COMPUTING: [Self; 3] = [Self::Murmur2, Self::Crc32, Self::Fnv1a];

    /// The name, as configured and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Murmur2 => "murmur2",
            Self::Crc32 => "crc32",
            Self::Fnv1a => "fnv1a",
            Self::Unknown => "unknown",
        }
    }

    /// What librdkafka calls it, for the property `partitioner` of a producer.
    #[must_use]
    pub const fn librdkafka(self) -> &'static str {
        match self {
            Self::Murmur2 => "murmur2_random",
            Self::Crc32 => "consistent_random",
            Self::Fnv1a => "fnv1a_random",
            Self::Unknown => "random",
        }
    }

    /// What to set at producers, so that they place keys so.
    #[must_use]
    pub const fn at_producers(self) -> &'static str {
        match self {
            Self::Murmur2 => {
                "partitioner=murmur2_random at producers built on librdkafka (confluent-kafka, node-rdkafka), a hash \
                 partitioner that is Java's at Sarama; it is the default of Java, kafkajs, franz-go and kafka-python"
            }
            Self::Crc32 => {
                "partitioner=consistent_random at producers built on librdkafka (confluent-kafka, node-rdkafka), whose \
                 default it is; a partitioner class of your own at Java and others"
            }
            Self::Fnv1a => {
                "partitioner=fnv1a_random at producers built on librdkafka (confluent-kafka, node-rdkafka), a partitioner \
                 class of your own at Java; it is the default of Sarama"
            }
            Self::Unknown => "one partitioner at all producers",
        }
    }

    /// Reads a name, also one of librdkafka.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "murmur2" | "murmur2_random" => Self::Murmur2,
            "crc32" | "consistent" | "consistent_random" => Self::Crc32,
            "fnv1a" | "fnv1a_random" => Self::Fnv1a,
            "unknown" | "random" => Self::Unknown,
            _ => return None,
        })
    }

    /// The partition of a key among so many; none when nothing computes it. A single partition takes every key.
    #[must_use]
    pub fn partition(self, key: &[u8], partitions: u32) -> Option<u32> {
        let hash = match self {
            _ if partitions <= 1 => return Some(0),
            Self::Murmur2 => murmur2(key) & 0x7fff_ffff,
            Self::Crc32 => crc32fast::hash(key),
            Self::Fnv1a => fnv1a(key).cast_signed().unsigned_abs(),
            Self::Unknown => return None,
        };
        Some(hash % partitions)
    }
}

impl fmt::Display for Partitioner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `MurmurHash2` with the seed that Kafka's clients use.
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = SEED ^ length;
    let (blocks, rest) = data.as_chunks::<4>();
    for block in blocks {
        let mut k = u32::from_le_bytes(*block).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// FNV-1a of 32 bits.
fn fnv1a(data: &[u8]) -> u32 {
    data.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Apache Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn murmur2_matches_the_java_client() {
        let vectors: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (key, hash) in vectors {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    /// The check value that every description of CRC-32 gives, and those that Go's FNV-1a gives, made positive.
    #[test]
    fn crc32_and_fnv1a_match_published_values() {
        assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32fast::hash(b""), 0);
        for (key, hash) in [("kafka", 0x0d33_c4e1), ("giberish123456789", 0x77a5_8295), ("1234", 0x023b_dd03)]
        {
            assert_eq!(fnv1a(key.as_bytes()).cast_signed().unsigned_abs(), hash, "{key}");
        }
    }

    #[test]
    fn single_partition_takes_every_key() {
        for partitioner in [Partitioner::Murmur2, Partitioner::Unknown] {
            assert_eq!(partitioner.partition(b"acme.atlassian.net", 1), Some(0));
        }
        assert_eq!(Partitioner::Unknown.partition(b"acme.atlassian.net", 2), None);
    }

    #[test]
    fn partitioner_names_and_librdkafka_aliases_are_parsed() {
        for partitioner in Partitioner::COMPUTING.into_iter().chain([Partitioner::Unknown]) {
            assert_eq!(Partitioner::parse(partitioner.as_str()), Some(partitioner));
            assert_eq!(Partitioner::parse(partitioner.librdkafka()), Some(partitioner));
            let setting = format!("partitioner={} at", partitioner.librdkafka());
            let is_computing = partitioner != Partitioner::Unknown;
            assert_eq!(partitioner.at_producers().contains(&setting), is_computing, "{partitioner}");
        }
        for (alias, partitioner) in [
            ("consistent", Partitioner::Crc32),
            ("murmur2", Partitioner::Murmur2),
            ("fnv1a", Partitioner::Fnv1a),
        ] {
            assert_eq!(Partitioner::parse(alias), Some(partitioner));
        }
        assert_eq!(Partitioner::parse("auto"), None);
    }
}
