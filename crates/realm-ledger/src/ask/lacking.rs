//! What the answers could not speak for. The processes of a group share the partitions, so a list that one of
//! them gives is short of what the others have, and a data directory can have a shard that does not open;
//! nobody must take such an answer for the whole.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use ledger_store::ShardId;
use serde::Deserialize;

/// Named before the rest is counted: a topic can have a thousand partitions.
const NAMED_AT_MOST: usize = 8;

/// How fresh a shard's part of an answer is, as far as that is told on.
#[derive(Debug, Deserialize)]
pub(crate) struct Freshness {
    topic: String,
    partition: u32,
    stale: bool,
    halted: Option<Halted>,
}

#[derive(Debug, Deserialize)]
struct Halted {
    code: String,
}

/// The shards that nothing new arrives at where the answers of a command came from, and why it halted, if it
/// did. Every door of the command notes them here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lacking(Rc<RefCell<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    stale: BTreeMap<(String, u32), Option<String>>,
    /// A list from a server that has no shard at all.
    of_nothing: bool,
    /// Shards of a data directory that could not be opened, and why.
    unopened: Vec<(ShardId, String)>,
}

impl Lacking {
    /// Of one answer.
    pub(super) fn note(&self, freshness: Vec<Freshness>) {
        let mut noted = self.0.borrow_mut();
        noted.of_nothing |= freshness.is_empty();
        let stale = freshness.into_iter().filter(|shard| shard.stale);
        noted.stale.extend(
            stale.map(|shard| ((shard.topic, shard.partition), shard.halted.map(|halted| halted.code))),
        );
    }

    /// A shard of a data directory that could not be opened.
    pub(super) fn note_unopened(&self, shard: &ShardId, why: &str) {
        self.0.borrow_mut().unopened.push((shard.clone(), why.to_owned()));
    }

    /// What to say of it, in lines; empty when the answers were whole.
    pub(crate) fn said(&self) -> Vec<String> {
        let noted = self.0.borrow();
        let mut lines = Vec::new();
        if noted.of_nothing {
            lines.push(
                "this server feeds no partition: ask the others of its group, or again if it has only started"
                    .to_owned(),
            );
        }
        let idle: Vec<_> =
            noted.stale.iter().filter(|(_, halted)| halted.is_none()).map(|(shard, _)| shard).collect();
        if !idle.is_empty() {
            let shards = Listed(&idle);
            lines.push(format!(
                "this server does not feed {shards}: what is new there is not in the answer; ask the others of \
                 its group too"
            ));
        }
        let halted = noted.stale.iter().filter_map(|(shard, halted)| Some((shard, halted.as_ref()?)));
        lines.extend(halted.map(|((topic, partition), code)| {
            format!("{topic}/{partition} has halted ({code}): what came since is not in the answer")
        }));
        let unopened = noted.unopened.iter();
        lines.extend(unopened.map(|(shard, why)| {
            format!("{shard} could not be asked, what it has is not in the answer: {why}")
        }));
        lines
    }
}

struct Listed<'a>(&'a [&'a (String, u32)]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (topic, partition)) in self.0.iter().take(NAMED_AT_MOST).enumerate() {
            f.write_str(if place == 0 { "" } else { ", " })?;
            write!(f, "{topic}/{partition}")?;
        }
        match self.0.len().saturating_sub(NAMED_AT_MOST) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(freshness: &str) -> Vec<String> {
        let lacking = Lacking::default();
        lacking.note(serde_json::from_str(freshness).unwrap());
        lacking.said()
    }

    #[test]
    fn what_is_fed_needs_no_word() {
        assert_eq!(noted(r#"[{"topic":"t","partition":0,"phase":"LIVE","stale":false}]"#), [""; 0]);
    }

    #[test]
    fn every_shard_that_is_not_fed_is_told_and_why_one_halted() {
        let said = noted(
            r#"[{"topic":"t","partition":0,"stale":false},{"topic":"t","partition":2,"stale":true},
                {"topic":"t","partition":1,"stale":true},
                {"topic":"t","partition":3,"stale":true,"halted":{"code":"retention-gap","message":"…"}}]"#,
        );
        assert_eq!(
            said,
            [
                "this server does not feed t/1, t/2: what is new there is not in the answer; ask the others of its \
                 group too",
                "t/3 has halted (retention-gap): what came since is not in the answer",
            ]
        );
    }

    #[test]
    fn many_are_counted_and_none_at_all_is_told() {
        let many: Vec<String> = (0..20)
            .map(|partition| format!(r#"{{"topic":"t","partition":{partition},"stale":true}}"#))
            .collect();
        let said = noted(&format!("[{}]", many.join(",")));
        assert!(said[0].contains("t/0, t/1,") && said[0].contains("t/7 and 12 more:"), "{said:?}");
        assert!(noted("[]")[0].starts_with("this server feeds no partition"));
    }
}
