//! From the journal to Kafka, in order: the lines one after the other, acknowledged by all replicas before the cursor moves.
//!
//! At least once, and with the ids that the events have: what came twice is recorded once. Order is that of the journal
//! within each partition, so within each tenant. What the brokers do not take holds up all that follows and is tried again
//! for ever: nothing is left out. Meanwhile [`Journal::status`](super::Journal::status) says why and how much waits.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use ledger_ingest::kafka::{KafkaOptions, TopicFacts};
use ledger_ingest::publish::{PublishError, Sender};
use ledger_ingest::stopping::{StoppableThread, sleep_unless_stopped};
use ledger_store::{Partitioner, with_causes};
use tracing::{info, warn};

use crate::journal::{Destination, Journal, JournalError, JournalReader, ReadLineError};
use crate::limits::LINES_AT_ONCE;

/// How long the thread waits for a line before it looks around.
const LOOK: Duration = Duration::from_millis(100);

/// How long it rests after a failure: twice as long after each, up to the longest.
const FIRST_REST: Duration = Duration::from_millis(200);
const LONGEST_REST: Duration = Duration::from_secs(5);

/// How often segments that were kept long enough are looked for.
const REMOVE_INTERVAL: Duration = Duration::from_mins(10);

/// A step of publishing failed; the next one begins behind what was noted last.
#[derive(Debug, thiserror::Error)]
pub enum PublishJournalError {
    /// A line cannot be read.
    #[error(transparent)]
    Read(#[from] ReadLineError),
    /// The brokers do not take it.
    #[error("line {line} of the journal was not published")]
    Send { line: u64, source: PublishError },
    /// It was published to another topic.
    #[error(
        "the journal was published to topic {} before, which is another one, of another cluster or made anew: what is not in \
         this one begins at line 1",
        before.topic
    )]
    Elsewhere { before: Destination },
    /// Its beginning is not there any more.
    #[error("the journal begins at line {first}: what was before it was published and removed")]
    Begins { first: u64 },
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// How far it was published cannot be noted.
    #[error("how far the journal was published cannot be noted")]
    Note(#[from] io::Error),
}

/// What was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PublishedLines {
    /// Lines of the journal.
    pub lines: u64,
    /// Messages that they made: an event of a whole app goes to every partition.
    pub messages: u64,
    /// How client keys were placed; none: nothing had to be placed.
    pub partitioner: Option<Partitioner>,
}

/// Publishes what waits now, then returns; all of it, if it is to be published again.
/// `report` gets the number of the last line that is acknowledged.
pub fn publish_waiting(
    journal: &Journal,
    options: &KafkaOptions,
    again: bool,
    mut report: impl FnMut(u64),
) -> Result<PublishedLines, PublishJournalError> {
    let line = journal.read_on().next_number();
    let (sender, to) = connect(options, line)?;
    let mut sender = Some(sender);
    let (mut reader, mut published) = (journal.read_on(), PublishedLines::default());
    if !again && let Some(before) = journal.published_to().filter(|before| !before.is_same(&to)) {
        return Err(PublishJournalError::Elsewhere { before });
    }
    if again {
        reader = journal.read_again()?;
        if reader.next_number() > 1 {
            return Err(PublishJournalError::Begins { first: reader.next_number() });
        }
    }
    reader.publishes_to(to);
    loop {
        let step = step(&mut reader, options, &mut sender)?;
        published.lines += step.lines;
        published.messages += step.messages;
        published.partitioner = sender.as_ref().and_then(Sender::partitioner);
        if step.lines == 0 {
            return Ok(published);
        }
        report(reader.next_number() - 1);
    }
}

/// A sender, and where it sends to. `line` is the one that waits for it.
fn connect(options: &KafkaOptions, line: u64) -> Result<(Sender, Destination), PublishJournalError> {
    let failed = |source| PublishJournalError::Send { line, source };
    let sender = Sender::connect(options).map_err(failed)?;
    let TopicFacts { cluster_id, topic_id, .. } = sender.topic_facts().map_err(failed)?;
    let topic = options.topics.first().cloned().unwrap_or_default();
    Ok((sender, Destination { topic, cluster_id, topic_id }))
}

/// Sends some lines, waits until all are acknowledged, and notes that.
fn step(
    reader: &mut JournalReader,
    options: &KafkaOptions,
    connected: &mut Option<Sender>,
) -> Result<PublishedLines, PublishJournalError> {
    let mut sent = PublishedLines::default();
    let first = reader.next_number();
    let failed = |line| move |source| PublishJournalError::Send { line, source };
    while sent.lines < LINES_AT_ONCE as u64 {
        let line = match reader.step() {
            Ok(Some(line)) => line,
            Ok(None) => break,
            // The next step meets it first, so that what comes before it is not sent again and again.
            Err(_) if sent.lines > 0 => break,
            Err(error) => return Err(error.into()),
        };
        let sender = if let Some(sender) = connected {
            sender
        } else {
            let (sender, to) = connect(options, first)?;
            reader.publishes_to(to);
            connected.insert(sender)
        };
        match sender.send(&line.text) {
            Ok(messages) => sent.messages += u64::from(messages),
            Err(PublishError::Invalid(_)) if sent.lines > 0 => {
                reader.put_back(&line);
                break;
            }
            Err(error) => return Err(failed(line.number)(error)),
        }
        sent.lines += 1;
    }
    if let Some(sender) = connected.as_mut().filter(|_| sent.lines > 0) {
        sender.settle().map_err(failed(first))?;
        reader.mark_published()?;
    }
    Ok(sent)
}

/// Publishes a journal until it is stopped.
#[derive(Debug)]
pub struct JournalPublisher(StoppableThread);

impl JournalPublisher {
    /// Starts the thread. A broker that is away delays nothing.
    pub fn start(journal: &Journal, options: &KafkaOptions) -> io::Result<Self> {
        let (journal, options) = (journal.clone(), options.clone());
        let on_panic =
            "the thread that publishes the journal panicked; what waits is published after a restart";
        let work = move |stop: Arc<AtomicBool>| run(&journal, &options, &stop);
        StoppableThread::start("publish-journal", on_panic, work).map(Self)
    }

    /// Whether it ended by itself, which it never should.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Publishes what waits now, then ends, at the latest at the deadline: whether it did. The rest goes on after the next
    /// start.
    pub fn stop_by(self, deadline: Instant) -> bool {
        self.0.stop_by(deadline)
    }
}

fn run(journal: &Journal, options: &KafkaOptions, stop: &AtomicBool) {
    let (mut reader, mut sender, mut rest) = (journal.read_on(), None, FIRST_REST);
    let mut failing_since: Option<Instant> = None;
    let mut removed: Option<Instant> = None;
    loop {
        let is_last = stop.load(Ordering::Acquire);
        match step(&mut reader, options, &mut sender) {
            Ok(sent) => {
                if let Some(since) = failing_since.take().filter(|_| sent.lines > 0) {
                    info!(after = ?since.elapsed(), "the journal is published again");
                }
                journal.set_blocked(None);
                rest = FIRST_REST;
                if sent.lines == 0 {
                    if is_last {
                        return;
                    }
                    reader.wait(LOOK);
                }
            }
            Err(failed) => {
                let reason = with_causes(&failed);
                if failing_since.is_none() {
                    warn!(
                        reason,
                        "the journal is not published; it is tried again, and events are taken meanwhile"
                    );
                }
                failing_since.get_or_insert_with(Instant::now);
                journal.set_blocked(Some(reason));
                // What was handed over may be there or not: it is sent again from the cursor, by a client of its own.
                (sender, reader) = (None, journal.read_on());
                if is_last {
                    return;
                }
                sleep_unless_stopped(rest, stop);
                rest = (rest * 2).min(LONGEST_REST);
            }
        }
        if removed.is_none_or(|then| then.elapsed() > REMOVE_INTERVAL) {
            removed = Some(Instant::now());
            if let Err(failed) = journal.remove_old(SystemTime::now()) {
                warn!(error = with_causes(&failed), "old segments of the journal are not removed");
            }
        }
    }
}
