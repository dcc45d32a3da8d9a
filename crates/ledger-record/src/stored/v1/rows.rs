//! Rows: projections, and where the shard stands.

use bincode::{BorrowDecode, Encode};

use crate::codec::DecodeError;
use crate::rows;
use crate::stored::parts::{Instant, Text, instant, owned, tagged};
use crate::stored::v1::state::Tenant;

/// The twin of a row that is one value by itself.
pub(crate) trait Twin<'a>: Encode + BorrowDecode<'a, ()> {
    /// What it is a twin of.
    type Row;

    /// As it is stored.
    fn of(row: &'a Self::Row) -> Self;

    /// As it was before it was stored.
    fn restore(self) -> Result<Self::Row, DecodeError>;
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct TenantRow<'a> {
    seq: u64,
    position: u64,
    tenant: Tenant<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct AppRow {
    seq: u64,
    installations: u64,
    latest: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct ShardIdentity<'a> {
    cluster_id: Option<Text<'a>>,
    topic: Text<'a>,
    topic_id: Option<Text<'a>>,
    partition: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct ShardHead {
    next_position: u64,
    recorded: Option<Instant>,
    refused: u64,
    duplicates: u64,
    ahead_ms: i64,
}

tagged! {
    pub(crate) enum SourcePosition {
        1 => Kafka(KafkaPosition),
        2 => Import(ImportPosition),
        3 => Carried(CarriedPosition),
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct KafkaPosition {
    next_offset: u64,
    leader_epoch: Option<i32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct ImportPosition {
    lines: u64,
    sha256: [u8; 32],
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct CarriedPosition {
    first: u64,
    end: u64,
    recorded: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct PublisherCursor {
    next_position: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct Generation {
    live: u64,
}

impl<'a> Twin<'a> for TenantRow<'a> {
    type Row = rows::TenantRow;

    fn of(row: &'a rows::TenantRow) -> Self {
        let rows::TenantRow { seq, position, tenant } = row;
        Self { seq: *seq, position: *position, tenant: Tenant::of(tenant) }
    }

    fn restore(self) -> Result<rows::TenantRow, DecodeError> {
        Ok(rows::TenantRow { seq: self.seq, position: self.position, tenant: self.tenant.restore()? })
    }
}

impl<'a> Twin<'a> for AppRow {
    type Row = rows::AppRow;

    fn of(row: &'a rows::AppRow) -> Self {
        let rows::AppRow { seq, installations, latest } = *row;
        Self { seq, installations, latest: latest.map(Instant) }
    }

    fn restore(self) -> Result<rows::AppRow, DecodeError> {
        Ok(rows::AppRow { seq: self.seq, installations: self.installations, latest: instant(self.latest) })
    }
}

impl<'a> Twin<'a> for ShardIdentity<'a> {
    type Row = rows::ShardIdentity;

    fn of(identity: &'a rows::ShardIdentity) -> Self {
        let rows::ShardIdentity { cluster_id, topic, topic_id, partition } = identity;
        Self {
            cluster_id: cluster_id.as_deref().map(Text),
            topic: Text(topic),
            topic_id: topic_id.as_deref().map(Text),
            partition: *partition,
        }
    }

    fn restore(self) -> Result<rows::ShardIdentity, DecodeError> {
        Ok(rows::ShardIdentity {
            cluster_id: owned(self.cluster_id),
            topic: self.topic.0.to_owned(),
            topic_id: owned(self.topic_id),
            partition: self.partition,
        })
    }
}

impl<'a> Twin<'a> for ShardHead {
    type Row = rows::ShardHead;

    fn of(head: &'a rows::ShardHead) -> Self {
        let rows::ShardHead { next_position, recorded, refused, duplicates, ahead_ms } = *head;
        Self { next_position, recorded: recorded.map(Instant), refused, duplicates, ahead_ms }
    }

    fn restore(self) -> Result<rows::ShardHead, DecodeError> {
        Ok(rows::ShardHead {
            next_position: self.next_position,
            recorded: instant(self.recorded),
            refused: self.refused,
            duplicates: self.duplicates,
            ahead_ms: self.ahead_ms,
        })
    }
}

impl<'a> Twin<'a> for SourcePosition {
    type Row = rows::SourcePosition;

    fn of(position: &'a rows::SourcePosition) -> Self {
        match *position {
            rows::SourcePosition::Kafka { next_offset, leader_epoch } => {
                Self::Kafka(KafkaPosition { next_offset, leader_epoch })
            }
            rows::SourcePosition::Import { lines, sha256 } => Self::Import(ImportPosition { lines, sha256 }),
            rows::SourcePosition::Carried { first, end, recorded } => {
                Self::Carried(CarriedPosition { first, end, recorded: recorded.map(Instant) })
            }
        }
    }

    fn restore(self) -> Result<rows::SourcePosition, DecodeError> {
        Ok(match self {
            Self::Kafka(KafkaPosition { next_offset, leader_epoch }) => {
                rows::SourcePosition::Kafka { next_offset, leader_epoch }
            }
            Self::Import(ImportPosition { lines, sha256 }) => rows::SourcePosition::Import { lines, sha256 },
            Self::Carried(CarriedPosition { first, end, recorded }) => {
                rows::SourcePosition::Carried { first, end, recorded: instant(recorded) }
            }
        })
    }
}

impl<'a> Twin<'a> for PublisherCursor {
    type Row = rows::PublisherCursor;

    fn of(cursor: &'a rows::PublisherCursor) -> Self {
        let rows::PublisherCursor { next_position } = *cursor;
        Self { next_position }
    }

    fn restore(self) -> Result<rows::PublisherCursor, DecodeError> {
        Ok(rows::PublisherCursor { next_position: self.next_position })
    }
}

impl<'a> Twin<'a> for Generation {
    type Row = rows::Generation;

    fn of(generation: &'a rows::Generation) -> Self {
        let rows::Generation { live } = *generation;
        Self { live }
    }

    fn restore(self) -> Result<rows::Generation, DecodeError> {
        Ok(rows::Generation { live: self.live })
    }
}
