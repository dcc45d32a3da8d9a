//! The projections anew from the log: built beside the live ones, compared byte for byte, switched.
//!
//! The log is walked once, tenant by tenant, so memory holds one tenant's history, the timelines and the
//! rows of the apps. Until the switch, which is one synced write, the old projections are live and whole;
//! after it the new ones are. A crash in between leaves column families that the next opening drops.

use std::collections::BTreeMap;

use ledger_core::event::Event;
use ledger_core::ids::AppKey;
use ledger_core::timeline::AppTimelines;
use ledger_record::key::index::{index_keys, listed};
use ledger_record::key::{self, Family, LogKey};
use ledger_record::record::Stream;
use ledger_record::rows::{AppRow, FirstIds, TenantRow};
use rocksdb::{ReadOptions, WriteBatch};

use crate::audit::last_seal;
use crate::data_dir::DataDir;
use crate::db::database::{Database, PROJECTIONS};
use crate::db::options::REBUILD_WRITE_BYTES;
use crate::db::scan::{everything, sweeping};
use crate::db::{decode, tuning};
use crate::error::{ReadError, RebuildError, StorageError};
use crate::read::history::{Histories, HistoryEvent, row_of};
use crate::read::reader::read_head;
use crate::read::snapshot::read_timelines;
use crate::source::ShardId;

/// What building the projections anew found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RebuildReport {
    /// Tenants folded.
    pub tenants: u64,
    /// Records read.
    pub records: u64,
    /// Families whose rows differed from what was live, with how many and where first. Empty: not a byte.
    pub differences: Vec<FamilyDifference>,
}

/// Rows of one family that differed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FamilyDifference {
    /// Which family.
    pub family: Family,
    /// How many rows: missing, too many, or other.
    pub rows: u64,
    /// Key of the first.
    pub first_key: Vec<u8>,
}

/// Builds tenants, apps, ids and index anew beside the live ones, compares byte for byte, and switches.
/// `progress` hears of records done and in total. The shard is open for nobody else meanwhile.
pub fn rebuild(
    data_dir: &DataDir,
    shard: &ShardId,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<RebuildReport, RebuildError> {
    let (mut database, report) = build_beside(data_dir, shard, progress)?;
    database.switch_generation(database.generation() + 1)?;
    Ok(report)
}

/// As [`rebuild`], without the switch: compares, and leaves everything as it was.
pub fn check(
    data_dir: &DataDir,
    shard: &ShardId,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<RebuildReport, RebuildError> {
    let (mut database, report) = build_beside(data_dir, shard, progress)?;
    database.drop_generation(database.generation() + 1)?;
    Ok(report)
}

fn build_beside(
    data_dir: &DataDir,
    shard: &ShardId,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Database, RebuildReport), RebuildError> {
    let mut database = data_dir.open_database(shard)?;
    let (live, next) = (database.generation(), database.generation() + 1);
    database.create_generation(next, data_dir.resources())?;
    let mut report = Builder::new(&database, next, progress)?.build()?;
    database.flush_generation(next)?;
    for family in PROJECTIONS {
        report.differences.extend(compare(&database, family, live, next)?);
    }
    Ok((database, report))
}

/// Fills one generation.
struct Builder<'a> {
    database: &'a Database,
    generation: u64,
    progress: &'a mut dyn FnMut(u64, u64),
    timelines: AppTimelines,
    apps: BTreeMap<AppKey, AppRow>,
    /// What is to be written next, to be sorted first.
    rows: Vec<(Family, Vec<u8>, Vec<u8>)>,
    row_bytes: usize,
    total: u64,
    report: RebuildReport,
}

impl<'a> Builder<'a> {
    fn new(
        database: &'a Database,
        generation: u64,
        progress: &'a mut dyn FnMut(u64, u64),
    ) -> Result<Self, ReadError> {
        let head = read_head(database, &ReadOptions::default())?;
        let seals = last_seal(database, ReadOptions::default())?.map_or(0, |seal| seal.seq);
        Ok(Self {
            database,
            generation,
            progress,
            timelines: read_timelines(database, ReadOptions::default())?,
            apps: BTreeMap::new(),
            rows: Vec::new(),
            row_bytes: 0,
            total: head.next_position.saturating_sub(head.refused + seals),
            report: RebuildReport::default(),
        })
    }

    fn build(mut self) -> Result<RebuildReport, RebuildError> {
        self.fold_tenants()?;
        self.count_app_events()?;
        for (app, row) in std::mem::take(&mut self.apps) {
            self.put(Family::Apps, key::app(&app).to_vec(), row.encode())?;
        }
        self.write()?;
        (self.progress)(self.total, self.total);
        Ok(self.report)
    }

    fn fold_tenants(&mut self) -> Result<(), ReadError> {
        let mut histories = Histories::new(self.database, sweeping(ReadOptions::default()))?;
        while let Some((client, events)) = histories.advance()? {
            for HistoryEvent { seq, event, .. } in events {
                self.note(event, *seq)?;
            }
            let Some(row) = row_of(events, &self.timelines) else { continue };
            self.note_installations(&row);
            self.put(Family::Tenants, key::tenant(client).to_vec(), row.encode())?;
            for index_key in index_keys(client, &listed(&row.tenant)) {
                self.put(Family::Index, index_key, Vec::new())?;
            }
            self.report.tenants += 1;
        }
        Ok(())
    }

    fn note_installations(&mut self, row: &TenantRow) {
        for app in row.tenant.installations.keys() {
            let latest = row.tenant.latest_of(app);
            let row = self.apps.entry(app.clone()).or_default();
            row.installations += 1;
            row.latest = row.latest.max(latest);
        }
    }

    fn count_app_events(&mut self) -> Result<(), ReadError> {
        let database = self.database;
        let mut scan = database.scan(Family::Log, decode::all_apps(), sweeping(ReadOptions::default()))?;
        while let Some((key, value)) = scan.step()? {
            let LogKey { stream, seq } = decode::log_key(key)?;
            let logged = decode::event_of(&stream, key, value)?;
            self.note(&logged.event, seq)?;
            if let Stream::App(app) = stream {
                self.apps.entry(app).or_default().seq = seq;
            }
        }
        Ok(())
    }

    /// What every record has: an id, in a row of its own or in that of the tenant, and a part in the progress.
    fn note(&mut self, event: &Event, seq: u64) -> Result<(), StorageError> {
        if event.client().is_none() || seq > FirstIds::LAST_SEQ {
            self.put(Family::Ids, key::log::id(event), key::reference(seq).to_vec())?;
        }
        self.report.records += 1;
        if self.report.records.is_multiple_of(PROGRESS_EVERY) {
            (self.progress)(self.report.records, self.total);
        }
        Ok(())
    }

    fn put(&mut self, family: Family, key: Vec<u8>, value: Vec<u8>) -> Result<(), StorageError> {
        self.row_bytes += key.len() + value.len();
        self.rows.push((family, key, value));
        if self.row_bytes < REBUILD_WRITE_BYTES { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> Result<(), StorageError> {
        self.rows.sort_unstable();
        let mut batch = WriteBatch::with_capacity_bytes(self.row_bytes * 2);
        for (family, key, value) in self.rows.drain(..) {
            batch.put_cf(self.database.family_in(family, self.generation)?, key, value);
        }
        self.row_bytes = 0;
        self.database.write(batch, &tuning::unlogged())
    }
}

const PROGRESS_EVERY: u64 = 4096;

/// Walks over both generations of a family in step.
fn compare(
    database: &Database,
    family: Family,
    live: u64,
    next: u64,
) -> Result<Option<FamilyDifference>, StorageError> {
    let mut old = database.scan_in(family, live, everything(), sweeping(ReadOptions::default()))?;
    let mut new = database.scan_in(family, next, everything(), sweeping(ReadOptions::default()))?;
    let mut difference = None::<FamilyDifference>;
    let (mut a, mut b) = (old.step()?, new.step()?);
    loop {
        let (order, differs, key) = match (a, b) {
            (None, None) => return Ok(difference),
            (Some((key, _)), None) => (std::cmp::Ordering::Less, true, key),
            (None, Some((key, _))) => (std::cmp::Ordering::Greater, true, key),
            (Some(old), Some(new)) => (old.0.cmp(new.0), old != new, old.0.min(new.0)),
        };
        if differs {
            let first = || FamilyDifference { family, rows: 0, first_key: key.to_vec() };
            difference.get_or_insert_with(first).rows += 1;
        }
        if order.is_le() {
            a = old.step()?;
        }
        if order.is_ge() {
            b = new.step()?;
        }
    }
}
