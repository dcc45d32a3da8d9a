//! One question while it is answered: a snapshot of each shard, the caller's clock, and what it reads of the past:
//! histories, within their budget, and the timelines of apps as they were known, each of them once.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::tenant::Entry;
use ledger_core::time::Timestamp;
use ledger_core::timeline::{AppTimeline, AppTimelines};
use ledger_store::{
    AppsWith, Elsewhere, HistoryEvent, KnowledgeCut, ReadError, ShardId, TornTenant, entries,
};

use super::Ledger;
use super::budget::Reservation;
use super::error::QueryError;
use super::freshness::{self, FreshnessJson};
use super::in_order;
use super::shards::{ShardHandle, ShardSnapshot};
use super::timelines::timeline;

/// One question while it is answered.
#[derive(Debug)]
pub(crate) struct Reading<'l> {
    pub(crate) ledger: &'l Ledger,
    /// In order.
    pub(crate) shards: Vec<ShardSnapshot<'l>>,
    /// By the caller's clock.
    pub(crate) now: Timestamp,
    /// Of what was known then. What is known now is kept with the ledger.
    timelines: RefCell<BTreeMap<(ShardId, AppKey), Arc<AppTimeline>>>,
    records: Cell<usize>,
}

/// A tenant's history, and the memory it takes.
#[derive(Debug)]
pub(crate) struct LoadedHistory<'l> {
    events: Vec<HistoryEvent>,
    /// Of the apps in it.
    pub(crate) apps: AppTimelines,
    _reserved: Reservation<'l>,
}

impl LoadedHistory<'_> {
    pub(crate) fn entries(&self) -> Vec<Entry<'_>> {
        entries(&self.events)
    }

    /// The last record that was known.
    pub(crate) fn seq(&self) -> u64 {
        self.events.last().map_or(0, |event| event.seq)
    }
}

impl<'l> Reading<'l> {
    /// Takes a snapshot of each shard.
    pub(crate) fn new(ledger: &'l Ledger, handles: &'l [ShardHandle], now: Timestamp) -> Self {
        let shards = handles.iter().map(|handle| handle.snapshot(ledger.tier)).collect();
        Self { ledger, shards, now, timelines: RefCell::default(), records: Cell::new(0) }
    }

    /// How fresh a shard's part of the answer is.
    pub(crate) fn freshness_of(&self, shard: &ShardSnapshot<'_>) -> Result<FreshnessJson, ReadError> {
        freshness::of(shard, self.now)
    }

    /// Of every shard, those included that could not be asked: what a list rests on, and what it lacks.
    pub(crate) fn freshness(&self) -> Vec<FreshnessJson> {
        let mut all = self.ledger.here(&self.shards, self.now);
        let absent = self.ledger.shards.elsewhere().into_iter().filter_map(|part| match part {
            Elsewhere::Shard(id) if self.shards.iter().all(|shard| *shard.id != id) => Some(id),
            Elsewhere::Shard(_) | Elsewhere::Topic(_) => None,
        });
        all.extend(absent.map(|id| freshness::of_absent(&id)));
        in_order(all)
    }

    /// Whether a torn tenant has an installation that is seen.
    pub(crate) fn sees_some_of(&self, torn: &TornTenant) -> Result<bool, QueryError> {
        let grants = &self.ledger.grants;
        if grants.apps().is_none() {
            return Ok(true);
        }
        for shard in self.shards.iter().filter(|shard| torn.shards.contains(shard.id)) {
            let row = shard.snapshot.tenant(&torn.client).map_err(|error| shard.unread(error))?;
            if row.is_some_and(|row| grants.has_some_of(&row.tenant)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The apps that are seen and have such entries in the index, in order; with an app that one, if it is seen. A seen
    /// app may have none.
    pub(crate) fn apps_with(
        &self,
        what: AppsWith,
        app: Option<&AppKey>,
    ) -> Result<BTreeSet<AppKey>, QueryError> {
        let grants = &self.ledger.grants;
        if let Some(app) = app {
            return Ok(grants.has(app).then(|| app.clone()).into_iter().collect());
        }
        if let Some(apps) = grants.apps() {
            return Ok(BTreeSet::clone(apps));
        }
        let mut all = BTreeSet::new();
        for shard in &self.shards {
            all.extend(shard.snapshot.apps_with(what).map_err(|error| shard.unread(error))?);
        }
        Ok(all)
    }

    /// Records of histories that were read so far: what the question has cost.
    pub(crate) fn records(&self) -> usize {
        self.records.get()
    }

    pub(super) fn count(&self, records: usize) {
        self.records.set(self.records.get() + records);
    }

    /// A tenant's history up to a cut. A question keeps to one cut.
    pub(crate) fn history(
        &self,
        shard: &ShardSnapshot<'_>,
        client: &ClientKey,
        cut: KnowledgeCut,
    ) -> Result<LoadedHistory<'l>, QueryError> {
        let (events, reserved) = self.ledger.events(&shard.snapshot, client, cut)?;
        self.count(events.len());
        let mut apps = AppTimelines::default();
        for app in events.iter().filter_map(|event| event.event.app()).collect::<BTreeSet<_>>() {
            apps.share(app.clone(), self.timeline(shard, app, cut)?);
        }
        Ok(LoadedHistory { events, apps, _reserved: reserved })
    }

    /// The timeline of an app up to a cut.
    pub(crate) fn timeline(
        &self,
        shard: &ShardSnapshot<'_>,
        app: &AppKey,
        cut: KnowledgeCut,
    ) -> Result<Arc<AppTimeline>, QueryError> {
        if cut == KnowledgeCut::Open {
            let read = timeline(&self.ledger.cache, shard.id, &shard.snapshot, app);
            return read.map_err(|error| shard.unread(error));
        }
        let key = (shard.id.clone(), app.clone());
        if let Some(read) = self.timelines.borrow().get(&key) {
            return Ok(Arc::clone(read));
        }
        let timelines = shard.snapshot.timelines_of([app], cut).map_err(|error| shard.unread(error))?;
        let read = timelines.shared(app);
        self.timelines.borrow_mut().insert(key, Arc::clone(&read));
        Ok(read)
    }
}
