//! One partition: its queue, its decoder, its writer.
//!
//! Two threads a partition. The *reader* polls the partition's own librdkafka queue and decodes; the
//! *writer* owns the shard, folds and commits. Whole batches go through a channel that holds
//! one: while the writer is busy the reader goes on filling the next batch ([`batch_channel`]), so the size of a
//! write follows the load by itself (group commit) and a quiet partition writes at once. The write itself is done on a third
//! thread, the shard's own, while the writer takes in the next batch. When the channel
//! and the batch in hand are full the reader stops polling, which is the throttle: librdkafka stops
//! fetching when its own bounded queue is full (I-8).
//!
//! ```text
//!   partition queue ──► reader: poll, decode ──[1 batch]──► writer: offer ──[1 batch]──► synced ──► status, commit notice
//! ```
//!
//! Before the first message the reader compares what the shard remembers with what the broker answers
//! ([`crate::consume::continuity`]), and again every `check_interval`. A reason to stop halts this shard only (I-9); its
//! partition stays assigned and unread, and the reader goes on reporting how much waits in it. One that the topic's
//! settings gave goes when they are mended; one that the disk gave is the owner's to mend, which opens the shard anew.

mod batch_channel;
mod placed;
mod reader;
mod record_buffer;
mod refusals;
mod source_health;
mod task;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use ledger_record::rows::SourcePosition;
use ledger_store::Shard;
use rdkafka::consumer::base_consumer::PartitionQueue;

use crate::consume::callbacks::{GroupCallbacks, GroupConsumer};
use crate::kafka::times::TimeSource;
use batch_channel::sender;
use placed::PlacementCheck;
use reader::PartitionReader;
pub use refusals::REFUSED_MESSAGES;
use source_health::SourceHealth;
use task::PanicWatch;
pub(super) use task::{Durable, Task, TopicPlacing, fail, halt};
use writer::ShardWriter;

/// The two threads of a partition.
#[derive(Debug)]
pub(super) struct Worker {
    stop: Arc<AtomicBool>,
    durable: Durable,
    reader: JoinHandle<()>,
    writer: JoinHandle<Shard>,
}

impl Worker {
    /// Starts both threads. The queue must not be read by anyone else.
    pub(super) fn start(
        task: Task,
        shard: Shard,
        position: Option<&SourcePosition>,
        queue: PartitionQueue<GroupCallbacks>,
        consumer: Arc<GroupConsumer>,
    ) -> std::io::Result<Self> {
        task.note_behind();
        let stop = Arc::new(AtomicBool::new(false));
        let durable = Durable::default();
        let (sender, batches) = sender();
        let name = format!("{}-{}", task.id.topic, task.id.partition);
        let writer = {
            let (task, durable) = (task.clone(), durable.clone());
            let watch = PanicWatch::over(&task);
            let writer = ShardWriter::new(task, shard, position, durable);
            thread::Builder::new().name(format!("write-{name}")).spawn(move || {
                let _watch = watch;
                writer.run(&batches)
            })?
        };
        let (next, leader_epoch) = match position {
            Some(SourcePosition::Kafka { next_offset, leader_epoch }) => (Some(*next_offset), *leader_epoch),
            Some(SourcePosition::Import { .. } | SourcePosition::Carried { .. }) | None => (None, None),
        };
        task.note_durable(next.unwrap_or(0));
        let reader = {
            let stop = Arc::clone(&stop);
            let watch = PanicWatch::over(&task);
            let reader = PartitionReader {
                task,
                next,
                // A worker that is stopped before it has compared anything has nothing to send.
                handed_over: next.unwrap_or(0),
                leader_epoch,
                consumer,
                stop,
                watch: SourceHealth::new(Instant::now()),
                times: TimeSource::Broker,
                warned_of_time: false,
                placed: PlacementCheck::default(),
                place: None,
                is_far_behind: false,
            };
            thread::Builder::new().name(format!("read-{name}")).spawn(move || {
                let _watch = watch;
                reader.run(&queue, &sender);
            })?
        };
        Ok(Self { stop, durable, reader, writer })
    }

    /// How far the partition is durable; outlives the worker.
    pub(super) fn durable(&self) -> Durable {
        self.durable.clone()
    }

    /// Asks both threads to finish what they have begun.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Whether both threads have ended.
    pub(super) fn is_finished(&self) -> bool {
        self.reader.is_finished() && self.writer.is_finished()
    }

    /// Waits for both. Returns the shard, if it can still be written; a poisoned one must be opened anew.
    pub(super) fn join(self) -> Option<Shard> {
        // A panicked thread has halted the shard, and the reader's end is no fault of the writer's shard.
        let _ = self.reader.join();
        self.writer.join().ok().filter(|shard| shard.reader().poisoned().is_none())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use ledger_store::{DataDir, ShardId, SourceIdentity, StoreOptions};

    use super::*;

    fn worker(reader: JoinHandle<()>, writer: JoinHandle<Shard>) -> Worker {
        Worker { stop: Arc::default(), durable: Durable::default(), reader, writer }
    }

    #[test]
    fn a_shard_comes_back_from_a_slow_writer_and_from_beside_a_reader_that_panicked() {
        let scratch = tempfile::tempdir().unwrap();
        let secret = ledger_record::proof::line::LedgerSecret::from_bytes([7; 32]);
        let data = DataDir::open(scratch.path(), StoreOptions::default(), secret).unwrap();
        data.bind("t", &SourceIdentity { cluster_id: None, topic_id: None, partitions: 1 }).unwrap();
        let id = ShardId { topic: "t".to_owned(), partition: 0 };
        let shard = data.open_shard(&id).unwrap();
        let (finish, finished) = sync_channel::<()>(0);
        let writer = thread::spawn(move || {
            finished.recv().unwrap();
            shard
        });
        let slow = worker(thread::spawn(|| panic!("on purpose")), writer);
        assert!(!slow.is_finished());
        finish.send(()).unwrap();
        assert!(slow.join().is_some());
    }
}
