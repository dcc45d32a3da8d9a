//! The rules (rules 6): what one event does to the installation it is about.
//!
//! A [`Step`] is one event at one installation. It has everything a rule may look at, and nothing else: the
//! state so far, the event's time and seq, the product realm, and the app's timeline, in which descriptor
//! and policy in force are looked up. The product realm is taken before the step (rules 3).
//!
//! By section: [`install`] 6.1, [`uninstall`] 6.2 and windows (5), [`migration`] 6.4, [`pin`] the rest and what "pin",
//! "confirm" and "correct" mean.

pub(crate) mod install;
mod migration;
mod pin;
mod uninstall;

use crate::descriptor::{Descriptor, aligned};
use crate::event::InstallationFact;
use crate::policy::Policy;
use crate::realm::Realm;
use crate::state::{Anomaly, AnomalyCode, Decision, Installation};
use crate::time::Timestamp;
use crate::timeline::AppTimeline;

/// Which fold it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FoldMode {
    /// What happened.
    Actual,
    /// What would have happened under another policy, if the platform had followed the rules (rules 8).
    WhatIf(Policy),
}

/// Where and when a step happens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepContext<'a> {
    pub(crate) seq: u64,
    pub(crate) at: Timestamp,
    pub(crate) product: Option<Realm>,
    pub(crate) timeline: &'a AppTimeline,
    pub(crate) mode: FoldMode,
}

/// What a step did, besides changing the state.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) anomalies: Vec<AnomalyCode>,
    pub(crate) decision: Option<Decision>,
    /// The last decision, as it reads after the first observation corrected it.
    pub(crate) corrected: Option<Decision>,
    /// Something changed that the short state does not show.
    pub(crate) touched: bool,
}

/// One event at one installation.
pub(crate) struct Step<'a> {
    state: &'a mut Installation,
    context: StepContext<'a>,
    effects: Effects,
}

/// Applies one event to one installation.
pub(crate) fn apply(state: &mut Installation, fact: &InstallationFact, context: StepContext<'_>) -> Effects {
    let mut step = Step { state, context, effects: Effects::default() };
    step.run(fact);
    step.state.latest = Some(step.context.at);
    step.effects
}

impl Step<'_> {
    fn run(&mut self, fact: &InstallationFact) {
        match fact {
            InstallationFact::Installed(installed) => self.installed(installed),
            InstallationFact::Uninstalled { endpoint_realm, installation_id } => {
                self.uninstalled(*endpoint_realm, installation_id.as_deref());
            }
            InstallationFact::Enabled => self.enabled(),
            InstallationFact::Disabled => self.disabled(),
            InstallationFact::Override(action) => self.overridden(*action),
            InstallationFact::DataLocated { realm } => self.state.data_realm = Some(*realm),
            InstallationFact::SubscriptionObserved { state } => self.subscription_observed(*state),
            InstallationFact::Continued { from, from_realm, .. } => self.continued(from, *from_realm),
            InstallationFact::Superseded { to, .. } => self.superseded(to),
            InstallationFact::MigrationScheduled { .. }
            | InstallationFact::MigrationStarted { .. }
            | InstallationFact::MigrationCommitted { .. }
            | InstallationFact::MigrationRolledBack { .. }
            | InstallationFact::Migrated { .. } => self.migration(fact),
        }
    }

    fn raise(&mut self, code: AnomalyCode) {
        self.effects.anomalies.push(code);
        self.state.anomalies.push(Anomaly { seq: self.context.seq, code });
    }

    /// The platform can only call URLs that a descriptor has.
    fn check_endpoint(&mut self, observed: Option<Realm>) {
        let descriptor = self.descriptor();
        if observed.is_some_and(|realm| descriptor.is_some_and(|known| known.url_of(realm).is_none())) {
            self.raise(AnomalyCode::EndpointWithoutUrl);
        }
    }

    fn descriptor(&self) -> Option<&Descriptor> {
        self.state.descriptor_at(self.context.timeline, self.context.at)
    }

    fn aligned(&self) -> Option<Realm> {
        aligned(self.context.product, self.descriptor())
    }
}
