//! The Kafka client. In: options. Out: clients that log alike, and what brokers answer about topics, partitions and times.

pub(crate) mod client_log;
pub(crate) mod embedded;
pub(crate) mod native;
pub(crate) mod options;
pub(crate) mod partition;
pub(crate) mod times;
pub(crate) mod topic;

pub use embedded::{EmbeddedBroker, NOT_APPEND_TIME};
pub use options::{ClientProperties, KafkaOptions, OptionsError};
pub use rdkafka::error::KafkaError;
pub use times::TimeSource;
pub use topic::TopicFacts;
