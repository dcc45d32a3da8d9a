//! What the answers lack. The processes of a group share the partitions, so a list that one of
//! them gives is short of what the others have, and a data directory can have a shard that does not open;
//! such an answer must not pass for the whole.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use ledger_api::ledger::{FreshnessJson, HaltedJson, listed};
use ledger_store::{Phase, ShardId, StopCode};

/// What the answers of a command lack. The backend of the command notes it here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Completeness(Rc<RefCell<Lacks>>);

#[derive(Debug, Default)]
struct Lacks {
    shards: BTreeMap<ShardId, Lack>,
    /// A list from a server that has no shard at all.
    of_nothing: bool,
    /// Shards of a data directory that could not be asked, and why.
    unasked: Vec<(ShardId, String)>,
    /// Something was asked that every shard has a part of.
    is_of_all: bool,
}

/// Why an answer of a server lacks something of a shard.
#[derive(Debug, PartialEq, Eq)]
enum Lack {
    /// Nothing feeds it there.
    Idle,
    /// What its source had before is still being read.
    CatchingUp,
    /// It stopped, with this code.
    Halted(String),
    /// Nothing of it was read, for this reason.
    Unread(String),
}

impl Lack {
    fn from_freshness(shard: &FreshnessJson) -> Option<Self> {
        match &shard.halted {
            Some(HaltedJson { code, message }) if shard.position.is_none() && is_of_data(code) => {
                Some(Self::Unread(format!("{message} ({code})")))
            }
            Some(HaltedJson { code, .. }) => Some(Self::Halted(code.to_string())),
            None if shard.stale => Some(Self::Idle),
            None => (shard.phase == Phase::CatchingUp.as_str()).then_some(Self::CatchingUp),
        }
    }
}

/// Whether an answer lacks something of a shard.
pub(crate) fn lacks(shard: &FreshnessJson) -> bool {
    Lack::from_freshness(shard).is_some()
}

/// Whether the data of the shard do not read. One that halted for another reason, and has nothing yet, does.
fn is_of_data(code: &str) -> bool {
    matches!(StopCode::parse(code), Some(StopCode::ShardDamaged | StopCode::ShardGone))
}

impl Completeness {
    /// Of one answer.
    pub(super) fn note(&self, freshness: Vec<FreshnessJson>) {
        let mut noted = self.0.borrow_mut();
        noted.of_nothing |= freshness.is_empty();
        let lacking = freshness.into_iter().filter_map(|shard| {
            let why = Lack::from_freshness(&shard)?;
            Some((ShardId { topic: shard.topic, partition: shard.partition }, why))
        });
        noted.shards.extend(lacking);
    }

    /// The same of an answer from a data directory: everything else was noted when the directory was opened.
    pub(super) fn note_unread(&self, freshness: &[FreshnessJson]) {
        let mut noted = self.0.borrow_mut();
        for shard in freshness {
            let id = ShardId { topic: shard.topic.clone(), partition: shard.partition };
            if let Some(why @ Lack::Unread(_)) = Lack::from_freshness(shard)
                && !noted.unasked.iter().any(|(known, _)| *known == id)
            {
                noted.shards.insert(id, why);
            }
        }
    }

    /// A shard of a data directory that could not be asked.
    pub(crate) fn note_unasked(&self, shard: &ShardId, why: &str) {
        self.0.borrow_mut().unasked.push((shard.clone(), why.to_owned()));
    }

    /// The answer takes all shards: it is none while one is lacking.
    pub(crate) fn note_of_all(&self) {
        self.0.borrow_mut().is_of_all = true;
    }

    /// Whether a shard lacks in an answer that takes all of them.
    pub(crate) fn is_partial(&self) -> bool {
        self.0.borrow().is_of_all && !self.reports().is_empty()
    }

    /// What to report of it, in lines; empty when the answers were whole.
    pub(crate) fn reports(&self) -> Vec<String> {
        let noted = self.0.borrow();
        let mut lines = Vec::new();
        if noted.of_nothing {
            lines.push(
                "this server feeds no partition: ask the others of its group, or again if it has only started"
                    .to_owned(),
            );
        }
        let of = |why: &Lack| {
            let shards = noted.shards.iter().filter(move |(_, found)| *found == why);
            shards.map(|(shard, _)| shard).collect::<Vec<_>>()
        };
        let (idle, catching_up) = (of(&Lack::Idle), of(&Lack::CatchingUp));
        if !idle.is_empty() {
            let shards = listed(&idle);
            lines.push(format!(
                "this server does not feed {shards}: what is new there is not in the answer; ask the others of \
                 its group too"
            ));
        }
        if !catching_up.is_empty() {
            let shards = listed(&catching_up);
            lines.push(format!("{shards} still reads what its topic has: the rest is not in the answer"));
        }
        lines.extend(noted.shards.iter().filter_map(|(shard, why)| match why {
            Lack::Halted(code) => {
                Some(format!("{shard} has halted ({code}): what came since is not in the answer"))
            }
            Lack::Unread(why) => {
                Some(format!("{shard} does not read, what it has is not in the answer: {why}"))
            }
            Lack::Idle | Lack::CatchingUp => None,
        }));
        let unasked = noted.unasked.iter();
        lines.extend(unasked.map(|(shard, why)| {
            format!("{shard} could not be asked, what it has is not in the answer: {why}")
        }));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(freshness: &str) -> Vec<String> {
        let completeness = Completeness::default();
        completeness.note(serde_json::from_str(freshness).unwrap());
        completeness.reports()
    }

    #[test]
    fn a_fed_shard_is_not_reported() {
        assert_eq!(noted(r#"[{"topic":"t","partition":0,"phase":"LIVE","stale":false}]"#), [""; 0]);
    }

    #[test]
    fn shards_that_are_not_fed_are_reported_and_why_one_halted() {
        let reported = noted(
            r#"[{"topic":"t","partition":0,"stale":false},{"topic":"t","partition":2,"stale":true},
                {"topic":"t","partition":1,"stale":true},
                {"topic":"t","partition":3,"stale":true,"position":4,"halted":{"code":"retention-gap","message":"…"}}]"#,
        );
        assert_eq!(
            reported,
            [
                "this server does not feed t/1, t/2: what is new there is not in the answer; ask the others of its \
                 group too",
                "t/3 has halted (retention-gap): what came since is not in the answer",
            ]
        );
    }

    #[test]
    fn only_an_answer_of_all_shards_is_partial_without_one() {
        let completeness = Completeness::default();
        completeness.note(
            serde_json::from_str(r#"[{"topic":"t","partition":0,"phase":"CATCHING_UP","stale":false}]"#)
                .unwrap(),
        );
        assert_eq!(
            completeness.reports(),
            ["t/0 still reads what its topic has: the rest is not in the answer"]
        );
        assert!(!completeness.is_partial());
        completeness.note_of_all();
        assert!(completeness.is_partial());
    }

    #[test]
    fn many_shards_are_counted_and_a_server_without_any_is_reported() {
        let many: Vec<String> = (0..20)
            .map(|partition| format!(r#"{{"topic":"t","partition":{partition},"stale":true}}"#))
            .collect();
        let reported = noted(&format!("[{}]", many.join(",")));
        assert!(
            reported[0].contains("t/0, t/1,") && reported[0].contains("t/7 and 12 more:"),
            "{reported:?}"
        );
        assert!(noted("[]")[0].starts_with("this server feeds no partition"));
    }
}
