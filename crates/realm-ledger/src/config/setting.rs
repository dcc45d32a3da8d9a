//! The table of all settings: their keys, where each is kept in the configuration, and what it takes.
//!
//! `deploy/realm-ledger.toml` documents what each is for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ledger_store::Partitioner;
use serde::Serialize;

use super::access::Tables;
use super::value::{GivenValue, show_bytes, show_duration};
use super::{Config, Loaded};

/// One setting.
pub(super) struct SettingRow {
    /// `section.name`, or a name of the top level.
    pub(super) key: &'static str,
    pub(super) slot: fn(&mut Config) -> SettingSlot<'_>,
}

/// Where a value is kept, by what it takes.
pub(super) enum SettingSlot<'c> {
    Text(&'c mut String),
    /// Empty means none.
    OptionalText(&'c mut Option<String>),
    Texts(&'c mut Vec<String>),
    Path(&'c mut PathBuf),
    /// Empty means none.
    OptionalPath(&'c mut Option<PathBuf>),
    Switch(&'c mut bool),
    Number(&'c mut dyn Whole),
    /// So many in a time; 0 means none.
    Rate(&'c mut dyn Whole),
    Bytes(&'c mut dyn Whole),
    /// None: auto.
    Memory(&'c mut Option<usize>),
    Duration(&'c mut Duration),
    /// A duration that is kept in whole seconds.
    Seconds(&'c mut u64),
    /// One of these words.
    Word(&'c mut String, &'static [&'static str]),
    /// How keys are placed; none: auto.
    Partitioner(&'c mut Option<Partitioner>),
    /// A list of tables, empty unless set.
    Tables(&'c mut dyn Tables),
    /// Properties of librdkafka, each with a text.
    Properties(&'c mut BTreeMap<String, String>),
}

const fn setting(key: &'static str, slot: fn(&mut Config) -> SettingSlot<'_>) -> SettingRow {
    SettingRow { key, slot }
}

/// Every setting, by section.
pub(super) const SETTINGS: &[SettingRow] = &[
    setting("data_dir", |config| SettingSlot::Path(&mut config.data_dir)),
    setting("memory", |config| SettingSlot::Memory(&mut config.store.memory_bytes)),
    setting("exit_when_halted", |config| SettingSlot::Switch(&mut config.exit_when_halted)),
    setting("shutdown_timeout", |config| SettingSlot::Duration(&mut config.shutdown_timeout)),
    setting("store.background_jobs", |config| SettingSlot::Number(&mut config.store.background_jobs)),
    setting("store.open_files_per_shard", |config| {
        SettingSlot::Number(&mut config.store.open_files_per_shard)
    }),
    setting("store.wal_per_shard", |config| SettingSlot::Bytes(&mut config.store.wal_bytes_per_shard)),
    setting("kafka.brokers", |config| SettingSlot::Text(&mut config.kafka.brokers)),
    setting("kafka.topics", |config| SettingSlot::Texts(&mut config.kafka.topics)),
    setting("kafka.group", |config| SettingSlot::Text(&mut config.kafka.group)),
    setting("kafka.instance", |config| SettingSlot::OptionalText(&mut config.kafka.instance)),
    setting("kafka.decisions_topic", |config| SettingSlot::OptionalText(&mut config.kafka.decisions_topic)),
    setting("kafka.publish", |config| {
        SettingSlot::Word(&mut config.kafka.publish, &["changes", "decisions"])
    }),
    setting("kafka.dead_letter_topic", |config| {
        SettingSlot::OptionalText(&mut config.kafka.dead_letter_topic)
    }),
    setting("kafka.checkpoints_topic", |config| {
        SettingSlot::OptionalText(&mut config.kafka.checkpoints_topic)
    }),
    setting("kafka.tombstones", |config| {
        SettingSlot::Word(&mut config.kafka.tombstones, &["quarantine", "count"])
    }),
    setting("kafka.partitioner", |config| SettingSlot::Partitioner(&mut config.kafka.partitioner)),
    setting("kafka.accept_incomplete_history", |config| {
        SettingSlot::Switch(&mut config.kafka.accept_incomplete_history)
    }),
    setting("kafka.accept_producer_times", |config| {
        SettingSlot::Switch(&mut config.kafka.accept_producer_times)
    }),
    setting("kafka.batch_max_events", |config| SettingSlot::Number(&mut config.kafka.batch_max_events)),
    setting("kafka.check_interval", |config| SettingSlot::Duration(&mut config.kafka.check_interval)),
    setting("kafka.drain_timeout", |config| SettingSlot::Duration(&mut config.kafka.drain_timeout)),
    setting("kafka.client", |config| SettingSlot::Properties(&mut config.kafka.client.0)),
    setting("sampling.tenants_per_minute", |config| {
        SettingSlot::Rate(&mut config.sampled_tenants_per_minute)
    }),
    setting("evidence.keys_dir", |config| SettingSlot::OptionalPath(&mut config.evidence.keys_dir)),
    setting("evidence.origin", |config| SettingSlot::Text(&mut config.evidence.origin)),
    setting("evidence.tick_interval", |config| SettingSlot::Duration(&mut config.evidence.tick_interval)),
    setting("http.listen", |config| SettingSlot::Text(&mut config.http.listen)),
    setting("http.admin_listen", |config| SettingSlot::Text(&mut config.http.admin_listen)),
    setting("http.concurrent_requests", |config| {
        SettingSlot::Number(&mut config.http.options.concurrent_requests)
    }),
    setting("http.connections", |config| SettingSlot::Number(&mut config.http.options.connections)),
    setting("http.request_timeout", |config| SettingSlot::Duration(&mut config.http.options.request_timeout)),
    setting("http.ready_lag_events", |config| SettingSlot::Number(&mut config.http.options.ready.lag_events)),
    setting("http.ready_lag", |config| SettingSlot::Seconds(&mut config.http.options.ready.lag_seconds)),
    setting("http.page", |config| SettingSlot::Switch(&mut config.http.options.page)),
    setting("http.tls.certificate", |config| SettingSlot::OptionalPath(&mut config.http.tls.certificate)),
    setting("http.tls.key", |config| SettingSlot::OptionalPath(&mut config.http.tls.key)),
    setting("http.tls.client_ca", |config| SettingSlot::OptionalPath(&mut config.http.tls.client_ca)),
    setting("gateway.listen", |config| SettingSlot::Text(&mut config.gateway.listen)),
    setting("gateway.install_keys", |config| SettingSlot::Texts(&mut config.gateway.install_keys)),
    setting("gateway.forge_jwks", |config| SettingSlot::Texts(&mut config.gateway.forge_jwks)),
    setting("gateway.site_hosts", |config| SettingSlot::Texts(&mut config.gateway.site_hosts)),
    setting("gateway.forward_ca", |config| SettingSlot::OptionalPath(&mut config.gateway.forward_ca)),
    setting("gateway.record_actor", |config| SettingSlot::Switch(&mut config.gateway.record_actor)),
    setting("gateway.journal_max", |config| SettingSlot::Bytes(&mut config.journal.max_bytes)),
    setting("gateway.journal_keep", |config| SettingSlot::Duration(&mut config.journal.keep)),
    setting("gateway.app", |config| SettingSlot::Tables(&mut config.gateway.apps)),
    setting("gateway.hosts", |config| SettingSlot::Properties(&mut config.gateway.hosts)),
    setting("backup.dir", |config| SettingSlot::OptionalPath(&mut config.backup_dir)),
    setting("access.open", |config| SettingSlot::Switch(&mut config.access.open)),
    setting("access.rate", |config| SettingSlot::Rate(&mut config.access.rate)),
    setting("access.burst", |config| SettingSlot::Number(&mut config.access.burst)),
    setting("access.topic", |config| SettingSlot::OptionalText(&mut config.kafka.access_topic)),
    setting("access.token", |config| SettingSlot::Tables(&mut config.access.tokens)),
    setting("access.issuer", |config| SettingSlot::Tables(&mut config.access.issuers)),
    setting("access.certificate", |config| SettingSlot::Tables(&mut config.access.certificates)),
    setting("telemetry.otlp", |config| SettingSlot::OptionalText(&mut config.otlp)),
    setting("log.level", |config| SettingSlot::Text(&mut config.log.level)),
    setting("log.format", |config| SettingSlot::Word(&mut config.log.format, &["auto", "text", "json"])),
];

/// With less than this nothing works well.
const MEMORY_LEAST_BYTES: usize = 64 * 1024 * 1024;

/// Settings that there are no more, each with the one that does its work.
pub(super) const REMOVED: &[(&str, &str)] = &[
    ("store.block_cache", "memory"),
    ("store.write_buffer", "memory"),
    ("store.tenant_cache", "memory"),
    ("kafka.batch_max", "memory"),
];

/// Stands for a partitioner that is learnt, and for memory that is measured.
const AUTO: &str = "auto";

/// The setting whose properties `key` is one of, with the name of the property.
pub(super) fn find_property(key: &str) -> Option<(&'static SettingRow, &str)> {
    SETTINGS.iter().find_map(|setting| {
        let property = key.strip_prefix(setting.key)?.strip_prefix('.')?;
        setting.has_properties().then_some((setting, property))
    })
}

impl SettingRow {
    pub(super) fn has_properties(&self) -> bool {
        matches!((self.slot)(&mut Config::default()), SettingSlot::Properties(_))
    }

    /// Whether it is a list of tables, which has no default to show.
    #[cfg(test)]
    pub(super) fn has_tables(&self) -> bool {
        matches!((self.slot)(&mut Config::default()), SettingSlot::Tables(_))
    }
}

impl SettingSlot<'_> {
    /// Sets the value, or returns which part of it is not what the setting takes: empty for the whole.
    pub(super) fn set(self, given: GivenValue) -> Result<(), String> {
        match self {
            Self::Tables(slot) => slot.put(given.tables().ok_or_else(String::new)?),
            slot => slot.set_value(given).ok_or_else(String::new),
        }
    }

    fn set_value(self, given: GivenValue) -> Option<()> {
        match self {
            Self::Text(slot) => *slot = given.text()?,
            Self::OptionalText(slot) => *slot = Some(given.text()?).filter(|text| !text.is_empty()),
            Self::Texts(slot) => *slot = given.texts()?,
            Self::Path(slot) => *slot = given.text()?.into(),
            Self::OptionalPath(slot) => {
                *slot = Some(given.text()?).filter(|path| !path.is_empty()).map(PathBuf::from);
            }
            Self::Switch(slot) => *slot = given.switch()?,
            Self::Number(slot) => slot.put(Some(given.number()?).filter(|number| *number > 0)?)?,
            Self::Rate(slot) => slot.put(given.number()?)?,
            Self::Bytes(slot) => slot.put(Some(given.bytes()?).filter(|bytes| *bytes > 0)?)?,
            Self::Memory(slot) => {
                let is_auto = given.clone().text()? == AUTO;
                let bytes =
                    || usize::try_from(given.bytes()?).ok().filter(|bytes| *bytes >= MEMORY_LEAST_BYTES);
                *slot = if is_auto { None } else { Some(bytes()?) };
            }
            Self::Duration(slot) => *slot = Some(given.duration()?).filter(|time| !time.is_zero())?,
            Self::Seconds(slot) => *slot = Some(given.duration()?.as_secs()).filter(|time| *time > 0)?,
            Self::Word(slot, words) => {
                *slot = Some(given.text()?).filter(|word| words.contains(&word.as_str()))?;
            }
            Self::Partitioner(slot) => {
                *slot = match given.text()?.as_str() {
                    AUTO => None,
                    name => Some(Partitioner::parse(name)?),
                };
            }
            Self::Tables(_) | Self::Properties(_) => return None,
        }
        Some(())
    }

    /// Sets one property.
    pub(super) fn set_property(self, name: &str, given: GivenValue) -> Option<()> {
        let Self::Properties(properties) = self else { return None };
        properties.insert(name.to_owned(), given.property()?);
        Some(())
    }

    /// What it takes, in words.
    pub(super) fn expected(&self) -> String {
        let expected = match self {
            Self::Text(_) => "a text",
            Self::OptionalText(_) => "a text, empty for none",
            Self::Texts(_) => "a list of texts",
            Self::Path(_) => "a path",
            Self::OptionalPath(_) => "a path, empty for none",
            Self::Switch(_) => "true or false",
            Self::Number(_) => "a whole number above 0",
            Self::Rate(_) => "a whole number, 0 for none",
            Self::Bytes(_) => "a size above 0 with its unit (B KiB MiB GiB TiB), such as \"256MiB\"",
            Self::Memory(_) => "auto, or a size with its unit (MiB GiB TiB) of at least \"64MiB\"",
            Self::Duration(_) => "a duration above 0 with its unit (ms s m h d), such as \"60s\"",
            Self::Seconds(_) => "a duration of seconds, such as \"60s\"",
            Self::Word(_, words) => return format!("one of {}", words.join(", ")),
            Self::Partitioner(_) => "one of auto, murmur2, crc32, fnv1a, unknown",
            Self::Tables(tables) => tables.expected(),
            Self::Properties(_) => "a table of properties",
        };
        expected.to_owned()
    }

    /// The value as TOML; none for properties.
    fn to_toml(&self) -> Option<String> {
        Some(match self {
            Self::Text(text) | Self::Word(text, _) => quoted(text),
            Self::OptionalText(text) => quoted(text.as_deref().unwrap_or_default()),
            Self::Texts(texts) => {
                let items: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Path(path) => quoted(&path.to_string_lossy()),
            Self::OptionalPath(path) => quoted(&path.as_deref().unwrap_or("".as_ref()).to_string_lossy()),
            Self::Switch(switch) => switch.to_string(),
            Self::Number(number) | Self::Rate(number) => number.get().to_string(),
            Self::Bytes(bytes) => quoted(&show_bytes(bytes.get())),
            Self::Memory(bytes) => quoted(&bytes.map_or(AUTO.to_owned(), |bytes| show_bytes(bytes as u64))),
            Self::Duration(duration) => quoted(&show_duration(**duration)),
            Self::Seconds(seconds) => quoted(&show_duration(Duration::from_secs(**seconds))),
            Self::Partitioner(partitioner) => quoted(partitioner.map_or(AUTO, Partitioner::as_str)),
            Self::Tables(tables) => return tables.to_toml(),
            Self::Properties(_) => return None,
        })
    }
}

/// A whole number of any width.
pub(super) trait Whole {
    fn get(&self) -> u64;
    /// Sets it; none if it does not fit.
    fn put(&mut self, number: u64) -> Option<()>;
}

impl<T: Copy + TryFrom<u64> + TryInto<u64>> Whole for T {
    fn get(&self) -> u64 {
        (*self).try_into().unwrap_or(u64::MAX)
    }

    fn put(&mut self, number: u64) -> Option<()> {
        *self = Self::try_from(number).ok()?;
        Some(())
    }
}

pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// One value in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct EffectiveSetting {
    /// Its key, as it is written in TOML.
    pub(crate) setting: String,
    /// The value as TOML; masked if it is secret.
    pub(crate) value: String,
    /// Where it comes from.
    pub(crate) origin: String,
}

/// Stands in place of a secret.
const MASK: &str = "\"********\"";

/// A property with one of these in its name is masked. Some that match are no secrets (the path of a key file), which
/// is the safe side.
const SECRET: &[&str] =
    &["password", "secret", "key", "token", "jaas", "pem", "credential", "oauthbearer.config"];

impl Loaded {
    /// Every value in force, by section, without secrets.
    pub(crate) fn settings(&self) -> Vec<EffectiveSetting> {
        // Slots borrow the configuration for writing, so they are read from a copy.
        let config = &mut self.config.clone();
        let mut all = Vec::new();
        for setting in SETTINGS {
            let slot = (setting.slot)(config);
            if let Some(value) = slot.to_toml() {
                let origin = self.origin(setting.key).to_string();
                all.push(EffectiveSetting { setting: setting.key.to_owned(), value, origin });
            }
            let SettingSlot::Properties(properties) = slot else { continue };
            for (name, value) in properties {
                let value = if is_secret(name) { MASK.to_owned() } else { quoted(value) };
                let origin = self.origin(&format!("{}.{name}", setting.key)).to_string();
                all.push(EffectiveSetting {
                    setting: format!("{}.{}", setting.key, quoted(name)),
                    value,
                    origin,
                });
            }
        }
        all
    }
}

fn is_secret(property: &str) -> bool {
    let property = property.to_ascii_lowercase();
    SECRET.iter().any(|word| property.contains(word))
}
