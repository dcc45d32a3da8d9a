//! An installation at an instant.

use ledger_core::event::SubscriptionState;
use ledger_core::ids::{AppKey, ClientKey, InstallationKey, MigrationId};
use ledger_core::policy::Policy;
use ledger_core::realm::Realm;
use ledger_core::state::{
    Anomaly, Decision, Installation, MigrationPhase, PendingMigration, PinnedBy, Predecessor, Status, Window,
};
use ledger_core::time::Timestamp;
use ledger_core::view::{MigrationView, View, WindowState, WindowView};
use serde::Serialize;

/// What a state is shown from.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// The tenant.
    pub client: &'a ClientKey,
    /// The app.
    pub app: &'a AppKey,
    /// The state.
    pub installation: &'a Installation,
    /// The tenant's product realm.
    pub product_realm: Option<Realm>,
    /// What is derived for the instant.
    pub view: &'a View<'a>,
    /// The highest seq of the tenant that was recorded up to `known`.
    pub seq: u64,
    /// The instant.
    pub as_of: Timestamp,
}

/// An installation at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateJson<'a> {
    /// The tenant.
    pub client_key: &'a ClientKey,
    /// The app.
    pub app_key: &'a AppKey,
    /// Installed or not.
    pub status: Status,
    /// Enabled or not.
    pub enabled: bool,
    /// Where it is pinned.
    pub pinned_realm: Option<Realm>,
    /// Since when.
    pub pinned_since: Option<Timestamp>,
    /// How that is known.
    pub pinned_by: Option<PinnedBy>,
    /// The URL of the pinned realm.
    pub base_url: Option<&'a str>,
    /// Where the product is.
    pub product_realm: Option<Realm>,
    /// Where the product's realm would put the app.
    pub aligned_realm: Option<Realm>,
    /// Installed elsewhere than aligned.
    pub drift: bool,
    /// Where the data rests.
    pub data_realm: Option<Realm>,
    /// Installed elsewhere than the data rests.
    pub split_brain: bool,
    /// The persistence window of the last uninstall.
    pub window: Option<WindowJson>,
    /// The pending migration.
    pub migration: Option<MigrationJson<'a>>,
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
    pub decision: Option<Decision>,
    /// The last anomalies, in effective order.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub anomalies: &'a [Anomaly],
    /// How many there ever were.
    pub anomaly_count: u64,
    /// The highest seq of the tenant that was recorded up to `known`.
    pub seq: u64,
    /// The instant.
    pub as_of: Timestamp,
}

/// A persistence window at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowJson {
    /// The policy that opened it.
    pub policy: Policy,
    /// The uninstall.
    pub start: Timestamp,
    /// Its end, unless it has none.
    pub end: Option<Timestamp>,
    /// Open or closed.
    pub state: Option<WindowState>,
    /// The countdown, if it is open and ends.
    pub remaining_ms: Option<i64>,
    /// Ended by an operator.
    pub forgotten: bool,
}

/// A pending migration at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationJson<'a> {
    /// Which.
    pub migration_id: &'a MigrationId,
    /// Where to.
    pub target_realm: Option<Realm>,
    /// How far it got.
    pub phase: MigrationPhase,
    /// Start of the agreed time span.
    pub start_time: Option<Timestamp>,
    /// End of the agreed time span.
    pub end_time: Option<Timestamp>,
    /// When its commit or rollback was to be seen.
    pub due_by: Option<Timestamp>,
    /// Neither was seen by then.
    pub overdue: Option<bool>,
}

impl<'a> StateJson<'a> {
    /// The state as it is shown.
    #[must_use]
    pub fn of(shown: Shown<'a>) -> Self {
        let Shown { client, app, installation, product_realm, view, seq, as_of } = shown;
        let pending = installation.migration.as_ref();
        Self {
            client_key: client,
            app_key: app,
            status: installation.status,
            enabled: installation.enabled,
            pinned_realm: installation.pinned_realm(),
            pinned_since: installation.pin.map(|pin| pin.since),
            pinned_by: installation.pin.map(|pin| pin.by),
            base_url: view.base_url,
            product_realm,
            aligned_realm: view.aligned_realm,
            drift: view.drift,
            data_realm: installation.data_realm,
            split_brain: view.split_brain,
            window: installation.window.map(|window| WindowJson::of(window, view.window)),
            migration: pending.map(|pending| MigrationJson::of(pending, view.migration)),
            predecessor: installation.predecessor.as_ref(),
            successor: installation.successor.as_ref(),
            override_realm: installation.override_realm,
            subscription: installation.subscription.map(|subscription| subscription.state),
            installation_id: installation.installation_id.as_deref(),
            entitlement_id: installation.entitlement_id.as_deref(),
            site_url: installation.site_url.as_deref(),
            decision: installation.decision,
            anomalies: installation.anomalies.recent(),
            anomaly_count: installation.anomalies.count(),
            seq,
            as_of,
        }
    }
}

impl WindowJson {
    fn of(window: Window, view: Option<WindowView>) -> Self {
        let Window { policy, start, end, forgotten } = window;
        let state = view.map(|view| view.state);
        Self { policy, start, end, state, remaining_ms: view.and_then(|view| view.remaining_ms), forgotten }
    }
}

impl<'a> MigrationJson<'a> {
    fn of(pending: &'a PendingMigration, view: Option<MigrationView>) -> Self {
        Self {
            migration_id: &pending.id,
            target_realm: pending.target,
            phase: pending.phase,
            start_time: pending.start_time,
            end_time: pending.end_time,
            due_by: view.map(|view| view.due_by),
            overdue: view.map(|view| view.overdue),
        }
    }
}
