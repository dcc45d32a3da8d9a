//! A tenant's records, taken in again in order of arrival with what was set for the apps: outcomes, realms, leaves
//! and the state follow from nothing else. And the streams that belong to no tenant.

use std::collections::{BTreeMap, BTreeSet};

use ledger_core::event::{Body, Event};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::realm::Realm;
use ledger_core::state::Rule;
use ledger_core::tenant::Outcome;
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimelines;
use ledger_record::key::evidence::LeafRow;
use ledger_record::key::log::{SUCCESSION, TENANT};
use ledger_record::key::{self, Family};
use ledger_record::proof::line::{self, LeafContext, LeafHasher, LedgerSecret, own_rule, pinned_realm_after};
use ledger_record::proof::{Hash, log as whole};
use ledger_record::record::{Content, PriorLog, Record, Stream, decode_outcome, encode_outcome};
use ledger_record::replay::Replay;
use ledger_record::rows::{FirstIds, TenantRow};

use crate::check::verify::offsets::Sources;
use crate::check::verify::sweep::{NamedStream, Slot, Table, Totals, put_all};
use crate::check::verify::{ShardFault, VerifyError, check_rules};
use crate::db::database::damaged;
use crate::db::scan::everything_from;
use crate::error::{Damage, ReadError};
use crate::read::snapshot::Snapshot;

/// What tenants are verified by.
pub(super) struct TenantVerifier<'s, 'a> {
    pub(super) snapshot: &'s Snapshot<'a>,
    sources: &'s Sources,
    /// App-level records of each app.
    apps: BTreeMap<AppKey, Vec<Record>>,
}

/// What was found of a stream; used again for the next one.
#[derive(Debug)]
pub(super) struct TenantResult {
    hasher: LeafHasher,
    pub(super) slots: Vec<(u64, Slot)>,
    pub(super) fault: Option<ShardFault>,
    pub(super) corrections: u64,
    pub(super) ahead_ms: u64,
    pub(super) recorded: Option<Timestamp>,
    /// The tenant's apps, and event time of the last event of each.
    pub(super) apps: Vec<(AppKey, Option<Timestamp>)>,
    /// The same as it was at each app-level event, by its position.
    pub(super) latest: Vec<(u64, Timestamp)>,
    /// The record before: seq, position, leaf.
    last: Option<(u64, u64, Hash)>,
    outcome: Vec<u8>,
    row: Vec<u8>,
}

/// The records of a tenant. Their outcomes stay as they are stored: what is derived is compared with the bytes.
#[derive(Debug, Default)]
pub(super) struct TenantLog {
    records: Vec<Record>,
    /// One after the other, and where each ends.
    outcomes: Vec<u8>,
    ends: Vec<usize>,
}

/// What arrived.
#[derive(Clone, Copy)]
enum Arrived<'r> {
    OwnRecord { record: &'r Record, event: &'r Event, stored: &'r [u8] },
    OfApp { app: &'r AppKey, event: &'r Event },
}

impl<'s, 'a> TenantVerifier<'s, 'a> {
    pub(super) fn new(snapshot: &'s Snapshot<'a>, sources: &'s Sources) -> Result<Self, ReadError> {
        let mut apps: BTreeMap<AppKey, Vec<Record>> = BTreeMap::new();
        for record in snapshot.app_records()? {
            let record = record?;
            if let Stream::App(app) = &record.stream {
                apps.entry(app.clone()).or_default().push(record);
            }
        }
        Ok(Self { snapshot, sources, apps })
    }

    /// Judges the streams of the apps and of what was refused, which have the first numbers; answers the next.
    pub(super) fn others(
        &self,
        secret: &LedgerSecret,
        table: &mut Table,
        found: &mut Totals,
    ) -> Result<u32, VerifyError> {
        self.nothing_else()?;
        let mut result = TenantResult::new(secret);
        let mut number = 0;
        for (app, records) in &self.apps {
            let stream = NamedStream::new(&Stream::App(app.clone()));
            for record in records {
                found.recorded = found.recorded.max(Some(record.recorded));
                found.apps.entry(app.clone()).or_default().seq = record.seq;
                self.link(record, stream.id, (None, None), &mut result)?;
                put_all(table, number, &mut result)?;
            }
            table.name(number, stream);
            (number, result.last) = (number + 1, None);
        }
        for stream in [Stream::Rejected, Stream::Succession] {
            let named = NamedStream::new(&stream);
            for record in self.snapshot.records(&stream, 0)? {
                let record = record?;
                self.link(&record, named.id, (None, None), &mut result)?;
                put_all(table, number, &mut result)?;
                found.predecessors.extend(PriorLog::from_record(&record));
                found.refused += u64::from(stream == Stream::Rejected);
            }
            table.name(number, named);
            (number, result.last) = (number + 1, None);
        }
        Ok(number)
    }

    /// There are no streams but those of the kinds that are known.
    fn nothing_else(&self) -> Result<(), ReadError> {
        let [below, above] = [Vec::new()..vec![TENANT], everything_from(vec![SUCCESSION + 1])];
        for range in [below, above] {
            let mut scan = self.snapshot.database.scan(Family::Log, range, self.snapshot.sweeping())?;
            if let Some((key, _)) = scan.step()? {
                return Err(damaged(Family::Log, key, Damage::Misplaced).into());
            }
        }
        Ok(())
    }

    /// Judges a tenant by all of its records; `stream` is its id, `row` its stored state.
    pub(super) fn tenant(
        &self,
        client: &ClientKey,
        stream: Hash,
        records: &TenantLog,
        row: &[u8],
        result: &mut TenantResult,
    ) -> Result<(), VerifyError> {
        (result.last, result.corrections) = (None, 0);
        let (mut replay, mut first_ids) = (Replay::default(), FirstIds::default());
        for (position, arrived) in self.arrivals(records) {
            match arrived {
                Arrived::OwnRecord { record, event, stored } => {
                    let seq = record.seq;
                    let mut outcome = replay.append(seq, event);
                    first_ids.push(seq, event);
                    if !result.is_stored_as(&outcome, stored) {
                        outcome = stored_outcome(record, stored)?;
                        let client = client.clone();
                        result.fault.get_or_insert(ShardFault::Outcome { client, seq });
                    }
                    result.note(record, event);
                    let shown = (own_rule(event, &outcome), pinned_realm_after(event, replay.tenant()));
                    self.link(record, stream, shown, result)?;
                }
                Arrived::OfApp { app, event } => {
                    result.latest.extend(replay.tenant().latest_of(app).map(|latest| (position, latest)));
                    let changes = replay.append_to_app(app, event);
                    if changes.is_empty() {
                        continue;
                    }
                    result.corrections += 1;
                    let stored = self.snapshot.corrections(position, Some(client))?.next().transpose()?;
                    if stored.as_ref().is_none_or(|(of, stored)| of != client || *stored != changes) {
                        let client = client.clone();
                        result.fault.get_or_insert(ShardFault::Corrections { position, client });
                    }
                }
            }
        }
        let tenant = replay.into_tenant();
        result.apps.extend(tenant.installations.keys().map(|app| (app.clone(), tenant.latest_of(app))));
        let (seq, position, _) = result.last.unwrap_or_default();
        result.row.clear();
        TenantRow { seq, position, first_ids, tenant }.encode_into(&mut result.row);
        if result.row != row {
            result.fault.get_or_insert_with(|| ShardFault::State(client.clone()));
        }
        Ok(())
    }

    /// Adds a record to its stream: what its leaf must be, and where it stands.
    fn link(
        &self,
        record: &Record,
        stream: Hash,
        (rule, pinned_realm): (Option<Rule>, Option<Realm>),
        result: &mut TenantResult,
    ) -> Result<(), VerifyError> {
        check_rules(record)?;
        let position = record.position;
        let (before, above, previous) = result.last.unwrap_or_default();
        if record.seq != before + 1 {
            let fault = whole::LogFault::Number { found: record.seq, before };
            return Err(ShardFault::Log { position, fault }.into());
        }
        if result.last.is_some() && position <= above || line::check(record).is_err() {
            let at = key::position(position);
            return Err(ReadError::from(damaged(Family::Positions, &at, Damage::Misplaced)).into());
        }
        let hash = result.hasher.hash(rule, record, stream, LeafContext { previous, pinned_realm });
        let leaf = LeafRow { hash, pinned_realm };
        let (recorded, offset) = (record.recorded, record.source.offset);
        let slot = Slot { stream: 0, source: self.source_of(record)?, leaf, recorded, offset };
        result.slots.push((position, slot));
        result.last = Some((record.seq, position, hash));
        Ok(())
    }

    /// The number of the source that a record came from.
    fn source_of(&self, record: &Record) -> Result<u16, ShardFault> {
        let from = &record.source;
        let number = self.sources.number(from).and_then(|number| u16::try_from(number).ok());
        number.ok_or_else(|| ShardFault::OffsetTwice {
            source_name: format!("{}/{}", from.source, from.partition),
            offset: from.offset,
        })
    }

    /// A tenant's records, and what was set for the apps in them, in order of arrival.
    fn arrivals<'r>(&'r self, records: &'r TenantLog) -> Vec<(u64, Arrived<'r>)> {
        let mut arrivals = Vec::with_capacity(records.records.len());
        let mut own = BTreeSet::new();
        for (record, stored) in records.iter() {
            let Content::Event { event, .. } = &record.content else { continue };
            own.extend(event.app());
            arrivals.push((record.position, Arrived::OwnRecord { record, event, stored }));
        }
        let by_records = arrivals.len();
        for app in own {
            for record in self.apps.get(app).into_iter().flatten() {
                let Content::Event { event, .. } = &record.content else { continue };
                arrivals.push((record.position, Arrived::OfApp { app, event }));
            }
        }
        if arrivals.len() > by_records {
            arrivals.sort_by_key(|(position, _)| *position);
        }
        arrivals
    }

    /// The outcomes of the app-level events, once it is known what the tenants had before each of them; and the
    /// rows of the apps.
    pub(super) fn apps(&self, found: &Totals) -> Result<(), VerifyError> {
        for (app, records) in &self.apps {
            let mut timelines = AppTimelines::default();
            for record in records {
                let Content::Event { event, outcome, .. } = &record.content else { continue };
                let Body::App { fact, .. } = &event.body else { continue };
                let latest = found.latest.get(&record.position).copied();
                let late = timelines.of(app).event_is_late(event.time, &event.id, latest);
                if *outcome != (Outcome { late, changes: Vec::new() }) {
                    return Err(ShardFault::AppOutcome { app: app.clone(), seq: record.seq }.into());
                }
                timelines.insert(app, event.time, event.id.clone(), fact);
            }
        }
        let mut rows = found.apps.iter();
        for stored in self.snapshot.apps()? {
            let (app, row) = stored?;
            if rows.next() != Some((&app, &row)) {
                return Err(ShardFault::App(app).into());
            }
        }
        rows.next().map_or(Ok(()), |(app, _)| Err(ShardFault::App(app.clone()).into()))
    }
}

impl TenantResult {
    pub(super) fn new(secret: &LedgerSecret) -> Self {
        Self {
            hasher: LeafHasher::new(secret.clone()),
            slots: Vec::new(),
            fault: None,
            corrections: 0,
            ahead_ms: 0,
            recorded: None,
            apps: Vec::new(),
            latest: Vec::new(),
            last: None,
            outcome: Vec::new(),
            row: Vec::new(),
        }
    }

    /// Whether an outcome is stored in those bytes.
    fn is_stored_as(&mut self, outcome: &Outcome, stored: &[u8]) -> bool {
        self.outcome.clear();
        encode_outcome(outcome, &mut self.outcome);
        self.outcome == stored
    }

    fn note(&mut self, record: &Record, event: &Event) {
        let ahead = u64::try_from(event.time.millis_since(record.recorded)).unwrap_or(0);
        self.ahead_ms = self.ahead_ms.max(ahead);
        self.recorded = self.recorded.max(Some(record.recorded));
    }
}

impl TenantLog {
    /// Adds one, as it is stored.
    pub(super) fn push(&mut self, stream: &Stream, key: &[u8], value: &[u8]) -> Result<(), ReadError> {
        let (_, seq) = key.split_last_chunk::<8>().unwrap_or((&[], &[0; 8]));
        let read = Record::decode_without_outcome(stream.clone(), u64::from_be_bytes(*seq), value);
        let (record, outcome) = read.map_err(|error| damaged(Family::Log, key, error))?;
        self.records.push(record);
        self.outcomes.extend_from_slice(outcome);
        self.ends.push(self.outcomes.len());
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.outcomes.clear();
        self.ends.clear();
    }

    pub(super) const fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn stream(&self) -> Option<&Stream> {
        self.records.first().map(|record| &record.stream)
    }

    fn iter(&self) -> impl Iterator<Item = (&Record, &[u8])> {
        let mut from = 0;
        let outcomes =
            self.ends.iter().map(move |end| &self.outcomes[std::mem::replace(&mut from, *end)..*end]);
        self.records.iter().zip(outcomes)
    }
}

/// The outcome that is stored where another was derived.
fn stored_outcome(record: &Record, stored: &[u8]) -> Result<Outcome, ReadError> {
    let key = key::log::log(&record.stream, record.seq);
    Ok(decode_outcome(stored).map_err(|error| damaged(Family::Log, &key, error))?)
}
