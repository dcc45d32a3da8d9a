//! The last signed checkpoint of each log, as its signer or follower has reported it.

use ledger_record::proof::Hash;
use ledger_record::proof::note::Checkpoint;
use ledger_store::ShardId;
use serde::{Deserialize, Serialize};

use super::LineSink;
use crate::ledger::{FreshnessJson, QueryError, Reading};

/// The last signed checkpoint of every log. Shards that are only opened for reading know of none: those are kept
/// beside the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointsQuery {}

/// The last signed checkpoint of every log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckpointList<T = CheckpointJson> {
    /// By shard; a log that was never signed has none.
    pub checkpoints: Vec<T>,
    /// Of every shard.
    pub freshness: Vec<FreshnessJson>,
}

/// A signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The signed note with the same content: the only part to rely on.
    pub note: String,
}

impl CheckpointsQuery {
    #[expect(clippy::unused_self, reason = "every question is answered like this")]
    pub(super) fn answer(
        &self,
        reading: &Reading<'_>,
        _: LineSink<'_>,
    ) -> Result<CheckpointList, QueryError> {
        let known = reading.shards.iter().filter_map(|shard| {
            let signed = shard.status?.checkpoint()?;
            Some(CheckpointJson::new(shard.id, signed.checkpoint.clone(), signed.note.clone()))
        });
        let checkpoints: Vec<_> = known.collect();
        if checkpoints.is_empty() {
            // Its signer may be elsewhere, or not have said yet.
            reading.ready()?;
        }
        Ok(CheckpointList { checkpoints, freshness: reading.freshness() })
    }
}

impl CheckpointJson {
    /// Of a shard.
    #[must_use]
    pub fn new(shard: &ShardId, checkpoint: Checkpoint, note: String) -> Self {
        let Checkpoint { origin, size, root } = checkpoint;
        Self { topic: shard.topic.clone(), partition: shard.partition, origin, size, root_hash: root, note }
    }
}
