//! The metrics of subscriptions: declared and described once.

use metrics::{counter, describe_counter, describe_gauge, gauge};

const SUBSCRIPTIONS: &str = "realm_ledger_subscriptions";
const SLOW: &str = "realm_ledger_slow_subscriptions_total";

/// Describes each to the exporter.
pub(crate) fn describe() {
    describe_gauge!(SUBSCRIPTIONS, "Subscriptions to decisions that are open.");
    describe_counter!(SLOW, "Subscriptions that were ended because their client did not keep up.");
    counter!(SLOW).increment(0);
}

pub(super) fn set_subscriptions(open: usize) {
    gauge!(SUBSCRIPTIONS).set(f64::from(u32::try_from(open).unwrap_or(u32::MAX)));
}

pub(super) fn ended_slow() {
    counter!(SLOW).increment(1);
}
