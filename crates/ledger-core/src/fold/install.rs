//! `installed` (rules 6.1): re-sent, or a decision, and by which row of the table.

use super::{FoldMode, Step};
use crate::descriptor::Descriptor;
use crate::event::Installed;
use crate::limits::{MIGRATION_GRACE_MS, STRAGGLER_MS};
use crate::realm::Realm;
use crate::state::{
    AnomalyCode, Decision, Installation, OwnDescriptor, PendingMigration, PinnedBy, Rule, Status,
};
use crate::time::Timestamp;

/// The rows of the table, in its order: the first that applies decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TableRow {
    /// 1: nothing new about the realm.
    Resent,
    /// 2: an override stands until released.
    OverrideStands,
    /// 3: the target of the pending migration was called before the commit was seen.
    TargetCalled,
    /// 4: a straggler from the realm that a migration left.
    Straggler,
    /// 5: the first observation of what was only expected.
    ExpectationCorrected,
    /// 6
    ImplicitReinstall,
    /// 7
    Overridden,
    /// 8a
    Continued,
    /// 8b
    Fresh,
    /// 9
    PriorUnknown,
    /// 10
    WindowForgotten,
    /// 11
    PersistenceOff,
    /// 12
    WindowExpired,
    /// 13
    RealmWithdrawn,
    /// 14
    Persisted,
}

impl TableRow {
    pub(crate) fn rule(self) -> Rule {
        match self {
            Self::Resent
            | Self::OverrideStands
            | Self::TargetCalled
            | Self::Straggler
            | Self::ExpectationCorrected => Rule::Refresh,
            Self::ImplicitReinstall => Rule::ImplicitReinstall,
            Self::Overridden => Rule::Overridden,
            Self::Continued => Rule::Continued,
            Self::Fresh => Rule::Fresh,
            Self::PriorUnknown => Rule::PriorUnknown,
            Self::WindowForgotten => Rule::WindowForgotten,
            Self::PersistenceOff => Rule::PersistenceOff,
            Self::WindowExpired => Rule::WindowExpired,
            Self::RealmWithdrawn => Rule::RealmWithdrawn,
            Self::Persisted => Rule::Persisted,
        }
    }

    /// Where the rules put it.
    pub(crate) fn expected(
        self,
        state: &Installation,
        descriptor: Option<&Descriptor>,
        aligned: Option<Realm>,
    ) -> Option<Realm> {
        match self {
            Self::ImplicitReinstall => None,
            Self::Continued | Self::Fresh => expected_afresh(state, descriptor, aligned),
            Self::Overridden => state.override_realm,
            Self::Persisted => state.pinned_realm(),
            _ => aligned,
        }
    }
}

/// Where an installation without a realm of its own is expected (rows 8a and 8b): where the predecessor was, unless the
/// app does not serve that region here.
pub(crate) fn expected_afresh(
    state: &Installation,
    descriptor: Option<&Descriptor>,
    aligned: Option<Realm>,
) -> Option<Realm> {
    let is_served = |realm: &Realm| descriptor.is_none_or(|known| known.url_of(*realm).is_some());
    state.predecessor_realm().filter(is_served).or(aligned)
}

/// Whether an install finds the app there.
pub(crate) fn is_present(state: &Installation, at: Timestamp) -> bool {
    state.status == Status::Installed && !state.is_just_implied(at)
}

/// Rows 1 to 6, for an app that is there.
pub(crate) fn row_when_present(state: &Installation, at: Timestamp, observed: Option<Realm>) -> TableRow {
    let (Some(observed), Some(pin)) = (observed, state.pin) else {
        return TableRow::Resent;
    };
    if observed == pin.realm {
        TableRow::Resent
    } else if state.override_realm.is_some() {
        TableRow::OverrideStands
    } else if state.migration.as_ref().and_then(|pending| pending.target) == Some(observed) {
        TableRow::TargetCalled
    } else if is_straggler(state, at, observed) {
        TableRow::Straggler
    } else if pin.is_unseen() {
        TableRow::ExpectationCorrected
    } else {
        TableRow::ImplicitReinstall
    }
}

/// Rows 7 to 14, for an app that is not there.
pub(crate) fn row_when_absent(
    state: &Installation,
    at: Timestamp,
    descriptor: Option<&Descriptor>,
) -> TableRow {
    if state.override_realm.is_some() {
        return TableRow::Overridden;
    }
    if state.status != Status::Uninstalled {
        return if state.predecessor_realm().is_some() { TableRow::Continued } else { TableRow::Fresh };
    }
    let Some(pin) = state.pin else {
        return TableRow::PriorUnknown;
    };
    match &state.window {
        Some(window) if window.forgotten => TableRow::WindowForgotten,
        None => TableRow::PersistenceOff,
        Some(window) if window.end.is_some_and(|end| at >= end) => TableRow::WindowExpired,
        Some(_) if descriptor.is_some_and(|known| known.url_of(pin.realm).is_none()) => {
            TableRow::RealmWithdrawn
        }
        Some(_) => TableRow::Persisted,
    }
}

/// The condition of row 4: a hook from the realm that a migration has just left.
pub(super) fn is_straggler(state: &Installation, at: Timestamp, observed: Realm) -> bool {
    let is_recent = |left: Timestamp| at.millis_since(left) < STRAGGLER_MS;
    let left_by_arrival = state.migration.as_ref().filter(|p| p.arrived).and_then(|p| p.source);
    let left_by_commit =
        state.finished.last_commit_elsewhere().filter(|m| is_recent(m.at)).and_then(|m| m.source);
    let left_by_rollback = state
        .finished
        .last_rollback(state.pinned_realm())
        .and_then(|(target, left)| is_recent(left).then_some(target));
    [left_by_arrival, left_by_commit, left_by_rollback].contains(&Some(observed))
}

impl Step<'_> {
    pub(super) fn installed(&mut self, installed: &Installed) {
        if let Some(descriptor) = &installed.descriptor {
            self.take_descriptor(descriptor);
        }
        let observed = installed.endpoint_realm;
        self.check_endpoint(observed);
        if is_present(self.state, self.context.at) {
            // What-if follows expectation: nothing but an install of an absent app decides.
            let row = match self.context.mode {
                FoldMode::Actual => row_when_present(self.state, self.context.at, observed),
                FoldMode::WhatIf(_) => TableRow::Resent,
            };
            if row == TableRow::ImplicitReinstall {
                self.raise(AnomalyCode::EndpointMismatch);
                self.decide(row, observed);
            } else {
                self.refresh(row, observed);
                self.compare_installation_id(installed);
            }
        } else {
            let row = row_when_absent(self.state, self.context.at, self.descriptor());
            self.decide(row, observed);
        }
        self.take_identity(installed);
    }

    fn take_descriptor(&mut self, descriptor: &Descriptor) {
        let time = self.context.at;
        self.effects.touched |= self.descriptor() != Some(descriptor);
        match &mut self.state.own_descriptor {
            Some(own) if own.descriptor == *descriptor => own.time = time,
            own => *own = Some(OwnDescriptor { time, descriptor: descriptor.clone() }),
        }
    }

    /// A refresh is not a reinstall: it makes no decision.
    fn refresh(&mut self, row: TableRow, observed: Option<Realm>) {
        match (row, observed) {
            (TableRow::OverrideStands, _) => self.raise(AnomalyCode::EndpointMismatch),
            (TableRow::Straggler, _) => self.raise(AnomalyCode::StaleEndpoint),
            (TableRow::TargetCalled, Some(target)) => {
                let due_by = self.state.migration.as_ref().map(PendingMigration::due_by);
                if due_by.is_some_and(|due_by| self.context.at.millis_since(due_by) > MIGRATION_GRACE_MS) {
                    self.raise(AnomalyCode::MigrationOverdue);
                }
                self.pin(target, PinnedBy::Observed);
                if let Some(pending) = &mut self.state.migration {
                    pending.arrived = true;
                }
            }
            (TableRow::ExpectationCorrected, Some(realm)) => self.correct_to(realm),
            (_, observed) => self.refresh_in_place(observed),
        }
    }

    /// Row 1.
    fn refresh_in_place(&mut self, observed: Option<Realm>) {
        match (self.state.pin, observed) {
            (None, Some(realm)) => self.pin(realm, PinnedBy::Observed),
            (None, None) => {
                if let Some(realm) = self.expected_afresh() {
                    self.pin(realm, PinnedBy::Expected);
                }
            }
            // What-if looks at no endpoint once a realm is known.
            (Some(pin), Some(realm)) if pin.realm == realm && self.context.mode == FoldMode::Actual => {
                self.confirm();
            }
            (Some(_), _) => {}
        }
    }

    /// Rows 6 to 14.
    fn decide(&mut self, row: TableRow, observed: Option<Realm>) {
        let expected = row.expected(self.state, self.descriptor(), self.aligned());
        let new = match (row, self.context.mode) {
            (TableRow::Overridden, _) => expected.map(|realm| (realm, PinnedBy::Overridden)),
            (_, FoldMode::Actual) => by_observed(observed).or(by_expected(expected)),
            (_, FoldMode::WhatIf(_)) => by_expected(expected).or(by_observed(observed)),
        };
        let mut decision = Decision {
            seq: Some(self.context.seq),
            at: self.context.at,
            rule: row.rule(),
            expected_realm: expected,
            observed_realm: observed,
            pinned_realm: new.map(|(realm, _)| realm),
            previous_realm: self.state.last_known_realm,
            product_realm: self.context.product,
            moved: false,
            divergent: false,
        };
        decision.compare_realms();
        self.state.links.previous = self.state.links.last_known;
        if row == TableRow::ImplicitReinstall && self.state.migration.take().is_some() {
            self.raise(AnomalyCode::MigrationAbandoned);
        }
        match new {
            Some((realm, by)) => self.pin_since(realm, by, self.context.at),
            None => self.state.pin = None,
        }
        self.state.status = Status::Installed;
        self.state.enabled = true;
        self.state.window = None;
        self.state.implied_at = None;
        self.state.successor = None;
        self.state.installation_id_is_current = false;
        self.state.decision = Some(decision);
        self.effects.decision = Some(decision);
    }

    fn compare_installation_id(&mut self, installed: &Installed) {
        if let (Some(known), Some(given)) = (&self.state.installation_id, &installed.installation_id)
            && known != given
        {
            self.raise(AnomalyCode::InstallationIdChanged);
        }
    }

    fn take_identity(&mut self, installed: &Installed) {
        let state = &mut *self.state;
        if installed.installation_id.is_some() && !state.installation_id_is_current {
            state.installation_id_is_current = true;
            self.effects.touched = true;
        }
        for (known, given) in [
            (&mut state.installation_id, &installed.installation_id),
            (&mut state.entitlement_id, &installed.entitlement_id),
            (&mut state.site_url, &installed.site_url),
        ] {
            if given.is_some() && known != given {
                known.clone_from(given);
                self.effects.touched = true;
            }
        }
    }
}

fn by_observed(realm: Option<Realm>) -> Option<(Realm, PinnedBy)> {
    realm.map(|realm| (realm, PinnedBy::Observed))
}

fn by_expected(realm: Option<Realm>) -> Option<(Realm, PinnedBy)> {
    realm.map(|realm| (realm, PinnedBy::Expected))
}

impl Decision {
    /// Derives `moved` and `divergent` from the realms.
    pub(super) fn compare_realms(&mut self) {
        self.moved = are_different(self.previous_realm, self.pinned_realm);
        self.divergent = are_different(self.observed_realm, self.expected_realm);
    }
}

/// Both are known, and differ.
pub(crate) fn are_different(one: Option<Realm>, other: Option<Realm>) -> bool {
    one.is_some() && other.is_some() && one != other
}
