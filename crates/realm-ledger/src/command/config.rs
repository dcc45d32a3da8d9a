//! `config show` and `config check`.

use ledger_store::DataDir;
use serde::Serialize;

use super::Context;
use crate::cli::ConfigCommand;
use crate::config::{Config, Shown};
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

/// How producers place client keys, as the data directory remembers of each topic.
fn remembered(config: &Config) -> Result<Vec<(String, String, String)>, Failure> {
    if !DataDir::exists(&config.data_dir)? {
        return Ok(Vec::new());
    }
    let data = DataDir::open_existing_read_only(&config.data_dir, config.store.clone())?;
    let mut lines = Vec::new();
    for topic in &config.kafka.topics {
        if let Some(partitioner) = data.partitioner(topic)? {
            let origin = format!("remembered in {}", config.data_dir.display());
            lines.push((format!("kafka.partitioner of {topic}"), format!("\"{partitioner}\""), origin));
        }
    }
    Ok(lines)
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
            for (setting, value, origin) in remembered(&loaded.config)? {
                printer.item(&raw(&Line { setting: &setting, value: &value, origin })?)?;
            }
            printer.finish()?;
        }
    }
    Ok(Exit::Done)
}
