//! `decisions`: those so far, and those to come.
//!
//! A run that follows a server prints each decision that came as a whole, and goes on from the cursor behind it.

use std::thread;
use std::time::Duration;

use ledger_api::decisions::{DecisionFilter, DecisionsFrom};
use ledger_api::query::{DecisionsQuery, Raw};

use super::Context;
use crate::backend::{Backend, Followed, PAGE, Remote};
use crate::cli;
use crate::output::DECISIONS;
use crate::{Exit, Failure};

/// How long to wait before a server that went away is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Decisions that are printed together while more come.
const PRINTED_AT_A_TIME: usize = 256;

pub(super) fn run(context: &mut Context<'_, '_>, args: cli::DecisionsArgs) -> Result<Exit, Failure> {
    let cli::DecisionsArgs { from, follow, app, rule, moved, divergent, corrections, limit, target } = args;
    let filter = DecisionFilter { app, rule, moved, divergent, corrections, ..DecisionFilter::default() };
    let query = DecisionsQuery { from, filter, limit };
    match context.backend(&target)? {
        Backend::Remote(remote) if follow => follow_server(context, &remote, query),
        backend => print_so_far(context, &backend, query),
    }
}

fn print_so_far(
    context: &mut Context<'_, '_>,
    backend: &Backend,
    mut query: DecisionsQuery,
) -> Result<Exit, Failure> {
    let mut left = query.limit.unwrap_or(u64::MAX);
    let mut printer = context.printer(DECISIONS);
    let cursor = loop {
        query.limit = Some(left.min(PAGE));
        let page = backend.ask(&query)?;
        page.decisions.iter().try_for_each(|decision| printer.item(decision))?;
        left = left.saturating_sub(page.decisions.len() as u64);
        if left == 0 || !page.more {
            break page.cursor;
        }
        query.from = Some(DecisionsFrom::After(page.cursor));
    };
    let has_any = printer.finish()?;
    context.end_list(has_any, "there is no such decision");
    context.report(&format!("go on with --from {cursor}"));
    Ok(Exit::Done)
}

/// Prints what comes, through restarts of the server, until enough was printed.
fn follow_server(
    context: &mut Context<'_, '_>,
    remote: &Remote,
    mut query: DecisionsQuery,
) -> Result<Exit, Failure> {
    let (mut is_away, mut was_there) = (false, false);
    while query.limit != Some(0) {
        let asked = query.clone();
        let mut unprinted: Vec<Raw> = Vec::new();
        let away = remote.follow(&asked, &mut |what| {
            was_there = true;
            if std::mem::take(&mut is_away) {
                context.report("the server answers again");
            }
            match what {
                Followed::Decision(decision, cursor) => {
                    query.from = Some(DecisionsFrom::After(cursor));
                    query.limit = query.limit.map(|left| left.saturating_sub(1));
                    unprinted.push(decision);
                }
                Followed::Nothing(cursor) => query.from = Some(DecisionsFrom::After(cursor)),
                Followed::Shard(shard) => context.report(&shard),
                Followed::Waiting => print(context, &mut unprinted)?,
            }
            if unprinted.len() >= PRINTED_AT_A_TIME { print(context, &mut unprinted) } else { Ok(()) }
        })?;
        print(context, &mut unprinted)?;
        // A server that was never there is no server that went away.
        let Some(away) = away.filter(|_| query.limit != Some(0)) else { continue };
        if !was_there {
            return Err(away.into());
        }
        if !std::mem::replace(&mut is_away, true) {
            context.report(&format!("{away}; going on from the last decision once it answers"));
        }
        thread::sleep(AGAIN);
    }
    Ok(Exit::Done)
}

fn print(context: &mut Context<'_, '_>, unprinted: &mut Vec<Raw>) -> Result<(), Failure> {
    let mut printer = context.printer(DECISIONS);
    unprinted.drain(..).try_for_each(|decision| printer.item(&decision))?;
    printer.finish()?;
    Ok(())
}
