//! What was known of a tenant at some point (rules 2.4): its events, and the timelines of its apps, cut at
//! the same place. The fold over them is the caller's.

use std::collections::BTreeSet;

use ledger_core::event::{Body, Event};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::tenant::{Entry, Tenant};
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimelines;
use ledger_record::key::{self, Family, LogKey};
use ledger_record::record::{LoggedEvent, Stream};
use ledger_record::rows::{FirstIds, TenantRow};
use rocksdb::ReadOptions;

use crate::db::database::{Database, damaged};
use crate::db::decode;
use crate::db::scan::{Scan, prefixed};
use crate::error::{Damage, HistoryError, ReadError, StorageError};
use crate::read::snapshot::Snapshot;

/// Up to which recording something is known (rules 2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnowledgeBound {
    /// Everything recorded.
    All,
    /// What the partition had recorded up to and with this record of the tenant; 0: nothing.
    Seq(u64),
    /// What was recorded up to and with this instant.
    Recorded(Timestamp),
}

/// A place in the shard's order of recording: what lies behind it is not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KnowledgeCut {
    /// Nothing is cut off.
    Open,
    /// Everything is cut off.
    Closed,
    /// Records after this position are cut off.
    AfterPosition(u64),
    /// Records recorded after this instant are cut off.
    AfterInstant(Timestamp),
}

impl KnowledgeCut {
    fn keeps(self, logged: &LoggedEvent) -> bool {
        self.knows(logged.position, logged.recorded)
    }

    /// Whether a record was known.
    #[must_use]
    pub fn knows(self, position: u64, recorded: Timestamp) -> bool {
        match self {
            Self::Open => true,
            Self::Closed => false,
            Self::AfterPosition(last) => position <= last,
            Self::AfterInstant(instant) => recorded <= instant,
        }
    }
}

/// A tenant's events as known at some point, and the timelines of the apps in them as known then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// In order of arrival.
    pub events: Vec<HistoryEvent>,
    /// App-level events of the apps of these events, recorded up to the same point.
    pub apps: AppTimelines,
    /// The point: for the timelines of other apps ([`Snapshot::timelines_of`]).
    pub cut: KnowledgeCut,
}

/// One event of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEvent {
    /// In the shard.
    pub position: u64,
    /// In the tenant's log.
    pub seq: u64,
    /// When it was recorded.
    pub recorded: Timestamp,
    /// What happened.
    pub event: Event,
}

impl History {
    /// The events as the fold takes them.
    pub fn entries(&self) -> Vec<Entry<'_>> {
        entries(&self.events)
    }
}

/// Events as the fold takes them.
pub fn entries(events: &[HistoryEvent]) -> Vec<Entry<'_>> {
    events.iter().map(|event| Entry { seq: event.seq, event: &event.event }).collect()
}

impl Snapshot<'_> {
    /// A tenant's events as known at some point.
    pub fn history(&self, client: &ClientKey, known: KnowledgeBound) -> Result<History, HistoryError> {
        Ok(self.history_until(client, self.cut(client, known)?)?)
    }

    pub(crate) fn history_until(&self, client: &ClientKey, cut: KnowledgeCut) -> Result<History, ReadError> {
        let events = self.events(client, cut, |_| Ok::<_, ReadError>(()))?;
        let apps: BTreeSet<&AppKey> = events.iter().filter_map(|event| event.event.app()).collect();
        let apps = self.timelines_of(apps, cut)?;
        Ok(History { events, apps, cut })
    }

    /// A tenant's events alone, for a caller that has the timelines already. Before an event is kept, `charge` is
    /// called with about the bytes that it takes in memory.
    pub fn events<E: From<ReadError>>(
        &self,
        client: &ClientKey,
        cut: KnowledgeCut,
        mut charge: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<Vec<HistoryEvent>, E> {
        let mut events = Vec::new();
        let stream = Stream::Tenant(client.clone());
        let range = prefixed(key::log::stream_prefix(&stream));
        let mut scan = self.database().scan(Family::Log, range, self.options()).map_err(ReadError::from)?;
        while let Some((key, value)) = scan.step().map_err(ReadError::from)? {
            let logged = decode::event_of(&stream, key, value)?;
            // Positions and recorded times only grow along a stream of events.
            if !cut.keeps(&logged) {
                break;
            }
            charge(size_of::<HistoryEvent>() + value.len())?;
            events.push(history_event(key, logged)?);
        }
        Ok(events)
    }

    /// Some of a tenant's events, by their seqs.
    pub fn events_of(&self, client: &ClientKey, seqs: &[u64]) -> Result<Vec<HistoryEvent>, ReadError> {
        let stream = Stream::Tenant(client.clone());
        let keys: Vec<Vec<u8>> = seqs.iter().map(|seq| key::log::log(&stream, *seq)).collect();
        let values = self.database().get_many(Family::Log, &keys, &self.options())?;
        let events = keys.iter().zip(values).map(|(key, value)| {
            let value = value.ok_or_else(|| damaged(Family::Log, key, Damage::Missing))?;
            history_event(key, decode::event_of(&stream, key, &value)?)
        });
        events.collect()
    }

    /// The timelines of some apps as known at some point.
    pub fn timelines_of<'k>(
        &self,
        apps: impl IntoIterator<Item = &'k AppKey>,
        cut: KnowledgeCut,
    ) -> Result<AppTimelines, ReadError> {
        let mut timelines = AppTimelines::default();
        for app in apps {
            let stream = Stream::App(app.clone());
            let range = prefixed(key::log::stream_prefix(&stream));
            let mut scan = self.database().scan(Family::Log, range, self.options())?;
            while let Some((key, value)) = scan.step()? {
                let logged = decode::event_of(&stream, key, value)?;
                if !cut.keeps(&logged) {
                    break;
                }
                let Body::App { fact, .. } = &logged.event.body else {
                    return Err(damaged(Family::Log, key, Damage::Misplaced).into());
                };
                timelines.insert(app, logged.event.time, logged.event.id, fact);
            }
        }
        Ok(timelines)
    }

    /// The place in the shard's order of recording up to which something was known of a tenant.
    pub fn cut(&self, client: &ClientKey, known: KnowledgeBound) -> Result<KnowledgeCut, HistoryError> {
        let seq = match known {
            KnowledgeBound::All => return Ok(KnowledgeCut::Open),
            KnowledgeBound::Recorded(instant) => return Ok(KnowledgeCut::AfterInstant(instant)),
            KnowledgeBound::Seq(0) => return Ok(KnowledgeCut::Closed),
            KnowledgeBound::Seq(seq) => seq,
        };
        let stream = Stream::Tenant(client.clone());
        let at = key::log::log(&stream, seq);
        let Some(value) = self.database().get(Family::Log, &at, &self.options())? else {
            let last = self.tenant(client)?.map_or(0, |row| row.seq);
            return Err(HistoryError::NoSuchSeq { asked: seq, last });
        };
        Ok(KnowledgeCut::AfterPosition(decode::event_of(&stream, &at, &value)?.position))
    }
}

pub(crate) fn history_event(key: &[u8], logged: LoggedEvent) -> Result<HistoryEvent, ReadError> {
    let (_, seq) = key.split_last_chunk::<8>().ok_or_else(|| damaged(Family::Log, key, Damage::Misplaced))?;
    Ok(HistoryEvent {
        position: logged.position,
        seq: u64::from_be_bytes(*seq),
        recorded: logged.recorded,
        event: logged.event,
    })
}

/// A sweep over the log, tenant by tenant: what a question about the whole log folds.
///
/// The log lies by tenant, so one sweep gives each history whole. One tenant's events are in memory at a time, and lent
/// until the next one is asked for; of a record only what the fold needs is decoded.
pub struct Histories<'a> {
    scan: Scan<'a>,
    /// The tenant that is being read, and the keys of its records.
    tenant: Option<TenantStream>,
    events: Vec<HistoryEvent>,
    /// The first event of the tenant after it.
    ahead: Option<(TenantStream, HistoryEvent)>,
}

struct TenantStream {
    client: ClientKey,
    stream: Stream,
    prefix: Vec<u8>,
}

impl std::fmt::Debug for Histories<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Histories").finish_non_exhaustive()
    }
}

impl<'a> Snapshot<'a> {
    /// The histories of all tenants, by client key.
    pub fn histories(&self) -> Result<Histories<'a>, ReadError> {
        Ok(Histories::new(self.database, self.sweeping())?)
    }
}

impl<'a> Histories<'a> {
    pub(crate) fn new(database: &'a Database, options: ReadOptions) -> Result<Self, StorageError> {
        let scan = database.scan(Family::Log, decode::all_tenants(), options)?;
        Ok(Self { scan, tenant: None, events: Vec::new(), ahead: None })
    }

    /// The next tenant and its events in order of arrival; none at the end.
    pub fn advance(&mut self) -> Result<Option<(&ClientKey, &[HistoryEvent])>, ReadError> {
        self.events.clear();
        self.tenant = None;
        if let Some((tenant, event)) = self.ahead.take() {
            self.tenant = Some(tenant);
            self.events.push(event);
        }
        while let Some((key, value)) = self.scan.step()? {
            if let Some(tenant) = self.tenant.as_ref().filter(|tenant| key.starts_with(&tenant.prefix)) {
                let logged = decode::event_of(&tenant.stream, key, value)?;
                self.events.push(history_event(key, logged)?);
                continue;
            }
            let tenant = TenantStream::from_key(key)?;
            let event = history_event(key, decode::event_of(&tenant.stream, key, value)?)?;
            if self.tenant.is_some() {
                self.ahead = Some((tenant, event));
                break;
            }
            self.tenant = Some(tenant);
            self.events.push(event);
        }
        Ok(self.tenant.as_ref().map(|tenant| (&tenant.client, &self.events[..])))
    }
}

impl TenantStream {
    fn from_key(key: &[u8]) -> Result<Self, ReadError> {
        let LogKey { stream, .. } = decode::log_key(key)?;
        let Stream::Tenant(client) = &stream else {
            return Err(damaged(Family::Log, key, Damage::Misplaced).into());
        };
        Ok(Self { client: client.clone(), prefix: key::log::stream_prefix(&stream), stream })
    }
}

/// The row of a tenant with these events; none without events.
pub(crate) fn row_of(events: &[HistoryEvent], apps: &AppTimelines) -> Option<TenantRow> {
    let last = events.last()?;
    let tenant = Tenant::from_history(&entries(events), apps);
    let mut first_ids = FirstIds::default();
    for HistoryEvent { seq, event, .. } in events {
        first_ids.push(*seq, event);
    }
    Some(TenantRow { seq: last.seq, position: last.position, first_ids, tenant })
}

/// Whether a tenant's stored row is the fold of its log, byte for byte.
pub(crate) fn row_is_fold(snapshot: &Snapshot<'_>, client: &ClientKey) -> Result<bool, ReadError> {
    let history = snapshot.history_until(client, KnowledgeCut::Open)?;
    let folded = row_of(&history.events, &history.apps).map(|row| row.encode());
    let stored = snapshot.database().get(Family::Tenants, key::tenant(client), &snapshot.options())?;
    Ok(folded.as_deref() == stored.as_deref())
}
