//! How fresh a shard's part of an answer is: labelled, never hidden.

use std::borrow::Cow;

use ledger_core::time::Timestamp;
use ledger_record::json::time::format_instant;
use ledger_record::rows::SourcePosition;
use ledger_store::{Halted, Partitioner, Phase, ReadError, ShardId, TornTenant};
use serde::{Deserialize, Serialize};

use super::shards::ShardSnapshot;
use crate::problem::ProblemKind;

/// How fresh a shard's part of an answer is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FreshnessJson {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// `IDLE`, `CATCHING_UP`, `LIVE` or `HALTED`.
    pub phase: Cow<'static, str>,
    /// The next offset of the topic that the answer has not seen.
    pub offset: Option<u64>,
    /// Nothing new arrives here any more: the shard is idle or halted. Of an idle one another process of the
    /// group may know more.
    pub stale: bool,
    /// The group has given the shard to this process. Reported by `/readyz`; an answer says `stale`.
    #[serde(skip)]
    pub assigned: bool,
    /// Messages behind the end of the partition; absent when unknown.
    pub lag: Option<u64>,
    /// The same in time: how old the last message read is, but no more than messages have been waiting; 0 when
    /// caught up, absent when unknown.
    pub lag_seconds: Option<u64>,
    /// The last position that the answer includes; absent when there is none.
    pub position: Option<u64>,
    /// Why nothing new arrives any more.
    pub halted: Option<HaltedJson>,
    /// How the topic's producers place client keys, once that is known. Reported by `/readyz`.
    #[serde(skip)]
    pub partitioner: Option<&'static str>,
    /// Tenants of this shard that another one has too; questions about them are refused.
    pub split_tenants: u64,
    /// Tenants whose state was found not to be the fold of their log; absent without any.
    #[serde(skip_serializing_if = "is_zero")]
    pub mismatched_tenants: u64,
    /// App-level events that other partitions have and this one lacks; absent without any.
    #[serde(skip_serializing_if = "is_zero")]
    pub missing_app_events: u64,
    /// Which, and what sends them.
    pub missing_copies: Option<HaltedJson>,
    /// Why no checkpoint of what is new is signed, although it is recorded.
    pub unsigned: Option<HaltedJson>,
    /// Nothing comes from the topic although it is read, or something has not been sealed for longer than it should
    /// take: the code says which.
    pub stalled: Option<HaltedJson>,
    /// The last recorded time is more than a minute ahead of this machine's clock: a clock is wrong.
    pub ahead: Option<HaltedJson>,
    /// So many seconds, if it is ahead at all. Reported as a metric.
    #[serde(skip)]
    pub ahead_seconds: u64,
}

/// Why a shard stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaltedJson {
    /// Stable, for alerts.
    pub code: Cow<'static, str>,
    /// What happened, and what the operator can do.
    pub message: String,
}
/// A tenant that a list leaves out, because no shard has its whole history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedTenant {
    pub client_key: String,
    /// `tenant-in-two-partitions`
    pub code: Cow<'static, str>,
    /// Where it was found, as `topic/partition`.
    pub shards: Vec<String>,
}

impl From<&TornTenant> for RefusedTenant {
    fn from(torn: &TornTenant) -> Self {
        Self {
            client_key: torn.client.as_str().to_owned(),
            code: ProblemKind::TenantInTwoPartitions.code().into(),
            shards: torn.shards.iter().map(ToString::to_string).collect(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Of one shard at the moment of the answer. A shard that takes nothing more still answers, as halted.
pub(crate) fn of(shard: &ShardSnapshot<'_>, now: Timestamp) -> Result<FreshnessJson, ReadError> {
    let head = shard.snapshot.head()?;
    let offset = match shard.snapshot.source_position(&shard.id.topic)? {
        Some(SourcePosition::Kafka { next_offset, .. }) => Some(next_offset),
        Some(SourcePosition::Import { .. } | SourcePosition::Carried { .. }) | None => None,
    };
    let status = shard.freshness.as_ref();
    // A write that failed is known here a moment before its worker has halted the shard for it.
    let poison = || shard.reader.poisoned().map(|poison| Halted::of_error(shard.id, &*poison));
    let halted = status.and_then(|status| status.halted.clone()).or_else(poison);
    let halted = halted.as_ref().map(HaltedJson::of);
    let phase = match (&halted, status) {
        (Some(_), _) => Phase::Halted,
        (None, Some(status)) => status.phase,
        (None, None) => Phase::Idle,
    };
    Ok(FreshnessJson {
        topic: shard.id.topic.clone(),
        partition: shard.id.partition,
        phase: phase.as_str().into(),
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
pub(crate) fn of_unread(shard: &ShardSnapshot<'_>, halted: HaltedJson) -> FreshnessJson {
    let status = shard.freshness.as_ref();
    FreshnessJson {
        assigned: status.is_some_and(|status| status.is_ours),
        lag: status.and_then(|status| status.lag_events),
        split_tenants: status.map_or(0, |status| status.split_tenants),
        mismatched_tenants: status.map_or(0, |status| status.mismatched_tenants),
        ..silent(shard.id, Some(halted))
    }
}

/// Of a shard that cannot be asked itself.
fn silent(id: &ShardId, halted: Option<HaltedJson>) -> FreshnessJson {
    let phase = if halted.is_some() { Phase::Halted } else { Phase::Idle };
    FreshnessJson {
        topic: id.topic.clone(),
        partition: id.partition,
        phase: phase.as_str().into(),
        stale: true,
        halted,
        ..FreshnessJson::default()
    }
}

/// Clocks that are not kept differ by that much.
const AHEAD_REPORTED_SECONDS: u64 = 60;

fn seconds_ahead(recorded: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(recorded.millis_since(now) / 1000).unwrap_or(0)
}

/// What is recorded later has the last recorded time at least, so one that is ahead of the clock rules until the clock
/// gets there.
fn ahead(recorded: Timestamp, now: Timestamp) -> Option<HaltedJson> {
    let seconds = Some(seconds_ahead(recorded, now)).filter(|seconds| *seconds > AHEAD_REPORTED_SECONDS)?;
    let message = format!(
        "the last recorded time is {}, {seconds} s ahead of this machine's clock: all that comes until then is recorded \
         at that time, and questions with knownAt do not see it before; set this machine's clock if it is the wrong one, \
         else that of the broker or producer, or fill a new data directory without what had the wrong time",
        format_instant(recorded)
    );
    Some(HaltedJson { code: "recorded-ahead".into(), message })
}

impl HaltedJson {
    pub(crate) fn of(halted: &Halted) -> Self {
        Self { code: halted.code.into(), message: halted.message.clone() }
    }
}
