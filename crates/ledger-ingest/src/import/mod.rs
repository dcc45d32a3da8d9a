//! History from a file: native events as NDJSON, appended without Kafka.
//!
//! A file is a source like a topic: `import:<NAME>`, its offsets are line numbers from 1, and how far it was
//! taken is written with the data, as the line count and the SHA-256 of the lines taken (each with its line
//! end, whether the file has one behind the last line or not). So a second import appends nothing, an import
//! that was cut off or a file that has grown goes on, and a file whose beginning differs is refused before
//! anything is appended.
//!
//! Keys go to the partitions where the producers of the topic place them ([`crate::placing`]), app-level events to all,
//! so an imported history and the same history through Kafka give the same tenant logs. Every shard keeps its own place:
//! a crash between two shards' writes leaves one behind the other, and the next import evens that out.
//!
//! The end of a file seals what is unsealed, in every shard; an import that takes nothing new adds no seal.
//!
//! What a file is wrapped in is no part of it (see [`crate::text`]): the same lines as gzip, zstd or with a byte order
//! mark are the same import. [`sort`] gives the lines in another order before they are numbered and hashed, so an
//! import that sorts is the import of the sorted file: made again it appends nothing, and lines that were added go
//! on where all of them sort behind those taken before; else the beginning differs, and the file is refused.
//!
//! The log is append-only, so the first lines are written only when it is known that few of them are refused, however long
//! they are (see [`refusals`] and [`ahead`]).
//!
//! Blank lines count and hold no message: partition 0 records a gap for each. A line that cannot be keyed is refused
//! in partition 0.

mod ahead;
pub mod check;
mod error;
mod growing;
pub mod refusals;
pub mod sort;

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ledger_core::event::Event;
use ledger_core::limits::FUTURE_MAX_MS;
use ledger_core::time::Timestamp;
use ledger_record::record::Coordinates;
use ledger_record::rejection::Rejection;
use ledger_record::rows::SourcePosition;
use ledger_store::{DataDir, FutureLimit, Partitioner, Shard, ShardId, SourceIdentity, find_torn};
use sha2::{Digest, Sha256};

use crate::apply::{ApplyCounts, DecodedMessage, SourcePartition, apply, memory_of};
use crate::decode::{self, Decoded, Message, Stamp};
use crate::metric;
use crate::placing::Placement;
use crate::quarantine;
use crate::text::{Line, LineError};
use ahead::Ahead;
use check::FirstLines;
pub use check::LineLimits;
pub use error::ImportError;
pub use growing::{GrowingImport, LineForJournal, judge_first_lines, line_for_journal};
use refusals::{JUDGED_LINES, Judge};

/// Most lines between two writes: a tenant's row is written once in each.
const LINES_AT_ONCE: usize = 50_000;

/// Most bytes of lines before the first write, which waits for [`JUDGED_LINES`]; up to there what they contradict is
/// judged too.
const JUDGED_BYTES: usize = 32 * 1024 * 1024;

/// Most partitions whose shards are written to at once.
const PARTITIONS: u32 = 1_024;

/// What to import, and where to.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// Name of the source, without the `import:`.
    pub source: String,
    /// The topic whose shards take the events, so that a history and what Kafka brings after it meet.
    pub topic: String,
    /// How many partitions that topic has; none: what the data directory remembers, else what the topic has, else 1.
    pub partitions: Option<u32>,
    /// How that topic's producers place client keys, and what to learn it from.
    pub placing: Placement,
    /// The clock at import: a line whose `time` or `recordedAt` is more than 24 hours after it, or before 2010, is
    /// refused.
    pub now: Timestamp,
    /// Import the file however many of its lines are refused.
    pub accept_refusals: bool,
}

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// Lines of the file.
    pub lines: u64,
    /// Lines that an earlier import had taken.
    pub already_taken: u64,
    /// What became of the rest, each line once.
    pub applied: ApplyCounts,
    /// Appended to more partitions: every partition has a copy of an app-level event.
    pub copies: u64,
    /// Tenants that are in several partitions, now that the file is taken: queries about them are refused.
    pub torn_tenants: usize,
}

/// The name of a file as a source: compressed, it is the same source.
pub fn source_of(file: &Path) -> Option<String> {
    let is_packed = |file: &Path| {
        file.extension().is_some_and(|extension| {
            extension.eq_ignore_ascii_case("gz") || extension.eq_ignore_ascii_case("zst")
        })
    };
    let name = if is_packed(file) { file.file_stem() } else { file.file_name() };
    name.map(|name| name.to_string_lossy().into_owned())
}

/// Imports every line.
pub fn import(
    data: &DataDir,
    lines: impl Iterator<Item = Result<Line, LineError>>,
    options: &ImportOptions,
) -> Result<ImportReport, ImportError> {
    let is_new = data.identity(&options.topic)?.is_none();
    let importing = Importing::open(data, options)?;
    let taken = importing.take_all(lines);
    if is_new && taken.is_err() {
        // The next import may be into another number of partitions.
        data.forget_empty(&options.topic)?;
    }
    taken
}

/// A shard, and how far it had taken the file before.
pub(crate) struct ImportTarget {
    pub(crate) shard: Shard,
    pub(crate) taken: u64,
    sha256: [u8; 32],
    pub(crate) source: SourcePartition,
    waiting: Vec<Waiting>,
}

/// A line that is to be written.
enum Waiting {
    Message(Box<DecodedMessage>, Rc<Line>),
    /// The same, while another shard has the one that counts.
    Copy(Box<DecodedMessage>, Rc<Line>),
    /// By its number.
    Blank(u64),
}

/// Every shard of the topic. A new data directory is spread over as many partitions as asked for.
pub(crate) fn open_targets(
    data: &DataDir,
    topic: &str,
    partitions: Option<u32>,
    placing: &Placement,
    name: &Arc<str>,
) -> Result<(Vec<ImportTarget>, Partitioner), ImportError> {
    let recorded = data.identity(topic)?.map(|identity| identity.partitions);
    let partitions = match (recorded, partitions) {
        (Some(recorded), Some(asked)) if recorded != asked => {
            return Err(ImportError::Partitions { topic: topic.to_owned(), recorded, asked });
        }
        (Some(recorded), _) => recorded,
        (None, asked) => partitions_of(topic, asked, placing)?,
    };
    let partitioner = placing.partitioner(data, topic, partitions)?;
    data.bind(topic, &SourceIdentity { cluster_id: None, topic_id: None, partitions })?;
    let mut targets = Vec::new();
    for partition in 0..partitions {
        let shard = data.open_shard(&ShardId { topic: topic.to_owned(), partition })?;
        let (taken, sha256) = match shard.source_position(name)? {
            Some(SourcePosition::Import { lines, sha256 }) => (lines, sha256),
            Some(SourcePosition::Kafka { .. } | SourcePosition::Carried { .. }) | None => {
                (0, Sha256::digest([]).into())
            }
        };
        let source = SourcePartition { name: Arc::clone(name), partition };
        targets.push(ImportTarget { shard, taken, sha256, source, waiting: Vec::new() });
    }
    if partitions > 1 {
        // What comes from the topic later must fit what is placed by it.
        data.replace_partitioner(topic, partitioner)?;
    }
    Ok((targets, partitioner))
}

/// How many partitions a new data directory has: as many as the topic, else as asked for. Another number than that of
/// the topic would never read it.
pub fn partitions_of(topic: &str, asked: Option<u32>, placing: &Placement) -> Result<u32, ImportError> {
    let topic = topic.to_owned();
    let partitions = match (placing.partitions(&topic), asked) {
        (Ok(Some(found)), Some(asked)) if found != asked => {
            return Err(ImportError::OtherTopic { topic, found, asked });
        }
        (Ok(found), asked) => found.or(asked).unwrap_or(1),
        // What is asked for needs no brokers.
        (Err(_), Some(asked)) => asked,
        (Err(error), None) => return Err(ImportError::Uncounted { topic, error }),
    };
    if partitions > PARTITIONS {
        return Err(ImportError::TooManyPartitions { topic, partitions });
    }
    Ok(partitions)
}

struct Importing<'a> {
    data: &'a DataDir,
    options: &'a ImportOptions,
    targets: Vec<ImportTarget>,
    partitioner: Partitioner,
    sha256: Sha256,
    report: ImportReport,
    /// The highest place of any shard: below it nothing new is appended before the beginning is proved.
    furthest: u64,
    future: FutureLimit,
    judge: Judge,
    pending: usize,
    pending_bytes: usize,
}

impl<'a> Importing<'a> {
    fn open(data: &'a DataDir, options: &'a ImportOptions) -> Result<Self, ImportError> {
        let name: Arc<str> = format!("import:{}", options.source).into();
        let (targets, partitioner) =
            open_targets(data, &options.topic, options.partitions, &options.placing, &name)?;
        let furthest = targets.iter().map(|target| target.taken).max().unwrap_or(0);
        let report = ImportReport::default();
        let judge = Judge::new(options.accept_refusals);
        let (future, sha256) = (future_limit(options.now), Sha256::new());
        Ok(Self {
            data,
            options,
            targets,
            partitioner,
            sha256,
            report,
            furthest,
            future,
            judge,
            pending: 0,
            pending_bytes: 0,
        })
    }

    fn take_all(
        mut self,
        mut lines: impl Iterator<Item = Result<Line, LineError>>,
    ) -> Result<ImportReport, ImportError> {
        let ahead = self.read_ahead(&mut lines)?;
        for line in ahead.into_iter().flatten().chain(lines) {
            if let Some(cut_off) = self.take(line?)? {
                return Err(cut_off);
            }
        }
        self.finish()
    }

    /// The first lines, if they are to be judged: those that an earlier import took are not.
    fn read_ahead(
        &self,
        lines: &mut impl Iterator<Item = Result<Line, LineError>>,
    ) -> Result<Option<Ahead>, ImportError> {
        let taken = self.targets.iter().map(|target| target.taken).min().unwrap_or(0);
        if self.judge.is_done() || taken >= JUDGED_LINES as u64 {
            return Ok(None);
        }
        let judge = FirstLines::new(LineLimits::new(self.options.now), taken);
        Ahead::read(lines, judge, self.data.path()).map(Some)
    }

    /// Takes one line. Answers an error that ends the import in good order: what came before is kept.
    fn take(&mut self, line: Line) -> Result<Option<ImportError>, ImportError> {
        let number = line.number;
        if line.is_cut_off() {
            self.refuse_shorter()?;
            self.write()?;
            self.flush()?;
            return Ok(Some(ImportError::CutOff { line: line.origin, before: self.report }));
        }
        self.report.lines = number;
        self.sha256.update(&line.text);
        self.sha256.update(b"\n");
        if self.targets.iter().all(|target| target.taken >= number) {
            self.report.already_taken = number;
        } else if line.is_blank() {
            self.wait_blank(number);
        } else {
            self.judge.look_at(number);
            self.wait(line);
        }
        self.compare(number)?;
        self.pending += 1;
        if self.is_enough() && number >= self.furthest {
            self.write()?;
        }
        Ok(None)
    }

    /// Whether as much waits as goes into one write. A line that goes to several shards counts for each.
    fn is_enough(&self) -> bool {
        if !self.judge.is_done() {
            return self.pending >= JUDGED_LINES || self.pending_bytes >= JUDGED_BYTES;
        }
        let memory = memory_of(self.pending, self.pending_bytes);
        self.pending >= LINES_AT_ONCE || memory >= self.data.memory().large_batch()
    }

    /// The beginning must be what was imported before, for every shard.
    fn compare(&self, number: u64) -> Result<(), ImportError> {
        let mut due = self.targets.iter().filter(|target| target.taken == number).peekable();
        if due.peek().is_none() {
            return Ok(());
        }
        let now: [u8; 32] = self.sha256.clone().finalize().into();
        if due.any(|target| target.sha256 != now) {
            let name = self.options.source.clone();
            return Err(ImportError::BeginningDiffers { name, lines: number });
        }
        Ok(())
    }

    fn wait_blank(&mut self, number: u64) {
        if let Some(first) = self.targets.first_mut().filter(|target| target.taken < number) {
            first.waiting.push(Waiting::Blank(number));
        }
    }

    fn wait(&mut self, line: Line) {
        let (number, line) = (line.number, Rc::new(line));
        let (source_time, decoded) = decode_line(&line.text, self.future);
        let partitions = u32::try_from(self.targets.len()).unwrap_or(u32::MAX);
        let only = match &decoded {
            Ok(incoming) => {
                let client = incoming.event().and_then(Event::client);
                client.and_then(|client| self.partitioner.partition(client.as_bytes(), partitions))
            }
            Err(_) => Some(0),
        };
        let mut kind: fn(Box<DecodedMessage>, Rc<Line>) -> Waiting = Waiting::Message;
        for target in &mut self.targets {
            if target.taken < number && only.is_none_or(|only| only == target.source.partition) {
                self.pending_bytes += line.text.len();
                let taken = DecodedMessage { offset: number, source_time, decoded: decoded.clone() };
                target.waiting.push(kind(Box::new(taken), Rc::clone(&line)));
                kind = Waiting::Copy;
            }
        }
    }

    /// One write for every shard that is behind, while the next lines are taken; none if too many of the first lines
    /// are refused.
    fn write(&mut self) -> Result<(), ImportError> {
        let lines = self.report.lines;
        let sha256: [u8; 32] = self.sha256.clone().finalize().into();
        let began = Instant::now();
        let mut batches = Vec::new();
        for target in self.targets.iter_mut().filter(|target| target.taken < lines) {
            let (id, mut counts) = (target.shard.id().clone(), ApplyCounts::default());
            let mut batch = target.shard.begin();
            for waiting in target.waiting.drain(..) {
                let (taken, line, is_copy) = match waiting {
                    Waiting::Message(taken, line) => (taken, line, false),
                    Waiting::Copy(taken, line) => (taken, line, true),
                    Waiting::Blank(number) => {
                        batch.gap(&target.source.name, number, number + 1)?;
                        continue;
                    }
                };
                let message = line_as_message(&line.text, taken.source_time);
                let (judge, line) = (&mut self.judge, &line);
                let to_keep = |rejection| {
                    judge.refused(line, &rejection);
                    quarantine::refused(&message, rejection)
                };
                let applied = apply(&mut batch, &target.source, *taken, self.future, to_keep)?;
                counts += applied;
                if is_copy {
                    self.report.copies += applied.appended;
                } else {
                    self.report.applied += applied;
                }
            }
            batch.advance(&target.source.name, SourcePosition::Import { lines, sha256 });
            (target.taken, target.sha256) = (lines, sha256);
            batches.push((id, counts, batch));
        }
        self.judge.decide()?;
        for (id, counts, batch) in batches {
            batch.submit()?;
            metric::committed(&id, counts, began.elapsed());
        }
        (self.pending, self.pending_bytes) = (0, 0);
        Ok(())
    }

    /// The end of the file seals what is unsealed, as a tick would.
    fn seal(&mut self) -> Result<(), ImportError> {
        let offset = self.report.lines + 1;
        for ImportTarget { shard, source, .. } in &mut self.targets {
            let next = Coordinates { source: Arc::clone(&source.name), partition: source.partition, offset };
            let mut batch = shard.begin();
            batch.seal_unsealed(next)?;
            batch.commit()?;
        }
        Ok(())
    }

    /// No source can deliver again what was imported, so it is not left to the write-ahead log alone.
    fn flush(&mut self) -> Result<(), ImportError> {
        Ok(self.targets.iter_mut().try_for_each(|target| target.shard.flush())?)
    }

    fn finish(mut self) -> Result<ImportReport, ImportError> {
        self.refuse_shorter()?;
        self.write()?;
        self.seal()?;
        self.flush()?;
        let readers: Vec<_> = self.targets.iter().map(|target| target.shard.reader()).collect();
        self.report.torn_tenants = find_torn(self.data, &readers)?.len();
        Ok(self.report)
    }

    /// A file that ends before the highest place was not proved to be the same.
    fn refuse_shorter(&self) -> Result<(), ImportError> {
        if self.report.lines < self.furthest {
            let name = self.options.source.clone();
            return Err(ImportError::Shorter { name, lines: self.furthest, found: self.report.lines });
        }
        Ok(())
    }
}

/// A line's recorded time is its `recordedAt`, else its `time`. One that is wrong would be the floor of all that
/// come after it, in every tenant of the shard.
fn decode_line(line: &[u8], future: FutureLimit) -> (Option<Timestamp>, Result<Decoded, Rejection>) {
    let recorded_at = match Stamp::from_line(line).recorded_at() {
        Ok(Some(at)) if future.is_before(at) => return (None, Err(future.rejection("recordedAt"))),
        Ok(recorded_at) => recorded_at,
        Err(rejection) => return (None, Err(rejection)),
    };
    let decoded = decode::decode(&line_as_message(line, recorded_at));
    let event = decoded.as_ref().ok().and_then(Decoded::event);
    let event_time = event.map(|event| event.time);
    (recorded_at.or(event_time), decoded)
}

/// 24 hours after the clock at import.
fn future_limit(now: Timestamp) -> FutureLimit {
    FutureLimit::At(now.plus_millis(FUTURE_MAX_MS))
}

fn line_as_message(line: &[u8], timestamp: Option<Timestamp>) -> Message<'_> {
    Message { key: None, value: Some(line), headers: &[], timestamp }
}

#[cfg(test)]
mod tests;
