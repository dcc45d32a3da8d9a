//! Migrations of one installation (rules 6.4): the pending one, and all that are over.

use std::collections::BTreeMap;
use std::ops::Deref;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::MigrationId;
use crate::limits::MIGRATION_PHASE_MS;
use crate::realm::Realm;
use crate::time::Timestamp;
use crate::words;

/// A migration that is not finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The first event of the phase (not shown).
    pub phase_since: Timestamp,
    /// The realm it leaves (not shown).
    pub source: Option<Realm>,
    /// An observation pinned the target before the commit was seen (rules 6.4, not shown).
    pub arrived: bool,
}

impl PendingMigration {
    /// When the commit or rollback was to be seen (rules 6.7).
    #[must_use]
    pub fn due_by(&self) -> Timestamp {
        let planned_start = self.start_time.filter(|_| self.phase == MigrationPhase::Scheduled);
        self.end_time
            .unwrap_or_else(|| planned_start.unwrap_or(self.phase_since).plus_millis(MIGRATION_PHASE_MS))
    }
}

words! {
    /// How far a pending migration got.
    pub enum MigrationPhase {
        /// Announced.
        Scheduled = "SCHEDULED",
        /// Running.
        Started = "STARTED",
    }
}

/// A migration that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MigrationOutcome {
    /// The target is the realm now.
    Committed,
    /// The source is the realm again.
    RolledBack,
}

/// The finished migrations, in the order they finished. What the rules ask of them is found without a
/// search, as a tenant's history can hold very many.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FinishedMigrations {
    entries: Vec<FinishedMigration>,
    by_id: BTreeMap<MigrationId, usize>,
    /// Places of the commits that count for row 4 of rules 6.1.
    commits_elsewhere: Vec<usize>,
    /// The realms that rollbacks left, each with its last rollback, latest last.
    rollbacks: Vec<(Realm, Timestamp)>,
}

impl FinishedMigrations {
    /// The migration of an id.
    #[must_use]
    pub fn by_id(&self, id: &MigrationId) -> Option<&FinishedMigration> {
        self.by_id.get(id).map(|place| &self.entries[*place])
    }

    /// The last commit that had a target and a known source different from it, and is not reverted.
    pub(crate) fn last_commit_elsewhere(&self) -> Option<&FinishedMigration> {
        self.commits_elsewhere.last().map(|place| &self.entries[*place])
    }

    /// Target and time of the last rollback whose target is known and is not the present pin.
    pub(crate) fn last_rollback(&self, pinned: Option<Realm>) -> Option<(Realm, Timestamp)> {
        self.rollbacks.iter().rev().copied().find(|(target, _)| Some(*target) != pinned)
    }

    /// Appends one that has just finished; a rollback takes the place of the commit that it reverts.
    pub(crate) fn finish(&mut self, migration: FinishedMigration) {
        if let Some(reverted) = migration.id.as_ref().and_then(|id| self.by_id.get(id).copied()) {
            self.forget(reverted);
        }
        let place = self.entries.len();
        if let Some(id) = &migration.id {
            self.by_id.insert(id.clone(), place);
        }
        match (migration.outcome, migration.source, migration.target) {
            (MigrationOutcome::Committed, Some(source), Some(target)) if source != target => {
                self.commits_elsewhere.push(place);
            }
            (MigrationOutcome::RolledBack, _, Some(target)) => {
                self.rollbacks.retain(|(realm, _)| *realm != target);
                self.rollbacks.push((target, migration.at));
            }
            _ => {}
        }
        self.entries.push(migration);
    }

    /// Takes an entry out. Those behind it move up; they are few, as what is reverted is recent.
    fn forget(&mut self, place: usize) {
        self.entries.remove(place);
        for (place, entry) in self.entries.iter().enumerate().skip(place) {
            if let Some(id) = &entry.id {
                self.by_id.insert(id.clone(), place);
            }
        }
        let behind = self.commits_elsewhere.partition_point(|commit| *commit < place);
        if self.commits_elsewhere.get(behind) == Some(&place) {
            self.commits_elsewhere.remove(behind);
        }
        self.commits_elsewhere[behind..].iter_mut().for_each(|commit| *commit -= 1);
    }
}

impl Deref for FinishedMigrations {
    type Target = [FinishedMigration];

    fn deref(&self) -> &[FinishedMigration] {
        &self.entries
    }
}

impl FromIterator<FinishedMigration> for FinishedMigrations {
    fn from_iter<I: IntoIterator<Item = FinishedMigration>>(entries: I) -> Self {
        let mut finished = Self::default();
        entries.into_iter().for_each(|migration| finished.finish(migration));
        finished
    }
}

impl Serialize for FinishedMigrations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.entries.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FinishedMigrations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Vec::<FinishedMigration>::deserialize(deserializer)?;
        let written = entries.len();
        let finished: Self = entries.into_iter().collect();
        // Of two with one id the later alone is left: such a list was never written.
        if finished.len() == written {
            Ok(finished)
        } else {
            Err(D::Error::custom("a migration finished twice"))
        }
    }
}
