//! Decisions, corrections and dead letters, published from the log.
//!
//! The publisher reads the log behind the writer, in order of position, and remembers in the shard how far
//! it got. The cursor moves only behind what the brokers acknowledged, so every message comes at least once
//! and in log order; after a crash the last ones come again with the same ids. What is published is a
//! function of the log alone: it never tells anything that is not durable (I-7).
//!
//! ```text
//!   log ──► changes of a record ──► realm.decisions    key: client key, value: CloudEvent
//!       └─► refused record      ──► realm.dead-letter  key and body as kept, coordinates as headers
//! ```
//!
//! A shard that cannot be read waits alone (I-9); what the brokers do not take holds up all, since order is
//! promised, and is tried again for ever: nothing is left out. At the end what is left waits for the next
//! start when the time for it is over.

mod dead_letter;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ledger_core::event::Event;
use ledger_core::ids::ClientKey;
use ledger_core::tenant::Change;
use ledger_record::json::notice;
use ledger_record::record::{Content, Record};
use ledger_record::rejection::Refused;
use ledger_store::{Catalog, PublisherCursor, ReadError, Reader, Served, ShardId, StorageError, with_causes};
use rdkafka::error::KafkaError;
use tracing::{debug, error, warn};

use super::options::{BROKER_TIMEOUT, KafkaOptions};
use super::outbox::{Outbox, Outgoing, SendError};

/// Most records of a shard between two acknowledgements.
const RECORDS_AT_ONCE: usize = 1_000;

/// How long the publisher rests when there is nothing to publish.
const IDLE: Duration = Duration::from_millis(20);

/// How long it rests after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How long what was recorded is still published at the end: together with the drain of ingestion it stays
/// below a minute, which service managers wait.
const LAST_ROUNDS: Duration = Duration::from_secs(30);

/// How long a shard that cannot be read is left alone.
const SHARD_REST: Duration = Duration::from_secs(30);

/// Publishes what the catalog's shards record, until stopped.
#[derive(Debug)]
pub struct Publisher {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Why a step of publishing ended early; the next one begins where this one began.
#[derive(Debug, thiserror::Error)]
enum PublishError {
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

/// What was sent of a shard, and where its cursor goes once that is acknowledged.
struct Passed {
    id: ShardId,
    cursor: PublisherCursor,
    from: u64,
    next: u64,
}

impl Publisher {
    /// Starts the publishing thread; none when there is no topic to publish to.
    pub fn start(catalog: Arc<Catalog>, options: KafkaOptions) -> Result<Option<Self>, KafkaError> {
        if options.decisions_topic.is_none() && options.dead_letter_topic.is_none() {
            return Ok(None);
        }
        let outbox = Outbox::new(&options)?;
        let stop = Arc::new(AtomicBool::new(false));
        let publishing = Publishing {
            catalog,
            options,
            outbox,
            stop: Arc::clone(&stop),
            resting: BTreeMap::new(),
            body_max_bytes: dead_letter::BODY_MAX_BYTES,
        };
        let thread = thread::Builder::new().name("publish".to_owned()).spawn(move || publishing.run());
        let thread = thread.map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Some(Self { stop, thread }))
    }

    /// It ended without being stopped.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Publishes what is recorded by now, then ends, at the latest when the time for it is over. Call it after
    /// ingestion has stopped.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Release);
        if self.thread.join().is_err() {
            error!("the publishing thread panicked; what it had begun is published again after a restart");
        }
    }
}

struct Publishing {
    catalog: Arc<Catalog>,
    options: KafkaOptions,
    outbox: Outbox,
    stop: Arc<AtomicBool>,
    /// Shards that failed, until when they are left alone.
    resting: BTreeMap<ShardId, Instant>,
    /// The largest dead letter that is sent whole. Smaller once the topic refused one.
    body_max_bytes: usize,
}

impl Publishing {
    fn run(mut self) {
        let mut deadline = None;
        loop {
            // Read before the round: what was recorded before the stop is published by the last round.
            let last = self.stop.load(Ordering::Acquire);
            if last {
                let until = *deadline.get_or_insert_with(|| Instant::now() + LAST_ROUNDS);
                if Instant::now() > until {
                    warn!("not everything is published yet; the rest follows after the next start");
                    return;
                }
            }
            match self.round() {
                Ok(0) if last => return,
                Ok(0) => thread::sleep(IDLE),
                Ok(records) => debug!(records, "published"),
                Err(failed) => {
                    self.replace_dead_client();
                    metrics::counter!(crate::metric::PUBLISH_FAILED).increment(1);
                    if failed.is_too_large() && self.can_send_less() {
                        continue;
                    }
                    warn!(error = %failed, "publishing failed, trying again");
                    if last {
                        return;
                    }
                    thread::sleep(AFTER_FAILURE);
                }
            }
        }
    }

    /// One step of every shard that is this process's. Answers how many records it passed.
    fn round(&mut self) -> Result<usize, SendError> {
        let mut passed = Vec::new();
        self.resting.retain(|_, until| *until > Instant::now());
        for (id, Served { reader, status }) in self.catalog.all() {
            // What was never fed here, or was given up since, is someone else's to publish.
            if !status.freshness().is_ours || self.resting.contains_key(&id) {
                continue;
            }
            match self.step(&id, &reader) {
                Ok(step) => passed.extend(step),
                Err(PublishError::Send(failed)) => return Err(failed),
                Err(failed) => self.rest(id, &failed),
            }
        }
        if passed.is_empty() {
            return Ok(0);
        }
        self.outbox.settle(BROKER_TIMEOUT)?;
        let mut records = 0;
        for Passed { id, cursor, from, next } in passed {
            match cursor.set(next) {
                Ok(()) => records += usize::try_from(next - from).unwrap_or(usize::MAX),
                Err(failed) => self.rest(id, &failed.into()),
            }
        }
        Ok(records)
    }

    /// Sends what comes next of a shard, if there is anything.
    fn step(&mut self, id: &ShardId, reader: &Reader) -> Result<Option<Passed>, PublishError> {
        let cursor = reader.publisher_cursor();
        let from = cursor.get()?;
        if from >= reader.next_position() {
            return Ok(None);
        }
        let next = self.publish(id, reader, from)?;
        Ok(Some(Passed { id: id.clone(), cursor, from, next }))
    }

    /// A shard that cannot be read is left alone for a moment; the others go on (I-9).
    fn rest(&mut self, id: ShardId, failed: &PublishError) {
        metrics::counter!(crate::metric::PUBLISH_FAILED).increment(1);
        error!(shard = %id, error = with_causes(failed), "nothing of this shard is published, trying again");
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

    /// A producer that failed for good never sends again; what it did not send is still in the log.
    fn replace_dead_client(&mut self) {
        let Some(reason) = self.outbox.fatal_error() else { return };
        match Outbox::new(&self.options) {
            Ok(outbox) => {
                warn!(reason, "the publishing client ended, going on with a new one");
                self.outbox = outbox;
            }
            Err(failed) => error!(reason, error = %failed, "no new publishing client"),
        }
    }

    fn publish(&mut self, id: &ShardId, reader: &Reader, from: u64) -> Result<u64, PublishError> {
        let snapshot = reader.snapshot();
        let mut next = from;
        for record in snapshot.records_from(from)?.take(RECORDS_AT_ONCE) {
            let record = record?;
            next = record.position + 1;
            match &record.content {
                Content::Event { event, outcome, .. } => match event.client() {
                    Some(client) => self.tell(id, &record, event, client, &outcome.changes)?,
                    None => {
                        for correction in snapshot.corrections(record.position, None)? {
                            let (client, changes) = correction?;
                            self.tell(id, &record, event, &client, &changes)?;
                        }
                    }
                },
                Content::Refused(refused) => self.dead_letter(&record, refused)?,
                Content::Seal(_) => {}
            }
        }
        Ok(next)
    }

    fn tell(
        &mut self,
        id: &ShardId,
        record: &Record,
        event: &Event,
        client: &ClientKey,
        changes: &[Change],
    ) -> Result<(), SendError> {
        let Some(topic) = &self.options.decisions_topic else { return Ok(()) };
        let shard = notice::Shard { topic: &id.topic, partition: id.partition };
        let mut told = 0;
        for notice in changes.iter().flat_map(|change| notice::notices(shard, record, event, client, change))
        {
            let value = serde_json::to_vec(&notice).unwrap_or_default();
            let headers = vec![("content-type", "application/cloudevents+json; charset=utf-8".to_owned())];
            let key = Some(notice.subject.as_bytes().to_vec());
            self.outbox.send(&Outgoing { topic, partition: None, key, value, headers })?;
            told += 1;
        }
        metrics::counter!(crate::metric::PUBLISHED, "topic" => topic.clone()).increment(told);
        Ok(())
    }

    fn dead_letter(&mut self, record: &Record, refused: &Refused) -> Result<(), SendError> {
        let Some(topic) = &self.options.dead_letter_topic else { return Ok(()) };
        let message = dead_letter::message(topic, record, refused, self.body_max_bytes);
        self.outbox.send(&message)?;
        metrics::counter!(crate::metric::PUBLISHED, "topic" => topic.clone()).increment(1);
        Ok(())
    }
}
