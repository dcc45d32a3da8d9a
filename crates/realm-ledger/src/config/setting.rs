//! The table of all settings.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ledger_store::Partitioner;

use super::Config;
use super::value::{Given, show_bytes, show_duration};

/// Where in the configuration a setting lies.
type Place<T> = fn(&mut Config) -> &mut T;

/// What a setting takes, and where it is kept.
pub(super) enum Kind {
    Text(Place<String>),
    /// Empty means none.
    OptionalText(Place<Option<String>>),
    Texts(Place<Vec<String>>),
    Path(Place<PathBuf>),
    /// Empty means none.
    OptionalPath(Place<Option<PathBuf>>),
    Switch(Place<bool>),
    Number(Place<usize>),
    Number32(Place<u32>),
    /// So many in a time; 0 means none.
    Rate(Place<u32>),
    Number64(Place<u64>),
    /// A duration that is kept in whole seconds.
    Seconds(Place<u64>),
    Bytes(Place<usize>),
    Bytes64(Place<u64>),
    Duration(Place<Duration>),
    /// How keys are placed; none: auto.
    Partitioner(Place<Option<Partitioner>>),
    /// One of these words, and what is expected in a sentence.
    Word(&'static [&'static str], &'static str, Place<String>),
    /// Names of somebody else's, each with a text.
    Properties(Place<BTreeMap<String, String>>),
}

/// One setting.
pub(super) struct Setting {
    /// `section.name`, or a name of the top level.
    pub(super) key: &'static str,
    /// What it is for, as the default file tells it.
    pub(super) about: &'static str,
    pub(super) kind: Kind,
}

const fn setting(key: &'static str, kind: Kind, about: &'static str) -> Setting {
    Setting { key, about, kind }
}

/// Every setting, by section.
pub(super) const SETTINGS: &[Setting] = &[
    setting(
        "data_dir",
        Kind::Path(|config| &mut config.data_dir),
        "Where the ledger is kept: one directory per partition below it. Created if missing.",
    ),
    setting(
        "exit_when_halted",
        Kind::Switch(|config| &mut config.exit_when_halted),
        "End `serve` with 1 when every shard of it is halted for reasons that only a person ends (README, \"When it\n\
         stops\"): for those who look at processes and not at alerts. Answers from what is recorded end with it.",
    ),
    setting(
        "shutdown_timeout",
        Kind::Duration(|config| &mut config.shutdown_timeout),
        "How long `serve` may take to end after SIGTERM, whatever Kafka does. Kubernetes kills after 30 s.",
    ),
    setting(
        "store.block_cache",
        Kind::Bytes(|config| &mut config.store.block_cache_bytes),
        "Blocks of all shards kept in memory, with the write buffers charged to it:\n\
         the native memory of the store stays near this figure.",
    ),
    setting(
        "store.write_buffer",
        Kind::Bytes(|config| &mut config.store.write_buffer_bytes),
        "Write buffers of all shards together; a part of store.block_cache, not beside it.",
    ),
    setting(
        "store.tenant_cache",
        Kind::Bytes(|config| &mut config.store.tenant_cache_bytes),
        "Folded tenants that one shard's writer keeps decoded.",
    ),
    setting(
        "store.background_jobs",
        Kind::Number32(|config| &mut config.store.background_jobs),
        "Threads for flushes and compactions of all shards together.",
    ),
    setting(
        "store.open_files_per_shard",
        Kind::Number32(|config| &mut config.store.open_files_per_shard),
        "Table files that one shard holds open; fewer where the process may open few.",
    ),
    setting(
        "store.wal_per_shard",
        Kind::Bytes64(|config| &mut config.store.wal_bytes_per_shard),
        "Write-ahead log of one shard: what a start after a crash has to replay at most.",
    ),
    setting(
        "kafka.brokers",
        Kind::Text(|config| &mut config.kafka.brokers),
        "host:port of some brokers, separated by commas.",
    ),
    setting(
        "kafka.topics",
        Kind::Texts(|config| &mut config.kafka.topics),
        "The lifecycle topics. The first is the one that `publish` sends to and `import` stands in for.",
    ),
    setting(
        "kafka.group",
        Kind::Text(|config| &mut config.kafka.group),
        "Consumer group: processes of one group share the partitions. A second, complete copy of the\n\
         ledger needs another group, and output topics of its own or none.",
    ),
    setting(
        "kafka.instance",
        Kind::OptionalText(|config| &mut config.kafka.instance),
        "Static membership: a name that a restart keeps (the host name, say), so that partitions stay\n\
         where their data is. Empty: none.",
    ),
    setting(
        "kafka.decisions_topic",
        Kind::OptionalText(|config| &mut config.kafka.decisions_topic),
        "Where decisions and corrections are published. Empty: nowhere.",
    ),
    setting(
        "kafka.dead_letter_topic",
        Kind::OptionalText(|config| &mut config.kafka.dead_letter_topic),
        "Where refused messages are published, without their secrets. Empty: nowhere.",
    ),
    setting(
        "kafka.checkpoints_topic",
        Kind::OptionalText(|config| &mut config.kafka.checkpoints_topic),
        "Where signed checkpoints are published: compacted, read again at every start. All copies of a\n\
         ledger that share its keys share this topic. Empty: nothing is signed.",
    ),
    setting(
        "kafka.tombstones",
        Kind::Word(&["quarantine", "count"], "one of quarantine, count", |config| {
            &mut config.kafka.tombstones
        }),
        "What becomes of messages without a value: refused, or counted and passed over, for a topic where others\n\
         delete keys. All copies of a ledger need the same setting.",
    ),
    setting(
        "kafka.partitioner",
        Kind::Partitioner(|config| &mut config.kafka.partitioner),
        "How the producers of the lifecycle topics place client keys: murmur2 (Java and most others), crc32\n\
         (librdkafka: confluent-kafka for Python, .NET and Go, node-rdkafka), fnv1a (Sarama), or a name of\n\
         librdkafka. auto learns it from the topic's own keys and remembers it with the data. `import` and\n\
         `publish` place keys by it, and an event that comes elsewhere beside imported history halts its\n\
         partition before it is recorded. unknown compares nothing.",
    ),
    setting(
        "kafka.accept_incomplete_history",
        Kind::Switch(|config| &mut config.kafka.accept_incomplete_history),
        "Start a new ledger at the oldest message that is left, although earlier ones are gone.",
    ),
    setting(
        "kafka.accept_producer_times",
        Kind::Switch(|config| &mut config.kafka.accept_producer_times),
        "Take the producers' word for the recorded times although the brokers let any time in the future pass: one\n\
         producer with a wrong clock rules the recorded times of its partition from then on. Without it a topic needs\n\
         message.timestamp.type=LogAppendTime, or message.timestamp.after.max.ms of at most a day.",
    ),
    setting(
        "kafka.batch_max_events",
        Kind::Number(|config| &mut config.kafka.batch_max_events),
        "Most events in one write.",
    ),
    setting(
        "kafka.batch_max",
        Kind::Bytes(|config| &mut config.kafka.batch_max_bytes),
        "Most message bytes in one write.",
    ),
    setting(
        "kafka.check_interval",
        Kind::Duration(|config| &mut config.kafka.check_interval),
        "How often the topic is checked for retention, truncation, re-creation and new partitions.",
    ),
    setting(
        "kafka.drain_timeout",
        Kind::Duration(|config| &mut config.kafka.drain_timeout),
        "How long a partition that is given up may take to finish what it has begun.\n\
         It must be shorter than session.timeout.ms of the client.",
    ),
    setting(
        "kafka.client",
        Kind::Properties(|config| &mut config.kafka.client.0),
        "More properties of librdkafka, such as TLS and SASL; those that exactly-once rests on are refused.\n\
         Passwords are better given by the environment: REALM_LEDGER_KAFKA__CLIENT__SASL_PASSWORD.\n\
         For example:\n\
         \"security.protocol\" = \"sasl_ssl\"\n\
         \"sasl.mechanisms\" = \"SCRAM-SHA-512\"\n\
         \"sasl.username\" = \"realm-ledger\"",
    ),
    setting(
        "sampling.tenants_per_minute",
        Kind::Rate(|config| &mut config.sampling.tenants_per_minute),
        "Tenants folded from zero in the background and compared with their state; 0: none.\n\
         What differs is logged, counted, and shown by /readyz.",
    ),
    setting(
        "evidence.keys_dir",
        Kind::OptionalPath(|config| &mut config.evidence.keys_dir),
        "Where the ledger secret and the signing keys are kept, and the last checkpoint of each partition. Never\n\
         below data_dir (refused), and never restored from a backup with it. Empty: beside the data directory,\n\
         with .keys behind its name.",
    ),
    setting(
        "evidence.origin",
        Kind::Text(|config| &mut config.evidence.origin),
        "Names the logs: the origin of a checkpoint is this name, / and the partition. {topic} stands for the\n\
         topic, and is needed if there are several. A name of your own tells your logs from those of others:\n\
         \"ledger.example.com/{topic}\". Changing it begins new checkpoints, which nobody can connect with the old.",
    ),
    setting(
        "evidence.tick_interval",
        Kind::Duration(|config| &mut config.evidence.tick_interval),
        "A tick is sent into a partition when something in it was not sealed for so long: until then it is in no\n\
         signed checkpoint. Three times as long without a seal counts as a stalled partition.",
    ),
    setting(
        "http.listen",
        Kind::Text(|config| &mut config.http.listen),
        "Address and port that answer HTTP. There is no authentication yet: beyond this machine, put a proxy\n\
         that has one in front of it.",
    ),
    setting(
        "http.concurrent_requests",
        Kind::Number(|config| &mut config.http.options.concurrent_requests),
        "Questions that are answered at a time; beyond them there is a refusal (503). Those that read much (lists,\n\
         streams, the past) get half of them, so that they leave places for a tenant as it is now.",
    ),
    setting(
        "http.connections",
        Kind::Number(|config| &mut config.http.options.connections),
        "Connections that are open at a time; beyond them the one that has waited longest for its client is closed.\n\
         Fewer where the process may open few files: what shards need comes first.",
    ),
    setting(
        "http.request_timeout",
        Kind::Duration(|config| &mut config.http.options.request_timeout),
        "How long a question may take.",
    ),
    setting(
        "http.ready_lag_events",
        Kind::Number64(|config| &mut config.http.options.ready.lag_events),
        "How many messages a shard, live or catching up, may be behind and still count as ready.",
    ),
    setting(
        "http.ready_lag",
        Kind::Seconds(|config| &mut config.http.options.ready.lag_seconds),
        "The same in time.",
    ),
    setting(
        "log.level",
        Kind::Text(|config| &mut config.log.level),
        "error: act now. warn: look soon. info: life of the process. debug: for its developers.\n\
         One level, or one per module: \"info,ledger_ingest=debug\".",
    ),
    setting(
        "log.format",
        Kind::Word(&["auto", "text", "json"], "one of auto, text, json", |config| &mut config.log.format),
        "text, json, or auto: text on a terminal, else json.",
    ),
];

pub(super) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// The setting whose properties `key` is one of, with the name of the property.
pub(super) fn find_property(key: &str) -> Option<(&'static Setting, &str)> {
    SETTINGS.iter().find_map(|setting| match setting.kind {
        Kind::Properties(_) => Some((setting, key.strip_prefix(setting.key)?.strip_prefix('.')?)),
        _ => None,
    })
}

impl Setting {
    /// Sets it; what it takes if that is no such thing.
    pub(super) fn set(&self, config: &mut Config, given: Given) -> Result<(), &'static str> {
        match self.kind {
            Kind::Text(place) => put(place(config), given.text(), "a text"),
            Kind::OptionalText(place) => {
                let text = given.text().map(|text| Some(text).filter(|text| !text.is_empty()));
                put(place(config), text, "a text, empty for none")
            }
            Kind::Texts(place) => put(place(config), given.texts(), "a list of texts"),
            Kind::Path(place) => put(place(config), given.text().map(PathBuf::from), "a path"),
            Kind::OptionalPath(place) => {
                let path = given.text().map(|text| (!text.is_empty()).then(|| PathBuf::from(text)));
                put(place(config), path, "a path, empty for none")
            }
            Kind::Switch(place) => put(place(config), given.switch(), "true or false"),
            Kind::Number(place) => {
                let number = given.number().and_then(|number| usize::try_from(number).ok());
                put(place(config), number.filter(|number| *number > 0), "a whole number above 0")
            }
            Kind::Number32(place) => {
                let number = given.number().and_then(|number| u32::try_from(number).ok());
                put(place(config), number.filter(|number| *number > 0), "a whole number above 0")
            }
            Kind::Rate(place) => {
                let number = given.number().and_then(|number| u32::try_from(number).ok());
                put(place(config), number, "a whole number, 0 for none")
            }
            Kind::Number64(place) => {
                put(place(config), given.number().filter(|number| *number > 0), "a whole number above 0")
            }
            Kind::Seconds(place) => {
                let seconds = given.duration().map(|duration| duration.as_secs());
                put(
                    place(config),
                    seconds.filter(|seconds| *seconds > 0),
                    "a duration of seconds, such as \"60s\"",
                )
            }
            Kind::Bytes(place) => {
                let bytes = given.bytes().and_then(|bytes| usize::try_from(bytes).ok());
                put(place(config), bytes.filter(|bytes| *bytes > 0), SIZE)
            }
            Kind::Bytes64(place) => put(place(config), given.bytes().filter(|bytes| *bytes > 0), SIZE),
            Kind::Duration(place) => {
                let duration = given.duration().filter(|duration| !duration.is_zero());
                put(place(config), duration, "a duration above 0 with its unit (ms s m h d), such as \"60s\"")
            }
            Kind::Word(words, expected, place) => {
                let word = given.text().filter(|word| words.contains(&word.as_str()));
                put(place(config), word, expected)
            }
            Kind::Partitioner(place) => {
                let partitioner = given.text().and_then(|word| match word.as_str() {
                    AUTO => Some(None),
                    name => Partitioner::parse(name).map(Some),
                });
                put(place(config), partitioner, "one of auto, murmur2, crc32, fnv1a, unknown")
            }
            Kind::Properties(_) => Err("a table of properties"),
        }
    }

    /// Sets one of its properties.
    pub(super) fn set_property(
        &self,
        config: &mut Config,
        name: &str,
        given: Given,
    ) -> Result<(), &'static str> {
        let Kind::Properties(place) = self.kind else { return Err("no table") };
        let value = match given {
            Given::Word(text) | Given::Text(text) => text,
            Given::Number(number) => number.to_string(),
            Given::Switch(switch) => switch.to_string(),
            Given::Texts(_) | Given::Other(_) => return Err("a text, a number, true or false"),
        };
        place(config).insert(name.to_owned(), value);
        Ok(())
    }

    /// Its value as TOML; none for properties.
    pub(super) fn value(&self, config: &Config) -> Option<String> {
        // The places are written for setting; looking at a copy keeps the table half as long.
        let config = &mut config.clone();
        Some(match self.kind {
            Kind::Text(place) | Kind::Word(_, _, place) => quoted(place(config)),
            Kind::OptionalText(place) => quoted(place(config).as_deref().unwrap_or_default()),
            Kind::Texts(place) => {
                let items: Vec<String> = place(config).iter().map(|text| quoted(text)).collect();
                format!("[{}]", items.join(", "))
            }
            Kind::Path(place) => quoted(&place(config).to_string_lossy()),
            Kind::OptionalPath(place) => quoted(
                &place(config)
                    .as_deref()
                    .map_or_else(String::new, |path| path.to_string_lossy().into_owned()),
            ),
            Kind::Switch(place) => place(config).to_string(),
            Kind::Partitioner(place) => quoted(place(config).map_or(AUTO, Partitioner::as_str)),
            Kind::Number(place) => place(config).to_string(),
            Kind::Number32(place) | Kind::Rate(place) => place(config).to_string(),
            Kind::Number64(place) => place(config).to_string(),
            Kind::Seconds(place) => quoted(&show_duration(Duration::from_secs(*place(config)))),
            Kind::Bytes(place) => quoted(&show_bytes(u64::try_from(*place(config)).unwrap_or(u64::MAX))),
            Kind::Bytes64(place) => quoted(&show_bytes(*place(config))),
            Kind::Duration(place) => quoted(&show_duration(*place(config))),
            Kind::Properties(_) => return None,
        })
    }

    /// Its properties, by name.
    pub(super) fn properties(&self, config: &Config) -> BTreeMap<String, String> {
        match self.kind {
            Kind::Properties(place) => std::mem::take(place(&mut config.clone())),
            _ => BTreeMap::new(),
        }
    }

    pub(super) fn has_properties(&self) -> bool {
        matches!(self.kind, Kind::Properties(_))
    }
}

/// Stands for what is learnt.
const AUTO: &str = "auto";

const SIZE: &str = "a size above 0 with its unit (B KiB MiB GiB TiB), such as \"256MiB\"";

fn put<T>(place: &mut T, value: Option<T>, expected: &'static str) -> Result<(), &'static str> {
    *place = value.ok_or(expected)?;
    Ok(())
}

pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
