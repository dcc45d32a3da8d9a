//! `gateway` takes hooks without a ledger beside it: they wait in its journal and go on to Kafka.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger_api::access::Access;
use ledger_gateway::KnownInstallations;
use ledger_gateway::journal::Journal;
use tracing::{info, warn};

use super::{Context, brokers_flag, data_dir_flag};
use crate::cli::GatewayArgs;
use crate::config::FlagValue;
use crate::gateway::GatewayServer;
use crate::known::ServerInstallations;
use crate::local::{journal_dir, refuse_local};
use crate::server::{Signals, hooks_listener, listen};
use crate::{Exit, Failure, access_events, telemetry};

/// How often it is checked that everything still runs.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How long the last lines about access may take to the brokers.
const LAST_LINES: Duration = Duration::from_millis(500);

pub(super) fn run(context: &mut Context<'_, '_>, args: GatewayArgs) -> Result<Exit, Failure> {
    let GatewayArgs { data_dir, brokers, listen: address, url, server } = args;
    let address = address.map(|value| FlagValue { key: "gateway.listen", flag: "--listen", value });
    let config = context.config([data_dir_flag(data_dir), brokers_flag(brokers), address])?;
    refuse_local(&config)?;
    context.start_logs(&config.log)?;
    if config.gateway.apps.is_empty() {
        return Err(Failure::new("no app is named whose hooks are to be taken").hint(
            "add a [[gateway.app]] to the configuration, with name, app_key, realms, and audiences or forge_app; \
             deploy/realm-ledger.toml has one",
        ));
    }
    let metrics = telemetry::start_metrics()?;
    let listener = hooks_listener(&config)?;
    let admin = listen(&config.http.admin_listen, "http.admin_listen")?;
    let no_access = |error| Failure::caused("access cannot be controlled", error);
    let access = Arc::new(Access::new(&config.access).map_err(no_access)?);
    let known = match url {
        Some(url) => {
            let credentials = context.credentials(&server)?;
            Some(Arc::new(ServerInstallations { url, credentials }) as Arc<dyn KnownInstallations>)
        }
        None => None,
    };
    let journal = Journal::open(&journal_dir(&config), &config.journal)?;
    let server = GatewayServer::start(&config, listener, journal, access, known)?;
    let admin_address = server.serve_admin(admin, Arc::new(move || metrics.render()))?;
    access_events::start(&config)?;
    let signals = Signals::new(server.runtime())?;
    info!(
        url = %format_args!("http://{}", server.address()),
        admin_url = %format_args!("http://{admin_address}"),
        "ready"
    );
    let failure = loop {
        if signals.came_within(CHECK_INTERVAL) {
            break None;
        }
        if server.has_failed() {
            break Some(Failure::new("the gateway stopped by itself; the log says why"));
        }
    };
    let began = Instant::now();
    let is_done = server.stop_by(began + config.shutdown_timeout) & access_events::stop(LAST_LINES);
    let took = began.elapsed();
    if is_done {
        info!(?took, "drained");
    } else {
        warn!(
            ?took,
            "ended without all of it, as shutdown_timeout demands; what waits in the journal goes on after the next start"
        );
    }
    failure.map_or(Ok(Exit::Done), Err)
}
