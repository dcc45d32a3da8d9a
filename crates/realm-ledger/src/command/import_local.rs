//! `import` into a ledger without Kafka: through its journal, which is its source.
//!
//! Nothing is kept of a line that is no event, since the journal has events only: it is reported and not taken. A file that
//! is imported again is in the journal again, and its events count once, by their ids.

use ledger_gateway::journal::JournalError;
use ledger_ingest::import::journal_event;
use ledger_ingest::text::Line;

use super::import::{open_events, report_raised, report_unsigned, sort_lines};
use super::{Context, InputFile, now};
use crate::config::Config;
use crate::partner_list::AppNames;
use crate::{Exit, Failure, evidence, local, secret};

/// Faults that are reported one by one; the rest is counted.
const FAULTS_REPORTED: u64 = 20;

/// Events that are in the journal and not yet read from it.
const EVENTS_AT_ONCE: usize = 5_000;

pub(super) fn run(
    context: &mut Context<'_, '_>,
    input: &InputFile,
    names: &AppNames,
    config: &Config,
    partitions: Option<u32>,
    sort: bool,
) -> Result<Exit, Failure> {
    let bar = context.reading_progress(input);
    let mut lines = open_events(context, input, names, &bar)?;
    let (data, made) = secret::open(config)?;
    for made in &made {
        context.report(made);
    }
    let journal = local::open_journal(config, &data).map_err(|failure| {
        let is_locked = failure.is::<JournalError>(|error| matches!(error, JournalError::Locked { .. }));
        if is_locked { failure.hint("`serve --local` runs there: stop it for the import") } else { failure }
    })?;
    if sort {
        lines = Box::new(sort_lines(lines, data.path())?);
    }
    let options = local::import_options(config, partitions);
    let mut importing = local::LocalImport::open(&options, &data, &journal)?;
    let (mut taken, mut faults) = (0_u64, 0_u64);
    let mut waiting = Vec::new();
    loop {
        let line = lines.next().transpose()?;
        let is_end = line.is_none();
        if let Some(Line { number, text, .. }) = line {
            match journal_event(text.trim_ascii(), now()) {
                _ if text.trim_ascii().is_empty() => {}
                Ok(event) => waiting.extend(event),
                Err(rejection) => {
                    faults += 1;
                    if faults <= FAULTS_REPORTED {
                        context.report(&format!("line {number}: {rejection}"));
                    }
                }
            }
        }
        if is_end || waiting.len() >= EVENTS_AT_ONCE {
            taken += waiting.len() as u64;
            journal.append_all(waiting.drain(..))?;
            importing.read_on()?;
        }
        if is_end {
            break;
        }
    }
    bar.finish_and_clear();
    let applied = importing.finish(&journal)?;
    context.report(&format!(
        "{taken} events in the journal: {} appended ({} late), {} repeated, {} refused",
        applied.appended, applied.late, applied.duplicates, applied.refused
    ));
    report_raised(context, &applied, sort);
    evidence::sign_imported(config, &data, &local::topic(config))?;
    report_unsigned(context, config)?;
    if faults > 0 {
        return Err(Failure::new(format!("{faults} line(s) are no events and were not taken"))
            .hint("correct them and import the file again: what is recorded counts once"));
    }
    Ok(Exit::Done)
}
