//! The fold of one tenant (rules 2.2): the unit that is stored, cached and folded anew.
//!
//! A tenant's events share one product realm, so they are folded together, each into its own
//! installation. The incremental path applies one event that is last in effective order; the other path
//! folds everything from zero. Both run [`Tenant::apply`], which is why they agree.

use std::collections::BTreeMap;

use crate::event::Event;
use crate::ids::AppKey;
use crate::ids::MigrationId;
use crate::realm::Realm;
use crate::state::{AnomalyCode, Decision, Installation, MigrationPhase, Pin, Status, Window};
use crate::time::Timestamp;
use crate::timeline::AppTimelines;

/// Everything folded of one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tenant {
    /// Product realm, once an event told it.
    pub product_realm: Option<Realm>,
    /// Event time of the last event that concerns every app of the tenant: tenant-level, or an `installed`
    /// with a product realm.
    pub shared_latest: Option<Timestamp>,
    /// The installations, by app.
    pub installations: BTreeMap<AppKey, Installation>,
}

/// What one record did to one installation: evidence of what the ledger said when it was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Whose installation.
    pub app: AppKey,
    /// The short state before; absent when this record made the installation known.
    pub before: Option<Summary>,
    /// The short state after.
    pub after: Summary,
    /// The decision that the record itself made, at its place in effective order.
    pub decision: Option<Decision>,
    /// The anomalies that the record itself raised, at its place in effective order.
    pub anomalies: Vec<AnomalyCode>,
    /// Earlier outcomes that no longer hold because of this record.
    pub correction: Option<Correction>,
}

/// Earlier outcomes that a record changed: a late one, or the first observation of what was only expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Correction {
    /// Tenant seq of the first record, in effective order, whose outcome changed.
    pub first_seq: u64,
    /// How many records' outcomes changed.
    pub count: u64,
    /// The installation's last decision, as it stands now.
    pub decision: Option<Decision>,
}

/// The short state: what an install handler wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Installed or not.
    pub status: Status,
    /// Enabled or not.
    pub enabled: bool,
    /// The pinned realm.
    pub pin: Option<Pin>,
    /// Where the product is.
    pub product_realm: Option<Realm>,
    /// Where the data rests.
    pub data_realm: Option<Realm>,
    /// The persistence window.
    pub window: Option<Window>,
    /// The pending migration: id, target, phase.
    pub migration: Option<(MigrationId, Option<Realm>, MigrationPhase)>,
    /// The operator's pin.
    pub override_realm: Option<Realm>,
}

/// What one record did to its tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// The record sorted before one already applied.
    pub late: bool,
    /// Every installation it changed, by app.
    pub changes: Vec<Change>,
}

/// A record of the tenant's log, as the fold sees it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Tenant seq: arrival order.
    pub seq: u64,
    /// What happened.
    pub event: &'a Event,
}

impl Tenant {
    /// Whether an event sorts before one already applied (rules 2.2).
    #[must_use]
    pub fn is_late(&self, _event: &Event, _apps: &AppTimelines) -> bool {
        todo!()
    }
}
