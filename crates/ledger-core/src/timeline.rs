//! The timeline of an app (rules 2.2, 3): which descriptor and which policy were in force when.
//!
//! App-level events have no effect on an installation but through the descriptor and the policy in force,
//! so they are not folded into every installation: they are looked up by event time. At equal times
//! app-level events come first, among each other by id, so "in force at an event of time `t`" is the last
//! app-level event with time ≤ `t`.

use std::collections::BTreeMap;

use crate::descriptor::Descriptor;
use crate::event::AppFact;
use crate::ids::{AppKey, EventId};
use crate::policy::Policy;
use crate::time::Timestamp;

/// The app-level events of one app, in effective order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppTimeline {
    descriptors: BTreeMap<(Timestamp, EventId), Descriptor>,
    policies: BTreeMap<(Timestamp, EventId), Policy>,
}

impl AppTimeline {
    /// Puts an app-level event in its place.
    pub fn insert(&mut self, time: Timestamp, id: EventId, fact: &AppFact) {
        match fact {
            AppFact::DescriptorPublished(descriptor) => {
                self.descriptors.insert((time, id), descriptor.clone());
            }
            AppFact::PolicySet(policy) => {
                self.policies.insert((time, id), *policy);
            }
        }
    }

    /// The last published descriptor at an instant, with its event time.
    #[must_use]
    pub fn descriptor_at(&self, at: Timestamp) -> Option<(Timestamp, &Descriptor)> {
        last_until(&self.descriptors, at)
    }

    /// The policy in force at an instant.
    #[must_use]
    pub fn policy_at(&self, at: Timestamp) -> Policy {
        last_until(&self.policies, at).map_or_else(Policy::default, |(_, policy)| *policy)
    }

    /// Place of the last event in effective order.
    #[must_use]
    pub fn latest(&self) -> Option<(Timestamp, &EventId)> {
        let descriptor = self.descriptors.last_key_value().map(|(key, _)| key);
        let policy = self.policies.last_key_value().map(|(key, _)| key);
        descriptor.max(policy).map(|(time, id)| (*time, id))
    }
}

fn last_until<V>(entries: &BTreeMap<(Timestamp, EventId), V>, at: Timestamp) -> Option<(Timestamp, &V)> {
    // From the end: what is asked for is nearly always the newest.
    let ((time, _), value) = entries.iter().rev().find(|((time, _), _)| *time <= at)?;
    Some((*time, value))
}

/// The timelines of every app of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppTimelines(BTreeMap<AppKey, AppTimeline>);

static EMPTY: AppTimeline = AppTimeline { descriptors: BTreeMap::new(), policies: BTreeMap::new() };

impl AppTimelines {
    /// The timeline of an app, empty when nothing was published.
    #[must_use]
    pub fn of(&self, app: &AppKey) -> &AppTimeline {
        self.0.get(app).unwrap_or(&EMPTY)
    }

    /// Puts an app-level event in its place.
    pub fn insert(&mut self, app: &AppKey, time: Timestamp, id: EventId, fact: &AppFact) {
        self.0.entry(app.clone()).or_default().insert(time, id, fact);
    }
}
