//! Which record last changed what: the fold is followed record by record, and what each changed is noted. And what was
//! in force at an instant: what an install or an uninstall then went by, or would go by.

use serde::Serialize;

use crate::descriptor::Descriptor;
use crate::event::{Body, InstallationFact};
use crate::history::in_order;
use crate::ids::{AppKey, EventId, InstallationKey};
use crate::policy::Policy;
use crate::state::{Installation, PendingMigration, Predecessor, Status, Subscription};
use crate::tenant::{Change, Entry, Summary, Tenant};
use crate::time::Timestamp;
use crate::timeline::{AppTimeline, AppTimelines};

/// Seqs of the records that last changed each part of an installation.
#[derive(Debug, Clone, Default)]
pub(super) struct RecordOrigins {
    /// Its first record of its own, whatever it was.
    pub(super) seen: Option<u64>,
    pub(super) status: Option<u64>,
    pub(super) enabled: Option<u64>,
    /// The pinned realm itself.
    pub(super) realm: Option<u64>,
    /// Anything about the pin: how it is known, too.
    pub(super) pin: Option<u64>,
    pub(super) product: Option<u64>,
    pub(super) data: Option<u64>,
    pub(super) window: Option<u64>,
    pub(super) migration: Option<u64>,
    pub(super) override_realm: Option<u64>,
    pub(super) subscription: Option<u64>,
    pub(super) predecessor: Option<u64>,
    pub(super) successor: Option<u64>,
    pub(super) descriptor: Option<u64>,
    /// What set the last decision right after it was made.
    pub(super) correction: Option<u64>,
    /// When it was last uninstalled.
    pub(super) uninstalled_at: Option<Timestamp>,
}

/// A tenant as far as it was followed.
pub(super) struct Followed {
    pub(super) tenant: Tenant,
    pub(super) origins: RecordOrigins,
}

/// What the short state does not show, or not in full.
#[derive(Default)]
struct BeyondSummary {
    subscription: Option<Subscription>,
    predecessor: Option<Predecessor>,
    successor: Option<InstallationKey>,
    migration: Option<PendingMigration>,
}

impl BeyondSummary {
    fn new(state: &Installation) -> Self {
        let Installation { subscription, predecessor, successor, migration, .. } = state;
        Self {
            subscription: *subscription,
            predecessor: predecessor.clone(),
            successor: successor.clone(),
            migration: migration.clone(),
        }
    }
}

impl Followed {
    /// Follows one installation through the records up to an instant, or up to the one that `stop` names.
    pub(super) fn until(
        entries: &[Entry<'_>],
        apps: &AppTimelines,
        app: &AppKey,
        at: Timestamp,
        stop: impl Fn(&Entry<'_>) -> bool,
    ) -> Self {
        let mut followed = Self { tenant: Tenant::default(), origins: RecordOrigins::default() };
        for entry in in_order(entries, at) {
            if stop(&entry) {
                break;
            }
            followed.take(entry, apps, app);
        }
        followed
    }

    fn take(&mut self, entry: Entry<'_>, apps: &AppTimelines, app: &AppKey) {
        let product_before = self.tenant.product_realm;
        let before = self.tenant.installations.get(app).map(BeyondSummary::new);
        let changes = self.tenant.advance(entry, apps);
        if product_before != self.tenant.product_realm {
            self.origins.product = Some(entry.seq);
        }
        if let Some(after) = self.tenant.installations.get(app).map(BeyondSummary::new) {
            self.origins.note_beyond_summary(entry.seq, &before.unwrap_or_default(), &after);
        }
        if entry.event.app() == Some(app) {
            self.origins.seen.get_or_insert(entry.seq);
        }
        if own_descriptor(entry, app).is_some() {
            self.origins.descriptor = Some(entry.seq);
        }
        if let Some(change) = changes.into_iter().find(|change| change.app == *app) {
            self.origins.note(entry, change);
        }
    }
}

impl RecordOrigins {
    fn note_beyond_summary(&mut self, seq: u64, before: &BeyondSummary, after: &BeyondSummary) {
        for (origin, changed) in [
            (&mut self.subscription, before.subscription != after.subscription),
            (&mut self.predecessor, before.predecessor != after.predecessor),
            (&mut self.successor, before.successor != after.successor),
            (&mut self.migration, before.migration != after.migration),
        ] {
            if changed {
                *origin = Some(seq);
            }
        }
    }

    fn note(&mut self, entry: Entry<'_>, change: Change) {
        if change.decision.is_some() {
            self.correction = None;
        } else if change.correction.is_some() {
            self.correction = Some(entry.seq);
        }
        let nothing = || Summary::new(&Installation::default(), None);
        let (before, after) = (change.before.unwrap_or_else(nothing), change.after);
        if before.status != after.status && after.status == Status::Uninstalled {
            self.uninstalled_at = Some(entry.event.time);
        }
        for (origin, changed) in [
            (&mut self.status, before.status != after.status),
            (&mut self.enabled, before.enabled != after.enabled),
            (&mut self.realm, before.pin.map(|pin| pin.realm) != after.pin.map(|pin| pin.realm)),
            (&mut self.pin, before.pin != after.pin),
            (&mut self.data, before.data_realm != after.data_realm),
            (&mut self.window, before.window != after.window),
            (&mut self.override_realm, before.override_realm != after.override_realm),
        ] {
            if changed {
                *origin = Some(entry.seq);
            }
        }
    }

    /// Where the descriptor in force at an instant comes from: an own install, or a published one.
    pub(super) fn descriptor_in_force(
        &self,
        state: &Installation,
        timeline: &AppTimeline,
        at: Timestamp,
    ) -> (Option<u64>, Option<EventId>) {
        let own_time = state.own_descriptor.as_ref().map(|own| own.time);
        match timeline.descriptor_at(at) {
            Some((published, _)) if own_time.is_none_or(|own| own < published) => {
                (None, timeline.descriptor_event_at(at).cloned())
            }
            _ => (self.descriptor, None),
        }
    }
}

/// The policy and the descriptor in force at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InForce {
    /// The instant.
    pub at: Timestamp,
    /// The policy.
    pub policy: Policy,
    /// The event that set it; none for the default.
    pub policy_event: Option<EventId>,
    /// The descriptor; none as long as none is known.
    pub descriptor: Option<Descriptor>,
    /// The tenant's record that brought the descriptor.
    pub descriptor_seq: Option<u64>,
    /// Or the event that published it.
    pub descriptor_event: Option<EventId>,
}

impl InForce {
    pub(super) fn new(
        state: &Installation,
        origins: &RecordOrigins,
        timeline: &AppTimeline,
        at: Timestamp,
    ) -> Self {
        let (descriptor_seq, descriptor_event) = origins.descriptor_in_force(state, timeline, at);
        Self {
            at,
            policy: timeline.policy_at(at),
            policy_event: timeline.policy_event_at(at).cloned(),
            descriptor: state.descriptor_at(timeline, at).cloned(),
            descriptor_seq,
            descriptor_event,
        }
    }

    /// The same, where a record of that instant brings its own descriptor.
    pub(super) fn with_descriptor(self, brought: Option<(u64, &Descriptor)>) -> Self {
        let Some((seq, descriptor)) = brought else { return self };
        Self {
            descriptor: Some(descriptor.clone()),
            descriptor_seq: Some(seq),
            descriptor_event: None,
            ..self
        }
    }

    /// What a window opened then rests on, or that there is none: the policy and, where that one looks at it,
    /// the descriptor.
    pub(super) fn of_window(&self) -> (Option<u64>, [Option<EventId>; 2]) {
        let declared = self.policy == Policy::Descriptor;
        let published = self.descriptor_event.clone().filter(|_| declared);
        (self.descriptor_seq.filter(|_| declared), [self.policy_event.clone(), published])
    }
}

/// The descriptor inside an install of the app.
pub(super) fn own_descriptor<'e>(entry: Entry<'e>, app: &AppKey) -> Option<&'e Descriptor> {
    match &entry.event.body {
        Body::Installation { app: own, fact: InstallationFact::Installed(installed), .. } if own == app => {
            installed.descriptor.as_ref()
        }
        Body::Installation { .. } | Body::Tenant { .. } | Body::App { .. } => None,
    }
}
