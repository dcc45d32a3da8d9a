//! A line of a log, and refused input.

use ledger_core::event::Event;
use ledger_core::tenant::Change;
use ledger_core::time::Timestamp;
use serde::Serialize;

use super::is_false;
use crate::record::{Content, Coordinates, Record};
use crate::rejection::{Reason, Refused, RefusedBody};

/// A recorded event: a line of a tenant's or an app's log.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordJson<'a> {
    /// Dense in the stream, from 1.
    pub seq: u64,
    /// Dense in the shard, from 0.
    pub position: u64,
    /// Where it came from.
    pub source: &'a Coordinates,
    /// When the source recorded it.
    pub recorded_at: Timestamp,
    /// What happened, in the native form.
    pub event: &'a Event,
    /// It sorted before a record already applied.
    #[serde(skip_serializing_if = "is_false")]
    pub late: bool,
    /// What it changed.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub changes: &'a [Change],
}

/// A refused message.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineJson<'a> {
    /// Dense among the refused of the shard, from 1.
    pub seq: u64,
    /// Dense in the shard, from 0.
    pub position: u64,
    /// Where it came from.
    pub source: &'a Coordinates,
    /// When the source recorded it, as the ledger counts: never before the records ahead of it. Absent where neither
    /// the message nor one before it had a time.
    pub recorded_at: Option<Timestamp>,
    /// The source's own timestamp of the message.
    pub source_time: Option<Timestamp>,
    /// Why it was refused.
    pub reason: Reason,
    /// The field to blame.
    pub path: Option<&'a str>,
    /// What was expected.
    pub detail: &'a str,
    /// The message's key.
    pub key: Option<&'a str>,
    /// Headers that decide the encoding.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderJson<'a>>,
    /// What is kept of the value.
    pub body: Option<BodyJson<'a>>,
}

/// A header of a refused message. They can be repeated, so they are a list.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct HeaderJson<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value, redacted.
    pub value: &'a str,
}

/// What is kept of a refused value.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum BodyJson<'a> {
    /// Redacted JSON.
    Json {
        /// The text, as a string: it may be no JSON that every reader takes.
        json: &'a str,
    },
    /// Not JSON.
    Digest {
        /// SHA-256 of the value, hexadecimal.
        sha256: String,
        /// Its length in bytes.
        length: u64,
    },
}

impl<'a> RecordJson<'a> {
    /// The record as it is shown; none when it is a refusal.
    #[must_use]
    pub fn of(record: &'a Record) -> Option<Self> {
        let Content::Event { event, time_defaulted: _, outcome } = &record.content else {
            return None;
        };
        Some(Self {
            seq: record.seq,
            position: record.position,
            source: &record.source,
            recorded_at: record.recorded,
            event,
            late: outcome.late,
            changes: &outcome.changes,
        })
    }
}

impl<'a> QuarantineJson<'a> {
    /// The refusal as it is shown; none when the record is an event.
    #[must_use]
    pub fn of(record: &'a Record) -> Option<Self> {
        let Content::Refused(refused) = &record.content else {
            return None;
        };
        let Refused { rejection, key, headers, source_time, body } = refused;
        let headers = headers.iter().map(|(name, value)| HeaderJson { name, value });
        Some(Self {
            seq: record.seq,
            position: record.position,
            source: &record.source,
            recorded_at: Some(record.recorded).filter(|recorded| recorded.as_millis() != 0),
            source_time: *source_time,
            reason: rejection.reason,
            path: rejection.path.as_deref(),
            detail: &rejection.detail,
            key: key.as_deref(),
            headers: headers.collect(),
            body: BodyJson::of(body),
        })
    }
}

impl<'a> BodyJson<'a> {
    pub(crate) fn of(body: &'a RefusedBody) -> Option<Self> {
        match body {
            RefusedBody::Absent => None,
            RefusedBody::Json(text) => Some(Self::Json { json: text }),
            RefusedBody::Digest { sha256, length_bytes } => {
                Some(Self::Digest { sha256: hex::encode(sha256), length: *length_bytes })
            }
        }
    }
}
