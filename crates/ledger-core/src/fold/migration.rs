//! Migrations (rules 6.4): hooks are retried, overtake each other, and can be taken back.

use super::Step;
use super::install::are_different;
use crate::event::InstallationFact;
use crate::ids::MigrationId;
use crate::realm::Realm;
use crate::state::{
    AnomalyCode, FinishedMigration, MigrationOutcome, MigrationPhase, PendingMigration, PinnedBy, Status,
};

/// What the event says of a migration that is over.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Ending {
    outcome: MigrationOutcome,
    target: Option<Realm>,
}

impl Step<'_> {
    pub(super) fn migration(&mut self, fact: &InstallationFact) {
        self.presuppose_installation();
        if let Some(id) = id_of(fact)
            && self.finished_before(id, ending_of(fact))
        {
            return;
        }
        if self.state.status == Status::Uninstalled {
            self.raise(AnomalyCode::MigrationNotInstalled);
            return;
        }
        match fact {
            InstallationFact::MigrationScheduled { migration, target, start_time, end_time } => {
                self.scheduled(PendingMigration {
                    id: migration.clone(),
                    target: Some(*target),
                    phase: MigrationPhase::Scheduled,
                    start_time: *start_time,
                    end_time: *end_time,
                    phase_since: self.context.at,
                    source: self.state.pinned_realm(),
                    arrived: false,
                });
            }
            InstallationFact::MigrationStarted { migration, target } => self.started(migration, *target),
            InstallationFact::MigrationCommitted { migration, target } => {
                if !self.is_pending(migration) {
                    self.raise(AnomalyCode::MigrationUnscheduled);
                }
                self.commit(Some(migration), *target, None);
            }
            InstallationFact::MigrationRolledBack { migration } => self.rolled_back(migration),
            InstallationFact::Migrated { target, source, migration } => {
                if are_different(*source, self.state.pinned_realm()) {
                    self.raise(AnomalyCode::MigrationSourceMismatch);
                }
                self.commit(migration.as_ref(), Some(*target), *source);
            }
            _ => {}
        }
    }

    /// The first three rows: the id is already over. Whether nothing else is to be done.
    fn finished_before(&mut self, id: &MigrationId, ending: Option<Ending>) -> bool {
        let Some(finished) = self.state.finished.by_id(id) else {
            return false;
        };
        let is_rollback = ending.is_some_and(|ending| ending.outcome == MigrationOutcome::RolledBack);
        if is_rollback && self.can_revert(finished) {
            let reverted = finished.clone();
            self.revert_commit(reverted);
            return true;
        }
        let is_retry = ending.is_some_and(|ending| {
            ending.outcome == finished.outcome
                && (ending.target.is_none() || ending.target == finished.target)
        });
        if !is_retry {
            self.raise(AnomalyCode::MigrationAlreadyFinished);
        }
        true
    }

    fn can_revert(&self, finished: &FinishedMigration) -> bool {
        finished.outcome == MigrationOutcome::Committed
            && finished.target.is_some()
            && finished.target == self.state.pinned_realm()
            && self.state.status == Status::Installed
            && self.state.override_realm.is_none()
    }

    fn revert_commit(&mut self, commit: FinishedMigration) {
        self.revert_to(commit.source);
        if commit.data_realm_before.is_some() && self.state.data_realm == commit.target {
            self.state.data_realm = commit.data_realm_before;
        }
        self.finish(FinishedMigration {
            outcome: MigrationOutcome::RolledBack,
            at: self.context.at,
            data_realm_before: None,
            ..commit
        });
    }

    fn revert_to(&mut self, source: Option<Realm>) {
        self.raise(AnomalyCode::MigrationReverted);
        if let Some(source) = source {
            self.pin(source, PinnedBy::Migrated);
        }
    }

    fn scheduled(&mut self, announced: PendingMigration) {
        match &mut self.state.migration {
            Some(pending) if pending.id == announced.id => {
                if pending.phase == MigrationPhase::Scheduled {
                    pending.retarget(announced.target, self.state.pin.map(|pin| pin.realm));
                    let times = (pending.start_time, pending.end_time);
                    pending.start_time = announced.start_time.or(pending.start_time);
                    pending.end_time = announced.end_time.or(pending.end_time);
                    self.effects.touched |= times != (pending.start_time, pending.end_time);
                }
            }
            _ => self.await_migration(announced),
        }
    }

    fn started(&mut self, id: &MigrationId, target: Option<Realm>) {
        if let Some(pending) = self.state.migration.as_mut().filter(|pending| pending.id == *id) {
            if pending.phase == MigrationPhase::Scheduled {
                pending.phase = MigrationPhase::Started;
                pending.phase_since = self.context.at;
            }
            pending.retarget(target, self.state.pin.map(|pin| pin.realm));
            return;
        }
        self.raise(AnomalyCode::MigrationUnscheduled);
        self.await_migration(PendingMigration {
            id: id.clone(),
            target,
            phase: MigrationPhase::Started,
            start_time: None,
            end_time: None,
            phase_since: self.context.at,
            source: self.state.pinned_realm(),
            arrived: false,
        });
    }

    fn await_migration(&mut self, next: PendingMigration) {
        if self.state.migration.is_some() {
            self.raise(AnomalyCode::MigrationSuperseded);
        }
        self.state.migration = Some(next);
    }

    /// `migration-committed` and `migrated`.
    fn commit(&mut self, id: Option<&MigrationId>, told: Option<Realm>, told_source: Option<Realm>) {
        // Taken out first: what is pinned now is no longer pinned while this one is pending.
        let pending = id.and_then(|id| self.take_pending(id));
        let target = told.or(pending.as_ref().and_then(|pending| pending.target));
        let source = pending.and_then(|pending| pending.source).or(self.state.pinned_realm()).or(told_source);
        let data_realm_before = self.state.data_realm.filter(|data| target.is_some_and(|t| t != *data));
        match target {
            None => self.raise(AnomalyCode::MigrationTargetUnknown),
            Some(target) => {
                self.pin(target, PinnedBy::Migrated);
                self.state.data_realm = self.state.data_realm.map(|_| target);
                self.state.override_realm = None;
            }
        }
        self.finish(FinishedMigration {
            id: id.cloned(),
            outcome: MigrationOutcome::Committed,
            source,
            target,
            at: self.context.at,
            data_realm_before,
        });
    }

    fn rolled_back(&mut self, id: &MigrationId) {
        let pending = self.take_pending(id);
        match &pending {
            None => self.raise(AnomalyCode::MigrationUnscheduled),
            Some(pending) if pending.arrived => self.revert_to(pending.source),
            Some(_) => {}
        }
        self.finish(FinishedMigration {
            id: Some(id.clone()),
            outcome: MigrationOutcome::RolledBack,
            source: pending.as_ref().and_then(|pending| pending.source),
            target: pending.as_ref().and_then(|pending| pending.target),
            at: self.context.at,
            data_realm_before: None,
        });
    }

    fn finish(&mut self, migration: FinishedMigration) {
        self.state.finished.finish(migration);
        self.effects.touched = true;
    }

    fn is_pending(&self, id: &MigrationId) -> bool {
        self.state.migration.as_ref().is_some_and(|pending| pending.id == *id)
    }

    fn take_pending(&mut self, id: &MigrationId) -> Option<PendingMigration> {
        self.state.migration.take_if(|pending| pending.id == *id)
    }
}

fn id_of(fact: &InstallationFact) -> Option<&MigrationId> {
    match fact {
        InstallationFact::MigrationScheduled { migration, .. }
        | InstallationFact::MigrationStarted { migration, .. }
        | InstallationFact::MigrationCommitted { migration, .. }
        | InstallationFact::MigrationRolledBack { migration } => Some(migration),
        InstallationFact::Migrated { migration, .. } => migration.as_ref(),
        _ => None,
    }
}

fn ending_of(fact: &InstallationFact) -> Option<Ending> {
    match fact {
        InstallationFact::MigrationCommitted { target, .. } => {
            Some(Ending { outcome: MigrationOutcome::Committed, target: *target })
        }
        InstallationFact::Migrated { target, .. } => {
            Some(Ending { outcome: MigrationOutcome::Committed, target: Some(*target) })
        }
        InstallationFact::MigrationRolledBack { .. } => {
            Some(Ending { outcome: MigrationOutcome::RolledBack, target: None })
        }
        _ => None,
    }
}

impl PendingMigration {
    /// The first realm other than the target that is pinned while it is pending is where it comes from.
    pub(super) fn learn_source(&mut self, pinned: Realm) {
        if self.source.is_none() && self.target != Some(pinned) {
            self.source = Some(pinned);
        }
    }

    /// Takes a given target; it has not arrived at another one.
    fn retarget(&mut self, target: Option<Realm>, pinned: Option<Realm>) {
        if target.is_some() && target != self.target {
            self.target = target;
            self.arrived = false;
            if let Some(pinned) = pinned {
                self.learn_source(pinned);
            }
        }
    }
}
