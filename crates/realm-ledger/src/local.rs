//! A ledger without Kafka: its source is the journal in its data directory.
//!
//! ```text
//!   import, commands, hooks, ticks ─► journal ─► read like an import that grows ─► shards ─► answers, signatures
//! ```
//!
//! In: a data directory that no topic feeds. Out: shards in the catalog, kept up with the journal by one thread. Progress is
//! with the data, as a place in the source `import:journal`, so what is read twice is recorded once; the beginning of the
//! journal is proved at each start. The journal is kept for ever: it is what the ledger moves on to Kafka with.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use ledger_api::http::ReadJournal;
use ledger_core::time::Timestamp;
use ledger_gateway::journal::{AppendError, Journal, JournalReader, ReadLineError};
use ledger_ingest::import::{GrowingImport, ImportError, ImportOptions, ImportReport};
use ledger_ingest::placing::Placement;
use ledger_ingest::publish::{Tick, TickError};
use ledger_ingest::stopping::StoppableThread;
use ledger_record::json::time::format_instant;
use ledger_store::{
    Catalog, DataDir, Halted, JOURNAL, JOURNAL_IS_SOURCE, Partitioner, Phase, Served, ShardId, ShardStatus,
    StopCode, replace_file, with_causes,
};
use tracing::{error, warn};

use crate::Failure;
use crate::command::now;
use crate::commands::JournalCommands;
use crate::config::Config;

/// The name of the journal as a source.
const SOURCE: &str = "journal";

/// The same as it is in shards.
const SOURCE_IN_SHARDS: &str = "import:journal";

/// Lines between two looks at how far it is, while it catches up.
const LINES_AT_ONCE: u64 = 50_000;

/// How long the thread waits for a line before it looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(200);

/// The journal and the data directory do not go on with each other.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalError {
    /// Its beginning was removed as published.
    #[error(
        "the journal begins at line {first}: what was before it is published and removed, so no ledger without Kafka can be \
         made of it; serve the topic that it was published to"
    )]
    Begins { first: u64 },
    /// It is not what the data was made of.
    #[error("the first {lines} lines of the journal are not those that this data directory was made of")]
    Differs { lines: u64 },
    /// It ends too early.
    #[error("the journal ends after {found} lines, and this data directory was made of {lines}")]
    Shorter { lines: u64, found: u64 },
    /// A line cannot be read.
    #[error(transparent)]
    Read(#[from] ReadLineError),
    /// A shard cannot be opened or written.
    #[error(transparent)]
    Import(ImportError),
}

impl From<ImportError> for LocalError {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::BeginningDiffers { lines, .. } => Self::Differs { lines },
            ImportError::Shorter { lines, found, .. } => Self::Shorter { lines, found },
            error => Self::Import(error),
        }
    }
}

impl LocalError {
    fn halted(&self, shard: &ShardId) -> Halted {
        match self {
            Self::Import(ImportError::Append(error)) => Halted::of_error(shard, error),
            Self::Import(_) => Halted::new(StopCode::StoreFailed, shard, with_causes(self)),
            _ => Halted::new(StopCode::JournalDiffers, shard, with_causes(self)),
        }
    }
}

/// Where the journal of a data directory is.
pub(crate) fn journal_dir(config: &Config) -> PathBuf {
    config.data_dir.join(JOURNAL)
}

/// Opens the journal of a ledger without Kafka, or makes it, if nothing else feeds the directory.
pub(crate) fn open_journal(config: &Config, data: &DataDir) -> Result<Journal, Failure> {
    if config.kafka.topics.len() != 1 {
        let message = "a ledger without Kafka has one topic, whose name its shards have, and kafka.topics names another number";
        return Err(Failure::new(message));
    }
    let other = sources(data)?.into_iter().find(|source| source != SOURCE_IN_SHARDS);
    if let Some(source) = other {
        let message = format!(
            "{} has what came from {source}, which the journal of a ledger without Kafka lacks",
            config.data_dir.display()
        );
        return Err(Failure::new(message).hint(
            "begin in an empty directory; what came from a file is imported there with `import --local`",
        ));
    }
    let (mark, topic) = (mark(config), topic(config));
    if let Ok(text) = std::fs::read_to_string(&mark)
        && let Some((_, other)) = text.split_once('\n').filter(|(_, other)| *other != topic)
    {
        let message = format!(
            "the shards of this ledger without Kafka are named {other}, and kafka.topics says {topic}"
        );
        return Err(Failure::new(message).hint(format!("set kafka.topics = [\"{other}\"]")));
    }
    let journal = Journal::open(&journal_dir(config), &config.journal)?;
    let write = |out: &mut dyn Write| write!(out, "{SOURCE_IN_SHARDS}\n{topic}");
    replace_file::<io::Error>(&mark, 0o644, write).map_err(|error| Failure::unwritable(&mark, error))?;
    Ok(journal)
}

/// Refuses what would feed a ledger without Kafka from elsewhere: its journal has to have all of it.
pub(crate) fn refuse_local(config: &Config) -> Result<(), Failure> {
    if !is_local(config) {
        return Ok(());
    }
    let path = config.data_dir.display();
    let message =
        format!("{path} is a ledger without Kafka: its journal is its source, and no topic can go on there");
    Err(Failure::new(message).hint(format!(
        "`serve --local` serves it; to move on to Kafka: `topics create`, `publish --journal {path}`, then `serve` with an \
         empty data directory"
    )))
}

/// Whether this is the directory of a ledger without Kafka. A journal in front of Kafka has no such mark.
pub(crate) fn is_local(config: &Config) -> bool {
    mark(config).is_file()
}

/// Beside the segments: this journal is the source of the data directory.
fn mark(config: &Config) -> PathBuf {
    journal_dir(config).join(JOURNAL_IS_SOURCE)
}

/// The journal of a server: its source, or what its hooks wait in.
pub(crate) fn journal_of_server(
    config: &Config,
    data: &DataDir,
    takes_hooks: bool,
) -> Result<Option<Journal>, Failure> {
    if config.local.is_some() {
        return open_journal(config, data).map(Some);
    }
    if takes_hooks {
        return Ok(Some(Journal::open(&journal_dir(config), &config.journal)?));
    }
    warn_of_waiting(config);
    Ok(None)
}

/// Warns of hooks that wait in a journal which nobody publishes, as no app is named any more.
fn warn_of_waiting(config: &Config) {
    let dir = journal_dir(config);
    if is_local(config) || !Journal::exists(&dir) {
        return;
    }
    // Where another process has it open, that one publishes it.
    let waiting = Journal::open(&dir, &config.journal).map_or(0, |journal| journal.status().waiting_events);
    if waiting > 0 {
        warn!(
            events = waiting,
            journal = %dir.display(),
            "hooks were taken here and are not published, as no [[gateway.app]] is named any more; `publish --journal` does"
        );
    }
}

/// What the shards were filled from.
fn sources(data: &DataDir) -> Result<Vec<String>, Failure> {
    let mut sources = Vec::new();
    for id in data.shards()? {
        let positions = data.read_shard(&id)?.snapshot().source_positions()?;
        sources.extend(positions.into_iter().map(|(source, _)| source));
    }
    Ok(sources)
}

/// What `/readyz` shows of a journal.
pub(crate) fn journal_health(journal: Journal) -> ReadJournal {
    Arc::new(move || journal.status())
}

/// What ticks are sent with, where the journal is the source: one line is a tick of every shard.
pub(crate) fn append_ticks(journal: Journal) -> impl FnMut(&[Tick]) -> Result<(), TickError> + Send {
    move |ticks| {
        let Some(Tick { text, time, .. }) = ticks.first() else { return Ok(()) };
        let appended = journal.append_blocking(text.as_bytes(), *time);
        let failed = |error: AppendError| TickError { reason: error.to_string(), is_unanswered: false };
        appended.map(drop).map_err(failed)
    }
}

/// Keys are placed as Java's client does unless set otherwise: the journal has no partitions to learn from.
fn partitioner(config: &Config) -> Partitioner {
    config.kafka.partitioner.unwrap_or(Partitioner::Murmur2)
}

pub(crate) fn topic(config: &Config) -> String {
    config.kafka.topics.first().cloned().unwrap_or_default()
}

/// Where commands of a ledger without Kafka go.
pub(crate) fn commands(config: &Config, data: &Arc<DataDir>, journal: &Journal) -> JournalCommands {
    let (journal, data) = (journal.clone(), Arc::clone(data));
    JournalCommands { journal, data, topic: topic(config), partitioner: partitioner(config) }
}

pub(crate) fn import_options(config: &Config, partitions: Option<u32>) -> ImportOptions {
    ImportOptions {
        source: SOURCE.to_owned(),
        topic: topic(config),
        partitions,
        placing: Placement { set: Some(partitioner(config)), kafka: None },
        now: now(),
        accept_refusals: true,
    }
}

/// The shards of a ledger without Kafka, while a command writes to its journal.
pub(crate) struct LocalImport<'a> {
    importing: GrowingImport<'a>,
    reader: JournalReader,
    /// What was taken before the command began.
    before: ImportReport,
}

impl<'a> LocalImport<'a> {
    /// Opens the shards, and records what the journal has by now.
    pub(crate) fn open(
        options: &'a ImportOptions,
        data: &'a DataDir,
        journal: &Journal,
    ) -> Result<Self, Failure> {
        let importing = GrowingImport::open(data, options).map_err(LocalError::from)?;
        let mut opened = Self { importing, reader: from_start(journal)?, before: ImportReport::default() };
        opened.read_on()?;
        opened.before = opened.importing.report();
        Ok(opened)
    }

    /// Records what the journal has by now.
    pub(crate) fn read_on(&mut self) -> Result<(), Failure> {
        while let Some(line) = self.reader.step()? {
            self.importing.take(line.number, line.text).map_err(LocalError::from)?;
        }
        self.importing.commit().map_err(LocalError::from)?;
        self.reader.mark_taken();
        Ok(())
    }

    /// Whether that line of a refused message is in quarantine, or was asked for, before.
    pub(crate) fn is_refused_before(&mut self, line: &[u8]) -> Result<bool, Failure> {
        Ok(self.importing.is_refused_before(line).map_err(LocalError::from)?)
    }

    /// Seals what was recorded. Answers what became of what was appended since this was opened.
    pub(crate) fn finish(mut self, journal: &Journal) -> Result<ImportReport, Failure> {
        let (mut report, before) = (self.importing.report(), self.before.applied);
        let applied = &mut report.applied;
        for (now, then) in [
            (&mut applied.appended, before.appended),
            (&mut applied.late, before.late),
            (&mut applied.duplicates, before.duplicates),
            (&mut applied.refused, before.refused),
            (&mut applied.raised, before.raised),
        ] {
            *now -= then;
        }
        report.copies -= self.before.copies;
        if applied.appended + applied.refused > 0 {
            let time = format_instant(now());
            let tick = format!(r#"{{"id":"tick-{time}","type":"tick","time":"{time}"}}"#);
            journal.append_blocking(tick.as_bytes(), now())?;
            self.read_on()?;
        }
        Ok(report)
    }
}

fn from_start(journal: &Journal) -> Result<JournalReader, Failure> {
    let reader = journal.read_from_start()?;
    match reader.next_number() {
        1 => Ok(reader),
        first => Err(LocalError::Begins { first }.into()),
    }
}

/// The thread that keeps the shards up with the journal.
#[derive(Debug)]
pub(crate) struct LocalIngest(StoppableThread);

impl LocalIngest {
    /// Starts when every shard is open.
    pub(crate) fn start(
        config: &Config,
        partitions: Option<u32>,
        data: &Arc<DataDir>,
        catalog: &Arc<Catalog>,
        journal: &Journal,
    ) -> Result<Self, Failure> {
        let (options, reader) = (import_options(config, partitions), from_start(journal)?);
        let (data, catalog) = (Arc::clone(data), Arc::clone(catalog));
        let (opened, is_open) = sync_channel(1);
        let work = move |stop| {
            let importing = match GrowingImport::open(&data, &options) {
                Ok(importing) => importing,
                Err(error) => return drop(opened.send(Err(error))),
            };
            let shards = serve(&importing, &catalog, &options.topic);
            if reader.end() <= importing.taken() {
                // Before hooks are taken; the thread says more.
                reader.break_journal("it is shorter than the ledger that was made of it");
            }
            let _ = opened.send(Ok(()));
            Reading { importing, reader, shards, stop }.run();
        };
        let no_thread = |error| Failure::caused("the journal cannot be read", error);
        let on_panic =
            "the thread that reads the journal panicked; what is in the journal is recorded after a restart";
        let thread = StoppableThread::start("local", on_panic, work).map_err(no_thread)?;
        match is_open.recv() {
            Ok(Ok(())) => Ok(Self(thread)),
            Ok(Err(error)) => Err(LocalError::from(error).into()),
            Err(_) => Err(Failure::new("the thread that reads the journal panicked: report it")),
        }
    }

    /// Records what is in the journal, then ends, at the latest at the deadline: whether it did.
    pub(crate) fn stop_by(self, deadline: Instant) -> bool {
        self.0.stop_by(deadline)
    }

    /// Whether it panicked: one that halted its shards waits until it is stopped.
    pub(crate) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

/// Lists the shards: they answer from here on.
fn serve(importing: &GrowingImport<'_>, catalog: &Catalog, topic: &str) -> Vec<(ShardId, Arc<ShardStatus>)> {
    let readers = importing.readers();
    catalog.expect(topic, u32::try_from(readers.len()).ok());
    let serve = |(id, reader): (ShardId, _)| {
        let status = Arc::new(ShardStatus::default());
        status.update(|now| (now.is_ours, now.phase) = (true, Phase::CatchingUp));
        catalog.insert(id.clone(), Served { reader, status: Arc::clone(&status) });
        (id, status)
    };
    readers.into_iter().map(serve).collect()
}

struct Reading<'a> {
    importing: GrowingImport<'a>,
    reader: JournalReader,
    shards: Vec<(ShardId, Arc<ShardStatus>)>,
    stop: Arc<AtomicBool>,
}

impl Reading<'_> {
    fn run(mut self) {
        let Err(failed) = self.read() else { return };
        let reason = with_causes(&failed);
        error!(
            reason,
            "the ledger does not go on with its journal, and takes nothing more; OPERATION.md, journal-differs"
        );
        // What is appended from here on would be answered and never recorded.
        self.reader.break_journal(&format!("the ledger does not go on with it: {reason}"));
        for (id, status) in &self.shards {
            status.halt(failed.halted(id));
        }
        while !self.stop.load(Ordering::Acquire) {
            thread::sleep(LOOK);
        }
    }

    /// Until it is to stop and all is recorded.
    fn read(&mut self) -> Result<(), LocalError> {
        let mut last_recorded = None;
        loop {
            let (mut lines, mut is_at_end) = (0, false);
            let is_last = self.stop.load(Ordering::Acquire);
            while lines < LINES_AT_ONCE && !is_at_end {
                match self.reader.step()? {
                    Some(line) => {
                        last_recorded = line.recorded();
                        self.importing.take(line.number, line.text)?;
                        lines += 1;
                    }
                    None => is_at_end = true,
                }
            }
            // Before the beginning is proved nothing is written.
            if is_at_end || self.reader.next_number() > self.importing.taken() {
                self.importing.commit()?;
                self.reader.mark_taken();
                self.report(last_recorded, lines > 0);
            }
            if is_at_end {
                if is_last {
                    return Ok(());
                }
                self.reader.wait(LOOK);
            }
        }
    }

    /// Reports what is durable.
    fn report(&self, last_recorded: Option<Timestamp>, is_news: bool) {
        let (next, end) = (self.reader.next_number(), self.reader.end());
        for (_, status) in &self.shards {
            status.update(|now| {
                (now.next_offset, now.end_offset) = (Some(next), Some(end));
                now.lag_events = Some(end.saturating_sub(next));
                now.last_source_time = last_recorded.or(now.last_source_time);
                if next >= end {
                    now.phase = Phase::Live;
                }
            });
            if is_news {
                status.notify_commit();
            }
        }
    }
}
