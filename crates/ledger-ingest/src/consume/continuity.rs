//! Whether a source can go on where its shard stopped (invariant I-4).
//!
//! A pure decision over what the shard remembers and what the broker tells. Anything that would pass over
//! a message unseen stops the shard with the range that is affected; nothing is reset by itself.

use crate::kafka::native::Watermarks;
use crate::kafka::topic::TopicFacts;
use ledger_core::time::Timestamp;
use ledger_record::json::time::format_instant;
use ledger_store::{Halted, Partitioner, ShardId, StopCause, StopCode, with_causes};
use rdkafka::error::KafkaError;

/// Why a shard stops: the facts. What to do about each is said by its [`StopCode`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// The source removed messages before they were read.
    #[error(
        "retention removed offsets {from} to {until} (exclusive) of {topic}/{partition} before they were read"
    )]
    RetentionGap {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// First lost offset.
        from: u64,
        /// First offset that can still be read.
        until: u64,
    },
    /// A new shard, but the oldest messages are gone already.
    #[error("{topic}/{partition} begins at offset {low}: offsets 0 to {low} (exclusive) are gone")]
    HistoryIncomplete {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// First offset that can still be read.
        low: u64,
    },
    /// The source ends before what was already read.
    #[error(
        "{topic}/{partition} ends at offset {high}, but offsets up to {next} (exclusive) were read: the topic \
         was truncated or recreated; offsets {high} to {next} of the ledger have no source any more"
    )]
    Truncated {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The next offset that the shard expects.
        next: u64,
        /// The end of the source.
        high: u64,
    },
    /// The source was truncated and has grown again: the leader epoch of what was read is gone.
    #[error(
        "{topic}/{partition} was truncated below offset {next} and has grown again since: what was read \
         before {next} is not what the topic holds now"
    )]
    Diverged {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The next offset that the shard expects.
        next: u64,
    },
    /// Another cluster than the one the data directory was filled from.
    #[error(
        "{topic} is served by cluster {found}, but this data directory was filled from cluster {recorded}"
    )]
    OtherCluster {
        /// The topic.
        topic: String,
        /// The cluster that the data directory remembers.
        recorded: String,
        /// The cluster that answers.
        found: String,
    },
    /// Another topic under the same name.
    #[error(
        "topic {topic} was recreated: its id was {recorded} and is {found}; offsets before {next} of \
         partition {partition} belong to the old one"
    )]
    TopicRecreated {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The next offset that the shard expects.
        next: u64,
        /// The id that the data directory remembers.
        recorded: String,
        /// The id that the broker tells.
        found: String,
    },
    /// Another number of partitions: keys are spread anew, tenants would be torn apart.
    #[error(
        "topic {topic} has {found} partitions and had {recorded}: client keys land elsewhere from some \
         offset ≥ {next} of partition {partition} on"
    )]
    Repartitioned {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The next offset that the shard expects.
        next: u64,
        /// The number that the data directory remembers.
        recorded: u32,
        /// The number that the broker tells.
        found: u32,
    },
    /// A message came that the shard has already passed, or not yet reached by its own queue.
    #[error("{topic}/{partition} delivered offset {found} where {next} was next")]
    OutOfOrder {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The next offset that the shard expects.
        next: u64,
        /// The offset that came.
        found: u64,
    },
    /// The broker refuses to serve the partition.
    #[error("{topic}/{partition} cannot be read: {error}")]
    Refused {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// What the broker said.
        error: String,
    },
    /// The producers' clocks rule the recorded times, without a bound that is short enough.
    #[error("{topic}/{partition} is not read: {facts}")]
    ProducerTimes {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// What its settings say, or do not say.
        facts: String,
        /// Where the settings can be changed.
        brokers: String,
    },
    /// A producer's clock is far ahead of this machine's.
    #[error(
        "offset {offset} of {topic}/{partition} has its producer's time {}, more than 24 hours ahead of this \
         machine's clock", format_instant(*time)
    )]
    TimeAhead {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// Where the message is.
        offset: u64,
        /// What it says.
        time: Timestamp,
    },
    /// A thread of the shard ended in the middle: a fault of this program.
    #[error("a thread of {topic}/{partition} panicked")]
    Panicked {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
    },
    /// A message is not where its key belongs, and imported history is where it does.
    #[error(
        "the message at offset {offset} of {topic}/{found} is of {client}, whose place is {topic}/{belongs} by \
         {partitioner}, as imported history was placed: recorded here it would tear the tenant apart, so it was not \
         recorded. {}", right_producer(*is_keyed, *partitioner)
    )]
    Misplaced {
        /// The topic.
        topic: String,
        /// The partition that it came in.
        found: u32,
        /// Where it is.
        offset: u64,
        /// Whose it is.
        client: String,
        /// The partition that it belongs in.
        belongs: u32,
        /// Who says so.
        partitioner: Partitioner,
        /// The message has the client key as its key.
        is_keyed: bool,
        /// Those that put it where it came, if it was placed by its key.
        by: Vec<Partitioner>,
    },
    /// The data directory cannot be written or read.
    #[error("the shard cannot go on: {error}")]
    Store {
        /// What kind of failure it is.
        code: StopCode,
        /// What the store said.
        error: String,
    },
}

/// What to change at a producer whose messages are misplaced.
pub(super) fn right_producer(is_keyed: bool, partitioner: Partitioner) -> String {
    if is_keyed {
        format!("To place keys by {partitioner}, set {}", partitioner.at_producers())
    } else {
        "The message has no key, so chance placed it: its producer has to send the client key as the record key"
            .to_owned()
    }
}

impl Halt {
    /// The data directory failed.
    pub(super) fn store<E: StopCause + std::error::Error>(error: &E) -> Self {
        Self::Store { code: error.stop_code(), error: with_causes(error) }
    }

    /// The broker failed, in a way that does not pass.
    pub(super) fn refused(id: &ShardId, error: &KafkaError) -> Self {
        Self::Refused { topic: id.topic.clone(), partition: id.partition, error: error.to_string() }
    }

    /// Recorded times would be the producers'; the facts say what is known of that.
    pub(crate) fn producer_times(id: &ShardId, facts: String, brokers: &str) -> Self {
        let ShardId { topic, partition } = id.clone();
        Self::ProducerTimes { topic, partition, facts, brokers: brokers.to_owned() }
    }

    /// What kind of stop it is.
    pub fn code(&self) -> StopCode {
        match self {
            Self::RetentionGap { .. } => StopCode::RetentionGap,
            Self::HistoryIncomplete { .. } => StopCode::HistoryIncomplete,
            Self::Truncated { .. } => StopCode::TopicTruncated,
            Self::Diverged { .. } => StopCode::TopicDiverged,
            Self::OtherCluster { .. } => StopCode::OtherCluster,
            Self::TopicRecreated { .. } => StopCode::TopicRecreated,
            Self::Repartitioned { .. } => StopCode::TopicRepartitioned,
            Self::OutOfOrder { .. } => StopCode::OutOfOrder,
            Self::Refused { .. } => StopCode::SourceRefused,
            Self::ProducerTimes { .. } => StopCode::ProducerTimes,
            Self::TimeAhead { .. } => StopCode::TimeAhead,
            Self::Panicked { .. } => StopCode::WorkerPanicked,
            Self::Misplaced { .. } => StopCode::KeyMisplaced,
            Self::Store { code, .. } => *code,
        }
    }

    /// As everyone is told of this shard.
    pub fn halted(&self, shard: &ShardId) -> Halted {
        let told = Halted::new(self.code(), shard, self);
        match self {
            Self::ProducerTimes { brokers, .. } => {
                Halted { message: told.message.replace("BROKERS", brokers), ..told }
            }
            Self::Misplaced { by, partitioner, .. } => {
                let theirs = by.first().map_or("NAME", |by| by.as_str());
                // A client key may be anything.
                let facts = self.to_string();
                let remedy = told.message.strip_prefix(&facts).unwrap_or_default();
                let remedy = remedy.replace("THEIRS", theirs).replace("OURS", partitioner.as_str());
                Halted { message: facts + &remedy, ..told }
            }
            _ => told,
        }
    }
}

/// What a shard remembers of its source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remembered<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: u32,
    /// The next offset to read; none before the first message.
    pub next: Option<u64>,
    /// The topic's id and number of partitions when it was first read.
    pub facts: &'a TopicFacts,
}

/// Where to start reading, or why not to.
pub(super) fn start_at(
    shard: Remembered<'_>,
    found: &TopicFacts,
    marks: Watermarks,
    accept_incomplete_history: bool,
) -> Result<u64, Halt> {
    let (topic, partition) = (shard.topic.to_owned(), shard.partition);
    let next = shard.next.unwrap_or(0);
    if let (Some(recorded), Some(found)) = (&shard.facts.cluster_id, &found.cluster_id)
        && recorded != found
    {
        let (recorded, found) = (recorded.clone(), found.clone());
        return Err(Halt::OtherCluster { topic, recorded, found });
    }
    if let (Some(recorded), Some(found)) = (&shard.facts.topic_id, &found.topic_id)
        && recorded != found
    {
        let (recorded, found) = (recorded.clone(), found.clone());
        return Err(Halt::TopicRecreated { topic, partition, next, recorded, found });
    }
    if shard.facts.partitions != found.partitions {
        let (recorded, found) = (shard.facts.partitions, found.partitions);
        return Err(Halt::Repartitioned { topic, partition, next, recorded, found });
    }
    match shard.next {
        None if marks.low == 0 || accept_incomplete_history => Ok(marks.low),
        None => Err(Halt::HistoryIncomplete { topic, partition, low: marks.low }),
        Some(next) if next < marks.low => {
            Err(Halt::RetentionGap { topic, partition, from: next, until: marks.low })
        }
        Some(next) if next > marks.high => Err(Halt::Truncated { topic, partition, next, high: marks.high }),
        Some(next) => Ok(next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(id: &str, partitions: u32) -> TopicFacts {
        TopicFacts { cluster_id: Some("c".to_owned()), topic_id: Some(id.to_owned()), partitions }
    }

    fn start(next: Option<u64>, found: &TopicFacts, low: u64, high: u64) -> Result<u64, &'static str> {
        let recorded = facts("id", 6);
        let shard = Remembered { topic: "t", partition: 3, next, facts: &recorded };
        start_at(shard, found, Watermarks { low, high }, false).map_err(|halt| halt.code().as_str())
    }

    #[test]
    fn goes_on_where_it_stopped() {
        assert_eq!(start(Some(7), &facts("id", 6), 0, 9), Ok(7));
        assert_eq!(start(Some(9), &facts("id", 6), 9, 9), Ok(9));
        assert_eq!(start(None, &facts("id", 6), 0, 9), Ok(0));
    }

    #[test]
    fn stops_rather_than_pass_over_anything() {
        assert_eq!(start(Some(7), &facts("id", 6), 8, 9), Err("retention-gap"));
        assert_eq!(start(None, &facts("id", 6), 1, 9), Err("history-incomplete"));
        assert_eq!(start(Some(10), &facts("id", 6), 0, 9), Err("topic-truncated"));
        assert_eq!(start(Some(7), &facts("other", 6), 0, 9), Err("topic-recreated"));
        assert_eq!(start(Some(7), &facts("id", 12), 0, 9), Err("topic-repartitioned"));
        let elsewhere = TopicFacts { cluster_id: Some("d".to_owned()), ..facts("id", 6) };
        assert_eq!(start(Some(7), &elsewhere, 0, 9), Err("other-cluster"));
    }

    #[test]
    fn an_unknown_topic_id_is_no_other_topic() {
        let found = TopicFacts { topic_id: None, ..facts("id", 6) };
        assert_eq!(start(Some(7), &found, 0, 9), Ok(7));
    }

    #[test]
    fn an_operator_may_accept_a_history_that_begins_late() {
        let recorded = facts("id", 6);
        let shard = Remembered { topic: "t", partition: 0, next: None, facts: &recorded };
        assert_eq!(start_at(shard, &facts("id", 6), Watermarks { low: 5, high: 9 }, true), Ok(5));
    }

    #[test]
    fn a_disk_that_fails_is_told_with_what_it_said_and_what_to_do() {
        let (path, source) = ("/data/CURRENT".into(), std::io::Error::from_raw_os_error(28));
        let id = ShardId { topic: "t".to_owned(), partition: 3 };
        let told = Halt::store(&ledger_store::OpenError::Io { path, source }).halted(&id);
        assert_eq!(told.code, "disk-full");
        assert!(
            told.message.contains("/data/CURRENT could not be read or written: No space left"),
            "{told:?}"
        );
        assert!(told.message.contains("make room on the disk"), "{told:?}");
    }

    #[test]
    fn a_misplaced_message_is_told_with_what_helps_for_its_partitioner() {
        let id = ShardId { topic: "t".to_owned(), partition: 3 };
        let told = |partitioner, is_keyed, by: &[Partitioner]| {
            let (topic, client, by) = ("t".to_owned(), "YOURS".to_owned(), by.to_vec());
            let halt =
                Halt::Misplaced { topic, found: 3, offset: 7, client, belongs: 1, partitioner, is_keyed, by };
            halt.halted(&id).message
        };
        let java = "default of Java";
        for (ours, theirs) in [
            (Partitioner::Murmur2, Partitioner::Crc32),
            (Partitioner::Crc32, Partitioner::Murmur2),
            (Partitioner::Fnv1a, Partitioner::Crc32),
        ] {
            let message = told(ours, true, &[theirs]);
            assert!(message.contains(&format!("partitioner={} at", ours.librdkafka())), "{message}");
            assert_eq!(message.contains(java), ours == Partitioner::Murmur2, "{message}");
            assert!(message.contains(&format!("--data-dir NEW --partitioner {theirs}`; else")), "{message}");
            assert!(message.contains(&format!("--data-dir NEW --partitioner {ours}`, and")), "{message}");
            assert!(message.contains("kafka.partitioner = \"unknown\""), "{message}");
            assert!(message.contains("is of YOURS, whose"), "{message}");
        }
        let unkeyed = told(Partitioner::Murmur2, false, &[]);
        assert!(unkeyed.contains("has to send the client key as the record key"), "{unkeyed}");
        assert!(!unkeyed.contains("murmur2_random"), "{unkeyed}");
    }

    #[test]
    fn the_message_names_the_range() {
        let recorded = facts("id", 6);
        let shard = Remembered { topic: "t", partition: 3, next: Some(7), facts: &recorded };
        let halt = start_at(shard, &facts("id", 6), Watermarks { low: 12, high: 20 }, false);
        let id = ShardId { topic: "t".to_owned(), partition: 3 };
        let message = halt.map_err(|halt| halt.halted(&id).message);
        assert!(
            matches!(&message, Err(text) if text.contains("offsets 7 to 12 (exclusive) of t/3")),
            "{message:?}"
        );
    }
}
