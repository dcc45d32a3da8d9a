//! The grammar of tokens.

use clap::{Args, Subcommand, ValueEnum};
use ledger_api::access::AccessScope;
use ledger_core::ids::AppKey;
use ledger_core::time::Timestamp;

use super::parse;

/// `token`
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token: it is printed once, with the lines that let the server know it
    Create(TokenCreate),
}

/// `token create`
#[derive(Debug, Args)]
pub struct TokenCreate {
    /// Who will have it, as logs and the actor of commands name it
    #[arg(value_name = "NAME", value_parser = parse::principal_name)]
    pub name: String,
    /// What it may ask; several times for several
    #[arg(long, value_name = "SCOPE", value_enum, required = true)]
    pub scope: Vec<GivenScope>,
    /// The app whose installations it sees; several times for several
    #[arg(long, value_name = "APP_KEY", value_parser = parse::app_key, required_unless_present = "all_apps")]
    pub app: Vec<AppKey>,
    /// It sees all apps
    #[arg(long, conflicts_with = "app")]
    pub all_apps: bool,
    /// From then on it is refused
    #[arg(long, value_name = "TIME", value_parser = parse::instant)]
    pub expires: Option<Timestamp>,
}

/// A scope, as it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GivenScope {
    /// State, lists, explanation, preview, what-if, decisions
    Read,
    /// Log, replay, corrections, proofs, checkpoints, quarantine
    Audit,
    /// Commands, quarantine retry, backups; read and audit too
    Operate,
    /// The gateway for hooks
    Hooks,
}

impl From<GivenScope> for AccessScope {
    fn from(given: GivenScope) -> Self {
        match given {
            GivenScope::Read => Self::Read,
            GivenScope::Audit => Self::Audit,
            GivenScope::Operate => Self::Operate,
            GivenScope::Hooks => Self::Hooks,
        }
    }
}
