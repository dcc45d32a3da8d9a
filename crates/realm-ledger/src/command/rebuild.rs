//! `rebuild`: the projections anew from the log, compared byte for byte.

use ledger_store::{DataDir, Difference, RebuildError, RebuildReport, ShardId, check, rebuild};
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
    let mended = if args.check { "were left as they are" } else { "were mended" };
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
            .map(|Difference { family, rows, first_key }| FamilyReport {
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
