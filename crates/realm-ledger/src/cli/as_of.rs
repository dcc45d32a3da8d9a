//! "What was true then", and "what did we believe then" (rules 2.4).

use clap::Args;
use ledger_api::query;
use ledger_core::time::Timestamp;
use ledger_store::KnowledgeBound;

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
    pub fn asked(&self) -> query::AsOfAll {
        query::AsOfAll { at: self.at, known_at: self.known_at }
    }
}

impl AsOfTenant {
    /// As it is asked.
    pub fn asked(&self) -> query::AsOf {
        let recorded = self.all.known_at.map_or(KnowledgeBound::All, KnowledgeBound::Recorded);
        let known = self.known_seq.map_or(recorded, KnowledgeBound::Seq);
        query::AsOf { at: self.all.at, known, min_position: None }
    }
}
