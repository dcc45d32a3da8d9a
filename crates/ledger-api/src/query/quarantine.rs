//! What was refused, and why.
//!
//! A page ends when it has as many items as were asked for, when it weighs enough, or when enough was looked at
//! for a reason that is rare.

use ledger_core::time::Timestamp;
use ledger_record::record::{Content, Record, Stream};
use ledger_record::rejection::Reason;
use ledger_store::ShardId;

use super::answer::{QuarantineAnswer, QuarantineList};
use super::cursor::{Cursor, Place};
use super::error::QueryError;
use super::logged::Item;
use super::shards::moments;
use super::weight::Weight;
use super::{Ledger, freshness};
use crate::limits::LOOKED_AT_PER_PAGE;

/// Of the cursors of the whole quarantine.
const ALL: u64 = 0;

impl Ledger {
    /// What was refused, by shard, then in order of arrival; all of it, or what was refused for one reason. Go
    /// on with `next_cursor` until there is none: a page can be short, or empty, and not the last.
    pub fn quarantine(
        &self,
        reason: Option<Reason>,
        cursor: Option<&Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<QuarantineList, QueryError> {
        let list = reason.map_or(ALL, |reason| 1 + place_of(reason));
        let after = match cursor {
            None => None,
            Some(Cursor { list: of, after: Place::Item(shard, seq) }) if *of == list => Some((shard, *seq)),
            Some(_) => return Err(QueryError::ForeignCursor),
        };
        let parts = self.shards.all();
        let moments = moments(&parts);
        let (mut items, mut weight, mut looked_at) = (Vec::new(), Weight::up_to(self.page_bytes), 0);
        let mut reached = None;
        let mut next_cursor = None;
        'shards: for moment in
            moments.iter().filter(|moment| after.is_none_or(|(shard, _)| moment.id >= shard))
        {
            let from_seq =
                after.filter(|(shard, _)| *shard == moment.id).map_or(1, |(_, seq)| seq.saturating_add(1));
            for record in moment.snapshot.records(&Stream::Rejected, from_seq)? {
                if items.len() >= limit || weight.is_full() || looked_at == LOOKED_AT_PER_PAGE {
                    next_cursor = reached.map(|after| Cursor { list, after });
                    break 'shards;
                }
                self.in_time()?;
                let record = record.map_err(|error| moment.unread(error))?;
                looked_at += 1;
                reached = Some(Place::Item(moment.id.clone(), record.seq));
                if reason.is_none_or(|reason| is_refused_for(&record, reason)) {
                    let item = Item { shard: moment.id.clone(), record };
                    weight.add(&item);
                    items.push(item);
                }
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
        let parts = self.shards.all();
        let moments = moments(&parts);
        let unknown = || {
            let error = if moments.iter().any(|moment| moment.id == shard) {
                QueryError::UnknownItem { shard: shard.clone(), seq }
            } else {
                QueryError::UnknownShard { shard: shard.clone() }
            };
            self.not_found_in(shard, &moments, now, error)
        };
        let moment = moments.iter().find(|moment| moment.id == shard).ok_or_else(unknown)?;
        let record = moment.snapshot.records(&Stream::Rejected, seq)?.next().transpose()?;
        let record = record.filter(|record| record.seq == seq).ok_or_else(unknown)?;
        Ok(QuarantineAnswer {
            item: Item { shard: shard.clone(), record },
            freshness: vec![freshness::of(moment, now)?],
        })
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
