//! An installation at an instant, and the parts that other views show too.

use std::borrow::Cow;

use ledger_core::event::SubscriptionState;
use ledger_core::ids::{AppKey, ClientKey, InstallationKey, MigrationId};
use ledger_core::policy::Policy;
use ledger_core::realm::Realm;
use ledger_core::state::{
    self, AnomalyCode, Installation, MigrationPhase, PendingMigration, PinnedBy, Predecessor, Rule, Status,
    Window,
};
use ledger_core::time::Timestamp;
use ledger_core::view::{MigrationView, View, WindowState, WindowView};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Instant, Place, Word};

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StateJson<'a> {
    /// The tenant.
    pub client_key: Cow<'a, str>,
    /// The app.
    pub app_key: Cow<'a, str>,
    /// Installed or not.
    pub status: Word<Status>,
    /// Enabled or not.
    pub enabled: bool,
    /// Where it is pinned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_realm: Option<Place>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_since: Option<Instant>,
    /// How that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_by: Option<Word<PinnedBy>>,
    /// The URL of the pinned realm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<Cow<'a, str>>,
    /// Where the product is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_realm: Option<Place>,
    /// Where the product's realm would put the app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aligned_realm: Option<Place>,
    /// Installed elsewhere than aligned.
    pub drift: bool,
    /// Where the data rests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_realm: Option<Place>,
    /// Installed elsewhere than the data rests.
    pub split_brain: bool,
    /// The persistence window of the last uninstall.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowJson>,
    /// The pending migration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration: Option<MigrationJson<'a>>,
    /// The installation that it goes on from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<LinkJson<'a>>,
    /// The installation that goes on where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successor: Option<LinkJson<'a>>,
    /// The operator's pin.
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    pub override_realm: Option<Place>,
    /// The subscription as last observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription: Option<Word<SubscriptionState>>,
    /// Atlassian's name of the installation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installation_id: Option<Cow<'a, str>>,
    /// Atlassian's name of the entitlement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entitlement_id: Option<Cow<'a, str>>,
    /// The tenant's site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site_url: Option<Cow<'a, str>>,
    /// The last decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionJson>,
    /// The last anomalies, in effective order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anomalies: Vec<AnomalyJson>,
    /// How many there ever were.
    pub anomaly_count: u64,
    /// The highest seq of the tenant that was recorded up to `known`.
    pub seq: u64,
    /// The instant.
    pub as_of: Instant,
}

/// A persistence window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowJson {
    /// The policy that opened it.
    pub policy: PolicyJson,
    /// The uninstall.
    pub start: Instant,
    /// Its end, unless it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Instant>,
    /// Open or closed, where an instant is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Word<WindowState>>,
    /// The countdown, if it is open and ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_ms: Option<i64>,
    /// Ended by an operator.
    pub forgotten: bool,
}

/// A persistence policy. Read strictly: of one that says more than it means, nobody knows what was meant. (Without
/// their braces the empty ones would take anything.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum PolicyJson {
    /// As the descriptor in force declares.
    Descriptor {},
    /// No window.
    Off {},
    /// So many days.
    Days {
        /// How many.
        #[serde(deserialize_with = "whole")]
        days: u32,
    },
    /// Without end.
    Indefinite {},
    /// As long as the subscription is active.
    Subscription {
        /// And so many days more.
        #[serde(deserialize_with = "whole")]
        grace_days: u32,
    },
}

/// A whole number by its value, as `policy-set` takes it: `30.0` is 30.
fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let number = serde_json::Number::deserialize(from)?;
    let value =
        number.as_f64().filter(|value| value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(value));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, and within the bounds"
    )]
    let whole = value.map(|value| value as u32);
    whole.ok_or_else(|| D::Error::custom(format!("{number} is no whole number of days")))
}

/// A pending migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationJson<'a> {
    /// Which.
    pub migration_id: Cow<'a, str>,
    /// Where to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_realm: Option<Place>,
    /// How far it got.
    pub phase: Word<MigrationPhase>,
    /// Start of the agreed time span.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Instant>,
    /// End of the agreed time span.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Instant>,
    /// When its commit or rollback was to be seen, where an instant is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_by: Option<Instant>,
    /// Neither was seen by then, where an instant is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overdue: Option<bool>,
}

/// Another installation that this one goes on from, or as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkJson<'a> {
    /// Its tenant.
    pub client_key: Cow<'a, str>,
    /// Its app.
    pub app_key: Cow<'a, str>,
    /// Where a predecessor was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<Place>,
}

/// A decision; a preview is one without `seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionJson {
    /// The record it rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Event time of the install.
    pub at: Instant,
    /// The row of the table that applied.
    pub rule: Word<Rule>,
    /// Where the rules put it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_realm: Option<Place>,
    /// Where the platform put it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_realm: Option<Place>,
    /// Where it is pinned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_realm: Option<Place>,
    /// The last known realm before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_realm: Option<Place>,
    /// Where the product was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_realm: Option<Place>,
    /// The data may still be in the previous realm.
    pub moved: bool,
    /// The platform did not do what the rules say.
    pub divergent: bool,
}

/// Something odd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnomalyJson {
    /// The record that raised it.
    pub seq: u64,
    /// What was odd.
    pub code: Word<AnomalyCode>,
}

impl<'a> StateJson<'a> {
    /// The state as it is shown.
    #[must_use]
    pub fn of(shown: Shown<'a>) -> Self {
        let Shown { client, app, installation, product_realm, view, seq, as_of } = shown;
        let anomalies = installation.anomalies.recent().iter();
        Self {
            client_key: client.as_str().into(),
            app_key: app.as_str().into(),
            status: Word(installation.status),
            enabled: installation.enabled,
            pinned_realm: installation.pin.map(|pin| Place(pin.realm)),
            pinned_since: installation.pin.map(|pin| Instant(pin.since)),
            pinned_by: installation.pin.map(|pin| Word(pin.by)),
            base_url: view.base_url.map(Cow::from),
            product_realm: product_realm.map(Place),
            aligned_realm: view.aligned_realm.map(Place),
            drift: view.drift,
            data_realm: installation.data_realm.map(Place),
            split_brain: view.split_brain,
            window: installation.window.map(|window| WindowJson::of(window, view.window)),
            migration: installation
                .migration
                .as_ref()
                .map(|pending| MigrationJson::of(pending, view.migration)),
            predecessor: installation.predecessor.as_ref().map(LinkJson::from_predecessor),
            successor: installation.successor.as_ref().map(|successor| LinkJson::of(successor, None)),
            override_realm: installation.override_realm.map(Place),
            subscription: installation.subscription.map(|subscription| Word(subscription.state)),
            installation_id: installation.installation_id.as_deref().map(Cow::from),
            entitlement_id: installation.entitlement_id.as_deref().map(Cow::from),
            site_url: installation.site_url.as_deref().map(Cow::from),
            decision: installation.decision.map(DecisionJson::of),
            anomalies: anomalies.map(|one| AnomalyJson { seq: one.seq, code: Word(one.code) }).collect(),
            anomaly_count: installation.anomalies.count(),
            seq,
            as_of: Instant(as_of),
        }
    }
}

impl WindowJson {
    /// The window, and how it looks at an instant where one is asked for.
    #[must_use]
    pub fn of(window: Window, view: Option<WindowView>) -> Self {
        Self {
            policy: PolicyJson::of(window.policy),
            start: Instant(window.start),
            end: window.end.map(Instant),
            state: view.map(|view| Word(view.state)),
            remaining_ms: view.and_then(|view| view.remaining_ms),
            forgotten: window.forgotten,
        }
    }
}

impl PolicyJson {
    /// The policy as it is shown, and as `policy-set` takes it.
    #[must_use]
    pub const fn of(policy: Policy) -> Self {
        match policy {
            Policy::Descriptor => Self::Descriptor {},
            Policy::Off => Self::Off {},
            Policy::Days { days } => Self::Days { days },
            Policy::Indefinite => Self::Indefinite {},
            Policy::Subscription { grace_days } => Self::Subscription { grace_days },
        }
    }
}

impl<'a> MigrationJson<'a> {
    /// The pending migration, and how it looks at an instant.
    #[must_use]
    pub fn of(pending: &'a PendingMigration, view: Option<MigrationView>) -> Self {
        Self {
            start_time: pending.start_time.map(Instant),
            end_time: pending.end_time.map(Instant),
            due_by: view.map(|view| Instant(view.due_by)),
            overdue: view.map(|view| view.overdue),
            ..Self::brief(&pending.id, pending.target, pending.phase)
        }
    }

    pub(super) fn brief(id: &'a MigrationId, target: Option<Realm>, phase: MigrationPhase) -> Self {
        Self {
            migration_id: id.as_str().into(),
            target_realm: target.map(Place),
            phase: Word(phase),
            start_time: None,
            end_time: None,
            due_by: None,
            overdue: None,
        }
    }
}

impl<'a> LinkJson<'a> {
    pub(super) fn of(installation: &'a InstallationKey, realm: Option<Realm>) -> Self {
        let InstallationKey { client, app } = installation;
        Self { client_key: client.as_str().into(), app_key: app.as_str().into(), realm: realm.map(Place) }
    }

    pub(super) fn from_predecessor(predecessor: &'a Predecessor) -> Self {
        Self::of(&predecessor.installation, predecessor.realm)
    }
}

impl DecisionJson {
    /// The decision as it is shown.
    #[must_use]
    pub fn of(decision: state::Decision) -> Self {
        Self {
            seq: decision.seq,
            at: Instant(decision.at),
            rule: Word(decision.rule),
            expected_realm: decision.expected_realm.map(Place),
            observed_realm: decision.observed_realm.map(Place),
            pinned_realm: decision.pinned_realm.map(Place),
            previous_realm: decision.previous_realm.map(Place),
            product_realm: decision.product_realm.map(Place),
            moved: decision.moved,
            divergent: decision.divergent,
        }
    }
}
