//! `demo`: broker, sample stream, ledger and HTTP in one process.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ledger_ingest::consume::REFUSED_MESSAGES;
use ledger_ingest::kafka::{EmbeddedBroker, KafkaError, NOT_APPEND_TIME};
use ledger_ingest::publish::{PublishError, Sender};
use ledger_store::{Catalog, Partitioner, Phase};
use tempfile::TempDir;

use super::{Context, now};
use crate::cli::Demo;
use crate::config::{Config, settings_in};
use crate::demo::{ACME, GLOBEX, LoadGenerator, ROADMAP, Sample, TIMESHEETS, history};
use crate::output::OutputError;
use crate::server::Server;
use crate::telemetry::{self, LogOptions};
use crate::{Exit, Failure};

const PARTITIONS: u32 = 3;

/// How long the ledger may take to read the history before the demo goes on without waiting.
const CATCH_UP: Duration = Duration::from_secs(15);

/// Time between two events of the trickle.
const TRICKLE: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("the embedded broker cannot be started")]
    Broker(#[source] KafkaError),
    #[error("no temporary directory can be made")]
    Directory(#[source] std::io::Error),
    #[error("{} is not empty: the sample events of the demo would be added to what is there", path.display())]
    NotEmpty { path: PathBuf },
    #[error("{} cannot be looked into", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

pub(super) fn run(context: &mut Context<'_, '_>, args: &Demo) -> Result<Exit, Failure> {
    start_logs(context)?;
    say_ignored(context);
    let mut config = Config::default();
    // What is temporary is removed when it is dropped, at the very end.
    let (data_dir, temporary) = directory(args)?;
    if let Some(temporary) = &temporary {
        config.evidence.keys_dir = Some(temporary.path().join("keys"));
    }
    config.data_dir = data_dir;
    config.http.listen.clone_from(&args.listen);
    let broker = broker(&config).map_err(|source| Failure::new(DemoError::Broker(source)))?;
    config.kafka.brokers = broker.address();
    // It has no settings to ask for, and the producer is this program.
    config.kafka.accept_producer_times = true;
    config.kafka.partitioner = Some(Partitioner::Murmur2);
    let (server, signals) = Server::start(&config)?;
    let mut sender = Sender::connect(&config.kafka)?;
    let (samples, mut load_generator) = history(args.seed, args.tenants, now());
    for sample in &samples {
        send(&mut sender, sample)?;
    }
    sender.settle()?;
    wait_until_read(server.catalog());
    let url = format!("http://{}", server.address());
    context.print_welcome(&url, &config, samples.len())?;
    while !signals.came_within(TRICKLE) {
        trickle(&mut sender, &mut load_generator)?;
    }
    server.drain(config.shutdown_timeout);
    Ok(Exit::Done)
}

fn start_logs(context: &Context<'_, '_>) -> Result<(), Failure> {
    let terminal = context.env.messages_are_terminal;
    let colours = context.env.colours(terminal);
    // The samples have refused messages on purpose, for `quarantine list` to show.
    let level = format!("warn,{NOT_APPEND_TIME}=error,{REFUSED_MESSAGES}=error");
    let options = LogOptions { level, format: "text".to_owned() };
    Ok(telemetry::start_logs(&options, context.verbosity(), terminal, colours)?)
}

/// What would make it something else than the demo is not looked at; nobody should think that it is.
fn say_ignored(context: &mut Context<'_, '_>) {
    let mut ignored: Vec<String> =
        settings_in(&context.env.environment).into_iter().map(str::to_owned).collect();
    ignored.extend(context.names_a_file().then(|| "--config".to_owned()));
    if !ignored.is_empty() {
        context.say(&format!("the demo has a configuration of its own, without {}", ignored.join(", ")));
    }
}

fn directory(args: &Demo) -> Result<(PathBuf, Option<TempDir>), Failure> {
    if let Some(path) = &args.data_dir {
        let path = path.clone();
        return match std::fs::read_dir(&path).map(|mut entries| entries.next().is_some()) {
            Ok(true) => Err(Failure::new(DemoError::NotEmpty { path })
                .hint("name a directory that is empty or missing, or leave --data-dir out")),
            Ok(false) => Ok((path, None)),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok((path, None)),
            Err(source) => Err(Failure::new(DemoError::Unreadable { path, source })),
        };
    }
    let directory = tempfile::Builder::new().prefix("realm-ledger-demo-").tempdir();
    let directory = directory.map_err(|source| Failure::new(DemoError::Directory(source)))?;
    Ok((directory.path().join("data"), Some(directory)))
}

fn broker(config: &Config) -> Result<EmbeddedBroker, KafkaError> {
    let kafka = &config.kafka;
    let mut topics: Vec<(&str, u32)> = kafka.topics.iter().map(|name| (name.as_str(), PARTITIONS)).collect();
    let outputs = [&kafka.decisions_topic, &kafka.dead_letter_topic, &kafka.checkpoints_topic];
    topics.extend(outputs.into_iter().flatten().map(|name| (name.as_str(), PARTITIONS)));
    EmbeddedBroker::start(&topics)
}

fn send(sender: &mut Sender, sample: &Sample) -> Result<(), PublishError> {
    match sample.malformed {
        Some(key) => sender.send_raw(Some(key), sample.text.as_bytes()),
        None => sender.send(sample.text.as_bytes()).map(|_| ()),
    }
}

fn trickle(sender: &mut Sender, load_generator: &mut LoadGenerator) -> Result<(), PublishError> {
    send(sender, &load_generator.next(now()))?;
    sender.settle()
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
        if read.count() == PARTITIONS as usize {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Context<'_, '_> {
    fn print_welcome(&mut self, url: &str, config: &Config, messages: usize) -> Result<(), OutputError> {
        let (broker, data_dir) = (&config.kafka.brokers, config.data_dir.display());
        let text = format!(
            "realm-ledger demo: {messages} sample messages are recorded, and one more every half second\n\
             \n  HTTP       {url}/v1/installations\
             \n  metrics    {url}/metrics\
             \n  Kafka      {broker}\
             \n  data       {data_dir}\n\
             \nTry, in another terminal:\n\
             \n  realm-ledger explain {ACME} {ROADMAP} --url {url}\
             \n  realm-ledger log {GLOBEX} --url {url}\
             \n  realm-ledger preview {GLOBEX} {TIMESHEETS} --product-realm AU --url {url}\
             \n  realm-ledger quarantine list --url {url}\n\
             \nCtrl-C ends it.\n"
        );
        let out = &mut self.env.output;
        Ok(out.write_all(text.as_bytes()).and_then(|()| out.flush())?)
    }
}
