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
//! Tenants are kept folded between their records, up to a bound; one that was let go, or that a late
//! record concerns, is folded from its records once more, and what is not shown is not folded for it. Beginning
//! in the middle gives the same steps as beginning at the front.
//!
//! With a tenant, the records of its apps are steps too: they change what is in force for it. With an app, so are
//! records of other apps that show where the tenant's product is.

use std::borrow::Cow;

use ledger_core::event::{Body, Event};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::tenant::{Entry, Tenant};
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimelines;
use ledger_record::json::record::RecordJson;
use ledger_record::record::{Content, Record, Stream};
use ledger_record::rows::TenantRow;
use ledger_store::{KnowledgeBound, KnowledgeCut, ReadError, ShardId, entries};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::line::{self, PROGRESS_EVERY};
use super::log::{PlaceJson, place_of};
use super::parameters::{or_zero, text};
use super::{AnswerLine, LineSink, ScanProgress, Scope};
use crate::ledger::{
    FreshnessJson, InstallationState, Located, Lru, QueryError, Reading, Seqs, ShardSnapshot, check_span,
    records_of, shards_with,
};
use crate::limits::REPLAYED_INSTALLATIONS_KEPT;
use crate::problem::ProblemKind;

/// Which records. What is `None` does not matter; all that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayQuery {
    /// Of this tenant.
    #[serde(rename = "clientKey", with = "text")]
    pub client: Option<ClientKey>,
    /// That concern installations of this app.
    #[serde(rename = "appKey", with = "text")]
    pub app: Option<AppKey>,
    /// Of this shard: `topic` and `partition`.
    #[serde(with = "shard")]
    pub shard: Option<ShardId>,
    /// That happened at this instant or later.
    #[serde(with = "text")]
    pub from: Option<Timestamp>,
    /// That happened before this instant.
    #[serde(with = "text")]
    pub to: Option<Timestamp>,
    /// At this position of their shard or behind it.
    #[serde(deserialize_with = "or_zero")]
    pub from_position: u64,
}

#[derive(Serialize, Deserialize)]
struct ShardParameters {
    partition: Option<u32>,
    topic: Option<String>,
}

mod shard {
    use super::{Deserialize as _, Deserializer, Serialize as _, Serializer, ShardId, ShardParameters, de};

    #[expect(clippy::ref_option, reason = "the signature is serde's")]
    pub(super) fn serialize<S: Serializer>(shard: &Option<ShardId>, to: S) -> Result<S::Ok, S::Error> {
        let partition = shard.as_ref().map(|shard| shard.partition);
        ShardParameters { partition, topic: shard.as_ref().map(|shard| shard.topic.clone()) }.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ShardId>, D::Error> {
        let ShardParameters { partition, topic } = ShardParameters::deserialize(from)?;
        match (topic, partition) {
            (None, None) => Ok(None),
            (Some(topic), Some(partition)) => Ok(Some(ShardId { topic, partition })),
            (Some(_), None) | (None, Some(_)) => {
                Err(de::Error::custom("topic and partition name a shard together; give both"))
            }
        }
    }
}

/// How fresh a replay was; its steps are lines.
#[derive(Debug, Clone, Serialize)]
pub struct ReplayAnswer {
    /// Of the shards that were replayed.
    pub freshness: Vec<FreshnessJson>,
}

/// A record, and what was believed after it. Serialises with the record as the log shows it.
#[derive(Debug)]
pub struct ReplayedRecord<'a> {
    shard: &'a ShardId,
    record: &'a Record,
    /// It is about an app that is not seen, so only its place is shown.
    is_hidden: bool,
    states: Vec<InstallationState>,
    /// The tenant has records in another shard too, so its states are left out.
    split: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReplayedRecordJson<'a> {
    topic: &'a str,
    partition: u32,
    position: u64,
    record: ShownRecord<'a>,
    states: &'a [InstallationState],
    refused: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ShownRecord<'a> {
    Whole(RecordJson<'a>),
    Place(PlaceJson),
}

impl Serialize for ReplayedRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { shard, record, is_hidden, states, split } = self;
        let shown = if *is_hidden {
            Some(ShownRecord::Place(place_of(record)))
        } else {
            RecordJson::of(record).map(ShownRecord::Whole)
        };
        ReplayedRecordJson {
            topic: &shard.topic,
            partition: shard.partition,
            position: record.position,
            record: shown.ok_or_else(|| serde::ser::Error::custom("a replayed record without event"))?,
            states,
            refused: split.then_some(ProblemKind::TenantInTwoPartitions.code()),
        }
        .serialize(serializer)
    }
}

impl ReplayQuery {
    pub(super) const fn shards(&self) -> Scope<'_> {
        let is_of_all = self.client.is_none() && self.shard.is_none();
        if is_of_all { Scope::All { is_past: false } } else { Scope::One }
    }

    /// Replays records, shard after shard.
    pub(super) fn answer(
        &self,
        reading: &Reading<'_>,
        sink: LineSink<'_>,
    ) -> Result<ReplayAnswer, QueryError> {
        check_span(self.from, self.to)?;
        if let Some(client) = &self.client {
            let Located { shard, row } = reading.found(client, KnowledgeBound::All)?;
            if let Some(other) = self.shard.as_ref().filter(|named| *named != shard.id) {
                let unknown = QueryError::UnknownTenant { client: client.clone() };
                return Err(reading.not_found_in(other, unknown));
            }
            if let Some(app) = self.app.as_ref().filter(|app| !has_seen(reading, &row, app)) {
                let unknown = QueryError::UnknownInstallation { client: client.clone(), app: app.clone() };
                return Err(reading.not_found_in(shard.id, unknown));
            }
            let apps: Vec<AppKey> = row.tenant.installations.keys().cloned().collect();
            let before = |record: &Result<Record, ReadError>| {
                record.as_ref().is_ok_and(|record| record.position < self.from_position)
            };
            let records = records_of(shard, client, &apps, &Seqs::new())?.skip_while(before);
            Replaying::new(reading, shard, self, &apps, sink)?.all(records)?;
            return Ok(ReplayAnswer { freshness: vec![reading.freshness_of(shard)?] });
        }
        reading.known_app(self.app.as_ref())?;
        let chosen: Vec<&ShardSnapshot<'_>> = reading
            .shards
            .iter()
            .filter(|shard| self.shard.as_ref().is_none_or(|named| named == shard.id))
            .collect();
        match (&chosen[..], &self.shard) {
            ([], Some(shard)) => {
                let unknown = QueryError::UnknownShard { shard: shard.clone() };
                return Err(reading.not_found_in(shard, unknown));
            }
            ([_, _, ..], _) if self.from_position > 0 => return Err(QueryError::PositionOfNoShard),
            _ => {}
        }
        for shard in chosen {
            let records = shard.snapshot.records_from(self.from_position)?;
            let apps = shard.snapshot.apps()?.map(|app| app.map(|(app, _)| app));
            let apps = apps.collect::<Result<Vec<_>, _>>()?;
            Replaying::new(reading, shard, self, &apps, sink)?.all(records)?;
        }
        Ok(ReplayAnswer { freshness: reading.freshness() })
    }
}

/// A tenant as known before the next record.
#[derive(Debug, Default)]
struct Folded {
    tenant: Tenant,
    /// Its last record.
    seq: u64,
    /// It has records in another shard too.
    split: bool,
}

/// One shard that is replayed.
struct Replaying<'a> {
    reading: &'a Reading<'a>,
    shard: &'a ShardSnapshot<'a>,
    asked: &'a ReplayQuery,
    sink: LineSink<'a>,
    /// As known before the next record.
    timelines: AppTimelines,
    kept: Lru<ClientKey, Folded>,
    seen: u64,
}

impl<'a> Replaying<'a> {
    /// `apps` are those that the records can concern.
    fn new(
        reading: &'a Reading<'a>,
        shard: &'a ShardSnapshot<'a>,
        asked: &'a ReplayQuery,
        apps: &[AppKey],
        sink: LineSink<'a>,
    ) -> Result<Self, ReadError> {
        let timelines = shard.snapshot.timelines_of(apps, before(asked.from_position))?;
        let kept = Lru::new(REPLAYED_INSTALLATIONS_KEPT);
        Ok(Self { reading, shard, asked, sink, timelines, kept, seen: 0 })
    }

    fn all(mut self, records: impl Iterator<Item = Result<Record, ReadError>>) -> Result<(), QueryError> {
        for record in records {
            let record = record?;
            self.seen += 1;
            if self.seen.is_multiple_of(PROGRESS_EVERY) {
                let total = self.shard.snapshot.head()?.next_position;
                let progress = ScanProgress { records: record.position, total };
                line::send(self.sink, &AnswerLine::Progress(progress))?;
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
        // When a hidden record happened is not seen either.
        let has_no_span = self.asked.from.is_none() && self.asked.to.is_none();
        let is_asked_for = has_no_span || (self.reading.sees(record) && self.asked.is_in_span(event));
        let wanted = is_asked_for && self.may_concern(client, event)?;
        // What is not shown is folded only into what is folded already.
        if !wanted && !self.kept.contains(client) {
            return Ok(());
        }
        let is_first = record.seq == 1;
        let mut folded =
            self.take(client, if is_first { KnowledgeCut::Closed } else { before(record.position) })?;
        self.push(client, &mut folded, record, event)?;
        let sent = if wanted { self.step(client, record, event, &folded) } else { Ok(()) };
        self.keep(client, folded);
        sent
    }

    /// Whether a record can have changed what is shown of its tenant: with an app, it is about that app, or tells
    /// where the product of a tenant is that ever had it.
    fn may_concern(&self, client: &ClientKey, event: &Event) -> Result<bool, ReadError> {
        if !self.is_of_some_apps() {
            return Ok(true);
        }
        if event.app().is_some_and(|app| self.is_about(app)) {
            return Ok(true);
        }
        // Of a record that is not seen there is its place, whatever is in it: it must not show by being left out.
        if event.product_realm().is_none() && self.reading.ledger.grants.apps().is_none() {
            return Ok(false);
        }
        let row = self.shard.snapshot.tenant(client)?;
        Ok(row.is_some_and(|row| row.tenant.installations.keys().any(|app| self.is_about(app))))
    }

    /// Whether only what concerns some apps is replayed: the one that is asked for, or those that are seen.
    fn is_of_some_apps(&self) -> bool {
        self.asked.app.is_some() || self.reading.ledger.grants.apps().is_some()
    }

    fn as_seen<'r>(&self, record: &'r Record) -> Cow<'r, Record> {
        match self.reading.ledger.grants.apps() {
            None => Cow::Borrowed(record),
            Some(_) => Cow::Owned(self.reading.as_seen(record.clone())),
        }
    }

    /// Whether what concerns an app is replayed.
    fn is_about(&self, app: &AppKey) -> bool {
        self.asked.app.as_ref().is_none_or(|only| only == app) && self.reading.ledger.grants.has(app)
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
            self.kept.retain(|folded| !folded.tenant.installations.contains_key(app));
        }
        let wanted = self.asked.is_in_span(event) && self.is_about(app);
        if !wanted {
            return Ok(());
        }
        let Some(client) = &self.asked.client else {
            let (shard, record) = (self.shard.id, self.as_seen(record));
            let step =
                ReplayedRecord { shard, record: &record, is_hidden: false, states: Vec::new(), split: false };
            return line::send(self.sink, &AnswerLine::Step(step));
        };
        // Of one tenant it is a step of its own: a late one rewrites its state, any one what is in force for it.
        let client = client.clone();
        let folded = self.take(&client, before(record.position))?;
        let has_app = folded.tenant.installations.contains_key(app);
        let sent = if has_app { self.step(&client, record, event, &folded) } else { Ok(()) };
        self.keep(&client, folded);
        sent
    }

    /// The tenant as known before a record.
    fn take(&mut self, client: &ClientKey, before: KnowledgeCut) -> Result<Folded, QueryError> {
        if let Some(folded) = self.kept.take(client) {
            return Ok(folded);
        }
        let (tenant, seq) = match before {
            KnowledgeCut::Closed => (Tenant::default(), 0),
            before => self.fold(client, before)?,
        };
        let split = self.reading.shards.len() > 1 && shards_with(&self.reading.shards, client)?.len() > 1;
        Ok(Folded { tenant, seq, split })
    }

    fn keep(&mut self, client: &ClientKey, folded: Folded) {
        let weight = folded.tenant.installations.len() + 1;
        self.kept.put(client.clone(), folded, weight);
    }

    /// The fold of a tenant's records up to a cut, and the seq of the last of them.
    fn fold(&self, client: &ClientKey, cut: KnowledgeCut) -> Result<(Tenant, u64), QueryError> {
        let (events, _reserved) = self.reading.ledger.events(&self.shard.snapshot, client, cut)?;
        let seq = events.last().map_or(0, |event| event.seq);
        Ok((Tenant::from_history(&entries(&events), &self.timelines), seq))
    }

    /// Takes in the next record; a late one has the tenant folded anew.
    fn push(
        &self,
        client: &ClientKey,
        folded: &mut Folded,
        record: &Record,
        event: &Event,
    ) -> Result<(), QueryError> {
        folded.seq = record.seq;
        if folded.tenant.is_last(event) {
            folded.tenant.append(Entry { seq: record.seq, event }, &self.timelines);
        } else {
            (folded.tenant, _) = self.fold(client, KnowledgeCut::AfterPosition(record.position))?;
        }
        Ok(())
    }

    fn step(
        &self,
        client: &ClientKey,
        record: &Record,
        event: &Event,
        folded: &Folded,
    ) -> Result<(), QueryError> {
        // Where the product is all apps of the tenant share.
        let wanted = |app: &AppKey| match &self.asked.app {
            Some(_) => self.is_about(app),
            None => self.is_about(app) && (event.product_realm().is_some() || event.app() == Some(app)),
        };
        let installations = folded.tenant.installations.iter();
        let states = installations.filter(|(app, _)| !folded.split && wanted(app));
        let states: Vec<_> = states
            .map(|(app, state)| InstallationState {
                client: client.clone(),
                app: app.clone(),
                installation: state.clone(),
                product_realm: folded.tenant.product_realm,
                timeline: self.timelines.shared(app),
                seq: folded.seq,
                // An event may be dated a little ahead of its recording.
                as_of: record.recorded.max(event.time),
            })
            .collect();
        if self.is_of_some_apps() && states.is_empty() && !folded.split {
            // The tenant gets the app only later.
            return Ok(());
        }
        let (shard, is_hidden) = (self.shard.id, !self.reading.sees(record));
        let record = self.as_seen(record);
        let step = ReplayedRecord { shard, record: &record, is_hidden, states, split: folded.split };
        line::send(self.sink, &AnswerLine::Step(step))
    }
}

/// Whether a tenant ever had an installation of an app that is seen.
fn has_seen(reading: &Reading<'_>, row: &TenantRow, app: &AppKey) -> bool {
    reading.ledger.grants.has(app) && row.tenant.installations.contains_key(app)
}

/// All that was recorded before a position.
fn before(position: u64) -> KnowledgeCut {
    position.checked_sub(1).map_or(KnowledgeCut::Closed, KnowledgeCut::AfterPosition)
}

impl ReplayQuery {
    fn is_in_span(&self, event: &Event) -> bool {
        self.from.is_none_or(|from| from <= event.time) && self.to.is_none_or(|to| event.time < to)
    }
}
