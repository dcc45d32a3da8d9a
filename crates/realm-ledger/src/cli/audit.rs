//! The grammar of keys, checkpoints, proofs, exports and verification, and of what works on a whole data directory.
#![expect(clippy::doc_markdown, reason = "comments here are the help texts, shown as they are")]

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_record::proof::note::VerifierKey;
use ledger_store::{Partitioner, ShardId};

use super::QueryTarget;
use super::parse::{self, unicode_path};

/// `prove`
#[derive(Debug, Args)]
pub struct Prove {
    /// The tenant
    #[arg(value_parser = parse::client_key)]
    pub client_key: ClientKey,
    /// Show what records of this app say, and of no other
    #[arg(long, value_name = "APP_KEY", value_parser = parse::app_key)]
    pub app: Option<AppKey>,
    /// Size of a checkpoint that the reader keeps: the bundle goes on from there
    #[arg(long, value_name = "SIZE", value_parser = parse::number(0))]
    pub pinned: Option<u64>,
    /// Partition whose log is asked [default: the one that has the tenant]
    #[arg(long, value_name = "N")]
    pub partition: Option<u32>,
    /// Topic of that partition, where several have it
    #[arg(long, value_name = "TOPIC", requires = "partition")]
    pub topic: Option<String>,
    /// Where the bundle is written [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Where to look
    #[command(flatten)]
    pub target: QueryTarget,
}

/// `export`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("form").args(["tlog", "ndjson"]).required(true))]
pub struct Export {
    /// Every log as C2SP tiles, each in TOPIC/PARTITION of this directory
    #[arg(long, value_name = "DIR")]
    pub tlog: Option<PathBuf>,
    /// Every record as JSON, one a line, on standard output
    #[arg(long)]
    pub ndjson: bool,
    /// Where the ledger is kept (data_dir)
    #[arg(long, value_name = "DIR", value_parser = unicode_path())]
    pub data_dir: Option<PathBuf>,
}

/// `verify`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("target").args(["data_dir", "bundle", "tlog"]))]
pub struct Verify {
    /// Everything in this data directory [default: data_dir of the configuration]
    #[arg(long, value_name = "DIR", value_parser = unicode_path())]
    pub data_dir: Option<PathBuf>,
    /// A bundle, as `prove` writes it; - is standard input
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// A whole log, as `export --tlog` writes it
    #[arg(long, value_name = "DIR")]
    pub tlog: Option<PathBuf>,
    /// The ledger's verifier key, NAME+ID+BASE64; again for each key that is trusted
    #[arg(long = "key", value_name = "VKEY", value_parser = VerifierKey::parse)]
    pub keys: Vec<VerifierKey>,
    /// A signed checkpoint that you kept: the log must go on from it
    #[arg(long, value_name = "FILE")]
    pub pinned: Option<PathBuf>,
    /// Whose history you asked for: a bundle of anyone else is refused
    #[arg(long, value_name = "CLIENT_KEY", value_parser = parse::client_key)]
    #[arg(requires = "bundle", conflicts_with_all = ["tlog", "data_dir"])]
    pub client: Option<ClientKey>,
}

/// `rebuild`
#[derive(Debug, Args)]
pub struct Rebuild {
    /// Where the ledger is kept (data_dir); no server may run on it
    #[arg(long, value_name = "DIR", value_parser = unicode_path())]
    pub data_dir: Option<PathBuf>,
    /// Only compare: what differs is left as it is
    #[arg(long)]
    pub check: bool,
}

/// `refill`
#[derive(Debug, Args)]
pub struct RefillArgs {
    /// The old data directory; no server may run on it, and nothing in it is changed
    #[arg(long, value_name = "OLD", value_parser = unicode_path())]
    pub from: PathBuf,
    /// The new one, empty or not there yet (data_dir)
    #[arg(long, value_name = "NEW", value_parser = unicode_path())]
    pub data_dir: PathBuf,
    /// How the live producers place keys: murmur2, crc32 or fnv1a [default: as the old records from Kafka show]
    #[arg(long, value_name = "NAME", value_parser = parse::partitioner)]
    pub partitioner: Option<Partitioner>,
    /// What the new logs are named, in place of evidence.origin [default: as the old ones, and ~2]
    #[arg(long, value_name = "NAME")]
    pub origin: Option<String>,
}

/// `keys`
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make the key that signs checkpoints
    Generate(KeysGenerate),
    /// The verifier keys that partners check with, one for each log
    Show(KeysShow),
    /// Take a key away; the others go on signing
    Retire(KeysRetire),
}

/// Whose keys.
#[derive(Debug, Clone, Default, Args)]
pub struct DataDirArg {
    /// Of the ledger that is kept here (data_dir); see evidence.keys_dir
    #[arg(long, value_name = "DIR", value_parser = super::parse::unicode_path())]
    pub data_dir: Option<PathBuf>,
}

/// `keys generate`
#[derive(Debug, Args)]
pub struct KeysGenerate {
    /// Whose keys
    #[command(flatten)]
    pub of: DataDirArg,
    /// Another key, which signs beside those that are there
    #[arg(long)]
    pub add: bool,
}

/// `keys show`
#[derive(Debug, Args)]
pub struct KeysShow {
    /// Whose keys
    #[command(flatten)]
    pub of: DataDirArg,
    /// Of this log only, whether or not it is here
    #[arg(long, value_name = "ORIGIN", conflicts_with = "partition")]
    pub origin: Option<String>,
    /// Of this partition only [default: all that the data directory knows, or 0]
    #[arg(long, value_name = "N")]
    pub partition: Option<u32>,
}

/// `keys retire`
#[derive(Debug, Args)]
pub struct KeysRetire {
    /// Which, as `keys show` prints it
    #[arg(value_name = "KEY")]
    pub key: String,
    /// Whose keys
    #[command(flatten)]
    pub of: DataDirArg,
}

/// `checkpoint`
#[derive(Debug, Args)]
pub struct CheckpointArgs {
    /// Print the bare note of this log, to be kept and compared later
    #[arg(value_name = "TOPIC/PARTITION", value_parser = parse::shard)]
    pub shard: Option<ShardId>,
    /// Where to look
    #[command(flatten)]
    pub target: QueryTarget,
}
