//! The metrics of the HTTP interface: declared and described once.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

const REQUESTS: &str = "realm_ledger_http_requests_total";
const SECONDS: &str = "realm_ledger_http_request_seconds";

/// Tells the exporter what each metric means; once, at start.
pub fn describe() {
    describe_counter!(REQUESTS, "HTTP requests answered, by route, method and status.");
    describe_histogram!(SECONDS, Unit::Seconds, "Time to the head of the answer, by route.");
}

/// A request was answered. `route` and `method` are of closed sets, never what a client made up.
pub(super) fn answered(route: &str, method: &'static str, status: u16, took: Duration) {
    let route = route.to_owned();
    counter!(REQUESTS, "route" => route.clone(), "method" => method, "status" => status.to_string())
        .increment(1);
    histogram!(SECONDS, "route" => route).record(took.as_secs_f64());
}
