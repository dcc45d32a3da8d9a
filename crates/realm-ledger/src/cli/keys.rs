//! The grammar of `keys` and `checkpoint`.
#![expect(clippy::doc_markdown, reason = "comments here are the help texts, shown as they are")]

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ledger_store::ShardId;

use super::{Place, parse};

/// `keys`
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make the key that signs checkpoints
    #[command(after_help = GENERATE)]
    Generate(KeysGenerate),
    /// The verifier keys that partners check with, one for each log
    #[command(after_help = SHOW)]
    Show(KeysShow),
    /// Take a key away; the others go on signing
    #[command(after_help = RETIRE)]
    Retire(KeysRetire),
}

/// Whose keys.
#[derive(Debug, Clone, Default, Args)]
pub struct KeysOf {
    /// Of the ledger that is kept here (data_dir); see evidence.keys_dir
    #[arg(long, value_name = "DIR", value_parser = super::parse::unicode_path())]
    pub data_dir: Option<PathBuf>,
}

/// `keys generate`
#[derive(Debug, Args)]
pub struct KeysGenerate {
    /// Whose keys
    #[command(flatten)]
    pub of: KeysOf,
    /// Another key, which signs beside those that are there
    #[arg(long)]
    pub add: bool,
}

/// `keys show`
#[derive(Debug, Args)]
pub struct KeysShow {
    /// Whose keys
    #[command(flatten)]
    pub of: KeysOf,
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
    pub of: KeysOf,
}

/// `checkpoint`
#[derive(Debug, Args)]
pub struct Checkpoint {
    /// Print the bare note of this log, to be kept and compared later
    #[arg(value_name = "TOPIC/PARTITION", value_parser = parse::shard)]
    pub shard: Option<ShardId>,
    /// Where to look
    #[command(flatten)]
    pub place: Place,
}

pub(super) const CHECKPOINT: &str = "\
Examples:
  realm-ledger checkpoint --url http://localhost:8080
  realm-ledger checkpoint realm.lifecycle/7 > pinned.note

A server tells what is signed by now; beside a data directory it is what this machine signed or saw last.";
const GENERATE: &str = "\
Examples:
  realm-ledger keys generate --data-dir /var/lib/realm-ledger
  realm-ledger keys generate --add

A new ledger makes its first key by itself. To change a key: add one, restart `serve` so that both sign, tell
everybody the new verifier keys, retire the old one, restart again. Keep copies of the directory of keys, apart
from backups of the data: without it nothing more can be signed under the same origins.";
const SHOW: &str = "\
Examples:
  realm-ledger keys show --data-dir /var/lib/realm-ledger
  realm-ledger keys show --partition 7
  realm-ledger keys show --origin ledger.example.com/realm.lifecycle/7";
const RETIRE: &str = "\
Example:
  realm-ledger keys retire \"$OLD_KEY\" --data-dir /var/lib/realm-ledger

Restart `serve` afterwards: until then it signs with the key that it read.";
