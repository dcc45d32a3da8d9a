//! Whether a source can go on where its shard stopped (invariant I-4).
//!
//! A pure decision over what the shard remembers and what the broker answers. Anything that would pass over
//! a message unseen stops the shard with the range that is affected; nothing is reset by itself.

use crate::kafka::native::Watermarks;
use crate::kafka::topic::TopicFacts;
use ledger_core::time::Timestamp;
use ledger_record::json::time::format_instant;
use ledger_store::{Halted, Partitioner, ShardId, StopCause, StopCode, with_causes};
use rdkafka::error::KafkaError;

/// Why a shard stops: the facts. Its [`StopCode`] has what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// The source removed messages before they were read.
    #[error("retention removed offsets {from} to {until} (exclusive) of {shard} before they were read")]
    RetentionGap { shard: ShardId, from: u64, until: u64 },
    /// A new shard, but the oldest messages are gone already.
    #[error("{shard} begins at offset {low}: offsets 0 to {low} (exclusive) are gone")]
    HistoryIncomplete { shard: ShardId, low: u64 },
    /// The source ends before what was already read.
    #[error(
        "{shard} ends at offset {high}, but offsets up to {next} (exclusive) were read: the topic \
         was truncated or recreated; offsets {high} to {next} of the ledger have no source any more"
    )]
    Truncated { shard: ShardId, next: u64, high: u64 },
    /// The source was truncated and has grown again: the leader epoch of what was read is gone.
    #[error(
        "{shard} was truncated below offset {next} and has grown again since: what was read \
         before {next} is not what the topic holds now"
    )]
    Diverged { shard: ShardId, next: u64 },
    /// Another cluster than the one the data directory was filled from.
    #[error(
        "{topic} is served by cluster {found}, but this data directory was filled from cluster {recorded}"
    )]
    OtherCluster { topic: String, recorded: String, found: String },
    /// Another topic under the same name.
    #[error(
        "topic {} was recreated: its id was {recorded} and is {found}; offsets before {next} of \
         partition {} belong to the old one", shard.topic, shard.partition
    )]
    TopicRecreated { shard: ShardId, next: u64, recorded: String, found: String },
    /// Another number of partitions: keys are spread anew, tenants would be torn apart.
    #[error(
        "topic {} has {found} partitions and had {recorded}: client keys land elsewhere from some \
         offset ≥ {next} of partition {} on", shard.topic, shard.partition
    )]
    Repartitioned { shard: ShardId, next: u64, recorded: u32, found: u32 },
    /// A message came that the shard has already passed, or not yet reached by its own queue.
    #[error("{shard} delivered offset {found} where {next} was next")]
    OutOfOrder { shard: ShardId, next: u64, found: u64 },
    /// The broker refuses to serve the partition.
    #[error("{shard} cannot be read: {error}")]
    Refused { shard: ShardId, error: String },
    /// The producers' clocks rule the recorded times, without a bound that is short enough.
    #[error("{shard} is not read: {facts}")]
    ProducerTimes {
        shard: ShardId,
        facts: String,
        /// Where the settings can be changed.
        brokers: String,
    },
    /// A producer's clock is far ahead of this machine's.
    #[error(
        "offset {offset} of {shard} has its producer's time {}, more than 24 hours ahead of this \
         machine's clock", format_instant(*time)
    )]
    TimeAhead { shard: ShardId, offset: u64, time: Timestamp },
    /// A thread of the shard ended in the middle: a fault of this program.
    #[error("a thread of {shard} panicked")]
    Panicked { shard: ShardId },
    /// A message is not where its key belongs, and imported history is where it does.
    #[error(
        "the place of the message at offset {offset} of {shard} is {}/{belongs} by \
         {partitioner}, as imported history was placed: recorded here it would tear the tenant apart, so it was not \
         recorded. {}", shard.topic, right_producer(*is_keyed, *partitioner)
    )]
    Misplaced {
        shard: ShardId,
        offset: u64,
        /// The partition that its key belongs in.
        belongs: u32,
        partitioner: Partitioner,
        /// The message has the client key as its key.
        is_keyed: bool,
        /// Those that put it where it came, if it was placed by its key.
        by: Vec<Partitioner>,
    },
    /// The data directory cannot be written or read.
    #[error("the shard cannot go on: {error}")]
    Store { code: StopCode, error: String },
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
        Self::Refused { shard: id.clone(), error: error.to_string() }
    }

    /// Recorded times would be the producers'; the facts are what is known of that.
    pub(crate) fn producer_times(id: &ShardId, facts: String, brokers: &str) -> Self {
        Self::ProducerTimes { shard: id.clone(), facts, brokers: brokers.to_owned() }
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

    /// The reason with its code and remedy, as readiness and answers show it.
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
    pub shard: &'a ShardId,
    /// The next offset to read; none before the first message.
    pub next: Option<u64>,
    /// The topic's id and number of partitions when it was first read.
    pub facts: &'a TopicFacts,
}

/// Where to start reading, or why not to.
pub(super) fn start_at(
    remembered: Remembered<'_>,
    found: &TopicFacts,
    marks: Watermarks,
    accept_incomplete_history: bool,
) -> Result<u64, Halt> {
    let Remembered { shard, next, facts } = remembered;
    let (shard, expected) = (shard.clone(), next.unwrap_or(0));
    if let (Some(recorded), Some(found)) = (&facts.cluster_id, &found.cluster_id)
        && recorded != found
    {
        let (recorded, found) = (recorded.clone(), found.clone());
        return Err(Halt::OtherCluster { topic: shard.topic, recorded, found });
    }
    if let (Some(recorded), Some(found)) = (&facts.topic_id, &found.topic_id)
        && recorded != found
    {
        let (recorded, found) = (recorded.clone(), found.clone());
        return Err(Halt::TopicRecreated { shard, next: expected, recorded, found });
    }
    if facts.partitions != found.partitions {
        let (recorded, found) = (facts.partitions, found.partitions);
        return Err(Halt::Repartitioned { shard, next: expected, recorded, found });
    }
    match next {
        None if marks.low == 0 || accept_incomplete_history => Ok(marks.low),
        None => Err(Halt::HistoryIncomplete { shard, low: marks.low }),
        Some(next) if next < marks.low => Err(Halt::RetentionGap { shard, from: next, until: marks.low }),
        Some(next) if next > marks.high => Err(Halt::Truncated { shard, next, high: marks.high }),
        Some(next) => Ok(next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(id: &str, partitions: u32) -> TopicFacts {
        TopicFacts { cluster_id: Some("c".to_owned()), topic_id: Some(id.to_owned()), partitions }
    }

    fn shard() -> ShardId {
        ShardId { topic: "t".to_owned(), partition: 3 }
    }

    fn start(next: Option<u64>, found: &TopicFacts, low: u64, high: u64) -> Result<u64, &'static str> {
        let recorded = facts("id", 6);
        let id = shard();
        let remembered = Remembered { shard: &id, next, facts: &recorded };
        start_at(remembered, found, Watermarks { low, high }, false).map_err(|halt| halt.code().as_str())
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
        let id = shard();
        let remembered = Remembered { shard: &id, next: None, facts: &recorded };
        assert_eq!(start_at(remembered, &facts("id", 6), Watermarks { low: 5, high: 9 }, true), Ok(5));
    }

    #[test]
    fn a_disk_that_fails_is_told_with_what_it_said_and_what_to_do() {
        let (path, source) = ("/data/CURRENT".into(), std::io::Error::from_raw_os_error(28));
        let id = shard();
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
        let id = shard();
        let told = |partitioner, is_keyed, by: &[Partitioner]| {
            let (shard, by) = (id.clone(), by.to_vec());
            let halt = Halt::Misplaced { shard, offset: 7, belongs: 1, partitioner, is_keyed, by };
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
        }
        let unkeyed = told(Partitioner::Murmur2, false, &[]);
        assert!(unkeyed.contains("has to send the client key as the record key"), "{unkeyed}");
        assert!(!unkeyed.contains("murmur2_random"), "{unkeyed}");
    }

    #[test]
    fn the_message_names_the_range() {
        let recorded = facts("id", 6);
        let id = shard();
        let remembered = Remembered { shard: &id, next: Some(7), facts: &recorded };
        let halt = start_at(remembered, &facts("id", 6), Watermarks { low: 12, high: 20 }, false);
        let message = halt.map_err(|halt| halt.halted(&id).message);
        assert!(
            matches!(&message, Err(text) if text.contains("offsets 7 to 12 (exclusive) of t/3")),
            "{message:?}"
        );
    }
}
