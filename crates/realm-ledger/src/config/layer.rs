//! Laying file, environment and flags over the defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ledger_api::limits::CONCURRENT_REQUESTS_MAX;
use ledger_ingest::sign::OriginError;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::setting::{self, SETTINGS};
use super::value::Given;
use super::{ConfigError, ConfigErrors, Loaded, Origin};
use crate::secret;

/// What the names of our variables begin with.
pub const PREFIX: &str = "REALM_LEDGER_";

/// Names below the prefix that are not settings: the file, the ledger secret, and what Kubernetes makes up for a
/// service that is called `realm-ledger`.
const NOT_SETTINGS: &[&str] = &["CONFIG", "SECRET", "PORT"];
const NOT_SETTINGS_PREFIX: &[&str] = &["SERVICE_", "PORT_"];

const SECRET: &str = "REALM_LEDGER_SECRET";

/// A setting made by a flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagValue {
    /// The setting.
    pub key: &'static str,
    /// The flag.
    pub flag: &'static str,
    /// Its value.
    pub value: String,
}

/// The configuration in force; or everything that is wrong with it.
pub fn load(
    file: Option<&Path>,
    environment: &BTreeMap<String, String>,
    flags: &[FlagValue],
) -> Result<Loaded, ConfigErrors> {
    let mut layers = Layers::default();
    let named = environment.get("REALM_LEDGER_CONFIG").map(PathBuf::from);
    if let Some(path) = file.map(Path::to_owned).or(named) {
        layers.file(&path);
    }
    for (name, value) in environment {
        if let Some(rest) = name.strip_prefix(PREFIX) {
            layers.variable(name, rest, value);
        }
    }
    if let Some(text) = environment.get(SECRET) {
        layers.secret(text);
    }
    for FlagValue { key, flag, value } in flags {
        layers.set((*key).to_owned(), Given::Word(value.clone()), Origin::Flag(flag));
    }
    layers.check();
    if layers.errors.is_empty() { Ok(layers.loaded) } else { Err(ConfigErrors(layers.errors)) }
}

/// The variables that would set something: all of ours, without those that Kubernetes makes up.
pub fn settings_in(environment: &BTreeMap<String, String>) -> Vec<&str> {
    let is_ours = |name: &&String| {
        let rest = name.strip_prefix(PREFIX);
        rest.is_some_and(|rest| matches!(rest, "CONFIG" | "SECRET") || !is_no_setting(rest))
    };
    environment.keys().filter(is_ours).map(String::as_str).collect()
}

fn is_no_setting(rest: &str) -> bool {
    NOT_SETTINGS.contains(&rest) || NOT_SETTINGS_PREFIX.iter().any(|prefix| rest.starts_with(prefix))
}

#[derive(Default)]
struct Layers {
    loaded: Loaded,
    errors: Vec<ConfigError>,
}

impl Layers {
    fn file(&mut self, path: &Path) {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(source) => {
                self.errors.push(ConfigError::Unreadable { path: path.to_owned(), source });
                return;
            }
        };
        let (table, errors) = DeTable::parse_recoverable(&text);
        if errors.is_empty() {
            self.table("", table.get_ref(), &|at| Origin::File {
                path: path.to_owned(),
                line: line(&text, at),
            });
            return;
        }
        for error in errors {
            let line = error.span().map_or(1, |span| line(&text, span.start));
            let message = error.message().to_owned();
            self.errors.push(ConfigError::Syntax { path: path.to_owned(), line, message });
        }
    }

    /// Walks down as long as tables are sections of ours.
    fn table(&mut self, prefix: &str, table: &DeTable<'_>, origin: &dyn Fn(usize) -> Origin) {
        for (name, value) in table {
            let at = Spanned::span(name).start;
            let name = name.get_ref();
            let key = if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
            match value.get_ref() {
                DeValue::Table(inner) if is_section(&key) => self.table(&key, inner, origin),
                // A property may be written without quotes, as tables within tables: the name is the same.
                DeValue::Table(inner) if setting::find_property(&key).is_some() => {
                    self.table(&key, inner, origin);
                }
                value => self.set(key, Given::of_toml(value), origin(at)),
            }
        }
    }

    fn variable(&mut self, name: &str, rest: &str, value: &str) {
        if is_no_setting(rest) {
            return;
        }
        let dotted = rest.replace("__", ".").to_ascii_lowercase();
        let key = match setting::find_property(&dotted) {
            Some((setting, property)) => format!("{}.{}", setting.key, property.replace('_', ".")),
            None => dotted,
        };
        self.set(key, Given::Word(value.to_owned()), Origin::Environment(name.to_owned()));
    }

    fn secret(&mut self, text: &str) {
        let secret = secret::parse(text);
        if secret.is_none() {
            let (origin, key) = (Origin::Environment(SECRET.to_owned()), "the ledger secret".to_owned());
            self.errors.push(ConfigError::Invalid { origin, key, expected: "32 bytes as base64" });
        }
        self.loaded.config.evidence.secret = secret;
    }

    fn set(&mut self, key: String, given: Given, origin: Origin) {
        let config = &mut self.loaded.config;
        let result = if let Some(setting) = setting::find(&key) {
            setting.set(config, given)
        } else if let Some((setting, property)) = setting::find_property(&key) {
            setting.set_property(config, property, given)
        } else {
            let suggestion = suggest(&key, &origin);
            self.errors.push(ConfigError::UnknownKey { origin, key, suggestion });
            return;
        };
        match result {
            Ok(()) => {
                self.loaded.origins.insert(key, origin);
            }
            Err(expected) => self.errors.push(ConfigError::Invalid { origin, key, expected }),
        }
    }

    /// What can only be said of values together, or by the crate that owns them.
    fn check(&mut self) {
        let kafka = &self.loaded.config.kafka;
        if let Err(reason) = kafka.check() {
            let key = format!("kafka.{}", reason.option());
            let origin = self.loaded.origin(&key).clone();
            self.errors.push(ConfigError::Refused { origin, key, reason });
        }
        let mut invalid = |key: &str, wrong: bool, expected: &'static str| {
            if wrong {
                let origin = self.loaded.origin(key).clone();
                self.errors.push(ConfigError::Invalid { origin, key: key.to_owned(), expected });
            }
        };
        invalid("kafka.brokers", kafka.brokers.trim().is_empty(), "host:port of at least one broker");
        invalid("kafka.group", kafka.group.trim().is_empty(), "a name");
        invalid("kafka.topics", kafka.topics.is_empty(), "at least one topic");
        let distinct: BTreeSet<&String> = kafka.topics.iter().collect();
        invalid("kafka.topics", distinct.len() < kafka.topics.len(), "topics of which none is given twice");
        let outputs = [
            ("kafka.decisions_topic", &kafka.decisions_topic),
            ("kafka.dead_letter_topic", &kafka.dead_letter_topic),
            ("kafka.checkpoints_topic", &kafka.checkpoints_topic),
        ];
        let mut taken = BTreeSet::new();
        for (key, output) in outputs {
            let Some(output) = output else { continue };
            let is_read = kafka.topics.contains(output);
            invalid(key, is_read, "none of kafka.topics, as what is sent there would come in again");
            invalid(key, !taken.insert(output), "another topic than those of the other outputs");
        }
        if let Err(error) = self.loaded.config.origins() {
            let expected = match error {
                OriginError::Name => "a name without spaces and plus signs",
                OriginError::Ambiguous => "a name with {topic} in it, as there are several topics",
            };
            invalid("evidence.origin", true, expected);
        }
        let places = self.loaded.config.http.options.concurrent_requests;
        invalid("http.concurrent_requests", places > CONCURRENT_REQUESTS_MAX, "at most 4096");
        let store = &self.loaded.config.store;
        invalid(
            "store.write_buffer",
            store.write_buffer_bytes > store.block_cache_bytes,
            "at most store.block_cache, of which it is a part",
        );
        invalid(
            "evidence.keys_dir",
            self.loaded.config.keys_are_among_the_data(),
            "outside of data_dir, whose backups would carry the keys along",
        );
        let level = &self.loaded.config.log.level;
        invalid("log.level", crate::telemetry::filter(level).is_none(), "a level such as \"info\"");
    }
}

fn is_section(key: &str) -> bool {
    SETTINGS.iter().any(|setting| {
        setting.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
            || (setting.key == key && setting.has_properties())
    })
}

/// The setting that is nearest to what was written, in the words of the place where it was written.
fn suggest(key: &str, origin: &Origin) -> Option<String> {
    let nearest = SETTINGS
        .iter()
        .map(|setting| {
            let name = setting.key.rsplit('.').next().unwrap_or(setting.key);
            let whole = strsim::normalized_damerau_levenshtein(key, setting.key);
            let last = strsim::normalized_damerau_levenshtein(key.rsplit('.').next().unwrap_or(key), name);
            (setting.key, whole.max(last))
        })
        .max_by(|(_, one), (_, other)| one.total_cmp(other))
        .filter(|(_, similarity)| *similarity > 0.7)?;
    Some(match origin {
        Origin::Environment(_) => format!("{PREFIX}{}", nearest.0.replace('.', "__").to_ascii_uppercase()),
        _ => nearest.0.to_owned(),
    })
}

/// The line of a place in a text, from 1.
fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
