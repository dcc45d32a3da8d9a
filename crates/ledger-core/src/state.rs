//! What is known about one installation (rules 6): the state that the fold carries along.
//!
//! Everything shown to users is here, and besides it what only the fold needs: the last known realm, the
//! finished migrations, when an installation was only implied. What depends on the moment of asking
//! (window state, drift, split brain, base URL) is in [`crate::view`].

use crate::descriptor::Descriptor;
use crate::event::SubscriptionState;
use crate::ids::MigrationId;
use crate::limits::ANOMALIES_KEPT;
use crate::policy::Policy;
use crate::realm::Realm;
use crate::time::Timestamp;

/// The state of one (client key, app key).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
    /// The last decision.
    pub decision: Option<Decision>,
    /// What was odd.
    pub anomalies: Anomalies,
    /// The last realm that was known to be pinned (not shown).
    pub last_known_realm: Option<Realm>,
    /// Finished migrations, in the order they finished (not shown).
    pub finished: Vec<FinishedMigration>,
    /// When the installation was only implied (rules 6.3, not shown).
    pub implied_at: Option<Timestamp>,
    /// The last descriptor inside an own `installed` event (not shown).
    pub own_descriptor: Option<OwnDescriptor>,
    /// Event time of the last own event in effective order (not shown).
    pub latest: Option<Timestamp>,
}

/// Whether the app is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Status {
    /// Never seen as installed or uninstalled.
    #[default]
    None,
    /// Installed.
    Installed,
    /// Uninstalled.
    Uninstalled,
}

/// The pinned realm, since when, and how it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// Where.
    pub realm: Realm,
    /// Since when.
    pub since: Timestamp,
    /// How it is known.
    pub by: PinnedBy,
}

/// How a pin is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinnedBy {
    /// A hook arrived there.
    Observed,
    /// The rules say so; nothing was seen.
    Expected,
    /// A migration committed, or was reverted.
    Migrated,
    /// An operator said so.
    Overridden,
}

/// A persistence window, half-open: `[start, end)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Whether the window is open at an instant (rules 6.6).
    #[must_use]
    pub fn is_open_at(&self, at: Timestamp) -> bool {
        self.start <= at && self.end.is_none_or(|end| at < end)
    }
}

/// A migration that is not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingMigration {
    /// Which.
    pub id: MigrationId,
    /// Where to.
    pub target: Option<Realm>,
    /// How far it got.
    pub phase: MigrationPhase,
    /// Start of the agreed time span.
    pub start_time: Option<Timestamp>,
    /// End of the agreed time span.
    pub end_time: Option<Timestamp>,
    /// The realm it leaves (not shown).
    pub source: Option<Realm>,
    /// An observation pinned the target before the commit was seen (rules 6.4, not shown).
    pub arrived: bool,
}

/// How far a pending migration got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationPhase {
    /// Announced.
    Scheduled,
    /// Running.
    Started,
}

/// A migration that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedMigration {
    /// Which; absent for a `migrated` event without id, which finishes nothing but counts as a commit.
    pub id: Option<MigrationId>,
    /// How it ended.
    pub outcome: MigrationOutcome,
    /// Where from.
    pub source: Option<Realm>,
    /// Where to.
    pub target: Option<Realm>,
    /// When it finished.
    pub at: Timestamp,
    /// The data realm before it, if the commit changed it.
    pub data_realm_before: Option<Realm>,
}

/// How a migration ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationOutcome {
    /// The target is the realm now.
    Committed,
    /// The source is the realm again.
    RolledBack,
}

/// The subscription, and since when it is in this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription {
    /// As last observed.
    pub state: SubscriptionState,
    /// First observation of this state in a row.
    pub since: Timestamp,
}

/// Which realm an install got, by which rule (rules 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// The rows of the table in rules 6.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Rows 1 to 5: re-sent, not a reinstall.
    Refresh,
    /// Row 6: the uninstall was never seen.
    ImplicitReinstall,
    /// Row 7: an operator's pin.
    Overridden,
    /// Row 8: never installed before.
    Fresh,
    /// Row 9: the realm before is unknown.
    PriorUnknown,
    /// Row 10: an operator ended the window.
    WindowForgotten,
    /// Row 11: no persistence.
    PersistenceOff,
    /// Row 12: too late.
    WindowExpired,
    /// Row 13: the app no longer serves the pinned realm.
    RealmWithdrawn,
    /// Row 14: back where the data is.
    Persisted,
}

/// The last anomalies in effective order, and how many there were.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Anomalies {
    recent: Vec<Anomaly>,
    count: u64,
}

/// Something odd, and the record that raised it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anomaly {
    /// Tenant seq of the record.
    pub seq: u64,
    /// What was odd.
    pub code: AnomalyCode,
}

impl Anomalies {
    /// Puts them together again from their stored parts.
    #[must_use]
    pub fn restore(recent: Vec<Anomaly>, count: u64) -> Self {
        Self { recent, count }
    }

    /// Appends one, forgetting the oldest beyond [`ANOMALIES_KEPT`].
    pub fn push(&mut self, anomaly: Anomaly) {
        if self.recent.len() == ANOMALIES_KEPT {
            self.recent.remove(0);
        }
        self.recent.push(anomaly);
        self.count += 1;
    }

    /// The last ones, oldest first.
    #[must_use]
    pub fn recent(&self) -> &[Anomaly] {
        &self.recent
    }

    /// How many there ever were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }
}

/// The last descriptor inside an own `installed` event, with its place in effective order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnDescriptor {
    /// Event time of the install; app-level events of the same time come before it.
    pub time: Timestamp,
    /// What was installed.
    pub descriptor: Descriptor,
}

macro_rules! words {
    ($(#[$doc:meta])* $vis:vis fn $type:ident :: as_str { $($variant:ident => $word:literal,)* }) => {
        impl $type {
            /// Every value, in the order of the specification.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word used everywhere outside.
            #[must_use]
            $vis const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

words! { pub fn Status::as_str {
    None => "NONE", Installed => "INSTALLED", Uninstalled => "UNINSTALLED",
}}
words! { pub fn PinnedBy::as_str {
    Observed => "OBSERVED", Expected => "EXPECTED", Migrated => "MIGRATED", Overridden => "OVERRIDDEN",
}}
words! { pub fn MigrationPhase::as_str { Scheduled => "SCHEDULED", Started => "STARTED", }}
words! { pub fn SubscriptionState::as_str { Active => "ACTIVE", Inactive => "INACTIVE", }}
words! { pub fn Rule::as_str {
    Refresh => "REFRESH", ImplicitReinstall => "IMPLICIT_REINSTALL", Overridden => "OVERRIDDEN",
    Fresh => "FRESH", PriorUnknown => "PRIOR_UNKNOWN", WindowForgotten => "WINDOW_FORGOTTEN",
    PersistenceOff => "PERSISTENCE_OFF", WindowExpired => "WINDOW_EXPIRED",
    RealmWithdrawn => "REALM_WITHDRAWN", Persisted => "PERSISTED",
}}
words! { pub fn AnomalyCode::as_str {
    InvalidRealmPersistence => "invalid-realm-persistence",
    InvalidRealmPersistenceDays => "invalid-realm-persistence-days",
    DescriptorUnknown => "descriptor-unknown",
    SubscriptionUnknown => "subscription-unknown",
    EndpointMismatch => "endpoint-mismatch",
    ExpectationCorrected => "expectation-corrected",
    StaleEndpoint => "stale-endpoint",
    InstallationIdChanged => "installation-id-changed",
    InstallNotSeen => "install-not-seen",
    UninstallWithoutInstall => "uninstall-without-install",
    UninstallRepeated => "uninstall-repeated",
    UninstallOvertaken => "uninstall-overtaken",
    EnabledNotInstalled => "enabled-not-installed",
    MigrationAlreadyFinished => "migration-already-finished",
    MigrationNotInstalled => "migration-not-installed",
    MigrationSuperseded => "migration-superseded",
    MigrationUnscheduled => "migration-unscheduled",
    MigrationTargetUnknown => "migration-target-unknown",
    MigrationSourceMismatch => "migration-source-mismatch",
    MigrationAbandoned => "migration-abandoned",
    MigrationReverted => "migration-reverted",
    OverrideNotSet => "override-not-set",
    OverrideWithoutUrl => "override-without-url",
    NoOpenWindow => "no-open-window",
}}

/// Codes of what can be odd (rules 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AnomalyCode {
    /// `realmPersistence` is neither boolean nor absent.
    InvalidRealmPersistence,
    /// `realmPersistenceDays` is no whole number from 1 to 30.
    InvalidRealmPersistenceDays,
    /// An uninstall under the descriptor policy before any descriptor was known.
    DescriptorUnknown,
    /// An uninstall under the subscription policy before any observation.
    SubscriptionUnknown,
    /// A hook came from elsewhere than the pinned realm.
    EndpointMismatch,
    /// The first observation differs from what was only expected.
    ExpectationCorrected,
    /// A straggler from the realm that a migration left.
    StaleEndpoint,
    /// Another installation id than the known one.
    InstallationIdChanged,
    /// The installation was never seen to begin.
    InstallNotSeen,
    /// An uninstall of what was never seen installed.
    UninstallWithoutInstall,
    /// A second uninstall in a row.
    UninstallRepeated,
    /// The old region's uninstall was overtaken by the new region's install.
    UninstallOvertaken,
    /// Enabled while uninstalled.
    EnabledNotInstalled,
    /// A hook of a migration that is over.
    MigrationAlreadyFinished,
    /// A hook of a migration while uninstalled.
    MigrationNotInstalled,
    /// Another migration took the place of the pending one.
    MigrationSuperseded,
    /// A hook of a migration that was never scheduled.
    MigrationUnscheduled,
    /// A commit without a known target.
    MigrationTargetUnknown,
    /// `migrated` names another source than the pinned realm.
    MigrationSourceMismatch,
    /// An install or uninstall ended the pending migration.
    MigrationAbandoned,
    /// A migration was taken back after it had arrived.
    MigrationReverted,
    /// A release without an override.
    OverrideNotSet,
    /// A pin to a realm that the app does not serve.
    OverrideWithoutUrl,
    /// A forget without an open window.
    NoOpenWindow,
}
