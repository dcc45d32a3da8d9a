//! The answers: the payload, and how fresh it is. The command line prints the payload only.

use ledger_core::state::Decision;
use ledger_record::proof::Hash;
use ledger_store::TornTenant;
use serde::Serialize;

use super::corrections::Correction;
use super::cursor::Cursor;
use super::explain::Explained;
use super::logged::{Item, Logged};
use super::state::State;

/// One installation.
#[derive(Debug, Clone, Serialize)]
pub struct InstallationAnswer {
    /// Its state.
    pub installation: State,
    /// Of the shard that has the tenant.
    pub freshness: Vec<FreshnessJson>,
}

/// All installations of a tenant, by app key.
#[derive(Debug, Clone, Serialize)]
pub struct TenantAnswer {
    /// Their states.
    pub installations: Vec<State>,
    /// Of the shard that has the tenant.
    pub freshness: Vec<FreshnessJson>,
}

/// A page of installations. A page can be short, or empty, and not the last: go on while there is a cursor.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstallationList {
    /// Their states, by client key then app key; with a window filter by end of the window.
    pub installations: Vec<State>,
    /// Torn tenants, whatever the filter: nobody can say what of theirs would be here. They come first, before any
    /// installation, and a tenant that is found to be torn later where it would be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedTenant>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<Cursor>,
    /// Of every shard.
    pub freshness: Vec<FreshnessJson>,
}

/// A tenant that a list leaves out, because no shard has its whole history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedTenant {
    /// Who.
    pub client_key: String,
    /// `tenant-in-two-partitions`
    pub code: &'static str,
    /// Where it was found, as `topic/partition`.
    pub shards: Vec<String>,
}

impl From<&TornTenant> for RefusedTenant {
    fn from(torn: &TornTenant) -> Self {
        Self {
            client_key: torn.client.as_str().to_owned(),
            code: "tenant-in-two-partitions",
            shards: torn.shards.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Records of a tenant, in order of arrival.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogAnswer {
    /// The records.
    pub records: Vec<Logged>,
    /// Where to go on; absent when nothing follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_seq: Option<u64>,
    /// Of the shard that has the tenant.
    pub freshness: Vec<FreshnessJson>,
}

/// Corrections of a tenant, in order of the records that corrected.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CorrectionsAnswer {
    /// Each with the answer before and after.
    pub corrections: Vec<Correction>,
    /// Where to go on; absent when nothing follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_position: Option<u64>,
    /// Of the shard that has the tenant.
    pub freshness: Vec<FreshnessJson>,
}

/// Why an installation is where it is.
#[derive(Debug, Clone, Serialize)]
pub struct ExplanationAnswer {
    /// In sentences and as data, each with the records it rests on.
    pub explanation: Explained,
    /// Of the shard that has the tenant.
    pub freshness: Vec<FreshnessJson>,
}

/// The decision that an install would get.
#[derive(Debug, Clone, Serialize)]
pub struct PreviewAnswer {
    /// The decision, without a seq.
    pub decision: Decision,
    /// Of the shard that answered.
    pub freshness: Vec<FreshnessJson>,
}

/// A page of what was refused, by shard, then in order of arrival.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineList {
    /// The items.
    pub items: Vec<Item>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<Cursor>,
    /// Of every shard.
    pub freshness: Vec<FreshnessJson>,
}

/// One refused message.
#[derive(Debug, Clone, Serialize)]
pub struct QuarantineAnswer {
    /// The item.
    pub item: Item,
    /// Of its shard.
    pub freshness: Vec<FreshnessJson>,
}

/// The last signed checkpoint of every log.
#[derive(Debug, Clone, Serialize)]
pub struct CheckpointList {
    /// By shard; a log that was never signed has none.
    pub checkpoints: Vec<CheckpointJson>,
    /// Of every shard.
    pub freshness: Vec<FreshnessJson>,
}

/// A signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointJson {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// Names the log.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// Their root.
    pub root_hash: Hash,
    /// The signed note, which says the same: all that is to be believed.
    pub note: String,
}

/// How fresh a shard's part of an answer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FreshnessJson {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// `IDLE`, `CATCHING_UP`, `LIVE` or `HALTED`.
    pub phase: &'static str,
    /// The next offset of the topic that the answer has not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Nothing new arrives here any more: the shard is idle or halted. Of an idle one another process of the
    /// group may know more.
    pub stale: bool,
    /// The group has given the shard to this process. Told by `/readyz`; an answer says `stale`.
    #[serde(skip)]
    pub assigned: bool,
    /// Messages behind the end of the partition; absent when unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
    /// The same in time: how old the last message read is, but no more than messages have been waiting; 0 when
    /// caught up, absent when unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<u64>,
    /// The last position that the answer includes; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// Why nothing new arrives any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub halted: Option<HaltedJson>,
    /// How the topic's producers place client keys, once that is known. Told by `/readyz`.
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_copies: Option<HaltedJson>,
    /// Why no checkpoint of what is new is signed, although it is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsigned: Option<HaltedJson>,
    /// Nothing comes from the topic although it is read, or something has not been sealed for longer than it should
    /// take: the code says which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stalled: Option<HaltedJson>,
    /// The last recorded time is more than a minute ahead of this machine's clock: somebody's clock is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ahead: Option<HaltedJson>,
    /// So many seconds, if it is ahead at all. Told as a metric.
    #[serde(skip)]
    pub ahead_seconds: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Why a shard stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HaltedJson {
    /// Stable, for alerts.
    pub code: &'static str,
    /// What happened, and what the operator can do.
    pub message: String,
}
