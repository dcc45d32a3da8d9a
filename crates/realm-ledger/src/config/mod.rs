//! The configuration: defaults ← TOML file ← environment ← flags.
//!
//! Each crate owns its options; this module only maps names to them. One table ([`setting::SETTINGS`]) knows
//! every key: what is not in it is refused, with its place and a suggestion; `config show` and
//! `deploy/realm-ledger.toml` are printed from the same table, so neither can lie.
//!
//! ```text
//!   kafka.check_interval = "60s"                 in the file, under [kafka]
//!   REALM_LEDGER_KAFKA__CHECK_INTERVAL=60s       in the environment: upper case, "." is "__"
//!   REALM_LEDGER_KAFKA__CLIENT__SASL_PASSWORD=…  a librdkafka property: "_" is "."
//!   REALM_LEDGER_CONFIG=/etc/realm-ledger.toml   which file, unless --config says so
//! ```
//!
//! `REALM_LEDGER_SECRET` is the ledger secret: no setting, as it must not stand in a file with others.
//! Lists are comma-separated in the environment. Variables that Kubernetes makes up for a service called
//! `realm-ledger` (`REALM_LEDGER_SERVICE_…`, `REALM_LEDGER_PORT…`) are none of ours and are left alone.

mod error;
mod layer;
mod place;
mod setting;
mod show;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ledger_ingest::kafka::KafkaOptions;
use ledger_ingest::sign::{OriginError, Origins};
use ledger_record::proof::line::LedgerSecret;
use ledger_store::StoreOptions;

pub use error::{ConfigError, ConfigErrors};
pub use layer::{FlagValue, PREFIX, load, settings_in};
pub use show::{Shown, documented};

use crate::telemetry::LogOptions;

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the ledger is kept.
    pub data_dir: PathBuf,
    /// `serve` ends when every shard of it is halted until a person has looked.
    pub exit_when_halted: bool,
    /// How long a server may take to end.
    pub shutdown_timeout: Duration,
    /// What the store may use of the machine.
    pub store: StoreOptions,
    /// Where the events come from and the decisions go.
    pub kafka: KafkaOptions,
    /// How the log is made evident to others.
    pub evidence: EvidenceOptions,
    /// Where questions are answered.
    pub http: HttpOptions,
    /// What the server tells of itself.
    pub log: LogOptions,
    /// How often it looks whether it is right.
    pub sampling: SamplingOptions,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("realm-ledger-data"),
            exit_when_halted: false,
            shutdown_timeout: Duration::from_secs(25),
            store: StoreOptions::default(),
            kafka: KafkaOptions::default(),
            evidence: EvidenceOptions::default(),
            http: HttpOptions::default(),
            log: LogOptions::default(),
            sampling: SamplingOptions::default(),
        }
    }
}

/// Checks of states against the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SamplingOptions {
    /// Tenants that are folded from zero and compared; 0: none.
    pub tenants_per_minute: u32,
}

impl Default for SamplingOptions {
    fn default() -> Self {
        Self { tenants_per_minute: 60 }
    }
}

/// The audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceOptions {
    /// Where the secret and the keys are kept; none: beside the data directory.
    pub keys_dir: Option<PathBuf>,
    /// Names the logs: what their origins begin with.
    pub origin: String,
    /// Longest time without a seal while something is unsealed.
    pub tick_interval: Duration,
    /// The ledger secret, where the environment gives it: no setting, and never shown.
    pub secret: Option<LedgerSecret>,
}

impl Default for EvidenceOptions {
    fn default() -> Self {
        let origin = "{topic}".to_owned();
        Self { keys_dir: None, origin, tick_interval: Duration::from_secs(5), secret: None }
    }
}

impl Config {
    /// Where the secret and the keys are kept: outside of the data directory and its backups.
    pub fn keys_dir(&self) -> PathBuf {
        self.evidence.keys_dir.clone().unwrap_or_else(|| place::beside(&self.data_dir, ".keys"))
    }

    /// Whether a backup of the data would carry the keys along.
    fn keys_are_among_the_data(&self) -> bool {
        place::resolved(&self.keys_dir()).starts_with(place::resolved(&self.data_dir))
    }

    /// The names of the logs.
    pub fn origins(&self) -> Result<Origins, OriginError> {
        Origins::new(&self.evidence.origin, self.kafka.topics.len())
    }
}

/// The HTTP interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOptions {
    /// Address and port.
    pub listen: String,
    /// What the interface itself wants to know.
    pub options: ledger_api::http::Options,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8080".to_owned(), options: ledger_api::http::Options::default() }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It was not set.
    Default,
    /// A line of the file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
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

#[cfg(test)]
mod tests;
