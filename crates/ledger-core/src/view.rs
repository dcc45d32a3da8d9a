//! An installation as answers show it. What depends on the instant of the query (rules 6.7) is derived here: never
//! stored, never stale.

use serde::Serialize;

use crate::descriptor::aligned;
use crate::event::SubscriptionState;
use crate::fold::install::are_different;
use crate::ids::{InstallationKey, MigrationId};
use crate::policy::Policy;
use crate::realm::Realm;
use crate::state::{
    Anomaly, Decision, Installation, MigrationPhase, PendingMigration, Pin, Predecessor, Status, Window,
};
use crate::time::Timestamp;
use crate::timeline::AppTimeline;
use crate::words;
use crate::words::if_any;

/// An installation as every answer shows it: what is known, and what follows from that at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct View<'a> {
    /// Installed or not.
    pub status: Status,
    /// Enabled or not.
    pub enabled: bool,
    /// Where it is pinned.
    #[serde(rename = "")]
    pub pin: Option<Pin>,
    /// Where the pinned realm is served; absent when it is not.
    pub base_url: Option<&'a str>,
    /// Where the product is.
    pub product_realm: Option<Realm>,
    /// Where the product's realm would put the app.
    pub aligned_realm: Option<Realm>,
    /// Installed elsewhere than the product's realm would put it.
    pub drift: bool,
    /// Where the partner says the data rests.
    pub data_realm: Option<Realm>,
    /// Installed elsewhere than where the data rests.
    pub split_brain: bool,
    /// The window of the last uninstall.
    pub window: Option<WindowView>,
    /// The pending migration.
    pub migration: Option<MigrationView<'a>>,
    /// The installation that it goes on from.
    pub predecessor: Option<&'a Predecessor>,
    /// The installation that goes on where it was.
    pub successor: Option<&'a InstallationKey>,
    /// The operator's pin.
    #[serde(rename = "override")]
    pub override_realm: Option<Realm>,
    /// The subscription as last observed.
    pub subscription: Option<SubscriptionState>,
    /// Atlassian's name of the installation.
    pub installation_id: Option<&'a str>,
    /// Atlassian's name of the entitlement.
    pub entitlement_id: Option<&'a str>,
    /// The tenant's site.
    pub site_url: Option<&'a str>,
    /// The last decision.
    pub decision: Option<&'a Decision>,
    /// The last anomalies, in effective order.
    #[serde(serialize_with = "if_any")]
    pub anomalies: &'a [Anomaly],
    /// How many there ever were.
    pub anomaly_count: u64,
}

/// A pending migration as it looks at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationView<'a> {
    /// Which.
    #[serde(rename = "migrationId")]
    pub id: &'a MigrationId,
    /// Where to.
    #[serde(rename = "targetRealm")]
    pub target: Option<Realm>,
    /// How far it got.
    pub phase: MigrationPhase,
    /// Start of the agreed time span.
    pub start_time: Option<Timestamp>,
    /// End of the agreed time span.
    pub end_time: Option<Timestamp>,
    /// When its commit or rollback was to be seen.
    pub due_by: Timestamp,
    /// Neither was seen by then.
    pub overdue: bool,
}

/// A persistence window as it looks at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowView {
    /// The policy that opened it.
    pub policy: Policy,
    /// The uninstall.
    pub start: Timestamp,
    /// Its end; none is without end.
    pub end: Option<Timestamp>,
    /// Open or closed.
    pub state: WindowState,
    /// The countdown, if it is open and ends.
    pub remaining_ms: Option<i64>,
    /// Ended by an operator's `FORGET`.
    pub forgotten: bool,
}

words! {
    /// Whether a window is open.
    pub enum WindowState {
        /// A reinstall comes back to the pinned realm.
        Open = "OPEN",
        /// It does not.
        Closed = "CLOSED",
    }
}

impl Installation {
    /// What is derived at an instant, for a tenant whose product is in `product`.
    #[must_use]
    pub fn view<'a>(&'a self, product: Option<Realm>, timeline: &'a AppTimeline, at: Timestamp) -> View<'a> {
        let descriptor = self.descriptor_at(timeline, at);
        let pinned = self.pinned_realm();
        let aligned_realm = aligned(product, descriptor);
        let installed = self.status == Status::Installed;
        View {
            status: self.status,
            enabled: self.enabled,
            pin: self.pin,
            base_url: descriptor.zip(pinned).and_then(|(descriptor, realm)| descriptor.url_of(realm)),
            product_realm: product,
            aligned_realm,
            drift: installed && are_different(pinned, aligned_realm),
            data_realm: self.data_realm,
            split_brain: installed && are_different(pinned, self.data_realm),
            window: self.window.map(|window| window.view(at)),
            migration: self.migration.as_ref().map(|pending| pending.view(at)),
            predecessor: self.predecessor.as_ref(),
            successor: self.successor.as_ref(),
            override_realm: self.override_realm,
            subscription: self.subscription.map(|subscription| subscription.state),
            installation_id: self.installation_id.as_deref(),
            entitlement_id: self.entitlement_id.as_deref(),
            site_url: self.site_url.as_deref(),
            decision: self.decision.as_ref(),
            anomalies: self.anomalies.recent(),
            anomaly_count: self.anomalies.count(),
        }
    }
}

impl PendingMigration {
    /// The migration at an instant.
    #[must_use]
    pub fn view(&self, at: Timestamp) -> MigrationView<'_> {
        let due_by = self.due_by();
        MigrationView {
            id: &self.id,
            target: self.target,
            phase: self.phase,
            start_time: self.start_time,
            end_time: self.end_time,
            due_by,
            overdue: due_by < at,
        }
    }
}

impl Window {
    /// The window at an instant.
    #[must_use]
    pub fn view(&self, at: Timestamp) -> WindowView {
        let open = self.is_open_at(at);
        WindowView {
            policy: self.policy,
            start: self.start,
            end: self.end,
            state: if open { WindowState::Open } else { WindowState::Closed },
            remaining_ms: self.end.filter(|_| open).map(|end| end.millis_since(at)),
            forgotten: self.forgotten,
        }
    }
}
