//! `import`: history from a file, without Kafka.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use indicatif::ProgressBar;
use ledger_gateway::journal::EVENT_MAX_BYTES;
use ledger_ingest::apply::ApplyCounts;
use ledger_ingest::import::check::{CheckReport, check};
use ledger_ingest::import::refusals::RefusedKind;
use ledger_ingest::import::sort::{SortError, sort};
use ledger_ingest::import::{
    ImportError, ImportOptions, ImportReport, LineLimits, import, partitions_of, source_of,
};
use ledger_ingest::placing::Placement;
use ledger_ingest::sign::SigningKeys;
use ledger_ingest::text::{Line, LineError};
use ledger_store::DataDir;
use serde::Serialize;

use super::import_local;
use super::reconcile::report_skipped;
use super::{Context, InputFile, REFILL, brokers_flag, data_dir_flag, now, open_read_only, partitioner_flag};
use crate::cli::{GivenFormat, Import};
use crate::config::{Config, Loaded, Origin};
use crate::output::{duration, raw};
use crate::partner_list::{self, AppNames, ListEvents, ListForm, RecordedInstalls};
use crate::{Exit, Failure, evidence, local, secret};

/// Refusals that an import that stops explains; `--check` lists them all.
const KINDS_SHOWN: usize = 10;

/// Lines of native events.
type InputLines<'b> = Box<dyn Iterator<Item = Result<Line, LineError>> + 'b>;

/// What an import did, for programs that ask for it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ImportReportJson {
    lines: u64,
    already_taken: u64,
    appended: u64,
    late: u64,
    repeated: u64,
    refused: u64,
    copies: u64,
    raised: u64,
    torn_tenants: usize,
}

impl ImportReportJson {
    fn new(report: &ImportReport) -> Self {
        let ImportReport { lines, already_taken, applied, copies, torn_tenants } = *report;
        let ApplyCounts { appended, late, duplicates: repeated, refused, raised, .. } = applied;
        Self { lines, already_taken, appended, late, repeated, refused, copies, raised, torn_tenants }
    }
}

pub(super) fn run(context: &mut Context<'_, '_>, args: Import) -> Result<Exit, Failure> {
    let Import { file, data_dir, source, topic, partitions, placing, brokers, .. } = args;
    let Import { check, sort, local, app_ids, accept_refusals, .. } = args;
    let input = InputFile::new(file);
    let is_of_topic = source.is_some() || topic.is_some() || brokers.brokers.is_some();
    let (partitioner, brokers) = (partitioner_flag(placing.partitioner), brokers_flag(brokers.brokers));
    let loaded = context.loaded([data_dir_flag(data_dir), partitioner, brokers])?;
    let config = &loaded.config;
    let is_local = local || local::is_local(config);
    if is_local && is_of_topic {
        let message = "a ledger without Kafka has one source and one topic: --source, --topic and --brokers mean nothing there";
        return Err(Failure::new(message).exit(Exit::Usage));
    }
    let mut names = AppNames { ids: app_ids.into_iter().collect(), only: None };
    name_apps(&mut names, config);
    let limits = LineLimits::new(now());
    let limits = if is_local { LineLimits { event_max_bytes: EVENT_MAX_BYTES, ..limits } } else { limits };
    if check {
        return run_check(context, &input, &names, limits, accept_refusals);
    }
    let source = if is_local { None } else { Some(source_name(source, &input)?) };
    let bar = context.reading_progress(&input);
    let lines = open_events(context, &input, &names, Some(config), &bar)?;
    let options = match source {
        Some(source) => options(&loaded, source, topic, partitions, accept_refusals)?,
        None => ImportOptions { accept_refusals, ..local::import_options(config, partitions) },
    };
    let (data, made) = secret::open(config)?;
    for made in &made {
        context.report(made);
    }
    let (lines, bar) = if sort { sorted(context, lines, data.path(), &bar)? } else { (lines, bar) };
    let imported = if is_local {
        import_local::import(config, &data, lines, &options, &input)?
    } else {
        import(&data, lines, &options)
    };
    bar.finish_and_clear();
    // What came before a line that is cut off is imported, and reported as ever.
    if let Ok(report) | Err(ImportError::CutOff { before: report, .. }) = &imported {
        report_summary(context, report, sort);
        if context.global.format == Some(GivenFormat::Json) {
            context.print_one(&raw(&ImportReportJson::new(report))?)?;
        }
    }
    imported.map_err(|error| failure(context, error, sort))?;
    evidence::sign_imported(config, &data, &options.topic)?;
    report_unsigned(context, config)?;
    Ok(Exit::Done)
}

/// What a file is imported with that stands in for a topic.
fn options(
    loaded: &Loaded,
    source: String,
    topic: Option<String>,
    partitions: Option<u32>,
    accept_refusals: bool,
) -> Result<ImportOptions, Failure> {
    let placing = placing_of(loaded);
    let topic = topic.map_or_else(|| usual_topic(loaded), Ok)?;
    let mut options = ImportOptions { source, topic, partitions, placing, now: now(), accept_refusals };
    if !DataDir::exists(&loaded.config.data_dir)? {
        // Nothing is made for an import that cannot place its keys.
        let partitions = partitions_of(&options.topic, options.partitions, &options.placing)?;
        let by = options.placing.partitioner_afresh(&options.topic, partitions);
        options.partitions = Some(partitions);
        options.placing = Placement { set: Some(by.map_err(ImportError::Placement)?), kafka: None };
    }
    Ok(options)
}

/// The apps of the gateway have both names.
fn name_apps(names: &mut AppNames, config: &Config) {
    for app in &config.gateway.apps {
        if let Some(id) = &app.forge_app {
            names.ids.entry(id.clone()).or_insert_with(|| app.app_key.clone());
        }
    }
}

fn source_name(given: Option<String>, input: &InputFile) -> Result<String, Failure> {
    match (given, input) {
        (Some(name), _) => Ok(name),
        // A path without a file name is a directory.
        (None, InputFile::File(path)) => {
            source_of(path).ok_or_else(|| input.unreadable(io::ErrorKind::IsADirectory.into()))
        }
        (None, InputFile::Standard) => {
            let message = "standard input has no name; give the source one with --source NAME";
            Err(Failure::new(message).exit(Exit::Usage))
        }
    }
}

/// The topic of a file for which none was named. The default is no choice of the operator: beside the topics that a
/// directory has, it would tear every tenant that is in them.
fn usual_topic(loaded: &Loaded) -> Result<String, Failure> {
    let config = &loaded.config;
    let topic = config.kafka.topics.first().cloned().unwrap_or_default();
    let is_chosen = *loaded.origin("kafka.topics") != Origin::Default;
    if is_chosen || !DataDir::exists(&config.data_dir)? {
        return Ok(topic);
    }
    let partitions = open_read_only(config)?.partitions()?;
    let topics: BTreeSet<&str> = partitions.iter().map(|shard| shard.topic.as_str()).collect();
    if topics.is_empty() || topics.contains(topic.as_str()) {
        return Ok(topic);
    }
    let held = topics.into_iter().collect::<Vec<_>>().join(", ");
    let message = format!(
        "{} holds {held}, and not {topic}, which no setting names: tenants that are in both would be torn",
        config.data_dir.display()
    );
    Err(Failure::new(message)
        .hint("name the topic that the file stands in for: --topic TOPIC, or kafka.topics"))
}

/// The lines of a file: native events as they are, a list as the events that it makes. What its rows do not date has the time
/// that is recorded in this data directory.
fn open_events<'b>(
    context: &mut Context<'_, 'b>,
    input: &InputFile,
    names: &AppNames,
    recorded_in: Option<&Config>,
    bar: &ProgressBar,
) -> Result<InputLines<'b>, Failure> {
    let form = match context.global.format {
        Some(GivenFormat::ForgeAuditLog) => ListForm::ForgeAuditLog,
        Some(GivenFormat::Installations) => ListForm::Installations,
        _ => return Ok(Box::new(context.open_lines(input, bar)?)),
    };
    let text = context.open_text(input, bar)?;
    let recorded = match recorded_in.filter(|_| form == ListForm::Installations) {
        Some(config) => RecordedInstalls::open(config)?,
        None => RecordedInstalls::default(),
    };
    let ListEvents { lines, rows, skipped } =
        partner_list::events(text, form, names, &recorded, now(), &input.in_command())?;
    report_skipped(context, skipped);
    context.report(&format!("{rows} rows of the list make {} events", lines.len()));
    Ok(Box::new(lines.into_iter().map(Ok)))
}

fn run_check(
    context: &mut Context<'_, '_>,
    input: &InputFile,
    names: &AppNames,
    limits: LineLimits,
    accepts_all: bool,
) -> Result<Exit, Failure> {
    let bar = context.reading_progress(input);
    let lines = open_events(context, input, names, None, &bar)?;
    let report = check(lines, limits);
    bar.finish_and_clear();
    let report = report?;
    context.print_one(&raw(&report)?)?;
    let CheckReport { times_backwards, import_stops, cut_off_line, .. } = &report;
    if times_backwards.count > 0 {
        context.report(&format!(
            "{} events have a recorded time before that of an event above them; an import with --sort keeps them, \
             one without it raises them",
            times_backwards.count
        ));
    }
    if *import_stops && !accepts_all {
        let message = "too many lines are refused: an import stops before it records anything";
        return Err(Failure::new(message).hint(ACCEPT));
    }
    match *cut_off_line {
        Some(line) => Err(Failure::new(format!(
            "line {line} has no line end and is not complete JSON: an import does not take it"
        ))),
        None => Ok(Exit::Done),
    }
}

/// The lines in the order of their times, and a bar that counts them in place of the one of reading.
fn sorted<'b>(
    context: &Context<'_, 'b>,
    lines: InputLines<'b>,
    directory: &Path,
    reading: &ProgressBar,
) -> Result<(InputLines<'b>, ProgressBar), Failure> {
    let sorted = sort(lines, directory).map_err(|error| match error {
        error @ SortError::Temporary { .. } => {
            Failure::from(error).hint("it needs as much room there as the file has, unpacked")
        }
        error => error.into(),
    })?;
    reading.finish_and_clear();
    let bar = context.progress("sorted lines");
    bar.set_length(sorted.total());
    Ok((Box::new(bar.wrap_iter(sorted)), bar))
}

/// What to do about many refusals.
const ACCEPT: &str = "correct the file, or import it with --accept-refusals: what is refused is recorded for ever; \
                      `import --check` tells all that would be";

/// What the import did, and what it changed.
fn report_summary(context: &mut Context<'_, '_>, report: &ImportReport, sorted: bool) {
    context.report(&summary(report));
    if report.applied.refused > 0 {
        context.report("`realm-ledger quarantine list` says why lines were refused");
    }
    if report.torn_tenants > 0 {
        context.report(&format!(
            "{} tenants stand in several partitions now, and questions about them are refused; {REFILL}",
            report.torn_tenants
        ));
    }
    report_raised(context, &report.applied, sorted);
}

/// Says that recorded times are not those of the file.
fn report_raised(context: &mut Context<'_, '_>, applied: &ApplyCounts, sorted: bool) {
    let ApplyCounts { raised, raised_most_ms, .. } = *applied;
    if raised == 0 {
        return;
    }
    context.report(&format!(
        "{raised} events were recorded later than the file says, by up to {}: recorded time never goes back in a \
         partition, so they have the time of an event before them, and --known-at finds them from then on only",
        duration(raised_most_ms.unsigned_abs())
    ));
    if !sorted {
        context.report(
            "if the file is not in the order of its times, import it with --sort into a new data directory; what \
             is recorded stays as it is",
        );
    }
}

/// An import that did not reach the end, with what to do.
fn failure(context: &mut Context<'_, '_>, error: ImportError, sorted: bool) -> Failure {
    if let ImportError::TooManyRefused { refusals, .. } = &error {
        for RefusedKind { reason, path, detail, count, first_lines } in
            refusals.kinds().into_iter().take(KINDS_SHOWN)
        {
            let at = path.as_deref().map(|path| format!(" at {path}")).unwrap_or_default();
            let mut lines: Vec<String> = first_lines.iter().map(u64::to_string).collect();
            lines.extend((*count > first_lines.len() as u64).then(|| "…".to_owned()));
            context.report(&format!("{reason}{at}: {detail} (lines {})", lines.join(", ")));
        }
        return Failure::from(error).hint(ACCEPT);
    }
    if let (ImportError::BeginningDiffers { .. } | ImportError::Shorter { .. }, true) = (&error, sorted) {
        return Failure::from(error).hint(
            "with --sort a file can grow by lines that are later than all before; import earlier ones from a \
             file of their own",
        );
    }
    error.into()
}

/// How the producers of the topic place keys. Brokers are asked only if the operator named them.
pub(super) fn placing_of(loaded: &Loaded) -> Placement {
    let kafka = &loaded.config.kafka;
    let is_named = *loaded.origin("kafka.brokers") != Origin::Default;
    Placement { set: kafka.partitioner, kafka: is_named.then(|| kafka.clone()) }
}

/// Reports what was recorded without a signature: a command that ends does not show its log.
pub(super) fn report_unsigned(context: &mut Context<'_, '_>, config: &Config) -> Result<(), Failure> {
    let keys = SigningKeys::new(&config.keys_dir());
    if config.kafka.checkpoints_topic.is_some() && keys.read()?.is_empty() {
        context.report(&format!(
            "it is recorded, but not signed: {} has no key; put back the one that was lost, or make one with \
             `keys generate`",
            keys.path().display()
        ));
    }
    Ok(())
}

fn summary(report: &ImportReport) -> String {
    let ImportReport { lines, already_taken, applied, copies, .. } = report;
    let copied = match copies {
        0 => String::new(),
        copies => format!("; {copies} copies of app-level events, one for each other partition"),
    };
    format!(
        "{lines} lines: {already_taken} taken before, {} events appended ({} late), {} repeated, {} refused{copied}",
        applied.appended, applied.late, applied.duplicates, applied.refused
    )
}
