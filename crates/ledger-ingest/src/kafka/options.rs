//! What ingestion needs to know, and the librdkafka settings that its promises rest on.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;

/// How long brokers may take to do what someone waits for: make a topic, acknowledge messages.
pub(super) const BROKER_TIMEOUT: Duration = Duration::from_secs(30);

/// Where the events come from, and how they are taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaOptions {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// The lifecycle topics; each tenant's events are in one of them.
    pub topics: Vec<String>,
    /// Consumer group: processes of one group share the partitions.
    pub group: String,
    /// Static membership: a name that a restart keeps, so that partitions stay where their data is.
    pub instance: Option<String>,
    /// Where decisions and corrections go; none publishes nothing.
    pub decisions_topic: Option<String>,
    /// Where refused messages go; none publishes nothing.
    pub dead_letter_topic: Option<String>,
    /// Where signed checkpoints go; none signs nothing.
    pub checkpoints_topic: Option<String>,
    /// Start at the oldest message although earlier ones are gone already. The history is incomplete then.
    pub accept_incomplete_history: bool,
    /// Most events in one write.
    pub batch_max_events: usize,
    /// Most message bytes in one write.
    pub batch_max_bytes: usize,
    /// How often the source is checked for retention, truncation, re-creation and new partitions.
    pub check_interval: Duration,
    /// How long a shard may take to finish what it has begun when it is given up.
    pub drain_timeout: Duration,
    /// More librdkafka properties, such as `security.protocol`; those that the promises rest on are refused.
    pub client: BTreeMap<String, String>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            brokers: "localhost:9092".to_owned(),
            topics: vec!["realm.lifecycle".to_owned()],
            group: "realm-ledger".to_owned(),
            instance: None,
            decisions_topic: Some("realm.decisions".to_owned()),
            dead_letter_topic: Some("realm.dead-letter".to_owned()),
            checkpoints_topic: Some("realm.checkpoints".to_owned()),
            accept_incomplete_history: false,
            batch_max_events: 10_000,
            batch_max_bytes: 8 * 1024 * 1024,
            check_interval: Duration::from_mins(1),
            drain_timeout: Duration::from_secs(20),
            client: BTreeMap::new(),
        }
    }
}

/// A property that an operator may not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("client property {name:?} is fixed by the ledger: exactly-once ingestion rests on it; remove it")]
pub struct FixedProperty {
    /// Its name.
    pub name: String,
}

/// Settings of the consumer that the invariants rest on.
const CONSUMER: &[(&str, &str)] = &[
    // Progress is remembered in one place, with the data (I-2).
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // History is never skipped silently (I-4).
    ("auto.offset.reset", "error"),
    ("isolation.level", "read_committed"),
    ("check.crcs", "true"),
    ("enable.partition.eof", "true"),
    ("allow.auto.create.topics", "false"),
    ("partition.assignment.strategy", "cooperative-sticky"),
];

/// Settings of the producers that the invariants rest on.
const PRODUCER: &[(&str, &str)] = &[
    ("enable.idempotence", "true"),
    ("acks", "all"),
    // The partitioner of the Java client, so that one key has one partition whoever sends it.
    ("partitioner", "murmur2_random"),
    ("allow.auto.create.topics", "false"),
];

/// Settings that are safe to change, with defaults that suit a backlog as well as a trickle.
const TUNING: &[(&str, &str)] = &[
    ("fetch.queue.backoff.ms", "20"),
    ("fetch.wait.max.ms", "100"),
    ("queued.max.messages.kbytes", "16384"),
    ("topic.metadata.refresh.interval.ms", "60000"),
    ("statistics.interval.ms", "0"),
];

impl KafkaOptions {
    /// Refuses properties that the promises rest on.
    pub fn check(&self) -> Result<(), FixedProperty> {
        let owned = ["bootstrap.servers", "group.id", "group.instance.id", "transactional.id"];
        let fixed = CONSUMER.iter().chain(PRODUCER).map(|(name, _)| *name).chain(owned);
        for name in fixed {
            if self.client.contains_key(name) {
                return Err(FixedProperty { name: name.to_owned() });
            }
        }
        Ok(())
    }

    /// Settings of the consumer.
    pub(crate) fn consumer(&self) -> ClientConfig {
        let mut config = self.base();
        for (name, value) in TUNING {
            config.set(*name, self.client.get(*name).map_or(*value, String::as_str));
        }
        for (name, value) in CONSUMER {
            config.set(*name, *value);
        }
        config.set("group.id", &self.group);
        if let Some(instance) = &self.instance {
            config.set("group.instance.id", instance);
        }
        config
    }

    /// Settings of a producer.
    pub(crate) fn producer(&self) -> ClientConfig {
        let mut config = self.base();
        for (name, value) in PRODUCER {
            config.set(*name, *value);
        }
        config.set("linger.ms", self.client.get("linger.ms").map_or("5", String::as_str));
        config
    }

    /// Settings of a client that only asks.
    pub(crate) fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in &self.client {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        config.set("client.id", "realm-ledger");
        config.set("socket.keepalive.enable", "true");
        config.set("enable.metrics.push", "false");
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exactly_once_rests_on_cannot_be_set() {
        for name in ["auto.offset.reset", "enable.auto.commit", "isolation.level", "acks", "group.id"] {
            let client = BTreeMap::from([(name.to_owned(), "x".to_owned())]);
            let options = KafkaOptions { client, ..KafkaOptions::default() };
            assert_eq!(options.check(), Err(FixedProperty { name: name.to_owned() }));
        }
        assert_eq!(KafkaOptions::default().check(), Ok(()));
    }

    #[test]
    fn tuning_can_be_set_and_security_is_passed_on() {
        let client = BTreeMap::from([
            ("fetch.wait.max.ms".to_owned(), "7".to_owned()),
            ("security.protocol".to_owned(), "ssl".to_owned()),
        ]);
        let config = KafkaOptions { client, ..KafkaOptions::default() }.consumer();
        assert_eq!(config.get("fetch.wait.max.ms"), Some("7"));
        assert_eq!(config.get("security.protocol"), Some("ssl"));
        assert_eq!(config.get("auto.offset.reset"), Some("error"));
    }
}
