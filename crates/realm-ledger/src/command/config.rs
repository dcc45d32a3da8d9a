//! `config show`, `config check`, and `completions`, which prints the grammar for a shell.

use clap::CommandFactory as _;
use ledger_store::DataDir;

use super::{Context, open_read_only};
use crate::cli::{Cli, Completions, ConfigCommand};
use crate::config::{Config, EffectiveSetting};
use crate::output::{Column, raw};
use crate::server::may_be_reached;
use crate::{Exit, Failure};

const COLUMNS: &[Column] =
    &[Column::at("setting", "/setting"), Column::at("value", "/value"), Column::at("from", "/origin")];

pub(super) fn run(context: &mut Context<'_, '_>, command: &ConfigCommand) -> Result<Exit, Failure> {
    let loaded = context.loaded([])?;
    match command {
        ConfigCommand::Check => {
            // A name is looked up when `serve` starts.
            if let Ok(address) = loaded.config.http.listen.parse() {
                may_be_reached(address, &loaded.config)?;
            }
            context.report("the configuration can be used");
        }
        ConfigCommand::Show => {
            let mut settings = loaded.settings();
            settings.extend(learnt_partitioners(&loaded.config)?);
            context.print_list(COLUMNS, settings.iter().map(raw))?;
        }
    }
    Ok(Exit::Done)
}

/// How producers place client keys, as the data directory remembers of each topic.
fn learnt_partitioners(config: &Config) -> Result<Vec<EffectiveSetting>, Failure> {
    if !DataDir::exists(&config.data_dir)? {
        return Ok(Vec::new());
    }
    let data = open_read_only(config)?;
    let mut settings = Vec::new();
    for topic in &config.kafka.topics {
        if let Some(partitioner) = data.partitioner(topic)? {
            let setting = format!("kafka.partitioner of {topic}");
            let origin = format!("remembered in {}", config.data_dir.display());
            settings.push(EffectiveSetting { setting, value: format!("\"{partitioner}\""), origin });
        }
    }
    Ok(settings)
}

pub(super) fn completions(context: &mut Context<'_, '_>, args: &Completions) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "realm-ledger", &mut script);
    context.print_text(&script)?;
    Ok(Exit::Done)
}
