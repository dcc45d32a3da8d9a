//! How fresh a shard's part of an answer is: labelled, never hidden.

use ledger_core::time::Timestamp;
use ledger_record::json::time::format_instant;
use ledger_record::rows::SourcePosition;
use ledger_store::{Halted, Partitioner, Phase, ReadError, ShardId};

use super::answer::{FreshnessJson, HaltedJson};
use super::shards::Moment;

/// Of one shard at the moment of the answer. A shard that takes nothing more still answers, as halted.
pub(super) fn of(moment: &Moment<'_>, now: Timestamp) -> Result<FreshnessJson, ReadError> {
    let head = moment.snapshot.head()?;
    let sources = moment.snapshot.source_positions()?;
    let offset = sources.iter().find_map(|(source, position)| match position {
        SourcePosition::Kafka { next_offset, .. } if *source == moment.id.topic => Some(*next_offset),
        SourcePosition::Kafka { .. } | SourcePosition::Import { .. } | SourcePosition::Carried { .. } => None,
    });
    let status = moment.freshness.as_ref();
    // A write that failed is known here a moment before its worker has halted the shard for it.
    let poison = || moment.reader.poisoned().map(|poison| Halted::of_error(moment.id, &*poison));
    let halted = status.and_then(|status| status.halted.clone()).or_else(poison);
    let halted = halted.as_ref().map(HaltedJson::of);
    let phase = match (&halted, status) {
        (Some(_), _) => Phase::Halted,
        (None, Some(status)) => status.phase,
        (None, None) => Phase::Idle,
    };
    Ok(FreshnessJson {
        topic: moment.id.topic.clone(),
        partition: moment.id.partition,
        phase: phase.as_str(),
        stale: matches!(phase, Phase::Idle | Phase::Halted),
        assigned: status.is_some_and(|status| status.is_ours),
        offset: offset.or_else(|| status.and_then(|status| status.next_offset)),
        lag: status.and_then(|status| status.lag_events),
        lag_seconds: status.and_then(|status| status.lag_seconds(now)),
        position: head.next_position.checked_sub(1),
        halted,
        partitioner: status.and_then(|status| status.partitioner).map(Partitioner::as_str),
        split_tenants: status.map_or(0, |status| status.split_tenants),
        mismatched_tenants: status.map_or(0, |status| status.mismatched_tenants),
        missing_app_events: status.map_or(0, |status| status.missing_app_events),
        missing_copies: status.and_then(|status| status.missing_copies.as_ref()).map(HaltedJson::of),
        unsigned: status.and_then(|status| status.unsigned.as_ref()).map(HaltedJson::of),
        stalled: status
            .and_then(|status| status.held_up.as_ref().or(status.stalled.as_ref()))
            .map(HaltedJson::of),
        ahead: head.recorded.and_then(|recorded| ahead(recorded, now)),
        ahead_seconds: head.recorded.map_or(0, |recorded| seconds_ahead(recorded, now)),
    })
}

/// Of a shard that could not even be opened.
pub(crate) fn of_failed(id: &ShardId, halted: &Halted) -> FreshnessJson {
    // Only what was assigned is opened.
    FreshnessJson { assigned: true, ..silent(id, Some(HaltedJson::of(halted))) }
}

/// Of a shard that was never here.
pub(crate) fn of_absent(id: &ShardId) -> FreshnessJson {
    silent(id, None)
}

/// Of a shard that does not read, and is no part of the answer.
pub(super) fn of_unread(moment: &Moment<'_>, halted: HaltedJson) -> FreshnessJson {
    let status = moment.freshness.as_ref();
    FreshnessJson {
        assigned: status.is_some_and(|status| status.is_ours),
        lag: status.and_then(|status| status.lag_events),
        split_tenants: status.map_or(0, |status| status.split_tenants),
        mismatched_tenants: status.map_or(0, |status| status.mismatched_tenants),
        ..silent(moment.id, Some(halted))
    }
}

/// Of a shard that tells nothing itself.
fn silent(id: &ShardId, halted: Option<HaltedJson>) -> FreshnessJson {
    let phase = if halted.is_some() { Phase::Halted } else { Phase::Idle };
    FreshnessJson {
        topic: id.topic.clone(),
        partition: id.partition,
        phase: phase.as_str(),
        stale: true,
        assigned: false,
        offset: None,
        lag: None,
        lag_seconds: None,
        position: None,
        halted,
        partitioner: None,
        split_tenants: 0,
        mismatched_tenants: 0,
        missing_app_events: 0,
        missing_copies: None,
        unsigned: None,
        stalled: None,
        ahead: None,
        ahead_seconds: 0,
    }
}

/// Clocks differ by that much where nobody keeps them.
const AHEAD_TOLD_SECONDS: u64 = 60;

fn seconds_ahead(recorded: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(recorded.millis_since(now) / 1000).unwrap_or(0)
}

/// What is recorded later has the last recorded time at least, so one that is ahead of the clock rules until the clock
/// gets there.
fn ahead(recorded: Timestamp, now: Timestamp) -> Option<HaltedJson> {
    let seconds = Some(seconds_ahead(recorded, now)).filter(|seconds| *seconds > AHEAD_TOLD_SECONDS)?;
    let message = format!(
        "the last recorded time is {}, {seconds} s ahead of this machine's clock: all that comes until then is recorded \
         at that time, and questions with knownAt do not see it before; set this machine's clock if it is the wrong one, \
         else that of the broker or producer, or fill a new data directory without what had the wrong time",
        format_instant(recorded)
    );
    Some(HaltedJson { code: "recorded-ahead", message })
}

impl HaltedJson {
    pub(super) fn of(halted: &Halted) -> Self {
        Self { code: halted.code, message: halted.message.clone() }
    }
}
