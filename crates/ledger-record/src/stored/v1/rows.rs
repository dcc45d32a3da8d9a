//! Rows: projections, and where the shard stands.

use bincode::{BorrowDecode, Encode};

use crate::codec::DecodeError;
use crate::rows;
use crate::stored::parts::{Instant, Text, instant, owned, tagged};
use crate::stored::v1::state::Tenant;

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
}

tagged! {
    pub(crate) enum SourcePosition {
        1 => Kafka(KafkaPosition),
        2 => Import(ImportPosition),
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
pub(crate) struct PublisherCursor {
    next_position: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct Generation {
    live: u64,
}

impl<'a> TenantRow<'a> {
    pub(crate) fn of(row: &'a rows::TenantRow) -> Self {
        let rows::TenantRow { seq, position, tenant } = row;
        Self { seq: *seq, position: *position, tenant: Tenant::of(tenant) }
    }

    pub(crate) fn restore(self) -> Result<rows::TenantRow, DecodeError> {
        Ok(rows::TenantRow { seq: self.seq, position: self.position, tenant: self.tenant.restore()? })
    }
}

impl AppRow {
    pub(crate) fn of(row: &rows::AppRow) -> Self {
        let rows::AppRow { seq, installations, latest } = *row;
        Self { seq, installations, latest: latest.map(Instant) }
    }

    pub(crate) fn restore(self) -> Result<rows::AppRow, DecodeError> {
        Ok(rows::AppRow { seq: self.seq, installations: self.installations, latest: instant(self.latest) })
    }
}

impl<'a> ShardIdentity<'a> {
    pub(crate) fn of(identity: &'a rows::ShardIdentity) -> Self {
        let rows::ShardIdentity { cluster_id, topic, topic_id, partition } = identity;
        Self {
            cluster_id: cluster_id.as_deref().map(Text),
            topic: Text(topic),
            topic_id: topic_id.as_deref().map(Text),
            partition: *partition,
        }
    }

    pub(crate) fn restore(self) -> Result<rows::ShardIdentity, DecodeError> {
        Ok(rows::ShardIdentity {
            cluster_id: owned(self.cluster_id),
            topic: self.topic.0.to_owned(),
            topic_id: owned(self.topic_id),
            partition: self.partition,
        })
    }
}

impl ShardHead {
    pub(crate) fn of(head: &rows::ShardHead) -> Self {
        let rows::ShardHead { next_position, recorded, refused, duplicates } = *head;
        Self { next_position, recorded: recorded.map(Instant), refused, duplicates }
    }

    pub(crate) fn restore(self) -> Result<rows::ShardHead, DecodeError> {
        Ok(rows::ShardHead {
            next_position: self.next_position,
            recorded: instant(self.recorded),
            refused: self.refused,
            duplicates: self.duplicates,
        })
    }
}

impl SourcePosition {
    pub(crate) fn of(position: &rows::SourcePosition) -> Self {
        match *position {
            rows::SourcePosition::Kafka { next_offset, leader_epoch } => {
                Self::Kafka(KafkaPosition { next_offset, leader_epoch })
            }
            rows::SourcePosition::Import { lines, sha256 } => Self::Import(ImportPosition { lines, sha256 }),
        }
    }

    pub(crate) fn restore(self) -> Result<rows::SourcePosition, DecodeError> {
        Ok(match self {
            Self::Kafka(KafkaPosition { next_offset, leader_epoch }) => {
                rows::SourcePosition::Kafka { next_offset, leader_epoch }
            }
            Self::Import(ImportPosition { lines, sha256 }) => rows::SourcePosition::Import { lines, sha256 },
        })
    }
}

impl PublisherCursor {
    pub(crate) fn of(cursor: &rows::PublisherCursor) -> Self {
        let rows::PublisherCursor { next_position } = *cursor;
        Self { next_position }
    }

    pub(crate) fn restore(self) -> Result<rows::PublisherCursor, DecodeError> {
        Ok(rows::PublisherCursor { next_position: self.next_position })
    }
}

impl Generation {
    pub(crate) fn of(generation: &rows::Generation) -> Self {
        let rows::Generation { live } = *generation;
        Self { live }
    }

    pub(crate) fn restore(self) -> Result<rows::Generation, DecodeError> {
        Ok(rows::Generation { live: self.live })
    }
}
