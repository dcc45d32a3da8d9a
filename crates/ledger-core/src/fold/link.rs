//! `continued` and `superseded` (rules 6.6): one installation goes on as another. Each of the two is told by an event
//! of its own, and its fold looks at nothing else.

use super::Step;
use super::install::expected_afresh;
use crate::ids::InstallationKey;
use crate::realm::Realm;
use crate::state::{AnomalyCode, PinnedBy, Predecessor, Status};

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
