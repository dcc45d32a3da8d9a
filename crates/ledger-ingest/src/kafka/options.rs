//! What ingestion needs to know, and the librdkafka settings that its promises rest on.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use ledger_store::Partitioner;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

/// How long brokers may take to do what someone waits for: make a topic, acknowledge messages.
pub(crate) const BROKER_TIMEOUT: Duration = Duration::from_secs(30);

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
    /// `changes`: a message for each change of an installation, and for each correction; `decisions`: only where something
    /// was decided, and corrections.
    pub publish: String,
    /// Where refused messages go; none publishes nothing.
    pub dead_letter_topic: Option<String>,
    /// Where signed checkpoints go; none signs nothing.
    pub checkpoints_topic: Option<String>,
    /// Where lines about access go; none publishes nothing.
    pub access_topic: Option<String>,
    /// `quarantine`: a message without a value is refused; `count`: it is counted, and a gap in the log.
    pub tombstones: String,
    /// How the producers place client keys; none: learnt from the keys of the topic.
    pub partitioner: Option<Partitioner>,
    /// Start at the oldest message although earlier ones are gone already. The history is incomplete then.
    pub accept_incomplete_history: bool,
    /// Take the producers' word for the recorded times, however far ahead.
    pub accept_producer_times: bool,
    /// Most events in one write.
    pub batch_max_events: usize,
    /// How often the source is checked for retention, truncation, re-creation and new partitions.
    pub check_interval: Duration,
    /// How long a shard may take to finish what it has begun when it is given up.
    pub drain_timeout: Duration,
    /// More librdkafka properties, such as `security.protocol`; those that the promises rest on are refused.
    pub client: ClientProperties,
}

/// Properties of librdkafka by name. Values may be secret, so only the names show in debug output.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ClientProperties(pub BTreeMap<String, String>);

impl<const N: usize> From<[(String, String); N]> for ClientProperties {
    fn from(properties: [(String, String); N]) -> Self {
        Self(properties.into())
    }
}

impl Deref for ClientProperties {
    type Target = BTreeMap<String, String>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for ClientProperties {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl fmt::Debug for ClientProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys()).finish()
    }
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            brokers: "localhost:9092".to_owned(),
            topics: vec!["realm.lifecycle".to_owned()],
            group: "realm-ledger".to_owned(),
            instance: None,
            decisions_topic: Some("realm.decisions".to_owned()),
            publish: "changes".to_owned(),
            dead_letter_topic: Some("realm.dead-letter".to_owned()),
            checkpoints_topic: Some("realm.checkpoints".to_owned()),
            access_topic: None,
            tombstones: "quarantine".to_owned(),
            partitioner: None,
            accept_incomplete_history: false,
            accept_producer_times: false,
            batch_max_events: 50_000,
            check_interval: Duration::from_mins(1),
            drain_timeout: Duration::from_secs(20),
            client: ClientProperties::default(),
        }
    }
}

/// Options that cannot be used. The text never has the value, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// A property that an operator may not set.
    #[error("client property {name:?} is fixed by the ledger: exactly-once ingestion rests on it; remove it")]
    Fixed { name: String },
    /// A property that does not exist.
    #[error("the Kafka client has no property {name:?}")]
    Unknown { name: String },
    /// A value that the property does not take, or a property of what the client was built without.
    #[error("client property {name:?} does not take this value, or this build has no support for it")]
    Refused { name: String },
    /// The group would go on without a process that is still at work.
    #[error("it must be shorter than the session timeout of the client, which is {session:?}")]
    DrainTooLong {
        /// `session.timeout.ms`.
        session: Duration,
    },
}

impl OptionsError {
    /// The option that is at fault, below `kafka`.
    #[must_use]
    pub fn option(&self) -> String {
        match self {
            Self::Fixed { name } | Self::Unknown { name } | Self::Refused { name } => {
                format!("client.{name}")
            }
            Self::DrainTooLong { .. } => "drain_timeout".to_owned(),
        }
    }
}

/// What librdkafka takes for `session.timeout.ms` by default.
const SESSION_TIMEOUT: Duration = Duration::from_secs(45);

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
    // What is sent to a topic of events names its partition; the output topics are placed as Java's client does.
    ("partitioner", "murmur2_random"),
    ("allow.auto.create.topics", "false"),
];

/// Settings that are safe to change, with defaults that suit a backlog as well as a trickle.
const TUNING: &[(&str, &str)] = &[
    ("fetch.queue.backoff.ms", "20"),
    ("fetch.wait.max.ms", "100"),
    ("topic.metadata.refresh.interval.ms", "60000"),
    ("statistics.interval.ms", "0"),
];

/// Bounds of what is fetched ahead of a partition: less than the least is fetched too often.
const AHEAD_LEAST_BYTES: usize = 64 * 1024;
const AHEAD_MOST_BYTES: usize = 16 * 1024 * 1024;

/// Most of it in one answer of a broker, librdkafka's default. A message that is larger comes all the same.
const FETCH_MOST_BYTES: usize = 1024 * 1024;

/// The same of the producers. What waits to be sent waits in the log: a queue of the default gigabyte is of no use.
/// Messages of a topic are alike: lz4 makes a seventh of them, takes the least CPU, and all brokers and clients read it.
const PRODUCER_TUNING: &[(&str, &str)] =
    &[("linger.ms", "5"), ("queue.buffering.max.kbytes", "65536"), ("compression.type", "lz4")];

/// The same for every client.
const DEFAULTS: &[(&str, &str)] =
    &[("client.id", "realm-ledger"), ("socket.keepalive.enable", "true"), ("enable.metrics.push", "false")];

impl KafkaOptions {
    /// Refuses what the promises do not allow and what the client does not take, before anything connects.
    pub fn check(&self) -> Result<(), OptionsError> {
        // The last two are other names of properties that are fixed.
        let owned = ["bootstrap.servers", "group.id", "group.instance.id", "transactional.id"];
        let aliases = ["metadata.broker.list", "request.required.acks"];
        let fixed = CONSUMER.iter().chain(PRODUCER).map(|(name, _)| *name).chain(owned).chain(aliases);
        for name in fixed {
            if self.client.contains_key(name) {
                return Err(OptionsError::Fixed { name: name.to_owned() });
            }
        }
        for (name, value) in self.client.iter() {
            check_property(name, value)?;
        }
        let session = self.session_timeout();
        if self.drain_timeout >= session { Err(OptionsError::DrainTooLong { session }) } else { Ok(()) }
    }

    fn session_timeout(&self) -> Duration {
        let session = self.client.get("session.timeout.ms").and_then(|millis| millis.trim().parse().ok());
        session.map_or(SESSION_TIMEOUT, Duration::from_millis)
    }

    /// How long a revocation waits for its partitions to be drained and committed: less than the session lasts.
    pub(crate) fn release_timeout(&self) -> Duration {
        self.drain_timeout + self.session_timeout().saturating_sub(self.drain_timeout) / 2
    }

    /// Settings of the consumer, which may fetch so many bytes ahead of each partition.
    pub(crate) fn consumer(&self, ahead_bytes: usize) -> ClientConfig {
        let mut config = self.base();
        let ahead_bytes = ahead_bytes.clamp(AHEAD_LEAST_BYTES, AHEAD_MOST_BYTES);
        let ahead = [
            ("queued.max.messages.kbytes", (ahead_bytes / 1024).to_string()),
            ("fetch.message.max.bytes", ahead_bytes.min(FETCH_MOST_BYTES).to_string()),
        ];
        let ahead = ahead.iter().map(|(name, value)| (*name, value.as_str()));
        for (name, value) in TUNING.iter().copied().chain(ahead) {
            config.set(name, self.client.get(name).map_or(value, String::as_str));
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
        for (name, value) in PRODUCER_TUNING {
            config.set(*name, self.client.get(*name).map_or(*value, String::as_str));
        }
        config
    }

    /// Settings of a client that only asks.
    pub(crate) fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in DEFAULTS {
            config.set(*name, *value);
        }
        for (name, value) in self.client.iter() {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        config
    }
}

/// Asks the client itself. Its error is not passed on, as it repeats the value.
fn check_property(name: &str, value: &str) -> Result<(), OptionsError> {
    let name = name.to_owned();
    match ClientConfig::new().set(&name, value).create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            Err(OptionsError::Unknown { name })
        }
        Err(_) => Err(OptionsError::Refused { name }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(properties: &[(&str, &str)]) -> KafkaOptions {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let client = ClientProperties(properties.iter().map(owned).collect());
        KafkaOptions { client, ..KafkaOptions::default() }
    }

    #[test]
    fn what_exactly_once_rests_on_cannot_be_set() {
        for name in [
            "auto.offset.reset",
            "enable.auto.commit",
            "isolation.level",
            "acks",
            "request.required.acks",
            "metadata.broker.list",
            "group.id",
        ] {
            let fixed = OptionsError::Fixed { name: name.to_owned() };
            assert_eq!(with(&[(name, "x")]).check(), Err(fixed));
        }
        assert_eq!(KafkaOptions::default().check(), Ok(()));
    }

    #[test]
    fn what_the_client_does_not_take_is_told_without_the_value() {
        for (name, expected) in [
            ("sasl.passwrd", OptionsError::Unknown { name: "sasl.passwrd".to_owned() }),
            ("security.protocol", OptionsError::Refused { name: "security.protocol".to_owned() }),
            ("socket.timeout.ms", OptionsError::Refused { name: "socket.timeout.ms".to_owned() }),
            ("sasl.jaas.config", OptionsError::Refused { name: "sasl.jaas.config".to_owned() }),
        ] {
            let error = with(&[(name, "hunter2")]).check().unwrap_err();
            assert_eq!(error, expected);
            assert!(!error.to_string().contains("hunter2"), "{error}");
            assert_eq!(error.option(), format!("client.{name}"));
        }
        let nul = with(&[("sasl.password", "hunter2\0")]).check();
        assert_eq!(nul, Err(OptionsError::Refused { name: "sasl.password".to_owned() }));
    }

    #[test]
    fn no_value_shows_in_debug_output() {
        let shown = format!("{:?}", with(&[("sasl.password", "hunter2")]));
        assert!(shown.contains("sasl.password") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn draining_ends_before_the_session_does() {
        let drain_timeout = Duration::from_secs(45);
        let options = KafkaOptions { drain_timeout, ..KafkaOptions::default() };
        assert_eq!(options.check(), Err(OptionsError::DrainTooLong { session: SESSION_TIMEOUT }));
        let options = KafkaOptions { drain_timeout, ..with(&[("session.timeout.ms", "60000")]) };
        assert_eq!(options.check(), Ok(()));
        let session = Duration::from_secs(6);
        let short = with(&[("session.timeout.ms", "6000")]);
        assert_eq!(short.check(), Err(OptionsError::DrainTooLong { session }));
        let release = KafkaOptions::default().release_timeout();
        assert!(KafkaOptions::default().drain_timeout < release && release < SESSION_TIMEOUT, "{release:?}");
    }

    #[test]
    fn tuning_can_be_set_and_security_is_passed_on() {
        let config = with(&[
            ("fetch.wait.max.ms", "7"),
            ("security.protocol", "ssl"),
            ("client.id", "ledger-7"),
            ("enable.metrics.push", "true"),
        ]);
        let config = config.consumer(1024 * 1024 * 1024);
        assert_eq!(config.get("fetch.wait.max.ms"), Some("7"));
        assert_eq!(config.get("security.protocol"), Some("ssl"));
        assert_eq!(config.get("client.id"), Some("ledger-7"));
        assert_eq!(config.get("enable.metrics.push"), Some("true"));
        assert_eq!(config.get("auto.offset.reset"), Some("error"));
        assert_eq!(config.get("queued.max.messages.kbytes"), Some("16384"));
        assert_eq!(config.get("fetch.message.max.bytes"), Some("1048576"));
        let little = with(&[("fetch.message.max.bytes", "7000")]).consumer(100 * 1024);
        assert_eq!(little.get("queued.max.messages.kbytes"), Some("100"));
        assert_eq!(little.get("fetch.message.max.bytes"), Some("7000"));
        assert_eq!(KafkaOptions::default().base().get("client.id"), Some("realm-ledger"));
        let queue = "queue.buffering.max.kbytes";
        assert_eq!(KafkaOptions::default().producer().get(queue), Some("65536"));
        assert_eq!(with(&[(queue, "1000")]).producer().get(queue), Some("1000"));
        let codec = "compression.type";
        assert_eq!(KafkaOptions::default().producer().get(codec), Some("lz4"));
        for other in ["none", "zstd"] {
            let options = with(&[(codec, other)]);
            assert_eq!((options.check(), options.producer().get(codec)), (Ok(()), Some(other)));
        }
    }
}
