//! Queries about one tenant (`state`, `log`, `explain`, `preview`) and lists over all installations (`drift`, `windows`,
//! `split-brain`, `anomalies`, `migrations`).

use std::io::Write as _;

use ledger_api::ledger::RefusedTenant;
use ledger_api::query::{
    AsOfAll, CorrectionsQuery, ExplainQuery, Filter, InstallationList, InstallationQuery, InstallationsQuery,
    LogQuery, MigrationsQuery, Page, PreviewQuery, Raw, TenantQuery, WindowFilter,
};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Context, REFILL};
use crate::ask_error::AskError;
use crate::backend::{Backend, FIRST_PAGE, PAGE};
use crate::cli::{self, Format, ListArgs};
use crate::output::{
    ANOMALIES, CORRECTIONS, Column, LOG, MIGRATIONS, OutputError, SPLIT_BRAIN, STATES, WINDOWS,
    escape_control, items_at, text_at,
};
use crate::{Exit, Failure};

pub(super) fn state(context: &mut Context<'_, '_>, args: cli::StateArgs) -> Result<Exit, Failure> {
    let cli::StateArgs { client_key, app_key, as_of, target } = args;
    let backend = context.backend(&target)?;
    match (client_key, app_key) {
        (Some(client), Some(app)) => {
            let answer = backend.ask(&InstallationQuery { client, app, as_of: as_of.to_query() })?;
            context.print_one(&answer.installation)?;
        }
        (Some(client), None) => {
            let answer = backend.ask(&TenantQuery { client, as_of: as_of.to_query() })?;
            let has_any = !answer.installations.is_empty();
            context.print_list(STATES, answer.installations.into_iter().map(Ok))?;
            context.end_list(has_any, "the tenant is known, and has no installation there");
        }
        (None, _) => {
            return installations(context, &backend, Filter::default(), as_of.all.to_query(), STATES);
        }
    }
    Ok(Exit::Done)
}

pub(super) fn log(context: &mut Context<'_, '_>, args: cli::LogArgs) -> Result<Exit, Failure> {
    let cli::LogArgs { client_key: client, from_seq, limit, corrections, from_position, as_of, target } =
        args;
    let (backend, as_of) = (context.backend(&target)?, as_of.to_query());
    if corrections {
        return print_corrections(
            context,
            &backend,
            CorrectionsQuery { client, from_position, limit, as_of },
        );
    }
    let mut query = LogQuery { client, from_seq: Some(from_seq), limit: None, as_of };
    let mut left = limit.unwrap_or(u64::MAX);
    let mut printer = context.printer(LOG);
    while left > 0 && query.from_seq.is_some() {
        query.limit = Some(left.min(PAGE));
        let answer = backend.ask(&query)?;
        answer.records.iter().try_for_each(|record| printer.item(record))?;
        left = left.saturating_sub(answer.records.len() as u64);
        query.from_seq = answer.next_seq;
    }
    let has_any = printer.finish()?;
    context.end_list(has_any, "the tenant has no such record");
    Ok(Exit::Done)
}

fn print_corrections(
    context: &mut Context<'_, '_>,
    backend: &Backend,
    mut query: CorrectionsQuery,
) -> Result<Exit, Failure> {
    let mut left = query.limit.unwrap_or(u64::MAX);
    let mut printer = context.printer(CORRECTIONS);
    while left > 0 {
        query.limit = Some(left.min(PAGE));
        let answer = backend.ask(&query)?;
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        answer.corrections.iter().take(most).try_for_each(|correction| printer.item(correction))?;
        left = left.saturating_sub(answer.corrections.len() as u64);
        let Some(next) = answer.next_position else { break };
        query.from_position = next;
    }
    let has_any = printer.finish()?;
    context.end_list(has_any, "no answer about the tenant was corrected");
    Ok(Exit::Done)
}

pub(super) fn explain(context: &mut Context<'_, '_>, args: cli::ExplainArgs) -> Result<Exit, Failure> {
    let cli::ExplainArgs { client_key: client, app_key: app, as_of, target } = args;
    let backend = context.backend(&target)?;
    let answer = backend.ask(&ExplainQuery { client, app, as_of: as_of.to_query() })?;
    match context.format() {
        Format::Json => context.print_one(&answer.explanation)?,
        Format::Table => print_sentences(context, &answer.explanation)?,
    }
    Ok(Exit::Done)
}

/// Prints the sentences of an explanation, each with the records that it cites.
fn print_sentences(context: &mut Context<'_, '_>, explanation: &RawValue) -> Result<(), OutputError> {
    let explanation: Value =
        serde_json::from_str(explanation.get()).map_err(|error| OutputError(error.into()))?;
    let out = &mut context.env.output;
    for sentence in items_at(&explanation, "/sentences") {
        let cited = [("seq", "/seqs"), ("app event", "/appEvents")].map(|(name, pointer)| {
            let ids: Vec<String> = items_at(sentence, pointer).iter().map(|id| text_at(id, "")).collect();
            if ids.is_empty() { String::new() } else { format!("{name} {}", ids.join(", ")) }
        });
        let cited: Vec<String> = cited.into_iter().filter(|ids| !ids.is_empty()).collect();
        let mut line = text_at(sentence, "/text");
        if !cited.is_empty() {
            line = format!("{line} [{}]", cited.join("; "));
        }
        writeln!(out, "{}", escape_control(&line))?;
    }
    Ok(out.flush()?)
}

pub(super) fn preview(context: &mut Context<'_, '_>, args: cli::PreviewArgs) -> Result<Exit, Failure> {
    let cli::PreviewArgs { client_key: client, app_key: app, product_realm, as_of, target } = args;
    let backend = context.backend(&target)?;
    let answer = backend.ask(&PreviewQuery { client, app, product_realm, as_of: as_of.to_query() })?;
    context.print_one(&answer.decision)?;
    Ok(Exit::Done)
}

pub(super) fn drift(context: &mut Context<'_, '_>, args: &ListArgs) -> Result<Exit, Failure> {
    filtered(context, args, Filter { drift: Some(true), ..Filter::default() }, STATES)
}

pub(super) fn split_brain(context: &mut Context<'_, '_>, args: &ListArgs) -> Result<Exit, Failure> {
    filtered(context, args, Filter { split_brain: Some(true), ..Filter::default() }, SPLIT_BRAIN)
}

pub(super) fn anomalies(context: &mut Context<'_, '_>, args: &ListArgs) -> Result<Exit, Failure> {
    filtered(context, args, Filter { anomalous: Some(true), ..Filter::default() }, ANOMALIES)
}

pub(super) fn windows(context: &mut Context<'_, '_>, args: &cli::WindowsArgs) -> Result<Exit, Failure> {
    let window = args.closing_before.map_or(WindowFilter::Open, WindowFilter::ClosingBefore);
    filtered(context, &args.list, Filter { window: Some(window), ..Filter::default() }, WINDOWS)
}

fn filtered(
    context: &mut Context<'_, '_>,
    args: &ListArgs,
    filter: Filter,
    columns: &'static [Column],
) -> Result<Exit, Failure> {
    let backend = context.backend(&args.target)?;
    installations(context, &backend, filter, args.as_of.to_query(), columns)
}

pub(super) fn migrations(context: &mut Context<'_, '_>, args: &cli::MigrationsArgs) -> Result<Exit, Failure> {
    let backend = context.backend(&args.list.target)?;
    let (overdue, as_of) = (args.overdue.then_some(true), args.list.as_of.to_query());
    print_pages(context, MIGRATIONS, |page| backend.ask(&MigrationsQuery { app: None, overdue, as_of, page }))
}

/// Prints every installation that the filter lets through.
fn installations(
    context: &mut Context<'_, '_>,
    backend: &Backend,
    filter: Filter,
    as_of: AsOfAll,
    columns: &'static [Column],
) -> Result<Exit, Failure> {
    let mut query = InstallationsQuery { filter, as_of, page: FIRST_PAGE };
    print_pages(context, columns, |page| {
        query.page = page;
        backend.ask(&query)
    })
}

fn print_pages(
    context: &mut Context<'_, '_>,
    columns: &'static [Column],
    mut ask: impl FnMut(Page) -> Result<InstallationList<Raw>, AskError>,
) -> Result<Exit, Failure> {
    let (mut left_out, mut page) = (Vec::new(), FIRST_PAGE);
    let mut printer = context.printer(columns);
    loop {
        let answer = ask(page)?;
        answer.installations.iter().try_for_each(|installation| printer.item(installation))?;
        left_out.extend(answer.refused);
        if answer.next_cursor.is_none() {
            break;
        }
        page = Page { cursor: answer.next_cursor, ..FIRST_PAGE };
    }
    let has_any = printer.finish()?;
    context.end_list(has_any, "no installation is on this list");
    check_left_out(context, left_out)
}

/// Names the tenants that an answer had to leave out, and fails if there are any.
pub(super) fn check_left_out(
    context: &mut Context<'_, '_>,
    mut left_out: Vec<RefusedTenant>,
) -> Result<Exit, Failure> {
    left_out.sort_by(|one, other| one.client_key.cmp(&other.client_key));
    left_out.dedup_by(|one, other| one.client_key == other.client_key);
    for RefusedTenant { client_key, shards, .. } in &left_out {
        context.report(&format!("left out: {client_key}, whose events are in {}", shards.join(", ")));
    }
    match left_out.len() {
        0 => Ok(Exit::Done),
        count => Err(Failure::new(format!(
            "{count} tenants are left out of the answer: their events are in more than one partition"
        ))
        .hint(REFILL)),
    }
}
