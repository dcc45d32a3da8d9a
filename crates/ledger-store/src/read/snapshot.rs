//! One moment of a shard: every read goes through here, and sees nothing that was written later.
//!
//! Scans lend nothing out: each item is decoded as it is asked for, so a scan that is abandoned costs what
//! was taken from it. Entries that do not decode are errors that name the entry; the scan ends there.

use std::collections::BTreeSet;
use std::ops::Range;

use ledger_core::event::Body;
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::tenant::Change;
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimelines;
use ledger_record::key::{self, CorrectionKey, DuplicateKey, Family, GapKey, LogKey, MetaKey};
use ledger_record::record::{Record, Stream};
use ledger_record::rows::{AppRow, PublisherRow, ShardHead, SourcePosition, TenantRow, decode_changes};
use rocksdb::ReadOptions;

use crate::db::database::{Database, damaged};
use crate::db::decode;
use crate::db::options::POSITIONS_AT_A_TIME;
use crate::db::placed::{PlacedEntries, missing};
use crate::db::scan::{Items, everything, everything_from, prefixed, prefixed_from, sweeping};
use crate::error::{Damage, ReadError};
use crate::read::reader::read_head;

/// Everything in the shard as of one moment.
pub struct Snapshot<'a> {
    pub(crate) database: &'a Database,
    at: rocksdb::Snapshot<'a>,
    tier: ReadTier,
}

/// How far a read goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadTier {
    /// To the disk.
    Disk,
    /// Memory only: what lies elsewhere is an error. Nothing waits for the disk.
    Memory,
}

impl std::fmt::Debug for Snapshot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("database", &self.database).finish_non_exhaustive()
    }
}

impl<'a> Snapshot<'a> {
    pub(crate) fn new(database: &'a Database, tier: ReadTier) -> Self {
        Self { database, at: database.snapshot(), tier }
    }

    pub(crate) fn database(&self) -> &'a Database {
        self.database
    }

    pub(crate) fn options(&self) -> ReadOptions {
        let mut options = ReadOptions::default();
        options.set_snapshot(&self.at);
        if self.tier == ReadTier::Memory {
            options.set_read_tier(rocksdb::ReadTier::BlockCache);
        }
        options
    }

    /// For what walks over the whole shard.
    pub(crate) fn sweeping(&self) -> ReadOptions {
        sweeping(self.options())
    }

    /// Where the shard stands.
    pub fn head(&self) -> Result<ShardHead, ReadError> {
        read_head(self.database, &self.options())
    }

    /// How far each source was read, by name.
    pub fn source_positions(&self) -> Result<Vec<(String, SourcePosition)>, ReadError> {
        let range = prefixed(MetaKey::SOURCES.to_vec());
        let scan = self.database.scan(Family::Meta, range, self.options())?;
        Items::new(scan, |key, value| {
            let MetaKey::Source(name) = MetaKey::decode(key)? else { return Err(Damage::Misplaced) };
            Ok((name, SourcePosition::decode(value)?))
        })
        .collect()
    }

    /// How far a source was read.
    pub fn source_position(&self, name: &str) -> Result<Option<SourcePosition>, ReadError> {
        let key = MetaKey::Source(name.to_owned()).encode();
        self.database.row(Family::Meta, &key, &self.options(), SourcePosition::decode)
    }

    /// The sources whose history begins late, by name, with the first offset that was there.
    pub fn late_beginnings(&self) -> Result<Vec<(String, u64)>, ReadError> {
        let scan = self.database.scan(Family::Meta, prefixed(MetaKey::BEGINS.to_vec()), self.options())?;
        Items::new(scan, |key, value| {
            let MetaKey::Begin(name) = MetaKey::decode(key)? else { return Err(Damage::Misplaced) };
            Ok((name, key::parse_u64(value)?))
        })
        .collect()
    }

    /// Where the publisher stands: the next position to publish.
    pub fn publisher_position(&self) -> Result<u64, ReadError> {
        let cursor = self.database.row(
            Family::Meta,
            &MetaKey::Publisher.encode(),
            &self.options(),
            PublisherRow::decode,
        )?;
        Ok(cursor.unwrap_or_default().next_position)
    }

    /// A tenant as it is folded.
    pub fn tenant(&self, client: &ClientKey) -> Result<Option<TenantRow>, ReadError> {
        self.database.row(Family::Tenants, key::tenant(client), &self.options(), TenantRow::decode)
    }

    /// Every tenant, by client key, from `from` on.
    pub fn tenants(
        &self,
        from: Option<&ClientKey>,
    ) -> Result<impl Iterator<Item = Result<(ClientKey, TenantRow), ReadError>> + use<'a>, ReadError> {
        let start = from.map_or_else(Vec::new, |client| key::tenant(client).to_vec());
        let scan = self.database.scan(Family::Tenants, everything_from(start), self.options())?;
        Ok(Items::new(scan, |key, value| Ok((key::parse_tenant(key)?, TenantRow::decode(value)?))))
    }

    /// The client keys of every tenant, in order. Cheaper than their rows.
    pub fn tenant_keys(
        &self,
    ) -> Result<impl Iterator<Item = Result<ClientKey, ReadError>> + use<'a>, ReadError> {
        let scan = self.database.scan(Family::Tenants, everything(), self.sweeping())?;
        Ok(Items::new(scan, |key, _| Ok(key::parse_tenant(key)?)))
    }

    /// The tenants that may have an event after an instant; `None` when more than `most` records would have to be
    /// looked at. No event is further ahead of the time it was recorded than the head says, so those tenants stand
    /// at the end of the log.
    pub fn tenants_ahead_of(
        &self,
        at: Timestamp,
        most: u64,
    ) -> Result<Option<BTreeSet<ClientKey>>, ReadError> {
        let head = self.head()?;
        let since = at.plus_millis(head.ahead_ms.saturating_neg());
        let end = head.next_position;
        let first = decode::first_recorded_since(self.database, end, since, &self.options())?;
        if end - first > most {
            return Ok(None);
        }
        let mut references =
            PlacedEntries::new(self.database, Family::Positions, first..end, self.options())?;
        let mut clients = BTreeSet::new();
        while let Some((position, reference)) = references.step()? {
            if let Stream::Tenant(client) = decode::reference(position, reference)?.stream {
                clients.insert(client);
            }
        }
        Ok(Some(clients))
    }

    /// The row of an app.
    pub fn app(&self, app: &AppKey) -> Result<Option<AppRow>, ReadError> {
        self.database.row(Family::Apps, key::app(app), &self.options(), AppRow::decode)
    }

    /// Every app, by key.
    pub fn apps(
        &self,
    ) -> Result<impl Iterator<Item = Result<(AppKey, AppRow), ReadError>> + use<'a>, ReadError> {
        let scan = self.database.scan(Family::Apps, everything(), self.options())?;
        Ok(Items::new(scan, |key, value| Ok((key::parse_app(key)?, AppRow::decode(value)?))))
    }

    /// The timelines of all apps.
    pub fn app_timelines(&self) -> Result<AppTimelines, ReadError> {
        read_timelines(self.database, self.options())
    }

    /// The record with a position; none behind the end of the log.
    pub fn record_at(&self, position: u64) -> Result<Option<Record>, ReadError> {
        let record = decode::stored_record(self.database, position, &self.options())?;
        if record.is_none() && position < self.head()?.next_position {
            return Err(missing(Family::Positions, position));
        }
        Ok(record)
    }

    /// All records in order of position, from `position` on.
    pub fn records_from(
        &self,
        position: u64,
    ) -> Result<impl Iterator<Item = Result<Record, ReadError>> + use<'_, 'a>, ReadError> {
        let positions = position..self.head()?.next_position;
        let mut references = PlacedEntries::new(self.database, Family::Positions, positions, self.options())?;
        let mut fetched = Vec::new().into_iter();
        let mut failed = false;
        Ok(std::iter::from_fn(move || {
            if failed {
                return None;
            }
            if fetched.as_slice().is_empty() {
                fetched = self.fetch(&mut references).into_iter();
            }
            let record = fetched.next();
            failed = matches!(record, Some(Err(_)));
            record
        }))
    }

    /// The same as far as they read: an error only if it is the first. Whoever goes on behind the last one hears of it then.
    pub fn readable_from(
        &self,
        position: u64,
    ) -> Result<impl Iterator<Item = Result<Record, ReadError>> + use<'_, 'a>, ReadError> {
        let mut is_first = true;
        Ok(self.records_from(position)?.take_while(move |record| {
            let was_first = std::mem::replace(&mut is_first, false);
            record.is_ok() || was_first
        }))
    }

    /// The next records in order of position, many in one read, up to the first that does not read.
    fn fetch(&self, references: &mut PlacedEntries<'_>) -> Vec<Result<Record, ReadError>> {
        let (mut positions, mut keys, mut failure) = (Vec::new(), Vec::new(), None);
        while keys.len() < POSITIONS_AT_A_TIME {
            match references.step() {
                Ok(Some((position, reference))) => {
                    positions.push(position);
                    keys.push(reference.to_vec());
                }
                Ok(None) => break,
                Err(error) => {
                    failure = Some(Err(error));
                    break;
                }
            }
        }
        let values = match self.database.get_many(Family::Log, &keys, &self.options()) {
            Ok(values) => values,
            Err(error) => return vec![Err(error.into())],
        };
        let records =
            positions.into_iter().zip(keys.iter().zip(values)).map(|(position, (reference, value))| {
                let value = value.ok_or_else(|| damaged(Family::Log, reference, Damage::Missing))?;
                decode::record_at(position, reference, &value)
            });
        records.chain(failure).collect()
    }

    /// The records of a stream in order of seq, from `from_seq` on. [`Stream::Rejected`] is the quarantine.
    pub fn records(
        &self,
        stream: &Stream,
        from_seq: u64,
    ) -> Result<impl Iterator<Item = Result<Record, ReadError>> + use<'a>, ReadError> {
        let range = prefixed_from(&key::log::stream_prefix(stream), key::log::log(stream, from_seq));
        let scan = self.database.scan(Family::Log, range, self.options())?;
        let stream = stream.clone();
        Ok(Items::new(scan, move |key, value| {
            let (_, seq) = key.split_last_chunk::<8>().ok_or(Damage::Misplaced)?;
            Ok(Record::decode(stream.clone(), u64::from_be_bytes(*seq), value)?)
        }))
    }

    /// All tenants' records, grouped by tenant: by client key, then by seq.
    pub fn tenant_records(
        &self,
    ) -> Result<impl Iterator<Item = Result<Record, ReadError>> + use<'a>, ReadError> {
        self.records_in(decode::all_tenants())
    }

    /// All app-level records, grouped by app: by app key, then by seq.
    pub(crate) fn app_records(
        &self,
    ) -> Result<impl Iterator<Item = Result<Record, ReadError>> + use<'a>, ReadError> {
        self.records_in(decode::all_apps())
    }

    fn records_in(
        &self,
        range: Range<Vec<u8>>,
    ) -> Result<impl Iterator<Item = Result<Record, ReadError>> + use<'a>, ReadError> {
        let scan = self.database.scan(Family::Log, range, self.sweeping())?;
        Ok(Items::new(scan, |key, value| {
            let LogKey { stream, seq } = LogKey::decode(key)?;
            Ok(Record::decode(stream, seq, value)?)
        }))
    }

    /// What a late app-level record changed, by client key, from `from` on.
    pub fn corrections(
        &self,
        position: u64,
        from: Option<&ClientKey>,
    ) -> Result<impl Iterator<Item = Result<(ClientKey, Vec<Change>), ReadError>> + use<'a>, ReadError> {
        let prefix = CorrectionKey::prefix(position);
        let start = [&prefix[..], from.map_or(&[][..], |client| client.as_bytes())].concat();
        let scan = self.database.scan(Family::Corrections, prefixed_from(&prefix, start), self.options())?;
        Ok(Items::new(scan, |key, value| Ok((CorrectionKey::decode(key)?.client, decode_changes(value)?))))
    }

    /// Repeats of a source, by offset from `from_offset` on: (offset, position of the original).
    pub fn duplicates(
        &self,
        source: &str,
        from_offset: u64,
    ) -> Result<impl Iterator<Item = Result<(u64, u64), ReadError>> + use<'a>, ReadError> {
        let start = DuplicateKey { source: source.to_owned(), offset: from_offset }.encode();
        let range = prefixed_from(&DuplicateKey::prefix(source), start);
        let scan = self.database.scan(Family::Duplicates, range, self.options())?;
        Ok(Items::new(scan, |key, value| Ok((DuplicateKey::decode(key)?.offset, key::parse_u64(value)?))))
    }

    /// Offsets at which a source had no message that counts, in order: nothing at all, or ticks.
    pub fn gaps(
        &self,
        source: &str,
    ) -> Result<impl Iterator<Item = Result<(u64, u64), ReadError>> + use<'a>, ReadError> {
        let scan = self.database.scan(Family::Gaps, prefixed(GapKey::prefix(source)), self.options())?;
        Ok(Items::new(scan, |key, value| Ok((GapKey::decode(key)?.first_offset, key::parse_u64(value)?))))
    }
}

/// The timelines of all apps, out of their streams.
pub(crate) fn read_timelines(database: &Database, options: ReadOptions) -> Result<AppTimelines, ReadError> {
    let mut timelines = AppTimelines::default();
    let mut scan = database.scan(Family::Log, decode::all_apps(), options)?;
    while let Some((key, value)) = scan.step()? {
        let event = decode::logged_event(key, value)?.event;
        let Body::App { app, fact } = &event.body else {
            return Err(damaged(Family::Log, key, Damage::Misplaced).into());
        };
        timelines.insert(app, event.time, event.id, fact);
    }
    Ok(timelines)
}
