//! `publish`: events from a file to Kafka, and copies that a partition lacks.

mod missing;

use ledger_ingest::kafka::KafkaOptions;
use ledger_ingest::placing;
use ledger_ingest::publish::{PublishError, Sender};
use ledger_ingest::text::{Line, LineError};
use ledger_store::{DataDir, Partitioner};

use super::{Context, Input, brokers_flag, data_dir_flag, now, partitioner_flag};
use crate::cli::Publish;
use crate::config::Config;
use crate::{Exit, Failure};

/// Faults that are told one by one; the rest is counted.
const FAULTS_TOLD: u64 = 20;

/// Some lines were no events.
#[derive(Debug, thiserror::Error)]
#[error("{count} line(s) are no events and were not sent")]
struct NotSent {
    count: u64,
}

/// The cluster took some, and then no more.
#[derive(Debug, thiserror::Error)]
#[error(
    "sending broke off at line {line}; {events} events were handed over, of which the last may not have arrived"
)]
struct BrokenOff {
    line: u64,
    events: u64,
    #[source]
    source: PublishError,
}

#[derive(Default)]
struct Sent {
    events: u64,
    messages: u64,
    faults: u64,
}

pub(super) fn run(context: &mut Context<'_, '_>, args: Publish) -> Result<Exit, Failure> {
    let Publish { file, tick, missing_copies, data_dir, brokers, topic, placing } = args;
    let mut flags = brokers_flag(brokers.brokers);
    flags.extend(partitioner_flag(placing.partitioner));
    flags.extend(data_dir_flag(data_dir.as_deref()));
    let mut config = context.config(&flags)?.config;
    if let Some(topic) = topic {
        config.kafka.topics = vec![topic];
    }
    if missing_copies {
        return missing::send(context, &config);
    }
    let mut options = config.kafka.clone();
    options.partitioner = remembered(&config, &options)?;
    let Some(file) = file.filter(|_| !tick) else { return send_tick(context, &options) };
    let input = Input::of(file);
    let bar = context.reading_progress(&input);
    let lines = context.open_lines(&input, &bar)?;
    let sent = send_all(context, lines, &options);
    bar.finish_and_clear();
    sent
}

/// How keys are placed as far as no broker has to be asked: as set, or as the data directory remembers if there is one.
pub(super) fn remembered(config: &Config, options: &KafkaOptions) -> Result<Option<Partitioner>, Failure> {
    let topic = options.topics.first().map_or("", String::as_str);
    if !DataDir::exists(&config.data_dir)? {
        return Ok(options.partitioner);
    }
    let data = DataDir::open_existing_read_only(&config.data_dir, config.store.clone())?;
    placing::agreed(&data, topic, options.partitioner).map_err(Failure::new)
}

fn send_tick(context: &mut Context<'_, '_>, options: &KafkaOptions) -> Result<Exit, Failure> {
    let mut sender = Sender::connect(options)?;
    let messages = sender.send_tick(now())?;
    sender.settle()?;
    context.say(&format!("a tick sent to {}, as {messages} messages", options.topics.join(", ")));
    Ok(Exit::Done)
}

fn send_all(
    context: &mut Context<'_, '_>,
    lines: impl Iterator<Item = Result<Line, LineError>>,
    options: &KafkaOptions,
) -> Result<Exit, Failure> {
    let mut sender = Sender::connect(options)?;
    let mut sent = Sent::default();
    let mut stopped = None;
    let mut last = 0;
    for line in lines {
        let Line { number, text, .. } = match line {
            Ok(line) => line,
            Err(error) => {
                stopped = Some(Failure::new(error));
                break;
            }
        };
        last = number;
        let text = text.trim_ascii();
        if text.is_empty() {
            continue;
        }
        match sender.send(text) {
            Ok(messages) => {
                sent.events += 1;
                sent.messages += u64::from(messages);
            }
            Err(PublishError::Invalid(rejection)) => {
                sent.faults += 1;
                if sent.faults <= FAULTS_TOLD {
                    context.say(&format!("line {number}: {rejection}"));
                }
            }
            Err(source) => return Err(broken_off(number, &sent, source)),
        }
    }
    sender.settle().map_err(|source| broken_off(last, &sent, source))?;
    let placed =
        sender.partitioner().map(|partitioner| format!("; client keys were placed by {partitioner}"));
    context.say(&format!(
        "{} events sent to {}, as {} messages{}",
        sent.events,
        options.topics.join(", "),
        sent.messages,
        placed.unwrap_or_default()
    ));
    if let Some(stopped) = stopped {
        return Err(stopped.hint(AGAIN));
    }
    if sent.faults > 0 {
        return Err(Failure::new(NotSent { count: sent.faults }).hint("correct them and publish them again"));
    }
    Ok(Exit::Done)
}

/// What becomes of those that were sent already.
const AGAIN: &str =
    "publish the file again from the start: what has arrived is known by its id, and counts once";

fn broken_off(line: u64, sent: &Sent, source: PublishError) -> Failure {
    Failure::new(BrokenOff { line, events: sent.events, source }).hint(AGAIN)
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        Self::new(error)
    }
}
