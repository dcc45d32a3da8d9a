//! The fold of one tenant (rules 2.2): the unit that is stored, cached and folded anew.
//!
//! A tenant's events share one product realm, so they are folded together, each into its own
//! installation. The incremental path ([`Tenant::append`]) applies one event that is last in effective
//! order; the other path ([`crate::history`]) folds everything from zero. Both run the same step, which is
//! why they agree.

mod installations;

pub use installations::Installations;

use serde::{Deserialize, Serialize};

use crate::event::{Body, Event};
use crate::fold::{self, Effects, FoldMode, StepContext};
use crate::ids::{AppKey, MigrationId};
use crate::realm::Realm;
use crate::state::{
    AnomalyCode, Decision, Installation, MigrationPhase, PendingMigration, Pin, Status, Window,
};
use crate::time::Timestamp;
use crate::timeline::AppTimelines;
use crate::words::if_any;

/// Everything folded of one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tenant {
    /// Product realm, once an event told it.
    pub product_realm: Option<Realm>,
    /// Event time of the last event that concerns every app of the tenant: tenant-level, or an `installed`
    /// with a product realm.
    pub shared_latest: Option<Timestamp>,
    /// The installations, by app.
    pub installations: Installations,
}

/// What one record did to one installation: evidence of what the ledger said when it was appended.
///
/// `before` and `after` are the states as they stood before and after the record was taken in, whatever its
/// place in effective order: a late record shows how the present changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Whose installation.
    #[serde(rename = "appKey")]
    pub app: AppKey,
    /// The short state before; absent when this record made the installation known.
    pub before: Option<Summary>,
    /// The short state after.
    pub after: Summary,
    /// The decision that the record itself made, at its place in effective order.
    pub decision: Option<Decision>,
    /// The anomalies that the record itself raised, at its place in effective order.
    #[serde(serialize_with = "if_any")]
    pub anomalies: Vec<AnomalyCode>,
    /// Earlier outcomes that no longer hold because of this record.
    pub correction: Option<Correction>,
}

/// Earlier outcomes that a record changed: a late one, or the first observation of what was only expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Correction {
    /// Tenant seq of the first record, in effective order, whose outcome changed.
    pub first_seq: u64,
    /// How many records' outcomes changed.
    pub count: u64,
    /// The installation's last decision, as it stands now.
    pub decision: Option<Decision>,
}

/// The short state: what an install handler wants to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Installed or not.
    pub status: Status,
    /// Enabled or not.
    pub enabled: bool,
    /// The pinned realm.
    #[serde(rename = "")]
    pub pin: Option<Pin>,
    /// Where the product is.
    pub product_realm: Option<Realm>,
    /// Where the data rests.
    pub data_realm: Option<Realm>,
    /// The persistence window.
    pub window: Option<Window>,
    /// The pending migration.
    pub migration: Option<MigrationSummary>,
    /// The operator's pin.
    #[serde(rename = "override")]
    pub override_realm: Option<Realm>,
}

/// A pending migration, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationSummary {
    /// Which.
    #[serde(rename = "migrationId")]
    pub id: MigrationId,
    /// Where to.
    #[serde(rename = "targetRealm")]
    pub target: Option<Realm>,
    /// How far it got.
    pub phase: MigrationPhase,
}

/// What one record did to its tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// The record sorted before one already applied.
    pub late: bool,
    /// Every installation it changed, by app.
    pub changes: Vec<Change>,
}

/// A record of the tenant's log, as the fold sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Tenant seq: arrival order.
    pub seq: u64,
    /// What happened.
    pub event: &'a Event,
}

impl Entry<'_> {
    /// Place in effective order, among records that are not app-level.
    pub(crate) fn place(&self) -> (Timestamp, u64) {
        (self.event.time, self.seq)
    }
}

impl MigrationSummary {
    fn new(pending: &PendingMigration) -> Self {
        Self { id: pending.id.clone(), target: pending.target, phase: pending.phase }
    }
}

impl Summary {
    /// The short state of an installation of a tenant whose product is in that realm.
    #[must_use]
    pub fn new(installation: &Installation, product_realm: Option<Realm>) -> Self {
        let migration = installation.migration.as_ref();
        Self {
            status: installation.status,
            enabled: installation.enabled,
            pin: installation.pin,
            product_realm,
            data_realm: installation.data_realm,
            window: installation.window,
            migration: migration.map(MigrationSummary::new),
            override_realm: installation.override_realm,
        }
    }
}

impl Tenant {
    /// Whether a tenant-level or installation-level event sorts, in the effective order of some
    /// installation, before a record already there (rules 2.2). At equal times arrival decides, so only
    /// what has a later time comes after it; of app-level events too, as those come first.
    #[must_use]
    pub fn is_late(&self, event: &Event, apps: &AppTimelines) -> bool {
        if !self.is_last(event) {
            return true;
        }
        let precedes = |app: &AppKey| apps.of(app).latest().is_some_and(|(latest, _)| event.time < latest);
        let own = match &event.body {
            Body::Installation { app, .. } => precedes(app),
            Body::Tenant { .. } | Body::App { .. } => false,
        };
        own || event.product_realm().is_some() && self.installations.keys().any(precedes)
    }

    /// Whether [`Tenant::append`] may take the event: no record of the tenant that it has to do with sorts
    /// after it. App-level events do not matter here: they are looked up, not folded.
    #[must_use]
    pub fn is_last(&self, event: &Event) -> bool {
        let time = Some(event.time);
        let precedes = |installation: &Installation| time < installation.latest;
        let own = event.app().and_then(|app| self.installations.get(app)).is_some_and(precedes);
        let shared = event.product_realm().is_some() && self.installations.values().any(precedes);
        !(time < self.shared_latest || own || shared)
    }

    /// Event time of the last record, app-level ones aside, in the effective order of an installation; none
    /// when the tenant has no such installation.
    #[must_use]
    pub fn latest_of(&self, app: &AppKey) -> Option<Timestamp> {
        self.installations.get(app).and_then(|installation| installation.latest.max(self.shared_latest))
    }

    /// Whether anything in force at or after an instant was looked up in the timeline of an app: an
    /// app-level event of that time can have changed the tenant only then. Its own events look up, and at
    /// equal times they come after those of the app.
    #[must_use]
    pub fn looked_up_since(&self, app: &AppKey, since: Timestamp) -> bool {
        self.installations.get(app).is_some_and(|installation| installation.latest >= Some(since))
    }

    /// Applies a record that is last in order ([`Tenant::is_last`]). The outcome is still called late when
    /// an app-level event of its app lies after it.
    pub fn append(&mut self, entry: Entry<'_>, apps: &AppTimelines) -> Outcome {
        let late = self.is_late(entry.event, apps);
        Outcome { late, changes: self.advance(entry, apps) }
    }

    /// Applies a record and tells what it changed.
    pub(crate) fn advance(&mut self, entry: Entry<'_>, apps: &AppTimelines) -> Vec<Change> {
        let product_before = self.product_realm;
        let own = entry.event.app();
        let before = own
            .and_then(|app| self.installations.get(app))
            .map(|installation| Summary::new(installation, product_before));
        let effects = self.apply(entry, apps, FoldMode::Actual);
        if product_before == self.product_realm {
            let change = own.zip(effects).and_then(|(app, effects)| self.own_change(app, before, effects));
            return change.into_iter().collect();
        }
        let mut own_change =
            own.zip(effects).and_then(|(app, effects)| self.own_change(app, before, effects));
        let others = self.installations.iter().map(|(app, installation)| {
            own_change.take_if(|change| change.app == *app).unwrap_or_else(|| Change {
                app: app.clone(),
                before: Some(Summary::new(installation, product_before)),
                after: Summary::new(installation, self.product_realm),
                decision: None,
                anomalies: Vec::new(),
                correction: None,
            })
        });
        others.collect()
    }

    fn own_change(&self, app: &AppKey, before: Option<Summary>, effects: Effects) -> Option<Change> {
        let after = Summary::new(self.installations.get(app)?, self.product_realm);
        let changed = effects.touched
            || effects.decision.is_some()
            || effects.corrected.is_some()
            || !effects.anomalies.is_empty()
            || before.as_ref() != Some(&after);
        let correction = effects.corrected.and_then(|decision| {
            Some(Correction { first_seq: decision.seq?, count: 1, decision: Some(decision) })
        });
        changed.then(|| Change {
            app: app.clone(),
            before,
            after,
            decision: effects.decision,
            anomalies: effects.anomalies,
            correction,
        })
    }

    /// The step of the fold: the product realm is taken first, then the event by its installation.
    pub(crate) fn apply(&mut self, entry: Entry<'_>, apps: &AppTimelines, mode: FoldMode) -> Option<Effects> {
        let event = entry.event;
        if let Some(product_realm) = event.product_realm() {
            self.product_realm = Some(product_realm);
            self.shared_latest = Some(event.time);
        }
        let Body::Installation { app, fact, .. } = &event.body else {
            return None;
        };
        let context = StepContext {
            seq: entry.seq,
            at: event.time,
            product: self.product_realm,
            timeline: apps.of(app),
            mode,
        };
        // An own `get_mut` first: the key is only cloned for a new installation.
        Some(match self.installations.get_mut(app) {
            Some(installation) => fold::apply(installation, fact, context),
            None => fold::apply(self.installations.get_or_default(app.clone()), fact, context),
        })
    }
}
