//! A running ledger: data directory, ingestion, publisher and HTTP, wired together.
//!
//! ```text
//!   start:  port ─► data directory ─► ingestion ─► publisher, signing ─► HTTP     what can be refused comes first
//!   drain:  HTTP takes no more ─► ingestion writes what it began ─► it is published and signed ─► open answers end
//! ```
//!
//! The drain as a whole has a time limit. A stage that hangs, as brokers do not answer, is given up in time for the
//! next one and logged: what it leaves is made good after the next start.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use ledger_api::access::Access;
use ledger_api::backup::MakeBackup;
use ledger_api::command::{CommandSink, Commands};
use ledger_api::http::{Api, Tls};
use ledger_api::ledger::Ledger;
use ledger_gateway::KnownInstallations;
use ledger_gateway::journal::Journal;
use ledger_ingest::consume::Ingest;
use ledger_ingest::publish::Publisher;
use ledger_ingest::topics;
use ledger_store::{Catalog, DataDir, MemoryPart};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::background::Background;
use crate::backups::ServerBackups;
use crate::commands::{self, KafkaCommands};
use crate::config::{Config, LocalOptions};
use crate::evidence::EvidenceThreads;
use crate::gateway::GatewayServer;
use crate::known::LedgerInstallations;
use crate::local::{self, LocalIngest};
use crate::traces::Spans;
use crate::{
    Exit, Failure, access_events, allocator, app_copies, descriptors, memory, sampling, secret, telemetry,
};

/// How long what still runs after a drain may take to notice.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// The part of the time to end after which hooks have to be answered and published, ingestion has to have stopped, and what it recorded to be published and signed.
/// The rest is for answers that are being read.
const HOOKS_PERCENT: u32 = 20;
const INGESTION_PERCENT: u32 = 40;
const OUTPUT_PERCENT: u32 = 90;

/// A ledger that runs until it is drained.
pub(crate) struct Server {
    runtime: Runtime,
    catalog: Arc<Catalog>,
    pipeline: Pipeline,
    gateway: Option<GatewayServer>,
    http: JoinHandle<io::Result<()>>,
    close_http: oneshot::Sender<()>,
    address: SocketAddr,
    admin_address: SocketAddr,
}

/// What runs beside the HTTP interface. A pipeline that is dropped, as the start failed half-way, stops what had begun.
#[derive(Default)]
struct Pipeline {
    ingest: Option<Ingest>,
    local: Option<LocalIngest>,
    publisher: Option<Publisher>,
    evidence: Option<EvidenceThreads>,
    background: Vec<Background>,
    spans: Option<Arc<Spans>>,
}

/// How long what had begun may take to stop when the start failed.
const STOP_AFTER_FAILURE: Duration = Duration::from_secs(10);

impl Pipeline {
    fn start(
        config: &Config,
        data: &Arc<DataDir>,
        catalog: &Arc<Catalog>,
        journal: Option<&Journal>,
    ) -> Result<Self, Failure> {
        let mut begun = Self::default();
        match (config.local, journal) {
            (Some(LocalOptions { partitions }), Some(journal)) => {
                begun.local = Some(LocalIngest::start(config, partitions, data, catalog, journal)?);
            }
            _ => begun.start_kafka(config, data, catalog)?,
        }
        let source = journal.filter(|_| config.local.is_some());
        begun.evidence = Some(EvidenceThreads::start(catalog, config, data, source)?);
        let sampling = sampling::start(Arc::clone(catalog), config.sampled_tenants_per_minute);
        begun.background.extend(sampling.map_err(no_runtime)?);
        begun.background.push(app_copies::start(Arc::clone(catalog)).map_err(no_runtime)?);
        let room = allocator::keep_what_there_is_room_for(Arc::clone(data)).map_err(no_runtime)?;
        begun.background.extend(room);
        Ok(begun)
    }

    /// What reads from Kafka, and what publishes there.
    fn start_kafka(
        &mut self,
        config: &Config,
        data: &Arc<DataDir>,
        catalog: &Arc<Catalog>,
    ) -> Result<(), Failure> {
        local::refuse_local(config)?;
        // Before anything is read. Without decisions to publish there is nothing to make spans of.
        let collector = config.otlp.as_deref().filter(|_| config.kafka.decisions_topic.is_some());
        self.spans = collector.map(Spans::start).transpose()?;
        self.ingest = Some(Ingest::start(Arc::clone(data), Arc::clone(catalog), &config.kafka)?);
        let options = config.kafka.clone();
        // On a thread of its own: a broker that does not answer delays nothing.
        thread::Builder::new()
            .name("topics".to_owned())
            .spawn(move || topics::warn_of_differences(&options))
            .map_err(no_runtime)?;
        self.publisher = Publisher::start(catalog, &config.kafka)
            .map_err(|error| Failure::caused("the publisher cannot be started", error))?;
        Ok(())
    }

    /// Something that should never end has ended.
    fn has_failed(&self) -> bool {
        self.ingest.as_ref().is_some_and(Ingest::is_finished)
            || self.local.as_ref().is_some_and(LocalIngest::is_finished)
            || self.publisher.as_ref().is_some_and(Publisher::is_finished)
            || self.evidence.as_ref().is_some_and(EvidenceThreads::has_failed)
            || self.background.iter().any(Background::is_finished)
    }

    /// Stops ingestion by the first deadline, then publishes and signs what it recorded by the second. Returns what
    /// was given up.
    fn stop_by(&mut self, ingestion: Instant, output: Instant) -> Vec<&'static str> {
        self.background.drain(..).for_each(Background::stop);
        let mut given_up = Vec::new();
        if !self.ingest.take().is_none_or(|ingest| ingest.stop_by(ingestion)) {
            given_up.push("leaving the consumer group (its coordinator will notice)");
        }
        if !self.local.take().is_none_or(|local| local.stop_by(ingestion)) {
            given_up.push("reading the journal (the rest follows after the next start)");
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
        if let Some(spans) = self.spans.take() {
            spans.stop_by(output);
        }
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
    /// Starts everything. Signals are received from before the ledger reports that it is ready.
    pub(crate) fn start(config: &Config) -> Result<(Self, Signals), Failure> {
        let config = &descriptors::fit(config)?;
        let metrics = telemetry::start_metrics()?;
        let listener = listen(&config.http.listen, "http.listen")?;
        let access = access_for(&listener, config)?;
        let tls = config.tls().map(Tls::new).transpose();
        let tls = tls.map_err(|error| Failure::caused("HTTP cannot speak TLS", error))?.map(Arc::new);
        let scheme = if tls.is_some() { "https" } else { "http" };
        let admin = listen(&config.http.admin_listen, "http.admin_listen")?;
        let hooks = if config.gateway.apps.is_empty() { None } else { Some(hooks_listener(config)?) };
        let data = Arc::new(secret::open(config)?.0);
        let journal = local::journal_of_server(config, &data, hooks.is_some())?;
        let catalog = Arc::new(Catalog::default());
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .thread_name("http")
            // A place among the requests is worth nothing without a thread to read on.
            .max_blocking_threads(config.http.options.concurrent_requests.max(1) + BLOCKING_THREADS_BESIDE)
            .build();
        let runtime = runtime.map_err(no_runtime)?;
        let signals = Signals::new(&runtime)?;
        let secret = data.ledger_secret().cloned();
        let answers = data.memory().share(MemoryPart::Answers);
        let ledger =
            Arc::new(Ledger::from_catalog(Arc::clone(&catalog)).with_secret(secret).with_memory(answers));
        let known: Option<Arc<dyn KnownInstallations>> =
            Some(Arc::new(LedgerInstallations(Arc::clone(&ledger))));
        let measured = Arc::clone(&data);
        let backups = ServerBackups::new(config, &data, &catalog);
        let aged = backups.clone();
        let render = Arc::new(move || {
            memory::report(&measured);
            if let Some(backups) = &aged {
                backups.report_age();
            }
            metrics.render()
        });
        let sink: Arc<dyn CommandSink> = match journal.as_ref().filter(|_| config.local.is_some()) {
            Some(journal) => Arc::new(local::commands(config, &data, journal)),
            None => KafkaCommands::new(&config.kafka, &data),
        };
        let commands =
            Some(Commands { decode: commands::decode, decode_refused: commands::decode_refused, sink });
        let api = Api::new(ledger, render, config.http.options.clone());
        let api = api.with_access(Arc::clone(&access)).with_tls(tls);
        let api = api.with_commands(commands).with_journal(journal.clone().map(local::journal_health));
        let api = api.with_backups(backups.map(|backups| backups as Arc<dyn MakeBackup>));
        let pipeline = Pipeline::start(config, &data, &catalog, journal.as_ref())?;
        let hooks = hooks.zip(journal);
        let gateway =
            hooks.map(|(hooks, journal)| GatewayServer::start(config, hooks, journal, access, known));
        let gateway = gateway.transpose()?;
        let address = listener.local_addr().map_err(no_runtime)?;
        let admin_address = admin.local_addr().map_err(no_runtime)?;
        access_events::start(config)?;
        let (close_http, closed) = oneshot::channel::<()>();
        let http = runtime.spawn(serve_both(listener, admin, api, closed));
        info!(
            url = %format_args!("{scheme}://{address}"),
            admin_url = %format_args!("http://{admin_address}"),
            data_dir = %config.data_dir.display(),
            "ready"
        );
        let server = Self { runtime, catalog, pipeline, gateway, http, close_http, address, admin_address };
        Ok((server, signals))
    }

    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Something that should never end has ended.
    pub(crate) fn has_failed(&self) -> bool {
        let has_gateway_failed = self.gateway.as_ref().is_some_and(GatewayServer::has_failed);
        self.http.is_finished() || has_gateway_failed || self.pipeline.has_failed()
    }

    /// Ends in order: nothing that was begun is lost, and what was recorded is published, as far as there is time.
    pub(crate) fn drain(mut self, within: Duration) {
        info!(?within, "draining");
        let began = Instant::now();
        let by = |percent| began + within * percent / 100;
        // The server may have ended by itself.
        let _ = self.close_http.send(());
        let are_hooks_done = self.gateway.is_none_or(|gateway| gateway.stop_by(by(HOOKS_PERCENT)));
        let mut given_up = self.pipeline.stop_by(by(INGESTION_PERCENT), by(OUTPUT_PERCENT));
        given_up.extend(
            (!are_hooks_done).then_some("publishing the journal (the rest follows after the next start)"),
        );
        let left = by(100).saturating_duration_since(Instant::now()).saturating_sub(LAST_WAIT);
        match self.runtime.block_on(async { tokio::time::timeout(left, self.http).await }) {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(failed))) => error!(error = %failed, "the HTTP interface failed"),
            Ok(Err(failed)) => error!(error = %failed, "the HTTP interface failed"),
            Err(_) => given_up.push("answers that are being read"),
        }
        if !access_events::stop(by(100).saturating_duration_since(Instant::now()).min(LAST_WAIT)) {
            given_up.push("lines about access on their topic (the log has them)");
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
    /// Begins to listen for SIGTERM and SIGINT. The first is passed on, the second ends the process at once.
    pub(crate) fn new(runtime: &Runtime) -> Result<Self, Failure> {
        let (sender, received) = mpsc::channel();
        let _inside = runtime.enter();
        let mut terminate = signal(SignalKind::terminate()).map_err(no_runtime)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(no_runtime)?;
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
                // The receiver is gone when the process is about to end by itself.
                let _ = sender.send(());
            }
        });
        Ok(Self(received))
    }

    /// Whether one came before the time was over.
    pub(crate) fn came_within(&self, time: Duration) -> bool {
        match self.0.recv_timeout(time) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
            Err(RecvTimeoutError::Timeout) => false,
        }
    }
}

/// The system gives no threads or signals.
fn no_runtime(error: io::Error) -> Failure {
    Failure::caused("the runtime cannot be started", error)
}

/// Answers until it is told to stop. Probes and metrics are answered until then and while it stops.
async fn serve_both(
    listener: TcpListener,
    admin: TcpListener,
    api: Api,
    closed: oneshot::Receiver<()>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let admin = tokio::net::TcpListener::from_std(admin)?;
    let (end, ended) = oneshot::channel::<()>();
    // A sender that is gone means the same as one that spoke.
    let admin = tokio::spawn(ledger_api::serve_admin(admin, api.clone(), async { drop(ended.await) }));
    let served = ledger_api::serve(listener, api, async { drop(closed.await) }).await;
    drop(end);
    admin.await.map_err(io::Error::other)??;
    served
}

/// Who may ask. Beyond this machine someone has to be named, or everyone be let in on purpose.
fn access_for(listener: &TcpListener, config: &Config) -> Result<Arc<Access>, Failure> {
    let address = listener.local_addr().map_err(no_runtime)?;
    if config.access.open {
        warn!(%address, "access.open = true: whoever reaches this address may ask everything");
    }
    may_be_reached(address, config)?;
    let access = Access::new(&config.access);
    access.map(Arc::new).map_err(|error| Failure::caused("access cannot be controlled", error))
}

/// Whether the configuration says who may ask at an address, as far as others reach it.
pub(crate) fn may_be_reached(address: SocketAddr, config: &Config) -> Result<(), Failure> {
    let options = &config.access;
    if !options.open && !options.names_someone() && !address.ip().is_loopback() {
        let refused = format!("{address} is reached from other machines, and no one is named who may ask");
        return Err(Failure::new(refused).hint(
            "`realm-ledger token create NAME` prints a token and the [[access.token]] to name it by; where something \
             in front of it decides who may ask, add these two lines to the configuration:\n  [access]\n  open = true",
        ));
    }
    Ok(())
}

/// Where hooks are taken.
pub(crate) fn hooks_listener(config: &Config) -> Result<TcpListener, Failure> {
    listen(&config.gateway.listen, "gateway.listen")
}

pub(crate) fn listen(listen: &str, key: &str) -> Result<TcpListener, Failure> {
    let failed = |error| {
        Failure::caused(format!("{listen} cannot be listened to"), error)
            .hint(format!("another process may have the port; choose another one ({key})"))
    };
    let listener = TcpListener::bind(listen).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use ledger_api::access::{Grants, Scopes, TokenOptions};

    use super::*;

    /// Threads of this process by name. Names are cut by the system.
    fn threads() -> Vec<String> {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok()).collect()
    }

    #[test]
    fn an_address_beyond_loopback_needs_a_principal_or_to_be_opened_on_purpose() {
        let may_start = |address: &str, change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            access_for(&TcpListener::bind(address).unwrap(), &config).map(|access| access.is_on())
        };
        let refused = may_start("0.0.0.0:0", |_| {}).unwrap_err();
        let refused = format!("{refused:?}");
        assert!(refused.contains("no one is named who may ask") && refused.contains("[access]"), "{refused}");
        assert!(!may_start("127.0.0.1:0", |_| {}).unwrap());
        assert!(!may_start("0.0.0.0:0", |config| config.access.open = true).unwrap());
        let named = |config: &mut Config| {
            config.access.tokens.push(TokenOptions {
                name: "a".to_owned(),
                sha256: [1; 32],
                scopes: Scopes::default(),
                apps: Grants::All,
                expires: None,
            });
        };
        assert!(may_start("0.0.0.0:0", named).unwrap());
        assert!(may_start("127.0.0.1:0", named).unwrap(), "on loopback too");
    }

    #[test]
    fn a_start_that_fails_half_way_stops_what_had_begun() {
        let scratch = tempfile::tempdir().unwrap();
        let mut config = Config { data_dir: scratch.path().join("data"), ..Config::default() };
        config.evidence.keys_dir = Some(scratch.path().to_owned());
        config.http.listen = "127.0.0.1:0".to_owned();
        config.http.admin_listen = "127.0.0.1:0".to_owned();
        config.kafka.brokers = "127.0.0.1:1".to_owned();
        config.kafka.checkpoints_topic = Some("checkpoints".to_owned());
        std::fs::write(scratch.path().join("signing-keys"), "this is no key").unwrap();
        let failed = Server::start(&config).map(drop).unwrap_err();
        assert!(format!("{failed:?}").contains("signing-keys"), "{failed:?}");
        let left: Vec<_> = threads().into_iter().filter(|name| name.starts_with("publish")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
