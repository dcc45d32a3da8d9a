//! A batch: messages that become durable together (I-2), in one synced write.
//!
//! A batch is its own small world on top of the shard: it sees what it has taken so far, nobody else does,
//! and dropping it leaves nothing behind. What is stored is a function of the messages in their order and
//! of nothing else, so cutting the same messages into other batches gives the same bytes (I-5):
//!
//! - a repeat is found whether the original is stored or still in this batch;
//! - recorded time advances with accepted events only. A refused message keeps the time it would have had,
//!   a repeat has none: neither moves the next one's;
//! - rows hold sums, maxima and final states, never how many writes they took;
//! - neighbouring gaps become one, however they were noted;
//! - seals stand where the data says, not where a batch ends.
//!
//! An error in the middle leaves the batch useless, and the shard as it was. A write that fails, or an audit trail
//! that cannot go on, poisons the shard: what is on the disk is known again when it is opened anew.

mod affected;
mod app;
mod carried;
mod ids;
mod seals;
mod working_set;
mod write;

use std::collections::{BTreeMap, btree_map};

use foldhash::{HashMap, HashMapExt};
use ledger_core::event::{Body, Event};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::limits::FUTURE_MAX_MS;
use ledger_core::realm::Realm;
use ledger_core::tenant::Entry;
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimelines;
use ledger_record::key::{self, CorrectionKey, DuplicateKey, Family, GapKey};
use ledger_record::proof::line::pinned_realm_after;
use ledger_record::record::{Content, Coordinates, RULES, Record, Stream};
use ledger_record::rejection::{Reason, Refused, Rejection};
use ledger_record::rows::{AppRow, ShardHead, SourcePosition};
use rocksdb::ReadOptions;

use crate::audit::PendingLeaves;
use crate::db::database::Database;
use crate::db::scan::prefixed;
use crate::error::{AppendError, ReadError};
use crate::write::shard::Shard;
use seals::after;
pub(crate) use working_set::LateHistories;
use working_set::{TenantEntry, WorkingSet};

/// A message that decoded.
#[derive(Debug, Clone)]
pub struct IncomingEvent {
    /// Where it came from.
    pub from: Coordinates,
    /// The source's own timestamp of it.
    pub source_time: Timestamp,
    /// What it says.
    pub event: Event,
    /// The event's time was taken from `source_time`.
    pub time_defaulted: bool,
    /// How late the event's time may be.
    pub future: FutureLimit,
}

/// The last event time that is taken (rules 7, `time-in-future`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FutureLimit {
    /// 24 h after the time it is recorded with: what a partition says alone, so that replicas agree.
    AfterRecorded,
    /// This instant: 24 h after the clock at import.
    At(Timestamp),
    /// It was judged when it was recorded first: it is carried over from another log ([`crate::refill()`]).
    Passed,
}

impl FutureLimit {
    /// What an import refuses whatever it is recorded with.
    #[must_use]
    pub fn is_before(self, time: Timestamp) -> bool {
        matches!(self, Self::At(instant) if time > instant)
    }

    /// The rejection of an event whose field lies behind it.
    #[must_use]
    pub fn rejection(self, path: &str) -> Rejection {
        let than = match self {
            Self::AfterRecorded => "the time it was recorded",
            Self::At(_) | Self::Passed => "now",
        };
        Rejection {
            reason: Reason::TimeInFuture,
            path: Some(path.to_owned()),
            detail: format!("expected a time at most 24 hours after {than}"),
        }
    }
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendResult {
    /// It is a record now.
    Appended {
        /// In the shard.
        position: u64,
        /// In its stream.
        seq: u64,
        /// It sorted before something already applied.
        late: bool,
        /// The first record of its tenant in this shard.
        new_tenant: bool,
    },
    /// It repeats a record, and was counted.
    Duplicate {
        /// Position of the original.
        position: u64,
        /// Seq of the original.
        seq: u64,
    },
    /// It cannot be recorded, and nothing was done: [`Batch::refuse`] it, redacted.
    Refused(Rejection),
}

/// What a commit made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Where the shard stands now.
    pub head: ShardHead,
    /// Records appended, refused ones included.
    pub records: u64,
}

/// Messages that become durable together.
#[derive(Debug)]
pub struct Batch<'a> {
    pub(crate) shard: &'a mut Shard,
    /// The head as it will be.
    next: ShardHead,
    /// New records, by position.
    records: Vec<Pending>,
    /// Keys in `ids` of the new records.
    ids: HashMap<Vec<u8>, usize>,
    tenants: WorkingSet,
    apps: BTreeMap<AppKey, AppRow>,
    /// The shard's timelines with what this batch adds; none as long as that is nothing.
    timelines: Option<AppTimelines>,
    corrections: Vec<(CorrectionKey, Vec<u8>)>,
    duplicates: Vec<(DuplicateKey, u64)>,
    gaps: BTreeMap<GapKey, u64>,
    /// The last gap of each source that this batch notes one of.
    last_gaps: BTreeMap<String, (u64, u64)>,
    sources: BTreeMap<String, SourcePosition>,
    /// Where the history of a source begins, when that is late.
    begins: BTreeMap<String, u64>,
    taken: usize,
    record_bytes: usize,
    evidence: PendingLeaves,
    failed: bool,
}

/// What a batch held: the next one makes room for as much at once.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BatchSize {
    records: usize,
    tenants: usize,
}

/// A record that is not stored yet, as it will be.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) key: Vec<u8>,
    /// Empty: a seal, of which only its place is known.
    pub(crate) value: Vec<u8>,
    pub(crate) seq: u64,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(shard: &'a mut Shard) -> Self {
        let next = shard.head;
        let BatchSize { records, tenants } = shard.last_batch;
        let evidence = shard.evidence.draft(records);
        Self {
            shard,
            next,
            records: Vec::with_capacity(records),
            ids: HashMap::with_capacity(records),
            tenants: WorkingSet::with_capacity(tenants),
            apps: BTreeMap::new(),
            timelines: None,
            corrections: Vec::new(),
            duplicates: Vec::new(),
            gaps: BTreeMap::new(),
            last_gaps: BTreeMap::new(),
            sources: BTreeMap::new(),
            begins: BTreeMap::new(),
            taken: 0,
            record_bytes: 0,
            evidence,
            failed: false,
        }
    }
}

impl Batch<'_> {
    /// Takes a message that decoded: appended, counted as a repeat, or handed back as refused.
    pub fn offer(&mut self, arrival: IncomingEvent) -> Result<AppendResult, AppendError> {
        self.check_usable()?;
        let offered = self.try_offer(arrival);
        self.failed = offered.is_err();
        offered
    }

    /// Puts a refused message in quarantine; answers its position.
    pub fn refuse(&mut self, from: Coordinates, refused: Refused) -> Result<u64, AppendError> {
        self.check_usable()?;
        let source_time = refused.source_time.map(within_lines);
        let floor = self.next.recorded.or(source_time).unwrap_or(Timestamp::from_millis(0));
        let recorded = source_time.map_or(floor, |time| time.max(floor));
        self.refuse_at(from, refused, recorded)
    }

    fn refuse_at(
        &mut self,
        from: Coordinates,
        refused: Refused,
        recorded: Timestamp,
    ) -> Result<u64, AppendError> {
        self.seal_before(&from, recorded);
        self.next.refused += 1;
        let seq = self.next.refused;
        let pushed = self.push(Stream::Rejected, seq, from, recorded, Content::Refused(refused), None, None);
        self.failed = pushed.is_err();
        pushed
    }

    /// Notes that the source has nothing at the offsets `[from, to)`. Neighbours become one. Like messages,
    /// gaps come in the order of their offsets.
    pub fn gap(&mut self, source: &str, from: u64, to: u64) -> Result<(), AppendError> {
        self.check_usable()?;
        if from >= to {
            return Ok(());
        }
        let before = self.last_gap(source);
        self.failed = before.is_err();
        let (first_offset, to) = match before? {
            Some((first, end)) if first <= from && from <= end => (first, end.max(to)),
            _ => (from, to),
        };
        self.last_gaps.insert(source.to_owned(), (first_offset, to));
        self.gaps.insert(GapKey { source: source.to_owned(), first_offset }, to);
        Ok(())
    }

    /// Notes that a source that was never read before had lost everything before this offset by then.
    pub fn begin_late(&mut self, source: &str, first_offset: u64) {
        self.begins.insert(source.to_owned(), first_offset);
    }

    /// Notes how far a source was read. The last word of a batch counts.
    pub fn advance(&mut self, source: &str, position: SourcePosition) {
        self.sources.insert(source.to_owned(), position);
    }

    /// Where the shard stands with this batch.
    pub fn head(&self) -> ShardHead {
        self.next
    }

    /// Messages taken so far: appended, repeated, refused.
    pub fn len(&self) -> usize {
        self.taken
    }

    /// No message was taken so far; positions and gaps may have been noted all the same.
    pub fn is_empty(&self) -> bool {
        self.taken == 0
    }

    /// Bytes of what was taken so far: records, and the corrections of late app-level events.
    pub fn bytes(&self) -> usize {
        self.record_bytes
    }

    fn check_usable(&self) -> Result<(), AppendError> {
        match self.shard.poisoned() {
            Some(poison) => Err(poison.into()),
            None if self.failed => Err(AppendError::Abandoned),
            None => Ok(()),
        }
    }

    fn try_offer(&mut self, arrival: IncomingEvent) -> Result<AppendResult, AppendError> {
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
        let stream = Stream::of(&arrival.event);
        let id_key = key::log::id(&arrival.event);
        if let Some(original) = self.find_original(&stream, &id_key)? {
            return Ok(self.repeat(&arrival, &original));
        }
        self.seal_before(&arrival.from, recorded);
        let index = self.records.len();
        let offer = match &arrival.event.body {
            Body::Installation { client, .. } | Body::Tenant { client, .. } => {
                self.append_to_tenant(client.clone(), arrival, recorded)?
            }
            Body::App { app, .. } => self.append_to_app(app.clone(), arrival, recorded)?,
        };
        self.ids.insert(id_key, index);
        Ok(offer)
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
            let pending: Vec<&Pending> =
                self.shard.pending.iter().flat_map(|batch| batch.records_of(&client)).collect();
            entry.load_history(&stream, &self.records, database, &pending)?;
            entry.append_late(seq, &event, timelines)
        };
        let previous = (seq > 1).then_some(entry.row.position);
        let pinned = pinned_realm_after(&event, &entry.row.tenant);
        entry.row.seq = seq;
        entry.row.position = position;
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
        self.push(Stream::Tenant(client), seq, from, recorded, content, pinned, previous)?;
        Ok(AppendResult::Appended { position, seq, late, new_tenant: seq == 1 })
    }

    /// Adds a record to the batch, with the realm that its line shows and the position of its tenant's record
    /// before; answers its position.
    #[expect(clippy::too_many_arguments, reason = "the parts of a record, each once")]
    fn push(
        &mut self,
        stream: Stream,
        seq: u64,
        source: Coordinates,
        recorded: Timestamp,
        content: Content,
        pinned_realm: Option<Realm>,
        previous: Option<u64>,
    ) -> Result<u64, AppendError> {
        let position = self.next.next_position;
        let key = key::log::log(&stream, seq);
        let record = Record { position, stream, seq, source, recorded, rules: RULES, content };
        let value = record.encode();
        let source = record.source.clone();
        let is_full = self.evidence.record(record, pinned_realm, previous)?;
        self.record_bytes += key.len() + value.len();
        self.records.push(Pending { key, value, seq });
        self.next.next_position += 1;
        self.taken += 1;
        if is_full {
            self.seal(after(source));
        }
        Ok(position)
    }

    /// The row of an app, as this batch has it so far.
    fn app_row(&mut self, app: &AppKey) -> Result<&mut AppRow, AppendError> {
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
        if is_in_flight && !self.tenants.contains(client) && self.shard.tenants.peek(client).is_none() {
            self.shard.settle()?;
        }
        Ok(())
    }

    /// The last gap of a source, from its first offset up to its end. A shard looks for it in the store once for each
    /// source, so that a source with a hole behind every transaction waits for no write.
    fn last_gap(&mut self, source: &str) -> Result<Option<(u64, u64)>, AppendError> {
        if let Some(last) = self.last_gaps.get(source) {
            return Ok(Some(*last));
        }
        if !self.shard.last_gaps.contains_key(source) {
            self.shard.settle()?;
            let stored = stored_last_gap(source, &self.shard.open.database)?;
            self.shard.last_gaps.insert(source.to_owned(), stored);
        }
        Ok(self.shard.last_gaps.get(source).copied().flatten())
    }
}

fn stored_last_gap(source: &str, database: &Database) -> Result<Option<(u64, u64)>, ReadError> {
    let range = prefixed(GapKey::prefix(source));
    let mut scan = database.scan(Family::Gaps, range, ReadOptions::default())?;
    let Some((key, value)) = scan.last()? else { return Ok(None) };
    let damaged = |error| crate::db::database::damaged(Family::Gaps, key, error);
    let first = GapKey::decode(key).map_err(damaged)?.first_offset;
    Ok(Some((first, key::parse_u64(value).map_err(damaged)?)))
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

/// Kafka takes any number for a timestamp; the lines of the audit trail do not.
fn within_lines(time: Timestamp) -> Timestamp {
    const MAX_MS: i64 = (1 << 53) - 1;
    Timestamp::from_millis(time.as_millis().clamp(-MAX_MS, MAX_MS))
}
