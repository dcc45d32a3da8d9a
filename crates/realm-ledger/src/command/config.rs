//! `config show`, `config check`, and `completions`, which prints the grammar for a shell.

use std::error::Error;

use clap::CommandFactory as _;
use ledger_api::access::KeySet;
use ledger_api::client_tls;
use ledger_store::{DataDir, with_causes};

use super::{Context, open_read_only};
use crate::cli::{Cli, Completions, ConfigCommand};
use crate::config::{Config, ConfigErrors, EffectiveSetting};
use crate::output::{Column, raw};
use crate::server::may_be_reached;
use crate::{Exit, Failure};

const COLUMNS: &[Column] =
    &[Column::at("setting", "/setting"), Column::at("value", "/value"), Column::at("from", "/origin")];

pub(super) fn run(context: &mut Context<'_, '_>, command: &ConfigCommand) -> Result<Exit, Failure> {
    let loaded = context.loaded([])?;
    match command {
        ConfigCommand::Check => {
            check_files(&loaded.config)?;
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

/// Opens what `serve` opens of the files that the configuration names; every fault with its place. Servers are not asked: `serve`
/// starts without them.
fn check_files(config: &Config) -> Result<(), Failure> {
    let at = |place: &str, error: &(dyn Error + 'static)| format!("{place}: {}", with_causes(error));
    let mut faults: Vec<_> = config.access.faults().iter().map(|fault| at("access", fault)).collect();
    let tls = config.tls().map(|tls| tls.faults()).unwrap_or_default();
    faults.extend(tls.iter().map(|fault| at("http.tls", fault)));
    if config.gateway.apps.iter().any(|app| app.forge_app.is_some()) {
        // A place with a label in it is one for each isolated cloud.
        for place in config.gateway.forge_jwks.iter().filter(|place| !place.contains('{')) {
            faults.extend(KeySet::check(place, None).err().map(|fault| at("gateway.forge_jwks", &fault)));
        }
    }
    if !config.gateway.apps.is_empty() {
        let authorities = client_tls(config.gateway.forward_ca.as_deref());
        faults.extend(authorities.err().map(|fault| at("gateway.forward_ca", &fault)));
    }
    if faults.is_empty() { Ok(()) } else { Err(ConfigErrors::new(faults).into()) }
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
