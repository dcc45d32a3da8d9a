//! Questions about all of history.

use std::path::PathBuf;

use clap::Args;
use ledger_core::ids::AppKey;
use ledger_core::policy::Policy;
use ledger_core::time::Timestamp;

use super::Place;
use super::parse::{app_key, instant, policy};

/// `whatif`
#[derive(Debug, Args)]
pub struct WhatIf {
    /// A policy, as policy-set takes it; repeat it to compare several
    #[arg(long = "policy", value_name = "JSON", value_parser = policy, required = true)]
    pub policies: Vec<Policy>,
    /// Only installations of this app
    #[arg(long, value_name = "APP_KEY", value_parser = app_key)]
    pub app: Option<AppKey>,
    /// Only reinstalls at this instant or later
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub from: Option<Timestamp>,
    /// Only reinstalls before this instant
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub to: Option<Timestamp>,
    /// Write every installation that would be elsewhere to this file, as NDJSON; - is standard output, and
    /// the reports go to standard error
    #[arg(long, value_name = "FILE")]
    pub differences: Option<PathBuf>,
    /// Draw how long apps stay away
    #[arg(long)]
    pub plot: bool,
    /// Draw it as a picture too
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Where to look
    #[command(flatten)]
    pub place: Place,
}

pub(super) const WHATIF: &str = "\
Examples:
  realm-ledger whatif --policy '{\"mode\":\"days\",\"days\":30}'
  realm-ledger whatif --policy '{\"mode\":\"off\"}' --policy '{\"mode\":\"descriptor\"}' --policy '{\"mode\":\"indefinite\"}'
  realm-ledger whatif --policy '{\"mode\":\"subscription\",\"graceDays\":14}' --app com.example.app --differences -
  realm-ledger whatif --policy '{\"mode\":\"days\",\"days\":7}' --from 2026-01-01T00:00:00Z --plot --svg gaps.svg

All of history is folded once more for each policy, beside what was. A difference names the first record after
which an installation would be pinned elsewhere than it was.";
