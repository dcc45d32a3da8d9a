//! Migrations of one installation (rules 6.4): the pending one, and all that are over.

use std::collections::BTreeMap;
use std::ops::Deref;

use crate::ids::MigrationId;
use crate::limits::STRAGGLER_MS;
use crate::realm::Realm;
use crate::time::Timestamp;

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

/// The finished migrations, in the order they finished; found by id without a search.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FinishedMigrations {
    entries: Vec<FinishedMigration>,
    by_id: BTreeMap<MigrationId, usize>,
}

impl FinishedMigrations {
    /// The one of that id.
    #[must_use]
    pub fn of(&self, id: &MigrationId) -> Option<&FinishedMigration> {
        self.by_id.get(id).map(|place| &self.entries[*place])
    }

    /// Appends one that has just finished; it takes the place of one of the same id, which it took back.
    pub(crate) fn finish(&mut self, migration: FinishedMigration) {
        if let Some(id) = &migration.id {
            if let Some(place) = self.by_id.remove(id) {
                self.entries.remove(place);
                self.index_from(place);
            }
            self.by_id.insert(id.clone(), self.entries.len());
        }
        self.entries.push(migration);
    }

    /// What is taken back is recent, so only few lie behind it.
    fn index_from(&mut self, place: usize) {
        for (place, entry) in self.entries.iter().enumerate().skip(place) {
            if let Some(id) = &entry.id {
                self.by_id.insert(id.clone(), place);
            }
        }
    }

    /// Those that finished less than 24 hours before an instant, latest first.
    pub(crate) fn recent(&self, at: Timestamp) -> impl Iterator<Item = &FinishedMigration> {
        self.entries.iter().rev().take_while(move |migration| at.millis_since(migration.at) < STRAGGLER_MS)
    }
}

impl Deref for FinishedMigrations {
    type Target = [FinishedMigration];

    fn deref(&self) -> &[FinishedMigration] {
        &self.entries
    }
}

impl FromIterator<FinishedMigration> for FinishedMigrations {
    /// Puts them together again from their stored parts, in the order they finished.
    fn from_iter<I: IntoIterator<Item = FinishedMigration>>(entries: I) -> Self {
        let mut finished = Self::default();
        entries.into_iter().for_each(|migration| finished.finish(migration));
        finished
    }
}

words! { pub fn MigrationPhase::as_str { Scheduled => "SCHEDULED", Started => "STARTED", }}
