//! A line of a log, what it changed, and refused input.

use ledger_core::state::{AnomalyCode, PinnedBy, Status};
use ledger_core::tenant::{Change, Correction, Summary};
use ledger_core::time::Timestamp;
use serde::Serialize;

use super::event::{self, EventJson};
use super::parts::is_false;
use super::state::{DecisionJson, MigrationJson, WindowJson};
use super::{Instant, Place, Word};
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
    pub source: SourceJson<'a>,
    /// When the source recorded it.
    pub recorded_at: Instant,
    /// What happened, in the native form.
    pub event: EventJson<'a>,
    /// It sorted before a record already applied.
    #[serde(skip_serializing_if = "is_false")]
    pub late: bool,
    /// What it changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ChangeJson<'a>>,
}

/// Coordinates of a message.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct SourceJson<'a> {
    /// Topic, or `import:<NAME>`.
    pub name: &'a str,
    /// Its partition.
    pub partition: u32,
    /// Kafka offset, or line number.
    pub offset: u64,
}

/// What a record did to one installation.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeJson<'a> {
    /// Whose installation.
    pub app_key: &'a str,
    /// The short state before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<SummaryJson<'a>>,
    /// The short state after.
    pub after: SummaryJson<'a>,
    /// The decision that the record made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionJson>,
    /// The anomalies that the record raised.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub anomalies: Vec<Word<AnomalyCode>>,
    /// Earlier outcomes that no longer hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correction: Option<CorrectionJson>,
}

/// Earlier outcomes that a record changed.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CorrectionJson {
    /// The first record whose outcome changed.
    pub first_seq: u64,
    /// How many records' outcomes changed.
    pub count: u64,
    /// The last decision, as it stands now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionJson>,
}

/// The short state.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SummaryJson<'a> {
    /// Installed or not.
    pub status: Word<Status>,
    /// Enabled or not.
    pub enabled: bool,
    /// Where it is pinned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_realm: Option<Place>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_since: Option<Instant>,
    /// How that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_by: Option<Word<PinnedBy>>,
    /// Where the product is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_realm: Option<Place>,
    /// Where the data rests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_realm: Option<Place>,
    /// The persistence window, without what depends on the moment of asking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowJson>,
    /// The pending migration, without its time span.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration: Option<MigrationJson<'a>>,
    /// The operator's pin.
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    pub override_realm: Option<Place>,
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
    pub source: SourceJson<'a>,
    /// When the source recorded it, as the ledger counts: never before the records ahead of it. Absent where neither
    /// the message nor one before it had a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded_at: Option<Instant>,
    /// The source's own timestamp of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_time: Option<Instant>,
    /// Why it was refused.
    pub reason: Word<Reason>,
    /// The field to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<&'a str>,
    /// What was expected.
    pub detail: &'a str,
    /// The message's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'a str>,
    /// Headers that decide the encoding.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderJson<'a>>,
    /// What is kept of the value.
    #[serde(skip_serializing_if = "Option::is_none")]
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
            source: SourceJson::of(&record.source),
            recorded_at: Instant(record.recorded),
            event: event::to_json(event),
            late: outcome.late,
            changes: outcome.changes.iter().map(ChangeJson::of).collect(),
        })
    }
}

impl<'a> SourceJson<'a> {
    /// The coordinates as they are shown.
    #[must_use]
    pub fn of(source: &'a Coordinates) -> Self {
        Self { name: &source.source, partition: source.partition, offset: source.offset }
    }
}

impl<'a> ChangeJson<'a> {
    /// The change as it is shown.
    #[must_use]
    pub fn of(change: &'a Change) -> Self {
        Self {
            app_key: change.app.as_str(),
            before: change.before.as_ref().map(SummaryJson::of),
            after: SummaryJson::of(&change.after),
            decision: change.decision.map(DecisionJson::of),
            anomalies: change.anomalies.iter().copied().map(Word).collect(),
            correction: change.correction.map(CorrectionJson::of),
        }
    }
}

impl CorrectionJson {
    /// The correction as it is shown.
    #[must_use]
    pub fn of(correction: Correction) -> Self {
        Self {
            first_seq: correction.first_seq,
            count: correction.count,
            decision: correction.decision.map(DecisionJson::of),
        }
    }
}

impl<'a> SummaryJson<'a> {
    /// The short state as it is shown.
    #[must_use]
    pub fn of(summary: &'a Summary) -> Self {
        let migration = summary.migration.as_ref();
        Self {
            status: Word(summary.status),
            enabled: summary.enabled,
            pinned_realm: summary.pin.map(|pin| Place(pin.realm)),
            pinned_since: summary.pin.map(|pin| Instant(pin.since)),
            pinned_by: summary.pin.map(|pin| Word(pin.by)),
            product_realm: summary.product_realm.map(Place),
            data_realm: summary.data_realm.map(Place),
            window: summary.window.map(|window| WindowJson::of(window, None)),
            migration: migration.map(|it| MigrationJson::brief(&it.id, it.target, it.phase)),
            override_realm: summary.override_realm.map(Place),
        }
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
            source: SourceJson::of(&record.source),
            recorded_at: (record.recorded != Timestamp::from_millis(0)).then_some(Instant(record.recorded)),
            source_time: source_time.map(Instant),
            reason: Word(rejection.reason),
            path: rejection.path.as_deref(),
            detail: &rejection.detail,
            key: key.as_deref(),
            headers: headers.collect(),
            body: BodyJson::of(body),
        })
    }
}

impl<'a> BodyJson<'a> {
    fn of(body: &'a RefusedBody) -> Option<Self> {
        match body {
            RefusedBody::Absent => None,
            RefusedBody::Json(text) => Some(Self::Json { json: text }),
            RefusedBody::Digest { sha256, length_bytes } => {
                Some(Self::Digest { sha256: hex::encode(sha256), length: *length_bytes })
            }
        }
    }
}
