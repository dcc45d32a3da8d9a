//! Whether messages are where their keys belong.
//!
//! Nothing is known of a topic at first: its keys are counted until they show it ([`crate::placing::KeyTally`]), over all
//! partitions that are read here. From then on each event of a tenant is compared. One that came elsewhere stops the shard before it is
//! recorded if imported history is there, which was placed where the key belongs; else it is logged once, and counted.
//! Keys that no partitioner fits are logged too.

use std::sync::atomic::Ordering;

use ledger_core::ids::ClientKey;
use ledger_record::rows::SourcePosition;
use ledger_store::{Partitioner, ShardId};
use tracing::{error, info, warn};

use crate::consume::continuity::{Halt, right_producer};
use crate::consume::worker::task::Task;
use crate::placing;

/// What one of them goes by.
#[derive(Debug, Default)]
pub(super) struct PlacementCheck {
    partitions: u32,
    partitioner: Option<Partitioner>,
    has_imports: bool,
    /// A misplaced message was what came next.
    is_noted: bool,
    /// Since they were last counted.
    misplaced: u64,
}

impl PlacementCheck {
    /// As the shard begins to be read.
    pub(super) fn new(task: &Task) -> Result<Self, Halt> {
        let topic = &task.id.topic;
        let partitions = task.data.identity(topic).map_err(|error| Halt::store(&error))?;
        let partitions = partitions.map_or(1, |identity| identity.partitions);
        let known = task.data.partitioner(topic).map_err(|error| Halt::store(&error))?;
        // What contradicts was refused at the start of the process.
        let partitioner = placing::in_force(topic, task.placing.set, known).unwrap_or(known);
        let sources = task.catalog.get(&task.id).map(|served| served.reader.snapshot().source_positions());
        let sources = sources.transpose().map_err(|error| Halt::store(&error))?.unwrap_or_default();
        let has_imports =
            sources.iter().any(|(_, position)| !matches!(position, SourcePosition::Kafka { .. }));
        let is_noted = task.data.misplaced(&task.id).map_err(|error| Halt::store(&error))?.is_some();
        let mut placed = Self { partitions, has_imports, is_noted, ..Self::default() };
        if let Some(partitioner) = partitioner {
            placed.go_by(task, partitioner)?;
        }
        Ok(placed)
    }

    /// An event of a tenant came. It is to be recorded unless this stops the shard.
    pub(super) fn look_at(
        &mut self,
        task: &Task,
        client: &ClientKey,
        is_keyed: bool,
        offset: u64,
    ) -> Result<(), Halt> {
        self.compare(task, client, is_keyed, offset)?;
        if std::mem::take(&mut self.is_noted) {
            task.data.note_misplaced(&task.id, None).map_err(|error| Halt::store(&error))?;
        }
        Ok(())
    }

    fn compare(&mut self, task: &Task, client: &ClientKey, is_keyed: bool, offset: u64) -> Result<(), Halt> {
        let (found, partitions) = (task.id.partition, self.partitions);
        let Some(partitioner) = self.partitioner else {
            // A message without a key was not placed by one.
            let learnt = (is_keyed && partitions > 1).then(|| task.placing.learn(partitions, client, found));
            return learnt.flatten().map_or(Ok(()), |learnt| self.go_by(task, learnt));
        };
        match partitioner.partition(client.as_bytes(), partitions) {
            Some(belongs) if belongs != found && self.has_imports => {
                let fits = |by: &Partitioner| by.partition(client.as_bytes(), partitions) == Some(found);
                let by: Vec<_> =
                    Partitioner::COMPUTING.into_iter().filter(|by| is_keyed && fits(by)).collect();
                task.data.note_misplaced(&task.id, Some(&by)).map_err(|error| Halt::store(&error))?;
                let shard = task.id.clone();
                // Whose it is stands here and not in the halt, which readiness shows to everyone.
                error!(%shard, offset, %client, belongs, "a message is not where its key belongs");
                Err(Halt::Misplaced { shard, offset, belongs, partitioner, is_keyed, by })
            }
            Some(belongs) if belongs != found => {
                self.misplaced += 1;
                warn_of_misplaced(task, partitioner, is_keyed, offset, belongs);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Counts what was misplaced since it was counted last.
    pub(super) fn count(&mut self, shard: &ShardId) {
        if self.misplaced > 0 {
            crate::metric::misplaced(shard, std::mem::take(&mut self.misplaced));
        }
    }

    fn go_by(&mut self, task: &Task, partitioner: Partitioner) -> Result<(), Halt> {
        self.partitioner = Some(partitioner);
        // What one partition taught is true of all.
        for (id, served) in task.catalog.all() {
            if id.topic == task.id.topic {
                served.status.update(|now| now.partitioner = Some(partitioner));
            }
        }
        let is_mixed = partitioner == Partitioner::Unknown && task.placing.set.is_none();
        crate::metric::mixed_partitioners(&task.id, is_mixed);
        if is_mixed {
            warn_of_mixed(task);
        }
        let is_known = partitioner != Partitioner::Unknown || task.placing.set.is_none();
        if self.partitions > 1 && is_known {
            let remembered = task.data.remember_partitioner(&task.id.topic, partitioner);
            remembered.map_err(|error| Halt::store(&error))?;
            info!(shard = %task.id, %partitioner, "the producers' partitioner");
        }
        Ok(())
    }
}

/// Logs once for a topic; the metric has the count.
fn warn_of_misplaced(task: &Task, partitioner: Partitioner, is_keyed: bool, offset: u64, belongs: u32) {
    if !task.placing.has_warned[usize::from(is_keyed)].swap(true, Ordering::Relaxed) {
        warn!(
            shard = %task.id, offset, belongs, %partitioner,
            "a message is in another partition than its client key belongs in: producers differ, and a tenant of two of \
             them is torn. {}", right_producer(is_keyed, partitioner)
        );
    }
}

/// Logs once for a topic; the metric shows how long it lasts.
fn warn_of_mixed(task: &Task) {
    if !task.placing.has_warned_of_mixed.swap(true, Ordering::Relaxed) {
        warn!(
            topic = task.id.topic,
            keys = task.placing.shown(),
            "the client keys of the topic are placed by no partitioner that is known, or not all by the same: a tenant of \
             two producers that differ is torn. Let all of them use one, then set kafka.partitioner to it; \
             kafka.partitioner = \"unknown\" accepts it as it is"
        );
    }
}
