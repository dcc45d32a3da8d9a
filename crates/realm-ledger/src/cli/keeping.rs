//! The grammar of backups.
#![expect(clippy::doc_markdown, reason = "comments here are the help texts, shown as they are")]

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use super::asking::ServerArgs;
use super::parse::{self, unicode_path};

/// `backup`
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Where the generations are kept; neither in the data directory nor around it. With --verify also s3://BUCKET/PREFIX
    #[arg(value_name = "DIR", value_parser = unicode_path(), required_unless_present = "url", conflicts_with = "url")]
    pub dir: Option<PathBuf>,
    /// Of this data directory, on which no server runs [default: data_dir of the configuration]
    #[arg(long, value_name = "DATA", conflicts_with = "url", value_parser = unicode_path())]
    pub data_dir: Option<PathBuf>,
    /// Let a running server make it, in backup.dir of its own configuration
    #[arg(long, value_name = "URL", value_parser = parse::url)]
    pub url: Option<String>,
    /// How the server is asked.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Afterwards keep so many generations, the newest, and what they need
    #[arg(long, value_name = "N")]
    pub keep: Option<NonZeroUsize>,
    /// Afterwards copy the newest generation of DIR to an S3-compatible store, s3://BUCKET/PREFIX; AWS_ACCESS_KEY_ID,
    /// AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL and AWS_CA_BUNDLE say how
    #[arg(long, value_name = "S3", conflicts_with = "url", value_parser = parse::store)]
    pub to: Option<String>,
    /// Make none: only copy what DIR has, as a server with backup.dir made it
    #[arg(long, requires = "to", conflicts_with_all = ["data_dir", "verify"])]
    pub copy_only: bool,
    /// Make none: read everything that is kept in DIR, and compare; exit 3 if a byte differs
    #[arg(long, conflicts_with_all = ["url", "keep", "data_dir", "to"])]
    pub verify: bool,
}

/// `restore`
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// Where the generations are kept: a directory, or s3://BUCKET/PREFIX (see `backup --to`)
    #[arg(value_name = "DIR", value_parser = unicode_path())]
    pub dir: PathBuf,
    /// The data directory that is made, empty or not there yet (data_dir)
    #[arg(long, value_name = "EMPTY", value_parser = unicode_path())]
    pub data_dir: PathBuf,
    /// This one [default: the newest]
    #[arg(long, value_name = "N")]
    pub generation: Option<u64>,
}
