//! A batch: messages that become durable together (I-2), in one synced write.
//!
//! A batch is its own small world on top of the shard: it sees what it has taken so far, nobody else does,
//! and dropping it leaves nothing behind. What is stored is a function of the messages in their order and
//! of nothing else, so cutting the same messages into other batches gives the same bytes (I-5):
//!
//! - a repeat is found whether the original is stored or still in this batch;
//! - recorded time advances with accepted events only. A refused message keeps the time it would have had,
//!   a repeat has none: neither moves the next one's;
//! - rows hold sums, maxima and final states, never how many writes they took;
//! - neighbouring gaps become one, however they were noted;
//! - seals stand where the data says, not where a batch ends.
//!
//! An error in the middle leaves the batch useless, and the shard as it was. A write that fails, or an audit trail
//! that cannot go on, poisons the shard: what is on the disk is known again when it is opened anew.

mod app;
mod append;
mod commit;
mod records;
mod working_set;

use std::collections::BTreeMap;

use foldhash::{HashMap, HashMapExt};
use ledger_core::event::Event;
use ledger_core::ids::AppKey;
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimelines;
use ledger_record::key::{self, CorrectionKey, DuplicateKey, Family, GapKey};
use ledger_record::proof::Hash;
use ledger_record::record::{Content, Coordinates, Stream};
use ledger_record::rejection::{Reason, Refused, Rejection};
use ledger_record::rows::{AppRow, ShardHead, SourcePosition};
use rocksdb::ReadOptions;

use crate::audit::PendingLeaves;
use crate::db::database::Database;
use crate::db::placed::LastRow;
use crate::db::scan::prefixed;
use crate::error::{AppendError, ReadError};
use crate::write::batch::working_set::WorkingSet;
use crate::write::shard::Shard;

pub(crate) use records::{PendingRecord, PendingRecords};
pub(crate) use working_set::LateHistories;

/// A message that decoded.
#[derive(Debug, Clone)]
pub struct IncomingEvent {
    /// Where it came from.
    pub from: Coordinates,
    /// The source's own timestamp of it.
    pub source_time: Timestamp,
    /// What it says.
    pub event: Event,
    /// The event's time was taken from `source_time`.
    pub time_defaulted: bool,
    /// How late the event's time may be.
    pub future: FutureLimit,
}

/// The last event time that is taken (rules 7, `time-in-future`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FutureLimit {
    /// 24 h after the time it is recorded with: what a partition says alone, so that replicas agree.
    AfterRecorded,
    /// This instant: 24 h after the clock at import.
    At(Timestamp),
    /// It was judged when it was recorded first: it is carried over from another log ([`crate::refill()`]).
    Passed,
}

impl FutureLimit {
    /// What an import refuses whatever it is recorded with.
    #[must_use]
    pub fn is_before(self, time: Timestamp) -> bool {
        matches!(self, Self::At(instant) if time > instant)
    }

    /// The rejection of an event whose field lies behind it.
    #[must_use]
    pub fn rejection(self, path: &str) -> Rejection {
        let than = match self {
            Self::AfterRecorded => "the time it was recorded",
            Self::At(_) | Self::Passed => "now",
        };
        Rejection {
            reason: Reason::TimeInFuture,
            path: Some(path.to_owned()),
            detail: format!("expected a time at most 24 hours after {than}"),
        }
    }
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendResult {
    /// It is a record now.
    Appended {
        /// In the shard.
        position: u64,
        /// In its stream.
        seq: u64,
        /// It sorted before something already applied.
        late: bool,
        /// The first record of its tenant in this shard.
        new_tenant: bool,
    },
    /// It repeats a record, and was counted.
    Duplicate {
        /// Position of the original.
        position: u64,
        /// Seq of the original.
        seq: u64,
    },
    /// It cannot be recorded, and nothing was done: [`Batch::refuse`] it, redacted.
    Refused(Rejection),
}

/// What a commit made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Where the shard stands now.
    pub head: ShardHead,
    /// Records appended, refused ones included.
    pub records: u64,
}

/// Messages that become durable together.
#[derive(Debug)]
pub struct Batch<'a> {
    pub(crate) shard: &'a mut Shard,
    /// The head as it will be.
    next: ShardHead,
    /// New records, by position.
    records: PendingRecords,
    /// Keys in `ids` of the new records that have one.
    ids: HashMap<Vec<u8>, usize>,
    tenants: WorkingSet,
    apps: BTreeMap<AppKey, AppRow>,
    /// The shard's timelines with what this batch adds; none as long as that is nothing.
    timelines: Option<AppTimelines>,
    corrections: Vec<(CorrectionKey, Vec<u8>)>,
    duplicates: Vec<(DuplicateKey, u64)>,
    gaps: BTreeMap<GapKey, u64>,
    /// The last gap of each source that this batch notes one of.
    last_gaps: BTreeMap<String, (u64, u64)>,
    sources: BTreeMap<String, SourcePosition>,
    /// Where the history of a source begins, when that is late.
    begins: BTreeMap<String, u64>,
    taken: usize,
    record_bytes: usize,
    evidence: PendingLeaves,
    last_positions: LastRow,
    failed: bool,
}

/// What a batch held: the next one makes room for as much at once.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BatchSize {
    records: usize,
    /// Of the records.
    bytes: usize,
    tenants: usize,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(shard: &'a mut Shard) -> Self {
        let next = shard.head;
        let BatchSize { records, bytes, tenants } = shard.last_batch;
        let evidence = shard.evidence.pending_leaves(records, shard.open.recent.is_followed());
        let last_positions = shard.last_positions.clone();
        Self {
            shard,
            next,
            records: PendingRecords::with_capacity(records, bytes),
            ids: HashMap::new(),
            tenants: WorkingSet::with_capacity(tenants),
            apps: BTreeMap::new(),
            timelines: None,
            corrections: Vec::new(),
            duplicates: Vec::new(),
            gaps: BTreeMap::new(),
            last_gaps: BTreeMap::new(),
            sources: BTreeMap::new(),
            begins: BTreeMap::new(),
            taken: 0,
            record_bytes: 0,
            evidence,
            last_positions,
            failed: false,
        }
    }
}

impl Batch<'_> {
    /// Takes a message that decoded: appended, counted as a repeat, or handed back as refused.
    pub fn offer(&mut self, arrival: IncomingEvent) -> Result<AppendResult, AppendError> {
        self.guarded(|batch| batch.try_offer(arrival))
    }

    /// Puts a refused message in quarantine; answers its position.
    pub fn refuse(&mut self, from: Coordinates, refused: Refused) -> Result<u64, AppendError> {
        let source_time = refused.source_time.map(within_lines);
        let floor = self.next.recorded.or(source_time).unwrap_or(Timestamp::from_millis(0));
        let recorded = source_time.map_or(floor, |time| time.max(floor));
        self.guarded(|batch| batch.refuse_at(from, refused, recorded))
    }

    fn refuse_at(
        &mut self,
        from: Coordinates,
        refused: Refused,
        recorded: Timestamp,
    ) -> Result<u64, AppendError> {
        self.seal_before(&from, recorded);
        self.next.refused += 1;
        let seq = self.next.refused;
        self.push(Stream::Rejected, seq, from, recorded, Content::Refused(refused), None)
    }

    /// Does work on a batch that is whole; one that it fails in is not written any more.
    fn guarded<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, AppendError>,
    ) -> Result<T, AppendError> {
        self.check_usable()?;
        let done = work(self);
        self.failed = done.is_err();
        done
    }

    /// Notes that the source has nothing at the offsets `[from, to)`. Neighbours become one. Like messages,
    /// gaps come in the order of their offsets.
    pub fn gap(&mut self, source: &str, from: u64, to: u64) -> Result<(), AppendError> {
        self.guarded(|batch| {
            if from >= to {
                return Ok(());
            }
            let (first_offset, to) = match batch.last_gap(source)? {
                Some((first, end)) if first <= from && from <= end => (first, end.max(to)),
                _ => (from, to),
            };
            batch.last_gaps.insert(source.to_owned(), (first_offset, to));
            batch.gaps.insert(GapKey { source: source.to_owned(), first_offset }, to);
            Ok(())
        })
    }

    /// Notes that a source that was never read before had lost everything before this offset by then.
    pub fn begin_late(&mut self, source: &str, first_offset: u64) {
        self.begins.insert(source.to_owned(), first_offset);
    }

    /// Notes how far a source was read. The last word of a batch counts.
    pub fn advance(&mut self, source: &str, position: SourcePosition) {
        self.sources.insert(source.to_owned(), position);
    }

    /// Where the shard stands with this batch.
    pub fn head(&self) -> ShardHead {
        self.next
    }

    /// Messages taken so far: appended, repeated, refused.
    pub fn len(&self) -> usize {
        self.taken
    }

    /// No message was taken so far; positions and gaps may have been noted all the same.
    pub fn is_empty(&self) -> bool {
        self.taken == 0
    }

    /// Bytes of what was taken so far: records, and the corrections of late app-level events.
    pub fn bytes(&self) -> usize {
        self.record_bytes
    }

    fn check_usable(&self) -> Result<(), AppendError> {
        match self.shard.poisoned() {
            Some(poison) => Err(poison.into()),
            None if self.failed => Err(AppendError::Abandoned),
            None => Ok(()),
        }
    }

    /// The last gap of a source, from its first offset up to its end. A shard looks for it in the store once for each
    /// source, so that a source with a hole behind every transaction waits for no write.
    fn last_gap(&mut self, source: &str) -> Result<Option<(u64, u64)>, AppendError> {
        if let Some(last) = self.last_gaps.get(source) {
            return Ok(Some(*last));
        }
        if !self.shard.last_gaps.contains_key(source) {
            self.shard.settle()?;
            let stored = stored_last_gap(source, &self.shard.open.database)?;
            self.shard.last_gaps.insert(source.to_owned(), stored);
        }
        Ok(self.shard.last_gaps.get(source).copied().flatten())
    }
}

fn stored_last_gap(source: &str, database: &Database) -> Result<Option<(u64, u64)>, ReadError> {
    let range = prefixed(GapKey::prefix(source));
    let mut scan = database.scan(Family::Gaps, range, ReadOptions::default())?;
    let Some((key, value)) = scan.last()? else { return Ok(None) };
    let damaged = |error| crate::db::database::damaged(Family::Gaps, key, error);
    let first = GapKey::decode(key).map_err(damaged)?.first_offset;
    Ok(Some((first, key::parse_u64(value).map_err(damaged)?)))
}

/// Kafka takes any number for a timestamp; the lines of the audit trail do not.
fn within_lines(time: Timestamp) -> Timestamp {
    const MAX_MS: i64 = (1 << 53) - 1;
    Timestamp::from_millis(time.as_millis().clamp(-MAX_MS, MAX_MS))
}

impl Batch<'_> {
    /// Takes a tick: seals what is unsealed. The tick itself leaves nothing but its offset, as a gap.
    pub fn tick(&mut self, at: Coordinates) -> Result<(), AppendError> {
        self.gap(&at.source, at.offset, at.offset + 1)?;
        self.seal_unsealed(after(at))
    }

    /// Seals what is unsealed, if anything is, as at the end of an import; `next` is what is read next.
    pub fn seal_unsealed(&mut self, next: Coordinates) -> Result<(), AppendError> {
        self.check_usable()?;
        if self.evidence.is_due() {
            self.seal(next);
        }
        Ok(())
    }

    /// Seals what is unsealed if the record that comes now begins another minute.
    pub(super) fn seal_before(&mut self, from: &Coordinates, recorded: Timestamp) {
        if self.evidence.is_due_before(recorded) {
            self.seal(from.clone());
        }
    }

    pub(super) fn seal(&mut self, next: Coordinates) {
        let head = &mut self.next;
        let seq = self.evidence.seal(head.next_position, next, head.duplicates, head.refused);
        // What it says is not known yet.
        self.records.push(&Stream::Seals, seq, |_| {});
        head.next_position += 1;
    }
}

/// The coordinates behind these.
pub(super) fn after(from: Coordinates) -> Coordinates {
    Coordinates { offset: from.offset.saturating_add(1), ..from }
}

/// What only a refill appends ([`crate::refill()`]): names of the old logs, and refused messages with their old times.
impl Batch<'_> {
    /// Names a log before. These are the first records of a shard, and all have the same recorded time: so no seal
    /// comes between them.
    pub(crate) fn succeed(
        &mut self,
        before: Coordinates,
        root: Hash,
        recorded: Timestamp,
    ) -> Result<(), AppendError> {
        let (seq, content) = (self.next.next_position + 1, Content::Succession(root));
        self.guarded(|batch| batch.push(Stream::Succession, seq, before, recorded, content, None)).map(drop)
    }

    /// Puts a refused message in quarantine with the recorded time that it had. Only a repeat of an event that is now
    /// refused can be later than that.
    pub(crate) fn refuse_again(
        &mut self,
        from: Coordinates,
        refused: Refused,
        recorded: Timestamp,
    ) -> Result<(), AppendError> {
        let recorded = self.next.recorded.map_or(recorded, |last| last.max(recorded));
        self.guarded(|batch| batch.refuse_at(from, refused, recorded)).map(drop)
    }

    /// The next event is recorded at this instant at the earliest.
    pub(crate) fn keep_floor(&mut self, recorded: Option<Timestamp>) {
        self.next.recorded = self.next.recorded.max(recorded);
    }
}
