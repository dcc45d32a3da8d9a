//! Lists over all installations: `drift`, `windows`, `split-brain`, `anomalies`, `migrations`.

use ledger_api::ledger::RefusedTenant;
use ledger_api::query::{
    AsOfAll, Filter, InstallationList, InstallationsQuery, MigrationsQuery, Page, Raw, WindowFilter,
};

use super::{Context, REFILL};
use crate::backend::{AskError, Backend, FIRST_PAGE};
use crate::cli::{List, Migrations, Windows};
use crate::output::{ANOMALIES, Column, MIGRATIONS, SPLIT_BRAIN, STATES, WINDOWS};
use crate::{Exit, Failure};

/// A list that had to leave tenants out.
#[derive(Debug, thiserror::Error)]
#[error("{count} tenants are left out of the answer: their events are in more than one partition")]
struct Incomplete {
    count: usize,
}

pub(super) fn drift(context: &mut Context<'_, '_>, args: &List) -> Result<Exit, Failure> {
    filtered(context, args, Filter { drift: Some(true), ..Filter::default() }, STATES)
}

pub(super) fn split_brain(context: &mut Context<'_, '_>, args: &List) -> Result<Exit, Failure> {
    filtered(context, args, Filter { split_brain: Some(true), ..Filter::default() }, SPLIT_BRAIN)
}

pub(super) fn anomalies(context: &mut Context<'_, '_>, args: &List) -> Result<Exit, Failure> {
    filtered(context, args, Filter { anomalous: Some(true), ..Filter::default() }, ANOMALIES)
}

pub(super) fn windows(context: &mut Context<'_, '_>, args: &Windows) -> Result<Exit, Failure> {
    let backend = context.backend(&args.place)?;
    let window = args.closing_before.map_or(WindowFilter::Open, WindowFilter::ClosingBefore);
    let filter = Filter { window: Some(window), ..Filter::default() };
    installations(context, &backend, filter, args.as_of.asked(), WINDOWS)
}

pub(super) fn migrations(context: &mut Context<'_, '_>, args: &Migrations) -> Result<Exit, Failure> {
    let backend = context.backend(&args.place)?;
    let (overdue, as_of) = (args.overdue.then_some(true), args.as_of.asked());
    print(context, MIGRATIONS, |page| backend.ask(&MigrationsQuery { app: None, overdue, as_of, page }))
}

fn filtered(
    context: &mut Context<'_, '_>,
    args: &List,
    filter: Filter,
    columns: &'static [Column],
) -> Result<Exit, Failure> {
    let backend = context.backend(&args.place)?;
    installations(context, &backend, filter, args.as_of.asked(), columns)
}

/// Prints every installation that the filter lets through.
pub(super) fn installations(
    context: &mut Context<'_, '_>,
    backend: &Backend,
    filter: Filter,
    as_of: AsOfAll,
    columns: &'static [Column],
) -> Result<Exit, Failure> {
    let mut query = InstallationsQuery { filter, as_of, page: FIRST_PAGE };
    print(context, columns, |page| {
        query.page = page;
        backend.ask(&query)
    })
}

/// Prints a list, a page at a time.
fn print(
    context: &mut Context<'_, '_>,
    columns: &'static [Column],
    mut ask: impl FnMut(Page) -> Result<InstallationList<Raw>, AskError>,
) -> Result<Exit, Failure> {
    let (mut left_out, mut page) = (Vec::new(), FIRST_PAGE);
    let mut printer = context.printer(columns);
    loop {
        let answer = ask(page)?;
        for installation in &answer.installations {
            printer.item(installation)?;
        }
        left_out.extend(answer.refused);
        if answer.next_cursor.is_none() {
            break;
        }
        page = Page { cursor: answer.next_cursor, ..FIRST_PAGE };
    }
    let has_any = printer.finish()?;
    context.end_list(has_any, "no installation is on this list");
    incomplete(context, left_out)
}

/// Names the tenants that an answer had to leave out; with any of them it is not what was asked for.
pub(super) fn incomplete(
    context: &mut Context<'_, '_>,
    mut left_out: Vec<RefusedTenant>,
) -> Result<Exit, Failure> {
    left_out.sort_by(|one, other| one.client_key.cmp(&other.client_key));
    left_out.dedup_by(|one, other| one.client_key == other.client_key);
    for RefusedTenant { client_key, shards, .. } in &left_out {
        context.say(&format!("left out: {client_key}, whose events are in {}", shards.join(", ")));
    }
    if left_out.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Failure::new(Incomplete { count: left_out.len() }).hint(REFILL))
}
