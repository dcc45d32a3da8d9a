//! The grammar of the commands that ask a ledger, or work on what it answers.
#![expect(clippy::doc_markdown, reason = "comments here are the help texts, shown as they are")]

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ledger_api::decisions::DecisionsFrom;
use ledger_api::query;
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::policy::Policy;
use ledger_core::realm::Realm;
use ledger_core::state::Rule;
use ledger_core::time::Timestamp;
use ledger_store::{KnowledgeBound, ShardId};

use super::parse::{
    self, ItemName, app_id, app_key, client_key, instant, item_name, number, policy, realm, shard,
    unicode_path,
};

/// Where a reading command looks.
#[derive(Debug, Clone, Default, Args)]
pub struct QueryTarget {
    /// Read this data directory, also beside a running server [default: data_dir of the configuration]
    #[arg(long, value_name = "DIR", conflicts_with = "url", value_parser = unicode_path())]
    pub data_dir: Option<PathBuf>,
    /// Ask a running server instead
    #[arg(long, value_name = "URL", value_parser = parse::url)]
    pub url: Option<String>,
    /// How the server is asked.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// How a server is asked.
#[derive(Debug, Clone, Default, Args)]
pub struct ServerArgs {
    /// File with the token that the server asks for; also REALM_LEDGER_TOKEN
    #[arg(long, value_name = "FILE", requires = "url", value_parser = unicode_path())]
    pub token_file: Option<PathBuf>,
    /// File (PEM) with the authorities that an https server is checked by, in place of the public ones; also REALM_LEDGER_CA
    #[arg(long, value_name = "FILE", requires = "url", value_parser = unicode_path())]
    pub ca: Option<PathBuf>,
}

/// `submit`
#[derive(Debug, Args)]
pub struct SubmitArgs {
    /// One native event as a JSON object; - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The running server that publishes it
    #[arg(long, value_name = "URL", value_parser = parse::url)]
    pub url: String,
    /// How the server is asked.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Publish nothing: show every installation that it would change, before and after
    #[arg(long)]
    pub dry_run: bool,
}

/// As of when, for all tenants.
#[derive(Debug, Clone, Default, Args)]
pub struct AsOfArgs {
    /// As it was at this instant [default: now]
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub at: Option<Timestamp>,
    /// As it was known at this instant [default: everything recorded]
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub known_at: Option<Timestamp>,
}

/// As of when, for one tenant.
#[derive(Debug, Clone, Default, Args)]
pub struct TenantAsOfArgs {
    /// As of an instant
    #[command(flatten)]
    pub all: AsOfArgs,
    /// As it was known with this record of the tenant
    #[arg(long, value_name = "N", value_parser = number(0), requires = "client_key", conflicts_with = "known_at")]
    pub known_seq: Option<u64>,
}

impl AsOfArgs {
    /// As a part of a query.
    pub fn to_query(&self) -> query::AsOfAll {
        query::AsOfAll { at: self.at, known_at: self.known_at }
    }
}

impl TenantAsOfArgs {
    /// As a part of a query.
    pub fn to_query(&self) -> query::AsOf {
        let recorded = self.all.known_at.map_or(KnowledgeBound::All, KnowledgeBound::Recorded);
        let known = self.known_seq.map_or(recorded, KnowledgeBound::Seq);
        query::AsOf { at: self.all.at, known, min_position: None }
    }
}

/// `state`
#[derive(Debug, Args)]
pub struct StateArgs {
    /// Only this tenant
    #[arg(value_parser = client_key)]
    pub client_key: Option<ClientKey>,
    /// Only its installation of this app
    #[arg(value_parser = app_key)]
    pub app_key: Option<AppKey>,
    /// As of when
    #[command(flatten)]
    pub as_of: TenantAsOfArgs,
    /// Where to look
    #[command(flatten)]
    pub target: QueryTarget,
}

/// `log`
#[derive(Debug, Args)]
pub struct LogArgs {
    /// The tenant
    #[arg(value_parser = client_key)]
    pub client_key: ClientKey,
    /// Begin with this record
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = number(1))]
    pub from_seq: u64,
    /// At most this many records [default: all]
    #[arg(long, value_name = "N", value_parser = number(1))]
    pub limit: Option<u64>,
    /// What changed in our answer instead: each correction, the answer before and after, and the late event
    #[arg(long, conflicts_with = "from_seq")]
    pub corrections: bool,
    /// Begin with the corrections made at this position of the shard; go on behind the last one printed
    #[arg(long, value_name = "N", requires = "corrections", default_value_t = 0, value_parser = number(0))]
    pub from_position: u64,
    /// As of when: what had happened, and was recorded by then
    #[command(flatten)]
    pub as_of: TenantAsOfArgs,
    /// Where to look
    #[command(flatten)]
    pub target: QueryTarget,
}

/// `decisions`
#[derive(Debug, Args)]
pub struct DecisionsArgs {
    /// Where to begin: begin, now, or a cursor of an earlier run [default: begin]
    #[arg(long, value_name = "CURSOR", value_parser = parse::decisions_from)]
    pub from: Option<DecisionsFrom>,
    /// Go on with those to come, also when the server is restarted, until Ctrl-C
    #[arg(long, requires = "url", conflicts_with = "data_dir")]
    pub follow: bool,
    /// Only of this app
    #[arg(long, value_name = "APP_KEY", value_parser = app_key)]
    pub app: Option<AppKey>,
    /// Only decisions by this rule, such as PERSISTED
    #[arg(long, value_name = "RULE", value_parser = parse::rule)]
    pub rule: Option<Rule>,
    /// Only decisions that moved the installation; with =false only those that did not
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub moved: Option<bool>,
    /// Only decisions in which the platform did not do what the rules say; with =false only the others
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub divergent: Option<bool>,
    /// Only corrections; with =false none
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub corrections: Option<bool>,
    /// At most this many [default: all]
    #[arg(long, value_name = "N", value_parser = number(1))]
    pub limit: Option<u64>,
    /// Where to look
    #[command(flatten)]
    pub target: QueryTarget,
}

/// `lineage`
#[derive(Debug, Args)]
pub struct LineageArgs {
    /// Only what this tenant has a part in
    #[arg(value_parser = client_key)]
    pub client_key: Option<ClientKey>,
    /// Only of this app
    #[arg(long, value_name = "APP_KEY", value_parser = app_key)]
    pub app: Option<AppKey>,
    /// Print the proposals as CSV, with the evidence
    #[arg(long, conflicts_with = "confirm")]
    pub export: bool,
    /// Record a link for every line of an exported file; - is standard input
    #[arg(long, value_name = "FILE", requires_all = ["url", "actor"], conflicts_with_all = ["client_key", "app", "data_dir"])]
    pub confirm: Option<PathBuf>,
    /// Who confirms: recorded with the links
    #[arg(long, value_name = "NAME", requires = "confirm")]
    pub actor: Option<String>,
    /// Where to look
    #[command(flatten)]
    pub target: QueryTarget,
}

/// `search`
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// The beginning of a client key; or a whole site host (or URL), entitlement id or installation id
    pub text: String,
    /// Where to look
    #[command(flatten)]
    pub target: QueryTarget,
}

/// `explain`
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The tenant
    #[arg(value_parser = client_key)]
    pub client_key: ClientKey,
    /// The app
    #[arg(value_parser = app_key)]
    pub app_key: AppKey,
    /// As of when
    #[command(flatten)]
    pub as_of: TenantAsOfArgs,
    /// Where to look
    #[command(flatten)]
    pub target: QueryTarget,
}

/// `preview`
#[derive(Debug, Args)]
pub struct PreviewArgs {
    /// The tenant
    #[arg(value_parser = client_key)]
    pub client_key: ClientKey,
    /// The app
    #[arg(value_parser = app_key)]
    pub app_key: AppKey,
    /// If the product were in this realm [default: where it is known to be]
    #[arg(long, value_name = "REALM", value_parser = realm)]
    pub product_realm: Option<Realm>,
    /// If it happened then
    #[command(flatten)]
    pub as_of: TenantAsOfArgs,
    /// Where to look
    #[command(flatten)]
    pub target: QueryTarget,
}

/// A list over all installations, as of an instant.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// As of when
    #[command(flatten)]
    pub as_of: AsOfArgs,
    /// Where to look
    #[command(flatten)]
    pub target: QueryTarget,
}

/// `windows`
#[derive(Debug, Args)]
pub struct WindowsArgs {
    /// Only windows that end before this instant
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub closing_before: Option<Timestamp>,
    /// As of when, and where to look
    #[command(flatten)]
    pub list: ListArgs,
}

/// `migrations`
#[derive(Debug, Args)]
pub struct MigrationsArgs {
    /// Only those whose commit or rollback was due and was not seen
    #[arg(long)]
    pub overdue: bool,
    /// As of when, and where to look
    #[command(flatten)]
    pub list: ListArgs,
}

/// `quarantine`
#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// Everything that was refused
    List(QueryTarget),
    /// One refused event as it was kept
    Show(QuarantineShow),
    /// Feed a refused event through again, after a fix
    Retry(QuarantineRetry),
}

/// `quarantine show`
#[derive(Debug, Args)]
pub struct QuarantineShow {
    /// Which: its item, or where it is from, as `list` prints them
    #[arg(value_name = "ITEM", value_parser = item_name)]
    pub item: ItemName,
    /// Where to look
    #[command(flatten)]
    pub target: QueryTarget,
}

/// `quarantine retry`
#[derive(Debug, Args)]
pub struct QuarantineRetry {
    /// Which: its item, or where it is from, as `list` prints them
    #[arg(value_name = "ITEM", value_parser = item_name)]
    pub item: ItemName,
    /// host:port of some brokers, separated by commas (kafka.brokers): it is sent to them from here, and not by a server
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "url")]
    pub brokers: Option<String>,
    /// Publish nothing; print what it would change
    #[arg(long, requires = "url")]
    pub dry_run: bool,
    /// Where to look
    #[command(flatten)]
    pub target: QueryTarget,
}

/// `whatif`
#[derive(Debug, Args)]
pub struct WhatIfArgs {
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
    pub target: QueryTarget,
}

/// `replay`
#[derive(Debug, Args)]
pub struct ReplayArgs {
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
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = number(0))]
    pub from_position: u64,
    /// Where to look
    #[command(flatten)]
    pub target: QueryTarget,
}

/// `reconcile`
#[derive(Debug, Args)]
pub struct ReconcileArgs {
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
    pub as_of: AsOfArgs,
    /// Where to look
    #[command(flatten)]
    pub target: QueryTarget,
}
