//! The last signed checkpoint of each log, as whoever signs or follows it has told.

use ledger_core::time::Timestamp;
use ledger_record::proof::note::Checkpoint;
use ledger_store::ShardId;

use super::Ledger;
use super::answer::{CheckpointJson, CheckpointList};
use super::shards::moments;

impl Ledger {
    /// The last signed checkpoint of every log. Shards that are only opened for reading know of none: those
    /// are kept beside the keys.
    pub fn checkpoints(&self, now: Timestamp) -> CheckpointList {
        let parts = self.shards.all();
        let moments = moments(&parts);
        let known = parts.iter().filter_map(|part| {
            let signed = part.status.as_ref()?.checkpoint()?;
            Some(CheckpointJson::of(&part.id, signed.checkpoint.clone(), signed.note.clone()))
        });
        CheckpointList { checkpoints: known.collect(), freshness: self.freshness_of(&moments, now) }
    }
}

impl CheckpointJson {
    /// Of a shard.
    pub fn of(shard: &ShardId, checkpoint: Checkpoint, note: String) -> Self {
        let Checkpoint { origin, size, root } = checkpoint;
        Self { topic: shard.topic.clone(), partition: shard.partition, origin, size, root_hash: root, note }
    }
}
