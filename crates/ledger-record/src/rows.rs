//! What is stored besides the log: projections that can be built anew from it, and where the shard stands.

use ledger_core::tenant::Tenant;
use ledger_core::time::Timestamp;

/// A tenant as the fold left it, and the head of its stream. Projection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TenantRow {
    /// Seq of the last record.
    pub seq: u64,
    /// Position of the last record.
    pub position: u64,
    /// The folded tenant.
    pub tenant: Tenant,
}

/// Where an app-level stream stands in this shard. Projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AppRow {
    /// Seq of the last app-level record, 0 for none.
    pub seq: u64,
    /// How many installations of the app the shard has.
    pub installations: u64,
    /// The latest event time in the effective order of any of them, app-level events aside.
    pub latest: Option<Timestamp>,
}

/// Where the shard stands: written in every batch, in the same write as the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShardHead {
    /// Position that the next record gets.
    pub next_position: u64,
    /// Recorded time of the last event; the next is at least this.
    pub recorded: Option<Timestamp>,
    /// Refused messages so far: the seq of the rejected stream.
    pub refused: u64,
    /// Repeated events so far.
    pub duplicates: u64,
}

/// How far a source was read: written in the same write as the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourcePosition {
    /// A Kafka partition.
    Kafka {
        /// The next offset to read.
        next_offset: u64,
        /// Leader epoch of the last message, where Kafka told it.
        leader_epoch: Option<i32>,
    },
    /// An imported file.
    Import {
        /// Lines taken.
        lines: u64,
        /// SHA-256 of the lines taken, each with its line end.
        sha256: [u8; 32],
    },
}
