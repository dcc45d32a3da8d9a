//! How fresh a shard's part of an answer is: labelled, never hidden.

use ledger_core::time::Timestamp;
use ledger_record::rows::SourcePosition;
use ledger_store::{Halted, Partitioner, Phase, ReadError, ShardId, with_causes};

use super::answer::{FreshnessJson, HaltedJson};
use super::shards::Moment;

/// Of one shard at the moment of the answer. A shard that takes nothing more still answers, as halted.
pub(super) fn of(moment: &Moment<'_>, now: Timestamp) -> Result<FreshnessJson, ReadError> {
    let head = moment.snapshot.head()?;
    let sources = moment.snapshot.source_positions()?;
    let offset = sources.iter().find_map(|(source, position)| match position {
        SourcePosition::Kafka { next_offset, .. } if *source == moment.id.topic => Some(*next_offset),
        SourcePosition::Kafka { .. } | SourcePosition::Import { .. } => None,
    });
    let status = moment.freshness.as_ref();
    let poison = moment
        .reader
        .poisoned()
        .map(|poison| HaltedJson { code: "store-poisoned", message: with_causes(&*poison) });
    let halted = poison.or_else(|| status.and_then(|status| status.halted.as_ref()).map(HaltedJson::of));
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
        unsigned: status.and_then(|status| status.unsigned.as_ref()).map(HaltedJson::of),
        stalled: status
            .and_then(|status| status.held_up.as_ref().or(status.stalled.as_ref()))
            .map(HaltedJson::of),
    })
}

/// Of a shard that could not even be opened.
pub(super) fn of_failed(id: &ShardId, halted: &Halted) -> FreshnessJson {
    // Only what was assigned is opened.
    FreshnessJson { assigned: true, ..silent(id, Some(HaltedJson::of(halted))) }
}

/// Of a shard that was never here.
pub(crate) fn of_absent(id: &ShardId) -> FreshnessJson {
    silent(id, None)
}

/// Of a shard whose own head does not read.
pub(super) fn of_unreadable(moment: &Moment<'_>, error: &ReadError) -> FreshnessJson {
    let halted = HaltedJson { code: "store-unreadable", message: with_causes(error) };
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
        unsigned: None,
        stalled: None,
    }
}

impl HaltedJson {
    fn of(halted: &Halted) -> Self {
        Self { code: halted.code, message: halted.message.clone() }
    }
}
