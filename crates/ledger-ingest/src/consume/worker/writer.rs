//! The thread that owns the shard.

use std::time::Instant;

use ledger_core::time::Timestamp;
use ledger_record::rows::SourcePosition;
use ledger_store::{AppendError, FutureLimit, Shard, TornTenant, with_causes};

use tracing::{error, warn};

use crate::apply::{ApplyCounts, SourcePartition, apply};
use crate::consume::continuity::Halt;
use crate::consume::worker::batch_channel::{BatchReceiver, HeldMemory, RecordBatch};
use crate::consume::worker::refusals::RefusalWarnings;
use crate::consume::worker::task::{Durable, Task, halt, lag};

/// Torn tenants that are named at a time.
const REPORTED_AT_ONCE: usize = 8;

/// The thread that owns the shard.
pub(super) struct ShardWriter {
    task: Task,
    source: SourcePartition,
    shard: Shard,
    /// Nothing of the source is in the shard yet.
    is_new: bool,
    durable: Durable,
    /// The batch that is being written.
    in_flight: Option<BatchInFlight>,
    refusals: RefusalWarnings,
}

/// What is reported of a batch once it is durable.
struct BatchInFlight {
    counts: ApplyCounts,
    next_offset: u64,
    last_source_time: Option<Timestamp>,
    began: Instant,
    /// It takes memory until then.
    _held: HeldMemory,
}

impl ShardWriter {
    /// `position` is how far the shard was written.
    pub(super) fn new(task: Task, shard: Shard, position: Option<&SourcePosition>, durable: Durable) -> Self {
        let source = SourcePartition { name: task.id.topic.as_str().into(), partition: task.id.partition };
        let is_new = !matches!(position, Some(SourcePosition::Kafka { .. }));
        Self { task, source, shard, is_new, durable, in_flight: None, refusals: RefusalWarnings::default() }
    }

    /// Writes every batch until the reader has ended, then returns the shard.
    pub(super) fn run(mut self, batches: &BatchReceiver) -> Shard {
        self.look_for_torn();
        let ended = self.write_all(batches);
        // Whatever happened: who gets the shard next looks in the store how far it was written.
        let settled = self.shard.settle();
        if let Err(error) = ended.and(settled) {
            halt(&self.task.id, &self.task.status, &Halt::store(&error));
            self.task.note_behind();
        }
        self.shard
    }

    /// A batch is taken in while the one before is being written. When nothing waits to be taken in, that one is
    /// waited for, so that a single message is reported as soon as it is durable.
    fn write_all(&mut self, batches: &BatchReceiver) -> Result<(), AppendError> {
        loop {
            let waiting = self.in_flight.as_ref().and_then(|_| batches.soon());
            if waiting.is_none() {
                self.shard.settle()?;
                self.report();
            }
            let Some(filled) = waiting.or_else(|| batches.next()) else { return Ok(()) };
            self.write(filled)?;
        }
    }

    fn write(&mut self, filled: RecordBatch) -> Result<(), AppendError> {
        let RecordBatch { held, messages, from_offset, next_offset, leader_epoch } = filled;
        let last_source_time = messages.last_source_time();
        let mut counts = ApplyCounts::default();
        let mut expected = from_offset;
        let began = Instant::now();
        let mut batch = self.shard.begin();
        if self.is_new && from_offset > 0 {
            batch.begin_late(&self.source.name, from_offset);
        }
        let (taken, kept) = messages.into_parts();
        for (taken, place) in taken {
            // Offsets have holes: control records and compaction. A hole is noted, so that ranges add up.
            batch.gap(&self.source.name, expected, taken.offset)?;
            expected = taken.offset + 1;
            let time = taken.source_time;
            let offset = taken.offset;
            let to_keep = |rejection| {
                self.refusals.note(&rejection, offset);
                kept.refused(&place, time, rejection)
            };
            counts += apply(&mut batch, &self.source, taken, FutureLimit::AfterRecorded, to_keep)?;
        }
        batch.gap(&self.source.name, expected, next_offset)?;
        batch.advance(&self.source.name, SourcePosition::Kafka { next_offset, leader_epoch });
        batch.submit()?;
        self.is_new = false;
        // The batch before is durable now.
        self.report();
        self.in_flight = Some(BatchInFlight { counts, next_offset, last_source_time, began, _held: held });
        Ok(())
    }

    /// Reports the batch that was in flight, which is durable now (I-7).
    fn report(&mut self) {
        let Some(BatchInFlight { counts, next_offset, last_source_time, began, .. }) = self.in_flight.take()
        else {
            return;
        };
        crate::metric::committed(&self.task.id, counts, began.elapsed());
        self.refusals.warn_of_those_due(&self.task.id, Instant::now());
        if counts.new_tenants > 0 {
            self.look_for_torn();
        }
        self.durable.advance(next_offset);
        self.task.note_durable(next_offset);
        self.task.status.update(|now| {
            now.next_offset = Some(next_offset);
            now.last_source_time = last_source_time.or(now.last_source_time);
            now.end_offset = now.end_offset.max(Some(next_offset));
            now.lag_events = lag(now.next_offset, now.end_offset);
            now.go_live();
        });
        self.task.note_live();
        self.task.status.notify_commit();
    }

    /// A tenant that another shard has too was torn apart before it came here: by a producer that places keys otherwise,
    /// or by new partitions. No fold can heal that, so it is reported, and the batch is written all the same.
    fn look_for_torn(&self) {
        let catalog = &self.task.catalog;
        let found = catalog.torn_now().and_then(|torn| {
            catalog.remember_torn(&self.task.data)?;
            Ok(torn.take_news())
        });
        let found = match found {
            Ok(found) => found,
            // A shard that cannot be read or written is halted by its own writer.
            Err(error) => {
                return warn!(shard = %self.task.id, error = with_causes(&error), "tenants not compared");
            }
        };
        metrics::counter!(crate::metric::SPLIT_TENANTS).increment(found.len() as u64);
        for TornTenant { client, shards } in found.iter().take(REPORTED_AT_ONCE) {
            let shards: Vec<String> = shards.iter().map(ToString::to_string).collect();
            error!(
                %client, shards = shards.join(", "),
                "the tenant stands in more than one partition, questions about it are refused; `realm-ledger refill \
                 --from OLD --data-dir NEW` makes it whole"
            );
        }
        if let more @ 1.. = found.len().saturating_sub(REPORTED_AT_ONCE) {
            error!(more, "more tenants stand in several partitions; `verify` names them");
        }
    }
}
