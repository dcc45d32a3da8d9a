//! A tenant's log, page by page.

use ledger_core::ids::ClientKey;
use ledger_core::time::Timestamp;
use ledger_record::json::record::RecordJson;
use ledger_record::record::{Content, Record, Stream};
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};

use super::cursor::page_limit;
use super::parameters::text;
use super::{AsOf, LineSink};
use crate::ledger::{FreshnessJson, Located, PageBytes, QueryError, Reading};
use crate::limits::{LOG_DEFAULT, LOG_MAX};

/// Records of a tenant, in order of arrival. With an instant, those that had happened by then; with knowledge, those
/// that were recorded by then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogQuery {
    /// The tenant.
    #[serde(rename = "clientKey", with = "text")]
    pub client: ClientKey,
    /// Begin with this record; 1 unless given.
    pub from_seq: Option<u64>,
    /// At most so many.
    pub limit: Option<u64>,
    /// As of when.
    pub as_of: AsOf,
}

/// Records of a tenant, in order of arrival.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogPage<T = Logged> {
    /// The records.
    pub records: Vec<T>,
    /// Where to go on; absent when nothing follows.
    pub next_seq: Option<u64>,
    /// Of the shard that has the tenant.
    pub freshness: Vec<FreshnessJson>,
}

/// A recorded event. Serialises as a line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are shown")]
pub enum Logged {
    /// As it was recorded.
    Shown(Record),
    /// It is about an app that is not seen: of it there is only its place.
    Hidden(PlaceJson),
}

/// The place of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PlaceJson {
    /// Dense in the stream, from 1.
    pub seq: u64,
    /// Dense in the shard, from 0.
    pub position: u64,
}

impl LogQuery {
    pub(super) fn answer(&self, reading: &Reading<'_>, _: LineSink<'_>) -> Result<LogPage, QueryError> {
        let Self { client, from_seq, limit, as_of } = self;
        let from_seq = from_seq.unwrap_or(1);
        if from_seq == 0 {
            return Err(QueryError::OutOfRange { parameter: "fromSeq", least: 1, most: None });
        }
        let limit = page_limit(*limit, LOG_DEFAULT, LOG_MAX)?;
        let Located { shard, .. } = reading.found(client, as_of.known)?;
        let cut = shard.snapshot.cut(client, as_of.known)?;
        let stream = Stream::Tenant(client.clone());
        let (mut records, mut next_seq) = (Vec::new(), None);
        let mut bytes = PageBytes::new(reading.ledger.page_bytes);
        for (looked_at, record) in shard.snapshot.records(&stream, from_seq)?.enumerate() {
            reading.ledger.in_time()?;
            let record = record.map_err(|error| shard.unread(error))?;
            if !cut.knows(record.position, record.recorded) {
                break;
            }
            // What is left out for the instant costs as well.
            if records.len() >= limit || looked_at >= LOG_MAX || bytes.is_full() {
                next_seq = Some(record.seq);
                break;
            }
            // When a hidden record happened is not seen either.
            let is_hidden = !reading.sees(&record);
            if is_hidden || happened_by(&record, as_of.at) {
                let record = if is_hidden {
                    Logged::Hidden(place_of(&record))
                } else {
                    Logged::Shown(reading.as_seen(record))
                };
                bytes.add(&record);
                records.push(record);
            }
        }
        // Behind the last record there is nothing yet, and a client that pages on asks again.
        if records.is_empty() && next_seq.is_none() && from_seq <= 1 {
            reading.ready_in(shard.id)?;
        }
        Ok(LogPage { records, next_seq, freshness: vec![reading.freshness_of(shard)?] })
    }
}

impl Logged {
    /// Dense in the stream, from 1.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        match self {
            Self::Shown(record) => record.seq,
            Self::Hidden(place) => place.seq,
        }
    }
}

impl Serialize for Logged {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Hidden(place) => place.serialize(serializer),
            Self::Shown(record) => {
                let json = RecordJson::of(record);
                json.ok_or_else(|| S::Error::custom("a refusal in a tenant's log"))?.serialize(serializer)
            }
        }
    }
}

pub(super) const fn place_of(record: &Record) -> PlaceJson {
    PlaceJson { seq: record.seq, position: record.position }
}

impl Reading<'_> {
    /// A record with what it changed, as far as that is seen: one of the tenant changes installations of all apps.
    pub(super) fn as_seen(&self, mut record: Record) -> Record {
        if let (Some(apps), Content::Event { outcome, .. }) = (self.ledger.grants.apps(), &mut record.content)
        {
            outcome.changes.retain(|change| apps.contains(&change.app));
        }
        record
    }

    /// Whether a record is about no app, or about one that is seen.
    pub(super) fn sees(&self, record: &Record) -> bool {
        match &record.content {
            Content::Event { event, .. } => event.app().is_none_or(|app| self.ledger.grants.has(app)),
            Content::Refused(_) | Content::Seal(_) | Content::Succession(_) => true,
        }
    }
}

/// A log without an instant has what lies ahead too: it was recorded.
pub(super) fn happened_by(record: &Record, at: Option<Timestamp>) -> bool {
    match &record.content {
        Content::Event { event, .. } => at.is_none_or(|at| event.time <= at),
        Content::Refused(_) | Content::Seal(_) | Content::Succession(_) => false,
    }
}
