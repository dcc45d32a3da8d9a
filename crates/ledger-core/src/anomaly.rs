//! What was odd (rules 8): raised by records, kept with the state, never in the way of the fold.

use serde::{Deserialize, Serialize};

use crate::limits::ANOMALIES_KEPT;
use crate::words;

/// The last anomalies in effective order, and how many there were.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "(Vec<Anomaly>, u64)")]
pub struct Anomalies {
    recent: Vec<Anomaly>,
    count: u64,
}

/// Something odd, and the record that raised it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anomaly {
    /// Tenant seq of the record.
    pub seq: u64,
    /// What was odd.
    pub code: AnomalyCode,
}

/// The parts are not those of any anomalies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the last {ANOMALIES_KEPT} anomalies are kept, or all there are")]
pub struct InvalidAnomalies;

impl TryFrom<(Vec<Anomaly>, u64)> for Anomalies {
    type Error = InvalidAnomalies;

    fn try_from((recent, count): (Vec<Anomaly>, u64)) -> Result<Self, InvalidAnomalies> {
        let kept = count.min(ANOMALIES_KEPT as u64);
        if recent.len() as u64 == kept { Ok(Self { recent, count }) } else { Err(InvalidAnomalies) }
    }
}

impl Anomalies {
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

words! {
    /// Codes of what can be odd (rules 8).
    pub enum AnomalyCode {
        /// `realmPersistence` is neither boolean nor absent.
        InvalidRealmPersistence = "invalid-realm-persistence",
        /// `realmPersistenceDays` is no whole number from 1 to 30.
        InvalidRealmPersistenceDays = "invalid-realm-persistence-days",
        /// An uninstall under the descriptor policy before any descriptor was known.
        DescriptorUnknown = "descriptor-unknown",
        /// An uninstall under the subscription policy before any observation.
        SubscriptionUnknown = "subscription-unknown",
        /// A hook came from elsewhere than the pinned realm.
        EndpointMismatch = "endpoint-mismatch",
        /// The first observation differs from what was only expected.
        ExpectationCorrected = "expectation-corrected",
        /// A straggler from the realm that a migration left.
        StaleEndpoint = "stale-endpoint",
        /// Another installation id than the known one.
        InstallationIdChanged = "installation-id-changed",
        /// The installation was never seen to begin.
        InstallNotSeen = "install-not-seen",
        /// An uninstall of what was never seen installed.
        UninstallWithoutInstall = "uninstall-without-install",
        /// A second uninstall in a row.
        UninstallRepeated = "uninstall-repeated",
        /// The old region's uninstall was overtaken by the new region's install.
        UninstallOvertaken = "uninstall-overtaken",
        /// An uninstall of another installation than the one that is there.
        UninstallOfAnotherInstallation = "uninstall-of-another-installation",
        /// A hook came from a region that the descriptor has no URL for.
        EndpointWithoutUrl = "endpoint-without-url",
        /// Enabled while uninstalled.
        EnabledNotInstalled = "enabled-not-installed",
        /// A hook of a migration that is over.
        MigrationAlreadyFinished = "migration-already-finished",
        /// A hook of a migration while uninstalled.
        MigrationNotInstalled = "migration-not-installed",
        /// Another migration took the place of the pending one.
        MigrationSuperseded = "migration-superseded",
        /// A hook of a migration that was never scheduled.
        MigrationUnscheduled = "migration-unscheduled",
        /// A commit without a known target.
        MigrationTargetUnknown = "migration-target-unknown",
        /// `migrated` names another source than the pinned realm.
        MigrationSourceMismatch = "migration-source-mismatch",
        /// An install or uninstall ended the pending migration.
        MigrationAbandoned = "migration-abandoned",
        /// A migration was taken back after it had arrived.
        MigrationReverted = "migration-reverted",
        /// A hook from the target, long after the migration was due.
        MigrationOverdue = "migration-overdue",
        /// It goes on from another installation than was said before.
        ContinuationReplaced = "continuation-replaced",
        /// A release without an override.
        OverrideNotSet = "override-not-set",
        /// A pin to a realm that the app does not serve.
        OverrideWithoutUrl = "override-without-url",
        /// A forget without an open window.
        NoOpenWindow = "no-open-window",
    }
}
