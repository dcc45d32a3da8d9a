//! What both threads of a worker share: what they were started with, what is noted beside the data, how far the partition
//! is durable, and how its shard is halted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ledger_core::ids::ClientKey;
use ledger_store::{Catalog, DataDir, Partitioner, Phase, ShardId, ShardStatus, with_causes};

use crate::consume::contact::Contact;
use crate::consume::continuity::Halt;
use crate::kafka::times::TopicTimes;
use crate::placing::KeyTally;

/// Everything a worker needs to know, set once.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) id: ShardId,
    pub(crate) status: Arc<ShardStatus>,
    pub(crate) batch_max_events: usize,
    pub(crate) check_interval: Duration,
    pub(crate) accept_incomplete_history: bool,
    pub(crate) counts_tombstones: bool,
    /// Whose clock recorded times come from; none: any clock is accepted.
    pub(crate) times: Option<Arc<TopicTimes>>,
    /// As an operator would name them.
    pub(crate) brokers: String,
    /// Remembers which topic it was filled from.
    pub(crate) data: Arc<DataDir>,
    /// The other shards, which may have a tenant of this one.
    pub(crate) catalog: Arc<Catalog>,
    /// How the topic's producers place keys.
    pub(crate) placing: Arc<TopicPlacing>,
    /// Whether the brokers answer.
    pub(crate) contact: Arc<Contact>,
    /// What was noted last beside the data.
    pub(crate) noted: Arc<Mutex<ReadToNote>>,
}

/// What the workers of a topic know together.
#[derive(Debug, Default)]
pub(crate) struct TopicPlacing {
    pub(super) set: Option<Partitioner>,
    tally: Mutex<Option<KeyTally>>,
    /// Of misplaced messages with a key, and of those without.
    pub(super) has_warned: [AtomicBool; 2],
    /// That there is no one partitioner.
    pub(super) has_warned_of_mixed: AtomicBool,
}

impl TopicPlacing {
    pub(crate) fn new(set: Option<Partitioner>) -> Self {
        Self { set, ..Self::default() }
    }

    /// Counts one more key. Returns how keys are placed, once that is clear.
    pub(super) fn learn(&self, partitions: u32, key: &ClientKey, partition: u32) -> Option<Partitioner> {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = tally.get_or_insert_with(|| KeyTally::new(partitions));
        if tally.verdict().is_none() {
            tally.take(key.as_bytes(), partition);
        }
        tally.verdict()
    }

    /// What the keys showed that were looked at here.
    pub(super) fn shown(&self) -> Option<String> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(KeyTally::to_string)
    }
}

/// How soon it is noted again how far a shard that is at the end has read.
const NOTE_INTERVAL: Duration = Duration::from_secs(1);

/// What is noted beside the data.
#[derive(Debug, Default)]
pub(crate) struct ReadToNote {
    /// How far the shard is durable; 0 while nothing of its source is.
    durable: u64,
    /// How far it had read; none while it is not at the end.
    read_to: Option<u64>,
    /// None: nothing was noted.
    at: Option<Instant>,
}

impl ReadToNote {
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
    fn note(&self, read_to: impl FnOnce(&ReadToNote) -> Option<u64>) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let next_offset = read_to(&noted);
        if !noted.takes(next_offset, Instant::now()) {
            return;
        }
        if let Err(error) = self.data.note_read_to(&self.id, next_offset) {
            tracing::warn!(shard = %self.id, error = with_causes(&error), "how far the shard is could not be noted");
        }
    }

    pub(super) fn note_behind(&self) {
        self.note(|_| None);
    }

    pub(super) fn note_live(&self) {
        if self.status.freshness().phase == Phase::Live {
            self.note(|noted| Some(noted.durable));
        }
    }

    /// What is before this offset is durable.
    pub(super) fn note_durable(&self, next_offset: u64) {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).durable = next_offset;
    }
}

/// The next offset of a partition, once anything of it is durable: what may be committed to Kafka.
#[derive(Debug, Clone)]
pub(crate) struct Durable(Arc<AtomicU64>);

impl Durable {
    const NOTHING: u64 = u64::MAX;

    pub(crate) fn offset(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Acquire)).filter(|offset| *offset != Self::NOTHING)
    }

    pub(super) fn advance(&self, next_offset: u64) {
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
pub(super) struct PanicWatch {
    id: ShardId,
    status: Arc<ShardStatus>,
}

impl PanicWatch {
    pub(super) fn over(task: &Task) -> Self {
        Self { id: task.id.clone(), status: Arc::clone(&task.status) }
    }
}

impl Drop for PanicWatch {
    fn drop(&mut self) {
        if thread::panicking() {
            halt(&self.id, &self.status, &Halt::Panicked { shard: self.id.clone() });
            // Until the reader looks again, if it is the one that is left.
            self.status.update(|now| (now.end_offset, now.lag_events) = (None, None));
        }
    }
}

/// Stops the shard in the eyes of everyone who asks.
pub(crate) fn halt(shard: &ShardId, status: &ShardStatus, halt: &Halt) {
    let halted = halt.halted(shard);
    tracing::error!(%shard, code = halted.code, reason = halted.message, "shard halted");
    crate::metric::halted(shard, halted.code);
    status.halt(halted);
}

/// Notes that a shard could not even be begun with.
pub(crate) fn fail(catalog: &Catalog, shard: ShardId, halt: &Halt) {
    let halted = halt.halted(&shard);
    tracing::error!(%shard, code = halted.code, reason = halted.message, "shard cannot be fed");
    crate::metric::halted(&shard, halted.code);
    catalog.fail(shard, halted);
}

pub(super) fn lag(next: Option<u64>, end: Option<u64>) -> Option<u64> {
    Some(end?.saturating_sub(next?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_shard_has_read_is_noted_now_and_then_and_that_it_is_behind_at_once() {
        let (mut noted, begun) = (ReadToNote::default(), Instant::now());
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
