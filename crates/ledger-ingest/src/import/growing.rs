//! A source that grows as long as it is imported: the journal of a ledger without Kafka.
//!
//! It is an import in all but its end: lines are hashed from the first one on, so a journal whose beginning differs is
//! refused before anything is appended. What is in the future is measured by the recorded time of a line, as for a topic:
//! the same journal gives the same log whenever it is read.

use std::collections::HashSet;
use std::path::Path;

use ledger_core::limits::FUTURE_MAX_MS;
use ledger_core::time::Timestamp;
use ledger_record::record::{Content, Stream};
use ledger_record::rejection::Rejection;
use ledger_store::{DataDir, FutureLimit, Reader, ShardId};

use super::ahead::Ahead;
use super::check::{FirstLines, JudgedEvent, Key, LineLimits, REMEMBERED, key};
use super::{ImportError, ImportOptions, ImportReport, Importing, line_as_message};
use crate::decode::to_refused_line;
use crate::import::refusals::Judge;
use crate::quarantine;
use crate::text::{Line, LineError};

/// An import that is never finished.
pub struct GrowingImport<'a> {
    importing: Importing<'a>,
    /// Lines of what was refused, once that was asked for.
    refused: Option<HashSet<Key>>,
}

impl std::fmt::Debug for GrowingImport<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrowingImport").field("report", &self.importing.report).finish_non_exhaustive()
    }
}

impl<'a> GrowingImport<'a> {
    /// Opens every shard of the topic. `options.now` and `options.accept_refusals` do not matter.
    pub fn open(data: &'a DataDir, options: &'a ImportOptions) -> Result<Self, ImportError> {
        let importing = Importing::open(data, options)?;
        let importing =
            Importing { future: FutureLimit::AfterRecorded, judge: Judge::new(true), ..importing };
        Ok(Self { importing, refused: None })
    }

    /// Reads of each shard, beside the writer.
    pub fn readers(&self) -> Vec<(ShardId, Reader)> {
        let reader = |target: &super::ImportTarget| (target.shard.id().clone(), target.shard.reader());
        self.importing.targets.iter().map(reader).collect()
    }

    /// The last line that any shard has taken before.
    pub fn taken(&self) -> u64 {
        self.importing.furthest
    }

    /// What became of the lines that were written.
    pub fn report(&self) -> ImportReport {
        self.importing.report
    }

    /// Whether a line of a refused message is in quarantine, or was asked for, before: a file that is imported again is not
    /// refused again.
    pub fn is_refused_before(&mut self, line: &[u8]) -> Result<bool, ImportError> {
        if self.refused.is_none() {
            let mut refused = HashSet::new();
            let reader = self.importing.targets[0].shard.reader();
            for record in reader.snapshot().records(&Stream::Rejected, 0)? {
                if let Content::Refused(kept) = record?.content
                    && refused.len() < REMEMBERED
                {
                    refused.insert(key(&[&to_refused_line(&kept)]));
                }
            }
            self.refused = Some(refused);
        }
        Ok(self.refused.as_mut().is_some_and(|refused| !refused.insert(key(&[line]))))
    }

    /// Takes the next line, and writes when enough of them wait.
    pub fn take(&mut self, number: u64, text: Vec<u8>) -> Result<(), ImportError> {
        match self.importing.take(Line { number, origin: number, text, ended: true })? {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Writes what waits, and waits until all of it is durable. Fails where the source ends before what was taken before.
    pub fn commit(&mut self) -> Result<(), ImportError> {
        self.importing.refuse_shorter()?;
        self.importing.write()?;
        Ok(self.importing.targets.iter_mut().try_for_each(|target| target.shard.settle())?)
    }
}

/// A line of a file as a journal takes it, with its recorded time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineForJournal {
    /// The event as native JSON, with nothing in it that the ledger does not know.
    Event(Vec<u8>, Timestamp),
    /// What goes to quarantine.
    Refused(Vec<u8>),
    /// Nothing: it is blank, or a tick, of which a journal has its own.
    Nothing,
}

/// Reads a line of the file of that name. Refused is what an import within these limits refuses.
#[must_use]
pub fn line_for_journal(line: &Line, limits: LineLimits, name: &str) -> LineForJournal {
    let text = line.text.trim_ascii();
    if text.is_empty() {
        return LineForJournal::Nothing;
    }
    match limits.judge(text) {
        (recorded, Ok(Some(JudgedEvent { event, native }))) => {
            // Readers of the journal take no event that is further ahead of its record.
            let first = event.time.plus_millis(-FUTURE_MAX_MS);
            LineForJournal::Event(native, recorded.map_or(event.time, |recorded| recorded.max(first)))
        }
        (_, Ok(None)) => LineForJournal::Nothing,
        (_, Err(Rejection { reason, path, detail })) => {
            let detail = format!("{detail}; line {} of {name}", line.origin);
            let rejection = Rejection { reason, path, detail };
            let message = line_as_message(text, None);
            LineForJournal::Refused(quarantine::refused_line(&message, rejection, limits.event_max_bytes))
        }
    }
}

/// The lines of a file, if few enough of the first ones are refused within these limits, or however many are accepted. They are
/// read ahead into a temporary file in this directory.
pub fn judge_first_lines(
    mut lines: impl Iterator<Item = Result<Line, LineError>>,
    limits: LineLimits,
    directory: &Path,
    accepts_all: bool,
) -> Result<impl Iterator<Item = Result<Line, LineError>>, ImportError> {
    let judge = || Ahead::read(&mut lines, FirstLines::new(limits, 0), directory);
    let ahead = (!accepts_all).then(judge).transpose()?;
    Ok(ahead.into_iter().flatten().chain(lines))
}
