//! The grammar of the command line.
//!
//! Names and flags here are a promise to users. Every command that reads takes `--data-dir` or `--url`, with
//! the same answer.
#![expect(clippy::doc_markdown, reason = "comments here are the help texts, shown as they are")]

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::realm::Realm;
use ledger_core::time::Timestamp;

mod as_of;
mod audit;
mod examples;
mod history;
mod keys;
mod parse;

pub(crate) use as_of::{AsOfAll, AsOfTenant};
pub(crate) use audit::{Export, Prove, Rebuild, Refill, Verify};
use examples::{
    ANOMALIES, COMPLETIONS, CONFIG_CHECK, CONFIG_SHOW, DEMO, DRIFT, EXPLAIN, IMPORT, LOG, MIGRATIONS,
    PREVIEW, PUBLISH, QUARANTINE_LIST, QUARANTINE_RETRY, QUARANTINE_SHOW, SERVE, SPLIT_BRAIN, STATE,
    TOPICS_CHECK, TOPICS_CREATE, WINDOWS,
};
pub(crate) use history::{Reconcile, Replay, WhatIf};
use keys::CHECKPOINT;
pub(crate) use keys::{Checkpoint, Keys, KeysGenerate, KeysOf, KeysRetire, KeysShow};
use parse::{app_key, client_key, instant, realm, unicode_path};

/// The data-residency ledger: which realm an installation is in, since when, why, and until when.
#[derive(Debug, Parser)]
#[command(name = "realm-ledger", version, term_width = 100, after_help = EXIT_CODES)]
#[command(propagate_version = false, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// Flags of every command
    #[command(flatten)]
    pub global: Global,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a verification found a difference,
4 data directory of a newer format or of another cluster.";

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Configuration file (TOML); also REALM_LEDGER_CONFIG
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How data is printed; a table on a terminal, else JSON, one object a line
    #[arg(long, global = true, value_enum)]
    pub format: Option<Format>,
    /// More logs on stderr; twice for even more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON, one object a line.
    Json,
    /// For people.
    Table,
}

/// Everything the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the ledger: Kafka to log to answers over HTTP, until SIGTERM
    #[command(after_help = SERVE)]
    Serve(Serve),
    /// See it work: everything in one process, with a sample stream
    #[command(after_help = DEMO)]
    Demo(Demo),
    /// Append events from a file, without Kafka
    #[command(after_help = IMPORT)]
    Import(Import),
    /// Create or check the Kafka topics
    #[command(subcommand)]
    Topics(Topics),
    /// Show or check the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Send events from a file to Kafka
    #[command(after_help = PUBLISH)]
    Publish(Publish),
    /// The state of installations, now or as of an instant
    #[command(after_help = STATE)]
    State(State),
    /// What was recorded for a tenant, and what each record changed
    #[command(after_help = LOG)]
    Log(Log),
    /// Why an installation is where it is, in plain sentences
    #[command(after_help = EXPLAIN)]
    Explain(Explain),
    /// The decision that an install would get now
    #[command(after_help = PREVIEW)]
    Preview(Preview),
    /// Installations whose realm is not where their product is
    #[command(after_help = DRIFT)]
    Drift(List),
    /// Installations with an open persistence window, by its end
    #[command(after_help = WINDOWS)]
    Windows(Windows),
    /// Installations whose data rests elsewhere than their realm
    #[command(after_help = SPLIT_BRAIN)]
    SplitBrain(List),
    /// Installations with anomalies
    #[command(after_help = ANOMALIES)]
    Anomalies(List),
    /// Installations with a pending migration
    #[command(after_help = MIGRATIONS)]
    Migrations(Migrations),
    /// What another policy would have meant for the reinstalls so far
    #[command(after_help = history::WHATIF)]
    Whatif(WhatIf),
    /// Records once more, each with what was believed after it, for audits
    #[command(after_help = history::REPLAY)]
    Replay(Replay),
    /// Compare a list of your own with the ledger
    #[command(after_help = history::RECONCILE)]
    Reconcile(Reconcile),
    /// Build the projections anew from the log and compare
    #[command(after_help = audit::REBUILD)]
    Rebuild(Rebuild),
    /// A new data directory from an old one's records, each tenant whole where its producer puts it
    #[command(after_help = audit::REFILL)]
    Refill(Refill),
    /// Refused events: what, why, and once more
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// The last signed checkpoint of each log
    #[command(after_help = CHECKPOINT)]
    Checkpoint(Checkpoint),
    /// The keys that sign checkpoints
    #[command(subcommand)]
    Keys(Keys),
    /// Write a bundle: one tenant's whole history, to be checked by others
    #[command(after_help = audit::PROVE)]
    Prove(Prove),
    /// Hand out everything: logs for mirrors and monitors, or records
    #[command(after_help = audit::EXPORT)]
    Export(Export),
    /// Check a data directory, or alone and offline what was handed out
    #[command(after_help = audit::VERIFY)]
    Verify(Verify),
    /// Completions for a shell
    #[command(after_help = COMPLETIONS)]
    Completions(Completions),
}

/// Where a reading command looks.
#[derive(Debug, Clone, Default, Args)]
pub struct Place {
    /// Read this data directory, also beside a running server [default: data_dir of the configuration]
    #[arg(long, value_name = "DIR", conflicts_with = "url", value_parser = unicode_path())]
    pub data_dir: Option<PathBuf>,
    /// Ask a running server instead
    #[arg(long, value_name = "URL", value_parser = parse::url)]
    pub url: Option<String>,
}

/// `serve`
#[derive(Debug, Args)]
pub struct Serve {
    /// Where the ledger is kept (data_dir)
    #[arg(long, value_name = "DIR", value_parser = unicode_path())]
    pub data_dir: Option<PathBuf>,
    /// host:port of some brokers, separated by commas (kafka.brokers)
    #[arg(long, value_name = "HOST:PORT")]
    pub brokers: Option<String>,
    /// Address that answers HTTP (http.listen)
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
}

/// `demo`
#[derive(Debug, Args)]
pub struct Demo {
    /// Keep the ledger here, empty or missing [default: a temporary directory, removed at the end]
    #[arg(long, value_name = "DIR", value_parser = unicode_path())]
    pub data_dir: Option<PathBuf>,
    /// Address that answers HTTP; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: String,
    /// The same seed plays the same stream
    #[arg(long, value_name = "N", default_value_t = 22)]
    pub seed: u64,
    /// How many tenants the stream has
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub tenants: u32,
}

/// `import`
#[derive(Debug, Args)]
pub struct Import {
    /// Native events, one JSON object a line, plain or as gzip or zstd; - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Where the ledger is kept (data_dir); created if missing
    #[arg(long, value_name = "DIR", value_parser = unicode_path())]
    pub data_dir: Option<PathBuf>,
    /// Name of the source [default: the file's name, without .gz or .zst]; needed for -
    #[arg(long, value_name = "NAME", value_parser = parse::source)]
    pub source: Option<String>,
    /// Topic that the file stands in for [default: the first of kafka.topics]
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// Partitions of a new data directory [default: as many as the topic has, where its brokers are named; else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub partitions: Option<u32>,
    /// Read everything, record nothing, and tell what is in the file; exit 1 if an import would stop
    #[arg(long)]
    pub check: bool,
    /// Import the lines in the order of their recorded time (recordedAt, else time), not of the file
    #[arg(long)]
    pub sort: bool,
    /// Import the file also when more than 1 % of its first 10,000 lines are refused
    #[arg(long)]
    pub accept_refusals: bool,
    /// How the topic's producers place client keys
    #[command(flatten)]
    pub placing: Placing,
    /// Where that can be learnt from the topic
    #[command(flatten)]
    pub brokers: Brokers,
}

/// How client keys are placed.
#[derive(Debug, Clone, Default, Args)]
pub struct Placing {
    /// How the topic's producers place client keys (kafka.partitioner): auto, murmur2 (Java), crc32 (librdkafka,
    /// confluent-kafka), fnv1a (Sarama), or a name of librdkafka
    #[arg(long, value_name = "NAME")]
    pub partitioner: Option<String>,
}

/// `topics`
#[derive(Debug, Subcommand)]
pub enum Topics {
    /// Create the topics that are missing, with the settings they need
    #[command(after_help = TOPICS_CREATE)]
    Create(TopicsCreate),
    /// Compare the topics with what they should be; exit 3 if one differs
    #[command(after_help = TOPICS_CHECK)]
    Check(Brokers),
}

/// `topics create`
#[derive(Debug, Args)]
pub struct TopicsCreate {
    /// Which cluster
    #[command(flatten)]
    pub brokers: Brokers,
    /// Partitions of each topic [default: 12, or as they are]. Cannot be changed later: a tenant lives in one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub partitions: Option<u32>,
    /// Copies of each partition
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub replication_factor: u16,
}

/// Which Kafka cluster.
#[derive(Debug, Clone, Default, Args)]
pub struct Brokers {
    /// host:port of some brokers, separated by commas (kafka.brokers)
    #[arg(long, value_name = "HOST:PORT")]
    pub brokers: Option<String>,
}

/// `config`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Every value in force with its origin; secrets masked
    #[command(after_help = CONFIG_SHOW)]
    Show,
    /// Whether the configuration can be used; exit 1 if not
    #[command(after_help = CONFIG_CHECK)]
    Check,
}

/// `publish`
#[derive(Debug, Args)]
pub struct Publish {
    /// Native events, one JSON object a line, plain or as gzip or zstd; - is standard input
    #[arg(value_name = "FILE", required_unless_present_any = ["tick", "missing_copies"])]
    pub file: Option<PathBuf>,
    /// Send a tick to every partition instead, which seals what is unsealed there
    #[arg(long, conflicts_with = "file")]
    pub tick: bool,
    /// Send instead the app-level events that a partition has, to those that lack them
    #[arg(long, conflicts_with_all = ["file", "tick"])]
    pub missing_copies: bool,
    /// Where it is seen what is missing; a server may run on it [default: data_dir]
    #[arg(long, value_name = "DIR", requires = "missing_copies", value_parser = unicode_path())]
    pub data_dir: Option<PathBuf>,
    /// Which cluster
    #[command(flatten)]
    pub brokers: Brokers,
    /// Topic to send to [default: the first of kafka.topics]
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// How the topic's producers place client keys
    #[command(flatten)]
    pub placing: Placing,
}

/// `state`
#[derive(Debug, Args)]
pub struct State {
    /// Only this tenant
    #[arg(value_parser = client_key)]
    pub client_key: Option<ClientKey>,
    /// Only its installation of this app
    #[arg(value_parser = app_key)]
    pub app_key: Option<AppKey>,
    /// As of when
    #[command(flatten)]
    pub as_of: AsOfTenant,
    /// Where to look
    #[command(flatten)]
    pub place: Place,
}

/// `log`
#[derive(Debug, Args)]
pub struct Log {
    /// The tenant
    #[arg(value_parser = client_key)]
    pub client_key: ClientKey,
    /// Begin with this record
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub from_seq: u64,
    /// At most this many records [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// What changed in our answer instead: each correction, the answer before and after, and the late event
    #[arg(long, conflicts_with = "from_seq")]
    pub corrections: bool,
    /// Begin with the corrections made at this position of the shard; go on behind the last one printed
    #[arg(long, value_name = "N", requires = "corrections", default_value_t = 0)]
    pub from_position: u64,
    /// As of when: what had happened, and was recorded by then
    #[command(flatten)]
    pub as_of: AsOfTenant,
    /// Where to look
    #[command(flatten)]
    pub place: Place,
}

/// `explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// The tenant
    #[arg(value_parser = client_key)]
    pub client_key: ClientKey,
    /// The app
    #[arg(value_parser = app_key)]
    pub app_key: AppKey,
    /// As of when
    #[command(flatten)]
    pub as_of: AsOfTenant,
    /// Where to look
    #[command(flatten)]
    pub place: Place,
}

/// `preview`
#[derive(Debug, Args)]
pub struct Preview {
    /// The tenant
    #[arg(value_parser = client_key)]
    pub client_key: ClientKey,
    /// The app
    #[arg(value_parser = app_key)]
    pub app_key: AppKey,
    /// If the product were in this realm [default: where it is known to be]
    #[arg(long, value_name = "REALM", value_parser = realm)]
    pub product_realm: Option<Realm>,
    /// If it happened then
    #[command(flatten)]
    pub as_of: AsOfTenant,
    /// Where to look
    #[command(flatten)]
    pub place: Place,
}

/// A list over all installations, as of an instant.
#[derive(Debug, Args)]
pub struct List {
    /// As of when
    #[command(flatten)]
    pub as_of: AsOfAll,
    /// Where to look
    #[command(flatten)]
    pub place: Place,
}

/// A list of everything there is.
#[derive(Debug, Args)]
pub struct Everything {
    /// Where to look
    #[command(flatten)]
    pub place: Place,
}

/// `windows`
#[derive(Debug, Args)]
pub struct Windows {
    /// Only windows that end before this instant
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub closing_before: Option<Timestamp>,
    /// As of when
    #[command(flatten)]
    pub as_of: AsOfAll,
    /// Where to look
    #[command(flatten)]
    pub place: Place,
}

/// `migrations`
#[derive(Debug, Args)]
pub struct Migrations {
    /// Only those whose commit or rollback was due and was not seen
    #[arg(long)]
    pub overdue: bool,
    /// As of when
    #[command(flatten)]
    pub as_of: AsOfAll,
    /// Where to look
    #[command(flatten)]
    pub place: Place,
}

/// `quarantine`
#[derive(Debug, Subcommand)]
pub enum Quarantine {
    /// Everything that was refused
    #[command(after_help = QUARANTINE_LIST)]
    List(Everything),
    /// One refused event as it was kept
    #[command(after_help = QUARANTINE_SHOW)]
    Show(QuarantineShow),
    /// Feed a refused event through again, after a fix
    #[command(after_help = QUARANTINE_RETRY)]
    Retry(QuarantineRetry),
}

/// `quarantine show`
#[derive(Debug, Args)]
pub struct QuarantineShow {
    /// Which: its item, or where it is from, as `list` prints them
    #[arg(value_name = "ITEM")]
    pub item: parse::ItemName,
    /// Where to look
    #[command(flatten)]
    pub place: Place,
}

/// `quarantine retry`
#[derive(Debug, Args)]
pub struct QuarantineRetry {
    /// Which: its item, or where it is from, as `list` prints them
    #[arg(value_name = "ITEM")]
    pub item: parse::ItemName,
    /// Which cluster it is sent to
    #[command(flatten)]
    pub brokers: Brokers,
    /// Where to look
    #[command(flatten)]
    pub place: Place,
}

/// `completions`
#[derive(Debug, Args)]
pub struct Completions {
    /// Which shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

pub(crate) use parse::{Item, ItemName};

#[cfg(test)]
mod tests;
