//! The metrics of ingestion: declared and described once.

use std::time::Duration;

use ledger_store::ShardId;
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

use crate::apply::Applied;

const EVENTS: &str = "realm_ledger_events_total";
const LATE: &str = "realm_ledger_late_events_total";
const COMMIT_SECONDS: &str = "realm_ledger_commit_seconds";
pub(crate) const SHARD_HALTED: &str = "realm_ledger_shard_halted_total";
pub(crate) const OLDER_THAN_COMMITTED: &str = "realm_ledger_older_than_committed_total";
pub(crate) const SPLIT_TENANTS: &str = "realm_ledger_split_tenants_total";
pub(crate) const REJOINED: &str = "realm_ledger_rejoined_total";
pub(crate) const PUBLISHED: &str = "realm_ledger_published_total";
pub(crate) const PUBLISH_FAILED: &str = "realm_ledger_publish_failures_total";

/// Tells the exporter what each metric means; once, at start.
pub fn describe() {
    describe_counter!(EVENTS, "Source messages taken, by shard and result (appended, duplicate, refused).");
    describe_counter!(LATE, "Appended events that sorted before others: outcomes were derived anew.");
    describe_histogram!(COMMIT_SECONDS, Unit::Seconds, "Time of one batch: fold, write, sync.");
    describe_counter!(SHARD_HALTED, "Shards stopped for a reason that needs a person, by code.");
    describe_counter!(
        OLDER_THAN_COMMITTED,
        "Assignments where the group had read further than this data directory."
    );
    describe_counter!(SPLIT_TENANTS, "Tenants that came to a shard while another shard had them already.");
    describe_counter!(
        REJOINED,
        "Times the group was joined anew because the coordinator had fenced the client."
    );
    describe_counter!(PUBLISHED, "Messages acknowledged on the output topics, by topic.");
    describe_counter!(PUBLISH_FAILED, "Attempts to publish that failed and are tried again.");
}

/// One batch is durable.
pub(crate) fn committed(shard: &ShardId, applied: Applied, took: Duration) {
    let shard = shard.to_string();
    let results =
        [("appended", applied.appended), ("duplicate", applied.duplicates), ("refused", applied.refused)];
    for (result, count) in results {
        if count > 0 {
            counter!(EVENTS, "shard" => shard.clone(), "result" => result).increment(count);
        }
    }
    if applied.late > 0 {
        counter!(LATE, "shard" => shard.clone()).increment(applied.late);
    }
    histogram!(COMMIT_SECONDS, "shard" => shard).record(took.as_secs_f64());
}
