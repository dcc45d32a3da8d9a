//! What is known about one installation (rules 6): the state that the fold carries along.
//!
//! Everything shown to users is here, and besides it what only the fold needs: the last known realm, the
//! finished migrations, when an installation was only implied. What depends on the moment of asking
//! (window state, drift, split brain, base URL) is in [`crate::view`].

mod migration;

pub use crate::anomaly::{Anomalies, Anomaly, AnomalyCode};
pub use migration::{
    FinishedMigration, FinishedMigrations, MigrationOutcome, MigrationPhase, PendingMigration,
};

use serde::{Deserialize, Serialize};

use crate::descriptor::Descriptor;
use crate::event::SubscriptionState;
use crate::ids::InstallationKey;
use crate::limits::HOOKS_CROSS_MS;
use crate::policy::Policy;
use crate::realm::Realm;
use crate::time::Timestamp;
use crate::timeline::AppTimeline;
use crate::words;

/// The state of one (client key, app key).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Installation {
    /// Installed, uninstalled, or never seen as either.
    pub status: Status,
    /// As the last `enabled`, `disabled`, install or uninstall left it.
    pub enabled: bool,
    /// The realm it is pinned to, unless unknown.
    pub pin: Option<Pin>,
    /// The persistence window of the last uninstall.
    pub window: Option<Window>,
    /// The pending migration.
    pub migration: Option<PendingMigration>,
    /// The realm an operator pinned it to, until released.
    pub override_realm: Option<Realm>,
    /// Where the partner says the data rests.
    pub data_realm: Option<Realm>,
    /// The subscription as last observed.
    pub subscription: Option<Subscription>,
    /// Atlassian's name of the installation.
    pub installation_id: Option<String>,
    /// Atlassian's name of the entitlement.
    pub entitlement_id: Option<String>,
    /// The tenant's site.
    pub site_url: Option<String>,
    /// The installation that it goes on from.
    pub predecessor: Option<Predecessor>,
    /// The installation that goes on where it was.
    pub successor: Option<InstallationKey>,
    /// The last decision.
    pub decision: Option<Decision>,
    /// What was odd.
    pub anomalies: Anomalies,
    /// The last realm that was known to be pinned (not shown).
    pub last_known_realm: Option<Realm>,
    /// What came from `continued` and `superseded` (not shown).
    pub links: Links,
    /// An `installed` at or after the last decision gave the installation id (not shown).
    pub installation_id_is_current: bool,
    /// Finished migrations, in the order they finished (not shown).
    pub finished: FinishedMigrations,
    /// When the installation was only implied (rules 6.3, not shown).
    pub implied_at: Option<Timestamp>,
    /// The last descriptor inside an own `installed` event (not shown).
    pub own_descriptor: Option<OwnDescriptor>,
    /// Event time of the last own event in effective order (not shown).
    pub latest: Option<Timestamp>,
}

impl Installation {
    /// The descriptor in force at an instant (rules 3): the later of the last published one and the last
    /// installed one, in effective order.
    #[must_use]
    pub fn descriptor_at<'a>(&'a self, timeline: &'a AppTimeline, at: Timestamp) -> Option<&'a Descriptor> {
        match (&self.own_descriptor, timeline.descriptor_at(at)) {
            // At equal times app-level events come first, so the installed one is the later.
            (Some(own), Some((published, _))) if own.time >= published => Some(&own.descriptor),
            (_, Some((_, descriptor))) => Some(descriptor),
            (own, None) => own.as_ref().map(|own| &own.descriptor),
        }
    }

    /// Whether an `installed` at an instant meets an installation that was only implied a moment ago, by a
    /// hook that overtook it (rules 6.1).
    pub(crate) fn is_just_implied(&self, at: Timestamp) -> bool {
        self.pin.is_none()
            && self.implied_at.is_some_and(|implied| at.millis_since(implied) <= HOOKS_CROSS_MS)
    }

    /// Whether the two differ in anything but when an own event was last seen.
    pub(crate) fn differs_from(&self, other: &Self) -> bool {
        Self { latest: other.latest, ..self.clone() } != *other
    }

    /// Where the installation was that this one goes on from, if that was told.
    pub(crate) fn predecessor_realm(&self) -> Option<Realm> {
        self.predecessor.as_ref().and_then(|predecessor| predecessor.realm)
    }

    /// The pinned realm, if known.
    #[must_use]
    pub fn pinned_realm(&self) -> Option<Realm> {
        self.pin.map(|pin| pin.realm)
    }
}

/// The installation that another one goes on from (rules 6.6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predecessor {
    /// Which.
    #[serde(rename = "")]
    pub installation: InstallationKey,
    /// Where it was, if that was told.
    pub realm: Option<Realm>,
}

/// What of a state came from `continued` and `superseded`: only that may be replaced by a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Links {
    /// The last known realm came from a `continued`, and nothing was seen there since.
    pub last_known: bool,
    /// The previous realm of the last decision came from a `continued`.
    pub previous: bool,
    /// No `uninstalled` came since the last `superseded`.
    pub uninstall_expected: bool,
}

words! {
    /// Whether the app is there.
    #[derive(Default)]
    pub enum Status {
        /// Never seen as installed or uninstalled.
        #[default]
        None = "NONE",
        /// Installed.
        Installed = "INSTALLED",
        /// Uninstalled.
        Uninstalled = "UNINSTALLED",
    }
}

/// The pinned realm, since when, and how it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Where.
    #[serde(rename = "pinnedRealm")]
    pub realm: Realm,
    /// Since when.
    #[serde(rename = "pinnedSince")]
    pub since: Timestamp,
    /// How it is known.
    #[serde(rename = "pinnedBy")]
    pub by: PinnedBy,
}

impl Pin {
    /// Nothing was seen at the realm: it was expected, or an operator said so.
    #[must_use]
    pub const fn is_unseen(&self) -> bool {
        matches!(self.by, PinnedBy::Expected | PinnedBy::Overridden)
    }
}

words! {
    /// How a pin is known.
    pub enum PinnedBy {
        /// A hook arrived there.
        Observed = "OBSERVED",
        /// The rules say so; nothing was seen.
        Expected = "EXPECTED",
        /// A migration committed, or was reverted.
        Migrated = "MIGRATED",
        /// An operator said so.
        Overridden = "OVERRIDDEN",
    }
}

/// A persistence window, half-open: `[start, end)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// The policy that opened it.
    pub policy: Policy,
    /// The uninstall.
    pub start: Timestamp,
    /// Its end; none is without end.
    pub end: Option<Timestamp>,
    /// Ended by an operator's `FORGET`.
    pub forgotten: bool,
}

impl Window {
    /// Whether the window is open at an instant (rules 6.7).
    #[must_use]
    pub fn is_open_at(&self, at: Timestamp) -> bool {
        self.start <= at && self.end.is_none_or(|end| at < end)
    }
}

/// The subscription, and since when it is in this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// As last observed.
    pub state: SubscriptionState,
    /// First observation of this state in a row.
    pub since: Timestamp,
}

/// Which realm an install got, by which rule (rules 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The record it rests on; absent in a preview.
    pub seq: Option<u64>,
    /// Event time of the install.
    pub at: Timestamp,
    /// The row of the table that applied.
    pub rule: Rule,
    /// Where the rules put it.
    pub expected_realm: Option<Realm>,
    /// Where the platform put it.
    pub observed_realm: Option<Realm>,
    /// Where it is pinned.
    pub pinned_realm: Option<Realm>,
    /// The last known realm before.
    pub previous_realm: Option<Realm>,
    /// Where the product was.
    pub product_realm: Option<Realm>,
    /// Previous and pinned are both known and differ: data may still be in the previous realm.
    pub moved: bool,
    /// Observed and expected are both known and differ: the platform did not do what the rules say.
    pub divergent: bool,
}

words! {
    /// The rows of the table in rules 6.1.
    pub enum Rule {
        /// Rows 1 to 5: re-sent, not a reinstall.
        Refresh = "REFRESH",
        /// Row 6: the uninstall was never seen.
        ImplicitReinstall = "IMPLICIT_REINSTALL",
        /// Row 7: an operator's pin.
        Overridden = "OVERRIDDEN",
        /// Row 8a: never installed before, and it goes on from another installation.
        Continued = "CONTINUED",
        /// Row 8b: never installed before.
        Fresh = "FRESH",
        /// Row 9: the realm before is unknown.
        PriorUnknown = "PRIOR_UNKNOWN",
        /// Row 10: an operator ended the window.
        WindowForgotten = "WINDOW_FORGOTTEN",
        /// Row 11: no persistence.
        PersistenceOff = "PERSISTENCE_OFF",
        /// Row 12: too late.
        WindowExpired = "WINDOW_EXPIRED",
        /// Row 13: the app no longer serves the pinned realm.
        RealmWithdrawn = "REALM_WITHDRAWN",
        /// Row 14: back where the data is.
        Persisted = "PERSISTED",
    }
}

/// The last descriptor inside an own `installed` event, with its place in effective order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnDescriptor {
    /// Event time of the install; app-level events of the same time come before it.
    pub time: Timestamp,
    /// What was installed.
    pub descriptor: Descriptor,
}
