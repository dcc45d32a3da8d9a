//! Records in, notices out: out of the log or out of memory, as many as a portion takes.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use ledger_core::event::Event;
use ledger_core::ids::ClientKey;
use ledger_core::tenant::Change;
use ledger_record::json;
use ledger_record::json::notice::{DecisionEventJson, NoticeJson, NoticeScope, PublishingShard, notices};
use ledger_record::record::{Content, Record};
use ledger_store::{ReadError, ShardId, Snapshot};
use serde::Serialize;

use super::filter::{DecisionFilter, Traits};
use super::mark::LogMark;
use super::place::Place;
use super::shared_reads::SharedReads;
use crate::proto::{schema, to_vec};

/// A mark costs two reads.
const NOTICES_PER_MARK: usize = 32;

/// A decision or a correction, as it is published.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Its JSON.
    pub text: Bytes,
    /// Its message, `DecisionNotice`.
    pub message: Bytes,
    pub(super) place: Place,
    /// The log up to its record, or to one a few notices before.
    pub(super) mark: Option<LogMark>,
    pub(super) traits: Traits,
}

impl Notice {
    pub(super) fn bytes(&self) -> usize {
        self.text.len() + self.message.len() + size_of::<Self>()
    }
}

/// A notice as its message has it: without the envelope of the topic.
#[derive(Serialize)]
struct NoticeMembers<'a> {
    #[serde(rename = "type")]
    type_name: &'static str,
    id: &'a str,
    #[serde(rename = "")]
    data: &'a NoticeJson<'a>,
}

fn message(notice: &DecisionEventJson<'_>) -> Bytes {
    let members = NoticeMembers { type_name: notice.type_name, id: &notice.id, data: &notice.data };
    // The message mirrors the JSON, which a test holds: it does not fail.
    let message = schema().message_named("realmledger.v1.DecisionNotice");
    message.and_then(|message| to_vec(message, &members).ok()).unwrap_or_default().into()
}

/// When a portion ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct PortionBounds {
    /// Once its notices have so many bytes.
    pub(super) bytes: usize,
    /// Once it has so many.
    pub(super) notices: usize,
    /// Once so many records, or corrections of an app-level record, were looked at.
    pub(super) records: usize,
    /// Once it took so long.
    pub(super) time: Duration,
}

/// Notices of a shard, one after the other.
#[derive(Debug)]
pub(super) struct Portion {
    pub(super) notices: Vec<Notice>,
    /// Where the next one begins.
    pub(super) next: Place,
    /// The log before that.
    pub(super) mark: Option<LogMark>,
    pub(super) bytes: usize,
}

/// A portion that is being made.
pub(super) struct Gathering<'a> {
    shard: &'a ShardId,
    filter: &'a DecisionFilter,
    bounds: PortionBounds,
    records: usize,
    begun: Instant,
    buffer: Vec<u8>,
    portion: Portion,
}

impl<'a> Gathering<'a> {
    pub(super) fn new(
        shard: &'a ShardId,
        filter: &'a DecisionFilter,
        bounds: PortionBounds,
        from: Place,
    ) -> Self {
        let portion = Portion { notices: Vec::new(), next: from, mark: None, bytes: 0 };
        Self { shard, filter, bounds, records: 0, begun: Instant::now(), buffer: Vec::new(), portion }
    }

    /// Out of the log, up to the first position that is not durable yet.
    pub(super) fn log(mut self, snapshot: &Snapshot<'_>, end: u64) -> Result<Portion, ReadError> {
        if self.portion.next.position < end {
            for record in snapshot.readable_from(self.portion.next.position)? {
                let record = record?;
                if record.position >= end || self.record(snapshot, &record)?.is_break() {
                    break;
                }
            }
        }
        self.ended(snapshot)
    }

    /// The same out of what others have read before, as far as that is kept.
    pub(super) fn shared(
        mut self,
        reads: &SharedReads,
        snapshot: &Snapshot<'_>,
        end: u64,
    ) -> Result<Portion, ReadError> {
        let from = self.portion.next.clone();
        while self.portion.next.position < end {
            let rest = match reads.read_from(self.shard, snapshot, self.portion.next.position, end) {
                Ok(rest) => rest,
                // The next portion begins with what does not read; what is before it is good.
                Err(_) if self.portion.next != from => break,
                Err(error) => return Err(error),
            };
            let Some(rest_end) = rest.end() else { break };
            if rest.may_pass(self.filter) {
                for (record, may_pass) in rest.records(self.filter) {
                    if !may_pass {
                        self.portion.next = Place::start(record.position + 1);
                    } else if self.record(snapshot, record)?.is_break() {
                        return self.ended(snapshot);
                    }
                }
            } else {
                self.portion.next = Place::start(rest_end);
            }
            if self.begun.elapsed() >= self.bounds.time {
                break;
            }
        }
        self.ended(snapshot)
    }

    /// Out of records that follow the place without a gap.
    pub(super) fn recent(
        mut self,
        snapshot: &Snapshot<'_>,
        records: &[Record],
    ) -> Result<Portion, ReadError> {
        for record in records {
            if self.record(snapshot, record)?.is_break() {
                break;
            }
        }
        self.ended(snapshot)
    }

    fn ended(mut self, snapshot: &Snapshot<'_>) -> Result<Portion, ReadError> {
        self.portion.mark = LogMark::of(snapshot, self.portion.next.position)?;
        Ok(self.portion)
    }

    /// Break: the portion is full, and the next one begins where it says.
    fn record(&mut self, snapshot: &Snapshot<'_>, record: &Record) -> Result<ControlFlow<()>, ReadError> {
        let next = Place::start(record.position + 1);
        self.records += 1;
        if let Content::Event { event, outcome, .. } = &record.content {
            if let Some(client) = event.client() {
                self.changes(snapshot, record, event, client, &outcome.changes)?;
            } else {
                let from = self.portion.next.client.clone();
                for correction in snapshot.corrections(record.position, from.as_ref())? {
                    let (client, changes) = correction?;
                    if self.is_full() {
                        self.portion.next = Place { client: Some(client), ..Place::start(record.position) };
                        return Ok(ControlFlow::Break(()));
                    }
                    self.records += 1;
                    self.changes(snapshot, record, event, &client, &changes)?;
                }
            }
        }
        self.portion.next = next;
        Ok(if self.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn is_full(&self) -> bool {
        let PortionBounds { bytes, notices, records, time } = self.bounds;
        self.portion.bytes >= bytes
            || self.portion.notices.len() >= notices
            || self.records >= records
            // A clock is read now and then: it costs as much as a record.
            || (self.records.is_multiple_of(64) && self.begun.elapsed() >= time)
    }

    fn changes(
        &mut self,
        snapshot: &Snapshot<'_>,
        record: &Record,
        event: &Event,
        client: &ClientKey,
        changes: &[Change],
    ) -> Result<(), ReadError> {
        let ShardId { topic, partition } = self.shard;
        let shard = PublishingShard { topic, partition: *partition };
        let of_app = event.client().is_none().then(|| client.clone());
        let all = changes
            .iter()
            .flat_map(|change| notices(NoticeScope::Changes, shard, record, event, client, change));
        for (index, notice) in (0..).zip(all) {
            let place = Place { position: record.position, client: of_app.clone(), index };
            let traits = Traits::of(&notice);
            if place < self.portion.next || !self.filter.passes(&traits) {
                continue;
            }
            self.buffer.clear();
            // Text and numbers only: it does not fail.
            json::append(&mut self.buffer, &notice).unwrap_or_default();
            let text = Bytes::copy_from_slice(&self.buffer);
            if self.portion.notices.len().is_multiple_of(NOTICES_PER_MARK) {
                self.portion.mark = LogMark::of(snapshot, record.position + 1)?;
            }
            let mark = self.portion.mark;
            let notice = Notice { text, message: message(&notice), place, mark, traits };
            self.portion.bytes += notice.bytes();
            self.portion.notices.push(notice);
        }
        Ok(())
    }
}
