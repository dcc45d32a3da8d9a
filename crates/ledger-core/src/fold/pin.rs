//! What the rules call "pin", "confirmed" and "correct to" (rules 6).

use super::Step;
use crate::realm::Realm;
use crate::state::{AnomalyCode, Pin, PinnedBy};
use crate::time::Timestamp;

impl Step<'_> {
    /// Pins a realm; since now, if it is another.
    pub(super) fn pin(&mut self, realm: Realm, by: PinnedBy) {
        let since = match self.state.pin {
            Some(pin) if pin.realm == realm => pin.since,
            _ => self.scene.at,
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
