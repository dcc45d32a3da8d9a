//! Questions about one tenant: `state`, `log`, `explain`, `preview`.

use ledger_api::query::{AsOf, Filter, Preview};
use ledger_store::Known;

use super::{Context, list};
use crate::ask::{Answer, AskError, Door, PAGE, Question};
use crate::cli::{self, Format};
use crate::output::{LOG, STATES};
use crate::{Exit, Failure};

pub(super) fn state(context: &mut Context<'_, '_>, args: cli::State) -> Result<Exit, Failure> {
    let cli::State { client_key, app_key, at, known_at, known_seq, place } = args;
    let known = match (known_at, known_seq) {
        (Some(instant), _) => Known::Recorded(instant),
        (None, Some(seq)) => Known::Seq(seq),
        (None, None) => Known::All,
    };
    let as_of = AsOf { at, known };
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
            printer.finish()?;
        }
        (None, _) => return list::installations(context, &door, &Filter::default(), as_of, STATES),
    }
    Ok(Exit::Done)
}

pub(super) fn log(context: &mut Context<'_, '_>, args: cli::Log) -> Result<Exit, Failure> {
    let cli::Log { client_key, mut from_seq, limit, place } = args;
    let door = context.door(&place)?;
    let mut left = limit.unwrap_or(u64::MAX);
    let mut printer = context.printer(LOG);
    while left > 0 {
        let limit = usize::try_from(left).unwrap_or(PAGE).min(PAGE);
        let answer = door.ask(&Question::Log { client: client_key.clone(), from_seq, limit })?;
        for record in &answer.records {
            printer.item(record)?;
        }
        left = left.saturating_sub(answer.records.len() as u64);
        match answer.next_seq {
            Some(next) => from_seq = next,
            None => break,
        }
    }
    printer.finish()?;
    Ok(Exit::Done)
}

pub(super) fn explain(context: &mut Context<'_, '_>, args: cli::Explain) -> Result<Exit, Failure> {
    let cli::Explain { client_key, app_key, at, place } = args;
    let door = context.door(&place)?;
    let answer = door.ask(&Question::Explain { client: client_key, app: app_key, at })?;
    let explanation = payload(answer.explanation)?;
    match context.format() {
        Format::Json => context.print_one(&explanation)?,
        Format::Table => context.print_sentences(&explanation)?,
    }
    Ok(Exit::Done)
}

pub(super) fn preview(context: &mut Context<'_, '_>, args: cli::Preview) -> Result<Exit, Failure> {
    let cli::Preview { client_key, app_key, product_realm, at, place } = args;
    let door: Door = context.door(&place)?;
    let preview = Preview { client: client_key, app: app_key, product_realm, at };
    let Answer { decision, .. } = door.ask(&Question::Preview(preview))?;
    context.print_one(&payload(decision)?)?;
    Ok(Exit::Done)
}

/// The member that the question is answered with.
pub(super) fn payload<T>(member: Option<T>) -> Result<T, AskError> {
    member.ok_or(AskError::Empty)
}
