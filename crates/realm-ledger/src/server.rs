//! A running ledger: data directory, ingestion, publisher and HTTP, wired together.
//!
//! ```text
//!   start:  port ─► data directory ─► ingestion ─► publisher, signing ─► HTTP     what can be refused comes first
//!   drain:  HTTP takes no more ─► ingestion writes what it began ─► it is told and signed ─► open answers end
//! ```
//!
//! The drain as a whole has a time limit. A stage that hangs, as brokers do not answer, is given up in time for the
//! next one, and said to be: what it leaves is made good after the next start.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use ledger_api::http::{self, Api};
use ledger_api::ledger::Ledger;
use ledger_ingest::consume::{Ingest, IngestError};
use ledger_ingest::kafka::KafkaError;
use ledger_ingest::publish::Publisher;
use ledger_store::{Catalog, DataDir, StopCode};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::app_copies::AppCopies;
use crate::config::Config;
use crate::descriptors;
use crate::evidence::Evidence;
use crate::sampling::Sampling;
use crate::secret;
use crate::telemetry::{self, TelemetryError};
use crate::{Exit, Failure};

/// How long what still runs after a drain may take to notice.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// The part of the time to end after which ingestion has to have stopped, and what it recorded to be told and signed.
/// The rest is for answers that are being read.
const INGESTION_PERCENT: u32 = 40;
const OUTPUT_PERCENT: u32 = 90;

/// Why a ledger does not run, apart from what the data directory and Kafka say.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The port cannot be had.
    #[error("{listen} cannot be listened to")]
    Listen {
        /// As it was asked for.
        listen: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system gives no threads or signals.
    #[error("the runtime cannot be started")]
    Runtime(#[source] io::Error),
    /// The publisher has no client.
    #[error("the publisher cannot be started")]
    Publisher(#[source] KafkaError),
}

/// A ledger that runs until it is drained.
pub(crate) struct Server {
    runtime: Runtime,
    catalog: Arc<Catalog>,
    pipeline: Pipeline,
    http: JoinHandle<io::Result<()>>,
    close_http: oneshot::Sender<()>,
    address: SocketAddr,
}

/// What runs beside the HTTP interface. One that is dropped, as the start failed half-way, stops what had begun.
#[derive(Default)]
struct Pipeline {
    ingest: Option<Ingest>,
    publisher: Option<Publisher>,
    evidence: Option<Evidence>,
    sampling: Option<Sampling>,
    app_copies: Option<AppCopies>,
}

/// How long what had begun may take to stop when the start failed.
const STOP_AFTER_FAILURE: Duration = Duration::from_secs(10);

impl Pipeline {
    fn start(config: &Config, data: &Arc<DataDir>, catalog: &Arc<Catalog>) -> Result<Self, Failure> {
        let mut begun = Self::default();
        begun.ingest = Some(Ingest::start(Arc::clone(data), Arc::clone(catalog), &config.kafka)?);
        begun.publisher = Publisher::start(catalog, &config.kafka).map_err(ServeError::Publisher)?;
        begun.evidence = Some(Evidence::start(catalog, config, data)?);
        begun.sampling = Sampling::start(Arc::clone(catalog), config.sampling.tenants_per_minute)
            .map_err(ServeError::Runtime)?;
        begun.app_copies = Some(AppCopies::start(Arc::clone(catalog)).map_err(ServeError::Runtime)?);
        Ok(begun)
    }

    /// Something that should never end has ended.
    fn has_failed(&self) -> bool {
        self.ingest.as_ref().is_some_and(Ingest::is_finished)
            || self.publisher.as_ref().is_some_and(Publisher::is_finished)
            || self.evidence.as_ref().is_some_and(Evidence::has_failed)
            || self.sampling.as_ref().is_some_and(Sampling::is_finished)
            || self.app_copies.as_ref().is_some_and(AppCopies::is_finished)
    }

    /// Stops ingestion by the first deadline, then publishes and signs what it recorded by the second. Answers what
    /// was given up.
    fn stop_by(&mut self, ingestion: Instant, output: Instant) -> Vec<&'static str> {
        if let Some(sampling) = self.sampling.take() {
            sampling.stop();
        }
        if let Some(app_copies) = self.app_copies.take() {
            app_copies.stop();
        }
        let mut given_up = Vec::new();
        if !self.ingest.take().is_none_or(|ingest| ingest.stop_by(ingestion)) {
            given_up.push("leaving the consumer group (its coordinator will notice)");
        }
        let (publisher, evidence) = (self.publisher.take(), self.evidence.take());
        thread::scope(|scope| {
            let signing = scope.spawn(|| evidence.is_none_or(|evidence| evidence.stop_by(output)));
            if !publisher.is_none_or(|publisher| publisher.stop_by(output)) {
                given_up.push("publishing (the rest follows after the next start)");
            }
            if !signing.join().unwrap_or(false) {
                given_up.push("signing (what is sealed is signed after the next start)");
            }
        });
        given_up
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        let deadline = Instant::now() + STOP_AFTER_FAILURE;
        self.stop_by(deadline, deadline);
    }
}

/// Threads that may block, beside those that questions read on: the signer and the like.
const BLOCKING_THREADS_BESIDE: usize = 32;

impl Server {
    /// Starts everything. Signals are heard from before the ledger says that it is ready.
    pub(crate) fn start(config: &Config) -> Result<(Self, Signals), Failure> {
        let config = &descriptors::fit(config)?;
        let metrics = telemetry::start_metrics()?;
        let listener = listen(&config.http.listen)?;
        let data = Arc::new(secret::open(config)?.data);
        let catalog = Arc::new(Catalog::default());
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .thread_name("http")
            // A place among the requests is worth nothing without a thread to read on.
            .max_blocking_threads(config.http.options.concurrent_requests.max(1) + BLOCKING_THREADS_BESIDE)
            .build();
        let runtime = runtime.map_err(ServeError::Runtime)?;
        let signals = Signals::of(&runtime)?;
        let secret = data.ledger_secret().cloned();
        let ledger = Arc::new(Ledger::from_catalog(Arc::clone(&catalog)).with_secret(secret));
        let render = Arc::new(move || metrics.render());
        let api = Api::new(ledger, render, config.http.options.clone());
        let pipeline = Pipeline::start(config, &data, &catalog)?;
        let address = listener.local_addr().map_err(ServeError::Runtime)?;
        let (close_http, closed) = oneshot::channel::<()>();
        let http = runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            // A sender that is gone means the same as one that spoke.
            http::serve(listener, api, async { drop(closed.await) }).await
        });
        info!(url = %format_args!("http://{address}"), data_dir = %config.data_dir.display(), "ready");
        let server = Self { runtime, catalog, pipeline, http, close_http, address };
        Ok((server, signals))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Something that should never end has ended.
    pub(crate) fn has_failed(&self) -> bool {
        self.http.is_finished() || self.pipeline.has_failed()
    }

    /// Ends in order: nothing that was begun is lost, and nothing that was recorded stays untold, as far as there is
    /// time for it.
    pub(crate) fn drain(mut self, within: Duration) {
        info!(?within, "draining");
        let began = Instant::now();
        let by = |percent| began + within * percent / 100;
        // The server may have ended by itself.
        let _ = self.close_http.send(());
        let mut given_up = self.pipeline.stop_by(by(INGESTION_PERCENT), by(OUTPUT_PERCENT));
        let left = by(100).saturating_duration_since(Instant::now()).saturating_sub(LAST_WAIT);
        match self.runtime.block_on(async { tokio::time::timeout(left, self.http).await }) {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(failed))) => error!(error = %failed, "the HTTP interface failed"),
            Ok(Err(failed)) => error!(error = %failed, "the HTTP interface failed"),
            Err(_) => given_up.push("answers that are being read"),
        }
        self.runtime.shutdown_timeout(LAST_WAIT);
        let took = began.elapsed();
        if given_up.is_empty() {
            info!(?took, "drained");
        } else {
            let given_up = given_up.join(", ");
            warn!(
                ?took,
                given_up, "ended without all of it, as shutdown_timeout demands; nothing recorded is lost"
            );
        }
    }
}

/// Signals to end.
pub(crate) struct Signals(Receiver<()>);

impl Signals {
    /// Begins to listen for SIGTERM and SIGINT. The first is handed on, the second ends the process at once:
    /// whoever asks twice does not want to wait.
    fn of(runtime: &Runtime) -> Result<Self, ServeError> {
        let (told, heard) = mpsc::channel();
        let _inside = runtime.enter();
        let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Runtime)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Runtime)?;
        runtime.spawn(async move {
            for count in 1.. {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if count > 1 {
                    warn!("a second signal: ending at once; what was not written comes again from Kafka");
                    std::process::exit(i32::from(Exit::Failed.code()));
                }
                // Nobody waits any more when the process is about to end by itself.
                let _ = told.send(());
            }
        });
        Ok(Self(heard))
    }

    /// Whether one came before the time was over.
    pub(crate) fn came_within(&self, time: Duration) -> bool {
        match self.0.recv_timeout(time) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
            Err(RecvTimeoutError::Timeout) => false,
        }
    }
}

fn listen(listen: &str) -> Result<TcpListener, ServeError> {
    let failed = |source| ServeError::Listen { listen: listen.to_owned(), source };
    let listener = TcpListener::bind(listen).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        match &error {
            ServeError::Listen { .. } => Self::new(error)
                .hint("another process may have the port; choose one with --listen or http.listen"),
            ServeError::Runtime(_) | ServeError::Publisher(_) => Self::new(error),
        }
    }
}

impl From<TelemetryError> for Failure {
    fn from(error: TelemetryError) -> Self {
        Self::new(error)
    }
}

impl From<IngestError> for Failure {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Open(error) => error.into(),
            error @ IngestError::OtherCluster(_) => {
                Self::new(error).hint(StopCode::OtherCluster.remedy()).exit(Exit::OtherLedger)
            }
            error => Self::new(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threads of this process by name. Names are cut by the system.
    fn threads() -> Vec<String> {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok()).collect()
    }

    #[test]
    fn a_start_that_fails_half_way_stops_what_had_begun() {
        let scratch = tempfile::tempdir().unwrap();
        let mut config = Config { data_dir: scratch.path().join("data"), ..Config::default() };
        config.evidence.keys_dir = Some(scratch.path().to_owned());
        config.http.listen = "127.0.0.1:0".to_owned();
        config.kafka.brokers = "127.0.0.1:1".to_owned();
        config.kafka.checkpoints_topic = Some("checkpoints".to_owned());
        std::fs::write(scratch.path().join("signing-keys"), "this is no key").unwrap();
        let failed = Server::start(&config).map(drop).unwrap_err();
        assert!(format!("{failed:?}").contains("signing-keys"), "{failed:?}");
        let left: Vec<_> = threads().into_iter().filter(|name| name.starts_with("publish")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
