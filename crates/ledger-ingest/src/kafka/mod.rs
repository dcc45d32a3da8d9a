//! Kafka, in and out: the consumer group, its workers, the publisher, checkpoints, and what an operator does
//! with topics.

mod checkpoints;
mod client_log;
mod contact;
mod continuity;
mod embedded;
mod group;
mod group_progress;
mod membership;
mod mending;
mod native;
mod options;
mod outbox;
mod publisher;
mod sample;
mod send;
mod shard;
mod side_by_side;
mod ticker;
mod times;
mod topic;
pub mod topics;
mod worker;

pub use checkpoints::CheckpointTopic;
pub use continuity::Halt;
pub use embedded::{EmbeddedBroker, NOT_APPEND_TIME};
pub use group::{Ingest, StartError};
pub(crate) use group::{STOP_TIMEOUT, join_until, sleep_unless_stopped};
pub use options::{ClientProperties, KafkaOptions, OptionsError};
pub use outbox::SendError;
pub use publisher::Publisher;
pub use rdkafka::error::KafkaError;
pub(crate) use sample::count_partitions;
pub use sample::sample_keys;
pub use send::{PublishError, Sender};
pub use ticker::Ticker;
pub use times::TimeSource;
pub use worker::REFUSED_MESSAGES;
