//! Questions about all of history.

use std::path::PathBuf;

use clap::Args;
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::policy::Policy;
use ledger_core::time::Timestamp;
use ledger_store::ShardId;

use super::parse::{app_id, app_key, client_key, instant, policy, shard};
use super::{AsOfAll, Place};

/// `whatif`
#[derive(Debug, Args)]
pub struct WhatIf {
    /// A policy, as policy-set takes it; repeat it to compare up to 32
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
    /// Write every installation of which the realm, the rule of its last decision or the end of its window would
    /// be otherwise to this file, as NDJSON; - is standard output, and the reports go to standard error
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

/// `replay`
#[derive(Debug, Args)]
pub struct Replay {
    /// Only this tenant
    #[arg(value_parser = client_key)]
    pub client_key: Option<ClientKey>,
    /// Only what concerns installations of this app
    #[arg(long, value_name = "APP_KEY", value_parser = app_key)]
    pub app: Option<AppKey>,
    /// Only this shard
    #[arg(long, value_name = "TOPIC/PARTITION", value_parser = shard)]
    pub shard: Option<ShardId>,
    /// Only what happened at this instant or later
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub from: Option<Timestamp>,
    /// Only what happened before this instant
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub to: Option<Timestamp>,
    /// Begin with this position of the shard
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub from_position: u64,
    /// Where to look
    #[command(flatten)]
    pub place: Place,
}

/// `reconcile`
#[derive(Debug, Args)]
pub struct Reconcile {
    /// The list: CSV or NDJSON with clientKey, appKey, realm, or an audit log of Forge's developer console;
    /// - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Only installations of this app
    #[arg(long, value_name = "APP_KEY", value_parser = app_key)]
    pub app: Option<AppKey>,
    /// Take this app id of an audit log for this app key, where they are not the same; may be repeated
    #[arg(long = "app-id", value_name = "ID=APP_KEY", value_parser = app_id)]
    pub app_ids: Vec<(String, AppKey)>,
    /// Print all agreements, not only those about what is uninstalled
    #[arg(long)]
    pub all: bool,
    /// As of when
    #[command(flatten)]
    pub as_of: AsOfAll,
    /// Where to look
    #[command(flatten)]
    pub place: Place,
}

pub(super) const REPLAY: &str = "\
Examples:
  realm-ledger replay acme.atlassian.net
  realm-ledger replay --app com.example.app --from 2026-03-01T00:00:00Z --to 2026-04-01T00:00:00Z
  realm-ledger replay --shard realm.lifecycle/3 --from-position 120000 --url http://localhost:8080

Records come in the order in which they were recorded, shard after shard, each with the states that it left, as
they were believed then. To go on later, begin with the position after the last one.";
pub(super) const RECONCILE: &str = "\
Examples:
  realm-ledger reconcile ours.csv
  psql -c 'copy (select …) to stdout csv header' | realm-ledger reconcile - --app com.example.app
  realm-ledger reconcile forge-audit-log.csv --app com.example.app --at 2026-03-01T00:00:00Z
  realm-ledger reconcile forge-audit-log.csv --app-id ari:cloud:ecosystem::app/4f0c=com.example.app

CSV has a header with clientKey, appKey and realm, in any order; NDJSON has these members. In an audit log of
Forge a site is the client key, an app id the app key, and the last event of each tells the realm. Where the app
key is another one (that of a Connect app, say), --app-id says whose id it is; --app takes the id for that app
where the log has no other.

Verdicts: AGREES, DIFFERS (exit 3), UNKNOWN_TO_LEDGER (nothing is recorded of it), REALM_UNKNOWN (recorded, but
nothing says where it is), UNKNOWN_TO_LIST, COULD_NOT_BE_ASKED (exit 1: the tenant is in two partitions, or in one
that was not asked). Each comes with the records it rests on.";
pub(super) const WHATIF: &str = "\
Examples:
  realm-ledger whatif --policy '{\"mode\":\"days\",\"days\":30}'
  realm-ledger whatif --policy '{\"mode\":\"off\"}' --policy '{\"mode\":\"descriptor\"}' --policy '{\"mode\":\"indefinite\"}'
  realm-ledger whatif --policy '{\"mode\":\"subscription\",\"graceDays\":14}' --app com.example.app --differences -
  realm-ledger whatif --policy '{\"mode\":\"days\",\"days\":7}' --from 2026-01-01T00:00:00Z --plot --svg gaps.svg

A policy with a field that its mode does not have is refused, unlike in an event: nobody knows what was meant.

All of history is folded once more for each policy, beside what was. A difference names the first record after
which an installation would be pinned elsewhere (\"pin\"), would have been decided by another rule (\"rule\"), or
would have another window (\"window\") than it has.";
