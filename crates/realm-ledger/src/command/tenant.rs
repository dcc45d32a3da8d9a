//! Questions about one tenant: `state`, `log`, `explain`, `preview`.

use ledger_api::query::{
    CorrectionsQuery, ExplainQuery, Filter, InstallationQuery, LogQuery, PreviewQuery, TenantQuery,
};

use super::{Context, list};
use crate::backend::{Backend, PAGE};
use crate::cli::{self, Format};
use crate::output::{CORRECTIONS, LOG, STATES};
use crate::{Exit, Failure};

pub(super) fn state(context: &mut Context<'_, '_>, args: cli::State) -> Result<Exit, Failure> {
    let cli::State { client_key, app_key, as_of, place } = args;
    let backend = context.backend(&place)?;
    match (client_key, app_key) {
        (Some(client), Some(app)) => {
            let answer = backend.ask(&InstallationQuery { client, app, as_of: as_of.asked() })?;
            context.print_one(&answer.installation)?;
        }
        (Some(client), None) => {
            let answer = backend.ask(&TenantQuery { client, as_of: as_of.asked() })?;
            let mut printer = context.printer(STATES);
            for installation in &answer.installations {
                printer.item(installation)?;
            }
            let has_any = printer.finish()?;
            context.end_list(has_any, "the tenant is known, and has no installation there");
        }
        (None, _) => {
            return list::installations(context, &backend, Filter::default(), as_of.all.asked(), STATES);
        }
    }
    Ok(Exit::Done)
}

pub(super) fn log(context: &mut Context<'_, '_>, args: cli::Log) -> Result<Exit, Failure> {
    let cli::Log { client_key: client, from_seq, limit, corrections, from_position, as_of, place } = args;
    let (backend, as_of) = (context.backend(&place)?, as_of.asked());
    if corrections {
        let query = CorrectionsQuery { client, from_position, limit, as_of };
        return print_corrections(context, &backend, query);
    }
    let mut query = LogQuery { client, from_seq: Some(from_seq), limit: None, as_of };
    let mut left = limit.unwrap_or(u64::MAX);
    let mut printer = context.printer(LOG);
    while left > 0 {
        query.limit = Some(left.min(PAGE));
        let answer = backend.ask(&query)?;
        for record in &answer.records {
            printer.item(record)?;
        }
        left = left.saturating_sub(answer.records.len() as u64);
        query.from_seq = answer.next_seq;
        if query.from_seq.is_none() {
            break;
        }
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
        for correction in answer.corrections.iter().take(most) {
            printer.item(correction)?;
        }
        left = left.saturating_sub(answer.corrections.len() as u64);
        let Some(next) = answer.next_position else { break };
        query.from_position = next;
    }
    let has_any = printer.finish()?;
    context.end_list(has_any, "no answer about the tenant was corrected");
    Ok(Exit::Done)
}

pub(super) fn explain(context: &mut Context<'_, '_>, args: cli::Explain) -> Result<Exit, Failure> {
    let cli::Explain { client_key: client, app_key: app, as_of, place } = args;
    let backend = context.backend(&place)?;
    let answer = backend.ask(&ExplainQuery { client, app, as_of: as_of.asked() })?;
    match context.format() {
        Format::Json => context.print_one(&answer.explanation)?,
        Format::Table => context.print_sentences(&answer.explanation)?,
    }
    Ok(Exit::Done)
}

pub(super) fn preview(context: &mut Context<'_, '_>, args: cli::Preview) -> Result<Exit, Failure> {
    let cli::Preview { client_key: client, app_key: app, product_realm, as_of, place } = args;
    let backend = context.backend(&place)?;
    let answer = backend.ask(&PreviewQuery { client, app, product_realm, as_of: as_of.asked() })?;
    context.print_one(&answer.decision)?;
    Ok(Exit::Done)
}
