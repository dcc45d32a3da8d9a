//! What moves or confirms a pin beside installs, uninstalls and migrations (rules 6, 6.3, 6.5, 6.6): observations,
//! operators, presence without an install, and links between installations.

use super::Step;
use super::install::expected_afresh;
use crate::event::OverrideAction;
use crate::ids::InstallationKey;
use crate::realm::Realm;
use crate::state::{AnomalyCode, Pin, PinnedBy, Predecessor, Status};
use crate::time::Timestamp;

/// What the rules call "pin", "confirmed" and "correct to" (rules 6).
impl Step<'_> {
    /// Pins a realm; since now, if it is another.
    pub(super) fn pin(&mut self, realm: Realm, by: PinnedBy) {
        let since = match self.state.pin {
            Some(pin) if pin.realm == realm => pin.since,
            _ => self.context.at,
        };
        self.pin_since(realm, by, since);
    }

    pub(super) fn pin_since(&mut self, realm: Realm, by: PinnedBy, since: Timestamp) {
        self.state.pin = Some(Pin { realm, since, by });
        self.state.last_known_realm = Some(realm);
        self.state.links.last_known = false;
        if let Some(pending) = &mut self.state.migration {
            pending.arrived = false;
            pending.learn_source(realm);
        }
    }

    /// The pinned realm was observed.
    pub(super) fn confirm(&mut self) {
        let overridden = self.state.override_realm.is_some();
        if let Some(pin) = &mut self.state.pin
            && (pin.by == PinnedBy::Expected || pin.by == PinnedBy::Overridden && !overridden)
        {
            pin.by = PinnedBy::Observed;
            self.state.links.last_known = false;
        }
    }

    /// An observation against a pin that was only expected.
    pub(super) fn correct_to(&mut self, realm: Realm) {
        self.raise(AnomalyCode::ExpectationCorrected);
        match self.state.pin {
            Some(pin) if pin.by == PinnedBy::Expected => {
                self.correct_decision(pin.realm, realm);
                self.pin_since(realm, PinnedBy::Observed, pin.since);
            }
            _ => self.pin(realm, PinnedBy::Observed),
        }
    }

    /// The app heard of a realm that was a guess: the decision that told it is set right.
    fn correct_decision(&mut self, until_now: Realm, realm: Realm) {
        let Some(decision) = self.state.decision.as_mut().filter(|d| d.pinned_realm == Some(until_now))
        else {
            return;
        };
        decision.observed_realm = Some(realm);
        decision.pinned_realm = Some(realm);
        decision.compare_realms();
        self.effects.corrected = Some(*decision);
    }
}

/// `override` (rules 6.5).
impl Step<'_> {
    pub(super) fn overridden(&mut self, action: OverrideAction) {
        match action {
            OverrideAction::Pin { realm } => self.override_with(realm),
            OverrideAction::Release => {
                if self.state.override_realm.take().is_none() {
                    self.raise(AnomalyCode::OverrideNotSet);
                }
            }
            OverrideAction::Forget => self.forget(),
        }
    }

    fn override_with(&mut self, realm: Realm) {
        self.state.override_realm = Some(realm);
        if self.descriptor().is_some_and(|descriptor| descriptor.url_of(realm).is_none()) {
            self.raise(AnomalyCode::OverrideWithoutUrl);
        }
        if self.state.status == Status::Installed {
            self.pin(realm, PinnedBy::Overridden);
        }
    }

    fn forget(&mut self) {
        let at = self.context.at;
        let uninstalled = self.state.status == Status::Uninstalled;
        match self.state.window.as_mut().filter(|window| uninstalled && window.is_open_at(at)) {
            Some(window) => {
                window.end = Some(at);
                window.forgotten = true;
            }
            None => self.raise(AnomalyCode::NoOpenWindow),
        }
    }
}

/// `enabled`, `disabled`, and installations that were never seen to begin (rules 6.3).
impl Step<'_> {
    pub(super) fn enabled(&mut self) {
        self.presuppose_installation();
        match self.state.status {
            Status::Uninstalled => self.raise(AnomalyCode::EnabledNotInstalled),
            Status::Installed | Status::None => self.state.enabled = true,
        }
    }

    pub(super) fn disabled(&mut self) {
        self.presuppose_installation();
        // After an uninstall it is normal, and already so.
        self.state.enabled = false;
    }

    /// The event presupposes an installation: one that was never seen is implied.
    pub(super) fn presuppose_installation(&mut self) {
        if self.state.status != Status::None {
            return;
        }
        self.raise(AnomalyCode::InstallNotSeen);
        self.state.status = Status::Installed;
        self.state.enabled = true;
        self.state.successor = None;
        self.state.implied_at = Some(self.context.at);
        if let Some(realm) = self.state.override_realm {
            self.pin(realm, PinnedBy::Overridden);
        }
    }
}

/// `continued` and `superseded` (rules 6.6): one installation goes on as another. Each of the two has an event of its
/// own, and its fold looks at nothing else.
impl Step<'_> {
    pub(super) fn continued(&mut self, from: &InstallationKey, from_realm: Option<Realm>) {
        match &self.state.predecessor {
            Some(known) if known.installation != *from => self.raise(AnomalyCode::ContinuationReplaced),
            Some(known) if from_realm.is_none() || known.realm == from_realm => return,
            // The same one, from another realm: corrected without anomaly.
            Some(_) | None => {}
        }
        self.state.predecessor = Some(Predecessor { installation: from.clone(), realm: from_realm });
        self.effects.touched = true;
        if let Some(realm) = from_realm {
            self.come_from(realm);
        }
    }

    /// What was unknown, or was told by an earlier `continued`, follows from where the predecessor was.
    fn come_from(&mut self, realm: Realm) {
        self.correct_previous(realm);
        let replaces_last_known = self.state.last_known_realm.is_none() || self.state.links.last_known;
        let pin_was_told =
            self.state.pin.is_none_or(|pin| pin.by == PinnedBy::Expected && self.state.links.last_known);
        if self.state.status == Status::Installed
            && self.state.implied_at.is_none()
            && pin_was_told
            && let Some(expected) = self.expected_afresh()
        {
            self.pin(expected, PinnedBy::Expected);
            self.state.links.last_known = true;
        }
        if replaces_last_known {
            self.state.last_known_realm = Some(realm);
            self.state.links.last_known = true;
        }
    }

    /// The app hears late that its data may be in another realm.
    fn correct_previous(&mut self, realm: Realm) {
        let was_told = self.state.links.previous;
        let Some(decision) = &mut self.state.decision else { return };
        let is_open = decision.previous_realm.is_none() || was_told;
        if is_open && decision.previous_realm != Some(realm) {
            decision.previous_realm = Some(realm);
            decision.compare_realms();
            self.effects.corrected = Some(*decision);
            self.state.links.previous = true;
        }
    }

    pub(super) fn superseded(&mut self, to: &InstallationKey) {
        if self.state.status == Status::Installed {
            self.end_installation();
        }
        self.effects.touched |=
            self.state.successor.as_ref() != Some(to) || !self.state.links.uninstall_expected;
        self.state.successor = Some(to.clone());
        self.state.links.uninstall_expected = true;
    }

    pub(super) fn expected_afresh(&self) -> Option<Realm> {
        expected_afresh(self.state, self.descriptor(), self.aligned())
    }
}
