//! Which lines are refused, and whether they are too many to begin with.
//!
//! What is refused is recorded too. A file of which more than one line in a hundred is refused was made by
//! a wrong export more often than not, so its first [`JUDGED_LINES`] lines (or all, of a shorter one) are judged
//! before any of them is written. In a small file one line is soon one in a hundred, so up to [`ALWAYS_ACCEPTED`]
//! refused lines stop no import.

use std::collections::{BTreeMap, BTreeSet};

use ledger_record::rejection::{Reason, Rejection};
use serde::Serialize;

use crate::import::ImportError;
use crate::text::Line;

/// Lines that are judged before they are written.
pub(crate) const JUDGED_LINES: usize = 10_000;

/// So many refused lines stop no import.
const ALWAYS_ACCEPTED: u64 = 4;

/// One line in so many may be refused.
const ONE_IN: u64 = 100;

/// Lines that are named of each kind of refusal.
const LINES_NAMED: usize = 5;

/// Most kinds of refusals that are counted one by one: their paths may have names out of the file.
const KINDS: usize = 200;

/// Refused lines by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefusedLines {
    lines: u64,
    kinds: BTreeMap<(Reason, Option<String>), RefusedKind>,
}

/// Lines that are refused for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedKind {
    /// The reason.
    pub reason: &'static str,
    /// Path of the field, where one is to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What was expected at the first of them.
    pub detail: String,
    /// How many lines.
    pub count: u64,
    /// The first of them.
    pub first_lines: Vec<u64>,
}

impl RefusedLines {
    /// How many lines are refused.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The kinds, the most frequent first.
    #[must_use]
    pub fn kinds(&self) -> Vec<&RefusedKind> {
        let mut kinds: Vec<_> = self.kinds.values().collect();
        kinds.sort_by_key(|kind| std::cmp::Reverse(kind.count));
        kinds
    }

    pub(super) fn add(&mut self, line: u64, rejection: &Rejection) {
        self.lines += 1;
        let mut kind = (rejection.reason, rejection.path.clone());
        if self.kinds.len() >= KINDS && !self.kinds.contains_key(&kind) {
            kind.1 = None;
        }
        let refusal = self.kinds.entry(kind).or_insert_with_key(|(reason, path)| RefusedKind {
            reason: reason.as_str(),
            path: path.clone(),
            detail: rejection.detail.clone(),
            count: 0,
            first_lines: Vec::new(),
        });
        refusal.count += 1;
        if refusal.first_lines.len() < LINES_NAMED {
            refusal.first_lines.push(line);
        }
    }
}

/// Whether so many refused lines are too many.
pub(super) fn are_too_many(refused: u64, lines: u64) -> bool {
    refused > ALWAYS_ACCEPTED && refused * ONE_IN > lines
}

/// Judges the first lines of an import.
#[derive(Debug)]
pub(super) struct Judge {
    /// It has decided, or nothing is to be judged.
    is_done: bool,
    lines: u64,
    /// A line that is for several shards is refused in each.
    refused: BTreeSet<u64>,
    refusals: RefusedLines,
}

impl Judge {
    pub(super) fn new(accepts_all: bool) -> Self {
        let refused = BTreeSet::new();
        Self { is_done: accepts_all, lines: 0, refused, refusals: RefusedLines::default() }
    }

    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    /// A line that is to be written, and is not blank.
    pub(super) fn look_at(&mut self, line: u64) {
        self.lines += u64::from(self.is_judged(line));
    }

    pub(super) fn refused(&mut self, line: &Line, rejection: &Rejection) {
        if self.is_judged(line.number) && self.refused.insert(line.number) {
            self.refusals.add(line.origin, rejection);
        }
    }

    fn is_judged(&self, line: u64) -> bool {
        !self.is_done && line <= JUDGED_LINES as u64
    }

    /// Decides before the first write; after that it does nothing.
    pub(super) fn decide(&mut self) -> Result<(), ImportError> {
        if self.is_done {
            return Ok(());
        }
        self.is_done = true;
        let refusals = std::mem::take(&mut self.refusals);
        if are_too_many(refusals.lines, self.lines) {
            return Err(ImportError::TooManyRefused { lines: self.lines, refusals });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_one_in_a_hundred_are_too_many() {
        for (refused, lines, too_many) in [
            (0, 0, false),
            (0, 10_000, false),
            (100, 10_000, false),
            (101, 10_000, true),
            (1, 50, false),
            (4, 6, false),
            (5, 6, true),
            (5, 500, false),
            (5, 499, true),
            (4, 4, false),
        ] {
            assert_eq!(are_too_many(refused, lines), too_many, "{refused} of {lines}");
        }
    }
}
