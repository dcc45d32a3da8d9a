//! `serve` runs the ledger until it is asked to stop; `demo` runs broker, sample stream, ledger and HTTP in one process.

use std::io::ErrorKind;
use std::net::ToSocketAddrs as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ledger_ingest::consume::REFUSED_MESSAGES;
use ledger_ingest::kafka::{EmbeddedBroker, KafkaError, NOT_APPEND_TIME};
use ledger_ingest::publish::{PublishError, Sender};
use ledger_store::{Catalog, Halted, Partitioner, Phase};
use tempfile::TempDir;

use super::{Context, brokers_flag, data_dir_flag, now};
use crate::cli::{Demo, Serve};
use crate::config::{Config, FlagValue, LocalOptions, settings_in};
use crate::demo::{ACME, GLOBEX, ROADMAP, Sample, TIMESHEETS, history};
use crate::output::OutputError;
use crate::server::Server;
use crate::telemetry::LogOptions;
use crate::{Exit, Failure};

/// How often it is checked that everything still runs.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

const DEMO_PARTITIONS: u32 = 3;

/// How long the ledger may take to read the history before the demo goes on without waiting.
const CATCH_UP: Duration = Duration::from_secs(15);

/// Time between two events of the demo's trickle.
const TRICKLE: Duration = Duration::from_millis(500);

pub(super) fn run(context: &mut Context<'_, '_>, args: Serve) -> Result<Exit, Failure> {
    let Serve { data_dir, brokers, listen, local, partitions } = args;
    let listen = listen.map(|value| FlagValue { key: "http.listen", flag: "--listen", value });
    let mut config = context.config([data_dir_flag(data_dir), brokers_flag(brokers), listen])?;
    config.local = local.then_some(LocalOptions { partitions });
    context.start_logs(&config.log)?;
    let (server, signals) = Server::start(&config)?;
    let failure = loop {
        if signals.came_within(CHECK_INTERVAL) {
            server.drain(config.shutdown_timeout);
            return Ok(Exit::Done);
        }
        if config.exit_when_halted
            && let Some(halted) = server.catalog().all_halted()
        {
            let halted = halted.iter().map(|(shard, Halted { code, .. })| format!("{shard} ({code})"));
            let halted = halted.collect::<Vec<_>>().join(", ");
            break Failure::new(format!("every shard of this process is halted: {halted}")).hint(
                "the log says what to do about each; with exit_when_halted = false it would go on answering",
            );
        }
        if server.has_failed() {
            break Failure::new("the ledger stopped by itself; the log says why")
                .hint("restart it; nothing is lost, its source has what was not written");
        }
    };
    server.drain(config.shutdown_timeout);
    Err(failure)
}

pub(super) fn demo(context: &mut Context<'_, '_>, args: &Demo) -> Result<Exit, Failure> {
    // The samples have refused messages on purpose, for `quarantine list` to show.
    let level = format!("warn,{NOT_APPEND_TIME}=error,{REFUSED_MESSAGES}=error");
    context.start_logs(&LogOptions { level, format: "text".to_owned() })?;
    report_ignored(context);
    let mut config = Config::default();
    // What is temporary is removed when it is dropped, at the very end.
    let (data_dir, _temporary) = demo_directory(args)?;
    config.data_dir = data_dir;
    config.http.listen.clone_from(&args.listen);
    // Whatever is asked, it is about sample tenants.
    config.access.open = is_beyond_loopback(&args.listen);
    // Any port that is free: Prometheus itself has the usual one.
    "127.0.0.1:0".clone_into(&mut config.http.admin_listen);
    let broker = demo_broker(&config)
        .map_err(|error| Failure::caused("the embedded broker cannot be started", error))?;
    config.kafka.brokers = broker.address();
    // The broker has no topic settings that could be read, and the producer is this program.
    config.kafka.accept_producer_times = true;
    config.kafka.partitioner = Some(Partitioner::Murmur2);
    let (server, signals) = Server::start(&config)?;
    let mut sender = Sender::connect(&config.kafka)?;
    let (samples, mut load_generator) = history(args.seed, args.tenants, now());
    samples.iter().try_for_each(|sample| send(&mut sender, sample))?;
    sender.settle()?;
    wait_until_read(server.catalog());
    let urls = [server.address(), server.admin_address()].map(|address| format!("http://{address}"));
    print_welcome(context, &urls, &config, samples.len())?;
    while !signals.came_within(TRICKLE) {
        send(&mut sender, &load_generator.next(now()))?;
        sender.settle()?;
    }
    server.drain(config.shutdown_timeout);
    Ok(Exit::Done)
}

fn is_beyond_loopback(listen: &str) -> bool {
    listen.to_socket_addrs().is_ok_and(|mut all| all.any(|address| !address.ip().is_loopback()))
}

/// The demo uses no configuration but its own, and reports what it leaves aside.
fn report_ignored(context: &mut Context<'_, '_>) {
    let mut ignored: Vec<String> =
        settings_in(&context.env.environment).into_iter().map(str::to_owned).collect();
    ignored.extend(context.global.config.as_ref().map(|_| "--config".to_owned()));
    if !ignored.is_empty() {
        context.report(&format!("the demo has a configuration of its own, without {}", ignored.join(", ")));
    }
}

fn demo_directory(args: &Demo) -> Result<(PathBuf, Option<TempDir>), Failure> {
    if let Some(path) = &args.data_dir {
        let entry = match std::fs::read_dir(path) {
            Ok(mut entries) => entries.next(),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                return Err(Failure::caused(format!("{} cannot be looked into", path.display()), error));
            }
        };
        if entry.is_some() {
            return Err(Failure::new(format!(
                "{} is not empty: the sample events of the demo would be added to what is there",
                path.display()
            ))
            .hint("name a directory that is empty or missing, or leave --data-dir out"));
        }
        return Ok((path.clone(), None));
    }
    let directory = tempfile::Builder::new().prefix("realm-ledger-demo-").tempdir();
    let directory =
        directory.map_err(|error| Failure::caused("no temporary directory can be made", error))?;
    Ok((directory.path().join("data"), Some(directory)))
}

fn demo_broker(config: &Config) -> Result<EmbeddedBroker, KafkaError> {
    let kafka = &config.kafka;
    let outputs = [&kafka.decisions_topic, &kafka.dead_letter_topic, &kafka.checkpoints_topic];
    let topics = kafka.topics.iter().chain(outputs.into_iter().flatten());
    EmbeddedBroker::start(&topics.map(|name| (name.as_str(), DEMO_PARTITIONS)).collect::<Vec<_>>())
}

fn send(sender: &mut Sender, sample: &Sample) -> Result<(), PublishError> {
    match sample.malformed {
        Some(key) => sender.send_raw(Some(key), sample.text.as_bytes()),
        None => sender.send(sample.text.as_bytes()).map(|_| ()),
    }
}

/// Waits until every partition was read to its end.
fn wait_until_read(catalog: &Catalog) {
    let until = Instant::now() + CATCH_UP;
    while Instant::now() < until {
        let shards = catalog.all();
        let read = shards.iter().filter(|(_, served)| {
            let freshness = served.status.freshness();
            freshness.phase == Phase::Live
                && freshness.lag_events == Some(0)
                && freshness.next_offset > Some(0)
        });
        if read.count() == DEMO_PARTITIONS as usize {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn print_welcome(
    context: &mut Context<'_, '_>,
    [url, admin_url]: &[String; 2],
    config: &Config,
    messages: usize,
) -> Result<(), OutputError> {
    let (broker, data_dir) = (&config.kafka.brokers, config.data_dir.display());
    let text = format!(
        "realm-ledger demo: {messages} sample messages are recorded, and one more every half second\n\
         \n  HTTP       {url}/v1/installations\
         \n  metrics    {admin_url}/metrics\
         \n  Kafka      {broker}\
         \n  data       {data_dir}\n\
         \nTry, in another terminal:\n\
         \n  realm-ledger explain {ACME} {ROADMAP} --url {url}\
         \n  realm-ledger log {GLOBEX} --url {url}\
         \n  realm-ledger preview {GLOBEX} {TIMESHEETS} --product-realm AU --url {url}\
         \n  realm-ledger quarantine list --url {url}\n\
         \nCtrl-C ends it.\n"
    );
    context.print_text(text.as_bytes())
}
