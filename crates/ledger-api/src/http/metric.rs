//! The metrics of the HTTP interface, and of the shards behind it: declared and described once.
//!
//! How far the shards are is read when somebody asks for the metrics, so that it never contradicts `/readyz`.

use std::time::Duration;

use ledger_store::Phase;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::query::FreshnessJson;

const REQUESTS: &str = "realm_ledger_http_requests_total";
const SECONDS: &str = "realm_ledger_http_request_seconds";

const LAG_EVENTS: &str = "realm_ledger_lag_events";
const LAG_SECONDS: &str = "realm_ledger_lag_seconds";
const PHASE: &str = "realm_ledger_shard_phase";
const ASSIGNED: &str = "realm_ledger_shard_assigned";
const SPLIT_TENANTS: &str = "realm_ledger_split_tenants";

/// Tells the exporter what each metric means; once, at start.
pub fn describe() {
    describe_counter!(REQUESTS, "HTTP requests answered, by route, method and status.");
    describe_histogram!(SECONDS, Unit::Seconds, "Time to the head of the answer, by route.");
    describe_gauge!(LAG_EVENTS, "Messages behind the end of the partition, by shard; NaN: not known.");
    describe_gauge!(LAG_SECONDS, Unit::Seconds, "The same in time, by shard; NaN: not known.");
    describe_gauge!(PHASE, "1 for the phase that the shard is in, 0 for the others, by shard and phase.");
    describe_gauge!(ASSIGNED, "1 for a shard that the group has given to this process, by shard.");
    describe_gauge!(SPLIT_TENANTS, "Tenants of the shard that another one has too, by shard.");
}

/// How far each shard is now: called before the metrics are rendered.
pub fn tell_freshness(shards: &[FreshnessJson]) {
    for shard in shards {
        let name = format!("{}/{}", shard.topic, shard.partition);
        let of = |number: Option<u64>| number.map_or(f64::NAN, as_f64);
        gauge!(LAG_EVENTS, "shard" => name.clone()).set(of(shard.lag));
        gauge!(LAG_SECONDS, "shard" => name.clone()).set(of(shard.lag_seconds));
        gauge!(ASSIGNED, "shard" => name.clone()).set(f64::from(u8::from(shard.assigned)));
        gauge!(SPLIT_TENANTS, "shard" => name.clone()).set(as_f64(shard.split_tenants));
        for phase in Phase::ALL.map(Phase::as_str) {
            let is_in = f64::from(u8::from(phase == shard.phase));
            gauge!(PHASE, "shard" => name.clone(), "phase" => phase).set(is_in);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 a lag need not be exact")]
fn as_f64(number: u64) -> f64 {
    number as f64
}

/// A request was answered. `route` and `method` are of closed sets, never what a client made up.
pub(super) fn answered(route: &str, method: &'static str, status: u16, took: Duration) {
    let route = route.to_owned();
    counter!(REQUESTS, "route" => route.clone(), "method" => method, "status" => status.to_string())
        .increment(1);
    histogram!(SECONDS, "route" => route).record(took.as_secs_f64());
}
