//! The metrics of the journal: declared and described once.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const APPENDED: &str = "realm_ledger_journal_appended_total";
const COMMITS: &str = "realm_ledger_journal_commits_total";
const COMMIT_SECONDS: &str = "realm_ledger_journal_commit_seconds";
const WAITING_EVENTS: &str = "realm_ledger_journal_waiting_events";
const WAITING_BYTES: &str = "realm_ledger_journal_waiting_bytes";
const MAX_BYTES: &str = "realm_ledger_journal_max_bytes";
const PASSED_OVER: &str = "realm_ledger_journal_passed_over_total";
const BROKEN: &str = "realm_ledger_journal_broken";

/// Describes each metric to the exporter; once, at start.
pub fn describe() {
    describe_counter!(APPENDED, "Events that the journal has on disk.");
    describe_counter!(COMMITS, "Group commits of the journal, with one fsync each.");
    describe_histogram!(
        COMMIT_SECONDS,
        Unit::Seconds,
        "Time of a group commit of the journal: write and fsync."
    );
    describe_gauge!(
        WAITING_EVENTS,
        "Events in the journal that are not yet in Kafka, or in the ledger without Kafka."
    );
    describe_gauge!(WAITING_BYTES, Unit::Bytes, "Their bytes: at gateway.journal_max nothing more is taken.");
    describe_gauge!(MAX_BYTES, Unit::Bytes, "gateway.journal_max.");
    describe_counter!(
        PASSED_OVER,
        "Events that the topic can never take, and that are in unpublished.ndjson beside the journal instead."
    );
    describe_gauge!(BROKEN, "1 when the journal could not be written: nothing is taken until it can be.");
}

#[expect(clippy::cast_precision_loss, reason = "gauges; beyond 2^53 they may be off by one")]
pub(super) fn waiting(events: u64, bytes: u64) {
    gauge!(WAITING_EVENTS).set(events as f64);
    gauge!(WAITING_BYTES).set(bytes as f64);
}

#[expect(clippy::cast_precision_loss, reason = "as above")]
pub(super) fn opened(max_bytes: u64) {
    gauge!(MAX_BYTES).set(max_bytes as f64);
    // Prometheus sees no increase in a counter that begins at 1.
    counter!(PASSED_OVER).increment(0);
}

pub(super) fn broken(is_broken: bool) {
    gauge!(BROKEN).set(if is_broken { 1.0 } else { 0.0 });
}

pub(super) fn passed_over() {
    counter!(PASSED_OVER).increment(1);
}

pub(super) fn committed(lines: usize, took: Duration) {
    counter!(APPENDED).increment(lines as u64);
    counter!(COMMITS).increment(1);
    histogram!(COMMIT_SECONDS).record(took.as_secs_f64());
}
