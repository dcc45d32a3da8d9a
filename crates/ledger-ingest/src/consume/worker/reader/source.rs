//! What the reader asks: the group how far its last owner was, the brokers what the topic has, the topic's settings whose
//! clock the time of a message comes from. All are asked at each comparison of shard and source. A message without the
//! broker's time is checked by itself, and is not recorded if its time is not accepted.

use std::ffi::CString;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ledger_core::limits::FUTURE_MAX_MS;
use ledger_core::time::Timestamp;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use tracing::{debug, warn};

use crate::attempts::until_done;
use crate::consume::continuity::{Halt, Remembered, start_at};
use crate::consume::group_progress::GroupProgress;
use crate::consume::worker::reader::{ASK_AGAIN, CheckError, PartitionReader};
use crate::consume::worker::source_health::SourceEnds;
use crate::kafka::embedded;
use crate::kafka::native;
use crate::kafka::native::Watermarks;
use crate::kafka::partition::KafkaPartition as _;
use crate::kafka::times::TimeSource;
use crate::kafka::topic::{self, TopicFacts};

/// How long a broker may take to answer a question about the source.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// How soon a partition that could not be sought in is sought in again.
const SEEK_AGAIN: Duration = Duration::from_millis(20);

/// How soon shard and source are compared again while nothing is read.
const COMPARE_AGAIN: Duration = Duration::from_millis(500);

impl PartitionReader {
    /// Compares shard and source, however long it takes the brokers to answer. Returns where to go on; none
    /// when the worker is to stop.
    pub(super) fn compare(&mut self) -> Result<Option<u64>, Halt> {
        while !self.stopped() {
            match self.check() {
                Ok(start) => return Ok(Some(start)),
                Err(CheckError::Halt(halt)) => return Err(halt),
                Err(CheckError::Unreachable(error)) => {
                    debug!(shard = %self.task.id, %error, "cannot compare shard and source yet, trying again");
                    thread::sleep(COMPARE_AGAIN);
                }
                Err(CheckError::NoDescriptor(error)) => {
                    warn!(shard = %self.task.id, error, "cannot compare shard and source yet, trying again");
                    thread::sleep(COMPARE_AGAIN);
                }
            }
        }
        Ok(None)
    }

    /// Compares shard and source, and reports when the source gives no answer, or not all that it has.
    pub(super) fn check(&mut self) -> Result<u64, CheckError> {
        let checked = self.compare_now();
        let (id, now) = (&self.task.id, Instant::now());
        let reason = match &checked {
            Ok((start, marks)) => {
                // For a read_committed reader the watermark is the end of what is committed; a fetch has the end of all.
                let high = self.cached_high().map_or(marks.high, |high| high.max(marks.high));
                let next = self.next.unwrap_or(*start);
                let reason = self.watch.answered(now, id, SourceEnds { next, committed: marks.high, high });
                self.report_end(high);
                reason
            }
            Err(CheckError::Unreachable(error)) => {
                self.task.contact.failed(error);
                self.watch.unanswered(now, id, self.task.check_interval, error)
            }
            // The reader reports a reason to stop when it stops.
            Err(CheckError::Halt(_) | CheckError::NoDescriptor(_)) => None,
        };
        self.report_blocked(reason);
        checked.map(|(start, _)| start)
    }

    pub(super) fn unanswered(&mut self, error: &KafkaError) {
        let reason = self.watch.unanswered(Instant::now(), &self.task.id, self.task.check_interval, error);
        self.report_blocked(reason);
    }

    pub(super) fn compare_now(&mut self) -> Result<(u64, Watermarks), CheckError> {
        let id = &self.task.id.clone();
        let facts =
            topic::facts(self.consumer.client(), &id.topic, ASK_TIMEOUT).map_err(CheckError::Unreachable)?;
        let marks = self.consumer.fetch_watermarks(&id.topic, id.kafka_partition(), ASK_TIMEOUT);
        let (low, high) = marks.map_err(CheckError::Unreachable)?;
        let at_least_zero = |offset: i64| u64::try_from(offset).unwrap_or(0);
        let marks = Watermarks { low: at_least_zero(low), high: at_least_zero(high) };
        let recorded = self.task.data.identity(&id.topic);
        let recorded = recorded.map_err(|error| CheckError::of_store(&error.into()))?;
        let recorded = recorded.map_or_else(|| facts.clone(), TopicFacts::from);
        let remembered = Remembered { shard: id, next: self.next, facts: &recorded };
        let start = start_at(remembered, &facts, marks, self.task.accept_incomplete_history);
        let start = match start {
            Ok(start) => self.ask_whose_times().map(|()| start),
            Err(halt) => Err(CheckError::Halt(halt)),
        };
        if let Err(CheckError::Halt(halt)) = &start {
            self.report_unread(halt, marks);
        }
        let start = start?;
        let bound = self.task.data.bind(&id.topic, &facts.into());
        bound.map_err(|error| CheckError::of_store(&error))?;
        Ok((start, marks))
    }

    /// Learns how far the group published the partition: nothing more of it is published before, not even of a shard
    /// that halts. A committed offset ahead of ours means that this directory is older than something once durable.
    pub(super) fn ask_group(&mut self) {
        let (id, consumer, stop) = (self.task.id.clone(), Arc::clone(&self.consumer), Arc::clone(&self.stop));
        let ask = || GroupProgress::ask(&consumer, &id, ASK_TIMEOUT);
        let unanswered = |error: &KafkaError| {
            self.task.contact.failed(error);
            self.unanswered(error);
        };
        let Some(GroupProgress { offset, published }) = until_done(&stop, ASK_AGAIN, ask, unanswered) else {
            return;
        };
        let next = self.next.unwrap_or(0);
        self.task.status.published().learn(published);
        if let Some(committed) = offset.filter(|committed| *committed > next) {
            warn!(
                shard = %self.task.id, committed, next,
                "the group has read further than this data directory: it is new here or a backup, and replays"
            );
            metrics::counter!(crate::metric::OLDER_THAN_COMMITTED).increment(1);
        }
    }

    /// Seeks with the leader epoch of the last message, so that the broker compares histories, then resumes. A
    /// partition that was assigned this moment is not ready to be sought in, and brokers may be away: it is tried
    /// until it is done, or until the shard is given up and where to read is the next owner's question.
    pub(super) fn seek_and_resume(&mut self, start: u64) -> Result<(), Halt> {
        let (id, consumer) = (self.task.id.clone(), Arc::clone(&self.consumer));
        let refused = |error: KafkaError| Halt::refused(&id, &error);
        let mut list = id.alone_at(start).map_err(refused)?;
        if let (Some(epoch), Ok(topic)) = (self.leader_epoch, CString::new(id.topic.as_str())) {
            native::set_leader_epoch(&mut list, &topic, id.kafka_partition(), epoch);
        }
        let seek = || {
            let sought = consumer.seek_partitions(list.clone(), ASK_TIMEOUT)?;
            sought.elements().first().map_or(Ok(()), TopicPartitionListElem::error)
        };
        let stop = Arc::clone(&self.stop);
        match until_done(&stop, SEEK_AGAIN, seek, |error| self.unanswered(error)) {
            Some(()) => consumer.resume(&list).map_err(refused),
            None => Ok(()),
        }
    }

    /// Settings can change while we read.
    pub(super) fn ask_whose_times(&mut self) -> Result<(), CheckError> {
        let Some(times) = &self.task.times else { return Ok(()) };
        self.times = times.time_source(&self.task.id.topic).map_err(CheckError::Unreachable)?;
        match &self.times {
            TimeSource::Producers { .. } => {
                Err(CheckError::Halt(self.producers_times(self.times.to_string())))
            }
            TimeSource::Broker | TimeSource::BoundedProducers { .. } | TimeSource::NotTold { .. } => Ok(()),
        }
    }

    /// Of a message that has its producer's time, or none: also one that came before the settings were what they are.
    pub(super) fn check_producers_time(&mut self, offset: u64, time: Option<Timestamp>) -> Result<(), Halt> {
        if !self.warned_of_time {
            self.warn_of_time(offset, time);
        }
        // One without a time is recorded at that of the record before it.
        let (Some(_), Some(time)) = (&self.task.times, time) else { return Ok(()) };
        if let TimeSource::NotTold { .. } = self.times {
            let facts = format!("offset {offset} has its producer's time, and {}", self.times);
            return Err(self.producers_times(facts));
        }
        let ahead_ms = time.millis_since(system_clock());
        if ahead_ms > FUTURE_MAX_MS {
            return Err(Halt::TimeAhead { shard: self.task.id.clone(), offset, time });
        }
        Ok(())
    }

    fn producers_times(&self, facts: String) -> Halt {
        Halt::producer_times(&self.task.id, facts, &self.task.brokers)
    }

    fn warn_of_time(&mut self, offset: u64, time: Option<Timestamp>) {
        self.warned_of_time = true;
        let what = match time {
            Some(_) => "recorded times are the producers', not the broker's",
            None => "a message has no time, it is recorded at that of the record before it",
        };
        warn!(
            target: embedded::NOT_APPEND_TIME, shard = %self.task.id, offset,
            "{what}: set message.timestamp.type=LogAppendTime"
        );
        metrics::counter!(crate::metric::PRODUCERS_TIME, "shard" => self.task.id.to_string()).increment(1);
    }
}

fn system_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
