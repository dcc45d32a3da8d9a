//! `enabled`, `disabled`, and installations that were never seen to begin (rules 6.3).

use super::Step;
use crate::state::{AnomalyCode, PinnedBy, Status};

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
        self.state.implied_at = Some(self.scene.at);
        if let Some(realm) = self.state.override_realm {
            self.pin(realm, PinnedBy::Overridden);
        }
    }
}
