//! The gateway as a part of a server, or alone: its listener, its journal, and what publishes that.
//!
//! ```text
//!   hooks ─► listener ─► journal ─► Kafka, or the ledger without Kafka that is this process
//!                 └─ which installations have an id? ─► the ledger of this process, or a server at a URL, or nobody
//! ```
//!
//! Alone and without a URL nobody is asked: what goes on from Connect to Forge is then a proposal of the ledger
//! (`realm-ledger lineage`), and no event.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger_api::access::Access;
use ledger_api::http::RenderMetrics;
use ledger_gateway::journal::{Journal, JournalPublisher};
use ledger_gateway::{Gateway, KnownInstallations};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{error, info};

use crate::Failure;
use crate::config::Config;

/// How long what still runs after a stop may take to notice.
const LAST_WAIT: Duration = Duration::from_millis(200);

/// How long publishing what waits may take at the end.
const STOP_PUBLISHING: Duration = Duration::from_secs(3);

/// A gateway that takes hooks until it is stopped.
pub(crate) struct GatewayServer {
    runtime: Runtime,
    serving: JoinHandle<io::Result<()>>,
    close: oneshot::Sender<()>,
    address: SocketAddr,
    journal: Journal,
    /// None where the journal is the source of this process.
    publisher: Option<JournalPublisher>,
}

impl GatewayServer {
    /// Takes hooks at a listener. Its journal is published to Kafka, unless it is the source of this process.
    pub(crate) fn start(
        config: &Config,
        listener: TcpListener,
        journal: Journal,
        access: Arc<Access>,
        known: Option<Arc<dyn KnownInstallations>>,
    ) -> Result<Self, Failure> {
        let no_runtime = |error| Failure::caused("the gateway cannot be started", error);
        let publisher = match config.local {
            Some(_) => None,
            None => Some(JournalPublisher::start(&journal, &config.kafka).map_err(no_runtime)?),
        };
        let gateway = Gateway::new(config.gateway.clone(), journal.clone(), access, known)?;
        let address = listener.local_addr().map_err(no_runtime)?;
        let runtime = ledger_gateway::runtime().map_err(no_runtime)?;
        let (close, closed) = oneshot::channel::<()>();
        let serving = runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            ledger_gateway::serve(listener, gateway, async { drop(closed.await) }).await
        });
        info!(hooks_url = %format_args!("http://{address}"), apps = config.gateway.apps.len(), "the gateway is open");
        Ok(Self { runtime, serving, close, address, journal, publisher })
    }

    /// Answers probes and metrics, for a gateway that has no ledger beside it. Returns where.
    pub(crate) fn serve_admin(
        &self,
        listener: TcpListener,
        metrics: RenderMetrics,
    ) -> Result<SocketAddr, Failure> {
        let failed = |error| Failure::caused("probes and metrics cannot be answered", error);
        let address = listener.local_addr().map_err(failed)?;
        let journal = self.journal.clone();
        self.runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            // Until the runtime ends: probes are answered while it drains.
            ledger_gateway::serve_admin(listener, journal, metrics, std::future::pending()).await;
            Ok::<_, io::Error>(())
        });
        Ok(address)
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Something that should never end has ended.
    pub(crate) fn has_failed(&self) -> bool {
        self.serving.is_finished() || self.publisher.as_ref().is_some_and(JournalPublisher::is_finished)
    }

    /// Takes no more, answers what is open, and publishes what waits, as far as there is time: whether there was.
    pub(crate) fn stop_by(self, deadline: Instant) -> bool {
        // It may have ended by itself.
        let _ = self.close.send(());
        let left = deadline.saturating_duration_since(Instant::now());
        let ended = self.runtime.block_on(async { tokio::time::timeout(left, self.serving).await });
        if let Ok(Ok(Err(failed))) = &ended {
            error!(error = %failed, "the gateway failed");
        }
        self.runtime.shutdown_timeout(LAST_WAIT);
        // What waits is on disk. Where the brokers do not take it, the next process has to be let in.
        let patience = if self.journal.status().blocked.is_some() { LAST_WAIT } else { STOP_PUBLISHING };
        let deadline = deadline.min(Instant::now() + patience);
        let is_published = self.publisher.is_none_or(|publisher| publisher.stop_by(deadline));
        ended.is_ok() && is_published
    }
}
