//! The configuration: defaults ← TOML file ← environment ← flags.
//!
//! In come a file, the environment and flags; out goes a [`Config`] with the origin of each value, or every fault with
//! its place. Each crate owns its options. One table ([`setting::SETTINGS`]) maps keys to them: a key that is not in
//! the table is refused, and `config show` prints the table. `deploy/realm-ledger.toml` documents each setting; a test
//! compares it with the table and the defaults.
//!
//! ```text
//!   kafka.check_interval = "60s"                 in the file, under [kafka]
//!   REALM_LEDGER_KAFKA__CHECK_INTERVAL=60s       in the environment: upper case, "." is "__"
//!   REALM_LEDGER_KAFKA__CLIENT__SASL_PASSWORD=…  a librdkafka property: "_" is "."
//!   REALM_LEDGER_CONFIG=/etc/realm-ledger.toml   which file, unless --config names one
//! ```
//!
//! `REALM_LEDGER_SECRET` is the ledger secret. It is no setting, so that no file has it beside others.
//! Lists are comma-separated in the environment; lists of tables (`[[access.token]]`) are set by the file alone.
//! `REALM_LEDGER_TOKEN` is the credential of commands with `--url`, and no setting either. Kubernetes sets variables for a service called `realm-ledger`
//! (`REALM_LEDGER_SERVICE_…`, `REALM_LEDGER_PORT…`); they are left alone.

mod access;
mod gateway;
mod layers;
mod paths;
mod setting;
mod value;

use std::path::PathBuf;
use std::time::Duration;

use ledger_api::access::AccessOptions;
use ledger_api::http::TlsOptions;
use ledger_gateway::journal::JournalOptions;
use ledger_gateway::options::GatewayOptions;
use ledger_ingest::kafka::KafkaOptions;
use ledger_ingest::sign::{OriginError, Origins};
use ledger_record::proof::line::LedgerSecret;
use ledger_store::StoreOptions;

pub(crate) use access::token_lines;
pub(crate) use layers::PREFIX;
pub use layers::{ConfigErrors, FlagValue, Loaded, Origin, load, settings_in};
pub(crate) use paths::resolved;
pub(crate) use setting::EffectiveSetting;

use crate::telemetry::LogOptions;

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the ledger is kept.
    pub data_dir: PathBuf,
    /// `serve` ends when every shard of it is halted until a person acts.
    pub exit_when_halted: bool,
    /// How long a server may take to end.
    pub shutdown_timeout: Duration,
    /// What the store may use of the machine.
    pub store: StoreOptions,
    /// Where the events come from and the decisions go.
    pub kafka: KafkaOptions,
    /// How the log is made evident to others.
    pub evidence: EvidenceOptions,
    /// Where queries are answered.
    pub http: HttpOptions,
    /// The hooks that are taken.
    pub gateway: GatewayOptions,
    /// Bounds of the journal.
    pub journal: JournalOptions,
    /// A server without Kafka: no setting, but `serve --local`.
    pub local: Option<LocalOptions>,
    /// Where a server writes backups when it is asked for one; none: nowhere.
    pub backup_dir: Option<PathBuf>,
    /// Who may ask.
    pub access: AccessOptions,
    /// Where spans are sent; none: nowhere.
    pub otlp: Option<String>,
    /// What the server logs.
    pub log: LogOptions,
    /// Tenants that are folded from zero and compared with their state each minute; 0: none.
    pub sampled_tenants_per_minute: u32,
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
            gateway: GatewayOptions::default(),
            journal: JournalOptions::default(),
            local: None,
            backup_dir: None,
            access: AccessOptions::default(),
            otlp: None,
            log: LogOptions::default(),
            sampled_tenants_per_minute: 60,
        }
    }
}

/// A ledger without Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LocalOptions {
    /// Partitions of a new data directory; none: 1.
    pub partitions: Option<u32>,
}

/// Seals and signatures.
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

/// The HTTP interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOptions {
    /// Address and port.
    pub listen: String,
    /// Address and port for probes and metrics.
    pub admin_listen: String,
    /// Its certificate.
    pub tls: TlsFiles,
    /// The limits of the interface.
    pub options: ledger_api::http::Options,
}

/// The files of the certificate of the HTTP interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFiles {
    /// The certificate; none: no TLS.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Authorities of client certificates.
    pub client_ca: Option<PathBuf>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            admin_listen: "127.0.0.1:9090".to_owned(),
            tls: TlsFiles::default(),
            options: ledger_api::http::Options::default(),
        }
    }
}

impl Config {
    /// Where the secret and the keys are kept: outside of the data directory and its backups.
    pub fn keys_dir(&self) -> PathBuf {
        self.evidence.keys_dir.clone().unwrap_or_else(|| paths::with_suffix(&self.data_dir, ".keys"))
    }

    /// Whether a backup of the data would contain the keys.
    fn keys_are_in_data_dir(&self) -> bool {
        resolved(&self.keys_dir()).starts_with(resolved(&self.data_dir))
    }

    /// How the HTTP interface speaks TLS, if it does.
    pub(crate) fn tls(&self) -> Option<TlsOptions> {
        let TlsFiles { certificate, key, client_ca } = self.http.tls.clone();
        Some(TlsOptions { certificate: certificate?, key: key?, client_ca })
    }

    /// The names of the logs.
    pub fn origins(&self) -> Result<Origins, OriginError> {
        Origins::new(&self.evidence.origin, self.kafka.topics.len())
    }
}

#[cfg(test)]
mod tests;
