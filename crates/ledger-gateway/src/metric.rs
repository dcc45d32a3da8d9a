//! The metrics of the gateway: declared and described once. No tenant is in a label.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

const CALLS: &str = "realm_ledger_gateway_calls_total";
const SECONDS: &str = "realm_ledger_gateway_seconds";
const EVENTS: &str = "realm_ledger_gateway_events_total";

/// Describes each metric to the exporter; once, at start.
pub fn describe() {
    describe_counter!(
        CALLS,
        "Hooks answered, by app, realm, hook, mode (`front`, `copy`, `none`) and code: `recorded`, \
         `recorded-app-refused`, `nothing`, `app-refused`, `quarantined`, or why it was not recorded."
    );
    describe_histogram!(
        SECONDS,
        Unit::Seconds,
        "Time to answer a hook, by part: `own`, or `app` for what the app behind the gateway took."
    );
    describe_counter!(EVENTS, "Events that the gateway recorded, by type; `refused`: for the quarantine.");
}

/// A hook was answered. All labels are of closed sets.
pub(crate) fn answered(app: &str, realm: &str, hook: &'static str, mode: &'static str, code: &'static str) {
    counter!(CALLS, "app" => app.to_owned(), "realm" => realm.to_owned(), "hook" => hook, "mode" => mode, "code" => code)
        .increment(1);
}

/// So long it took.
pub(crate) fn took(own: Duration, app: Option<Duration>) {
    histogram!(SECONDS, "part" => "own").record(own.as_secs_f64());
    if let Some(app) = app {
        histogram!(SECONDS, "part" => "app").record(app.as_secs_f64());
    }
}

/// An event was recorded.
pub(crate) fn recorded(event_type: &'static str) {
    counter!(EVENTS, "type" => event_type).increment(1);
}
