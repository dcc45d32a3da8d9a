//! Laying file, environment and flags over the defaults. Every fault is kept with its place, so that all of them are
//! reported at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use ledger_api::access::{Access, AccessOptions};
use ledger_api::limits::CONCURRENT_REQUESTS_MAX;
use ledger_record::proof::line::LedgerSecret;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::setting::{REMOVED, SETTINGS, find_property};
use super::value::GivenValue;
use super::{Config, TlsFiles};

/// What the names of our variables begin with.
pub(crate) const PREFIX: &str = "REALM_LEDGER_";

/// Names below the prefix that are not settings: the file, the ledger secret, the token of a client, and what Kubernetes makes up for a
/// service that is called `realm-ledger`.
const NOT_SETTINGS: &[&str] = &["CONFIG", "SECRET", "TOKEN", "CA", "PORT"];
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

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It was not set.
    Default,
    /// A line of the file, from 1.
    File(PathBuf, usize),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// The configuration in force, and where each value that was set comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    origins: BTreeMap<String, Origin>,
}

impl Loaded {
    /// Where the value of a key comes from.
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }
}

/// All faults of a configuration, each with its place; at least one.
#[derive(Debug)]
pub struct ConfigErrors(Vec<String>);

impl ConfigErrors {
    pub(crate) const fn new(faults: Vec<String>) -> Self {
        Self(faults)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "the configuration cannot be used: {one}"),
            many => {
                write!(f, "the configuration cannot be used, for {} reasons", many.len())?;
                many.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
            }
        }
    }
}

impl std::error::Error for ConfigErrors {}

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
        if let Some(rest) = name.strip_prefix(PREFIX).filter(|rest| !is_no_setting(rest)) {
            layers.variable(name, rest, value);
        }
    }
    if let Some(text) = environment.get(SECRET) {
        layers.loaded.config.evidence.secret = LedgerSecret::parse(text);
        if layers.loaded.config.evidence.secret.is_none() {
            layers.faults.push(format!(
                "environment variable {SECRET}: the ledger secret is to be 32 bytes as base64"
            ));
        }
    }
    for FlagValue { key, flag, value } in flags {
        layers.set((*key).to_owned(), GivenValue::Word(value.clone()), Origin::Flag(flag));
    }
    layers.check();
    if layers.faults.is_empty() { Ok(layers.loaded) } else { Err(ConfigErrors(layers.faults)) }
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
    faults: Vec<String>,
}

impl Layers {
    fn file(&mut self, path: &Path) {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                self.faults.push(format!("{} could not be read: {error}", path.display()));
                return;
            }
        };
        let line_at = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        let (table, errors) = DeTable::parse_recoverable(&text);
        for error in &errors {
            let line = error.span().map_or(1, |span| line_at(span.start));
            self.faults.push(format!("{}:{line}: {}", path.display(), error.message()));
        }
        if errors.is_empty() {
            self.table("", table.get_ref(), &|at| Origin::File(path.to_owned(), line_at(at)));
        }
    }

    /// Walks down as long as tables are sections of ours.
    fn table(&mut self, prefix: &str, table: &DeTable<'_>, origin: &dyn Fn(usize) -> Origin) {
        for (name, value) in table {
            let at = Spanned::span(name).start;
            let name = name.get_ref();
            let key = if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
            match value.get_ref() {
                // A property may be written without quotes, as tables within tables: the name is the same.
                DeValue::Table(inner) if is_section(&key) || find_property(&key).is_some() => {
                    self.table(&key, inner, origin);
                }
                value => self.set(key, GivenValue::from_toml(value), origin(at)),
            }
        }
    }

    fn variable(&mut self, name: &str, rest: &str, value: &str) {
        let dotted = rest.replace("__", ".").to_ascii_lowercase();
        let key = match find_property(&dotted) {
            Some((setting, property)) => format!("{}.{}", setting.key, property.replace('_', ".")),
            None => dotted,
        };
        self.set(key, GivenValue::Word(value.to_owned()), Origin::Environment(name.to_owned()));
    }

    fn set(&mut self, key: String, given: GivenValue, origin: Origin) {
        let config = &mut self.loaded.config;
        let (is_set, expected) = if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) {
            let expected = (setting.slot)(config).expected();
            ((setting.slot)(config).set(given), expected)
        } else if let Some((setting, property)) = find_property(&key) {
            let is_set = (setting.slot)(config).set_property(property, given);
            (is_set.ok_or_else(String::new), "a text, a number, true or false".to_owned())
        } else {
            if let Some((_, instead)) = REMOVED.iter().find(|(removed, _)| *removed == key) {
                self.faults.push(format!(
                    "{origin}: there is no setting {key} any more; it takes its share of {instead}"
                ));
                return;
            }
            let remedy = match nearest(&key, &origin) {
                Some(name) => format!("did you mean {name}?"),
                None => "`realm-ledger config show` lists them all".to_owned(),
            };
            self.faults.push(format!("{origin}: there is no setting {key}; {remedy}"));
            return;
        };
        match is_set {
            Ok(()) => _ = self.loaded.origins.insert(key, origin),
            Err(part) if part.is_empty() => self.faults.push(format!("{origin}: {key} is to be {expected}")),
            Err(part) => self.faults.push(format!("{origin}: {key} is to be {expected}; see to {part}")),
        }
    }

    /// Checks the values together, and those that only the crate that owns them can check.
    fn check(&mut self) {
        let (loaded, faults) = (&self.loaded, &mut self.faults);
        let kafka = &loaded.config.kafka;
        if let Err(reason) = kafka.check() {
            let key = format!("kafka.{}", reason.option());
            faults.push(format!("{}: {key}: {reason}", loaded.origin(&key)));
        }
        let mut check = |key: &str, is_right: bool, expected: &str| {
            if !is_right {
                faults.push(format!("{}: {key} is to be {expected}", loaded.origin(key)));
            }
        };
        check("kafka.brokers", !kafka.brokers.trim().is_empty(), "host:port of at least one broker");
        check("kafka.group", !kafka.group.trim().is_empty(), "a name");
        check("kafka.topics", !kafka.topics.is_empty(), "at least one topic");
        let distinct: BTreeSet<&String> = kafka.topics.iter().collect();
        check("kafka.topics", distinct.len() == kafka.topics.len(), "topics of which none is given twice");
        let outputs = [
            ("kafka.decisions_topic", &kafka.decisions_topic),
            ("kafka.dead_letter_topic", &kafka.dead_letter_topic),
            ("kafka.checkpoints_topic", &kafka.checkpoints_topic),
            ("access.topic", &kafka.access_topic),
        ];
        let mut taken = BTreeSet::new();
        for (key, output) in outputs {
            let Some(output) = output else { continue };
            let is_read = kafka.topics.contains(output);
            check(key, !is_read, "none of kafka.topics, as what is sent there would come in again");
            check(key, taken.insert(output), "another topic than those of the other outputs");
        }
        if let Err(error) = loaded.config.origins() {
            check("evidence.origin", false, &error.to_string());
        }
        let requests = loaded.config.http.options.concurrent_requests;
        check("http.concurrent_requests", requests <= CONCURRENT_REQUESTS_MAX, "at most 4096");
        let is_apart = !loaded.config.keys_are_in_data_dir();
        check("evidence.keys_dir", is_apart, "outside of data_dir, whose backups would carry the keys along");
        let is_apart =
            !loaded.config.backup_dir.as_ref().is_some_and(|dir| dir.starts_with(&loaded.config.data_dir));
        check("backup.dir", is_apart, "outside of data_dir, which it is to bring back");
        let TlsFiles { certificate, key, client_ca } = &loaded.config.http.tls;
        let is_pair = certificate.is_some() == key.is_some();
        check("http.tls.key", is_pair, "given with http.tls.certificate, and not without");
        let has_tls = certificate.is_some() || client_ca.is_none();
        check("http.tls.client_ca", has_tls, "given with http.tls.certificate");
        let needs_ca = client_ca.is_some() || loaded.config.access.certificates.is_empty();
        check(
            "access.certificate",
            needs_ca,
            "given with http.tls.client_ca, as no client shows one otherwise",
        );
        let access = &loaded.config.access;
        let is_one = !access.open || !access.names_someone();
        check("access.open", is_one, "false where someone is named who may ask, as then everyone could");
        // The keys of issuers are read by `serve` alone.
        let named = AccessOptions { issuers: Vec::new(), ..access.clone() };
        if let Err(error) = Access::new(&named) {
            check("access.token", false, &format!("a table of entries that can be told apart: {error}"));
        }
        let http = &loaded.config.http;
        let are_two = http.listen != http.admin_listen || http.listen.ends_with(":0");
        check("http.admin_listen", are_two, "another address than http.listen");
        for fault in loaded.config.gateway.faults() {
            check(fault.key, false, &fault.expected);
        }
        let level = crate::telemetry::filter(&loaded.config.log.level);
        check("log.level", level.is_some(), "a level such as \"info\"");
    }
}

fn is_section(key: &str) -> bool {
    SETTINGS.iter().any(|setting| {
        setting.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
            || (setting.key == key && setting.has_properties())
    })
}

/// The setting that is nearest to what was written, as it is written in that place.
fn nearest(key: &str, origin: &Origin) -> Option<String> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let similarity = |setting: &str| {
        let whole = strsim::normalized_damerau_levenshtein(key, setting);
        whole.max(strsim::normalized_damerau_levenshtein(&last(key), &last(setting)))
    };
    let (nearest, _) = SETTINGS
        .iter()
        .map(|setting| (setting.key, similarity(setting.key)))
        .max_by(|(_, one), (_, other)| one.total_cmp(other))
        .filter(|(_, similarity)| *similarity > 0.7)?;
    Some(match origin {
        Origin::Environment(_) => format!("{PREFIX}{}", nearest.replace('.', "__").to_ascii_uppercase()),
        _ => nearest.to_owned(),
    })
}
