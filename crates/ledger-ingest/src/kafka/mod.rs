//! Kafka, in and out: the consumer group, its workers, the publisher, checkpoints, and what an operator does
//! with topics.

mod checkpoints;
mod client_log;
mod continuity;
mod embedded;
mod group;
mod membership;
mod native;
mod options;
mod outbox;
mod publisher;
mod sample;
mod send;
mod shard;
mod ticker;
mod topic;
pub mod topics;
mod worker;

pub use checkpoints::CheckpointTopic;
pub use continuity::Halt;
pub use embedded::{EmbeddedBroker, NOT_APPEND_TIME};
pub(crate) use group::sleep_unless_stopped;
pub use group::{Ingest, StartError};
pub use options::{ClientProperties, KafkaOptions, OptionsError};
pub use outbox::SendError;
pub use publisher::Publisher;
pub use rdkafka::error::KafkaError;
pub use sample::sample_keys;
pub use send::{PublishError, Sender};
pub use ticker::Ticker;
