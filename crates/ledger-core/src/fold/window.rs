//! The persistence window (rules 5): computed at the uninstall, with what was in force then.

use super::{FoldMode, Step};
use crate::descriptor::Descriptor;
use crate::event::SubscriptionState;
use crate::policy::Policy;
use crate::state::{AnomalyCode, Status, Subscription, Window};
use crate::time::Timestamp;

/// How far a window reaches.
enum Extent {
    Nowhere,
    Until(Timestamp),
    Endless,
}

impl Step<'_> {
    pub(super) fn open_window(&mut self) {
        let policy = match self.scene.lens {
            FoldMode::Actual => self.scene.timeline.policy_at(self.scene.at),
            FoldMode::WhatIf(policy) => policy,
        };
        let extent = match policy {
            Policy::Descriptor => self.declared_extent(),
            Policy::Off => Extent::Nowhere,
            Policy::Days { days } => Extent::Until(self.scene.at.plus_days(days)),
            Policy::Indefinite => Extent::Endless,
            Policy::Subscription { grace_days } => self.subscribed_extent(grace_days),
        };
        let window = |end| Some(Window { policy, start: self.scene.at, end, forgotten: false });
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
            Some(days) => Extent::Until(self.scene.at.plus_days(days)),
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
                Extent::Until(subscription.since.plus_days(grace_days).max(self.scene.at))
            }
        }
    }

    pub(super) fn subscription_observed(&mut self, state: SubscriptionState) {
        let at = self.scene.at;
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
