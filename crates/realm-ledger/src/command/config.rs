//! `config show` and `config check`.

use serde::Serialize;

use super::Context;
use crate::cli::ConfigCommand;
use crate::config::Shown;
use crate::output::{Column, raw};
use crate::{Exit, Failure};

const COLUMNS: &[Column] =
    &[Column::of("setting", "/setting"), Column::of("value", "/value"), Column::of("from", "/origin")];

#[derive(Serialize)]
struct Line<'a> {
    setting: &'a str,
    value: &'a str,
    origin: String,
}

pub(super) fn run(context: &mut Context<'_, '_>, command: &ConfigCommand) -> Result<Exit, Failure> {
    let loaded = context.config(&[])?;
    match command {
        ConfigCommand::Check => {
            context.say("the configuration can be used");
        }
        ConfigCommand::Show => {
            let mut printer = context.printer(COLUMNS);
            for Shown { key, value, origin } in loaded.shown() {
                printer.item(&raw(&Line { setting: &key, value: &value, origin: origin.to_string() })?)?;
            }
            printer.finish()?;
        }
    }
    Ok(Exit::Done)
}
