//! One partition: its queue, its decoder, its writer.
//!
//! Two threads a partition. The *reader* polls the partition's own librdkafka queue and decodes; the
//! *writer* owns the shard, folds and commits. They hand over whole batches through a channel that holds
//! one: while the writer is busy the reader goes on filling the next batch ([`batch_channel`]), so the size of a
//! write follows the load by itself (group commit) and a quiet partition writes at once. The write itself is done on a third
//! thread, the shard's own, while the writer takes in the next batch. When the channel
//! and the batch in hand are full the reader stops polling, which is the throttle: librdkafka stops
//! fetching when its own bounded queue is full (I-8).
//!
//! ```text
//!   partition queue ──► reader: poll, decode ──[1 batch]──► writer: offer ──[1 batch]──► synced ──► status, bell
//! ```
//!
//! Before the first message the reader compares what the shard remembers with what the broker tells
//! ([`crate::consume::continuity`]), and again every `check_interval`. A reason to stop halts this shard only (I-9); its
//! partition stays assigned and unread, and the reader goes on telling how much waits in it. One that the topic's
//! settings gave goes when they are mended; one that the disk gave is the group's to mend, who opens the shard anew.

mod batch_channel;
mod placed;
mod reader;
mod record_buffer;
mod refusals;
mod source_health;
mod writer;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ledger_record::rows::SourcePosition;
use ledger_store::{Catalog, DataDir, Phase, Shard, ShardId, ShardStatus, with_causes};
use rdkafka::consumer::base_consumer::PartitionQueue;

use crate::consume::callbacks::{GroupCallbacks, GroupConsumer};
use crate::consume::contact::Contact;
use crate::consume::continuity::Halt;
use crate::kafka::times::{TimeSource, TopicTimes};
use batch_channel::sender;
use placed::Placed;
pub(crate) use placed::TopicPlacing;
use reader::Reader;
use record_buffer::RecordBuffer;
pub use refusals::REFUSED_MESSAGES;
use source_health::SourceHealth;
use writer::Writer;

/// Everything a worker needs to know, set once.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) id: ShardId,
    pub(super) status: Arc<ShardStatus>,
    pub(super) batch_max_events: usize,
    pub(super) batch_max_bytes: usize,
    pub(super) check_interval: Duration,
    pub(super) accept_incomplete_history: bool,
    pub(super) counts_tombstones: bool,
    /// Whose word recorded times are; none: whoever's.
    pub(super) times: Option<Arc<TopicTimes>>,
    /// As an operator would name them.
    pub(super) brokers: String,
    /// Remembers which topic it was filled from.
    pub(super) data: Arc<DataDir>,
    /// Where a tenant may stand that belongs to one shard only.
    pub(super) catalog: Arc<Catalog>,
    /// How the topic's producers place keys.
    pub(super) placing: Arc<TopicPlacing>,
    /// Whether the brokers answer.
    pub(super) contact: Arc<Contact>,
    /// What was noted last beside the data.
    pub(super) noted: Arc<Mutex<Noted>>,
}

/// How soon it is noted again how far a shard that is at the end has read.
const NOTE_INTERVAL: Duration = Duration::from_secs(1);

/// What is noted beside the data.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// How far the shard is durable; 0 while nothing of its source is.
    durable: u64,
    /// How far it had read; none while it is not at the end.
    read_to: Option<u64>,
    /// None: nothing was noted.
    at: Option<Instant>,
}

impl Noted {
    /// Whether this is to be noted: at once whether it is at the end, now and then how far it has read.
    fn takes(&mut self, read_to: Option<u64>, now: Instant) -> bool {
        let is_due = self.at.is_none_or(|at| {
            let is_other = self.read_to.is_some() != read_to.is_some();
            is_other || self.read_to != read_to && now.duration_since(at) >= NOTE_INTERVAL
        });
        if is_due {
            (self.read_to, self.at) = (read_to, Some(now));
        }
        is_due
    }
}

impl Task {
    /// Notes it beside the data, for those who read the directory without this process.
    fn note(&self, read_to: impl FnOnce(&Noted) -> Option<u64>) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let next_offset = read_to(&noted);
        if !noted.takes(next_offset, Instant::now()) {
            return;
        }
        if let Err(error) = self.data.note_read_to(&self.id, next_offset) {
            tracing::warn!(shard = %self.id, error = with_causes(&error), "how far the shard is could not be noted");
        }
    }

    fn note_behind(&self) {
        self.note(|_| None);
    }

    fn note_live(&self) {
        if self.status.freshness().phase == Phase::Live {
            self.note(|noted| Some(noted.durable));
        }
    }

    /// What is before this offset is durable.
    fn note_durable(&self, next_offset: u64) {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).durable = next_offset;
    }
}

/// The two threads of a partition.
#[derive(Debug)]
pub(super) struct Worker {
    stop: Arc<AtomicBool>,
    durable: Durable,
    reader: JoinHandle<()>,
    writer: JoinHandle<Shard>,
}

/// What the reader hands to the writer.
struct RecordBatch {
    messages: RecordBuffer,
    /// What was read is `[from_offset, next_offset)`: where it holds no message, the source has none.
    from_offset: u64,
    next_offset: u64,
    leader_epoch: Option<i32>,
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
            let writer = Writer::new(task, shard, position, durable);
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
            let reader = Reader {
                task,
                next,
                // A worker that is stopped before it has compared anything has nothing to hand over.
                handed_over: next.unwrap_or(0),
                leader_epoch,
                consumer,
                stop,
                watch: SourceHealth::new(Instant::now()),
                times: TimeSource::Broker,
                warned_of_time: false,
                placed: Placed::default(),
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

/// The next offset of a partition, once anything of it is durable: what may be told to Kafka.
#[derive(Debug, Clone)]
pub(super) struct Durable(Arc<AtomicU64>);

impl Durable {
    const NOTHING: u64 = u64::MAX;

    pub(super) fn offset(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Acquire)).filter(|offset| *offset != Self::NOTHING)
    }

    fn advance(&self, next_offset: u64) {
        self.0.store(next_offset, Ordering::Release);
    }
}

impl Default for Durable {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(Self::NOTHING)))
    }
}

/// Halts the shard of a thread that panics, which would else seem to wait for messages for ever. The other thread
/// notices that it is alone.
struct PanicWatch {
    id: ShardId,
    status: Arc<ShardStatus>,
}

impl PanicWatch {
    fn over(task: &Task) -> Self {
        Self { id: task.id.clone(), status: Arc::clone(&task.status) }
    }
}

impl Drop for PanicWatch {
    fn drop(&mut self) {
        if thread::panicking() {
            let (topic, partition) = (self.id.topic.clone(), self.id.partition);
            halt(&self.id, &self.status, &Halt::Panicked { topic, partition });
            // Until the reader looks again, if it is the one that is left.
            self.status.update(|now| (now.end_offset, now.lag_events) = (None, None));
        }
    }
}

/// Stops the shard in the eyes of everyone who asks.
pub(super) fn halt(shard: &ShardId, status: &ShardStatus, halt: &Halt) {
    let halted = halt.told(shard);
    tracing::error!(%shard, code = halted.code, reason = halted.message, "shard halted");
    crate::metric::halted(shard, halted.code);
    status.halt(halted);
}

/// Notes that a shard could not even be begun with.
pub(super) fn fail(catalog: &Catalog, shard: ShardId, halt: &Halt) {
    let halted = halt.told(&shard);
    tracing::error!(%shard, code = halted.code, reason = halted.message, "shard cannot be fed");
    crate::metric::halted(&shard, halted.code);
    catalog.fail(shard, halted);
}

fn lag(next: Option<u64>, end: Option<u64>) -> Option<u64> {
    Some(end?.saturating_sub(next?))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use ledger_store::{SourceIdentity, StoreOptions};

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

    #[test]
    fn how_far_a_shard_has_read_is_noted_now_and_then_and_that_it_is_behind_at_once() {
        let (mut noted, begun) = (Noted::default(), Instant::now());
        let later = begun + NOTE_INTERVAL;
        let told = [(None, begun), (None, later), (Some(7), later), (Some(8), later), (None, later)];
        assert_eq!(told.map(|(read_to, now)| noted.takes(read_to, now)), [true, false, true, false, true]);
        let told = [(Some(8), later), (Some(9), later + NOTE_INTERVAL), (Some(9), later + 2 * NOTE_INTERVAL)];
        assert_eq!(told.map(|(read_to, now)| noted.takes(read_to, now)), [true, true, false]);
    }

    #[test]
    fn a_thread_that_panics_halts_its_shard_and_one_that_ends_does_not() {
        for (panics, code) in [(true, Some("worker-panicked")), (false, None)] {
            let status = Arc::new(ShardStatus::default());
            let id = ShardId { topic: "t".to_owned(), partition: 3 };
            let watch = PanicWatch { id, status: Arc::clone(&status) };
            let ended = thread::spawn(move || {
                let _watch = watch;
                assert!(!panics, "on purpose");
            });
            assert_eq!(ended.join().is_err(), panics);
            let now = status.freshness();
            assert_eq!(now.halted.map(|halted| halted.code), code);
            assert_eq!(now.phase == Phase::Halted, panics);
        }
    }
}
