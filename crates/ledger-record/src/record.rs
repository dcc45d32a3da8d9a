//! One record of the log: an event, or a refusal, and what the ledger said when it was appended.

use ledger_core::event::Event;
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::tenant::Outcome;
use ledger_core::time::Timestamp;

use crate::rejection::Refused;

/// The rule set that new outcomes are derived by (`rules/1`).
pub const RULES: u16 = 1;

/// Whose log a record belongs to. The numbers are the stream kinds of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Kind 1: a tenant.
    Tenant(ClientKey),
    /// Kind 2: the app-level events of an app, in this shard.
    App(AppKey),
    /// Kind 3: the refused input of the shard.
    Rejected,
}

/// Where a message came from: `realm.lifecycle/7/884213`, or `import:history.ndjson/0/12` (the line, from 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coordinates {
    /// Topic, or `import:<NAME>`.
    pub source: String,
    /// Partition of the source; of the shard for imports.
    pub partition: u32,
    /// Kafka offset, or line number from 1.
    pub offset: u64,
}

/// A stored record. Never changed once written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Dense in the shard, from 0: arrival order.
    pub position: u64,
    /// Whose log.
    pub stream: Stream,
    /// Dense in the stream, from 1.
    pub seq: u64,
    /// Where it came from.
    pub source: Coordinates,
    /// When the source recorded it; never decreases within the shard.
    pub recorded: Timestamp,
    /// The rule set of the outcome.
    pub rules: u16,
    /// What it says.
    pub content: Content,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// An event that counts.
    Event {
        /// What happened.
        event: Event,
        /// Its time was taken from the source's record, so it does not count when repeats are told from conflicts.
        time_defaulted: bool,
        /// What it changed, as derived at append. For a late app-level event the changes stand beside the
        /// record ([`crate::key::CorrectionKey`]), as they may concern every tenant of the app.
        outcome: Outcome,
    },
    /// A message that was refused.
    Refused(Refused),
}
