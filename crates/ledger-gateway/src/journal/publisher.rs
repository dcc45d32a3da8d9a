//! From the journal to Kafka, in order: the lines one after the other, acknowledged by all replicas before the cursor moves.
//!
//! At least once, and with the ids that the events have: what came twice is recorded once. Order is that of the journal
//! within each partition, so within each tenant. What the brokers do not take holds up all that follows and is tried again
//! for ever. Meanwhile [`Journal::status`](super::Journal::status) says why and how much waits. Only what they can never take,
//! as it is too long for the topic, is passed over: it is kept in `unpublished.ndjson` beside the segments, and the topic gets
//! its refusal, for the quarantine of its readers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use ledger_ingest::kafka::{KafkaOptions, TopicFacts};
use ledger_ingest::publish::{PublishError, Sender};
use ledger_ingest::stopping::{StoppableThread, sleep_unless_stopped};
use ledger_record::rejection::Rejection;
use ledger_store::{Partitioner, with_causes};
use tracing::{error, info, warn};

use crate::journal::{Destination, Journal, JournalError, JournalReader, ReadLineError, metric};
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
    /// How far it was published cannot be noted, or what is passed over cannot be kept.
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
    /// Lines that the topic never takes.
    pub passed_over: u64,
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
    let mut sending = Sending::new(journal.read_on(), options);
    let (sender, to) = connect(options, sending.reader.next_number())?;
    sending.sender = Some(sender);
    if !again && let Some(before) = journal.published_to().filter(|before| !before.is_same(&to)) {
        return Err(PublishJournalError::Elsewhere { before });
    }
    if again {
        sending.reader = journal.read_again()?;
        if sending.reader.next_number() > 1 {
            return Err(PublishJournalError::Begins { first: sending.reader.next_number() });
        }
    }
    sending.reader.publishes_to(to);
    let mut published = PublishedLines::default();
    loop {
        let step = sending.step()?;
        published.lines += step.lines;
        published.messages += step.messages;
        published.passed_over += step.passed_over;
        published.partitioner = sending.sender.as_ref().and_then(Sender::partitioner);
        if step.lines + step.passed_over == 0 {
            return Ok(published);
        }
        report(sending.reader.next_number() - 1);
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

/// A journal on its way to a topic.
struct Sending<'a> {
    reader: JournalReader,
    options: &'a KafkaOptions,
    sender: Option<Sender>,
    /// Up to this line they go one at a time: the topic does not take one of them.
    one_by_one_to: u64,
}

impl<'a> Sending<'a> {
    const fn new(reader: JournalReader, options: &'a KafkaOptions) -> Self {
        Self { reader, options, sender: None, one_by_one_to: 0 }
    }

    /// Sends some lines, waits until all are acknowledged, and notes that.
    fn step(&mut self) -> Result<PublishedLines, PublishJournalError> {
        let begin = self.reader.place();
        let sent = self.send();
        if sent.is_err() {
            self.reader.go_back(begin);
        }
        match sent {
            Err(PublishJournalError::Send { source, .. })
                if source.why_never().is_some() && self.one_by_one_to <= begin.line =>
            {
                self.one_by_one_to = begin.line + LINES_AT_ONCE as u64;
                // What is under way is no answer to the next one.
                if let Some(sender) = &mut self.sender {
                    let _ = sender.settle();
                }
                self.step()
            }
            Err(PublishJournalError::Send { source, .. }) if let Some(why) = source.why_never() => {
                self.pass_over(why)
            }
            sent => sent,
        }
    }

    fn send(&mut self) -> Result<PublishedLines, PublishJournalError> {
        let mut sent = PublishedLines::default();
        let first = self.reader.next_number();
        let at_once = if first < self.one_by_one_to { 1 } else { LINES_AT_ONCE as u64 };
        let failed = |line| move |source| PublishJournalError::Send { line, source };
        while sent.lines < at_once {
            let line = match self.reader.step() {
                Ok(Some(line)) => line,
                Ok(None) => break,
                // The next step meets it first, so that what comes before it is not sent again and again.
                Err(_) if sent.lines > 0 => break,
                Err(error) => return Err(error.into()),
            };
            let sender = if let Some(sender) = &mut self.sender {
                sender
            } else {
                let (sender, to) = connect(self.options, first)?;
                self.reader.publishes_to(to);
                self.sender.insert(sender)
            };
            sent.messages += u64::from(sender.send_line(&line.text).map_err(failed(line.number))?);
            sent.lines += 1;
        }
        if let Some(sender) = self.sender.as_mut().filter(|_| sent.lines > 0) {
            sender.settle().map_err(failed(first))?;
            self.reader.mark_published()?;
        }
        Ok(sent)
    }

    /// Keeps the next line beside the journal, as the topic never takes it, and tells the readers of the topic so in its
    /// place.
    fn pass_over(&mut self, why: Rejection) -> Result<PublishedLines, PublishJournalError> {
        let Some(line) = self.reader.step()? else { return Ok(PublishedLines::default()) };
        let kept = self.reader.pass_over(&line)?;
        metric::passed_over();
        error!(
            line = line.number,
            %why,
            kept = %kept.display(),
            "the topic never takes a line of the journal: it is passed over and kept there"
        );
        if let Some(sender) = &mut self.sender {
            let detail = format!("{}; line {} of the journal that was published", why.detail, line.number);
            let told =
                sender.send_refused(&line.text, Rejection { detail, ..why }).and_then(|()| sender.settle());
            told.or_else(|source| if source.why_never().is_some() { Ok(()) } else { Err(source) })
                .map_err(|source| PublishJournalError::Send { line: line.number, source })?;
        }
        self.reader.mark_published()?;
        Ok(PublishedLines { passed_over: 1, ..PublishedLines::default() })
    }
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
    let (mut sending, mut rest) = (Sending::new(journal.read_on(), options), FIRST_REST);
    let mut failing_since: Option<Instant> = None;
    let mut removed: Option<Instant> = None;
    loop {
        let is_last = stop.load(Ordering::Acquire);
        match sending.step() {
            Ok(sent) => {
                let is_any = sent.lines + sent.passed_over > 0;
                if let Some(since) = failing_since.take().filter(|_| is_any) {
                    info!(after = ?since.elapsed(), "the journal is published again");
                }
                journal.set_blocked(None);
                rest = FIRST_REST;
                if !is_any {
                    if is_last {
                        return;
                    }
                    sending.reader.wait(LOOK);
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
                sending = Sending::new(journal.read_on(), options);
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
