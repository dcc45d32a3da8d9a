//! `replay`: records once more, each with what was believed after it.

use indicatif::ProgressBar;
use ledger_api::query::{AnswerLine, ReplayQuery};
use serde_json::Value;

use super::{Context, check_span};
use crate::cli::Replay;
use crate::output::Column;
use crate::{Exit, Failure};

const COLUMNS: &[Column] = &[
    Column::made("shard", |step| format!("{}/{}", text(step, "/topic"), text(step, "/partition"))),
    Column::of("position", "/position"),
    Column::of("client key", "/record/event/clientKey"),
    Column::of("seq", "/record/seq"),
    Column::of("time", "/record/event/time"),
    Column::of("event", "/record/event/type"),
    Column::made("then", |step| {
        let states = step.get("states").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let said = states.iter().map(|state| {
            [text(state, "/appKey"), text(state, "/status"), text(state, "/pinnedRealm")].join(" ")
        });
        said.collect::<Vec<_>>().join(", ")
    }),
];

pub(super) fn run(context: &mut Context<'_, '_>, args: Replay) -> Result<Exit, Failure> {
    let Replay { client_key, app, shard, from, to, from_position, place } = args;
    check_span(from, to)?;
    let backend = context.backend(&place)?;
    let asked = ReplayQuery { client: client_key, app, shard, from, to, from_position };
    // Where the records are seen themselves, a bar between them would only be in the way.
    let bar = if context.env.output_is_terminal { ProgressBar::hidden() } else { context.progress("replay") };
    let mut printer = context.printer(COLUMNS);
    backend.ask_lines(&asked, &mut |line| {
        match line {
            AnswerLine::Progress(progress) => {
                bar.set_length(progress.total);
                bar.set_position(progress.records);
            }
            AnswerLine::Step(step) => printer.item(&step)?,
            _ => {}
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    printer.finish()?;
    Ok(Exit::Done)
}

fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
