//! `publish`: events from a file to Kafka.

use std::fs::File;
use std::io::{self, BufRead, BufReader};

use ledger_ingest::kafka::{KafkaOptions, PublishError, Sender};

use super::{Context, Input, Unreadable, brokers_flag, now};
use crate::cli::Publish;
use crate::{Exit, Failure};

/// Longest line that is read; what is over 1 MiB is told as too large.
const LINE_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Faults that are told one by one; the rest is counted.
const FAULTS_TOLD: u64 = 20;

/// Some lines were no events.
#[derive(Debug, thiserror::Error)]
#[error("{count} line(s) are no events and were not sent")]
struct NotSent {
    count: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("line {line} cannot be read")]
struct UnreadableLine {
    line: u64,
    #[source]
    source: io::Error,
}

#[derive(Default)]
struct Sent {
    events: u64,
    messages: u64,
    faults: u64,
}

pub(super) fn run(context: &mut Context<'_, '_>, args: Publish) -> Result<Exit, Failure> {
    let Publish { file, tick, brokers, topic } = args;
    let mut options = context.config(&brokers_flag(brokers.brokers))?.config.kafka;
    if let Some(topic) = topic {
        options.topics = vec![topic];
    }
    let Some(file) = file.filter(|_| !tick) else { return send_tick(context, &options) };
    match Input::of(file) {
        Input::Standard => {
            let mut input = std::mem::replace(&mut context.surroundings.input, Box::new(io::empty()));
            send_all(context, &mut input, &options)
        }
        Input::File(path) => {
            let file = File::open(&path).map_err(|source| Failure::new(Unreadable { path, source }))?;
            send_all(context, &mut BufReader::new(file), &options)
        }
    }
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
    input: &mut dyn BufRead,
    options: &KafkaOptions,
) -> Result<Exit, Failure> {
    let mut sender = Sender::connect(options)?;
    let mut sent = Sent::default();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = io::Read::take(&mut *input, LINE_MAX_BYTES).read_until(b'\n', &mut line);
        if read.map_err(|source| Failure::new(UnreadableLine { line: number, source }))? == 0 {
            break;
        }
        let text = line.trim_ascii();
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
            Err(error) => return Err(error.into()),
        }
    }
    sender.settle()?;
    context.say(&format!(
        "{} events sent to {}, as {} messages",
        sent.events,
        options.topics.join(", "),
        sent.messages
    ));
    if sent.faults > 0 {
        return Err(Failure::new(NotSent { count: sent.faults }).hint("correct them and publish them again"));
    }
    Ok(Exit::Done)
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        Self::new(error)
    }
}
