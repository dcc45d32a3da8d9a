//! `submit`: one event of an operator, through a running server to its topic.

use std::io::Read as _;
use std::path::Path;

use ledger_api::command::CommandAnswer;
use ledger_core::limits::MESSAGE_MAX_BYTES;
use serde_json::value::RawValue;

use super::Context;
use crate::ask_error::AskError;
use crate::backend::Remote;
use crate::cli::SubmitArgs;
use crate::output::{Column, raw};
use crate::{Exit, Failure};

const RECORDS: &[Column] = &[
    Column::at("topic", "/topic"),
    Column::at("partition", "/partition"),
    Column::at("position", "/position"),
    Column::at("seq", "/seq"),
];

pub(super) fn run(context: &mut Context<'_, '_>, args: &SubmitArgs) -> Result<Exit, Failure> {
    let event = read(context, &args.file)?;
    let server = Remote::new(&args.url, context.completeness.clone());
    let parameters = if args.dry_run { vec![("dryRun".to_owned(), "true".to_owned())] } else { Vec::new() };
    let answer = server.order_for_text("/v1/commands", parameters, event)?;
    let unreadable = |source| AskError::NotAnAnswer { source };
    if args.dry_run {
        let answer: Box<RawValue> = serde_json::from_str(&answer).map_err(unreadable)?;
        context.print_one(&answer)?;
        context.report("a dry run: nothing was published");
        return Ok(Exit::Done);
    }
    let CommandAnswer { id, records, pending } = serde_json::from_str(&answer).map_err(unreadable)?;
    context.print_list(RECORDS, records.iter().map(raw))?;
    if !pending.is_empty() {
        context.report(&format!(
            "{id} is published; {} had not recorded it within ten seconds (GET /v1/commands/{id} tells when)",
            pending.join(", ")
        ));
    }
    Ok(Exit::Done)
}

fn read(context: &mut Context<'_, '_>, file: &Path) -> Result<String, Failure> {
    let most = MESSAGE_MAX_BYTES as u64;
    let mut text = String::new();
    let read = if file == Path::new("-") {
        (&mut context.env.input).take(most).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(most).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::unreadable(file, error))?;
    Ok(text)
}
