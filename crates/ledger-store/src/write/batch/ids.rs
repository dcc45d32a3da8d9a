//! Repeats (rules 2.3): an event whose id its installation, its tenant or its app had before.

use ledger_core::event::Event;
use ledger_record::key::side::carried;
use ledger_record::key::{self, DuplicateKey, Family};
use ledger_record::record::{LoggedEvent, Stream};
use ledger_record::rejection::{Reason, Rejection};
use rocksdb::ReadOptions;

use crate::db::database::damaged;
use crate::db::decode;
use crate::error::{AppendError, Damage};
use crate::write::batch::AppendResult;
use crate::write::batch::Batch;
use crate::write::batch::FutureLimit;
use crate::write::batch::IncomingEvent;

/// The record that had the id first.
pub(super) struct Original {
    seq: u64,
    logged: LoggedEvent,
}

impl Batch<'_> {
    /// The record of the stream with an event id, under its key in `ids`, stored or in this batch.
    pub(super) fn find_original(
        &mut self,
        stream: &Stream,
        id_key: &[u8],
    ) -> Result<Option<Original>, AppendError> {
        let here = self.ids.get(id_key).and_then(|index| self.records.get(*index));
        let pending = || self.shard.pending.as_ref().and_then(|batch| batch.record_with(id_key));
        if let Some(pending) = here.or_else(pending) {
            let logged = decode::event_of(stream, &pending.key, &pending.value)?;
            return Ok(Some(Original { seq: pending.seq, logged }));
        }
        if let Stream::Tenant(client) = stream {
            self.settle_for(client)?;
            let database = &self.shard.open.database;
            // A new tenant has no ids: its row, which is needed anyway, says so.
            let (cache, histories) = (&mut self.shard.tenants, &mut self.shard.histories);
            if !self.tenants.load(client, cache, histories, database)?.is_stored() {
                return Ok(None);
            }
        }
        let database = &self.shard.open.database;
        let options = ReadOptions::default();
        let Some(reference) = database.get(Family::Ids, id_key, &options)? else { return Ok(None) };
        let seq = key::parse_u64(&reference).map_err(|error| damaged(Family::Ids, id_key, error))?;
        let at = key::log::log(stream, seq);
        let value = database
            .get(Family::Log, &at, &options)?
            .ok_or_else(|| damaged(Family::Log, &at, Damage::Missing))?;
        Ok(Some(Original { seq, logged: decode::event_of(stream, &at, &value)? }))
    }

    /// Counts a repeat with the same content, refuses one with other content.
    pub(super) fn repeat(&mut self, arrival: &IncomingEvent, original: &Original) -> AppendResult {
        let Original { seq, logged } = original;
        let defaulted = arrival.time_defaulted || logged.time_defaulted;
        if !same_content(&arrival.event, &logged.event, defaulted) {
            return AppendResult::Refused(Rejection {
                reason: Reason::EventIdConflict,
                path: Some("id".to_owned()),
                detail: format!("expected the content that was recorded with this id as seq {seq}"),
            });
        }
        let from = &arrival.from;
        let source = match arrival.future {
            FutureLimit::Passed => carried(&from.source, from.partition),
            FutureLimit::AfterRecorded | FutureLimit::At(_) => from.source.to_string(),
        };
        let repeat = DuplicateKey { source, offset: from.offset };
        self.duplicates.push((repeat, logged.position));
        self.next.duplicates += 1;
        self.taken += 1;
        AppendResult::Duplicate { position: logged.position, seq: *seq }
    }
}

/// A time that was taken from the source's record, of either, does not count.
fn same_content(repeat: &Event, original: &Event, time_defaulted: bool) -> bool {
    let Event { id, time, actor, reason, body } = repeat;
    *id == original.id
        && (time_defaulted || *time == original.time)
        && *actor == original.actor
        && *reason == original.reason
        && *body == original.body
}
