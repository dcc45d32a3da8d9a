//! Events on their way into a batch: a repeat (rules 2.3), or a record of its tenant or app.

use std::collections::btree_map;

use ledger_core::event::{Body, Event};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::limits::FUTURE_MAX_MS;
use ledger_core::tenant::Entry;
use ledger_core::time::Timestamp;
use ledger_record::key::side::carried;
use ledger_record::key::{self, DuplicateKey, Family};
use ledger_record::proof::line::pinned_realm_after;
use ledger_record::record::{Content, Coordinates, LoggedEvent, RULES, Record, Stream};
use ledger_record::rejection::{Reason, Rejection};
use ledger_record::rows::{AppRow, FirstIds};
use rocksdb::ReadOptions;

use crate::audit::TenantLeaf;
use crate::db::database::{Database, damaged};
use crate::db::decode;
use crate::error::{AppendError, Damage, ReadError};
use crate::read::ids::{is_same_id, seq_of};
use crate::write::batch::working_set::TenantEntry;
use crate::write::batch::{
    AppendResult, Batch, FutureLimit, IncomingEvent, PendingRecord, after, within_lines,
};

impl Batch<'_> {
    pub(super) fn try_offer(&mut self, arrival: IncomingEvent) -> Result<AppendResult, AppendError> {
        let source_time = within_lines(arrival.source_time);
        let recorded = self.next.recorded.map_or(source_time, |last| last.max(source_time));
        let limit = match arrival.future {
            FutureLimit::AfterRecorded => Some(recorded.plus_millis(FUTURE_MAX_MS)),
            FutureLimit::At(instant) => Some(instant),
            FutureLimit::Passed => None,
        };
        if limit.is_some_and(|limit| arrival.event.time > limit) {
            return Ok(AppendResult::Refused(arrival.future.rejection("time")));
        }
        let stream = Stream::from_event(&arrival.event);
        if let Some(original) = self.find_original(&stream, &arrival.event)? {
            return Ok(self.repeat(&arrival, &original));
        }
        self.seal_before(&arrival.from, recorded);
        match &arrival.event.body {
            Body::Installation { client, .. } | Body::Tenant { client, .. } => {
                self.append_to_tenant(client.clone(), arrival, recorded)
            }
            Body::App { app, .. } => self.append_to_app(app.clone(), arrival, recorded),
        }
    }

    fn append_to_tenant(
        &mut self,
        client: ClientKey,
        arrival: IncomingEvent,
        recorded: Timestamp,
    ) -> Result<AppendResult, AppendError> {
        let IncomingEvent { from, event, time_defaulted, .. } = arrival;
        let timelines = self.timelines.as_ref().unwrap_or(&self.shard.timelines);
        let database = &self.shard.open.database;
        let (tenants, histories) = (&mut self.shard.tenants, &mut self.shard.histories);
        let entry = self.tenants.load(&client, tenants, histories, database)?;
        let position = self.next.next_position;
        let seq = entry.row.seq + 1;
        let known_app = event.app().is_none_or(|app| entry.row.tenant.installations.contains_key(app));
        let outcome = if entry.row.tenant.is_last(&event) {
            let outcome = entry.row.tenant.append(Entry { seq, event: &event }, timelines);
            entry.remember(seq, &event);
            outcome
        } else {
            let stream = Stream::Tenant(client.clone());
            let pending: Vec<PendingRecord<'_>> =
                self.shard.pending.iter().flat_map(|batch| batch.records_of(&client)).collect();
            entry.load_history(&stream, &self.records, database, &pending)?;
            entry.append_late(seq, &event, timelines)
        };
        let leaf = TenantLeaf {
            stream: entry.stream_id,
            pinned_realm: pinned_realm_after(&event, &entry.row.tenant),
            previous: (seq > 1).then_some(entry.row.position),
        };
        entry.row.seq = seq;
        entry.row.position = position;
        entry.row.first_ids.push(seq, &event);
        if seq > FirstIds::LAST_SEQ {
            self.ids.insert(key::log::id(&event), self.records.len());
        }
        entry.pending.push(self.records.len());
        let raised = raised_apps(entry, &event);
        if entry.keeps_history() {
            self.tenants.forget_histories(&client, self.shard.tenants.budget().late_records());
        }
        for (app, latest) in raised {
            let is_new = !known_app && event.app() == Some(&app);
            let row = self.app_row(&app)?;
            row.latest = row.latest.max(latest);
            row.installations += u64::from(is_new);
        }
        self.next.recorded = Some(recorded);
        self.next.ahead_ms = self.next.ahead_ms.max(event.time.millis_since(recorded));
        let late = outcome.late;
        let content = Content::Event { event, time_defaulted, outcome };
        self.push(Stream::Tenant(client), seq, from, recorded, content, Some(leaf))?;
        Ok(AppendResult::Appended { position, seq, late, new_tenant: seq == 1 })
    }

    /// Adds a record to the batch, with what is known of its leaf if it is a tenant's; answers its position.
    pub(super) fn push(
        &mut self,
        stream: Stream,
        seq: u64,
        source: Coordinates,
        recorded: Timestamp,
        content: Content,
        leaf: Option<TenantLeaf>,
    ) -> Result<u64, AppendError> {
        let position = self.next.next_position;
        let record = Record { position, stream, seq, source, recorded, rules: RULES, content };
        self.record_bytes += self.records.push(&record.stream, seq, |out| record.encode_into(out));
        let source = record.source.clone();
        let is_full = self.evidence.record(record, leaf)?;
        self.next.next_position += 1;
        self.taken += 1;
        if is_full {
            self.seal(after(source));
        }
        Ok(position)
    }

    /// The row of an app, as this batch has it so far.
    pub(super) fn app_row(&mut self, app: &AppKey) -> Result<&mut AppRow, AppendError> {
        if self.shard.pending.is_some()
            && !self.apps.contains_key(app)
            && !self.shard.app_rows.contains_key(app)
        {
            self.shard.settle()?;
        }
        let slot = match self.apps.entry(app.clone()) {
            btree_map::Entry::Occupied(slot) => return Ok(slot.into_mut()),
            btree_map::Entry::Vacant(slot) => slot,
        };
        let row = match self.shard.app_rows.get(app) {
            Some(row) => *row,
            None => self
                .shard
                .open
                .database
                .row(Family::Apps, key::app(app), &ReadOptions::default(), AppRow::decode)?
                .unwrap_or_default(),
        };
        Ok(slot.insert(row))
    }

    /// Waits for what is in flight before the row of a tenant is read from the store that may be part of it: its
    /// row may have fallen out of the writer's cache already.
    fn settle_for(&mut self, client: &ClientKey) -> Result<(), AppendError> {
        let is_in_flight =
            self.shard.pending.as_ref().is_some_and(|batch| batch.tenants.contains_key(client));
        if is_in_flight && !self.tenants.contains(client) && !self.shard.tenants.contains(client) {
            self.shard.settle()?;
        }
        Ok(())
    }
}

/// The apps whose row the event may raise, with the latest event time of the tenant's installation.
fn raised_apps(entry: &TenantEntry, event: &Event) -> Vec<(AppKey, Option<Timestamp>)> {
    let tenant = &entry.row.tenant;
    let raised = |app: &AppKey| (app.clone(), tenant.latest_of(app));
    if event.product_realm().is_some() {
        return tenant.installations.keys().map(raised).collect();
    }
    event.app().map(raised).into_iter().collect()
}

/// The record that had the id first.
pub(super) struct Original {
    seq: u64,
    logged: LoggedEvent,
}

impl Original {
    fn from_pending(stream: &Stream, pending: PendingRecord<'_>) -> Result<Self, ReadError> {
        let logged = decode::event_of(stream, pending.key, pending.value)?;
        Ok(Self { seq: pending.seq, logged })
    }

    fn stored(stream: &Stream, seq: u64, database: &Database) -> Result<Self, ReadError> {
        let at = key::log::log(stream, seq);
        let value = database
            .get(Family::Log, &at, &ReadOptions::default())?
            .ok_or_else(|| damaged(Family::Log, &at, Damage::Missing))?;
        Ok(Self { seq, logged: decode::event_of(stream, &at, &value)? })
    }
}

impl Batch<'_> {
    /// The record of the stream that has the id of an event, stored, in flight or in this batch.
    fn find_original(&mut self, stream: &Stream, event: &Event) -> Result<Option<Original>, AppendError> {
        if let Stream::Tenant(client) = stream {
            self.settle_for(client)?;
            let database = &self.shard.open.database;
            let (cache, histories) = (&mut self.shard.tenants, &mut self.shard.histories);
            let row = &self.tenants.load(client, cache, histories, database)?.row;
            let (seq, suspects) = (row.seq, row.first_ids.suspects(event).collect::<Vec<u64>>());
            for suspect in suspects {
                let original = self.original(client, stream, suspect)?;
                if is_same_id(&original.logged.event, event) {
                    return Ok(Some(original));
                }
            }
            if seq <= FirstIds::LAST_SEQ {
                return Ok(None);
            }
        }
        self.find_by_row(stream, &key::log::id(event))
    }

    /// The record with an event id that has a row of its own.
    fn find_by_row(&self, stream: &Stream, id_key: &[u8]) -> Result<Option<Original>, AppendError> {
        let here = self.ids.get(id_key).and_then(|index| self.records.get(*index));
        let pending = || self.shard.pending.as_ref().and_then(|batch| batch.record_with(id_key));
        if let Some(pending) = here.or_else(pending) {
            return Ok(Some(Original::from_pending(stream, pending)?));
        }
        let database = &self.shard.open.database;
        let seq = seq_of(database, id_key, &ReadOptions::default())?;
        Ok(seq.map(|seq| Original::stored(stream, seq, database)).transpose()?)
    }

    /// A record of a tenant.
    fn original(&self, client: &ClientKey, stream: &Stream, seq: u64) -> Result<Original, AppendError> {
        let is_it = |pending: &PendingRecord<'_>| pending.seq == seq;
        let mut in_flight = self.shard.pending.iter().flat_map(|batch| batch.records_of(client));
        if let Some(pending) = self.records_of(client).find(is_it).or_else(|| in_flight.find(is_it)) {
            return Ok(Original::from_pending(stream, pending)?);
        }
        Ok(Original::stored(stream, seq, &self.shard.open.database)?)
    }

    /// The records of a tenant in this batch.
    fn records_of(&self, client: &ClientKey) -> impl Iterator<Item = PendingRecord<'_>> {
        let indices = self.tenants.get(client).map_or(&[][..], |entry| entry.pending.as_slice());
        indices.iter().filter_map(|index| self.records.get(*index))
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
