//! What was refused, and why.
//!
//! A page ends when it has as many items as were asked for, when it has enough bytes, or when enough was looked at
//! for a reason that is rare.

use ledger_record::json::record::QuarantineJson;
use ledger_record::record::{Content, Record, Stream};
use ledger_record::rejection::{Reason, Refused};
use ledger_store::ShardId;
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};

use super::LineSink;
use super::cursor::{Cursor, CursorPlace, Page, page_limit};
use super::parameters::text;
use crate::ledger::{FreshnessJson, PageBytes, QueryError, Reading, ShardSnapshot};
use crate::limits::{LOOKED_AT_PER_PAGE, QUARANTINE_DEFAULT, QUARANTINE_MAX};

/// Of the cursors of the whole quarantine.
const ALL: u64 = 0;

/// What was refused, by shard, then in order of arrival. A page can be short, or empty, and not the last.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct QuarantineQuery {
    /// Only what was refused for this.
    #[serde(with = "text")]
    pub reason: Option<Reason>,
    /// Where to go on, and how far.
    pub page: Page,
}

/// One refused message, by its number in its shard (from 1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineItemQuery {
    /// The shard's topic.
    pub topic: String,
    /// The shard's partition.
    pub partition: u32,
    /// The item's number.
    pub seq: u64,
}

/// A page of what was refused, by shard, then in order of arrival.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantinePage<T = QuarantinedItem> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last.
    pub next_cursor: Option<Cursor>,
    /// Of every shard.
    pub freshness: Vec<FreshnessJson>,
}

/// One refused message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QuarantineAnswer<T = QuarantinedItem> {
    /// The item.
    pub item: T,
    /// Of its shard.
    pub freshness: Vec<FreshnessJson>,
}

/// A refused message, and the shard whose quarantine has it: that and its seq name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedItem {
    /// Which shard.
    pub shard: ShardId,
    /// The refusal.
    pub record: Record,
}

impl QuarantinedItem {
    /// What is kept of the message.
    pub fn refused(&self) -> Result<&Refused, QueryError> {
        match &self.record.content {
            Content::Refused(refused) => Ok(refused),
            _ => Err(QueryError::UnknownItem { shard: self.shard.clone(), seq: self.record.seq }),
        }
    }
}

#[derive(Serialize)]
struct ItemJson<'a> {
    topic: &'a str,
    partition: u32,
    #[serde(rename = "")]
    refused: QuarantineJson<'a>,
}

impl QuarantineQuery {
    pub(super) fn answer(
        &self,
        reading: &Reading<'_>,
        _: LineSink<'_>,
    ) -> Result<QuarantinePage, QueryError> {
        let Self { reason, page: Page { cursor, limit } } = self;
        let (reason, limit) = (*reason, page_limit(*limit, QUARANTINE_DEFAULT, QUARANTINE_MAX)?);
        let list = reason.map_or(ALL, |reason| 1 + place_of(reason));
        let after = match cursor.as_ref() {
            None => None,
            Some(Cursor { list: of, after: CursorPlace::Item(shard, seq) }) if *of == list => {
                Some((shard, *seq))
            }
            Some(_) => return Err(QueryError::ForeignCursor),
        };
        let (mut items, mut bytes, mut looked_at) =
            (Vec::new(), PageBytes::new(reading.ledger.page_bytes), 0);
        let mut reached = None;
        let mut next_cursor = None;
        let is_seen = is_seen_in(reading);
        let from_there = |shard: &&ShardSnapshot<'_>| is_seen && after.is_none_or(|(id, _)| shard.id >= id);
        'shards: for shard in reading.shards.iter().filter(from_there) {
            let from_seq =
                after.filter(|(id, _)| *id == shard.id).map_or(1, |(_, seq)| seq.saturating_add(1));
            for record in shard.snapshot.records(&Stream::Rejected, from_seq)? {
                if items.len() >= limit || bytes.is_full() || looked_at == LOOKED_AT_PER_PAGE {
                    next_cursor = reached.map(|after| Cursor { list, after });
                    break 'shards;
                }
                reading.ledger.in_time()?;
                let record = record.map_err(|error| shard.unread(error))?;
                looked_at += 1;
                reached = Some(CursorPlace::Item(shard.id.clone(), record.seq));
                if reason.is_none_or(|reason| is_refused_for(&record, reason)) {
                    let item = QuarantinedItem { shard: shard.id.clone(), record };
                    bytes.add(&item);
                    items.push(item);
                }
            }
        }
        Ok(QuarantinePage { items, next_cursor, freshness: reading.freshness() })
    }
}

impl QuarantineItemQuery {
    pub(super) fn answer(
        &self,
        reading: &Reading<'_>,
        _: LineSink<'_>,
    ) -> Result<QuarantineAnswer, QueryError> {
        let Self { topic, partition, seq } = self;
        let (id, seq) = (&ShardId { topic: topic.clone(), partition: *partition }, *seq);
        let shard = reading
            .shards
            .iter()
            .find(|shard| shard.id == id)
            .ok_or_else(|| reading.not_found_in(id, QueryError::UnknownShard { shard: id.clone() }))?;
        let record = shard.snapshot.records(&Stream::Rejected, seq)?.next().transpose()?;
        let record = record
            .filter(|record| record.seq == seq && is_seen_in(reading))
            .ok_or_else(|| reading.not_found_in(id, QueryError::UnknownItem { shard: id.clone(), seq }))?;
        Ok(QuarantineAnswer {
            item: QuarantinedItem { shard: id.clone(), record },
            freshness: vec![reading.freshness_of(shard)?],
        })
    }
}

/// Of which app a refused message is nothing says for sure, so only those who see all apps see any.
fn is_seen_in(reading: &Reading<'_>) -> bool {
    reading.ledger.grants.apps().is_none()
}

impl Serialize for QuarantinedItem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let refused = QuarantineJson::of(&self.record);
        let refused = refused.ok_or_else(|| S::Error::custom("an event in quarantine"))?;
        let Self { shard, .. } = self;
        ItemJson { topic: &shard.topic, partition: shard.partition, refused }.serialize(serializer)
    }
}

/// Tells the cursors of one reason from those of another.
fn place_of(reason: Reason) -> u64 {
    Reason::ALL.iter().position(|of| *of == reason).map_or(u64::MAX - 1, |place| place as u64)
}

fn is_refused_for(record: &Record, reason: Reason) -> bool {
    match &record.content {
        Content::Refused(refused) => refused.rejection.reason == reason,
        Content::Event { .. } | Content::Seal(_) | Content::Succession(_) => false,
    }
}
