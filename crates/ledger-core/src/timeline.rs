//! The timeline of an app (rules 2.2, 3): which descriptor and which policy were in force when.
//!
//! App-level events have no effect on an installation but through the descriptor and the policy in force,
//! so they are not folded into every installation: they are looked up by event time. At equal times
//! app-level events come first, among each other by id, so "in force at an event of time `t`" is the last
//! app-level event with time ≤ `t`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::descriptor::Descriptor;
use crate::event::AppFact;
use crate::ids::{AppKey, EventId};
use crate::policy::Policy;
use crate::time::Timestamp;

/// The app-level events of one app, in effective order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppTimeline {
    descriptors: Track<Descriptor>,
    policies: Track<Policy>,
}

impl AppTimeline {
    /// Puts an app-level event in its place.
    pub fn insert(&mut self, time: Timestamp, id: EventId, fact: &AppFact) {
        match fact {
            AppFact::DescriptorPublished { descriptor } => {
                self.descriptors.insert(time, id, descriptor.clone());
            }
            AppFact::PolicySet { policy } => self.policies.insert(time, id, *policy),
        }
    }

    /// The last published descriptor at an instant, with its event time.
    #[must_use]
    pub fn descriptor_at(&self, at: Timestamp) -> Option<(Timestamp, &Descriptor)> {
        self.descriptors.last_until(at).map(|(time, _, descriptor)| (time, descriptor))
    }

    /// The event that published the last descriptor at an instant.
    #[must_use]
    pub fn descriptor_event_at(&self, at: Timestamp) -> Option<&EventId> {
        self.descriptors.last_until(at).map(|(_, id, _)| id)
    }

    /// The policy in force at an instant.
    #[must_use]
    pub fn policy_at(&self, at: Timestamp) -> Policy {
        self.policies.last_until(at).map_or_else(Policy::default, |(_, _, policy)| *policy)
    }

    /// The event that set the policy in force at an instant, unless it is the default.
    #[must_use]
    pub fn policy_event_at(&self, at: Timestamp) -> Option<&EventId> {
        self.policies.last_until(at).map(|(_, id, _)| id)
    }

    /// Place of the last event in effective order.
    #[must_use]
    pub fn latest(&self) -> Option<(Timestamp, &EventId)> {
        self.descriptors.latest().max(self.policies.latest())
    }

    /// Whether an app-level event that is not in here is late (rules 2.2): it sorts before another one, or
    /// before `latest`, the last event of any other level in the effective order of the app's installations.
    /// None of them: nothing is late.
    #[must_use]
    pub fn event_is_late(&self, time: Timestamp, id: &EventId, latest: Option<Timestamp>) -> bool {
        // At equal times app-level events come first.
        latest.is_some_and(|latest| time <= latest || self.latest().is_some_and(|last| (time, id) < last))
    }
}

/// Values by event time, then by event id.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Track<V>(BTreeMap<Timestamp, BTreeMap<EventId, V>>);

impl<V> Track<V> {
    const EMPTY: Self = Self(BTreeMap::new());

    fn insert(&mut self, time: Timestamp, id: EventId, value: V) {
        self.0.entry(time).or_default().insert(id, value);
    }

    fn last_until(&self, at: Timestamp) -> Option<(Timestamp, &EventId, &V)> {
        let (time, values) = self.0.range(..=at).next_back()?;
        let (id, value) = values.last_key_value()?;
        Some((*time, id, value))
    }

    fn latest(&self) -> Option<(Timestamp, &EventId)> {
        self.last_until(Timestamp::MAX).map(|(time, id, _)| (time, id))
    }
}

impl<V> Default for Track<V> {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// The timelines of every app of a shard. A copy shares them until one of the two is added to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppTimelines(BTreeMap<AppKey, Arc<AppTimeline>>);

static EMPTY: AppTimeline = AppTimeline { descriptors: Track::EMPTY, policies: Track::EMPTY };

impl AppTimelines {
    /// The timeline of an app, empty when nothing was published.
    #[must_use]
    pub fn of(&self, app: &AppKey) -> &AppTimeline {
        self.0.get(app).map_or(&EMPTY, Arc::as_ref)
    }

    /// The same, to be kept.
    #[must_use]
    pub fn shared(&self, app: &AppKey) -> Arc<AppTimeline> {
        self.0.get(app).cloned().unwrap_or_default()
    }

    /// Takes the whole timeline of an app as it is.
    pub fn share(&mut self, app: AppKey, timeline: Arc<AppTimeline>) {
        self.0.insert(app, timeline);
    }

    /// Puts an app-level event in its place.
    pub fn insert(&mut self, app: &AppKey, time: Timestamp, id: EventId, fact: &AppFact) {
        Arc::make_mut(self.0.entry(app.clone()).or_default()).insert(time, id, fact);
    }
}
