//! The metrics of ingestion: declared and described once.

use std::time::Duration;

use ledger_store::ShardId;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::apply::ApplyCounts;

const EVENTS: &str = "realm_ledger_events_total";
const LATE: &str = "realm_ledger_late_events_total";
const COMMIT_SECONDS: &str = "realm_ledger_commit_seconds";
const TOMBSTONES: &str = "realm_ledger_tombstones_total";
const SHARD_HALTED: &str = "realm_ledger_shard_halted_total";
pub(crate) const OLDER_THAN_COMMITTED: &str = "realm_ledger_older_than_committed_total";
pub(crate) const SPLIT_TENANTS: &str = "realm_ledger_split_tenants_total";
const MISPLACED: &str = "realm_ledger_misplaced_keys_total";
const MIXED_PARTITIONERS: &str = "realm_ledger_mixed_partitioners";
pub(crate) const PRODUCERS_TIME: &str = "realm_ledger_producers_time_total";
pub(crate) const REJOINED: &str = "realm_ledger_rejoined_total";
pub(crate) const PUBLISHED: &str = "realm_ledger_published_total";
pub(crate) const ACCESS_LOST: &str = "realm_ledger_access_events_lost_total";
pub(crate) const PUBLISH_FAILED: &str = "realm_ledger_publish_failures_total";

const CHECKPOINTS: &str = "realm_ledger_checkpoints_total";
const CHECKPOINT_SIZE: &str = "realm_ledger_checkpoint_size";
const CHECKPOINT_SECONDS: &str = "realm_ledger_checkpoint_seconds";
const UNSIGNED: &str = "realm_ledger_unsigned";
const UNSIGNED_TOTAL: &str = "realm_ledger_unsigned_total";
const STALLED: &str = "realm_ledger_stalled";
const HELD_UP: &str = "realm_ledger_held_up";
pub(crate) const TICK_FAILED: &str = "realm_ledger_tick_failures_total";

/// Describes each metric to the exporter; once, at start.
pub fn describe() {
    describe_counter!(EVENTS, "Source messages taken, by shard and result (appended, duplicate, refused).");
    describe_counter!(LATE, "Appended events that sorted before others: outcomes were derived anew.");
    describe_histogram!(COMMIT_SECONDS, Unit::Seconds, "Time of one batch: fold, write, sync.");
    describe_counter!(TOMBSTONES, "Messages without a value that were counted instead of refused, by shard.");
    describe_counter!(SHARD_HALTED, "Stops of a shard for a reason that needs a person, by shard and code.");
    describe_counter!(
        OLDER_THAN_COMMITTED,
        "Assignments where the group had read further than this data directory."
    );
    describe_counter!(SPLIT_TENANTS, "Tenants that came to a shard while another shard had them already.");
    describe_counter!(
        MISPLACED,
        "Events whose client key its partitioner places in another partition, by shard."
    );
    describe_gauge!(
        MIXED_PARTITIONERS,
        "1 while no one partitioner places all client keys of the shard's topic, unless that is configured."
    );
    describe_counter!(
        PRODUCERS_TIME,
        "Assignments whose messages have their producer's time instead of the broker's, by shard."
    );
    describe_counter!(
        REJOINED,
        "Times the group was joined anew because the coordinator had fenced the client."
    );
    describe_counter!(CHECKPOINTS, "Checkpoints signed here, or followed while another process signs.");
    describe_gauge!(CHECKPOINT_SIZE, "Leaves of the last signed checkpoint, by shard.");
    describe_histogram!(
        CHECKPOINT_SECONDS,
        Unit::Seconds,
        "From a durable seal to its published checkpoint."
    );
    describe_gauge!(UNSIGNED, "1 while nothing new of the shard's log is signed, by shard.");
    describe_counter!(UNSIGNED_TOTAL, "Reasons why nothing new was signed, by code.");
    describe_gauge!(STALLED, "1 while something has not been sealed for three tick intervals, by shard.");
    describe_gauge!(HELD_UP, "1 while nothing comes from the shard's source, by shard: /readyz says why.");
    describe_counter!(TICK_FAILED, "Ticks that could not be sent.");
    describe_counter!(PUBLISHED, "Messages acknowledged on the output topics, by topic.");
    describe_counter!(
        ACCESS_LOST,
        "Lines about access that are not on access.topic, as the brokers did not take them in time; the log has them."
    );
    counter!(ACCESS_LOST).increment(0);
    describe_counter!(PUBLISH_FAILED, "Attempts to publish that failed and are tried again.");
    // Of a counter that begins with its first event, an alert on its increase sees none.
    counter!(PUBLISH_FAILED).increment(0);
}

/// A shard is assigned: what alerts watch the increase of begins here.
pub(crate) fn assigned(shard: &ShardId) {
    misplaced(shard, 0);
}

/// A checkpoint is published.
pub(crate) fn signed(shard: &ShardId, size: u64, took: Duration) {
    let shard = shard.to_string();
    counter!(CHECKPOINTS, "shard" => shard.clone()).increment(1);
    #[expect(clippy::cast_precision_loss, reason = "a gauge; a log of 2^53 leaves may be off by one")]
    gauge!(CHECKPOINT_SIZE, "shard" => shard.clone()).set(size as f64);
    histogram!(CHECKPOINT_SECONDS, "shard" => shard).record(took.as_secs_f64());
}

/// Nothing new is signed, for this reason; or again.
pub(crate) fn unsigned(shard: &ShardId, code: Option<&'static str>) {
    gauge!(UNSIGNED, "shard" => shard.to_string()).set(if code.is_some() { 1.0 } else { 0.0 });
    if let Some(code) = code {
        counter!(UNSIGNED_TOTAL, "code" => code).increment(1);
    }
}

/// Whether something waits to be sealed for too long.
pub(crate) fn stalled(shard: &ShardId, is_stalled: bool) {
    gauge!(STALLED, "shard" => shard.to_string()).set(if is_stalled { 1.0 } else { 0.0 });
}

/// Nothing comes from the source, for this reason; or something does again.
pub(crate) fn held_up(shard: &ShardId, code: Option<&'static str>) {
    gauge!(HELD_UP, "shard" => shard.to_string()).set(if code.is_some() { 1.0 } else { 0.0 });
}

/// Events came in another partition than their keys belong in.
pub(crate) fn misplaced(shard: &ShardId, count: u64) {
    counter!(MISPLACED, "shard" => shard.to_string()).increment(count);
}

/// Whether producers of the topic place keys by no partitioner, or not by one.
pub(crate) fn mixed_partitioners(shard: &ShardId, are_mixed: bool) {
    gauge!(MIXED_PARTITIONERS, "shard" => shard.to_string()).set(if are_mixed { 1.0 } else { 0.0 });
}

/// A shard stopped.
pub(crate) fn halted(shard: &ShardId, code: &'static str) {
    counter!(SHARD_HALTED, "shard" => shard.to_string(), "code" => code).increment(1);
}

/// A message without a value was passed.
pub(crate) fn tombstone(shard: &ShardId) {
    counter!(TOMBSTONES, "shard" => shard.to_string()).increment(1);
}

/// One batch is durable.
pub(crate) fn committed(shard: &ShardId, applied: ApplyCounts, took: Duration) {
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
