//! What was in force at an instant: what an install or an uninstall then went by, or would go by.

use super::origins::Origins;
use crate::descriptor::Descriptor;
use crate::ids::EventId;
use crate::policy::Policy;
use crate::state::Installation;
use crate::time::Timestamp;
use crate::timeline::AppTimeline;

/// The policy and the descriptor in force at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    pub(super) fn of(state: &Installation, origins: &Origins, timeline: &AppTimeline, at: Timestamp) -> Self {
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
