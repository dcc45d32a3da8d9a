//! What is stored besides the log: projections that can be built anew from it, and where the shard stands.
//!
//! Every row is one value of its own ([`crate::codec`]), read and written as a whole.

use std::hash::Hasher as _;

use fnv::FnvHasher;
use ledger_core::event::Event;
use ledger_core::ids::AppKey;
use ledger_core::tenant::{Change, Tenant};
use ledger_core::time::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::{self, DecodeError, ValueReader};
use crate::hash::raw;

/// A tenant as the fold left it, and the head of its stream. Projection.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TenantRow {
    /// Seq of the last record.
    pub seq: u64,
    /// Position of the last record.
    pub position: u64,
    /// What tells a new event id from those of its first records.
    pub first_ids: FirstIds,
    /// The folded tenant.
    pub tenant: Tenant,
}

/// Fingerprints of the event ids of a tenant's first records, in order of seq.
///
/// Most tenants have few records: a row for each of their ids costs as much to write as a record. So the first ids are
/// four bytes each in the row of the tenant, which is read and written anyway. Two ids may share a fingerprint: the
/// record says whether it is the same. The ids of later records have rows of their own, in `ids`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FirstIds(Vec<u8>);

impl FirstIds {
    /// The last seq whose id is here.
    pub const LAST_SEQ: u64 = 64;

    /// Adds the id of the tenant's next record, if it is one of the first.
    pub fn push(&mut self, seq: u64, event: &Event) {
        if seq <= Self::LAST_SEQ {
            self.0.extend_from_slice(&fingerprint(event));
        }
    }

    /// The first records whose id may be the one of this event, by seq.
    pub fn suspects(&self, event: &Event) -> impl Iterator<Item = u64> + use<'_> {
        let wanted = fingerprint(event);
        (1..).zip(self.0.as_chunks().0).filter(move |(_, known)| **known == wanted).map(|(seq, _)| seq)
    }
}

impl Serialize for FirstIds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for FirstIds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = <&[u8]>::deserialize(deserializer)?;
        if bytes.len() % 4 != 0 {
            return Err(D::Error::custom("not fingerprints of four bytes each"));
        }
        Ok(Self(bytes.to_vec()))
    }
}

/// An event's id within its tenant: FNV-1a of the app, if it is about one, and the id.
fn fingerprint(event: &Event) -> [u8; 4] {
    let mut hasher = FnvHasher::default();
    hasher.write(event.app().map_or(&[], AppKey::as_bytes));
    hasher.write(&[0]);
    hasher.write(event.id.as_bytes());
    let hash = hasher.finish();
    let [.., one, two, three, four] = (hash ^ hash >> 32).to_be_bytes();
    [one, two, three, four]
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
