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

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ledger_core::event::Event;
use ledger_core::ids::ClientKey;
use ledger_core::tenant::Change;
use ledger_record::json::notice;
use ledger_record::record::{Content, Record};
use ledger_record::rejection::{Refused, RefusedBody};
use ledger_store::{Catalog, ReadError, Reader, Served, ShardId, StorageError};
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

/// Publishes what the catalog's shards record, until stopped.
#[derive(Debug)]
pub struct Publisher {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Why a round of publishing ended early; the next one begins where this one began.
#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error(transparent)]
    Send(#[from] SendError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Store(#[from] StorageError),
}

impl Publisher {
    /// Starts the publishing thread; none when there is no topic to publish to.
    pub fn start(catalog: Arc<Catalog>, options: KafkaOptions) -> Result<Option<Self>, KafkaError> {
        if options.decisions_topic.is_none() && options.dead_letter_topic.is_none() {
            return Ok(None);
        }
        let outbox = Outbox::new(&options)?;
        let stop = Arc::new(AtomicBool::new(false));
        let publishing = Publishing { catalog, options, outbox, stop: Arc::clone(&stop) };
        let thread = thread::Builder::new().name("publish".to_owned()).spawn(move || publishing.run());
        let thread = thread.map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Some(Self { stop, thread }))
    }

    /// Publishes what is recorded by now, then ends. Call it after ingestion has stopped.
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
}

impl Publishing {
    fn run(mut self) {
        loop {
            // Read before the round: what was recorded before the stop is published by the last round.
            let last = self.stop.load(Ordering::Acquire);
            match self.round() {
                Ok(0) if last => return,
                Ok(0) => thread::sleep(IDLE),
                Ok(records) => debug!(records, "published"),
                Err(failed) => {
                    self.replace_dead_client();
                    metrics::counter!(crate::metric::PUBLISH_FAILED).increment(1);
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
    fn round(&mut self) -> Result<usize, PublishError> {
        let mut passed = Vec::new();
        for (id, Served { reader, status }) in self.catalog.all() {
            // What was never fed here, or was given up since, is someone else's to publish.
            if !status.freshness().is_ours {
                continue;
            }
            let cursor = reader.publisher_cursor();
            let from = cursor.get()?;
            if from < reader.next_position() {
                let next = self.publish(&id, &reader, from)?;
                passed.push((cursor, from, next));
            }
        }
        if passed.is_empty() {
            return Ok(0);
        }
        self.outbox.settle(BROKER_TIMEOUT)?;
        let mut records = 0;
        for (cursor, from, next) in passed {
            cursor.set(next)?;
            records += usize::try_from(next - from).unwrap_or(usize::MAX);
        }
        Ok(records)
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
        let message = Outgoing {
            topic,
            partition: None,
            key: refused.key.clone().map(String::into_bytes),
            value: dead_body(&refused.body),
            headers: dead_headers(record, refused),
        };
        self.outbox.send(&message)?;
        metrics::counter!(crate::metric::PUBLISHED, "topic" => topic.clone()).increment(1);
        Ok(())
    }
}

/// The redacted JSON; of anything else the digest, as JSON.
fn dead_body(body: &RefusedBody) -> Vec<u8> {
    match body {
        RefusedBody::Absent => Vec::new(),
        RefusedBody::Json(text) => text.clone().into_bytes(),
        RefusedBody::Digest { sha256, length_bytes } => {
            let sha256 = hex::encode(sha256);
            serde_json::json!({ "sha256": sha256, "lengthBytes": length_bytes }).to_string().into_bytes()
        }
    }
}

fn dead_headers(record: &Record, refused: &Refused) -> Vec<(&'static str, String)> {
    let body = match refused.body {
        RefusedBody::Absent => "absent",
        RefusedBody::Json(_) => "redacted-json",
        RefusedBody::Digest { .. } => "digest",
    };
    let mut headers = vec![
        ("realm-ledger-reason", refused.rejection.reason.as_str().to_owned()),
        ("realm-ledger-detail", refused.rejection.detail.clone()),
        ("realm-ledger-topic", record.source.source.clone()),
        ("realm-ledger-partition", record.source.partition.to_string()),
        ("realm-ledger-offset", record.source.offset.to_string()),
        ("realm-ledger-position", record.position.to_string()),
        ("realm-ledger-body", body.to_owned()),
    ];
    if let Some(path) = &refused.rejection.path {
        headers.push(("realm-ledger-path", path.clone()));
    }
    if let Some((_, content_type)) =
        refused.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
    {
        headers.push(("realm-ledger-content-type", content_type.clone()));
    }
    headers
}
