//! The commands. Arguments of one command come in with the [`Context`] of the run; its answer goes to standard output,
//! everything else to standard error, and the exit code is the verdict.

mod backup;
mod config;
mod decisions;
mod export;
mod gateway;
mod import;
mod import_local;
mod in_store;
mod input;
mod keys;
mod lineage;
mod log_scan;
mod prove;
mod publish;
mod quarantine;
mod query;
mod rebuild;
mod reconcile;
mod refill;
mod restore;
mod search;
mod serve;
mod submit;
mod token;
mod topics;
mod verify;

use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
pub(crate) use input::InputFile;
use ledger_api::client_tls;
use ledger_api::query::Raw;
use ledger_core::time::Timestamp;
use ledger_store::{BackupProgress, DataDir, ShardId};
use serde_json::value::RawValue;

use crate::backend::{Backend, Completeness, Local, Remote, ServerCredentials};
use crate::cli::{Cli, Command, Format, GivenFormat, Global, QueryTarget, ServerArgs};
use crate::config::{Config, FlagValue, Loaded};
use crate::output::{Column, OutputError, Printer, details, escape_control_lines};
use crate::telemetry::{self, LogOptions};
use crate::{Env, Exit, Failure};

/// Has the credential of commands with `--url`.
const TOKEN: &str = "REALM_LEDGER_TOKEN";

/// Where the authorities of its server are.
const CA: &str = "REALM_LEDGER_CA";

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
    if !matches!(command, Command::Import(_)) && global.format.is_some_and(|given| given.output().is_none()) {
        let message = "--format is json or table here; the others are forms of a file that `import` reads";
        return Err(Failure::new(message).exit(Exit::Usage));
    }
    if !matches!(command, Command::Serve(_) | Command::Gateway(_) | Command::Demo(_)) {
        context.start_quiet_logs();
    }
    // A stream may be as long as the log, and stops with its reader; a verdict, or a list that is whole or not, does not.
    let streams =
        matches!(command, Command::Log(_) | Command::Decisions(_) | Command::Replay(_) | Command::Export(_));
    if !streams {
        context.env.outlive_reader();
    }
    let done = run_command(&mut context, command);
    for line in context.completeness.reports() {
        context.report(&line);
    }
    let is_done = match &done {
        Ok(exit) => *exit == Exit::Done,
        Err(failure) => failure.code() == Exit::Done,
    };
    if is_done && context.completeness.is_partial() {
        return Err(Failure::new("the answer is not whole: it lacks what the shards named above have"));
    }
    done
}

fn run_command(context: &mut Context<'_, '_>, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Serve(args) => serve::run(context, args),
        Command::Gateway(args) => gateway::run(context, args),
        Command::Demo(args) => serve::demo(context, &args),
        Command::Import(args) => import::run(context, args),
        Command::Topics(args) => topics::run(context, args),
        Command::Config(args) => config::run(context, &args),
        Command::Publish(args) => publish::run(context, args),
        Command::State(args) => query::state(context, args),
        Command::Log(args) => query::log(context, args),
        Command::Explain(args) => query::explain(context, args),
        Command::Preview(args) => query::preview(context, args),
        Command::Drift(args) => query::drift(context, &args),
        Command::Windows(args) => query::windows(context, &args),
        Command::SplitBrain(args) => query::split_brain(context, &args),
        Command::Anomalies(args) => query::anomalies(context, &args),
        Command::Migrations(args) => query::migrations(context, &args),
        Command::Lineage(args) => lineage::run(context, args),
        Command::Search(args) => search::run(context, args),
        Command::Decisions(args) => decisions::run(context, args),
        Command::Whatif(args) => log_scan::whatif(context, args),
        Command::Replay(args) => log_scan::replay(context, args),
        Command::Reconcile(args) => reconcile::run(context, args),
        Command::Rebuild(args) => rebuild::run(context, args),
        Command::Refill(args) => refill::run(context, args),
        Command::Quarantine(args) => quarantine::run(context, args),
        Command::Checkpoint(args) => keys::checkpoint(context, args),
        Command::Keys(args) => keys::run(context, args),
        Command::Prove(args) => prove::run(context, &args),
        Command::Export(args) => export::run(context, args),
        Command::Verify(args) => verify::run(context, args),
        Command::Submit(args) => submit::run(context, args),
        Command::Backup(args) => backup::run(context, args),
        Command::Restore(args) => restore::run(context, &args),
        Command::Token(args) => token::run(context, args),
        Command::Completions(args) => config::completions(context, &args),
    }
}

impl Context<'_, '_> {
    /// The configuration in force, with the command's own flags, and the origins of its values.
    fn loaded<const N: usize>(&self, flags: [Option<FlagValue>; N]) -> Result<Loaded, Failure> {
        let unreadable = &self.env.not_unicode;
        if !unreadable.is_empty() {
            return Err(Failure::new(format!(
                "environment variable {}: not Unicode, so no setting; give another value, or a file with --config",
                unreadable.join(", ")
            )));
        }
        let flags: Vec<FlagValue> = flags.into_iter().flatten().collect();
        Ok(crate::config::load(self.global.config.as_deref(), &self.env.environment, &flags)?)
    }

    /// The configuration in force, with the command's own flags.
    fn config<const N: usize>(&self, flags: [Option<FlagValue>; N]) -> Result<Config, Failure> {
        Ok(self.loaded(flags)?.config)
    }

    /// Logs of a command that ends by itself: it reports what matters itself, so logs only help to look deeper.
    fn start_quiet_logs(&self) {
        let options = LogOptions { level: "error".to_owned(), format: "text".to_owned() };
        // In a test another run of this process logs already, which is as good.
        let _ = self.start_logs(&options);
    }

    fn start_logs(&self, options: &LogOptions) -> Result<(), Failure> {
        let terminal = self.env.messages_are_terminal;
        telemetry::start_logs(options, self.global.verbose, terminal, self.env.colours(terminal))
    }

    /// The server that is to be asked; none: a data directory is.
    fn server(&self, target: &QueryTarget) -> Result<Option<Remote>, Failure> {
        let Some(url) = &target.url else { return Ok(None) };
        self.server_at(url, &target.server).map(Some)
    }

    fn server_at(&self, url: &str, server: &ServerArgs) -> Result<Remote, Failure> {
        Ok(Remote::new(url, self.completeness.clone(), self.credentials(server)?))
    }

    /// What a server is asked with, and checked by.
    fn credentials(&self, ServerArgs { token_file, ca }: &ServerArgs) -> Result<ServerCredentials, Failure> {
        let ca = ca.clone().or_else(|| self.env.environment.get(CA).map(PathBuf::from));
        let ca = ca.filter(|path| !path.as_os_str().is_empty());
        let unusable =
            |error| Failure::caused("the authorities of --ca cannot be used", error).exit(Exit::Usage);
        let tls = client_tls(ca.as_deref()).map_err(unusable)?;
        Ok(ServerCredentials::new(self.token(token_file.as_deref())?.as_deref(), tls)?)
    }

    /// The credential of this run. It is never an argument, which other users of the machine could read.
    fn token(&self, file: Option<&Path>) -> Result<Option<String>, Failure> {
        let given = match file {
            Some(path) => {
                Some(std::fs::read_to_string(path).map_err(|error| Failure::unreadable(path, error))?)
            }
            None => self.env.environment.get(TOKEN).cloned(),
        };
        // What `token create` prints begins with it.
        let first = given.as_deref().and_then(|given| given.trim().lines().next());
        Ok(first.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()))
    }

    /// What answers a reading command.
    fn backend(&self, target: &QueryTarget) -> Result<Backend, Failure> {
        if let Some(server) = self.server(target)? {
            return Ok(Backend::Remote(server));
        }
        let config = self.config([data_dir_flag(target.data_dir.clone())])?;
        let Config { data_dir, store, kafka, .. } = config;
        let local = Local::open(&data_dir, store, &kafka.topics, now(), &self.completeness)?;
        Ok(Backend::Local(local))
    }

    fn format(&self) -> Format {
        let usual = if self.env.output_is_terminal { Format::Table } else { Format::Json };
        self.global.format.and_then(GivenFormat::output).unwrap_or(usual)
    }

    /// A printer for a list.
    fn printer(&mut self, columns: &'static [Column]) -> Printer<'_> {
        let (format, terminal) = (self.format(), self.env.output_is_terminal);
        Printer::new(&mut self.env.output, format, terminal, columns)
    }

    /// Prints a list.
    fn print_list(
        &mut self,
        columns: &'static [Column],
        items: impl IntoIterator<Item = Result<Raw, OutputError>>,
    ) -> Result<(), OutputError> {
        let mut printer = self.printer(columns);
        items.into_iter().try_for_each(|item| printer.item(&item?))?;
        printer.finish()?;
        Ok(())
    }

    /// Prints one thing in full.
    fn print_one(&mut self, item: &RawValue) -> Result<(), OutputError> {
        let format = self.format();
        let out = &mut self.env.output;
        match format {
            Format::Json => writeln!(out, "{}", item.get())?,
            Format::Table => details(out, item)?,
        }
        Ok(out.flush()?)
    }

    /// Prints a text as it is.
    fn print_text(&mut self, text: &[u8]) -> Result<(), OutputError> {
        let out = &mut self.env.output;
        Ok(out.write_all(text).and_then(|()| out.flush())?)
    }

    /// A bar that counts what is done, for a person who waits; hidden where no terminal shows it.
    fn progress(&self, prefix: &str) -> ProgressBar {
        self.bar(ProgressBar::new(0), "{prefix} {bar:40} {human_pos}/{human_len} records, {eta} left")
            .with_prefix(prefix.to_owned())
    }

    /// The same for bytes.
    fn progress_of_bytes(&self, prefix: &str) -> ProgressBar {
        self.bar(ProgressBar::new(0), "{prefix} {bar:40} {binary_bytes}/{binary_total_bytes}, {eta} left")
            .with_prefix(prefix.to_owned())
    }

    /// Does what copies or reads bytes, under a bar that goes when it is done.
    fn with_bytes<T>(&self, prefix: &str, work: impl FnOnce(BackupProgress<'_>) -> T) -> T {
        let bar = self.progress_of_bytes(prefix);
        let done = work(&mut |done, total| {
            advance(&bar)(done, total);
            ControlFlow::Continue(())
        });
        bar.finish_and_clear();
        done
    }

    fn bar(&self, bar: ProgressBar, template: &str) -> ProgressBar {
        if !self.env.messages_are_terminal {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template(template);
        bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    }

    /// Ends a list. A table of nothing has not even a head, and a person would wait for one.
    fn end_list(&mut self, has_any: bool, nothing: &str) {
        if !has_any && self.format() == Format::Table {
            self.report(nothing);
        }
    }

    /// Reports what is no data.
    pub(crate) fn report(&mut self, text: &str) {
        // A reader that closed standard error loses nothing that was asked for.
        let _ = writeln!(self.env.messages, "{}", escape_control_lines(text));
    }
}

/// Shows how much is done.
fn advance(bar: &ProgressBar) -> impl FnMut(u64, u64) {
    |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    }
}

/// The clock of this machine: read where a command begins, never inside a rule.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}

/// Refuses a span that ends before it begins.
fn check_span(from: Option<Timestamp>, to: Option<Timestamp>) -> Result<(), Failure> {
    ledger_api::ledger::check_span(from, to).map_err(|error| Failure::from(error).exit(Exit::Usage))
}

/// Opens a data directory that is there, for reading.
fn open_read_only(config: &Config) -> Result<DataDir, Failure> {
    Ok(DataDir::open_existing_read_only(&config.data_dir, config.store.clone())?)
}

/// The shards of a data directory, for a command that goes through all of them. Success without any would be taken for
/// the verdict on a ledger.
fn shards_to(work: &str, data: &DataDir) -> Result<Vec<ShardId>, Failure> {
    let shards = data.shards()?;
    if shards.is_empty() {
        let path = data.path().display();
        return Err(Failure::new(format!("there is nothing to {work}: {path} has no shard")));
    }
    Ok(shards)
}

fn data_dir_flag(given: Option<PathBuf>) -> Option<FlagValue> {
    // Nothing is lost: the parser refuses what is not Unicode.
    let value = given?.to_string_lossy().into_owned();
    Some(FlagValue { key: "data_dir", flag: "--data-dir", value })
}

fn brokers_flag(given: Option<String>) -> Option<FlagValue> {
    Some(FlagValue { key: "kafka.brokers", flag: "--brokers", value: given? })
}

fn partitioner_flag(given: Option<String>) -> Option<FlagValue> {
    Some(FlagValue { key: "kafka.partitioner", flag: "--partitioner", value: given? })
}

/// What makes torn tenants whole.
const REFILL: &str =
    "`realm-ledger refill --from OLD --data-dir NEW` makes a data directory in which each tenant is whole";
