//! Whether messages are where their keys belong.
//!
//! Nothing is known of a topic at first: its keys are counted until they tell ([`Tally`]), over all partitions that are
//! read here. From then on each event of a tenant is compared. One that came elsewhere stops the shard before it is
//! recorded if imported history is there, which was placed where the key belongs; else it is told once, and counted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use ledger_core::ids::ClientKey;
use ledger_record::rows::SourcePosition;
use ledger_store::{Partitioner, ShardId};
use tracing::{info, warn};

use super::super::continuity::Halt;
use super::Task;
use crate::placing::{self, Tally};

/// What the workers of a topic know together.
#[derive(Debug, Default)]
pub(in crate::kafka) struct TopicPlacing {
    set: Option<Partitioner>,
    tally: Mutex<Option<Tally>>,
    was_told: AtomicBool,
}

/// What one of them goes by.
#[derive(Debug, Default)]
pub(super) struct Placed {
    partitions: u32,
    partitioner: Option<Partitioner>,
    has_imports: bool,
    /// Since they were last counted.
    misplaced: u64,
}

impl TopicPlacing {
    pub(in crate::kafka) fn new(set: Option<Partitioner>) -> Self {
        Self { set, tally: Mutex::new(None), was_told: AtomicBool::new(false) }
    }

    /// One more key. Answers how keys are placed, once that is clear.
    fn learn(&self, partitions: u32, key: &ClientKey, partition: u32) -> Option<Partitioner> {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = tally.get_or_insert_with(|| Tally::new(partitions));
        if tally.verdict().is_none() {
            tally.take(key.as_bytes(), partition);
        }
        tally.verdict()
    }
}

impl Placed {
    /// As the shard begins to be read.
    pub(super) fn of(task: &Task) -> Result<Self, Halt> {
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
        let mut placed = Self { partitions, has_imports, ..Self::default() };
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
        let (found, partitions) = (task.id.partition, self.partitions);
        let Some(partitioner) = self.partitioner else {
            // A message without a key was not placed by one.
            let learnt = (is_keyed && partitions > 1).then(|| task.placing.learn(partitions, client, found));
            return learnt.flatten().map_or(Ok(()), |learnt| self.go_by(task, learnt));
        };
        match partitioner.partition(client.as_bytes(), partitions) {
            Some(belongs) if belongs != found => {
                let (topic, client) = (task.id.topic.clone(), client.as_str().to_owned());
                let halt = Halt::Misplaced { topic, found, offset, client, belongs, partitioner, is_keyed };
                if self.has_imports {
                    return Err(halt);
                }
                self.misplaced += 1;
                self.tell(task, offset, belongs);
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
        let is_known = partitioner != Partitioner::Unknown || task.placing.set.is_none();
        if self.partitions > 1 && is_known {
            let remembered = task.data.remember_partitioner(&task.id.topic, partitioner);
            remembered.map_err(|error| Halt::store(&error))?;
            info!(shard = %task.id, %partitioner, "the producers' partitioner");
        }
        Ok(())
    }

    /// Once for a topic: how many there are says the metric.
    fn tell(&self, task: &Task, offset: u64, belongs: u32) {
        if task.placing.was_told.swap(true, Ordering::Relaxed) {
            return;
        }
        let Some(partitioner) = self.partitioner else { return };
        warn!(
            shard = %task.id, offset, belongs, %partitioner,
            "a key is in another partition than its partitioner gives it: producers differ, and a tenant of two of them is \
             torn; set partitioner={} at all that are built on librdkafka (it is Java's default)",
            partitioner.librdkafka()
        );
    }
}
