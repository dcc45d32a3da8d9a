//! A halted shard: nothing of it is read, and how much waits in its source is still reported.

use std::thread;
use std::time::{Duration, Instant};

use ledger_store::{Ends, StopCode};
use rdkafka::consumer::Consumer as _;
use tracing::{debug, info, warn};

use crate::consume::continuity::Halt;
use crate::consume::worker::reader::{CheckError, PartitionReader, Stop};
use crate::consume::worker::task::{halt, lag};
use crate::kafka::native::Watermarks;
use crate::kafka::partition::KafkaPartition as _;

/// How often it looks whether the shard is given up.
const LOOK: Duration = Duration::from_millis(100);

/// How often it asks how much waits, of brokers that answer.
const ASK: Duration = Duration::from_secs(5);

/// A question to brokers that do not answer blocks the reader, which then notices late that the shard is given up.
fn until_next_look(check_interval: Duration, is_unreachable: bool) -> Duration {
    if is_unreachable { check_interval } else { ASK.min(check_interval) }
}

impl PartitionReader {
    /// Halts, and returns when the shard is given up, or when the reason is gone and it can be read on.
    pub(super) fn stand_halted(&mut self, stop: &Stop) {
        self.task.note_behind();
        let shard = self.task.id.clone();
        if let Stop::Halt(reason) = stop {
            halt(&shard, &self.task.status, reason);
        }
        // Nothing more is fetched.
        if let Err(error) = self.consumer.pause(&shard.alone()) {
            warn!(%shard, %error, "the halted partition could not be paused");
        }
        // At once: until then the lag is that of a shard which read on.
        let (mut looked, mut rest) = (Instant::now(), Duration::ZERO);
        while !self.stopped() {
            if looked.elapsed() < rest {
                thread::sleep(LOOK);
                continue;
            }
            let checked = self.check();
            looked = Instant::now();
            rest =
                until_next_look(self.task.check_interval, matches!(checked, Err(CheckError::Unreachable(_))));
            match (checked, stop) {
                (Ok(_), Stop::Halt(reason)) if self.is_mended(reason) => {
                    info!(%shard, code = %reason.code(), "what halted the shard is mended, it goes on");
                    return;
                }
                (Err(CheckError::Unreachable(error)), _) => {
                    debug!(%shard, %error, "the halted shard's source is silent");
                }
                _ => {}
            }
        }
    }

    /// Whether the reason is gone, as shard and source can be compared without finding one.
    fn is_mended(&self, reason: &Halt) -> bool {
        let code = reason.code();
        // What the disk did is the group's to mend: the shard must be opened anew.
        code.ends() == Ends::ByItself
            && !matches!(reason, Halt::Store { .. })
            && match code {
                StopCode::ProducerTimes => self.times.is_taken(),
                _ => true,
            }
    }

    /// Reports how much of the source is unread although it cannot be read. For another topic than the shard was filled
    /// from that is unknown.
    pub(super) fn report_unread(&self, reason: &Halt, marks: Watermarks) {
        let is_same = matches!(
            reason.code(),
            StopCode::RetentionGap
                | StopCode::HistoryIncomplete
                | StopCode::TopicRepartitioned
                | StopCode::ProducerTimes
        );
        let end = is_same.then_some(marks.high);
        self.task.status.update(|now| {
            now.end_offset = end;
            // Of a shard that was never read all that is there waits.
            now.lag_events = lag(now.next_offset.or(Some(marks.low)), end);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_much_waits_for_a_halted_shard_is_asked_every_few_seconds_of_brokers_that_answer() {
        let minute = Duration::from_mins(1);
        assert_eq!([until_next_look(minute, false), until_next_look(minute, true)], [ASK, minute]);
        assert_eq!(until_next_look(LOOK, false), LOOK);
    }
}
