//! `rebuild`: the projections anew from the log, compared byte for byte.

use ledger_store::{FamilyDifference, RebuildReport, ShardId, check, rebuild};
use serde::Serialize;

use super::{Context, advance, data_dir_flag, open_read_only, shards_to};
use crate::cli::Rebuild;
use crate::output::{Column, raw};
use crate::{Exit, Failure, secret};

const COLUMNS: &[Column] = &[
    Column::at("shard", "/shard"),
    Column::at("tenants", "/tenants"),
    Column::at("records", "/records"),
    Column::at("differences", "/summary"),
];

#[derive(Serialize)]
struct RebuiltShard {
    shard: String,
    tenants: u64,
    records: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differences: Vec<RebuiltFamily>,
    summary: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RebuiltFamily {
    family: &'static str,
    rows: u64,
    first_key: String,
}

pub(super) fn run(context: &mut Context<'_, '_>, args: Rebuild) -> Result<Exit, Failure> {
    let config = context.config([data_dir_flag(args.data_dir)])?;
    // Opening for writing would create what is not there.
    let shards = shards_to("rebuild", &open_read_only(&config)?)?;
    let (data, _) = secret::open(&config)?;
    let mut reports = Vec::new();
    for shard in shards {
        let bar = context.progress(&shard.to_string());
        let build = if args.check { check } else { rebuild };
        let report = build(&data, &shard, &mut advance(&bar))?;
        bar.finish_and_clear();
        reports.push((shard, report));
    }
    print(context, reports, args.check)
}

/// Prints what was found. A difference is exit code 3, also where it was mended.
fn print(
    context: &mut Context<'_, '_>,
    reports: Vec<(ShardId, RebuildReport)>,
    is_check: bool,
) -> Result<Exit, Failure> {
    let differing = reports.iter().filter(|(_, report)| !report.differences.is_empty()).count();
    let rebuilt = reports.into_iter().map(|(shard, report)| raw(&RebuiltShard::new(&shard, report)));
    context.print_list(COLUMNS, rebuilt)?;
    if differing == 0 {
        context.report("not a byte differed");
        return Ok(Exit::Done);
    }
    let mended = if is_check { "were left as they are" } else { "were mended" };
    context.report(&format!(
        "{differing} shard(s) differed from the log and {mended}; find out why before you trust the disk"
    ));
    Ok(Exit::Difference)
}

impl RebuiltShard {
    fn new(shard: &ShardId, report: RebuildReport) -> Self {
        let RebuildReport { tenants, records, differences } = report;
        let counts: Vec<String> = differences
            .iter()
            .map(|difference| format!("{} row(s) of {}", difference.rows, difference.family.as_str()))
            .collect();
        let summary = if counts.is_empty() { "none".to_owned() } else { counts.join(", ") };
        let differences = differences.into_iter().map(|FamilyDifference { family, rows, first_key }| {
            RebuiltFamily { family: family.as_str(), rows, first_key: first_key.escape_ascii().to_string() }
        });
        Self { shard: shard.to_string(), tenants, records, differences: differences.collect(), summary }
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

    /// What is reported of two shards, one of which differs. Only a bad disk makes one.
    fn reported(is_check: bool) -> (Exit, String, String) {
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
            print(&mut context, vec![report(0, vec![]), report(1, vec![difference])], is_check).unwrap();
        drop(env);
        (exit, String::from_utf8(output).unwrap(), String::from_utf8(messages).unwrap())
    }

    #[test]
    fn a_difference_is_exit_3_and_named_whether_or_not_it_was_mended() {
        let (exit, output, messages) = reported(true);
        assert_eq!(exit, Exit::Difference);
        assert!(
            messages.contains("1 shard(s) differed from the log and were left as they are"),
            "{messages}"
        );
        let lines: Vec<serde_json::Value> =
            output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[0]["summary"]), (2, &"none".into()));
        assert_eq!(lines[1]["differences"][0]["firstKey"], "acme\\xff");
        let (exit, _, messages) = reported(false);
        assert_eq!(exit, Exit::Difference);
        assert!(messages.contains("and were mended"), "{messages}");
    }
}
