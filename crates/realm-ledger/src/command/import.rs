//! `import`: history from a file, without Kafka.

use std::fs::File;
use std::io::{BufRead, BufReader};

use indicatif::{ProgressBar, ProgressStyle};
use ledger_ingest::checkpoint::SigningKeys;
use ledger_ingest::import::{ImportError, ImportOptions, ImportReport, import, source_of};
use ledger_ingest::placing::Placement;
use ledger_store::{BindError, DataDir};

use super::{Context, Input, REFILL, Unreadable, brokers_flag, data_dir_flag, now, partitioner_flag};
use crate::cli::Import;
use crate::config::{Config, Loaded, Origin};
use crate::secret::{self, Opened};
use crate::{Exit, Failure, evidence};

/// Standard input has no name of its own.
#[derive(Debug, thiserror::Error)]
#[error("standard input has no name; give the source one with --source NAME")]
struct NoName;

pub(super) fn run(context: &mut Context<'_, '_>, args: Import) -> Result<Exit, Failure> {
    let Import { file, data_dir, source, topic, partitions, placing, brokers } = args;
    let input = Input::of(file);
    let source = match (&source, &input) {
        (Some(name), _) => Some(name.clone()),
        (None, Input::File(path)) => source_of(path),
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
    let options = ImportOptions { source, topic, partitions, placing, now: now() };
    let terminal = context.surroundings.messages_are_terminal;
    let (data, taken) = match input {
        Input::Standard => {
            let data = open(context, &config)?;
            let taken = take(&data, &mut context.surroundings.input, &options, &progress(terminal, None));
            (data, taken)
        }
        Input::File(path) => {
            let unreadable = |source| Failure::new(Unreadable { path: path.clone(), source });
            let file = File::open(&path).map_err(unreadable)?;
            let length = file.metadata().map_err(unreadable)?.len();
            let data = open(context, &config)?;
            let taken = take(&data, BufReader::new(file), &options, &progress(terminal, Some(length)));
            (data, taken)
        }
    };
    // What came before a line that is cut off is imported, and told as ever.
    if let Ok(report) | Err(ImportError::CutOff { before: report, .. }) = &taken {
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
    }
    taken?;
    evidence::sign_imported(&config, &data, &options.topic)?;
    say_unsigned(context, &config)
}

/// How the producers of the topic place keys. Brokers that nobody named are not asked.
pub(super) fn placing_of(loaded: &Loaded) -> Placement {
    let kafka = &loaded.config.kafka;
    let is_named = *loaded.origin("kafka.brokers") != Origin::Default;
    Placement { set: kafka.partitioner, kafka: is_named.then(|| kafka.clone()) }
}

/// What was recorded without a signature: a command that ends does not show its log, and nobody else would say.
pub(super) fn say_unsigned(context: &mut Context<'_, '_>, config: &Config) -> Result<Exit, Failure> {
    let keys = SigningKeys::of(&config.keys_dir());
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

fn take(
    data: &DataDir,
    input: impl BufRead,
    options: &ImportOptions,
    bar: &ProgressBar,
) -> Result<ImportReport, ImportError> {
    let result = import(data, input, options, &mut |lines, bytes| {
        // A redraw for every line would cost more than the line.
        if lines % 1000 == 0 {
            bar.set_position(bytes);
        }
    });
    bar.finish_and_clear();
    result
}

fn progress(terminal: bool, length: Option<u64>) -> ProgressBar {
    if !terminal {
        return ProgressBar::hidden();
    }
    let (bar, template) = match length {
        Some(length) => {
            (ProgressBar::new(length), "{bar:40} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left")
        }
        None => (ProgressBar::new_spinner(), "{spinner} {bytes}, {bytes_per_sec}"),
    };
    let style = ProgressStyle::with_template(template);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn summary(report: &ImportReport) -> String {
    let ImportReport { lines, already_taken, applied, .. } = report;
    format!(
        "{lines} lines: {already_taken} taken before, {} events appended ({} late), {} repeated, {} refused",
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
