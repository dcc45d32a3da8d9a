//! What was odd (rules 8): raised by records, kept with the state, never in the way of the fold.

use crate::limits::ANOMALIES_KEPT;

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
    /// An uninstall of another installation than the one that is there.
    UninstallOfAnotherInstallation,
    /// A hook came from a region that the descriptor has no URL for.
    EndpointWithoutUrl,
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
    /// A hook from the target, long after the migration was due.
    MigrationOverdue,
    /// It goes on from another installation than was said before.
    ContinuationReplaced,
    /// A release without an override.
    OverrideNotSet,
    /// A pin to a realm that the app does not serve.
    OverrideWithoutUrl,
    /// A forget without an open window.
    NoOpenWindow,
}

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
    UninstallOfAnotherInstallation => "uninstall-of-another-installation",
    EndpointWithoutUrl => "endpoint-without-url",
    EnabledNotInstalled => "enabled-not-installed",
    MigrationAlreadyFinished => "migration-already-finished",
    MigrationNotInstalled => "migration-not-installed",
    MigrationSuperseded => "migration-superseded",
    MigrationUnscheduled => "migration-unscheduled",
    MigrationTargetUnknown => "migration-target-unknown",
    MigrationSourceMismatch => "migration-source-mismatch",
    MigrationAbandoned => "migration-abandoned",
    MigrationReverted => "migration-reverted",
    MigrationOverdue => "migration-overdue",
    ContinuationReplaced => "continuation-replaced",
    OverrideNotSet => "override-not-set",
    OverrideWithoutUrl => "override-without-url",
    NoOpenWindow => "no-open-window",
}}
