//! The commands, one file each.

mod checkpoint;
mod completions;
mod config;
mod demo;
mod export;
mod import;
mod input;
mod keys;
mod list;
mod prove;
mod publish;
mod quarantine;
mod rebuild;
mod reconcile;
mod refill;
mod replay;
mod serve;
mod signed;
mod tenant;
mod topics;
mod verify;
mod whatif;

use std::io::Write as _;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
pub(crate) use input::{Input, Unreadable};
use ledger_api::ledger::QueryError;
use ledger_core::time::Timestamp;
use ledger_record::json::time::format_instant;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::backend::{AskError, Backend, Completeness, Local, Remote};
use crate::cli::{Cli, Command, Format, Global, Place};
use crate::config::{ConfigErrors, FlagValue, Loaded};
use crate::output::{Column, OutputError, Printer, details, escape_control, escape_control_lines};
use crate::telemetry::{self, LogOptions};
use crate::{Env, Exit, Failure};

/// What every command has at hand.
pub(crate) struct Context<'a, 'b> {
    global: &'a Global,
    pub(crate) env: &'a mut Env<'b>,
    /// What the answers lack.
    completeness: Completeness,
}

/// Does what was asked.
pub(crate) fn run(cli: Cli, env: &mut Env<'_>) -> Result<Exit, Failure> {
    let Cli { global, command } = cli;
    let mut context = Context { global: &global, env, completeness: Completeness::default() };
    if !matches!(command, Command::Serve(_) | Command::Demo(_)) {
        context.start_quiet_logs();
    }
    // A stream may be as long as the log, and stops with its reader; what judges, or is whole or not, does not.
    if !matches!(command, Command::Log(_) | Command::Replay(_) | Command::Export(_)) {
        context.env.outlive_reader();
    }
    let done = command_of(&mut context, command);
    for line in context.completeness.reports() {
        context.say(&line);
    }
    match done {
        Ok(Exit::Done) if context.completeness.is_partial() => Err(Failure::new(Partial)),
        Err(end) if end.code() == Exit::Done && context.completeness.is_partial() => {
            Err(Failure::new(Partial))
        }
        done => done,
    }
}

/// An answer that every shard has a part of, without one of them.
#[derive(Debug, thiserror::Error)]
#[error("the answer is not whole: it lacks what the shards named above have")]
struct Partial;

fn command_of(context: &mut Context<'_, '_>, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Serve(args) => serve::run(context, args),
        Command::Demo(args) => demo::run(context, &args),
        Command::Import(args) => import::run(context, args),
        Command::Topics(args) => topics::run(context, args),
        Command::Config(args) => config::run(context, &args),
        Command::Publish(args) => publish::run(context, args),
        Command::State(args) => tenant::state(context, args),
        Command::Log(args) => tenant::log(context, args),
        Command::Explain(args) => tenant::explain(context, args),
        Command::Preview(args) => tenant::preview(context, args),
        Command::Drift(args) => list::drift(context, &args),
        Command::Windows(args) => list::windows(context, &args),
        Command::SplitBrain(args) => list::split_brain(context, &args),
        Command::Anomalies(args) => list::anomalies(context, &args),
        Command::Migrations(args) => list::migrations(context, &args),
        Command::Whatif(args) => whatif::run(context, args),
        Command::Replay(args) => replay::run(context, args),
        Command::Reconcile(args) => reconcile::run(context, args),
        Command::Rebuild(args) => rebuild::run(context, &args),
        Command::Refill(args) => refill::run(context, args),
        Command::Quarantine(args) => quarantine::run(context, args),
        Command::Checkpoint(args) => checkpoint::run(context, args),
        Command::Keys(args) => keys::run(context, args),
        Command::Prove(args) => prove::run(context, &args),
        Command::Export(args) => export::run(context, &args),
        Command::Verify(args) => verify::run(context, args),
        Command::Completions(args) => completions::run(context, &args),
    }
}

impl Context<'_, '_> {
    /// The configuration in force, with what the command's own flags say.
    pub(crate) fn config(&self, flags: &[FlagValue]) -> Result<Loaded, Failure> {
        let unreadable = &self.env.not_unicode;
        if !unreadable.is_empty() {
            return Err(Failure::new(NotUnicode { names: unreadable.join(", ") }));
        }
        let file = self.global.config.as_deref();
        Ok(crate::config::load(file, &self.env.environment, flags)?)
    }

    /// Whether a configuration file was named.
    pub(crate) fn names_a_file(&self) -> bool {
        self.global.config.is_some()
    }

    pub(crate) fn verbosity(&self) -> u8 {
        self.global.verbose
    }

    /// Commands that end by themselves say what matters in their own words; logs only help to look deeper.
    fn start_quiet_logs(&self) {
        let options = LogOptions { level: "error".to_owned(), format: "text".to_owned() };
        let terminal = self.env.messages_are_terminal;
        let colours = self.env.colours(terminal);
        // In a test another run of this process logs already, which is as good.
        let _ = telemetry::start_logs(&options, self.global.verbose, terminal, colours);
    }

    /// The server that is to be asked; none: a data directory is.
    pub(crate) fn server(&self, place: &Place) -> Option<Remote> {
        place.url.as_ref().map(|url| Remote::new(url, self.completeness.clone()))
    }

    /// Who answers a reading command.
    pub(crate) fn backend(&self, place: &Place) -> Result<Backend, Failure> {
        if let Some(server) = self.server(place) {
            return Ok(Backend::Remote(server));
        }
        let loaded = self.config(&data_dir_flag(place.data_dir.as_deref()))?;
        let local = Local::open(&loaded.config.data_dir, loaded.config.store, now(), &self.completeness)?;
        Ok(Backend::Local(local))
    }

    pub(crate) fn format(&self) -> Format {
        let usual = if self.env.output_is_terminal { Format::Table } else { Format::Json };
        self.global.format.unwrap_or(usual)
    }

    /// Whether this format was asked for, where a command prints nothing unless it is.
    pub(crate) fn asks_for(&self, format: Format) -> bool {
        self.global.format == Some(format)
    }

    /// A printer for a list.
    pub(crate) fn printer(&mut self, columns: &'static [Column]) -> Printer<'_> {
        let (format, terminal) = (self.format(), self.env.output_is_terminal);
        Printer::new(&mut self.env.output, format, terminal, columns)
    }

    /// Prints an explanation as the sentences it is made of.
    pub(crate) fn print_sentences(&mut self, explanation: &RawValue) -> Result<(), OutputError> {
        let explanation: Explanation =
            serde_json::from_str(explanation.get()).map_err(|error| OutputError(error.into()))?;
        let out = &mut self.env.output;
        for sentence in explanation.sentences {
            writeln!(out, "{}", escape_control(&sentence.in_line()))?;
        }
        Ok(out.flush()?)
    }

    /// Prints one thing in full.
    pub(crate) fn print_one(&mut self, item: &RawValue) -> Result<(), OutputError> {
        let format = self.format();
        let out = &mut self.env.output;
        match format {
            Format::Json => writeln!(out, "{}", item.get())?,
            Format::Table => details(out, item)?,
        }
        Ok(out.flush()?)
    }

    /// A bar for people who wait; nothing where nobody sees it.
    pub(crate) fn progress(&self, prefix: &str) -> ProgressBar {
        if !self.env.messages_are_terminal {
            return ProgressBar::hidden();
        }
        let style =
            ProgressStyle::with_template("{prefix} {bar:40} {human_pos}/{human_len} records, {eta} left");
        ProgressBar::new(0)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            .with_prefix(prefix.to_owned())
    }

    /// Ends a list. A table of nothing has not even a head, and a person would wait for one.
    pub(crate) fn end_list(&mut self, has_any: bool, nothing: &str) {
        if !has_any && self.format() == Format::Table {
            self.say(nothing);
        }
    }

    /// Says something that is no data.
    pub(crate) fn say(&mut self, text: &str) {
        // Nobody listens: nothing is lost that was asked for.
        let _ = writeln!(self.env.messages, "{}", escape_control_lines(text));
    }
}

/// An explanation, as far as this program reads it.
#[derive(Deserialize)]
struct Explanation {
    sentences: Vec<Sentence>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Sentence {
    text: String,
    seqs: Vec<u64>,
    app_events: Vec<String>,
    fact: Fact,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fact {
    kind: String,
}

impl Sentence {
    /// The sentence, and the records it rests on.
    fn in_line(&self) -> String {
        let mut rests_on = Vec::new();
        if !self.seqs.is_empty() {
            let seqs: Vec<String> = self.seqs.iter().map(u64::to_string).collect();
            rests_on.push(format!("seq {}", seqs.join(", ")));
        }
        if !self.app_events.is_empty() {
            rests_on.push(format!("app event {}", self.app_events.join(", ")));
        }
        if rests_on.is_empty() {
            self.text.clone()
        } else {
            format!("{} [{}]", self.text, rests_on.join("; "))
        }
    }
}

/// The clock of this machine: where a command begins, never inside a rule.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}

/// A span of the command line that ends before it begins.
pub(crate) fn check_span(from: Option<Timestamp>, to: Option<Timestamp>) -> Result<(), Failure> {
    match (from, to) {
        (Some(from), Some(to)) if to < from => {
            let (from, to) = (format_instant(from), format_instant(to));
            Err(Failure::new(QueryError::SpanEndsFirst { from, to }).exit(Exit::Usage))
        }
        _ => Ok(()),
    }
}

pub(crate) fn data_dir_flag(given: Option<&Path>) -> Vec<FlagValue> {
    let flag = |path: &Path| FlagValue {
        key: "data_dir",
        flag: "--data-dir",
        // Nothing is lost: the parser refuses what is not Unicode.
        value: path.to_string_lossy().into_owned(),
    };
    given.map(flag).into_iter().collect()
}

pub(crate) fn brokers_flag(given: Option<String>) -> Vec<FlagValue> {
    given.map(|value| FlagValue { key: "kafka.brokers", flag: "--brokers", value }).into_iter().collect()
}

/// What makes torn tenants whole.
pub(crate) const REFILL: &str =
    "`realm-ledger refill --from OLD --data-dir NEW` makes a data directory in which each tenant is whole";

pub(crate) fn partitioner_flag(given: Option<String>) -> Vec<FlagValue> {
    let flag = |value| FlagValue { key: "kafka.partitioner", flag: "--partitioner", value };
    given.map(flag).into_iter().collect()
}

/// A setting that cannot be told from another one.
#[derive(Debug, thiserror::Error)]
#[error(
    "environment variable {names}: not Unicode, so no setting; give another value, or a file with --config"
)]
struct NotUnicode {
    names: String,
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::new(errors)
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        let error = match error {
            AskError::Open(error) => return error.into(),
            error => error,
        };
        let hint = match &error {
            AskError::Unreachable { .. } => {
                Some("is the server running, and is this its address?".to_owned())
            }
            AskError::NotThen { .. } => Some(
                "that is as of the instant and the knowledge that were asked for; leave them out for now"
                    .to_owned(),
            ),
            error => error.code().and_then(hint_for),
        };
        let failure = Self::new(error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// What is sealed is signed by who else?
const SIGNED_BY_SERVE: &str = "a running `serve` signs within seconds, or its /readyz says why it does not; \
                               without kafka.checkpoints_topic it signs nothing";

/// The same for an answer of this machine and of a server.
fn hint_for(code: &str) -> Option<String> {
    let hint = match code {
        "not-found" => "keys are compared letter by letter; `realm-ledger state` lists them all",
        "not-signed" => SIGNED_BY_SERVE,
        "shard-halted" => "the server's log and /readyz say why",
        _ => return None,
    };
    Some(hint.to_owned())
}
