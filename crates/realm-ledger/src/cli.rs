//! The grammar of the command line.
//!
//! Names and flags here are a promise to users. Every command that reads takes `--data-dir` or `--url`, with
//! the same answer.
#![expect(clippy::doc_markdown, reason = "comments here are the help texts, shown as they are")]

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use ledger_core::ids::AppKey;

mod asking;
mod audit;
mod gateway;
mod keeping;
mod parse;
mod token;

pub(crate) use asking::{
    DecisionsArgs, ExplainArgs, LineageArgs, ListArgs, LogArgs, MigrationsArgs, PreviewArgs,
    QuarantineCommand, QuarantineRetry, QuarantineShow, QueryTarget, ReconcileArgs, ReplayArgs, SearchArgs,
    ServerArgs, StateArgs, SubmitArgs, WhatIfArgs, WindowsArgs,
};
pub(crate) use audit::{
    CheckpointArgs, DataDirArg, Export, KeysCommand, KeysGenerate, KeysRetire, KeysShow, Prove, Rebuild,
    RefillArgs, Verify,
};
pub(crate) use gateway::GatewayArgs;
pub(crate) use keeping::{BackupArgs, RestoreArgs};
use parse::unicode_path;
pub(crate) use parse::{ItemName, QuarantineItem, STORE_SCHEME};
pub(crate) use token::{TokenCommand, TokenCreate};

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

/// How each command is used: sections that begin with `== ` and the command.
const EXAMPLES: &str = include_str!("cli/examples.txt");

impl Cli {
    /// Reads a command line, which begins with the name of the program.
    pub fn from_args(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let matches = Self::grammar().try_get_matches_from(args)?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut Self::command()))
    }

    /// The grammar, with the examples below the help of each command.
    fn grammar() -> clap::Command {
        EXAMPLES.split("\n== ").skip(1).fold(Self::command(), |grammar, section| {
            let (command, text) = section.split_once('\n').unwrap_or_default();
            with_examples(grammar, &command.split(' ').collect::<Vec<_>>(), text.trim_end())
        })
    }
}

fn with_examples(command: clap::Command, path: &[&'static str], text: &'static str) -> clap::Command {
    match path {
        [] => command.after_help(text),
        [first, rest @ ..] => command.mut_subcommand(first, |below| with_examples(below, rest, text)),
    }
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Configuration file (TOML); also REALM_LEDGER_CONFIG
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How data is printed; a table on a terminal, else JSON, one object a line
    #[arg(long, global = true, value_enum)]
    pub format: Option<GivenFormat>,
    /// More logs on stderr; twice for even more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// JSON, one object a line.
    Json,
    /// For people.
    Table,
}

/// What `--format` takes: how data is printed and, at `import`, what the file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GivenFormat {
    /// JSON, one object a line.
    Json,
    /// For people.
    Table,
    /// Native events.
    #[value(hide = true)]
    Native,
    /// The audit log of Forge's developer console, as CSV.
    #[value(hide = true)]
    ForgeAuditLog,
    /// A table of installations, as CSV.
    #[value(hide = true)]
    Installations,
}

impl GivenFormat {
    /// How data is printed; none: it is the form of a file.
    pub(crate) fn output(self) -> Option<Format> {
        match self {
            Self::Json => Some(Format::Json),
            Self::Table => Some(Format::Table),
            Self::Native | Self::ForgeAuditLog | Self::Installations => None,
        }
    }
}

/// Everything the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the ledger: Kafka to log to answers over HTTP, until SIGTERM
    Serve(Serve),
    /// Take the hooks of apps and send them on to Kafka, without a ledger beside it
    Gateway(GatewayArgs),
    /// See it work: everything in one process, with a sample stream
    Demo(Demo),
    /// Append events from a file, without Kafka
    Import(Import),
    /// Create or check the Kafka topics
    #[command(subcommand)]
    Topics(Topics),
    /// Show or check the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Send events from a file to Kafka
    Publish(Publish),
    /// The state of installations, now or as of an instant
    State(StateArgs),
    /// What was recorded for a tenant, and what each record changed
    Log(LogArgs),
    /// Why an installation is where it is, in plain sentences
    Explain(ExplainArgs),
    /// The decision that an install would get now
    Preview(PreviewArgs),
    /// Installations whose realm is not where their product is
    Drift(ListArgs),
    /// Installations with an open persistence window, by its end
    Windows(WindowsArgs),
    /// Installations whose data rests elsewhere than their realm
    SplitBrain(ListArgs),
    /// Installations with anomalies
    Anomalies(ListArgs),
    /// Installations with a pending migration
    Migrations(MigrationsArgs),
    /// Which installation goes on from which: recorded links, and proposed ones
    Lineage(LineageArgs),
    /// Tenants by the beginning of the key, by site, entitlement id or installation id
    Search(SearchArgs),
    /// Decisions and corrections as they are published: those so far, and those to come
    Decisions(DecisionsArgs),
    /// What another policy would have meant for the reinstalls so far
    Whatif(WhatIfArgs),
    /// Records once more, each with what was believed after it, for audits
    Replay(ReplayArgs),
    /// Compare a list of your own with the ledger
    Reconcile(ReconcileArgs),
    /// Build the projections anew from the log and compare
    Rebuild(Rebuild),
    /// A new data directory from an old one's records, each tenant whole where its producer puts it
    Refill(RefillArgs),
    /// Refused events: what, why, and once more
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// The last signed checkpoint of each log
    Checkpoint(CheckpointArgs),
    /// The keys that sign checkpoints
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Write a bundle: one tenant's whole history, to be checked by others
    Prove(Prove),
    /// Hand out everything: logs for mirrors and monitors, or records
    Export(Export),
    /// Check a data directory, or alone and offline what was handed out
    Verify(Verify),
    /// Act on the ledger: one event of an operator, through a running server to its topic
    Submit(SubmitArgs),
    /// Make a backup of a data directory or of a running server, or check one
    Backup(BackupArgs),
    /// Make a data directory from a backup
    Restore(RestoreArgs),
    /// Tokens for those who ask a server
    #[command(subcommand)]
    Token(TokenCommand),
    /// Completions for a shell
    Completions(Completions),
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
    /// Without Kafka: the journal in the data directory is the source
    #[arg(long, conflicts_with = "brokers")]
    pub local: bool,
    /// Partitions of a new data directory without Kafka [default: 1]
    #[arg(long, value_name = "N", requires = "local", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub partitions: Option<u32>,
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
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Import {
    /// What --format says, plain or as gzip or zstd; - is standard input. native (the default): events, one JSON object a
    /// line; forge-audit-log: the CSV of Forge's developer console; installations: a CSV table of your own
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
    /// Take this app id of an audit log for this app key, where they are not the same; may be repeated
    #[arg(long = "app-id", value_name = "ID=APP_KEY", value_parser = parse::app_id)]
    pub app_ids: Vec<(String, AppKey)>,
    /// Through the journal of a ledger without Kafka, which is made if it is not there; where it is, files go that way
    #[arg(long, conflicts_with_all = ["brokers", "source", "topic"])]
    pub local: bool,
    /// Import the file also when more than 1 % of its first 10,000 lines are refused
    #[arg(long)]
    pub accept_refusals: bool,
    /// How the topic's producers place client keys
    #[command(flatten)]
    pub placing: PartitionerArg,
    /// Where that can be learnt from the topic
    #[command(flatten)]
    pub brokers: Brokers,
}

/// How client keys are placed.
#[derive(Debug, Clone, Default, Args)]
pub struct PartitionerArg {
    /// How the topic's producers place client keys (kafka.partitioner): auto, murmur2 (Java), crc32 (librdkafka,
    /// confluent-kafka), fnv1a (Sarama), or a name of librdkafka
    #[arg(long, value_name = "NAME")]
    pub partitioner: Option<String>,
}

/// `topics`
#[derive(Debug, Subcommand)]
pub enum Topics {
    /// Create the topics that are missing, with the settings they need
    Create(TopicsCreate),
    /// Compare the topics with what they should be; exit 3 if one differs
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
    Show,
    /// Whether the configuration can be used; exit 1 if not
    Check,
}

/// `publish`
#[derive(Debug, Args)]
pub struct Publish {
    /// Native events, one JSON object a line, plain or as gzip or zstd; - is standard input
    #[arg(value_name = "FILE", required_unless_present_any = ["tick", "missing_copies", "journal"])]
    pub file: Option<PathBuf>,
    /// Send a tick to every partition instead, which seals what is unsealed there
    #[arg(long, conflicts_with = "file")]
    pub tick: bool,
    /// Send instead the app-level events that a partition has, to those that lack them
    #[arg(long, conflicts_with_all = ["file", "tick"])]
    pub missing_copies: bool,
    /// Send instead what a journal has that was not sent yet, with its ids and times; DIR is the journal or the data
    /// directory that it is in
    #[arg(long, value_name = "DIR", conflicts_with_all = ["file", "tick", "missing_copies"], value_parser = unicode_path())]
    pub journal: Option<PathBuf>,
    /// Publish all of the journal, whatever was published: to another topic than before, or to one that was made anew
    #[arg(long, requires = "journal")]
    pub again: bool,
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
    pub placing: PartitionerArg,
}

/// `completions`
#[derive(Debug, Args)]
pub struct Completions {
    /// Which shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests;
