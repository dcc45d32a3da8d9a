//! The records of a tenant, an app or a shard once more, in the order in which they were recorded, each with
//! the states that it left: what an auditor steps through.
//!
//! ```text
//!   records by position ─► timelines of the apps so far ─► tenant folded so far ─► is it asked for? ─► step
//! ```
//!
//! A state is the fold of what was recorded up to and with its record, seen at the moment of recording: what
//! was believed then. Late events of an app change the tenants that they concern; those are folded anew when
//! they come up next.
//!
//! Tenants are kept folded between their records, up to a bound; one that was let go is folded from its
//! records once more. Beginning in the middle gives the same steps as beginning at the front.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use ledger_core::event::{Body, Event};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::tenant::{Entry, Tenant};
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimelines;
use ledger_record::json::record::RecordJson;
use ledger_record::record::{Content, Record, Stream};
use ledger_store::{Cut, HistoryEvent, Known, ReadError, ShardId, entries};
use serde::{Serialize, Serializer};

use super::error::QueryError;
use super::merged::records_of;
use super::shards::{Located, Moment, moments, shards_with};
use super::state::State;
use super::whatif::{Line, Progress, Tell};
use super::{Ledger, freshness};
use crate::limits::REPLAYED_EVENTS_KEPT;

/// Which records. What is `None` does not matter; all that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replay {
    /// Of this tenant.
    pub client: Option<ClientKey>,
    /// That concern installations of this app.
    pub app: Option<AppKey>,
    /// Of this shard.
    pub shard: Option<ShardId>,
    /// That happened at this instant or later.
    pub from: Option<Timestamp>,
    /// That happened before this instant.
    pub to: Option<Timestamp>,
    /// At this position of their shard or behind it.
    pub from_position: u64,
}

/// A record, and what was believed after it. Serialises with the record as the log shows it.
#[derive(Debug)]
pub struct Step<'a> {
    shard: &'a ShardId,
    record: &'a Record,
    states: Vec<State>,
    /// The tenant has records in another shard too, so its states are not told.
    split: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StepJson<'a> {
    topic: &'a str,
    partition: u32,
    position: u64,
    record: RecordJson<'a>,
    states: &'a [State],
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'static str>,
}

impl Serialize for Step<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { shard, record, states, split } = self;
        let shown = RecordJson::of(record);
        StepJson {
            topic: &shard.topic,
            partition: shard.partition,
            position: record.position,
            record: shown.ok_or_else(|| serde::ser::Error::custom("a replayed record without event"))?,
            states,
            refused: split.then_some("tenant-in-two-partitions"),
        }
        .serialize(serializer)
    }
}

/// Records between two reports of progress.
const PROGRESS_EVERY: u64 = 8192;

impl Ledger {
    /// Replays records, shard after shard; the last line tells how fresh it is.
    pub fn replay_lines(&self, asked: &Replay, now: Timestamp, tell: Tell<'_>) -> Result<(), QueryError> {
        let parts = self.shards.all();
        let moments = moments(&parts);
        if let Some(client) = &asked.client {
            let Located { moment, row } = self.found(&moments, client)?;
            if asked.shard.as_ref().is_some_and(|shard| shard != moment.id) {
                return Err(QueryError::UnknownTenant { client: client.clone() });
            }
            let apps: Vec<AppKey> = row.tenant.installations.keys().cloned().collect();
            let before = |record: &Result<Record, ReadError>| {
                record.as_ref().is_ok_and(|record| record.position < asked.from_position)
            };
            let records = records_of(moment, client, &apps)?.skip_while(before);
            Replaying::of(moment, &moments, asked, tell)?.all(records)?;
            return last(tell, &Line::Freshness(&[freshness::of(moment, now)?]));
        }
        let chosen: Vec<&Moment<'_>> = moments
            .iter()
            .filter(|moment| asked.shard.as_ref().is_none_or(|shard| shard == moment.id))
            .collect();
        match (&chosen[..], &asked.shard) {
            ([], Some(shard)) => {
                let unknown = QueryError::UnknownShard { shard: shard.clone() };
                return Err(self.shards.not_found_in(shard, unknown));
            }
            ([_, _, ..], _) if asked.from_position > 0 => return Err(QueryError::PositionOfNoShard),
            _ => {}
        }
        for moment in chosen {
            let records = moment.snapshot.records_from(asked.from_position)?;
            Replaying::of(moment, &moments, asked, tell)?.all(records)?;
        }
        last(tell, &Line::Freshness(&self.freshness_of(&moments, now)))
    }
}

fn last(tell: Tell<'_>, line: &Line<'_>) -> Result<(), QueryError> {
    given_up(tell(line))
}

fn given_up(told: ControlFlow<()>) -> Result<(), QueryError> {
    if told.is_break() { Err(QueryError::GivenUp) } else { Ok(()) }
}

/// One shard that is replayed.
struct Replaying<'a> {
    moment: &'a Moment<'a>,
    all: &'a [Moment<'a>],
    asked: &'a Replay,
    tell: Tell<'a>,
    /// As known before the next record.
    timelines: AppTimelines,
    folded: BTreeMap<ClientKey, Folded>,
    events_kept: usize,
    seen: u64,
}

/// A tenant as known before the next record.
struct Folded {
    events: Vec<HistoryEvent>,
    tenant: Tenant,
    split: bool,
}

impl<'a> Replaying<'a> {
    fn of(
        moment: &'a Moment<'a>,
        all: &'a [Moment<'a>],
        asked: &'a Replay,
        tell: Tell<'a>,
    ) -> Result<Self, ReadError> {
        let apps = moment.snapshot.apps()?.map(|app| app.map(|(app, _)| app));
        let apps = apps.collect::<Result<Vec<_>, _>>()?;
        let cut = asked.from_position.checked_sub(1).map_or(Cut::Closed, Cut::AfterPosition);
        let timelines = moment.snapshot.timelines_of(&apps, cut)?;
        let folded = BTreeMap::new();
        Ok(Self { moment, all, asked, tell, timelines, folded, events_kept: 0, seen: 0 })
    }

    fn all(mut self, records: impl Iterator<Item = Result<Record, ReadError>>) -> Result<(), QueryError> {
        for record in records {
            let record = record?;
            self.seen += 1;
            if self.seen.is_multiple_of(PROGRESS_EVERY) {
                let total = self.moment.snapshot.head()?.next_position;
                let progress = Progress { records: record.position, total };
                given_up((self.tell)(&Line::Progress(progress)))?;
            }
            let Content::Event { event, outcome, .. } = &record.content else { continue };
            if let Stream::Tenant(client) = &record.stream {
                self.tenant_record(client, &record, event)?;
            } else if let Stream::App(app) = &record.stream {
                self.app_record(app, &record, event, outcome.late)?;
            }
        }
        Ok(())
    }

    fn tenant_record(
        &mut self,
        client: &ClientKey,
        record: &Record,
        event: &Event,
    ) -> Result<(), QueryError> {
        let wanted = self.asked.is_in_span(event);
        let concerns = |tenant: &Tenant, app: &AppKey| match event.app() {
            Some(own) => own == app,
            None => tenant.installations.get(app).is_some(),
        };
        // Of an app, only tenants that have it need to be folded.
        if let Some(app) = &self.asked.app
            && event.app().is_some_and(|own| own != app)
            && !self.folded.contains_key(client)
        {
            return Ok(());
        }
        let mut folded = self.take(client, record.seq)?;
        folded.push(record, event, &self.timelines);
        let wanted = wanted && self.asked.app.as_ref().is_none_or(|app| concerns(&folded.tenant, app));
        let told = if wanted { self.step(client, record, event, &folded) } else { Ok(()) };
        self.keep(client, folded);
        told
    }

    fn app_record(
        &mut self,
        app: &AppKey,
        record: &Record,
        event: &Event,
        late: bool,
    ) -> Result<(), QueryError> {
        if let Body::App { fact, .. } = &event.body {
            self.timelines.insert(app, event.time, event.id.clone(), fact);
        }
        if late {
            self.folded.retain(|_, folded| folded.tenant.installations.get(app).is_none());
            self.events_kept = self.folded.values().map(|folded| folded.events.len()).sum();
        }
        let wanted = self.asked.client.is_none()
            && self.asked.is_in_span(event)
            && self.asked.app.as_ref().is_none_or(|only| only == app);
        if !wanted {
            return Ok(());
        }
        let step = Step { shard: self.moment.id, record, states: Vec::new(), split: false };
        given_up((self.tell)(&Line::Step(&step)))
    }

    /// The tenant as known before a record of its own.
    fn take(&mut self, client: &ClientKey, seq: u64) -> Result<Folded, QueryError> {
        if let Some(folded) = self.folded.remove(client) {
            self.events_kept -= folded.events.len();
            return Ok(folded);
        }
        let events = match seq - 1 {
            0 => Vec::new(),
            before => self.moment.snapshot.history(client, Known::Seq(before))?.events,
        };
        let tenant = Tenant::from_history(&entries(&events), &self.timelines);
        let split = self.all.len() > 1 && shards_with(self.all, client)?.len() > 1;
        Ok(Folded { events, tenant, split })
    }

    fn keep(&mut self, client: &ClientKey, folded: Folded) {
        self.events_kept += folded.events.len();
        if self.events_kept > REPLAYED_EVENTS_KEPT {
            self.folded.clear();
            self.events_kept = folded.events.len();
        }
        self.folded.insert(client.clone(), folded);
    }

    fn step(
        &self,
        client: &ClientKey,
        record: &Record,
        event: &Event,
        folded: &Folded,
    ) -> Result<(), QueryError> {
        let wanted = |app: &AppKey| match (&self.asked.app, event.app()) {
            (Some(only), _) => app == only,
            (None, own) => own.is_none_or(|own| own == app),
        };
        let installations = folded.tenant.installations.iter();
        let states =
            installations.filter(|(app, _)| !folded.split && wanted(app)).map(|(app, state)| State {
                client: client.clone(),
                app: app.clone(),
                installation: state.clone(),
                product_realm: folded.tenant.product_realm,
                timeline: self.timelines.shared(app),
                seq: record.seq,
                // An event may be dated a little ahead of its recording.
                as_of: record.recorded.max(event.time),
            });
        let states = states.collect();
        let step = Step { shard: self.moment.id, record, states, split: folded.split };
        given_up((self.tell)(&Line::Step(&step)))
    }
}

impl Replay {
    fn is_in_span(&self, event: &Event) -> bool {
        self.from.is_none_or(|from| from <= event.time) && self.to.is_none_or(|to| event.time < to)
    }
}

impl Folded {
    fn push(&mut self, record: &Record, event: &Event, apps: &AppTimelines) {
        let last = self.tenant.is_last(event);
        self.events.push(HistoryEvent {
            position: record.position,
            seq: record.seq,
            recorded: record.recorded,
            event: event.clone(),
        });
        if last {
            self.tenant.append(Entry { seq: record.seq, event }, apps);
        } else {
            self.tenant = Tenant::from_history(&entries(&self.events), apps);
        }
    }
}
