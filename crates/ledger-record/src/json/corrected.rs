//! What changed in an answer: a correction, with the answer before and after and the event that came late.

use ledger_core::event::Event;
use ledger_core::state::Decision;
use ledger_core::tenant::{Change, Correction};
use ledger_core::time::Timestamp;
use serde::Serialize;

use super::Instant;
use super::event::{self, EventJson};
use super::record::SummaryJson;
use super::state::DecisionJson;

/// What a correction is shown from.
#[derive(Debug, Clone, Copy)]
pub struct Corrected<'a> {
    /// Position of the record that came late.
    pub position: u64,
    /// Its seq in the tenant's log; none for an app-level event.
    pub seq: Option<u64>,
    /// When it was recorded.
    pub recorded: Timestamp,
    /// What it says.
    pub event: &'a Event,
    /// What it changed.
    pub change: &'a Change,
    /// The correction in that change.
    pub correction: Correction,
    /// The last decision before.
    pub before: Option<Decision>,
}

/// A correction.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CorrectedJson<'a> {
    /// Position of the record that corrected.
    pub position: u64,
    /// Its seq in the tenant's log; absent for an app-level event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// When it was recorded: from then on the answer was another one.
    pub recorded_at: Instant,
    /// Whose installation.
    pub app_key: &'a str,
    /// The first record whose outcome changed.
    pub first_seq: u64,
    /// How many records' outcomes changed.
    pub count: u64,
    /// The answer before.
    pub before: AnswerJson<'a>,
    /// The answer from then on.
    pub after: AnswerJson<'a>,
    /// The event that was late, or that told what had only been expected.
    pub event: EventJson<'a>,
}

/// An answer: the short state, and the last decision.
#[derive(Debug, Clone, Serialize)]
pub struct AnswerJson<'a> {
    /// Absent where nothing was known of the installation.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub state: Option<SummaryJson<'a>>,
    /// The last decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionJson>,
}

impl<'a> CorrectedJson<'a> {
    /// The correction as it is shown.
    #[must_use]
    pub fn of(corrected: Corrected<'a>) -> Self {
        let Corrected { position, seq, recorded, event, change, correction, before } = corrected;
        Self {
            position,
            seq,
            recorded_at: Instant(recorded),
            app_key: change.app.as_str(),
            first_seq: correction.first_seq,
            count: correction.count,
            before: AnswerJson {
                state: change.before.as_ref().map(SummaryJson::of),
                decision: before.map(DecisionJson::of),
            },
            after: AnswerJson {
                state: Some(SummaryJson::of(&change.after)),
                decision: correction.decision.map(DecisionJson::of),
            },
            event: event::to_json(event),
        }
    }
}
