//! What was refused, and why.

use ledger_core::time::Timestamp;
use ledger_record::record::Stream;
use ledger_store::ShardId;

use super::answer::{QuarantineAnswer, QuarantineList};
use super::cursor::{Cursor, Place};
use super::error::QueryError;
use super::logged::Item;
use super::shards::moments;
use super::{Ledger, freshness};

/// There is one quarantine, so its cursors need no more than this.
const QUARANTINE: u64 = 0;

impl Ledger {
    /// What was refused, by shard, then in order of arrival.
    pub fn quarantine(
        &self,
        cursor: Option<&Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<QuarantineList, QueryError> {
        let after = match cursor {
            None => None,
            Some(Cursor { list: QUARANTINE, after: Place::Item(shard, seq) }) => Some((shard, *seq)),
            Some(_) => return Err(QueryError::ForeignCursor),
        };
        let parts = self.shards.all();
        let moments = moments(&parts);
        let mut items = Vec::new();
        let mut next_cursor = None;
        'shards: for moment in
            moments.iter().filter(|moment| after.is_none_or(|(shard, _)| moment.id >= shard))
        {
            let from_seq =
                after.filter(|(shard, _)| *shard == moment.id).map_or(1, |(_, seq)| seq.saturating_add(1));
            for record in moment.snapshot.records(&Stream::Rejected, from_seq)? {
                if items.len() == limit {
                    next_cursor = items.last().map(place_after);
                    break 'shards;
                }
                items.push(Item { shard: moment.id.clone(), record: record? });
            }
        }
        Ok(QuarantineList { items, next_cursor, freshness: self.freshness_of(&moments, now) })
    }

    /// One refused message, by its number in its shard (from 1).
    pub fn quarantine_item(
        &self,
        shard: &ShardId,
        seq: u64,
        now: Timestamp,
    ) -> Result<QuarantineAnswer, QueryError> {
        let unknown = || {
            let error = QueryError::UnknownItem { shard: shard.clone(), seq };
            self.shards.not_found_in(shard, error)
        };
        let parts = self.shards.all();
        let part = parts.iter().find(|part| part.id == *shard).ok_or_else(unknown)?;
        let moment = part.moment();
        let record = moment.snapshot.records(&Stream::Rejected, seq)?.next().transpose()?;
        let record = record.filter(|record| record.seq == seq).ok_or_else(unknown)?;
        Ok(QuarantineAnswer {
            item: Item { shard: shard.clone(), record },
            freshness: vec![freshness::of(&moment, now)?],
        })
    }
}

fn place_after(item: &Item) -> Cursor {
    Cursor { list: QUARANTINE, after: Place::Item(item.shard.clone(), item.record.seq) }
}
