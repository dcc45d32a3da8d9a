//! Warnings about refused messages: the first of a kind at once, its repeats as one warning a minute with their count.
//!
//! A kind is a reason at a field, and what is said of it but for the numbers (lines, columns, bytes): what a producer does
//! wrong once it does wrong in every message.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ledger_record::rejection::{Reason, Rejection};
use ledger_store::ShardId;
use tracing::warn;

/// The log target of these warnings.
pub const REFUSED_MESSAGES: &str = "ledger_ingest::refused_messages";

/// How long repeats of a kind are only counted.
const QUIET: Duration = Duration::from_mins(1);

/// Kinds that are told apart. A message can name any field, so there is no end of them.
const KINDS: usize = 64;

/// What was refused since it was last warned of.
#[derive(Debug, Default)]
pub(super) struct RefusalWarnings(BTreeMap<RefusalKind, RefusalCount>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct RefusalKind {
    reason: Reason,
    path: Option<String>,
    /// Without its numbers.
    said: String,
}

#[derive(Debug)]
struct RefusalCount {
    warned: Option<Instant>,
    count: u64,
    /// Of those that are counted.
    first_offset: u64,
    detail: String,
}

/// A warning that is due.
#[derive(Debug, PartialEq, Eq)]
struct Due {
    reason: Reason,
    path: Option<String>,
    count: u64,
    first_offset: u64,
    detail: String,
}

impl RefusalKind {
    fn new(rejection: &Rejection) -> Self {
        let Rejection { reason, path, detail } = rejection;
        let said = detail.chars().filter(|sign| !sign.is_ascii_digit()).collect();
        Self { reason: *reason, path: path.clone(), said }
    }
}

impl RefusalWarnings {
    pub(super) fn note(&mut self, rejection: &Rejection, offset: u64) {
        let mut kind = RefusalKind::new(rejection);
        if self.0.len() >= KINDS && !self.0.contains_key(&kind) {
            (kind.path, kind.said) = (None, String::new());
        }
        let noted = self.0.entry(kind).or_insert_with(|| RefusalCount {
            warned: None,
            count: 0,
            first_offset: offset,
            detail: String::new(),
        });
        if noted.count == 0 {
            (noted.first_offset, noted.detail) = (offset, rejection.detail.clone());
        }
        noted.count += 1;
    }

    pub(super) fn warn_of_those_due(&mut self, shard: &ShardId, now: Instant) {
        for Due { reason, path, count, first_offset, detail } in self.due(now) {
            let (reason, path) = (reason.as_str(), path.unwrap_or_default());
            warn!(
                target: REFUSED_MESSAGES, %shard, reason, path, count, first_offset, detail,
                "messages were refused and are in quarantine: `quarantine list` shows them"
            );
        }
    }

    fn due(&mut self, now: Instant) -> Vec<Due> {
        let mut due = Vec::new();
        for (RefusalKind { reason, path, .. }, noted) in &mut self.0 {
            if noted.count == 0 || noted.warned.is_some_and(|warned| now.duration_since(warned) < QUIET) {
                continue;
            }
            noted.warned = Some(now);
            let (count, first_offset) = (std::mem::take(&mut noted.count), noted.first_offset);
            let (reason, path, detail) = (*reason, path.clone(), std::mem::take(&mut noted.detail));
            due.push(Due { reason, path, count, first_offset, detail });
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(path: &str) -> Rejection {
        Rejection {
            reason: Reason::InvalidField,
            path: Some(path.to_owned()),
            detail: "expected text".to_owned(),
        }
    }

    fn counts(due: &[Due]) -> Vec<(&str, u64, u64)> {
        due.iter().map(|due| (due.path.as_deref().unwrap_or(""), due.count, due.first_offset)).collect()
    }

    #[test]
    fn repeats_of_a_kind_are_one_warning_a_minute_with_their_count() {
        let mut refusals = RefusalWarnings::default();
        let begun = Instant::now();
        refusals.note(&rejection("time"), 4);
        assert_eq!(counts(&refusals.due(begun)), [("time", 1, 4)]);
        for offset in 5..905 {
            refusals.note(&rejection("time"), offset);
        }
        refusals.note(&rejection("id"), 950);
        assert_eq!(counts(&refusals.due(begun + Duration::from_secs(59))), [("id", 1, 950)]);
        assert_eq!(counts(&refusals.due(begun + Duration::from_mins(1))), [("time", 900, 5)]);
        assert_eq!(counts(&refusals.due(begun + Duration::from_mins(10))), []);
        for number in 0..1_000 {
            refusals.note(&rejection(&format!("descriptor.regionBaseUrls.R{number}")), number);
        }
        assert!(refusals.due(begun + Duration::from_mins(20)).len() <= KINDS + 1);
    }

    #[test]
    fn different_faults_of_one_reason_are_warned_of_each_in_its_words() {
        let mut refusals = RefusalWarnings::default();
        let undecodable =
            |detail: &str| Rejection { reason: Reason::Undecodable, path: None, detail: detail.to_owned() };
        let faults =
            ["not UTF-8 from byte 7 on", "not JSON: EOF at line 1 column 9", "not UTF-8 from byte 12 on"];
        for (offset, fault) in faults.into_iter().enumerate() {
            refusals.note(&undecodable(fault), offset as u64);
        }
        let due = refusals.due(Instant::now());
        let told: Vec<_> = due.iter().map(|due| (due.detail.as_str(), due.count)).collect();
        assert_eq!(told, [(faults[1], 1), (faults[0], 2)]);
    }
}
