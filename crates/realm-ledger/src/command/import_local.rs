//! `import` into a ledger without Kafka: through its journal, which is its source.
//!
//! What is refused is a line of the journal too, redacted, and goes to quarantine from there. A file that is imported again is
//! in the journal again, and its events count once, by their ids.

use ledger_gateway::journal::{EVENT_MAX_BYTES, JournalError};
use ledger_ingest::import::{
    ImportError, ImportOptions, ImportReport, LineForJournal, LineLimits, judge_first_lines, line_for_journal,
};
use ledger_ingest::text::{Line, LineError};
use ledger_store::DataDir;

use super::InputFile;
use crate::config::Config;
use crate::{Failure, local};

/// Lines that are in the journal and not yet read from it.
const LINES_AT_ONCE: usize = 5_000;

/// Imports every line. The inner error is one of the file, as every import has it.
pub(super) fn import(
    config: &Config,
    data: &DataDir,
    lines: impl Iterator<Item = Result<Line, LineError>>,
    options: &ImportOptions,
    input: &InputFile,
) -> Result<Result<ImportReport, ImportError>, Failure> {
    let limits = LineLimits { now: options.now, event_max_bytes: EVENT_MAX_BYTES };
    let lines = match judge_first_lines(lines, limits, data.path(), options.accept_refusals) {
        Ok(judged) => judged,
        Err(error) => return Ok(Err(error)),
    };
    let journal = local::open_journal(config, data).map_err(|failure| {
        let is_locked = failure.is::<JournalError>(|error| matches!(error, JournalError::Locked { .. }));
        if is_locked { failure.hint("`serve --local` runs there: stop it for the import") } else { failure }
    })?;
    let mut importing = local::LocalImport::open(options, data, &journal)?;
    let name = input.name().file_name().unwrap_or_default().to_string_lossy();
    let (mut waiting, mut number, mut refused_before, mut cut_off) = (Vec::new(), 0, 0, None);
    let mut recorded = options.now;
    for line in lines {
        let line = match line {
            Ok(line) if line.is_cut_off() => {
                cut_off = Some(line.origin);
                break;
            }
            Ok(line) => line,
            Err(error) => return Ok(Err(error.into())),
        };
        number = line.number;
        match line_for_journal(&line, limits, &name) {
            LineForJournal::Nothing => {}
            LineForJournal::Event(native, at) => {
                recorded = at;
                waiting.push((native, at));
            }
            LineForJournal::Refused(line) if importing.is_refused_before(&line)? => refused_before += 1,
            // As everywhere, at the time of what came before it.
            LineForJournal::Refused(line) => waiting.push((line, recorded)),
        }
        if waiting.len() >= LINES_AT_ONCE {
            journal.append_all(waiting.drain(..))?;
            importing.read_on()?;
        }
    }
    journal.append_all(waiting.drain(..))?;
    importing.read_on()?;
    let mut report = ImportReport { lines: number, ..importing.finish(&journal)? };
    report.applied.duplicates += refused_before;
    Ok(cut_off.map_or(Ok(report), |line| Err(ImportError::CutOff { line, before: report })))
}
