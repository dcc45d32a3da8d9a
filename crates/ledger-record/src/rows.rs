//! What is stored besides the log: projections that can be built anew from it, and where the shard stands.
//!
//! Every row is one value of its own ([`crate::codec`]), read and written as a whole.

use ledger_core::tenant::{Change, Tenant};
use ledger_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::codec::{self, DecodeError, ValueReader};
use crate::hash::raw;

/// A tenant as the fold left it, and the head of its stream. Projection.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TenantRow {
    /// Seq of the last record.
    pub seq: u64,
    /// Position of the last record.
    pub position: u64,
    /// The folded tenant.
    pub tenant: Tenant,
}

/// Where an app-level stream stands in this shard. Projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AppRow {
    /// Seq of the last app-level record, 0 for none.
    pub seq: u64,
    /// How many installations of the app the shard has.
    pub installations: u64,
    /// The latest event time in the effective order of any of them, app-level events aside.
    pub latest: Option<Timestamp>,
}

/// Where the shard stands: written in every batch, in the same write as the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ShardHead {
    /// Position that the next record gets.
    pub next_position: u64,
    /// Recorded time of the last event; the next is at least this.
    pub recorded: Option<Timestamp>,
    /// Refused messages so far: the seq of the rejected stream.
    pub refused: u64,
    /// Repeated events so far.
    pub duplicates: u64,
    /// The most that a tenant's event was ahead of the time it was recorded, in milliseconds: what was
    /// recorded longer before an instant than that, also happened before it.
    pub ahead_ms: i64,
}

/// How far a source was read: written in the same write as the records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
        #[serde(with = "raw")]
        sha256: [u8; 32],
    },
    /// What a refilled shard has of a partition of a source that the shards before had read: some of the offsets
    /// from `first` on, below `end`; the other shards have the rest.
    Carried {
        /// The first one that was there.
        first: u64,
        /// What was to be read next.
        end: u64,
        /// Recorded time of the last event that the shard of that partition had: what it reads next is recorded no
        /// earlier.
        recorded: Option<Timestamp>,
    },
}

/// Which partition of which topic a shard is. Written once; a shard of another is never opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardIdentity {
    /// The Kafka cluster, where it is known.
    pub cluster_id: Option<String>,
    /// The topic.
    pub topic: String,
    /// Tells a topic from one that was deleted and created again, where it is known.
    pub topic_id: Option<String>,
    /// The partition.
    pub partition: u32,
}

/// How far decisions and dead letters were published: what lies before was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PublisherRow {
    /// Position of the next record to publish.
    pub next_position: u64,
}

/// Which generation of the projections is live; a rebuild makes the next one beside it, and switches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Generation {
    /// The one that is asked.
    pub live: u64,
}

macro_rules! stored {
    ($($row:ident)+) => {$(
        impl $row {
            /// The row as it is stored.
            #[must_use]
            pub fn encode(&self) -> Vec<u8> {
                let mut out = Vec::with_capacity(256);
                self.encode_into(&mut out);
                out
            }

            /// Appends the row as it is stored.
            pub fn encode_into(&self, out: &mut Vec<u8>) {
                codec::open(out);
                codec::put(out, self);
            }

            /// Reads a stored row.
            pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
                let mut input = ValueReader::open(bytes)?;
                let row = input.take()?;
                input.close()?;
                Ok(row)
            }
        }
    )+};
}

stored! { TenantRow AppRow ShardIdentity ShardHead SourcePosition PublisherRow Generation }

/// The changes of a late app-level event to one tenant, as they are stored in `corrections`.
#[must_use]
pub fn encode_changes(changes: &[Change]) -> Vec<u8> {
    let mut out = Vec::new();
    codec::open(&mut out);
    codec::put(&mut out, changes);
    out
}

/// Reads a value of `corrections`.
pub fn decode_changes(bytes: &[u8]) -> Result<Vec<Change>, DecodeError> {
    let mut input = ValueReader::open(bytes)?;
    let changes = input.take()?;
    input.close()?;
    Ok(changes)
}
