//! What may be reported as not there: only what every shard that could have it does not have, each of them read to its
//! end. Nothing computes a shard from a key, so that is every shard, unless the tenant was found in one.
//!
//! A tenant that was found is answered, however far its shard is: the answer's freshness shows it. That nothing was
//! found has no such label, and a client that acts on it takes it for the truth.

use std::fmt;

use ledger_core::ids::AppKey;
use ledger_store::{Elsewhere, Ends, KnowledgeBound, List, Phase, ShardId, StopCode};

use super::error::{QueryError, listed};
use super::freshness::{FreshnessJson, HaltedJson};
use super::reading::Reading;
use super::shards::{Located, ShardSnapshot, Shards};

/// Why it is not known whether something is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotReady {
    /// Topics whose partitions are not known yet.
    pub topics: Vec<String>,
    /// Why the brokers give this process nothing, if so: what was read to its end may have grown since.
    pub away: Option<HaltedJson>,
    /// Of every shard.
    pub freshness: Vec<FreshnessJson>,
}

impl NotReady {
    /// Whether waiting can help: a shard reads on.
    pub(crate) fn is_read_on(&self) -> bool {
        self.freshness.iter().any(|shard| !shard.stale)
    }

    /// Whether it passes without a person: something that is lacking is not halted for good.
    pub(crate) fn passes(&self) -> bool {
        let mut lacking = self.freshness.iter().filter(|shard| !shard.is_at_end());
        !self.topics.is_empty() || self.away.is_some() || lacking.any(|shard| !shard.is_halted_for_good())
    }
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics = self.topics.iter().map(|topic| format!("the partitions of {topic} are not known yet"));
        let shards = self.freshness.iter().filter(|shard| !shard.is_at_end()).map(|shard| {
            let FreshnessJson { topic, partition, phase, halted, .. } = shard;
            match halted {
                Some(halted) => format!("{topic}/{partition} has halted ({})", halted.code),
                None if *phase == Phase::CatchingUp.as_str() => format!("{topic}/{partition} is catching up"),
                None => format!("{topic}/{partition} is not fed here"),
            }
        });
        let away = self.away.iter().map(|away| format!("the brokers give nothing ({})", away.code));
        let reasons: Vec<String> = topics.chain(away).chain(shards).collect();
        f.write_str(&listed(&reasons))
    }
}

impl FreshnessJson {
    /// Whether only a person ends what halted the shard. A code that is not known is taken for one that lasts.
    pub(crate) fn is_halted_for_good(&self) -> bool {
        let lasts = |halted: &HaltedJson| {
            StopCode::parse(&halted.code).is_none_or(|code| code.ends() == Ends::ByPerson)
        };
        self.halted.as_ref().is_some_and(lasts)
    }

    /// Whether what the shard does not have is not in its source either, as far as anyone knows.
    pub(crate) fn is_at_end(&self) -> bool {
        self.phase == Phase::Live.as_str() && self.assigned
    }
}

impl Reading<'_> {
    /// The error, if every shard is read to its end.
    pub(crate) fn not_found(&self, error: QueryError) -> QueryError {
        self.ready().err().unwrap_or(error)
    }

    /// The error for an app that nothing is recorded of: a mistyped key would be answered with nothing, which looks like
    /// an answer. Where a shard that could have it was not read to its end, the answer tells that instead.
    pub(crate) fn known_app(&self, app: Option<&AppKey>) -> Result<(), QueryError> {
        let Some(app) = app else { return Ok(()) };
        let seen = self.shards.iter().filter(|_| self.ledger.grants.has(app));
        for ShardSnapshot { snapshot, .. } in seen {
            let has_installations = || snapshot.list(&List::App(app.clone()), None, 1);
            if snapshot.app(app)?.is_some() || !has_installations()?.installations.is_empty() {
                return Ok(());
            }
        }
        match self.ready() {
            Ok(()) => Err(QueryError::UnknownApp { app: app.clone() }),
            Err(_) => Ok(()),
        }
    }

    /// The error, if this shard is read to its end: no other one can have what is asked for.
    pub(crate) fn not_found_in(&self, shard: &ShardId, error: QueryError) -> QueryError {
        self.ready_in(shard).err().unwrap_or(error)
    }

    /// Whether a question about all shards can be answered at all. While no partition of any topic is known, the answer
    /// would be taken for that of an empty ledger.
    pub(crate) fn some_partition_is_known(&self) -> Result<(), QueryError> {
        if self.shards.is_empty() && self.freshness().is_empty() { self.ready() } else { Ok(()) }
    }

    /// Whether every shard is read to its end.
    pub(crate) fn ready(&self) -> Result<(), QueryError> {
        self.ready_where(|_, _| true)
    }

    /// Whether a shard is read to its end.
    pub(crate) fn ready_in(&self, shard: &ShardId) -> Result<(), QueryError> {
        self.ready_where(|topic, partition| {
            topic == shard.topic && partition.is_none_or(|partition| partition == shard.partition)
        })
    }

    fn ready_where(&self, concerns: impl Fn(&str, Option<u32>) -> bool) -> Result<(), QueryError> {
        if matches!(*self.ledger.shards, Shards::Opened(..)) {
            return Ok(());
        }
        let freshness = self.freshness();
        let unknown = self.ledger.shards.elsewhere().into_iter().filter_map(|part| match part {
            Elsewhere::Topic(topic) => concerns(&topic, None).then_some(topic),
            Elsewhere::Shard(_) => None,
        });
        let topics: Vec<String> = unknown.collect();
        let mut affected = freshness.iter().filter(|shard| concerns(&shard.topic, Some(shard.partition)));
        let away = self.ledger.away();
        if topics.is_empty() && away.is_none() && affected.all(FreshnessJson::is_at_end) {
            return Ok(());
        }
        Err(QueryError::NotReady(NotReady { topics, away, freshness }))
    }

    /// Whether a seq that is asked for is recorded, or can only not be read yet.
    pub(crate) fn ready_for(
        &self,
        known: KnowledgeBound,
        Located { shard, row }: &Located<'_>,
    ) -> Result<(), QueryError> {
        match known {
            KnowledgeBound::Seq(asked) if asked > row.seq => self.ready_in(shard.id),
            _ => Ok(()),
        }
    }
}
