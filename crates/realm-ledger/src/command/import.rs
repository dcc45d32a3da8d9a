//! `import`: history from a file, without Kafka.

use std::io;
use std::path::Path;

use ledger_ingest::apply::ApplyCounts;
use ledger_ingest::import::check::{CheckReport, check};
use ledger_ingest::import::refusals::Refusal;
use ledger_ingest::import::sort::{SortError, Sorted, sort};
use ledger_ingest::import::{ImportError, ImportOptions, ImportReport, import, partitions_of, source_of};
use ledger_ingest::placing::Placement;
use ledger_ingest::sign::SigningKeys;
use ledger_ingest::text::{Line, LineError};
use ledger_store::{BindError, DataDir};
use serde::Serialize;

use super::{Context, Input, REFILL, brokers_flag, data_dir_flag, now, partitioner_flag};
use crate::cli::{Format, Import};
use crate::config::{Config, Loaded, Origin};
use crate::output::{duration, raw};
use crate::secret::{self, Opened};
use crate::{Exit, Failure, evidence};

/// Refusals that an import that stops explains; `--check` tells them all.
const KINDS_SHOWN: usize = 10;

/// Standard input has no name of its own.
#[derive(Debug, thiserror::Error)]
#[error("standard input has no name; give the source one with --source NAME")]
struct NoName;

/// What an import did, for programs that ask for it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReportJson {
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

impl ReportJson {
    fn of(report: &ImportReport) -> Self {
        let ImportReport { lines, already_taken, applied, copies, torn_tenants } = *report;
        let ApplyCounts { appended, late, duplicates: repeated, refused, raised, .. } = applied;
        Self { lines, already_taken, appended, late, repeated, refused, copies, raised, torn_tenants }
    }
}

/// What an import would say.
#[derive(Debug, thiserror::Error)]
enum WouldStop {
    #[error("too many lines are refused: an import stops before it records anything")]
    Refused,
    #[error("line {line} has no line end and is not complete JSON: an import does not take it")]
    CutOff { line: u64 },
}

pub(super) fn run(context: &mut Context<'_, '_>, args: Import) -> Result<Exit, Failure> {
    let Import { file, data_dir, source, topic, partitions, placing, brokers, check, sort, accept_refusals } =
        args;
    let input = Input::of(file);
    if check {
        return run_check(context, &input, accept_refusals);
    }
    let source = match (&source, &input) {
        (Some(name), _) => Some(name.clone()),
        (None, Input::File(path)) => {
            // Whatever has no name is a directory.
            Some(source_of(path).ok_or_else(|| input.unreadable(io::ErrorKind::IsADirectory.into()))?)
        }
        (None, Input::Standard) => None,
    };
    let source = source.ok_or_else(|| Failure::new(NoName).exit(Exit::Usage))?;
    let mut flags = data_dir_flag(data_dir.as_deref());
    flags.extend(partitioner_flag(placing.partitioner));
    flags.extend(brokers_flag(brokers.brokers));
    let loaded = context.config(&flags)?;
    let placing = placing_of(&loaded);
    let config = loaded.config;
    let topic = topic.or_else(|| config.kafka.topics.first().cloned()).unwrap_or_default();
    let mut options = ImportOptions { source, topic, partitions, placing, now: now(), accept_refusals };
    let bar = context.reading_progress(&input);
    let lines = context.open_lines(&input, &bar)?;
    if !DataDir::exists(&config.data_dir)? {
        // Nothing is made for an import that cannot place its keys.
        let partitions = partitions_of(&options.topic, options.partitions, &options.placing)?;
        let by = options.placing.partitioner_afresh(&options.topic, partitions);
        options.partitions = Some(partitions);
        options.placing = Placement { set: Some(by.map_err(ImportError::Placement)?), kafka: None };
    }
    let data = open(context, &config)?;
    let taken = if sort {
        let sorted = sort_lines(lines, data.path())?;
        bar.finish_and_clear();
        let bar = context.progress("sorted lines");
        bar.set_length(sorted.total());
        let taken = import(&data, bar.wrap_iter(sorted), &options);
        bar.finish_and_clear();
        taken
    } else {
        import(&data, lines, &options)
    };
    bar.finish_and_clear();
    // What came before a line that is cut off is imported, and told as ever.
    if let Ok(report) | Err(ImportError::CutOff { before: report, .. }) = &taken {
        say_summary(context, report, sort);
        if context.asks_for(Format::Json) {
            context.print_one(&raw(&ReportJson::of(report))?)?;
        }
    }
    taken.map_err(|error| failure(context, error, sort))?;
    evidence::sign_imported(&config, &data, &options.topic)?;
    say_unsigned(context, &config)
}

fn run_check(context: &mut Context<'_, '_>, input: &Input, accepts_all: bool) -> Result<Exit, Failure> {
    let bar = context.reading_progress(input);
    let lines = context.open_lines(input, &bar)?;
    let report = check(lines, now());
    bar.finish_and_clear();
    let report = report.map_err(Failure::new)?;
    context.print_one(&raw(&report)?)?;
    let CheckReport { times_backwards, import_stops, cut_off_line, .. } = &report;
    if times_backwards.count > 0 {
        context.say(&format!(
            "{} events have a recorded time before that of an event above them; an import with --sort keeps them, \
             one without it raises them",
            times_backwards.count
        ));
    }
    if *import_stops && !accepts_all {
        return Err(Failure::new(WouldStop::Refused).hint(ACCEPT));
    }
    match *cut_off_line {
        Some(line) => Err(Failure::new(WouldStop::CutOff { line })),
        None => Ok(Exit::Done),
    }
}

fn sort_lines(
    lines: impl Iterator<Item = Result<Line, LineError>>,
    directory: &Path,
) -> Result<Sorted, Failure> {
    sort(lines, directory).map_err(|error| match error {
        error @ SortError::Temporary { .. } => {
            Failure::new(error).hint("it needs as much room there as the file has, unpacked")
        }
        error => Failure::new(error),
    })
}

/// What to do about many refusals.
const ACCEPT: &str = "correct the file, or import it with --accept-refusals: what is refused is recorded for ever; \
                      `import --check` tells all that would be";

/// What the import did, and what it changed.
fn say_summary(context: &mut Context<'_, '_>, report: &ImportReport, sorted: bool) {
    context.say(&summary(report));
    if report.applied.refused > 0 {
        context.say("`realm-ledger quarantine list` says why lines were refused");
    }
    if report.torn_tenants > 0 {
        context.say(&format!(
            "{} tenants stand in several partitions now, and questions about them are refused; {REFILL}",
            report.torn_tenants
        ));
    }
    let ApplyCounts { raised, raised_most_ms, .. } = report.applied;
    if raised == 0 {
        return;
    }
    context.say(&format!(
        "{raised} events were recorded later than the file says, by up to {}: recorded time never goes back in a \
         partition, so they have the time of an event before them, and --known-at finds them from then on only",
        duration(raised_most_ms.unsigned_abs())
    ));
    if !sorted {
        context.say(
            "if the file is not in the order of its times, import it with --sort into a new data directory; what \
             is recorded stays as it is",
        );
    }
}

/// An import that did not reach the end, with what to do.
fn failure(context: &mut Context<'_, '_>, error: ImportError, sorted: bool) -> Failure {
    if let ImportError::TooManyRefused { refusals, .. } = &error {
        for Refusal { reason, path, detail, count, first_lines } in
            refusals.kinds().into_iter().take(KINDS_SHOWN)
        {
            let at = path.as_deref().map(|path| format!(" at {path}")).unwrap_or_default();
            let mut lines: Vec<String> = first_lines.iter().map(u64::to_string).collect();
            lines.extend((*count > first_lines.len() as u64).then(|| "…".to_owned()));
            context.say(&format!("{reason}{at}: {detail} (lines {})", lines.join(", ")));
        }
        return Failure::new(error).hint(ACCEPT);
    }
    if let (ImportError::BeginningDiffers { .. } | ImportError::Shorter { .. }, true) = (&error, sorted) {
        return Failure::new(error).hint(
            "with --sort a file can grow by lines that are later than all before; import earlier ones from a \
             file of their own",
        );
    }
    error.into()
}

/// How the producers of the topic place keys. Brokers that nobody named are not asked.
pub(super) fn placing_of(loaded: &Loaded) -> Placement {
    let kafka = &loaded.config.kafka;
    let is_named = *loaded.origin("kafka.brokers") != Origin::Default;
    Placement { set: kafka.partitioner, kafka: is_named.then(|| kafka.clone()) }
}

/// What was recorded without a signature: a command that ends does not show its log, and nobody else would say.
pub(super) fn say_unsigned(context: &mut Context<'_, '_>, config: &Config) -> Result<Exit, Failure> {
    let keys = SigningKeys::new(&config.keys_dir());
    if config.kafka.checkpoints_topic.is_some() && keys.read()?.is_empty() {
        context.say(&format!(
            "it is recorded, but not signed: {} has no key; put back the one that was lost, or make one with \
             `keys generate`",
            keys.path().display()
        ));
    }
    Ok(Exit::Done)
}

fn open(context: &mut Context<'_, '_>, config: &Config) -> Result<DataDir, Failure> {
    let Opened { data, made, first_key } = secret::open(config)?;
    if let Some(path) = made {
        context.say(&secret::made_text(&path));
    }
    if let Some(told) = first_key {
        context.say(&told);
    }
    Ok(data)
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

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Open(error) => error.into(),
            ImportError::Bind(error) => error.into(),
            error => Self::new(error),
        }
    }
}

impl From<BindError> for Failure {
    fn from(error: BindError) -> Self {
        match error {
            BindError::Open(error) => error.into(),
            error @ BindError::Differs { .. } => Self::new(error).exit(Exit::OtherLedger),
        }
    }
}
