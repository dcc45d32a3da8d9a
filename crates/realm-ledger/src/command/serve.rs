//! `serve`: the ledger runs until it is told to stop.

use std::fmt;
use std::time::Duration;

use ledger_store::{Halted, ShardId};

use super::{Context, brokers_flag, data_dir_flag};
use crate::cli::Serve;
use crate::config::FlagValue;
use crate::server::Server;
use crate::{Exit, Failure, telemetry};

/// How often it is looked whether everything still runs.
const LOOK: Duration = Duration::from_secs(1);

/// It ended without having been asked to.
#[derive(Debug, thiserror::Error)]
#[error("the ledger stopped by itself; the log says why")]
struct Stopped;

/// Nothing goes on here, and nothing will.
#[derive(Debug, thiserror::Error)]
#[error("every shard of this process is halted: {}", Listed(.0))]
struct AllHalted(Vec<(ShardId, Halted)>);

struct Listed<'a>(&'a [(ShardId, Halted)]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (shard, Halted { code, .. })) in self.0.iter().enumerate() {
            write!(f, "{}{shard} ({code})", if place == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

pub(super) fn run(context: &mut Context<'_, '_>, args: Serve) -> Result<Exit, Failure> {
    let Serve { data_dir, brokers, listen } = args;
    let mut flags = data_dir_flag(data_dir.as_deref());
    flags.extend(brokers_flag(brokers));
    flags.extend(listen.map(|value| FlagValue { key: "http.listen", flag: "--listen", value }));
    let config = context.config(&flags)?.config;
    let terminal = context.env.messages_are_terminal;
    let colours = context.env.colours(terminal);
    telemetry::start_logs(&config.log, context.verbosity(), terminal, colours)?;
    let (server, signals) = Server::start(&config)?;
    loop {
        if signals.came_within(LOOK) {
            server.drain(config.shutdown_timeout);
            return Ok(Exit::Done);
        }
        if config.exit_when_halted
            && let Some(halted) = server.catalog().all_halted()
        {
            server.drain(config.shutdown_timeout);
            return Err(Failure::new(AllHalted(halted)).hint(
                "the log says what to do about each; with exit_when_halted = false it would go on answering",
            ));
        }
        if server.has_failed() {
            server.drain(config.shutdown_timeout);
            return Err(Failure::new(Stopped)
                .hint("restart it; nothing is lost, Kafka sends again what was not written"));
        }
    }
}
