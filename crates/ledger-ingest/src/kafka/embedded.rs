//! librdkafka's broker in this process, for the demo: real TCP, nothing kept.
//!
//! It trims what is older than 5 MiB or 100,000 messages a partition and has no admin API, so it is no
//! place for data that counts.

use rdkafka::error::KafkaResult;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// Target of the warning that recorded times are the producers': this broker knows no others, so whoever starts it
/// need not hear of it.
pub const NOT_APPEND_TIME: &str = "ledger_ingest::not_append_time";

/// A broker that lives as long as this value.
pub struct EmbeddedBroker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl EmbeddedBroker {
    /// Starts it with these topics, each with so many partitions.
    pub fn start(topics: &[(&str, u32)]) -> KafkaResult<Self> {
        let cluster = MockCluster::new(1)?;
        for (topic, partitions) in topics {
            cluster.create_topic(topic, i32::try_from(*partitions).unwrap_or(i32::MAX), 1)?;
        }
        Ok(Self { cluster })
    }

    /// `host:port`
    pub fn address(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}

impl std::fmt::Debug for EmbeddedBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedBroker").field("address", &self.address()).finish()
    }
}
