//! Decisions, corrections and dead letters, published from the log.
//!
//! The publisher reads the log behind the writer, in order of position, and remembers in the shard how far
//! it got ([`progress`]). The cursor moves only behind what the brokers acknowledged, so every message comes at
//! least once and in log order; after a crash the last ones come again with the same ids. What is published is a
//! function of the log alone: nothing is published that is not durable (I-7).
//!
//! The cursor belongs to a data directory. How far the group is, from whichever directory, is committed beside its
//! offsets (`consume::group_progress`), so that a partition that moves is not published from its beginning again.
//!
//! ```text
//!   log ──► changes of a record ──► realm.decisions    key: client key, value: CloudEvent
//!       └─► refused record      ──► realm.dead-letter  key and body as kept, coordinates as headers
//! ```
//!
//! Close behind the writer, records come from memory ([`Reader::take_recent`]): reading them back from the log would
//! cost more than all the rest. They are the same records, and any that were not kept are read from the log.
//!
//! A shard that cannot be read waits alone (I-9). What the brokers do not take holds up all of its topic, since
//! order is promised, and is tried again for ever: nothing is left out. The other topic has a thread and a client of
//! its own and goes on. At the end what is left waits for the next start when the time for it is over.

mod dead_letter;
mod progress;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ledger_core::event::Event;
use ledger_core::ids::ClientKey;
use ledger_core::tenant::Change;
use ledger_record::json;
use ledger_record::json::notice::{NoticeScope, PublishingShard, notices};
use ledger_record::record::{Content, Coordinates, Record, Stream};
use ledger_store::{
    Catalog, Follower, PublisherCursor, ReadError, Reader, Served, ShardId, ShardStatus, Snapshot,
    StorageError, with_causes,
};
use rdkafka::error::KafkaError;
use rdkafka::message::Header;
use tracing::{debug, error, info, warn};

use crate::attempts::Episode;
use crate::kafka::options::{BROKER_TIMEOUT, KafkaOptions};
use crate::publish::outbox::{Outbox, Outgoing, SendError, content_type};
use crate::stopping::{STOP_TIMEOUT, join_until};
use crate::traces::{self, TRACEPARENT};
use progress::{OutputKind, OutputProgress};

/// Most records of a shard that are read from its log at a time.
const RECORDS_AT_ONCE: usize = 10_000;

/// When so many messages wait to be acknowledged, the shards that come next in the round wait for them.
const MESSAGES_AT_ONCE: u64 = 50_000;

/// How long the publisher rests when there is nothing to publish.
const IDLE: Duration = Duration::from_millis(20);

/// How long it rests after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How long a shard that cannot be read is left alone.
const SHARD_REST: Duration = Duration::from_secs(30);

/// Publishes what the catalog's shards record, until stopped.
#[derive(Debug)]
pub struct Publisher {
    /// When to end at the latest, once it is to stop.
    stop: Arc<OnceLock<Instant>>,
    /// Each answers whether everything was published.
    threads: Vec<JoinHandle<bool>>,
}

/// Why a step of publishing ended early; the next one begins where this one began.
#[derive(Debug, thiserror::Error)]
enum StepError {
    /// Concerns all shards.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Concerns its shard.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Concerns its shard.
    #[error(transparent)]
    Store(#[from] StorageError),
}

/// What was sent of a shard, and how far that goes once it is acknowledged.
struct ShardStep {
    id: ShardId,
    status: Arc<ShardStatus>,
    cursor: PublisherCursor,
    from: u64,
    sent: SentRecords,
}

/// What was sent.
#[derive(Default)]
struct SentRecords {
    messages: u64,
    /// The position after it.
    next: u64,
    /// The seq of the refused record after it.
    next_refused: u64,
    /// The offset of the source after it, as far as it came from there.
    next_offset: Option<u64>,
}

impl SentRecords {
    /// Notes the record's offset, if it is one of the partition's own. Whether the group published it already, from
    /// another data directory.
    fn passes(&mut self, id: &ShardId, record: &Record, published: u64) -> bool {
        let Coordinates { source, partition, offset } = &record.source;
        // A seal names the offset that is read next.
        let is_message = matches!(record.content, Content::Event { .. } | Content::Refused(_));
        let is_of_partition = is_message && **source == *id.topic && *partition == id.partition;
        if is_of_partition {
            self.next_offset = Some(offset + 1);
        }
        is_of_partition && *offset < published
    }
}

impl Publisher {
    /// Starts a thread for each topic to publish to; none when there is no such topic.
    pub fn start(catalog: &Arc<Catalog>, options: &KafkaOptions) -> Result<Option<Self>, KafkaError> {
        let topics = [
            (OutputKind::Decisions, &options.decisions_topic),
            (OutputKind::DeadLetters, &options.dead_letter_topic),
        ];
        let topics = topics.into_iter().filter_map(|(kind, topic)| Some((kind, topic.clone()?)));
        let topics: Vec<_> = topics.collect();
        let progress = Arc::new(OutputProgress::new(topics.iter().map(|(kind, _)| *kind).collect()));
        let mut publisher = Self { stop: Arc::default(), threads: Vec::new() };
        for (kind, topic) in topics {
            match Self::start_thread(kind, topic, catalog, options, &progress, &publisher.stop) {
                Ok(thread) => publisher.threads.push(thread),
                Err(failed) => {
                    publisher.stop_by(Instant::now());
                    return Err(failed);
                }
            }
        }
        Ok((!publisher.threads.is_empty()).then_some(publisher))
    }

    fn start_thread(
        kind: OutputKind,
        topic: String,
        catalog: &Arc<Catalog>,
        options: &KafkaOptions,
        progress: &Arc<OutputProgress>,
        stop: &Arc<OnceLock<Instant>>,
    ) -> Result<JoinHandle<bool>, KafkaError> {
        let publishing = Publishing {
            kind,
            topic,
            scope: if options.publish == "decisions" { NoticeScope::Decisions } else { NoticeScope::Changes },
            catalog: Arc::clone(catalog),
            progress: Arc::clone(progress),
            outbox: Outbox::new(options)?,
            stop: Arc::clone(stop),
            resting: BTreeMap::new(),
            failing_shards: BTreeMap::new(),
            next_refused: BTreeMap::new(),
            body_max_bytes: dead_letter::BODY_MAX_BYTES,
            text: Vec::new(),
            failing: Episode::default(),
        };
        let name = match kind {
            OutputKind::Decisions => "publish",
            OutputKind::DeadLetters => "dead-letter",
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || publishing.run());
        thread.map_err(|error| KafkaError::ClientCreation(error.to_string()))
    }

    /// One of them ended without being stopped.
    pub fn is_finished(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Publishes what is recorded by now, then ends, at the latest at the deadline: whether it did. Call it after
    /// ingestion has stopped.
    pub fn stop_by(self, deadline: Instant) -> bool {
        let _ = self.stop.set(deadline);
        let mut ended = true;
        for thread in self.threads {
            match join_until(thread, deadline) {
                Some(Err(_)) => {
                    error!(
                        "a publishing thread panicked; what it had begun is published again after a restart"
                    );
                }
                Some(Ok(is_complete)) => ended &= is_complete,
                None => ended = false,
            }
        }
        ended
    }

    /// The same, for a caller that has the time.
    pub fn stop(self) {
        self.stop_by(Instant::now() + STOP_TIMEOUT);
    }
}

/// What goes to one topic.
struct Publishing {
    kind: OutputKind,
    topic: String,
    scope: NoticeScope,
    catalog: Arc<Catalog>,
    progress: Arc<OutputProgress>,
    outbox: Outbox,
    stop: Arc<OnceLock<Instant>>,
    /// Shards that failed, until when they are left alone.
    resting: BTreeMap<ShardId, Instant>,
    failing_shards: BTreeMap<ShardId, Episode>,
    /// The seq of the refused record that comes next, once that is known.
    next_refused: BTreeMap<ShardId, u64>,
    /// The largest dead letter that is sent whole. Smaller once the topic refused one.
    body_max_bytes: usize,
    /// The message that is being made.
    text: Vec<u8>,
    failing: Episode,
}

impl Publishing {
    /// Whether everything was published that was recorded when it was stopped.
    fn run(mut self) -> bool {
        loop {
            // Read before the round: what was recorded before the stop is published by the last round.
            let last = self.stop.get().copied();
            if last.is_some_and(|until| Instant::now() >= until) {
                return false;
            }
            match self.round() {
                Ok(0) if last.is_some() => return true,
                Ok(0) => thread::sleep(IDLE),
                Ok(records) => {
                    debug!(records, "published");
                    if let Some(after) = self.failing.ends() {
                        info!(topic = self.topic, ?after, "published again");
                    }
                }
                Err(failed) => {
                    metrics::counter!(crate::metric::PUBLISH_FAILED).increment(1);
                    if failed.is_too_large() && self.can_send_less() {
                        continue;
                    }
                    self.report_failed(&failed);
                    if last.is_some() {
                        return false;
                    }
                    thread::sleep(AFTER_FAILURE);
                }
            }
        }
    }

    /// Warns once, as it is tried again, and not while the consumer reports that no broker answers.
    fn report_failed(&mut self, failed: &SendError) {
        let is_new = self.failing.fails();
        if is_new && self.catalog.away().is_none() {
            warn!(topic = self.topic, error = %failed, "publishing failed, trying again");
        } else {
            debug!(topic = self.topic, error = %failed, "publishing failed again");
        }
    }

    /// One step of every shard that is this process's. Returns how many records it passed.
    fn round(&mut self) -> Result<usize, SendError> {
        let (mut passed, mut records) = (Vec::new(), 0);
        self.resting.retain(|_, until| *until > Instant::now());
        for (id, Served { reader, status }) in self.catalog.all() {
            // What was never fed here, or was given up since, is someone else's to publish.
            if !status.freshness().is_ours || self.resting.contains_key(&id) {
                continue;
            }
            match self.step(&id, &reader, &status) {
                Ok(step) => passed.extend(step),
                Err(StepError::Send(failed)) => return Err(failed),
                Err(failed) => self.rest(id, &failed),
            }
            if passed.iter().map(|step: &ShardStep| step.sent.messages).sum::<u64>() >= MESSAGES_AT_ONCE {
                records += self.acknowledge(std::mem::take(&mut passed))?;
            }
        }
        Ok(records + self.acknowledge(passed)?)
    }

    /// Waits until all that was sent is acknowledged, and moves the cursors behind it. Returns how many records they
    /// passed.
    fn acknowledge(&mut self, passed: Vec<ShardStep>) -> Result<usize, SendError> {
        if passed.is_empty() {
            return Ok(0);
        }
        self.outbox.settle(BROKER_TIMEOUT)?;
        let (mut records, mut messages) = (0, 0);
        for ShardStep { id, status, cursor, from, sent } in passed {
            messages += sent.messages;
            if let Some(next) = sent.next_offset {
                status.published().advance(&self.topic, next);
                if let Some(traces) = traces::installed().filter(|_| self.kind == OutputKind::Decisions) {
                    traces.published(&id, next);
                }
            }
            self.next_refused.insert(id.clone(), sent.next_refused);
            match self.progress.advance(self.kind, &id, sent.next, &cursor) {
                Ok(()) => {
                    if let Some(after) =
                        self.failing_shards.remove(&id).and_then(|mut failing| failing.ends())
                    {
                        info!(shard = %id, ?after, "the shard is published again");
                    }
                    records += usize::try_from(sent.next - from).unwrap_or(usize::MAX);
                }
                Err(failed) => self.rest(id, &failed.into()),
            }
        }
        metrics::counter!(crate::metric::PUBLISHED, "topic" => self.topic.clone()).increment(messages);
        Ok(records)
    }

    /// Sends what comes next of a shard, if there is anything.
    fn step(
        &mut self,
        id: &ShardId,
        reader: &Reader,
        status: &Arc<ShardStatus>,
    ) -> Result<Option<ShardStep>, StepError> {
        // Until the group's progress is known, what it published already would be published again.
        let Some(published) = status.published().next(&self.topic) else { return Ok(None) };
        let cursor = reader.publisher_cursor();
        let from = self.progress.next(self.kind, id, &cursor)?;
        if from >= reader.next_position() {
            return Ok(None);
        }
        let sent = match self.kind {
            OutputKind::Decisions => self.send_decisions(id, reader, from, published)?,
            OutputKind::DeadLetters => self.send_dead_letters(id, &reader.snapshot(), from, published)?,
        };
        Ok(Some(ShardStep { id: id.clone(), status: Arc::clone(status), cursor, from, sent }))
    }

    /// A shard that cannot be read is left alone for a moment; the others go on (I-9). It is logged once.
    fn rest(&mut self, id: ShardId, failed: &StepError) {
        metrics::counter!(crate::metric::PUBLISH_FAILED).increment(1);
        let error = with_causes(failed);
        if self.failing_shards.entry(id.clone()).or_default().fails() {
            error!(shard = %id, error, "nothing of this shard is published, trying again");
        } else {
            debug!(shard = %id, error, "nothing of this shard is published yet");
        }
        self.resting.insert(id, Instant::now() + SHARD_REST);
    }

    /// The topic's owner may have a smaller limit than is usual: dead letters must not hold up decisions.
    fn can_send_less(&mut self) -> bool {
        let could = self.body_max_bytes > 0;
        self.body_max_bytes /= 4;
        warn!(
            body_max_bytes = self.body_max_bytes,
            "a message was too large; larger dead letters go as digests"
        );
        could
    }

    /// Out of what the writer has just written, as long as that is in memory, or else out of the log.
    fn send_decisions(
        &mut self,
        id: &ShardId,
        reader: &Reader,
        from: u64,
        published: u64,
    ) -> Result<SentRecords, StepError> {
        let recent = reader.take_recent(Follower::Publisher, from);
        let snapshot = reader.snapshot();
        let mut sent = SentRecords { next: from, ..SentRecords::default() };
        if let Some(recent) = &recent {
            for record in recent.records_from(from) {
                self.send_record(id, &snapshot, record, published, &mut sent)?;
            }
        } else {
            // What was sent before one that does not read is not sent once more.
            for record in snapshot.readable_from(from)?.take(RECORDS_AT_ONCE) {
                self.send_record(id, &snapshot, &record?, published, &mut sent)?;
            }
        }
        Ok(sent)
    }

    fn send_record(
        &mut self,
        id: &ShardId,
        snapshot: &Snapshot<'_>,
        record: &Record,
        published: u64,
        sent: &mut SentRecords,
    ) -> Result<(), StepError> {
        sent.next = record.position + 1;
        if sent.passes(id, record, published) {
            return Ok(());
        }
        let Content::Event { event, outcome, .. } = &record.content else { return Ok(()) };
        if let Some(client) = event.client() {
            let traces = traces::installed().filter(|_| !outcome.changes.is_empty());
            let trace = traces.and_then(|traces| traces.of_decision(id, record));
            sent.messages +=
                self.send_changes(id, record, event, client, &outcome.changes, trace.as_deref())?;
            return Ok(());
        }
        for correction in snapshot.corrections(record.position, None)? {
            let (client, changes) = correction?;
            sent.messages += self.send_changes(id, record, event, &client, &changes, None)?;
        }
        Ok(())
    }

    /// Returns how many messages that made.
    fn send_changes(
        &mut self,
        id: &ShardId,
        record: &Record,
        event: &Event,
        client: &ClientKey,
        changes: &[Change],
        trace: Option<&str>,
    ) -> Result<u64, SendError> {
        let shard = PublishingShard { topic: &id.topic, partition: id.partition };
        let scope = self.scope;
        let mut messages = 0;
        for notice in changes.iter().flat_map(|change| notices(scope, shard, record, event, client, change)) {
            self.text.clear();
            json::append(&mut self.text, &notice).unwrap_or_default();
            let mut headers = content_type("application/cloudevents+json; charset=utf-8");
            if trace.is_some() {
                headers = headers.insert(Header { key: TRACEPARENT, value: trace });
            }
            self.outbox.send(Outgoing {
                topic: &self.topic,
                partition: None,
                key: Some(client.as_bytes()),
                value: self.text.as_slice().into(),
                headers,
            })?;
            messages += 1;
        }
        Ok(messages)
    }

    /// The refused records are a stream of their own, so the others need not be read.
    fn send_dead_letters(
        &mut self,
        id: &ShardId,
        snapshot: &Snapshot<'_>,
        from: u64,
        published: u64,
    ) -> Result<SentRecords, StepError> {
        let head = snapshot.head()?;
        let first = self.next_refused.get(id).copied().unwrap_or(1);
        let mut sent =
            SentRecords { next: head.next_position, next_refused: first, ..SentRecords::default() };
        for record in snapshot.records(&Stream::Rejected, first)? {
            let record = record?;
            if sent.messages >= RECORDS_AT_ONCE as u64 {
                sent.next = record.position;
                break;
            }
            sent.next_refused = record.seq + 1;
            if sent.passes(id, &record, published) || record.position < from {
                continue;
            }
            if let Content::Refused(refused) = &record.content {
                let message = dead_letter::message(&self.topic, &record, refused, self.body_max_bytes);
                self.outbox.send(message)?;
                sent.messages += 1;
            }
        }
        Ok(sent)
    }
}
