//! Whose word the time of a message is, and whether it is taken: asked of the topic's settings at each comparison of
//! shard and source, and of every message that has not the broker's time. What is not taken is not recorded.

use std::time::{SystemTime, UNIX_EPOCH};

use ledger_core::limits::FUTURE_MAX_MS;
use ledger_core::time::Timestamp;
use tracing::warn;

use crate::consume::continuity::Halt;
use crate::consume::worker::reader::{Check, Reader};
use crate::kafka::embedded;
use crate::kafka::times::TimeSource;

impl Reader {
    /// Settings can change while we read.
    pub(super) fn ask_whose_times(&mut self) -> Result<(), Check> {
        let Some(times) = &self.task.times else { return Ok(()) };
        self.times = times.of(&self.task.id.topic).map_err(Check::Unreachable)?;
        match &self.times {
            TimeSource::Producers { .. } => Err(Check::Halt(self.producers_times(self.times.to_string()))),
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
            let (topic, partition) = (self.task.id.topic.clone(), self.task.id.partition);
            return Err(Halt::TimeAhead { topic, partition, offset, time });
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
