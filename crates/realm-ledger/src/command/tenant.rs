//! Questions about one tenant: `state`, `log`, `explain`, `preview`.

use ledger_api::query::{AsOf, Filter, Preview};
use ledger_core::ids::ClientKey;

use super::{Context, list};
use crate::ask::{Answer, AskError, Door, PAGE, Question};
use crate::cli::{self, Format};
use crate::output::{CORRECTIONS, LOG, STATES};
use crate::{Exit, Failure};

pub(super) fn state(context: &mut Context<'_, '_>, args: cli::State) -> Result<Exit, Failure> {
    let cli::State { client_key, app_key, as_of, place } = args;
    let as_of = as_of.asked();
    let door = context.door(&place)?;
    match (client_key, app_key) {
        (Some(client), Some(app)) => {
            let answer = door.ask(&Question::Installation { client, app, as_of })?;
            context.print_one(&payload(answer.installation)?)?;
        }
        (Some(client), None) => {
            let answer = door.ask(&Question::Tenant { client, as_of })?;
            let mut printer = context.printer(STATES);
            for installation in &answer.installations {
                printer.item(installation)?;
            }
            let has_any = printer.finish()?;
            context.end_list(has_any, "the tenant is known, and has no installation there");
        }
        (None, _) => return list::installations(context, &door, &Filter::default(), as_of, STATES),
    }
    Ok(Exit::Done)
}

pub(super) fn log(context: &mut Context<'_, '_>, args: cli::Log) -> Result<Exit, Failure> {
    let cli::Log { client_key, mut from_seq, limit, corrections, from_position, as_of, place } = args;
    let (door, as_of) = (context.door(&place)?, as_of.asked());
    if corrections {
        return print_corrections(context, &door, &client_key, (from_position, limit), as_of);
    }
    let mut left = limit.unwrap_or(u64::MAX);
    let mut printer = context.printer(LOG);
    while left > 0 {
        let limit = usize::try_from(left).unwrap_or(PAGE).min(PAGE);
        let answer = door.ask(&Question::Log { client: client_key.clone(), from_seq, limit, as_of })?;
        for record in &answer.records {
            printer.item(record)?;
        }
        left = left.saturating_sub(answer.records.len() as u64);
        match answer.next_seq {
            Some(next) => from_seq = next,
            None => break,
        }
    }
    let has_any = printer.finish()?;
    context.end_list(has_any, "the tenant has no such record");
    Ok(Exit::Done)
}

fn print_corrections(
    context: &mut Context<'_, '_>,
    door: &Door,
    client: &ClientKey,
    (mut from_position, limit): (u64, Option<u64>),
    as_of: AsOf,
) -> Result<Exit, Failure> {
    let mut left = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut printer = context.printer(CORRECTIONS);
    while left > 0 {
        let limit = left.min(PAGE);
        let question = Question::Corrections { client: client.clone(), from_position, limit, as_of };
        let answer = door.ask(&question)?;
        for correction in answer.corrections.iter().take(left) {
            printer.item(correction)?;
        }
        left = left.saturating_sub(answer.corrections.len());
        match answer.next_position {
            Some(next) => from_position = next,
            None => break,
        }
    }
    let has_any = printer.finish()?;
    context.end_list(has_any, "no answer about the tenant was corrected");
    Ok(Exit::Done)
}

pub(super) fn explain(context: &mut Context<'_, '_>, args: cli::Explain) -> Result<Exit, Failure> {
    let cli::Explain { client_key, app_key, as_of, place } = args;
    let door = context.door(&place)?;
    let question = Question::Explain { client: client_key, app: app_key, as_of: as_of.asked() };
    let answer = door.ask(&question)?;
    let explanation = payload(answer.explanation)?;
    match context.format() {
        Format::Json => context.print_one(&explanation)?,
        Format::Table => context.print_sentences(&explanation)?,
    }
    Ok(Exit::Done)
}

pub(super) fn preview(context: &mut Context<'_, '_>, args: cli::Preview) -> Result<Exit, Failure> {
    let cli::Preview { client_key, app_key, product_realm, as_of, place } = args;
    let door: Door = context.door(&place)?;
    let preview = Preview { client: client_key, app: app_key, product_realm, as_of: as_of.asked() };
    let Answer { decision, .. } = door.ask(&Question::Preview(preview))?;
    context.print_one(&payload(decision)?)?;
    Ok(Exit::Done)
}

/// The member that the question is answered with.
pub(super) fn payload<T>(member: Option<T>) -> Result<T, AskError> {
    member.ok_or(AskError::Empty)
}
