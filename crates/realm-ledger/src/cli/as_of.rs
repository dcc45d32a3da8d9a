//! "What was true then", and "what did we believe then" (rules 2.4).

use clap::Args;
use ledger_api::query::AsOf;
use ledger_core::time::Timestamp;
use ledger_store::Known;

use super::parse::instant;

/// As of when, for all tenants.
#[derive(Debug, Clone, Default, Args)]
pub struct AsOfAll {
    /// As it was at this instant [default: now]
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub at: Option<Timestamp>,
    /// As it was known at this instant [default: everything recorded]
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub known_at: Option<Timestamp>,
}

/// As of when, for one tenant.
#[derive(Debug, Clone, Default, Args)]
pub struct AsOfTenant {
    /// As of an instant
    #[command(flatten)]
    pub all: AsOfAll,
    /// As it was known with this record of the tenant
    #[arg(long, value_name = "N", requires = "client_key", conflicts_with = "known_at")]
    pub known_seq: Option<u64>,
}

impl AsOfAll {
    /// As it is asked.
    pub fn asked(&self) -> AsOf {
        AsOf { at: self.at, known: self.known_at.map_or(Known::All, Known::Recorded) }
    }
}

impl AsOfTenant {
    /// As it is asked.
    pub fn asked(&self) -> AsOf {
        let all = self.all.asked();
        AsOf { known: self.known_seq.map_or(all.known, Known::Seq), ..all }
    }
}
