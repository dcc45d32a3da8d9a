//! `uninstalled` (rules 6.2): the end of an installation, and the beginning of its window.

use super::install::is_straggler;
use super::{FoldMode, Step};
use crate::limits::HOOKS_CROSS_MS;
use crate::realm::Realm;
use crate::state::{AnomalyCode, PinnedBy, Status};

impl Step<'_> {
    pub(super) fn uninstalled(&mut self, observed: Option<Realm>, installation_id: Option<&str>) {
        let is_expected = std::mem::take(&mut self.state.links.uninstall_expected);
        self.effects.touched |= is_expected;
        self.check_endpoint(observed);
        match self.state.status {
            Status::Installed if self.is_of_another_installation(installation_id) => {
                self.raise(AnomalyCode::UninstallOfAnotherInstallation);
            }
            Status::Installed if observed.is_some_and(|realm| self.is_overtaken(realm)) => {
                self.raise(AnomalyCode::UninstallOvertaken);
            }
            Status::Installed => {
                if let Some(realm) = observed {
                    self.observe_at_uninstall(realm);
                }
                self.end_installation();
            }
            Status::None => {
                self.raise(AnomalyCode::UninstallWithoutInstall);
                self.state.status = Status::Uninstalled;
                if let Some(realm) = observed {
                    self.pin(realm, PinnedBy::Observed);
                }
                self.open_window();
            }
            Status::Uninstalled => {
                if !is_expected {
                    self.raise(AnomalyCode::UninstallRepeated);
                }
                if let (None, Some(realm)) = (self.state.pin, observed) {
                    self.pin(realm, PinnedBy::Observed);
                }
            }
        }
    }

    /// An older installation was cleared away; the one that an `installed` told since stands.
    fn is_of_another_installation(&self, given: Option<&str>) -> bool {
        // What-if skips what the actual fold found so.
        let known = self.state.installation_id.as_deref().filter(|_| self.state.installation_id_is_current);
        self.scene.lens == FoldMode::Actual && given.zip(known).is_some_and(|(given, known)| given != known)
    }

    /// The new region's install overtook the old region's uninstall: two clocks crossed.
    fn is_overtaken(&self, observed: Realm) -> bool {
        // What-if skips what the actual fold found overtaken, and looks at no other endpoint.
        self.scene.lens == FoldMode::Actual
            && self.state.pinned_realm() != Some(observed)
            && self.state.decision.is_some_and(|decision| {
                decision.moved
                    && decision.previous_realm == Some(observed)
                    && self.scene.at.millis_since(decision.at) <= HOOKS_CROSS_MS
            })
    }

    fn observe_at_uninstall(&mut self, realm: Realm) {
        let Some(pin) = self.state.pin else {
            self.pin(realm, PinnedBy::Observed);
            return;
        };
        if self.scene.lens != FoldMode::Actual {
            return;
        }
        if pin.realm == realm {
            self.confirm();
        } else if self.state.migration.as_ref().and_then(|pending| pending.target) == Some(realm) {
            self.pin(realm, PinnedBy::Observed);
        } else if self.state.override_realm.is_some() {
            self.raise(AnomalyCode::EndpointMismatch);
        } else if is_straggler(self.state, self.scene.at, realm) {
            self.raise(AnomalyCode::StaleEndpoint);
        } else if pin.is_unseen() {
            self.correct_to(realm);
        } else {
            self.raise(AnomalyCode::EndpointMismatch);
        }
    }

    /// The end of an installation, and the window that it opens.
    pub(super) fn end_installation(&mut self) {
        self.state.status = Status::Uninstalled;
        self.state.enabled = false;
        self.state.implied_at = None;
        if self.state.migration.take().is_some() {
            self.raise(AnomalyCode::MigrationAbandoned);
        }
        self.open_window();
    }
}
