//! What changed in an answer: a correction, with the answer before and after and the event that came late.

use ledger_core::event::Event;
use ledger_core::ids::AppKey;
use ledger_core::state::Decision;
use ledger_core::tenant::{Change, Correction, Summary};
use ledger_core::time::Timestamp;
use serde::Serialize;

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
    pub seq: Option<u64>,
    /// When it was recorded: from then on the answer was another one.
    pub recorded_at: Timestamp,
    /// Whose installation.
    pub app_key: &'a AppKey,
    /// The first record whose outcome changed.
    pub first_seq: u64,
    /// How many records' outcomes changed.
    pub count: u64,
    /// The answer before.
    pub before: AnswerJson<'a>,
    /// The answer from then on.
    pub after: AnswerJson<'a>,
    /// The event that was late, or that told what had only been expected.
    pub event: &'a Event,
}

/// An answer: the short state, and the last decision.
#[derive(Debug, Clone, Serialize)]
pub struct AnswerJson<'a> {
    /// Absent where nothing was known of the installation.
    #[serde(rename = "")]
    pub state: Option<&'a Summary>,
    /// The last decision.
    pub decision: Option<Decision>,
}

impl<'a> CorrectedJson<'a> {
    /// The correction as it is shown.
    #[must_use]
    pub fn of(corrected: Corrected<'a>) -> Self {
        let Corrected { position, seq, recorded, event, change, correction, before } = corrected;
        Self {
            position,
            seq,
            recorded_at: recorded,
            app_key: &change.app,
            first_seq: correction.first_seq,
            count: correction.count,
            before: AnswerJson { state: change.before.as_ref(), decision: before },
            after: AnswerJson { state: Some(&change.after), decision: correction.decision },
            event,
        }
    }
}
