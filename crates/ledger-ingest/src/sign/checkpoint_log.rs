//! Where the checkpoints of one origin are published.

use rdkafka::error::KafkaError;

/// The notes of one origin, one after the other.
pub trait CheckpointLog {
    /// The last note that anyone published, as far as it can be read by now: only a claim decides what is under way.
    fn last(&mut self) -> Result<Option<String>, CheckpointLogError>;

    /// Shuts out everyone else who publishes for the origin. What they had under way is published or not when
    /// this returns; the last note is answered.
    fn claim(&mut self) -> Result<Option<String>, CheckpointLogError>;

    /// Publishes a note. After an error it may be published or not: only another claim tells.
    fn publish(&mut self, note: &str) -> Result<(), CheckpointLogError>;

    /// Gives up the claim without waiting for anything.
    fn release(&mut self);
}

/// A note was not published, or not read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointLogError {
    /// Someone else has claimed the origin.
    #[error("another process publishes the checkpoints of this origin now")]
    ShutOut,
    /// The client or the broker refused.
    #[error("topic {topic}: {error}; create it with `topics create`, or check the access rights")]
    Kafka { topic: String, error: KafkaError },
    /// Shut out, but not by someone else.
    #[error(
        "the broker ended a transaction of topic {topic} that took too long, or came late to an earlier claim of this \
         process; trying again"
    )]
    Interrupted { topic: String },
    /// The brokers do not give what is there.
    #[error("topic {topic} could not be read to its end in time; trying again")]
    NotRead { topic: String },
    /// Somebody's transaction stays open.
    #[error(
        "topic {topic} has a note of this origin behind a transaction that does not end, which keeps {seen} and all \
         after it back; find its producer, or end it with `kafka-transactions.sh abort`; trying again"
    )]
    Hidden {
        topic: String,
        /// The end of what can be read.
        seen: i64,
    },
    /// Another process uses the keys for the same origin.
    #[error("{path} is locked: another process signs with these keys for this origin", path = path.display())]
    Locked {
        /// The lock.
        path: std::path::PathBuf,
    },
    /// The file beside the keys.
    #[error(transparent)]
    KeptNote(#[from] crate::sign::KeptError),
}
