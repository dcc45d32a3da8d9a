//! `override` (rules 6.5): an operator's word.

use super::Step;
use crate::event::OverrideAction;
use crate::realm::Realm;
use crate::state::{AnomalyCode, PinnedBy, Status};

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
        let at = self.scene.at;
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
