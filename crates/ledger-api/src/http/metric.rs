//! The metrics of the HTTP interface, and of the shards behind it: declared and described once.
//!
//! How far the shards are is read when the metrics are asked for, so that it never contradicts `/readyz`.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ledger_store::{Ends, Phase, StopCode};
use metrics::{Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::ledger::{FreshnessJson, HaltedJson};
use crate::problem::ProblemKind;

const REQUESTS: &str = "realm_ledger_http_requests_total";
const SECONDS: &str = "realm_ledger_http_request_seconds";
const CONNECTIONS: &str = "realm_ledger_http_connections";
const CLOSED: &str = "realm_ledger_http_slow_clients_total";
const REFUSED: &str = "realm_ledger_access_refusals_total";
const STREAMS: &str = "realm_ledger_http_streams";

/// What is not a question.
pub(super) const NO_QUERY: &str = "none";

const LAG_EVENTS: &str = "realm_ledger_lag_events";
const LAG_SECONDS: &str = "realm_ledger_lag_seconds";
const PHASE: &str = "realm_ledger_shard_phase";
const ASSIGNED: &str = "realm_ledger_shard_assigned";
const SPLIT_TENANTS: &str = "realm_ledger_split_tenants";
const AHEAD_SECONDS: &str = "realm_ledger_recorded_ahead_seconds";
const STOPPED: &str = "realm_ledger_stopped";
const ALL_HALTED: &str = "realm_ledger_all_halted";
const MISSING_APP_EVENTS: &str = "realm_ledger_missing_app_events";

/// Describes each metric to the exporter; once, at start.
pub fn describe() {
    describe_counter!(
        REQUESTS,
        "HTTP requests and calls of gRPC answered, by route, method, query (`none`: no question), status and code: that \
         of the problem, or `ok`."
    );
    describe_histogram!(SECONDS, Unit::Seconds, "Time to the head of the answer, by route and query.");
    describe_gauge!(STREAMS, "Answers that are being sent line by line, subscriptions aside.");
    gauge!(STREAMS).increment(0.0);
    describe_gauge!(CONNECTIONS, "HTTP connections that are open.");
    describe_counter!(
        CLOSED,
        "HTTP connections closed because of their client, by what it did not do: `head`, `body`, `unread`, or `room` \
         for the one that waited longest when another client came."
    );
    describe_counter!(
        REFUSED,
        "Requests refused to who sent them, by query (`none`: no question) and code; `not-granted` was answered as what \
         does not exist."
    );
    describe_gauge!(LAG_EVENTS, "Messages behind the end of the partition, by shard; NaN: not known.");
    describe_gauge!(LAG_SECONDS, Unit::Seconds, "The same in time, by shard; NaN: not known.");
    describe_gauge!(PHASE, "1 for the phase that the shard is in, 0 for the others, by shard and phase.");
    describe_gauge!(ASSIGNED, "1 for a shard that the group has given to this process, by shard.");
    describe_gauge!(
        AHEAD_SECONDS,
        Unit::Seconds,
        "How far the last recorded time is ahead of this machine's clock, by shard."
    );
    describe_gauge!(
        STOPPED,
        "1 while the shard is halted or nothing comes from its source, by shard (the topic, where the process has no \
         shard of it), code, what ends it (by-itself, by-person) and remedy."
    );
    describe_gauge!(ALL_HALTED, "1 while every shard of this process is halted until a person has looked.");
    describe_gauge!(SPLIT_TENANTS, "Tenants of the shard that another one has too, by shard.");
    describe_gauge!(
        MISSING_APP_EVENTS,
        "App-level events that other shards have and this one lacks, by shard."
    );
    crate::decisions::metric::describe();
    // Prometheus sees no increase in a counter that begins at 1.
    for why in Why::ALL {
        counter!(CLOSED, "why" => why.as_str()).increment(0);
    }
}

/// Shards that were reported once. The exporter goes on reporting the last value of a gauge, so a shard that went
/// away would stay as it was for ever.
static REPORTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// How far each shard is now: called before the metrics are rendered.
pub fn report_freshness(shards: &[FreshnessJson]) {
    report(shards, &[], false);
}

/// The same, and the topics that nothing comes of, with the code: where no shard of one says so, the topic does. A
/// shard that is being opened may go on.
pub(super) fn report(shards: &[FreshnessJson], away: &[(String, &'static str)], is_opening: bool) {
    let name = |shard: &FreshnessJson| format!("{}/{}", shard.topic, shard.partition);
    let here: BTreeSet<String> = shards.iter().map(name).collect();
    let mut reported = REPORTED.lock().unwrap_or_else(PoisonError::into_inner);
    for gone in reported.difference(&here) {
        gauge!(LAG_EVENTS, "shard" => gone.clone()).set(f64::NAN);
        gauge!(LAG_SECONDS, "shard" => gone.clone()).set(f64::NAN);
        gauge!(ASSIGNED, "shard" => gone.clone()).set(0.0);
        gauge!(SPLIT_TENANTS, "shard" => gone.clone()).set(0.0);
        gauge!(AHEAD_SECONDS, "shard" => gone.clone()).set(0.0);
        gauge!(MISSING_APP_EVENTS, "shard" => gone.clone()).set(0.0);
        for phase in Phase::ALL.map(Phase::as_str) {
            gauge!(PHASE, "shard" => gone.clone(), "phase" => phase).set(0.0);
        }
    }
    reported.extend(here);
    drop(reported);
    report_stops(shards, away, is_opening);
    for shard in shards {
        let name = name(shard);
        let of = |number: Option<u64>| number.map_or(f64::NAN, as_f64);
        gauge!(LAG_EVENTS, "shard" => name.clone()).set(of(shard.lag));
        gauge!(LAG_SECONDS, "shard" => name.clone()).set(of(shard.lag_seconds));
        gauge!(ASSIGNED, "shard" => name.clone()).set(f64::from(u8::from(shard.assigned)));
        gauge!(SPLIT_TENANTS, "shard" => name.clone()).set(as_f64(shard.split_tenants));
        gauge!(AHEAD_SECONDS, "shard" => name.clone()).set(as_f64(shard.ahead_seconds));
        gauge!(MISSING_APP_EVENTS, "shard" => name.clone()).set(as_f64(shard.missing_app_events));
        for phase in Phase::ALL.map(Phase::as_str) {
            let is_in = f64::from(u8::from(phase == shard.phase));
            gauge!(PHASE, "shard" => name.clone(), "phase" => phase).set(is_in);
        }
    }
}

/// Stops that were reported once, for the same reason.
static STOPS: Mutex<BTreeSet<(String, StopCode)>> = Mutex::new(BTreeSet::new());

/// Which shards take nothing more, and what to do about each: an alert shows the labels.
fn report_stops(shards: &[FreshnessJson], away: &[(String, &'static str)], is_opening: bool) {
    let code = |halted: &Option<HaltedJson>| halted.as_ref().and_then(|halted| StopCode::parse(&halted.code));
    let code_of = |shard: &FreshnessJson| code(&shard.halted).or_else(|| code(&shard.stalled));
    let stopped = shards.iter().filter_map(|shard| {
        let code = code_of(shard)?;
        Some((format!("{}/{}", shard.topic, shard.partition), code))
    });
    let mut stopped: BTreeSet<_> = stopped.collect();
    for (topic, code) in away {
        let is_reported = shards.iter().any(|shard| shard.topic == *topic && code_of(shard).is_some());
        stopped.extend(StopCode::parse(code).filter(|_| !is_reported).map(|code| (topic.clone(), code)));
    }
    let mut reported = STOPS.lock().unwrap_or_else(PoisonError::into_inner);
    reported.extend(stopped.iter().cloned());
    for stop in &*reported {
        let (shard, code) = stop;
        let ends = match code.ends() {
            Ends::ByItself => "by-itself",
            Ends::ByPerson => "by-person",
        };
        let labels = [
            ("shard", shard.clone()),
            ("code", code.to_string()),
            ("ends", ends.to_owned()),
            ("remedy", code.remedy().to_owned()),
        ];
        gauge!(STOPPED, &labels).set(f64::from(u8::from(stopped.contains(stop))));
    }
    let mut assigned = shards.iter().filter(|shard| shard.assigned).peekable();
    let all_halted =
        !is_opening && assigned.peek().is_some() && assigned.all(FreshnessJson::is_halted_for_good);
    gauge!(ALL_HALTED).set(f64::from(u8::from(all_halted)));
}

#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 a lag need not be exact")]
fn as_f64(number: u64) -> f64 {
    number as f64
}

/// What was asked: labels of closed sets, never what a client made up.
pub(super) struct Asked<'a> {
    pub(super) route: &'a str,
    pub(super) method: &'static str,
    pub(super) query: &'static str,
}

impl Asked<'_> {
    /// It was answered; `code` is that of the problem, or `ok`.
    pub(super) fn answered(&self, status: u16, code: &'static str, took: Duration) {
        let Self { route, method, query } = *self;
        let route = route.to_owned();
        let status = status.to_string();
        counter!(
            REQUESTS,
            "route" => route.clone(), "method" => method, "query" => query, "status" => status, "code" => code
        )
        .increment(1);
        histogram!(SECONDS, "route" => route, "query" => query).record(took.as_secs_f64());
    }
}

/// An answer that is being sent line by line; counted until it is dropped.
#[derive(Debug)]
pub(super) struct OpenStream;

impl OpenStream {
    pub(super) fn new() -> Self {
        gauge!(STREAMS).increment(1.0);
        Self
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        gauge!(STREAMS).decrement(1.0);
    }
}

/// The HTTP library refused a request before any route was asked.
pub(super) fn refused(kind: ProblemKind) {
    let (status, code) = (kind.status().to_string(), kind.code());
    let labels = [("route", "none"), ("method", "other"), ("query", NO_QUERY), ("code", code)];
    let labels = labels.map(|(name, value)| Label::new(name, value)).into_iter();
    counter!(REQUESTS, labels.chain([Label::new("status", status)]).collect::<Vec<_>>()).increment(1);
}

/// A request was refused to who sent it. `query` and `code` are of closed sets.
pub(super) fn access_refused(query: &'static str, code: &'static str) {
    counter!(REFUSED, "query" => query, "code" => code).increment(1);
}

/// So many connections are open.
pub(super) fn set_connections(open: usize) {
    gauge!(CONNECTIONS).set(as_f64(open as u64));
}

/// Why a connection was closed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Why {
    Head,
    Body,
    Unread,
    Room,
}

impl Why {
    const ALL: [Self; 4] = [Self::Head, Self::Body, Self::Unread, Self::Room];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Body => "body",
            Self::Unread => "unread",
            Self::Room => "room",
        }
    }
}

/// A connection was closed because its client kept the server waiting.
pub(super) fn closed(why: Why) {
    counter!(CLOSED, "why" => why.as_str()).increment(1);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use metrics::{Counter, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString};

    use super::*;

    /// Keeps what gauges were set to last, by name and labels.
    #[derive(Default)]
    struct Gauges(Arc<Mutex<std::collections::BTreeMap<String, f64>>>);

    struct One(Arc<Mutex<std::collections::BTreeMap<String, f64>>>, String);

    impl GaugeFn for One {
        fn increment(&self, _: f64) {}
        fn decrement(&self, _: f64) {}
        fn set(&self, value: f64) {
            self.0.lock().unwrap().insert(self.1.clone(), value);
        }
    }

    impl Recorder for Gauges {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            Counter::noop()
        }
        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            let labels: Vec<_> = key.labels().map(|label| label.value().to_owned()).collect();
            Gauge::from_arc(Arc::new(One(
                Arc::clone(&self.0),
                format!("{} {}", key.name(), labels.join(" ")),
            )))
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[test]
    fn gauges_of_a_removed_shard_are_reset() {
        let gauges = Gauges::default();
        let shard_id = ledger_store::ShardId { topic: "t".to_owned(), partition: 3 };
        let shard = FreshnessJson {
            phase: "LIVE".into(),
            assigned: true,
            lag: Some(7),
            ..crate::ledger::of_absent(&shard_id)
        };
        metrics::with_local_recorder(&gauges, || {
            report_freshness(std::slice::from_ref(&shard));
            report_freshness(&[]);
        });
        let told = gauges.0.lock().unwrap();
        assert!(told[&format!("{LAG_EVENTS} t/3")].is_nan());
        assert_eq!((told[&format!("{ASSIGNED} t/3")], told[&format!("{PHASE} t/3 LIVE")]), (0.0, 0.0));
    }

    #[test]
    fn halt_gauges_have_the_remedy_and_whether_all_halted() {
        let halted = |partition, code: StopCode| {
            let id = ledger_store::ShardId { topic: "u".to_owned(), partition };
            let halted = ledger_store::Halted::new(code, &id, "it is so");
            crate::ledger::of_failed(&id, &halted)
        };
        let gauges = Gauges::default();
        let told = |shards: &[FreshnessJson]| {
            metrics::with_local_recorder(&gauges, || report_freshness(shards));
            gauges.0.lock().unwrap().clone()
        };
        let remedy = |code: StopCode| code.remedy();
        let (damaged, full) = (StopCode::ShardDamaged, StopCode::DiskFull);
        let of_damaged = format!("{STOPPED} u/0 shard-damaged by-person {}", remedy(damaged));
        let of_full = format!("{STOPPED} u/1 disk-full by-itself {}", remedy(full));
        let all = format!("{ALL_HALTED} ");
        let now = told(&[halted(0, damaged), halted(1, full)]);
        assert_eq!((now[&of_damaged], now[&of_full], now[&all]), (1.0, 1.0, 0.0));
        let now = told(&[halted(0, damaged)]);
        assert_eq!((now[&of_damaged], now[&of_full], now[&all]), (1.0, 0.0, 1.0));
        metrics::with_local_recorder(&gauges, || report(&[halted(0, damaged)], &[], true));
        assert!(gauges.0.lock().unwrap()[&all].abs() < f64::EPSILON, "another shard is being opened");
        let now = told(&[]);
        assert_eq!((now[&of_damaged], now[&all]), (0.0, 0.0));
        // Nothing was ever assigned: the topic stands for its shards.
        let gone = StopCode::SourceUnreachable;
        let of_topic = format!("{STOPPED} v source-unreachable by-itself {}", remedy(gone));
        let away = [("v".to_owned(), gone.as_str())];
        for (away, value) in [(&away[..], 1.0), (&[], 0.0)] {
            metrics::with_local_recorder(&gauges, || report(&[], away, false));
            let shown = gauges.0.lock().unwrap()[&of_topic];
            assert!((shown - value).abs() < f64::EPSILON, "{shown}, not {value}");
        }
    }
}
