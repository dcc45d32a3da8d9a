//! `whatif`: other policies beside what was, all of history once more.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use ledger_api::query::{AnswerLine, Raw, WhatIfQuery};
use ledger_core::whatif::{GAP_DAYS, WhatIfScope};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::list::incomplete;
use super::{Context, Input, check_span};
use crate::cli::{Format, WhatIf};
use crate::output::{Bin, Column, OutputError, Printer, plot_svg, plot_text, policy};
use crate::{Exit, Failure};

const COLUMNS: &[Column] = &[
    Column::made("policy", |report| report.get("policy").map(policy).unwrap_or_default()),
    Column::of("reinstalls", "/reinstalls"),
    Column::made("persisted", |report| counted(report, "/persisted")),
    Column::made("moved", |report| counted(report, "/moved")),
    Column::made("gap p50", |report| days(report, "/gaps/p50Days")),
    Column::made("p90", |report| days(report, "/gaps/p90Days")),
    Column::made("p99", |report| days(report, "/gaps/p99Days")),
    Column::made("max", |report| days(report, "/gaps/maxDays")),
    Column::made("gaps within days", shares),
];

/// Where differences go.
enum Differences {
    Nowhere,
    Output,
    File(PathBuf, BufWriter<File>),
}

/// As much of a report as is drawn.
#[derive(Deserialize)]
struct Report {
    gaps: Option<Gaps>,
}

#[derive(Deserialize)]
struct Gaps {
    bins: Vec<Bin>,
}

pub(super) fn run(context: &mut Context<'_, '_>, args: WhatIf) -> Result<Exit, Failure> {
    let WhatIf { policies, app, from, to, differences, plot, svg, place } = args;
    check_span(from, to)?;
    let asked =
        WhatIfQuery { policies, scope: WhatIfScope { app, from, to }, differences: differences.is_some() };
    let mut differences = Differences::open(differences)?;
    let backend = context.backend(&place)?;
    let bar = context.progress("what if");
    let (mut reports, mut refused) = (Vec::new(), Vec::new());
    let out = &mut context.env.output;
    backend.ask_lines(&asked, &mut |line| {
        match line {
            AnswerLine::Progress(progress) => {
                bar.set_length(progress.total);
                bar.set_position(progress.records);
            }
            AnswerLine::Difference(found) => differences.write(out, &found)?,
            AnswerLine::Report(report) => reports.push(report),
            AnswerLine::Refused(tenant) => refused.push(tenant),
            AnswerLine::Step(_) | AnswerLine::Freshness(_) | AnswerLine::Problem(_) => {}
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    let beside = matches!(differences, Differences::Output);
    differences.finish()?;
    context.print_reports(&reports, beside)?;
    // How long an app stays away does not depend on the policy.
    let bins = reports.first().map_or_else(Vec::new, |report| bins(report));
    if plot {
        let as_data = context.format() == Format::Table && !beside;
        let env = &mut *context.env;
        let out = if as_data { &mut env.output } else { &mut env.messages };
        out.write_all(plot_text(&bins).as_bytes()).and_then(|()| out.flush()).map_err(OutputError::from)?;
    }
    if let Some(path) = svg {
        std::fs::write(&path, plot_svg(&bins)).map_err(|source| Failure::unwritable(&path, source))?;
    }
    incomplete(context, refused)
}

impl Context<'_, '_> {
    /// The reports side by side; where the output has the differences they go to people.
    fn print_reports(&mut self, reports: &[Raw], beside: bool) -> Result<(), OutputError> {
        let mut printer = if beside {
            Printer::new(&mut self.env.messages, Format::Table, false, COLUMNS)
        } else {
            self.printer(COLUMNS)
        };
        for report in reports {
            printer.item(report)?;
        }
        printer.finish().map(drop)
    }
}

impl Differences {
    fn open(asked: Option<PathBuf>) -> Result<Self, Failure> {
        match asked.map(Input::of) {
            None => Ok(Self::Nowhere),
            Some(Input::Standard) => Ok(Self::Output),
            Some(Input::File(path)) => match File::create(&path) {
                Ok(file) => Ok(Self::File(path, BufWriter::new(file))),
                Err(source) => Err(Failure::unwritable(&path, source)),
            },
        }
    }

    fn write(&mut self, output: &mut dyn Write, found: &RawValue) -> Result<(), Failure> {
        match self {
            Self::Nowhere => Ok(()),
            Self::Output => Ok(writeln!(output, "{}", found.get()).map_err(OutputError::from)?),
            Self::File(path, file) => {
                writeln!(file, "{}", found.get()).map_err(|source| Failure::unwritable(path, source))
            }
        }
    }

    fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Nowhere | Self::Output => Ok(()),
            Self::File(path, mut file) => file.flush().map_err(|source| Failure::unwritable(&path, source)),
        }
    }
}

/// What this program or its server has written has bins, or no gaps at all.
fn bins(report: &RawValue) -> Vec<Bin> {
    let report: Option<Report> = serde_json::from_str(report.get()).ok();
    report.and_then(|report| report.gaps).map_or_else(Vec::new, |gaps| gaps.bins)
}

/// A count, and how much of the reinstalls that is.
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
    let said = GAP_DAYS.iter().enumerate().filter_map(|(at, days)| Some((days, share(at)?)));
    said.map(|(days, share)| format!("{days}: {:.1} %", share * 100.0)).collect::<Vec<_>>().join(", ")
}
