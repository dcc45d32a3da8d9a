//! App-level events. One that is in time is a record and nothing more: descriptors and policies are looked
//! up when an installation's own events come. One that is late changes what was looked up before, so every
//! installation of the app with an event of its own after it is folded anew ([`AffectedTenants`] finds them).
//!
//! What it corrects stands beside the record, by tenant: it may be very many. The tenants that change stay
//! in memory until the commit, as everything goes into one write.

use std::sync::Arc;

use ledger_core::event::Body;
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::tenant::Outcome;
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimelines;
use ledger_record::key::index::{IndexEntry, app_prefix};
use ledger_record::key::{self, CorrectionKey, Family};
use ledger_record::record::{Content, Stream};
use ledger_record::rows::{TenantRow, encode_changes};
use rocksdb::ReadOptions;

use crate::db::database::{Database, damaged};
use crate::db::decode;
use crate::db::placed::PlacedEntries;
use crate::db::scan::{Scan, prefixed};
use crate::error::{AppendError, Damage, ReadError};
use crate::read::lists;
use crate::write::batch::working_set::{TenantEntry, check_is_new, stored_row};
use crate::write::batch::{AppendResult, Batch, IncomingEvent};

/// A late app-level event, and the timelines without and with it.
struct Late<'e> {
    app: &'e AppKey,
    time: Timestamp,
    position: u64,
    /// How many installations the app has.
    installations: u64,
    before: AppTimelines,
    after: &'e AppTimelines,
}

impl Batch<'_> {
    pub(super) fn append_to_app(
        &mut self,
        app: AppKey,
        arrival: IncomingEvent,
        recorded: Timestamp,
    ) -> Result<AppendResult, AppendError> {
        let IncomingEvent { from, event, time_defaulted, .. } = arrival;
        let position = self.next.next_position;
        // It looks for more than a batch in flight can tell, and comes rarely.
        self.shard.settle()?;
        if self.app_row(&app)?.seq == 0 {
            let stream = Stream::App(app.clone());
            check_is_new(&stream, Family::Apps, key::app(&app), &self.shard.open.database)?;
        }
        let row = self.app_row(&app)?;
        row.seq += 1;
        let row = *row;
        let mut timelines = self.timelines.take().unwrap_or_else(|| self.shard.timelines.clone());
        let late = timelines.of(&app).event_is_late(event.time, &event.id, row.latest);
        // When only app-level events lie after it, nothing was looked up there yet.
        let corrects = late && row.latest >= Some(event.time);
        let before = corrects.then(|| timelines.clone());
        if let Body::App { fact, .. } = &event.body {
            timelines.insert(&app, event.time, event.id.clone(), fact);
        }
        if let Some(before) = before {
            let (time, installations, after) = (event.time, row.installations, &timelines);
            self.correct(&Late { app: &app, time, position, installations, before, after })?;
        }
        self.timelines = Some(timelines);
        self.next.recorded = Some(recorded);
        self.ids.insert(key::log::id(&event), self.records.len());
        let content =
            Content::Event { event, time_defaulted, outcome: Outcome { late, changes: Vec::new() } };
        self.push(Stream::App(app), row.seq, from, recorded, content, None)?;
        Ok(AppendResult::Appended { position, seq: row.seq, late, new_tenant: false })
    }

    /// Folds anew every installation of the app that has an event of its own after a late event.
    fn correct(&mut self, late: &Late<'_>) -> Result<(), ReadError> {
        let open = Arc::clone(&self.shard.open);
        self.shard.histories.clear();
        let touched_before = self.tenants.clients();
        // What was recorded before that instant also happened before the late event.
        let since = late.time.plus_millis(self.next.ahead_ms.saturating_neg());
        let end = self.shard.head.next_position;
        let mut candidates = AffectedTenants::find(&open.database, late.app, late.installations, end, since)?;
        while let Some(candidate) = candidates.next()? {
            if !self.tenants.contains(&candidate.client) {
                self.correct_stored(candidate, late)?;
            }
        }
        // What is stored does not tell yet what this batch did to those.
        for client in touched_before {
            self.correct_touched(&client, late)?;
        }
        Ok(())
    }

    /// A tenant that this batch has not touched stays untouched unless it changes.
    fn correct_stored(&mut self, candidate: AffectedTenant, late: &Late<'_>) -> Result<(), ReadError> {
        let database = &self.shard.open.database;
        let concerned =
            |row: &TenantRow| candidate.is_due(row) && row.tenant.looked_up_since(late.app, late.time);
        let (row, stored_bytes) = match self.shard.tenants.peek(&candidate.client) {
            Some((row, _)) if !concerned(&row) => return Ok(()),
            Some((row, bytes)) => (row.into_owned(), bytes),
            None => stored_row(&candidate.client, database)?
                .ok_or_else(|| damaged(Family::Tenants, candidate.client.as_bytes(), Damage::Missing))?,
        };
        if !concerned(&row) {
            return Ok(());
        }
        let client = candidate.client;
        let mut entry = TenantEntry::from_stored(&client, row, stored_bytes);
        self.refold(&client, &mut entry, late)?;
        entry.forget_history();
        if entry.is_changed() {
            self.shard.tenants.take(&client);
            self.tenants.insert(client, entry);
        }
        Ok(())
    }

    fn correct_touched(&mut self, client: &ClientKey, late: &Late<'_>) -> Result<(), ReadError> {
        let Some(mut entry) = self.tenants.remove(client) else { return Ok(()) };
        if entry.row.tenant.looked_up_since(late.app, late.time) {
            self.refold(client, &mut entry, late)?;
        }
        self.tenants.insert(client.clone(), entry);
        self.tenants.forget_histories(client, self.shard.tenants.budget().late_records());
        Ok(())
    }

    fn refold(
        &mut self,
        client: &ClientKey,
        entry: &mut TenantEntry,
        late: &Late<'_>,
    ) -> Result<(), ReadError> {
        let stream = Stream::Tenant(client.clone());
        entry.load_history(&stream, &self.records, &self.shard.open.database, &[])?;
        let changes = entry.correct((late.app, late.time), &late.before, late.after);
        if !changes.is_empty() {
            let key = CorrectionKey { position: late.position, client: client.clone() };
            let value = encode_changes(&changes);
            self.record_bytes += client.as_bytes().len() + value.len();
            self.corrections.push((key, value));
        }
        Ok(())
    }
}

/// A stored tenant that may be affected.
pub(super) struct AffectedTenant {
    pub(super) client: ClientKey,
    /// The record that it was found by.
    position: Option<u64>,
}

impl AffectedTenant {
    /// Whether it is to be looked at now. One that is found by its records is looked at once, by the last.
    pub(super) fn is_due(&self, row: &TenantRow) -> bool {
        self.position.is_none_or(|position| position == row.position)
    }
}

/// The stored tenants that a late app-level event may affect, one by one, without reading all tenants of the app.
///
/// It changes those only that have an event at its time or after it. None of their events is further ahead of the time
/// it was recorded than the head says, so what they have was recorded since the time of the late event, less that. Those
/// records are the end of the log, which is short as a rule: an app-level event that is a minute late meets the tenants
/// of a minute. When there are more of them than the app has installations, the index names the tenants instead.
///
/// Both ways find more than is affected, in another order: which tenants change, and how, does not depend on the way
/// (I-5).
pub(super) enum AffectedTenants<'a> {
    /// By the end of the log.
    Records(PlacedEntries<'a>),
    /// By the index.
    Installations(Scan<'a>),
}

impl<'a> AffectedTenants<'a> {
    /// The tenants with a record since an instant, or all `installations` of the app, whichever are fewer.
    /// The log has `end` positions.
    pub(super) fn find(
        database: &'a Database,
        app: &AppKey,
        installations: u64,
        end: u64,
        since: Timestamp,
    ) -> Result<Self, ReadError> {
        let first = decode::first_recorded_since(database, end, since, &ReadOptions::default())?;
        let options = ReadOptions::default();
        Ok(if end - first < installations {
            Self::Records(PlacedEntries::new(database, Family::Positions, first..end, options)?)
        } else {
            Self::Installations(database.scan(Family::Index, prefixed(app_prefix(app)), options)?)
        })
    }

    pub(super) fn next(&mut self) -> Result<Option<AffectedTenant>, ReadError> {
        match self {
            Self::Records(references) => {
                while let Some((position, reference)) = references.step()? {
                    if let Stream::Tenant(client) = decode::reference(position, reference)?.stream {
                        return Ok(Some(AffectedTenant { client, position: Some(position) }));
                    }
                }
                Ok(None)
            }
            Self::Installations(index) => match index.step()? {
                None => Ok(None),
                Some((key, _)) => match lists::decode(key)? {
                    IndexEntry::App { client, .. } => Ok(Some(AffectedTenant { client, position: None })),
                    _ => Err(damaged(Family::Index, key, Damage::Misplaced).into()),
                },
            },
        }
    }
}
