//! What one question reads of the past: histories, within their budget, and the timelines of
//! apps as they were known, each of them once.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::tenant::Entry;
use ledger_core::timeline::{AppTimeline, AppTimelines};
use ledger_store::{HistoryEvent, KnowledgeCut, ShardId, entries};

use super::Ledger;
use super::budget::Reservation;
use super::error::QueryError;
use super::shards::ShardSnapshot;
use super::timelines::timeline;

/// One question while it is answered.
#[derive(Debug)]
pub(crate) struct Reading<'l> {
    pub(crate) ledger: &'l Ledger,
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
    pub(crate) fn new(ledger: &'l Ledger) -> Self {
        Self { ledger, timelines: RefCell::default(), records: Cell::new(0) }
    }

    /// Records of histories that were read so far: what the question has cost.
    pub(crate) fn records(&self) -> usize {
        self.records.get()
    }

    /// A tenant's history up to a cut. A question keeps to one cut.
    pub(crate) fn history(
        &self,
        moment: &ShardSnapshot<'_>,
        client: &ClientKey,
        cut: KnowledgeCut,
    ) -> Result<LoadedHistory<'l>, QueryError> {
        let (events, reserved) = self.ledger.events(&moment.snapshot, client, cut)?;
        self.records.set(self.records.get() + events.len());
        let mut apps = AppTimelines::default();
        for app in events.iter().filter_map(|event| event.event.app()).collect::<BTreeSet<_>>() {
            apps.share(app.clone(), self.timeline(moment, app, cut)?);
        }
        Ok(LoadedHistory { events, apps, _reserved: reserved })
    }

    /// The timeline of an app up to a cut.
    pub(crate) fn timeline(
        &self,
        moment: &ShardSnapshot<'_>,
        app: &AppKey,
        cut: KnowledgeCut,
    ) -> Result<Arc<AppTimeline>, QueryError> {
        if cut == KnowledgeCut::Open {
            let read = timeline(&self.ledger.cache, moment.id, &moment.snapshot, app);
            return read.map_err(|error| moment.unread(error));
        }
        let key = (moment.id.clone(), app.clone());
        if let Some(read) = self.timelines.borrow().get(&key) {
            return Ok(Arc::clone(read));
        }
        let timelines = moment.snapshot.timelines_of([app], cut).map_err(|error| moment.unread(error))?;
        let read = timelines.shared(app);
        self.timelines.borrow_mut().insert(key, Arc::clone(&read));
        Ok(read)
    }
}
