//! Persistence policies (rules 5): how long a pin outlives its uninstall.

use serde::{Deserialize, Serialize};

/// What an operator sets per app with `policy-set`; `Descriptor` unless set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename = "mode", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Policy {
    /// As the descriptor in force declares (RFC-22).
    #[default]
    Descriptor,
    /// No window at all.
    Off,
    /// A fixed number of days, whatever the descriptor says.
    Days {
        /// 1 to 36500.
        days: u32,
    },
    /// Without end.
    Indefinite,
    /// As long as the subscription is active, then the grace.
    Subscription {
        /// 0 to 36500.
        grace_days: u32,
    },
}
