//! `submit`: one event of an operator, through a running server to its topic.

use ledger_api::action::SUBMIT;
use ledger_api::command::CommandAnswer;
use ledger_api::query::Raw;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{Context, InputFile};
use crate::ask_error::AskError;
use crate::cli::{Format, SubmitArgs};
use crate::output::{CHANGES, Column, raw};
use crate::{Exit, Failure};

const RECORDS: &[Column] = &[
    Column::at("topic", "/topic"),
    Column::at("partition", "/partition"),
    Column::at("position", "/position"),
    Column::at("seq", "/seq"),
];

/// Of the answer to a dry run, what the table shows.
#[derive(Deserialize)]
struct DryRunRead {
    changes: Vec<ChangeRead>,
    changed: u64,
    #[serde(default)]
    records: Vec<Raw>,
    #[serde(default)]
    refused: Vec<Raw>,
}

/// An installation, with its state before and after, each unless there is none.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChangeRead {
    client_key: String,
    app_key: String,
    before: Option<Map<String, Value>>,
    after: Option<Map<String, Value>>,
}

impl ChangeRead {
    /// As it is, and as it would be.
    fn into_rows(self) -> [Map<String, Value>; 2] {
        let Self { client_key, app_key, before, after } = self;
        [("before", before), ("after", after)].map(|(side, state)| {
            let mut row = state.unwrap_or_default();
            row.insert("clientKey".to_owned(), client_key.clone().into());
            row.insert("appKey".to_owned(), app_key.clone().into());
            row.insert("side".to_owned(), side.into());
            row
        })
    }
}

pub(super) fn run(context: &mut Context<'_, '_>, args: SubmitArgs) -> Result<Exit, Failure> {
    let SubmitArgs { file, url, server, dry_run } = args;
    let event = context.read(&InputFile::new(file))?;
    let server = context.server_at(&url, &server)?;
    // What is no UTF-8 is refused by the server, as what it is.
    let event = String::from_utf8_lossy(&event).into_owned();
    let answer = server.order_for_text(SUBMIT.route, dry_run_parameter(dry_run), event)?;
    report_answer(context, &answer, dry_run)
}

pub(super) fn dry_run_parameter(dry_run: bool) -> Vec<(String, String)> {
    dry_run.then(|| ("dryRun".to_owned(), "true".to_owned())).into_iter().collect()
}

/// Shows what a server answered to a command.
pub(super) fn report_answer(
    context: &mut Context<'_, '_>,
    answer: &str,
    dry_run: bool,
) -> Result<Exit, Failure> {
    if dry_run {
        return show_dry_run(context, answer);
    }
    let CommandAnswer { id, records, pending, elsewhere, .. } = read(answer)?;
    context.print_list(RECORDS, records.iter().map(raw))?;
    if !elsewhere.is_empty() {
        context.report(&format!(
            "published to {} too, which another process feeds: ask that one",
            elsewhere.join(", ")
        ));
    }
    if pending.is_empty() && !records.is_empty() {
        return Ok(Exit::Done);
    }
    let pending = if pending.is_empty() { elsewhere } else { pending };
    let pending = pending.join(", ");
    Err(Failure::new(format!("{id} is published, but {pending} had not recorded it within ten seconds"))
        .hint("submit it again with the same id: it is published once, and answered with its records"))
}

fn show_dry_run(context: &mut Context<'_, '_>, answer: &str) -> Result<Exit, Failure> {
    let DryRunRead { changes, changed, records, refused } = read(answer)?;
    let shown = changes.len() as u64;
    if context.format() == Format::Json {
        context.print_one(read::<&RawValue>(answer)?)?;
    } else {
        let rows: Vec<_> = changes.into_iter().flat_map(ChangeRead::into_rows).collect();
        context.print_list(CHANGES, rows.iter().map(raw))?;
    }
    if !records.is_empty() {
        context.report("it is recorded already, so sent again it changes nothing");
    }
    for tenant in &refused {
        context.report(&format!("left out, as no partition has its whole history: {tenant}"));
    }
    let cut = if changed > shown { format!(", of which {shown} are shown") } else { String::new() };
    context.report(&format!("a dry run: {changed} installation(s) would change{cut}; nothing was published"));
    Ok(Exit::Done)
}

fn read<'t, T: Deserialize<'t>>(answer: &'t str) -> Result<T, AskError> {
    serde_json::from_str(answer).map_err(|source| AskError::NotAnAnswer { source })
}
