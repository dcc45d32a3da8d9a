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
//! Blank lines count and say nothing: partition 0 notes that nothing is there. A line that cannot be keyed is refused
//! in partition 0.

use std::io::{self, BufRead, Read as _};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use ledger_core::event::Event;
use ledger_core::limits::FUTURE_MAX_MS;
use ledger_core::time::Timestamp;
use ledger_record::record::Coordinates;
use ledger_record::rejection::Rejection;
use ledger_record::rows::SourcePosition;
use ledger_store::{
    AppendError, BindError, DataDir, FutureLimit, OpenError, Partitioner, ReadError, Shard, ShardId,
    SourceIdentity, find_torn,
};
use sha2::{Digest, Sha256};

use crate::apply::{Applied, Source, Taken, apply};
use crate::decode::{self, Decoded, Message};
use crate::placing::{Placement, PlacingError};
use crate::redact;

/// Most lines between two writes.
const LINES_AT_ONCE: usize = 5_000;

/// Most bytes of lines between two writes, but for the last line. A line that goes to several shards counts
/// for each.
const BYTES_AT_ONCE: usize = 8 * 1024 * 1024;

/// Longest line that is read at all; one over 1 MiB is refused as `too-large`.
const LINE_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// What to import, and where to.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// Name of the source, without the `import:`.
    pub source: String,
    /// The topic whose shards take the events, so that a history and what Kafka brings after it meet.
    pub topic: String,
    /// How many partitions that topic has; none: what the data directory remembers, or 1 for a new one.
    pub partitions: Option<u32>,
    /// How that topic's producers place client keys, and what to learn it from.
    pub placing: Placement,
    /// The clock at import: an event more than 24 hours after it is refused.
    pub now: Timestamp,
}

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// Lines of the file.
    pub lines: u64,
    /// Lines that an earlier import had taken.
    pub already_taken: u64,
    /// What became of the rest; app-level events count once for each partition.
    pub applied: Applied,
    /// Tenants that stand in several partitions, now that the file is taken: nobody answers for them.
    pub torn_tenants: usize,
}

/// An import that did not reach the end. What was taken before is kept, and the next one goes on there.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file's beginning differs from what was imported under this name.
    #[error(
        "the first {lines} lines of {name} are not those imported before; name another source with --source"
    )]
    BeginningDiffers {
        /// The name.
        name: String,
        /// How many lines were taken before.
        lines: u64,
    },
    /// The file is shorter than what was imported under this name.
    #[error(
        "{name} ends after {found} lines, but {lines} were imported before; name another source with --source"
    )]
    Shorter {
        /// The name.
        name: String,
        /// How many lines were taken before.
        lines: u64,
        /// How many it has now.
        found: u64,
    },
    /// The last line has no end and is no complete JSON: someone is still writing, or was cut off.
    #[error(
        "line {line} has no line end and is not complete JSON; it was not taken, import again when it is complete"
    )]
    CutOff {
        /// The line, from 1.
        line: u64,
        /// What became of the lines before it: they are imported.
        before: ImportReport,
    },
    /// The data directory is spread over another number of partitions.
    #[error("the data directory has {recorded} partitions of {topic}, not {asked}; leave --partitions away")]
    Partitions {
        /// The topic.
        topic: String,
        /// As remembered.
        recorded: u32,
        /// As asked for.
        asked: u32,
    },
    /// Nobody can say which partition a client key belongs in.
    #[error(transparent)]
    Placement(#[from] PlacingError),
    /// The file cannot be read.
    #[error("cannot read the file: {0}")]
    Read(#[from] io::Error),
    /// A shard cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The data directory belongs to another source.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A shard cannot be read.
    #[error(transparent)]
    Stored(#[from] ReadError),
    /// A shard cannot be written.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// The name of a file as a source.
pub fn source_of(file: &Path) -> Option<String> {
    file.file_name().map(|name| name.to_string_lossy().into_owned())
}

/// Imports every line; `progress` is told the lines and bytes passed.
pub fn import(
    data: &DataDir,
    input: impl BufRead,
    options: &ImportOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<ImportReport, ImportError> {
    let mut importing = Importing::open(data, options)?;
    let mut lines = Lines { input, bytes: 0 };
    while let Some(line) = lines.next()? {
        if let Some(cut_off) = importing.take(line)? {
            return Err(cut_off);
        }
        progress(importing.report.lines, lines.bytes);
    }
    importing.finish()
}

/// A line of the file, without its line end.
struct Line {
    text: Vec<u8>,
    ended: bool,
}

/// Reads lines within a bound.
struct Lines<R> {
    input: R,
    bytes: u64,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> io::Result<Option<Line>> {
        let mut text = Vec::new();
        let read = self.input.by_ref().take(LINE_MAX_BYTES).read_until(b'\n', &mut text)?;
        self.bytes += u64::try_from(read).unwrap_or(u64::MAX);
        let ended = text.pop_if(|last| *last == b'\n').is_some();
        if !ended && u64::try_from(read).is_ok_and(|read| read == LINE_MAX_BYTES) {
            let message = format!("a line is longer than {LINE_MAX_BYTES} bytes; this is no NDJSON");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok((read > 0).then_some(Line { text, ended }))
    }
}

/// A shard, and how far it had taken the file before.
pub(crate) struct Target {
    pub(crate) shard: Shard,
    pub(crate) taken: u64,
    sha256: [u8; 32],
    pub(crate) source: Source,
    waiting: Vec<Waiting>,
}

/// A line that is to be written.
enum Waiting {
    Message(Box<Taken>, Rc<[u8]>),
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
) -> Result<(Vec<Target>, Partitioner), ImportError> {
    let recorded = data.identity(topic)?.map(|identity| identity.partitions);
    let partitions = match (recorded, partitions) {
        (Some(recorded), Some(asked)) if recorded != asked => {
            return Err(ImportError::Partitions { topic: topic.to_owned(), recorded, asked });
        }
        (recorded, asked) => recorded.or(asked).unwrap_or(1),
    };
    let partitioner = placing.partitioner(data, topic, partitions)?;
    data.bind(topic, &SourceIdentity { cluster_id: None, topic_id: None, partitions })?;
    let mut targets = Vec::new();
    for partition in 0..partitions {
        let shard = data.open_shard(&ShardId { topic: topic.to_owned(), partition })?;
        let (taken, sha256) = match shard.source_position(name)? {
            Some(SourcePosition::Import { lines, sha256 }) => (lines, sha256),
            Some(SourcePosition::Kafka { .. }) | None => (0, Sha256::digest([]).into()),
        };
        let source = Source { name: Arc::clone(name), partition };
        targets.push(Target { shard, taken, sha256, source, waiting: Vec::new() });
    }
    if partitions > 1 {
        // What comes from the topic later must fit what is placed by it.
        data.remember_partitioner(topic, partitioner)?;
    }
    Ok((targets, partitioner))
}

struct Importing<'a> {
    data: &'a DataDir,
    options: &'a ImportOptions,
    targets: Vec<Target>,
    partitioner: Partitioner,
    sha256: Sha256,
    report: ImportReport,
    /// The highest place of any shard: below it nothing new is appended before the beginning is proved.
    furthest: u64,
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
        let sha256 = Sha256::new();
        Ok(Self {
            data,
            options,
            targets,
            partitioner,
            sha256,
            report,
            furthest,
            pending: 0,
            pending_bytes: 0,
        })
    }

    /// Takes one line. Answers an error that ends the import in good order: what came before is kept.
    fn take(&mut self, line: Line) -> Result<Option<ImportError>, ImportError> {
        let number = self.report.lines + 1;
        if !line.ended && serde_json::from_slice::<serde::de::IgnoredAny>(&line.text).is_err() {
            self.refuse_shorter()?;
            self.write()?;
            self.settle()?;
            return Ok(Some(ImportError::CutOff { line: number, before: self.report }));
        }
        self.report.lines = number;
        self.sha256.update(&line.text);
        self.sha256.update(b"\n");
        if self.targets.iter().all(|target| target.taken >= number) {
            self.report.already_taken = number;
        } else if line.text.trim_ascii().is_empty() {
            self.wait_blank(number);
        } else {
            self.wait(number, line.text);
        }
        self.compare(number)?;
        self.pending += 1;
        let is_enough = self.pending >= LINES_AT_ONCE || self.pending_bytes >= BYTES_AT_ONCE;
        if is_enough && number >= self.furthest {
            self.write()?;
        }
        Ok(None)
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

    fn wait(&mut self, number: u64, text: Vec<u8>) {
        let line: Rc<[u8]> = text.into();
        let (source_time, decoded) = decode_line(&line);
        let partitions = u32::try_from(self.targets.len()).unwrap_or(u32::MAX);
        let only = match &decoded {
            Ok(incoming) => {
                let client = incoming.event().and_then(Event::client);
                client.and_then(|client| self.partitioner.partition(client.as_bytes(), partitions))
            }
            Err(_) => Some(0),
        };
        for target in &mut self.targets {
            if target.taken < number && only.is_none_or(|only| only == target.source.partition) {
                self.pending_bytes += line.len();
                let taken = Taken { offset: number, source_time, decoded: decoded.clone() };
                target.waiting.push(Waiting::Message(Box::new(taken), Rc::clone(&line)));
            }
        }
    }

    /// One write for every shard that is behind, while the next lines are taken.
    fn write(&mut self) -> Result<(), ImportError> {
        let lines = self.report.lines;
        let sha256: [u8; 32] = self.sha256.clone().finalize().into();
        let future = FutureLimit::At(self.options.now.plus_millis(FUTURE_MAX_MS));
        for target in self.targets.iter_mut().filter(|target| target.taken < lines) {
            let mut batch = target.shard.begin();
            for waiting in target.waiting.drain(..) {
                let (taken, line) = match waiting {
                    Waiting::Message(taken, line) => (taken, line),
                    Waiting::Blank(number) => {
                        batch.gap(&target.source.name, number, number + 1)?;
                        continue;
                    }
                };
                let message = line_as_message(&line, taken.source_time);
                let to_keep = |rejection| redact::refused(&message, rejection);
                self.report.applied += apply(&mut batch, &target.source, *taken, future, to_keep)?;
            }
            batch.advance(&target.source.name, SourcePosition::Import { lines, sha256 });
            batch.submit()?;
            (target.taken, target.sha256) = (lines, sha256);
        }
        (self.pending, self.pending_bytes) = (0, 0);
        Ok(())
    }

    /// Waits until everything that was taken is durable.
    fn settle(&mut self) -> Result<(), ImportError> {
        Ok(self.targets.iter_mut().try_for_each(|target| target.shard.settle())?)
    }

    /// The end of the file seals what is unsealed, as a tick would.
    fn seal(&mut self) -> Result<(), ImportError> {
        let offset = self.report.lines + 1;
        for Target { shard, source, .. } in &mut self.targets {
            let next = Coordinates { source: Arc::clone(&source.name), partition: source.partition, offset };
            let mut batch = shard.begin();
            batch.seal_unsealed(next)?;
            batch.commit()?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<ImportReport, ImportError> {
        self.refuse_shorter()?;
        self.write()?;
        self.seal()?;
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

/// A line's recorded time is its `recordedAt`, else its `time`.
fn decode_line(line: &[u8]) -> (Option<Timestamp>, Result<Decoded, Rejection>) {
    match decode::recorded_at(line) {
        Ok(recorded_at) => {
            let decoded = decode::decode(&line_as_message(line, recorded_at));
            let event = decoded.as_ref().ok().and_then(Decoded::event);
            let event_time = event.map(|event| event.time);
            (recorded_at.or(event_time), decoded)
        }
        Err(rejection) => (None, Err(rejection)),
    }
}

fn line_as_message(line: &[u8], timestamp: Option<Timestamp>) -> Message<'_> {
    Message { key: None, value: Some(line), headers: &[], timestamp }
}

#[cfg(test)]
mod tests {
    use ledger_record::proof::line::LedgerSecret;
    use ledger_store::{StoreOptions, Verified, missing_line};

    use super::*;

    #[test]
    fn every_line_is_in_one_shard_or_another_or_blank() {
        let scratch = tempfile::tempdir().unwrap();
        let secret = LedgerSecret::from_bytes([7; 32]);
        let data = DataDir::open(scratch.path(), StoreOptions::default(), secret.clone()).unwrap();
        let options = ImportOptions {
            source: "gappy".to_owned(),
            topic: "t".to_owned(),
            partitions: Some(3),
            placing: Placement { set: Some(Partitioner::Murmur2), kafka: None },
            now: Timestamp::from_millis(2_000_000_000_000),
        };
        let event = |number: u64| {
            let rest = r#""type":"enabled","time":"2024-03-01T00:00:00Z","appKey":"a""#;
            format!(r#"{{"id":"{number}","clientKey":"c{number}",{rest}}}"#)
        };
        let mut text = format!("\n  \n{}\n\r\nno event\n\n", event(3));
        let mut gaps = vec![(1, 3), (4, 5), (6, 7)];
        // A file that has grown goes on, and the blank lines after the last one with it.
        for lines in [6, 27] {
            import(&data, text.as_bytes(), &options, &mut |_, _| {}).unwrap();
            let shards: Vec<Verified> = (0..3)
                .map(|partition| {
                    let reader = data.read_shard(&ShardId { topic: "t".to_owned(), partition }).unwrap();
                    let found: Vec<_> =
                        reader.snapshot().gaps("import:gappy").unwrap().map(Result::unwrap).collect();
                    assert_eq!(found, if partition == 0 { gaps.clone() } else { Vec::new() }, "{lines}");
                    reader.snapshot().verify(&secret, &[], &mut |_, _| {}).unwrap()
                })
                .collect();
            assert_eq!(missing_line(&shards), None, "{lines}");
            text.push('\n');
            text.extend((8..28).map(|number| event(number) + "\n"));
            gaps[2] = (6, 8);
        }
    }

    #[test]
    fn what_waits_is_bounded_in_bytes() {
        let scratch = tempfile::tempdir().unwrap();
        let data = DataDir::open(scratch.path(), StoreOptions::default(), LedgerSecret::from_bytes([7; 32]))
            .unwrap();
        let options = ImportOptions {
            source: "big".to_owned(),
            topic: "t".to_owned(),
            partitions: Some(4),
            placing: Placement { set: Some(Partitioner::Murmur2), kafka: None },
            now: Timestamp::from_millis(0),
        };
        let mut importing = Importing::open(&data, &options).unwrap();
        let bytes = 900_000;
        for number in 0..15 {
            let text = format!(
                r#"{{"id":"{number}","type":"policy-set","time":"1970-01-01T00:00:00Z","appKey":"a","policy":{{"mode":"off"}},"x":"{}"}}"#,
                "x".repeat(bytes)
            );
            assert!(importing.take(Line { text: text.into_bytes(), ended: true }).unwrap().is_none());
            let bytes_of = |waiting: &Waiting| match waiting {
                Waiting::Message(_, line) => line.len(),
                Waiting::Blank(_) => 0,
            };
            let waiting: usize =
                importing.targets.iter().flat_map(|target| &target.waiting).map(bytes_of).sum();
            assert!(waiting < BYTES_AT_ONCE, "{waiting} bytes wait after line {number}");
        }
        assert_eq!(importing.finish().unwrap().applied.appended, 15 * 4);
    }
}
