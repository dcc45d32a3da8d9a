//! `publish`: events from a file to Kafka, a tick, or the copies of app-level events that a partition lacks.

use std::path::Path;

use indicatif::ProgressBar;
use ledger_gateway::journal::{Journal, PublishJournalError, PublishedLines, publish_waiting};
use ledger_ingest::kafka::KafkaOptions;
use ledger_ingest::placing;
use ledger_ingest::publish::{PublishError, Sender};
use ledger_ingest::text::{Line, LineError};
use ledger_store::{AppEvents, DataDir, MissingCopies, Partitioner};

use super::export::read_all;
use super::{Context, InputFile, brokers_flag, data_dir_flag, now, open_read_only, partitioner_flag};
use crate::cli::Publish;
use crate::config::Config;
use crate::{Exit, Failure};

/// Faults that are reported one by one; the rest is counted.
const FAULTS_REPORTED: u64 = 20;

/// What becomes of those that were sent already.
const AGAIN: &str =
    "publish the file again from the start: what has arrived is known by its id, and counts once";

pub(super) fn run(context: &mut Context<'_, '_>, args: Publish) -> Result<Exit, Failure> {
    let Publish { file, tick, missing_copies, journal, again, data_dir, brokers, topic, placing } = args;
    let brokers = brokers_flag(brokers.brokers);
    let mut config =
        context.config([brokers, partitioner_flag(placing.partitioner), data_dir_flag(data_dir)])?;
    if let Some(topic) = topic {
        config.kafka.topics = vec![topic];
    }
    if missing_copies {
        return send_missing(context, &config);
    }
    if let Some(dir) = journal {
        return send_journal(context, &config, &dir, again);
    }
    let mut options = config.kafka.clone();
    options.partitioner = remembered(&config, &options)?;
    let Some(file) = file.filter(|_| !tick) else { return send_tick(context, &options) };
    let input = InputFile::new(file);
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
    Ok(placing::agreed(&open_read_only(config)?, topic, options.partitioner)?)
}

fn send_tick(context: &mut Context<'_, '_>, options: &KafkaOptions) -> Result<Exit, Failure> {
    let mut sender = Sender::connect(options)?;
    let messages = sender.send_tick(now())?;
    sender.settle()?;
    context.report(&format!("a tick sent to {}, as {messages} messages", options.topics.join(", ")));
    Ok(Exit::Done)
}

fn send_all(
    context: &mut Context<'_, '_>,
    lines: impl Iterator<Item = Result<Line, LineError>>,
    options: &KafkaOptions,
) -> Result<Exit, Failure> {
    let mut sender = Sender::connect(options)?;
    let (mut events, mut messages, mut faults, mut last) = (0_u64, 0_u64, 0_u64, 0);
    let mut unreadable = None;
    for line in lines {
        let Line { number, text, .. } = match line {
            Ok(line) => line,
            Err(error) => {
                unreadable = Some(Failure::from(error).hint(AGAIN));
                break;
            }
        };
        last = number;
        let text = text.trim_ascii();
        if text.is_empty() {
            continue;
        }
        match sender.send(text) {
            Ok(copies) => {
                events += 1;
                messages += u64::from(copies);
            }
            Err(PublishError::Invalid(rejection)) => {
                faults += 1;
                if faults <= FAULTS_REPORTED {
                    context.report(&format!("line {number}: {rejection}"));
                }
            }
            Err(error) => return Err(broken_off(number, events, error)),
        }
    }
    sender.settle().map_err(|error| broken_off(last, events, error))?;
    let placed = sender.partitioner();
    let placed = placed.map(|partitioner| format!("; client keys were placed by {partitioner}"));
    context.report(&format!(
        "{events} events sent to {}, as {messages} messages{}",
        options.topics.join(", "),
        placed.unwrap_or_default()
    ));
    match unreadable {
        Some(failure) => Err(failure),
        None if faults > 0 => Err(Failure::new(format!("{faults} line(s) are no events and were not sent"))
            .hint("correct them and publish them again")),
        None => Ok(Exit::Done),
    }
}

/// What waits in a journal. Where it breaks off, the next run goes on.
fn send_journal(
    context: &mut Context<'_, '_>,
    config: &Config,
    dir: &Path,
    again: bool,
) -> Result<Exit, Failure> {
    let within = dir.join("journal");
    let dir = if Journal::exists(&within) { &within } else { dir };
    if !Journal::exists(dir) {
        return Err(Failure::new(format!("there is no journal in {}", dir.display()))
            .hint("name the directory of the journal, or the data directory that it is in"));
    }
    let journal = Journal::open(dir, &config.journal)?;
    let waiting = journal.status().waiting_events;
    let bar = context.bar(ProgressBar::new(waiting), "{bar:40} {human_pos}/{human_len} events, {eta} left");
    let first = journal.status().lines - waiting;
    let report = |line: u64| bar.set_position(line.saturating_sub(first));
    let published = publish_waiting(&journal, &config.kafka, again, report);
    bar.finish_and_clear();
    let PublishedLines { lines, messages, passed_over, partitioner } = published.map_err(|error| {
        let hint = match error {
            PublishJournalError::Elsewhere { .. } => "`--again` publishes all of it to this topic",
            _ => "publish it again: it goes on where this ended",
        };
        Failure::from(error).hint(hint)
    })?;
    let placed = partitioner.map(|partitioner| format!("; client keys were placed by {partitioner}"));
    context.report(&format!(
        "{lines} lines of the journal sent to {}, as {messages} messages{}",
        config.kafka.topics.join(", "),
        placed.unwrap_or_default()
    ));
    if passed_over > 0 {
        return Err(Failure::new(format!("the topic does not take {passed_over} lines of the journal"))
            .hint("unpublished.ndjson beside the journal has them; see max.message.bytes of the topic"));
    }
    Ok(Exit::Done)
}

fn broken_off(line: u64, events: u64, error: PublishError) -> Failure {
    let message = format!(
        "sending broke off at line {line}; {events} events were handed over, of which the last may not have arrived"
    );
    Failure::caused(message, error).hint(AGAIN)
}

/// Sends each app-level event to the partitions that lack it. A copy that arrived meanwhile counts once, by its id, so
/// that it can be sent again.
fn send_missing(context: &mut Context<'_, '_>, config: &Config) -> Result<Exit, Failure> {
    let data = open_read_only(config)?;
    let topic = config.kafka.topics.first().cloned().unwrap_or_default();
    let shards = data.partitions()?.into_iter().filter(|shard| shard.topic == topic);
    // A shard that does not open gets no copies, and the answer is partial.
    let readers = read_all(context, &data, shards.collect());
    let missing = AppEvents::default().missing(&readers)?;
    let mut copies = 0_u64;
    if !missing.is_empty() {
        let mut sender = Sender::connect(&config.kafka)?;
        for MissingCopies { shard, app, events } in missing {
            for event in events {
                sender.send_event(&event, &[shard.partition])?;
                context.report(&format!("{} of {app} sent to {shard}", event.id));
                copies += 1;
            }
        }
        sender.settle()?;
    }
    let count = readers.len();
    context
        .report(&format!("{copies} copies were missing in the {count} partitions of {topic} that are here"));
    Ok(Exit::Done)
}
