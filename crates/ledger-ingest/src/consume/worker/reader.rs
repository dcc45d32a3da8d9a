//! The thread that polls a partition's queue and decodes.

mod halted;
mod source;

use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ledger_core::time::Timestamp;
use ledger_store::{BatchPlace, BindError, Halted, MemoryPart, MemoryUse, Phase, StopCode, with_causes};
use rdkafka::consumer::Consumer as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _, Timestamp as BrokerTime};
use tracing::{debug, info, warn};

use crate::consume::callbacks::{GroupCallbacks, GroupConsumer};
use crate::consume::continuity::Halt;
use crate::consume::worker::batch_channel::{BatchSender, HeldMemory, RecordBatch};
use crate::consume::worker::placed::PlacementCheck;
use crate::consume::worker::record_buffer::RecordBuffer;
use crate::consume::worker::source_health::SourceHealth;
use crate::consume::worker::task::{Task, lag};
use crate::decode::{Header, is_required_attribute};
use crate::kafka::native;
use crate::kafka::partition::{KafkaPartition as _, headers};
use crate::kafka::times::TimeSource;

/// How long the reader waits for a message before it looks around.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// How long it waits while it has messages and the writer is busy.
const POLL_BRIEFLY: Duration = Duration::from_millis(1);

/// How soon brokers that did not answer are asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Whoever has so many messages to read fills its batch, even if the writer has to wait for it: a large batch costs less
/// an event, and a fetch brings a few thousand.
const FAR_BEHIND: u64 = 4096;

/// How long it waits for a place for a large batch while nobody gives one back.
const PLACE_PATIENCE: Duration = Duration::from_secs(1);

/// How often the reader reports how much is waiting.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// The thread that polls and decodes.
pub(super) struct PartitionReader {
    pub(super) task: Task,
    pub(super) next: Option<u64>,
    /// What is before this offset the writer has.
    pub(super) handed_over: u64,
    pub(super) leader_epoch: Option<i32>,
    pub(super) consumer: Arc<GroupConsumer>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) watch: SourceHealth,
    /// Whose clock the times of messages come from, by the topic's settings when they were last read.
    pub(super) times: TimeSource,
    /// The warning that messages have their producer's time was logged.
    pub(super) warned_of_time: bool,
    /// Where keys belong.
    pub(super) placed: PlacementCheck,
    /// For the batch that is being filled, once it is large.
    pub(super) place: Option<BatchPlace>,
    /// Much was waiting in the source when it was last looked at ([`FAR_BEHIND`]).
    pub(super) is_far_behind: bool,
}

impl PartitionReader {
    pub(super) fn run(mut self, queue: &PartitionQueue<GroupCallbacks>, sender: &BatchSender) {
        while !self.stopped() {
            match self.begin().map_err(Stop::Halt).and_then(|()| self.read(queue, sender)) {
                Ok(()) => return,
                Err(stop) => self.stand_halted(&stop),
            }
        }
    }

    /// Compares shard and source, then lets the messages come.
    fn begin(&mut self) -> Result<(), Halt> {
        self.ask_group();
        let Some(start) = self.compare()? else { return Ok(()) };
        self.placed = PlacementCheck::new(&self.task)?;
        self.next = Some(start);
        self.handed_over = start;
        self.task.status.update(|now| {
            (now.phase, now.live_from) = (Phase::CatchingUp, None);
            now.next_offset = Some(start);
            // Whatever stopped the shard before has been mended.
            now.halted = None;
        });
        info!(shard = %self.task.id, offset = start, "reading");
        self.seek_and_resume(start)
    }

    fn read(&mut self, queue: &PartitionQueue<GroupCallbacks>, sender: &BatchSender) -> Result<(), Stop> {
        let mut buffer = RecordBuffer::default();
        let (mut checked, mut looked) = (Instant::now(), Instant::now());
        let mut nothing_waits = false;
        while !self.stopped() {
            let polled = queue.poll(self.patience(&buffer, nothing_waits));
            nothing_waits = polled.is_none();
            match polled {
                Some(Ok(message)) => {
                    if let Err(halt) = self.take(&message, &mut buffer) {
                        self.deliver(&mut buffer, sender)?;
                        return Err(Stop::Halt(halt));
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => self.at_end(&mut buffer, sender)?,
                Some(Err(error)) => self.classify(&error).map_err(Stop::Halt)?,
                None => {}
            }
            // Asking for every message would cost more than the message.
            let may_be_asked = nothing_waits || buffer.len().is_multiple_of(64);
            let may_be_asked = may_be_asked && (nothing_waits || !self.is_far_behind);
            if self.is_full(&buffer) || !buffer.is_empty() && may_be_asked && sender.is_asked() {
                self.deliver(&mut buffer, sender)?;
            }
            let now = Instant::now();
            if now.duration_since(looked) >= LOOK_INTERVAL {
                looked = now;
                self.look_at_end();
                self.task.note_live();
            }
            if now.duration_since(checked) >= self.until_next_check() {
                checked = now;
                match self.check() {
                    Ok(_) => {}
                    Err(CheckError::Halt(halt)) => {
                        self.deliver(&mut buffer, sender)?;
                        return Err(Stop::Halt(halt));
                    }
                    Err(CheckError::Unreachable(error)) => {
                        debug!(shard = %self.task.id, %error, "cannot compare shard and source");
                    }
                    Err(CheckError::NoDescriptor(error)) => {
                        warn!(shard = %self.task.id, error, "cannot compare shard and source, trying again");
                    }
                }
            }
        }
        self.deliver(&mut buffer, sender)
    }

    /// How long to wait for the next message.
    fn patience(&self, buffer: &RecordBuffer, nothing_waits: bool) -> Duration {
        match (buffer.is_empty() || self.is_far_behind, nothing_waits) {
            (true, _) => POLL_TIMEOUT,
            (false, true) => POLL_BRIEFLY,
            (false, false) => Duration::ZERO,
        }
    }

    /// Brokers that did not answer are asked again soon.
    fn until_next_check(&self) -> Duration {
        let interval = self.task.check_interval;
        if self.watch.is_silent() { interval.min(ASK_AGAIN) } else { interval }
    }

    fn take(&mut self, message: &BorrowedMessage<'_>, buffer: &mut RecordBuffer) -> Result<(), Halt> {
        let next = self.next.unwrap_or(0);
        let offset = u64::try_from(message.offset()).unwrap_or(0);
        if offset < next {
            return Err(Halt::OutOfOrder { shard: self.task.id.clone(), next, found: offset });
        }
        let source_time = message.timestamp().to_millis().map(Timestamp::from_millis);
        if !matches!(message.timestamp(), BrokerTime::LogAppendTime(_)) {
            self.check_producers_time(offset, source_time)?;
        }
        self.leader_epoch = native::leader_epoch(message).or(self.leader_epoch);
        self.next = Some(offset + 1);
        let headers = headers(message);
        if self.task.counts_tombstones && is_tombstone(message.payload(), &headers) {
            // A hole, as compaction will make one of it.
            crate::metric::tombstone(&self.task.id);
            return Ok(());
        }
        if let Some(traces) = crate::traces::installed() {
            traces.note(&self.task.id, offset, &headers);
        }
        buffer.take(offset, source_time, message.key(), message.payload(), &headers);
        let Some(client) = buffer.last_client() else { return Ok(()) };
        let placed = self.placed.look_at(&self.task, client, message.key().is_some(), offset);
        if placed.is_err() {
            // What comes before it is recorded, and it is not.
            buffer.drop_last();
            self.next = Some(offset);
        }
        placed
    }

    /// Whether it holds what it may. A large one waits for its place first, and stays small if there is none to be had.
    fn is_full(&mut self, buffer: &RecordBuffer) -> bool {
        if buffer.len() >= self.task.batch_max_events {
            return true;
        }
        let memory = self.task.data.memory();
        if self.place.is_none() && buffer.bytes() >= memory.small_batch() {
            self.place =
                BatchPlace::wait(memory.batch_places(), PLACE_PATIENCE, || self.stop.load(Ordering::Acquire));
            return self.place.is_none();
        }
        self.place.is_some() && buffer.bytes() >= memory.large_batch()
    }

    /// Sends the buffer to the writer, and waits until the writer takes it. A writer that has ended has halted the shard.
    fn deliver(&mut self, buffer: &mut RecordBuffer, sender: &BatchSender) -> Result<(), Stop> {
        if buffer.is_empty() && self.next.is_none_or(|next| next == self.handed_over) {
            return Ok(());
        }
        self.watch.heard(Instant::now());
        self.report_blocked(None);
        let filled = self.filled(buffer);
        self.handed_over = filled.next_offset;
        self.placed.count(&self.task.id);
        if sender.send(filled) { Ok(()) } else { Err(Stop::WriterGone) }
    }

    fn filled(&mut self, buffer: &mut RecordBuffer) -> RecordBatch {
        let mut used = MemoryUse::new(Arc::clone(self.task.data.memory()), MemoryPart::Batches);
        used.set(buffer.bytes());
        let next = buffer.next();
        RecordBatch {
            held: HeldMemory { _used: used, _place: self.place.take() },
            messages: std::mem::replace(buffer, next),
            from_offset: self.handed_over,
            next_offset: self.next.unwrap_or(0),
            leader_epoch: self.leader_epoch,
        }
    }

    /// What lies between the last message and the end are control records and what was aborted. That is told to the
    /// writer as well: retention that takes it away later would else look like a loss.
    fn at_end(&mut self, buffer: &mut RecordBuffer, sender: &BatchSender) -> Result<(), Stop> {
        self.next = self.next.max(native::position(self.consumer.client(), &self.task.id.alone()));
        self.deliver(buffer, sender)?;
        self.is_far_behind = false;
        self.watch.heard(Instant::now());
        self.report_blocked(None);
        let next = self.next;
        self.task.status.update(|now| {
            now.come_to_end(next);
            now.end_offset = next;
            // The writer may still have a batch in hand; it says so when it is done.
            now.lag_events = lag(now.next_offset, next);
        });
        self.task.note_live();
        Ok(())
    }

    /// Reports how much is waiting by the last fetch: without that a shard that falls behind would seem to be at the end
    /// until the next comparison. The last answer of brokers that do not answer any more is not repeated.
    fn look_at_end(&mut self) {
        let Some(high) = self.cached_high().filter(|_| !self.watch.is_silent()) else { return };
        self.report_end(high);
    }

    fn report_end(&mut self, high: u64) {
        // What waits here, and not for the writer: the end is seen once, and the writer may come to it later.
        let unread = lag(self.next, Some(high));
        let is_far = unread > Some(u64::try_from(self.task.batch_max_events).unwrap_or(u64::MAX));
        self.is_far_behind = unread > Some(FAR_BEHIND);
        self.task.status.update(|now| {
            now.end_offset = Some(high);
            now.lag_events = lag(now.next_offset, now.end_offset);
            if now.phase == Phase::Live && is_far {
                now.phase = Phase::CatchingUp;
            }
        });
        if is_far {
            self.task.note_behind();
        }
    }

    /// Reports why no message comes, or that messages come again.
    fn report_blocked(&self, why: Option<Halted>) {
        let (shard, before) = (&self.task.id, self.task.status.freshness().held_up);
        let code = |told: &Option<Halted>| told.as_ref().map(|told| told.code);
        if code(&before) != code(&why) {
            if let Some(Halted { code, message }) = &why {
                // Brokers that do not answer are reported once, and not for each shard.
                if self.task.contact.is_lost() {
                    info!(%shard, code, reason = message, "nothing comes from the source");
                } else {
                    warn!(%shard, code, reason = message, "nothing comes from the source");
                }
            } else {
                info!(%shard, "the source gives what it has again");
            }
            crate::metric::held_up(shard, code(&why));
        }
        let is_lag_known = code(&why) != Some(StopCode::SourceUnreachable.as_str());
        self.task.status.set_source_blocked(why, is_lag_known);
    }

    fn cached_high(&self) -> Option<u64> {
        let topic = CString::new(self.task.id.topic.as_str()).ok()?;
        native::cached_watermarks(self.consumer.client(), &topic, self.task.id.kafka_partition())
            .map(|marks| marks.high)
    }

    /// Transport errors heal by themselves; errors about the data stop the shard, with the range if one is
    /// to blame.
    fn classify(&mut self, error: &KafkaError) -> Result<(), Halt> {
        use RDKafkaErrorCode as Code;
        let Some(code) = error.rdkafka_error_code() else { return Ok(()) };
        let about_data = matches!(
            code,
            Code::AutoOffsetReset
                | Code::OffsetOutOfRange
                | Code::LogTruncation
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::UnknownTopicOrPartition
                | Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::BadMessage
        ) || matches!(error, KafkaError::MessageConsumptionFatal(_));
        if !about_data {
            self.task.contact.failed(error);
            debug!(shard = %self.task.id, %error, "the source is unreachable, waiting for it");
            return Ok(());
        }
        // Without the broker's answer a gap looks like a history that has changed.
        if self.compare()?.is_none() {
            return Ok(());
        }
        match code {
            Code::AutoOffsetReset | Code::LogTruncation => {
                // The client fetches no more of it by itself, and takes no seek either.
                Err(Halt::Diverged { shard: self.task.id.clone(), next: self.next.unwrap_or(0) })
            }
            // The brokers know it now: one that was asked before it knew, or a new leader.
            Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition => {
                warn!(shard = %self.task.id, %error, "the topic was unknown for a moment");
                Ok(())
            }
            _ => Err(Halt::refused(&self.task.id, error)),
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

/// Why nothing more is read.
enum Stop {
    Halt(Halt),
    /// It has halted the shard itself.
    WriterGone,
}

/// What a comparison of shard and source can end in, besides a place to start.
enum CheckError {
    Halt(Halt),
    Unreachable(KafkaError),
    /// The process has too many files open: nothing is known to be wrong with the shard.
    NoDescriptor(String),
}

impl CheckError {
    fn of_store(error: &BindError) -> Self {
        if error.is_out_of_descriptors() {
            Self::NoDescriptor(with_causes(error))
        } else {
            Self::Halt(Halt::store(error))
        }
    }
}

/// Without a value, and no `CloudEvent` without data.
fn is_tombstone(value: Option<&[u8]>, headers: &[Header<'_>]) -> bool {
    value.is_none() && !headers.iter().any(|(name, _)| is_required_attribute(name))
}
