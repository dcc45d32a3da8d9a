//! Answers that are given line by line, while they are found.

use std::ops::ControlFlow;

use ledger_core::whatif::{PolicyDifference, PolicyReport};
use serde::{Deserialize, Serialize};

use super::Raw;
use super::problem::ProblemJson;
use super::replay::ReplayedRecord;
use crate::ledger::{FreshnessJson, QueryError, RefusedTenant};

/// A line of an answer, with items of the ledger, or as a client reads them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AnswerLine<Difference, Step, Report> {
    /// How far it is.
    Progress(ScanProgress),
    /// An installation that would be elsewhere.
    Difference(Difference),
    /// A record, and what was believed after it.
    Step(Step),
    /// What one policy would have meant.
    Report(Report),
    /// A tenant that is left out.
    Refused(RefusedTenant),
    /// The end: how fresh the answer is.
    Freshness(Vec<FreshnessJson>),
    /// The end: what went wrong on the way.
    Problem(ProblemJson),
}

/// A line as the ledger reports it.
pub type LedgerLine<'a> = AnswerLine<&'a PolicyDifference<'a>, ReplayedRecord<'a>, &'a PolicyReport>;

/// A line as a client reads it.
pub type ReadLine = AnswerLine<Raw, Raw, Raw>;

/// How far a question about the whole log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanProgress {
    /// Records done.
    pub records: u64,
    /// Of so many.
    pub total: u64,
}

/// Takes lines, from several threads; whether to go on.
pub type LineSink<'t> = &'t (dyn Fn(&LedgerLine<'_>) -> ControlFlow<()> + Sync);

/// Records between two reports of progress.
pub(super) const PROGRESS_EVERY: u64 = 8192;

/// Reports a line. The question ends if the client has gone.
pub(super) fn send(sink: LineSink<'_>, line: &LedgerLine<'_>) -> Result<(), QueryError> {
    if sink(line).is_break() { Err(QueryError::GivenUp) } else { Ok(()) }
}
