//! Queries about the whole log, answered line by line: `replay` (records once more, each with the states after it) and
//! `whatif` (other policies beside what was).

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use ledger_api::query::{AnswerLine, Raw, ReplayQuery, WhatIfQuery};
use ledger_core::whatif::{GAP_DAYS, WhatIfScope};
use serde_json::Value;

use super::query::check_left_out;
use super::{Context, advance, check_span};
use crate::cli::{Format, ReplayArgs, WhatIfArgs};
use crate::output::{Column, GapBin, OutputError, Printer, items_at, plot_svg, plot_text, policy, text_at};
use crate::{Exit, Failure};

const REPLAY: &[Column] = &[
    Column::made("shard", |step| format!("{}/{}", text_at(step, "/topic"), text_at(step, "/partition"))),
    Column::at("position", "/position"),
    Column::at("client key", "/record/event/clientKey"),
    Column::at("seq", "/record/seq"),
    Column::at("time", "/record/event/time"),
    Column::at("event", "/record/event/type"),
    Column::made("then", |step| {
        let states = items_at(step, "/states").iter().map(|state| {
            let parts = ["/appKey", "/status", "/pinnedRealm"].map(|place| text_at(state, place));
            parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
        });
        states.collect::<Vec<_>>().join(", ")
    }),
];

const WHATIF: &[Column] = &[
    Column::made("policy", |report| report.get("policy").map(policy).unwrap_or_default()),
    Column::at("reinstalls", "/reinstalls"),
    Column::made("persisted", |report| counted(report, "/persisted")),
    Column::made("moved", |report| counted(report, "/moved")),
    Column::made("gap p50", |report| days(report, "/gaps/p50Days")),
    Column::made("p90", |report| days(report, "/gaps/p90Days")),
    Column::made("p99", |report| days(report, "/gaps/p99Days")),
    Column::made("max", |report| days(report, "/gaps/maxDays")),
    Column::made("gaps within days", shares),
];

pub(super) fn replay(context: &mut Context<'_, '_>, args: ReplayArgs) -> Result<Exit, Failure> {
    let ReplayArgs { client_key, app, shard, from, to, from_position, target } = args;
    check_span(from, to)?;
    let backend = context.backend(&target)?;
    let query = ReplayQuery { client: client_key, app, shard, from, to, from_position };
    // A bar between records on the same terminal would be in the way.
    let bar = if context.env.output_is_terminal { ProgressBar::hidden() } else { context.progress("replay") };
    let mut printer = context.printer(REPLAY);
    backend.ask_lines(&query, &mut |line| {
        match line {
            AnswerLine::Progress(progress) => advance(&bar)(progress.records, progress.total),
            AnswerLine::Step(step) => printer.item(&step)?,
            _ => {}
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    printer.finish()?;
    Ok(Exit::Done)
}

pub(super) fn whatif(context: &mut Context<'_, '_>, args: WhatIfArgs) -> Result<Exit, Failure> {
    let WhatIfArgs { policies, app, from, to, differences, plot, svg, target } = args;
    check_span(from, to)?;
    let query = WhatIfQuery {
        policies,
        scope: WhatIfScope { app, from, to, granted: None },
        differences: differences.is_some(),
    };
    let on_output = differences.as_deref() == Some(Path::new("-"));
    let mut file = differences.filter(|_| !on_output).map(DifferencesFile::create).transpose()?;
    let backend = context.backend(&target)?;
    let bar = context.progress("what if");
    let (mut reports, mut left_out) = (Vec::new(), Vec::new());
    let out = &mut context.env.output;
    backend.ask_lines(&query, &mut |line| {
        match line {
            AnswerLine::Progress(progress) => advance(&bar)(progress.records, progress.total),
            AnswerLine::Difference(found) => match &mut file {
                Some(file) => file.write(&found)?,
                None => writeln!(out, "{}", found.get()).map_err(OutputError)?,
            },
            AnswerLine::Report(report) => reports.push(report),
            AnswerLine::Refused(tenant) => left_out.push(tenant),
            AnswerLine::Step(_) | AnswerLine::Freshness(_) | AnswerLine::Problem(_) => {}
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    file.map(DifferencesFile::finish).transpose()?;
    print_reports(context, &reports, on_output)?;
    // How long an app stays away does not depend on the policy.
    let bins = reports.first().map_or_else(Vec::new, gap_bins);
    if plot {
        let as_data = context.format() == Format::Table && !on_output;
        let out = if as_data { &mut context.env.output } else { &mut context.env.messages };
        out.write_all(plot_text(&bins).as_bytes()).and_then(|()| out.flush()).map_err(OutputError)?;
    }
    if let Some(path) = svg {
        std::fs::write(&path, plot_svg(&bins)).map_err(|error| Failure::unwritable(&path, error))?;
    }
    check_left_out(context, left_out)
}

/// Prints the reports side by side. Where the output has the differences, a table of them goes to standard error.
fn print_reports(context: &mut Context<'_, '_>, reports: &[Raw], on_output: bool) -> Result<(), OutputError> {
    let mut printer = if on_output {
        Printer::new(&mut context.env.messages, Format::Table, false, WHATIF)
    } else {
        context.printer(WHATIF)
    };
    reports.iter().try_for_each(|report| printer.item(report))?;
    printer.finish()?;
    Ok(())
}

/// A file of differences, one a line.
struct DifferencesFile {
    path: PathBuf,
    out: BufWriter<File>,
}

impl DifferencesFile {
    fn create(path: PathBuf) -> Result<Self, Failure> {
        let file = File::create(&path).map_err(|error| Failure::unwritable(&path, error))?;
        Ok(Self { path, out: BufWriter::new(file) })
    }

    fn write(&mut self, difference: &Raw) -> Result<(), Failure> {
        writeln!(self.out, "{}", difference.get()).map_err(|error| Failure::unwritable(&self.path, error))
    }

    fn finish(mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| Failure::unwritable(&self.path, error))
    }
}

/// The bins of the gaps in a report; none without gaps.
fn gap_bins(report: &Raw) -> Vec<GapBin> {
    let report: Value = serde_json::from_str(report.get()).unwrap_or_default();
    let bins = items_at(&report, "/gaps/bins").iter().map(|bin| GapBin {
        up_to_days: bin.get("upToDays").and_then(Value::as_f64),
        count: bin.get("count").and_then(Value::as_u64).unwrap_or_default(),
    });
    bins.collect()
}

/// A count, and its share of the reinstalls.
fn counted(report: &Value, pointer: &str) -> String {
    let number = |pointer| report.pointer(pointer).and_then(Value::as_f64).unwrap_or_default();
    let (count, all) = (number(pointer), number("/reinstalls"));
    if all > 0.0 { format!("{count} ({:.1} %)", count * 100.0 / all) } else { count.to_string() }
}

fn days(report: &Value, pointer: &str) -> String {
    let days = report.pointer(pointer).and_then(Value::as_f64);
    days.map(|days| format!("{days:.1} d")).unwrap_or_default()
}

fn shares(report: &Value) -> String {
    let share = |at: usize| report.pointer(&format!("/gaps/shares/{at}/share")).and_then(Value::as_f64);
    let shares = GAP_DAYS.iter().enumerate().filter_map(|(at, days)| Some((days, share(at)?)));
    shares.map(|(days, share)| format!("{days}: {:.1} %", share * 100.0)).collect::<Vec<_>>().join(", ")
}
