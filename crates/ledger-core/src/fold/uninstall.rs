//! `uninstalled` (rules 6.2): the end of an installation, and the persistence window that it opens (rules 5), computed
//! with what was in force then.

use super::install::is_straggler;
use super::{FoldMode, Step};
use crate::descriptor::Descriptor;
use crate::event::SubscriptionState;
use crate::limits::HOOKS_CROSS_MS;
use crate::policy::Policy;
use crate::realm::Realm;
use crate::state::{AnomalyCode, PinnedBy, Status, Subscription, Window};
use crate::time::Timestamp;

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
        self.context.mode == FoldMode::Actual && given.zip(known).is_some_and(|(given, known)| given != known)
    }

    /// The new region's install overtook the old region's uninstall: two clocks crossed.
    fn is_overtaken(&self, observed: Realm) -> bool {
        // What-if skips what the actual fold found overtaken, and looks at no other endpoint.
        self.context.mode == FoldMode::Actual
            && self.state.pinned_realm() != Some(observed)
            && self.state.decision.is_some_and(|decision| {
                decision.moved
                    && decision.previous_realm == Some(observed)
                    && self.context.at.millis_since(decision.at) <= HOOKS_CROSS_MS
            })
    }

    fn observe_at_uninstall(&mut self, realm: Realm) {
        let Some(pin) = self.state.pin else {
            self.pin(realm, PinnedBy::Observed);
            return;
        };
        if self.context.mode != FoldMode::Actual {
            return;
        }
        if pin.realm == realm {
            self.confirm();
        } else if self.state.migration.as_ref().and_then(|pending| pending.target) == Some(realm) {
            self.pin(realm, PinnedBy::Observed);
        } else if self.state.override_realm.is_some() {
            self.raise(AnomalyCode::EndpointMismatch);
        } else if is_straggler(self.state, self.context.at, realm) {
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

/// How far a window reaches.
enum Extent {
    Nowhere,
    Until(Timestamp),
    Endless,
}

impl Step<'_> {
    pub(super) fn open_window(&mut self) {
        let policy = match self.context.mode {
            FoldMode::Actual => self.context.timeline.policy_at(self.context.at),
            FoldMode::WhatIf(policy) => policy,
        };
        let extent = match policy {
            Policy::Descriptor => self.declared_extent(),
            Policy::Off => Extent::Nowhere,
            Policy::Days { days } => Extent::Until(self.context.at.plus_days(days)),
            Policy::Indefinite => Extent::Endless,
            Policy::Subscription { grace_days } => self.subscribed_extent(grace_days),
        };
        let window = |end| Some(Window { policy, start: self.context.at, end, forgotten: false });
        self.state.window = match extent {
            Extent::Nowhere => None,
            Extent::Until(end) => window(Some(end)),
            Extent::Endless => window(None),
        };
    }

    /// As the descriptor in force declares.
    fn declared_extent(&mut self) -> Extent {
        let Some(persistence) = self.descriptor().map(Descriptor::persistence) else {
            self.raise(AnomalyCode::DescriptorUnknown);
            return Extent::Nowhere;
        };
        if let Some(anomaly) = persistence.anomaly {
            self.raise(anomaly);
        }
        match persistence.days {
            Some(days) => Extent::Until(self.context.at.plus_days(days)),
            None => Extent::Nowhere,
        }
    }

    /// As far as the subscription is known.
    fn subscribed_extent(&mut self, grace_days: u32) -> Extent {
        let Some(subscription) = self.state.subscription else {
            self.raise(AnomalyCode::SubscriptionUnknown);
            return Extent::Endless;
        };
        match subscription.state {
            SubscriptionState::Active => Extent::Endless,
            SubscriptionState::Inactive => {
                Extent::Until(subscription.since.plus_days(grace_days).max(self.context.at))
            }
        }
    }

    pub(super) fn subscription_observed(&mut self, state: SubscriptionState) {
        let at = self.context.at;
        if self.state.subscription.is_none_or(|known| known.state != state) {
            self.state.subscription = Some(Subscription { state, since: at });
            self.effects.touched = true;
        }
        if self.state.status != Status::Uninstalled {
            return;
        }
        let Some(window) = self.state.window.as_mut().filter(|window| window.is_open_at(at)) else {
            return;
        };
        if let Policy::Subscription { grace_days } = window.policy {
            window.end = match state {
                SubscriptionState::Active => None,
                SubscriptionState::Inactive => window.end.or(Some(at.plus_days(grace_days))),
            };
        }
    }
}
