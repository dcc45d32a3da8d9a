//! The new shards: records wait in memory until there are enough for a write of each.

use std::collections::BTreeMap;

use ledger_core::event::Event;
use ledger_core::time::Timestamp;
use ledger_record::json;
use ledger_record::key::side::carried;
use ledger_record::proof::line::LedgerSecret;
use ledger_record::record::{Content, Coordinates, PriorLog, Record};
use ledger_record::rejection::{Refused, RefusedBody, Rejection};
use ledger_record::rows::SourcePosition;

use crate::check::verify::check_spread;
use crate::data_dir::DataDir;
use crate::error::AppendError;
use crate::read::reader::Reader;
use crate::read::snapshot::Snapshot;
use crate::refill::old::{Lane, OldShard};
use crate::refill::{RefillError, RefillReport, verify_each};
use crate::source::ShardId;
use crate::write::batch::{AppendResult, Batch, FutureLimit, IncomingEvent};
use crate::write::shard::Shard;

/// So many records wait at most.
const RECORDS_AT_ONCE: usize = 5_000;

/// What is to be appended.
pub(super) struct CarriedRecord {
    record: Record,
    is_published: bool,
    is_repeat: bool,
}

impl CarriedRecord {
    pub(super) fn new(record: Record, is_published: bool) -> Self {
        Self { record, is_published, is_repeat: false }
    }

    pub(super) fn into_repeat(self) -> Self {
        Self { is_repeat: true, ..self }
    }
}

#[derive(Debug, Default)]
struct Counts {
    repeats: u64,
    merged: u64,
    conflicts: u64,
}

struct NewShard {
    shard: Shard,
    waiting: Vec<CarriedRecord>,
    /// Position of the first record that was not published.
    to_publish: Option<u64>,
}

/// The shards of a topic, by partition.
pub(super) struct Targets {
    shards: Vec<NewShard>,
    waiting: usize,
    counts: Counts,
}

impl Targets {
    /// Opens all shards, and names the logs before in each of them.
    pub(super) fn open(
        new: &DataDir,
        topic: &str,
        partitions: u32,
        predecessors: &[(PriorLog, Timestamp)],
    ) -> Result<Self, RefillError> {
        let mut targets = Vec::new();
        for partition in 0..partitions {
            let mut shard = new.open_shard(&ShardId { topic: topic.to_owned(), partition })?;
            let mut batch = shard.begin();
            let recorded = predecessors.iter().map(|(_, recorded)| *recorded).max();
            for (PriorLog { origin, size, root }, recorded) in
                predecessors.iter().filter_map(|(before, _)| Some((before, recorded?)))
            {
                let (name, partition) = origin.rsplit_once('/').unwrap_or((origin, "0"));
                let partition = partition.parse().unwrap_or_default();
                batch.succeed(PriorLog::coordinates(name, partition, *size), *root, recorded)?;
            }
            batch.commit()?;
            targets.push(NewShard { shard, waiting: Vec::new(), to_publish: None });
        }
        Ok(Self { shards: targets, waiting: 0, counts: Counts::default() })
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.shards.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn push(&mut self, partition: u32, item: CarriedRecord) {
        if let Some(target) = self.shards.get_mut(partition as usize) {
            target.waiting.push(item);
            self.waiting += 1;
        }
    }

    pub(super) fn write_if_full(&mut self) -> Result<(), AppendError> {
        if self.waiting < RECORDS_AT_ONCE { Ok(()) } else { self.write() }
    }

    pub(super) fn write(&mut self) -> Result<(), AppendError> {
        self.waiting = 0;
        for target in self.shards.iter_mut().filter(|target| !target.waiting.is_empty()) {
            let mut batch = target.shard.begin();
            for item in target.waiting.drain(..) {
                let position = batch.head().next_position;
                if !item.is_published {
                    target.to_publish.get_or_insert(position);
                }
                append(&mut batch, item, &mut self.counts)?;
            }
            batch.submit()?;
        }
        Ok(())
    }

    /// Takes over what the shards account for, seals what is unsealed, and makes everything durable.
    pub(super) fn finish(
        &mut self,
        old: &[OldShard<'_>],
        lanes: &BTreeMap<Lane, SourcePosition>,
    ) -> Result<(), RefillError> {
        for target in &mut self.shards {
            let id = target.shard.id().clone();
            target.shard.settle()?;
            let published = target.to_publish.unwrap_or(target.shard.head().next_position);
            // Not synced, but before what is.
            target.shard.reader().publisher_cursor().set(published).map_err(AppendError::from)?;
            let mut batch = target.shard.begin();
            for (Lane { source, partition }, position) in lanes {
                batch.advance(&carried(source, *partition), position.clone());
                if let SourcePosition::Carried { recorded, .. } = position
                    && (&**source, *partition) == (&id.topic, id.partition)
                {
                    batch.keep_floor(*recorded);
                }
            }
            let mut next = None;
            for shard in old.iter().filter(|shard| shard.partition() == id.partition) {
                next = account(&mut batch, shard)?;
            }
            let topic =
                || Coordinates { source: id.topic.as_str().into(), partition: id.partition, offset: 0 };
            batch.seal_unsealed(next.unwrap_or_else(topic))?;
            batch.commit()?;
        }
        Ok(())
    }

    /// Verifies what was made: nobody could mend it later.
    pub(super) fn check(
        &self,
        secret: &LedgerSecret,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), RefillError> {
        let readers: Vec<Reader> = self.shards.iter().map(|target| target.shard.reader()).collect();
        let snapshots: Vec<Snapshot<'_>> = readers.iter().map(Reader::snapshot).collect();
        let wrong = |shard, source| RefillError::Made { shard, source };
        let all = verify_each(&readers, &snapshots, secret, &|_| Vec::new(), wrong, progress)?;
        check_spread(&all).map_err(RefillError::MadeSpread)
    }

    pub(super) fn add_to(&self, report: &mut RefillReport) {
        let Counts { repeats, merged, conflicts } = self.counts;
        (report.repeats, report.merged, report.conflicts) = (repeats, merged, conflicts);
    }
}

/// What the old shard of the same partition accounts for beside its records; answers what is read next: of the topic,
/// or of the last file.
fn account(batch: &mut Batch<'_>, old: &OldShard<'_>) -> Result<Option<Coordinates>, RefillError> {
    let (mut message, mut line) = (None, None);
    for (source, first) in old.snapshot.late_beginnings()? {
        batch.begin_late(&source, first);
    }
    for (name, Lane { source, partition }, position) in old.sources()? {
        for gap in old.snapshot.gaps(&name)? {
            let (from, to) = gap?;
            batch.gap(&carried(&source, partition), from, to)?;
        }
        let at = |offset| Some(Coordinates { source, partition, offset });
        match position {
            SourcePosition::Carried { .. } => continue,
            SourcePosition::Kafka { next_offset, .. } => message = at(next_offset),
            SourcePosition::Import { lines, .. } => line = at(lines.saturating_add(1)),
        }
        batch.advance(&name, position);
    }
    Ok(message.or(line))
}

fn append(batch: &mut Batch<'_>, item: CarriedRecord, counts: &mut Counts) -> Result<(), AppendError> {
    let CarriedRecord { record, is_repeat, .. } = item;
    let Record { source: from, recorded, content, .. } = record;
    let (event, time_defaulted) = match content {
        Content::Event { event, time_defaulted, .. } => (event, time_defaulted),
        Content::Refused(refused) => return batch.refuse_again(from, refused, recorded),
        Content::Seal(_) | Content::Succession(_) => return Ok(()),
    };
    let arrival = IncomingEvent {
        from: from.clone(),
        source_time: recorded,
        event: event.clone(),
        time_defaulted,
        future: FutureLimit::Passed,
    };
    match batch.offer(arrival)? {
        AppendResult::Appended { .. } => Ok(()),
        AppendResult::Duplicate { .. } if is_repeat => {
            counts.repeats += 1;
            Ok(())
        }
        AppendResult::Duplicate { .. } => {
            counts.merged += 1;
            Ok(())
        }
        AppendResult::Refused(rejection) => {
            counts.conflicts += 1;
            batch.refuse_again(from, kept(&event, rejection, recorded), recorded)
        }
    }
}

/// The message itself was not kept, so its event takes the place of its body.
fn kept(event: &Event, rejection: Rejection, recorded: Timestamp) -> Refused {
    let key = event.client().map(ToString::to_string).or_else(|| event.app().map(ToString::to_string));
    // Neither writing to memory nor any part of an event can fail.
    let text = json::to_string(event).unwrap_or_default();
    let source_time = Some(recorded);
    Refused { rejection, key, headers: Vec::new(), source_time, body: RefusedBody::Json(text) }
}
