//! Lists over all installations: `drift`, `windows`, `split-brain`, `anomalies`, `migrations`.

use ledger_api::query::{AsOf, Filter, MigrationFilter, WindowFilter};

use super::{Context, REFILL};
use crate::ask::{Door, PAGE, Question, Refused};
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
    let door = context.door(&args.place)?;
    installations(
        context,
        &door,
        &Filter { drift: Some(true), ..Filter::default() },
        args.as_of.asked(),
        STATES,
    )
}

pub(super) fn split_brain(context: &mut Context<'_, '_>, args: &List) -> Result<Exit, Failure> {
    let door = context.door(&args.place)?;
    let filter = Filter { split_brain: Some(true), ..Filter::default() };
    installations(context, &door, &filter, args.as_of.asked(), SPLIT_BRAIN)
}

pub(super) fn anomalies(context: &mut Context<'_, '_>, args: &List) -> Result<Exit, Failure> {
    let door = context.door(&args.place)?;
    let filter = Filter { anomalous: Some(true), ..Filter::default() };
    installations(context, &door, &filter, args.as_of.asked(), ANOMALIES)
}

pub(super) fn windows(context: &mut Context<'_, '_>, args: &Windows) -> Result<Exit, Failure> {
    let door = context.door(&args.place)?;
    let window = args.closing_before.map_or(WindowFilter::Open, WindowFilter::ClosingBefore);
    let filter = Filter { window: Some(window), ..Filter::default() };
    installations(context, &door, &filter, args.as_of.asked(), WINDOWS)
}

pub(super) fn migrations(context: &mut Context<'_, '_>, args: &Migrations) -> Result<Exit, Failure> {
    let door = context.door(&args.place)?;
    let migration = MigrationFilter { overdue: args.overdue.then_some(true) };
    let filter = Filter { migration: Some(migration), ..Filter::default() };
    installations(context, &door, &filter, args.as_of.asked(), MIGRATIONS)
}

/// Prints every installation that the filter lets through, a page at a time.
pub(super) fn installations(
    context: &mut Context<'_, '_>,
    door: &Door,
    filter: &Filter,
    as_of: AsOf,
    columns: &'static [Column],
) -> Result<Exit, Failure> {
    let mut left_out: Vec<Refused> = Vec::new();
    let mut cursor = None;
    let mut printer = context.printer(columns);
    loop {
        let question = Question::Installations { filter: filter.clone(), as_of, cursor, limit: PAGE };
        let answer = door.ask(&question)?;
        for installation in &answer.installations {
            printer.item(installation)?;
        }
        left_out.extend(answer.refused);
        cursor = answer.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let has_any = printer.finish()?;
    context.end_list(has_any, "no installation is on this list");
    incomplete(context, left_out)
}

/// Names the tenants that an answer had to leave out; with any of them it is not what was asked for.
pub(super) fn incomplete(context: &mut Context<'_, '_>, mut left_out: Vec<Refused>) -> Result<Exit, Failure> {
    left_out.sort_by(|one, other| one.client_key.cmp(&other.client_key));
    left_out.dedup_by(|one, other| one.client_key == other.client_key);
    for Refused { client_key, shards } in &left_out {
        context.say(&format!("left out: {client_key}, whose events are in {}", shards.join(", ")));
    }
    if left_out.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Failure::new(Incomplete { count: left_out.len() }).hint(REFILL))
}
