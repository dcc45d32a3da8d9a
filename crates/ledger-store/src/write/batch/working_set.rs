//! The tenants that a batch touches: taken out of the cache or the store, changed, put back by the commit.

use std::collections::hash_map::Entry as Slot;

use foldhash::{HashMap, HashMapExt};
use ledger_core::event::Event;
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::refold::Refold;
use ledger_core::tenant::{Change, Outcome};
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimelines;
use ledger_record::key::{self, Family, IndexedInstallation, listed};
use ledger_record::proof::Hash;
use ledger_record::proof::line::stream_id;
use ledger_record::record::Stream;
use ledger_record::rows::TenantRow;
use rocksdb::ReadOptions;

use crate::db::cache::TenantCache;
use crate::db::database::{Database, damaged};
use crate::db::decode;
use crate::error::{Damage, ReadError};
use crate::read::history::{HistoryEvent, history_event};
use crate::write::batch::{PendingRecord, PendingRecords};

/// A tenant as the batch has it so far.
#[derive(Debug)]
pub(super) struct TenantEntry {
    pub(super) row: TenantRow,
    /// The id of its stream in the log.
    pub(super) stream_id: Hash,
    /// Bytes of the stored row; 0 when nothing is stored.
    pub(super) stored_bytes: usize,
    /// What the index has of it, as it is stored.
    pub(super) stored_listed: Vec<(AppKey, IndexedInstallation)>,
    /// Its new records.
    pub(super) pending: Vec<usize>,
    /// The row has changed without a new record: a late app-level event.
    pub(super) corrected: bool,
    /// All its events, once something was late; kept up to date while it is kept.
    history: Option<Refold<Box<Event>>>,
    /// When the history was used last, and how many records it had then.
    history_used: (u64, usize),
}

impl TenantEntry {
    pub(super) fn from_stored(client: &ClientKey, row: TenantRow, stored_bytes: usize) -> Self {
        let stored_listed = listed(&row.tenant);
        Self {
            row,
            stream_id: stream_id(&Stream::Tenant(client.clone())),
            stored_bytes,
            stored_listed,
            pending: Vec::new(),
            corrected: false,
            history: None,
            history_used: (0, 0),
        }
    }

    pub(super) fn is_stored(&self) -> bool {
        self.stored_bytes > 0
    }

    pub(super) fn is_changed(&self) -> bool {
        self.corrected || !self.pending.is_empty()
    }

    /// Reads all events of the tenant so far, unless they are kept; `pending` are its records that are being written.
    pub(super) fn load_history(
        &mut self,
        stream: &Stream,
        records: &PendingRecords,
        database: &Database,
        pending: &[PendingRecord<'_>],
    ) -> Result<(), ReadError> {
        if self.history.is_some() {
            return Ok(());
        }
        let until = pending.first().map_or(u64::MAX, |pending| pending.seq);
        let mut events = stored_events(stream, until, database)?;
        let own = self.pending.iter().filter_map(|index| records.get(*index));
        for pending in pending.iter().copied().chain(own) {
            events.push((pending.seq, decode::event_of(stream, pending.key, pending.value)?.event.into()));
        }
        self.history = Some(events.into_iter().collect());
        Ok(())
    }

    /// Applies a late event, once the history is loaded.
    pub(super) fn append_late(&mut self, seq: u64, event: &Event, apps: &AppTimelines) -> Outcome {
        let history = self.history.get_or_insert_default();
        history.append_late(&mut self.row.tenant, seq, Box::new(event.clone()), apps)
    }

    /// Folds anew what a late app-level event changes, once the history is loaded.
    pub(super) fn correct(
        &mut self,
        of: (&AppKey, Timestamp),
        before: &AppTimelines,
        after: &AppTimelines,
    ) -> Vec<Change> {
        let stood = self.row.tenant.clone();
        let history = self.history.get_or_insert_default();
        let changes = history.correct(&mut self.row.tenant, of, before, after);
        self.corrected |= self.row.tenant != stood;
        changes
    }

    pub(super) fn keeps_history(&self) -> bool {
        self.history.is_some()
    }

    pub(super) fn forget_history(&mut self) {
        self.history = None;
    }

    /// Keeps the history, if there is one, up to date with an event that was not late.
    pub(super) fn remember(&mut self, seq: u64, event: &Event) {
        if let Some(history) = &mut self.history {
            history.push(seq, Box::new(event.clone()), &self.row.tenant);
        }
    }

    pub(super) fn take_history(&mut self) -> Option<Refold<Box<Event>>> {
        self.history.take()
    }
}

/// Histories that a writer keeps between batches: a tenant that is late once is late again.
#[derive(Debug, Default)]
pub(crate) struct LateHistories {
    by_client: HashMap<ClientKey, (u64, Refold<Box<Event>>)>,
    /// In all of them.
    records: usize,
    /// How many were ever put here.
    uses: u64,
}

impl LateHistories {
    fn take(&mut self, client: &ClientKey) -> Option<Refold<Box<Event>>> {
        let (_, history) = self.by_client.remove(client)?;
        self.records -= history.len();
        Some(history)
    }

    /// Keeps a history; the oldest ones go beyond so many records.
    pub(super) fn put(&mut self, client: ClientKey, history: Refold<Box<Event>>, most_records: usize) {
        self.uses += 1;
        self.records += history.len();
        self.by_client.insert(client, (self.uses, history));
        if self.records > most_records {
            let all = self.by_client.iter().map(|(client, (used, kept))| (*used, client, kept.len()));
            for client in least_used(all, self.records, most_records) {
                self.take(&client);
            }
        }
    }

    /// An app-level event was late, so states that are kept may not hold any more.
    pub(super) fn clear(&mut self) {
        (self.by_client, self.records) = (HashMap::new(), 0);
    }
}

/// Those to forget, of histories with their last use and length: enough that it is not soon asked again.
fn least_used<'h>(
    histories: impl Iterator<Item = (u64, &'h ClientKey, usize)>,
    mut records: usize,
    most_records: usize,
) -> Vec<ClientKey> {
    let mut by_use: Vec<_> = histories.collect();
    by_use.sort_unstable();
    let is_needed = |(_, client, kept): (u64, &ClientKey, usize)| {
        let is_needed = records > most_records / 4 * 3;
        records -= kept;
        is_needed.then(|| client.clone())
    };
    by_use.into_iter().map_while(is_needed).collect()
}

/// The stored events below a seq.
fn stored_events(
    stream: &Stream,
    until: u64,
    database: &Database,
) -> Result<Vec<(u64, Box<Event>)>, ReadError> {
    let range = key::log::stream_prefix(stream)..key::log::log(stream, until);
    let mut scan = database.scan(Family::Log, range, ReadOptions::default())?;
    let mut events = Vec::new();
    while let Some((key, value)) = scan.step()? {
        let HistoryEvent { seq, event, .. } = history_event(key, decode::event_of(stream, key, value)?)?;
        events.push((seq, Box::new(event)));
    }
    Ok(events)
}

/// The tenants of a batch.
#[derive(Debug)]
pub(super) struct WorkingSet {
    by_client: HashMap<ClientKey, TenantEntry>,
    /// In all histories that are kept, as of their last use.
    history_records: usize,
    /// How often one was used.
    history_uses: u64,
}

impl WorkingSet {
    /// For about so many.
    pub(super) fn with_capacity(tenants: usize) -> Self {
        Self { by_client: HashMap::with_capacity(tenants), history_records: 0, history_uses: 0 }
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.by_client.len()
    }

    /// The tenant, as the batch has it so far.
    pub(super) fn load(
        &mut self,
        client: &ClientKey,
        cache: &mut TenantCache,
        histories: &mut LateHistories,
        database: &Database,
    ) -> Result<&mut TenantEntry, ReadError> {
        match self.by_client.entry(client.clone()) {
            Slot::Occupied(slot) => Ok(slot.into_mut()),
            Slot::Vacant(slot) => {
                let known = match cache.take(client) {
                    Some(cached) => Some(cached),
                    None => stored_row(client, database)?,
                };
                let mut entry = if let Some((row, stored_bytes)) = known {
                    TenantEntry::from_stored(client, row, stored_bytes)
                } else {
                    let stream = Stream::Tenant(client.clone());
                    check_is_new(&stream, Family::Tenants, key::tenant(client), database)?;
                    TenantEntry::from_stored(client, TenantRow::default(), 0)
                };
                entry.history = histories.take(client);
                Ok(slot.insert(entry))
            }
        }
    }

    pub(super) fn get(&self, client: &ClientKey) -> Option<&TenantEntry> {
        self.by_client.get(client)
    }

    pub(super) fn contains(&self, client: &ClientKey) -> bool {
        self.by_client.contains_key(client)
    }

    /// Takes a tenant out, to be changed; [`Self::insert`] brings it back.
    pub(super) fn remove(&mut self, client: &ClientKey) -> Option<TenantEntry> {
        self.by_client.remove(client)
    }

    pub(super) fn insert(&mut self, client: ClientKey, entry: TenantEntry) {
        self.by_client.insert(client, entry);
    }

    pub(super) fn clients(&self) -> Vec<ClientKey> {
        self.by_client.keys().cloned().collect()
    }

    /// Keeps the memory for histories within its limit; the one of `client` was used last, and stays.
    pub(super) fn forget_histories(&mut self, client: &ClientKey, most_records: usize) {
        let Some(entry) = self.by_client.get_mut(client) else { return };
        let Some(history) = &entry.history else { return };
        self.history_uses += 1;
        self.history_records = self.history_records - entry.history_used.1 + history.len();
        entry.history_used = (self.history_uses, history.len());
        if self.history_records <= most_records {
            return;
        }
        let others = self.by_client.iter();
        let others = others.filter(|(other, entry)| entry.history_used.1 > 0 && *other != client);
        let others = others.map(|(client, entry)| (entry.history_used.0, client, entry.history_used.1));
        for oldest in least_used(others, self.history_records, most_records) {
            if let Some(entry) = self.by_client.get_mut(&oldest) {
                entry.history = None;
                self.history_records -= std::mem::take(&mut entry.history_used.1);
            }
        }
    }

    /// Bytes of their rows, roughly: as they were stored, and room for what is new.
    pub(super) fn row_bytes(&self) -> usize {
        const NEW_BYTES: usize = 256;
        self.by_client.values().map(|entry| entry.stored_bytes + NEW_BYTES).sum()
    }

    /// Those that have to be written, by client key.
    pub(super) fn changed_by_client(&mut self) -> Vec<(&ClientKey, &mut TenantEntry)> {
        let changed = self.by_client.iter_mut().filter(|(_, entry)| entry.is_changed());
        let mut changed: Vec<_> = changed.collect();
        changed.sort_unstable_by_key(|(client, _)| *client);
        changed
    }

    /// Those that are stored, once what changed is written.
    pub(super) fn into_stored(self) -> impl Iterator<Item = (ClientKey, TenantEntry)> {
        self.by_client.into_iter().filter(|(_, entry)| entry.is_stored())
    }
}

/// A stream whose row is missing must have no record: to begin it anew would write over the first one (I-6).
pub(super) fn check_is_new(
    stream: &Stream,
    family: Family,
    row: &[u8],
    database: &Database,
) -> Result<(), ReadError> {
    let first = key::log::log(stream, 1);
    match database.get(Family::Log, &first, &ReadOptions::default())? {
        None => Ok(()),
        Some(_) => Err(damaged(family, row, Damage::Missing).into()),
    }
}

/// The stored row of a tenant, with its length.
pub(super) fn stored_row(
    client: &ClientKey,
    database: &Database,
) -> Result<Option<(TenantRow, usize)>, ReadError> {
    let key = key::tenant(client);
    let Some(value) = database.get(Family::Tenants, key, &ReadOptions::default())? else { return Ok(None) };
    let row = TenantRow::decode(&value).map_err(|error| damaged(Family::Tenants, key, error))?;
    Ok(Some((row, value.len())))
}
