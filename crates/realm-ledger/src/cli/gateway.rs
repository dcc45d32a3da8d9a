//! The grammar of the gateway.

use std::path::PathBuf;

use clap::Args;

use super::asking::ServerArgs;
use super::parse::unicode_path;

/// `gateway`
#[derive(Debug, Args)]
pub struct GatewayArgs {
    /// Where its journal is kept, in DIR/journal (data_dir)
    #[arg(long, value_name = "DIR", value_parser = unicode_path())]
    pub data_dir: Option<PathBuf>,
    /// host:port of some brokers, separated by commas (kafka.brokers)
    #[arg(long, value_name = "HOST:PORT")]
    pub brokers: Option<String>,
    /// Address that takes hooks (gateway.listen)
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// A running server that is asked which Connect installation a Forge installation goes on from [default: none, so that
    /// such links are left to `lineage`]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// How that server is asked: it takes the scope read.
    #[command(flatten)]
    pub server: ServerArgs,
}
