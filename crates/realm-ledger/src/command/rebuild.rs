//! `rebuild`: the projections anew from the log, compared byte for byte.

use ledger_store::{DataDir, FamilyDifference, RebuildError, RebuildReport, ShardId, check, rebuild};
use serde::Serialize;

use super::{Context, data_dir_flag};
use crate::cli::Rebuild;
use crate::output::{Column, raw};
use crate::{Exit, Failure, secret};

const COLUMNS: &[Column] = &[
    Column::of("shard", "/shard"),
    Column::of("tenants", "/tenants"),
    Column::of("records", "/records"),
    Column::of("differences", "/summary"),
];

#[derive(Serialize)]
struct Report {
    shard: String,
    tenants: u64,
    records: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differences: Vec<FamilyReport>,
    summary: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FamilyReport {
    family: &'static str,
    rows: u64,
    first_key: String,
}

pub(super) fn run(context: &mut Context<'_, '_>, args: &Rebuild) -> Result<Exit, Failure> {
    let loaded = context.config(&data_dir_flag(args.data_dir.as_deref()))?;
    let config = loaded.config;
    // Opening for writing would create what is not there.
    let shards = DataDir::open_existing_read_only(&config.data_dir, config.store.clone())?.shards()?;
    let data = secret::open(&config)?.data;
    let mut reports = Vec::new();
    for shard in shards {
        let bar = context.progress(&shard.to_string());
        let build = if args.check { check } else { rebuild };
        let report = build(&data, &shard, &mut |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        })?;
        bar.finish_and_clear();
        reports.push((shard, report));
    }
    tell(context, reports, args.check)
}

/// Prints what was found; a difference is one, mended or not.
fn tell(
    context: &mut Context<'_, '_>,
    reports: Vec<(ShardId, RebuildReport)>,
    is_check: bool,
) -> Result<Exit, Failure> {
    let differing = reports.iter().filter(|(_, report)| !report.differences.is_empty()).count();
    let mut printer = context.printer(COLUMNS);
    for (shard, report) in reports {
        printer.item(&raw(&Report::of(&shard, report))?)?;
    }
    printer.finish()?;
    if differing == 0 {
        context.say("not a byte differed");
        return Ok(Exit::Done);
    }
    let mended = if is_check { "were left as they are" } else { "were mended" };
    context.say(&format!(
        "{differing} shard(s) differed from the log and {mended}; find out why before you trust the disk"
    ));
    Ok(Exit::Difference)
}

impl Report {
    fn of(shard: &ShardId, report: RebuildReport) -> Self {
        let RebuildReport { tenants, records, differences } = report;
        let said: Vec<String> = differences
            .iter()
            .map(|difference| format!("{} row(s) of {}", difference.rows, difference.family.as_str()))
            .collect();
        let summary = if said.is_empty() { "none".to_owned() } else { said.join(", ") };
        let differences = differences
            .into_iter()
            .map(|FamilyDifference { family, rows, first_key }| FamilyReport {
                family: family.as_str(),
                rows,
                first_key: first_key.escape_ascii().to_string(),
            })
            .collect();
        Self { shard: shard.to_string(), tenants, records, differences, summary }
    }
}

impl From<RebuildError> for Failure {
    fn from(error: RebuildError) -> Self {
        match error {
            RebuildError::Open(error) => error.into(),
            error => Self::new(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::Parser as _;
    use ledger_record::key::Family;

    use super::*;
    use crate::Env;
    use crate::backend::Completeness;
    use crate::cli::Cli;

    /// What is said of two shards, one of which differs. Nothing short of a bad disk makes one.
    fn told(is_check: bool) -> (Exit, String, String) {
        let (mut output, mut messages) = (Vec::new(), Vec::new());
        let mut env = Env {
            environment: BTreeMap::new(),
            not_unicode: Vec::new(),
            input: Box::new(std::io::empty()),
            output: Box::new(&mut output),
            messages: Box::new(&mut messages),
            output_is_terminal: false,
            messages_are_terminal: false,
        };
        let cli = Cli::try_parse_from(["realm-ledger", "rebuild"]).unwrap();
        let mut context =
            Context { global: &cli.global, env: &mut env, completeness: Completeness::default() };
        let difference =
            FamilyDifference { family: Family::Tenants, rows: 2, first_key: b"acme\xff".to_vec() };
        let report = |partition, differences| {
            let shard = ShardId { topic: "t".to_owned(), partition };
            (shard, RebuildReport { tenants: 3, records: 9, differences })
        };
        let exit =
            tell(&mut context, vec![report(0, vec![]), report(1, vec![difference])], is_check).unwrap();
        drop(env);
        (exit, String::from_utf8(output).unwrap(), String::from_utf8(messages).unwrap())
    }

    #[test]
    fn a_difference_is_exit_3_and_named_whether_or_not_it_was_mended() {
        let (exit, output, messages) = told(true);
        assert_eq!(exit, Exit::Difference);
        assert!(
            messages.contains("1 shard(s) differed from the log and were left as they are"),
            "{messages}"
        );
        let lines: Vec<serde_json::Value> =
            output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[0]["summary"]), (2, &"none".into()));
        assert_eq!(lines[1]["differences"][0]["firstKey"], "acme\\xff");
        let (exit, _, messages) = told(false);
        assert_eq!(exit, Exit::Difference);
        assert!(messages.contains("and were mended"), "{messages}");
    }
}
