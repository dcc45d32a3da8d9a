//! `publish`: events from a file to Kafka.

use std::fs::File;
use std::io::{self, BufRead, BufReader};

use ledger_ingest::kafka::{KafkaOptions, PublishError, Sender};
use ledger_ingest::placing;
use ledger_store::{DataDir, Partitioner};

use super::{Context, Input, Unreadable, brokers_flag, now, partitioner_flag};
use crate::cli::Publish;
use crate::config::Config;
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

#[derive(Debug, thiserror::Error)]
#[error("line {line} is longer than {} MiB, and no event is", LINE_MAX_BYTES >> 20)]
struct TooLong {
    line: u64,
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
    let Publish { file, tick, brokers, topic, placing } = args;
    let mut flags = brokers_flag(brokers.brokers);
    flags.extend(partitioner_flag(placing.partitioner));
    let config = context.config(&flags)?.config;
    let mut options = config.kafka.clone();
    if let Some(topic) = topic {
        options.topics = vec![topic];
    }
    options.partitioner = remembered(&config, &options)?;
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

/// How keys are placed as far as no broker has to be asked: as set, or as the data directory remembers if there is one.
pub(super) fn remembered(config: &Config, options: &KafkaOptions) -> Result<Option<Partitioner>, Failure> {
    let topic = options.topics.first().map_or("", String::as_str);
    let known = if DataDir::exists(&config.data_dir)? {
        DataDir::open_existing_read_only(&config.data_dir, config.store.clone())?.partitioner(topic)?
    } else {
        None
    };
    placing::in_force(topic, options.partitioner, known).map_err(Failure::new)
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
    let mut stopped = None;
    let mut last = 0;
    for number in 1.. {
        last = number;
        match read_line(input, &mut line, LINE_MAX_BYTES) {
            Ok(LineRead::End) => break,
            Ok(LineRead::Whole) => {}
            Ok(LineRead::TooLong) => {
                stopped = Some(Failure::new(TooLong { line: number }));
                break;
            }
            Err(source) => {
                stopped = Some(Failure::new(UnreadableLine { line: number, source }));
                break;
            }
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

#[derive(Debug, PartialEq, Eq)]
enum LineRead {
    Whole,
    TooLong,
    End,
}

/// Reads a line, with its end. One that is too long is not cut: its rest would be read as lines of their own.
fn read_line(input: &mut dyn BufRead, line: &mut Vec<u8>, max_bytes: u64) -> io::Result<LineRead> {
    line.clear();
    let read = io::Read::take(input, max_bytes).read_until(b'\n', line)?;
    Ok(match line.last() {
        None => LineRead::End,
        Some(b'\n') => LineRead::Whole,
        Some(_) if read as u64 == max_bytes => LineRead::TooLong,
        Some(_) => LineRead::Whole,
    })
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        Self::new(error)
    }
}

#[cfg(test)]
mod tests {
    use LineRead::{End, TooLong, Whole};

    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_no_line_and_neither_is_its_rest() {
        let read = |text: &[u8]| {
            let (mut input, mut line, mut read) = (text, Vec::new(), Vec::new());
            loop {
                let found = read_line(&mut input, &mut line, 4).unwrap();
                read.push((found, String::from_utf8(line.clone()).unwrap().trim_end().len()));
                if read.last().is_some_and(|(found, _)| *found != LineRead::Whole) {
                    return read;
                }
            }
        };
        assert_eq!(read(b"abc\nab"), [(Whole, 3), (Whole, 2), (End, 0)]);
        assert_eq!(read(b"a\nabcdef\n"), [(Whole, 1), (TooLong, 4)]);
    }
}
