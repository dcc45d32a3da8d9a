//! A set of shards that is read as one ledger: snapshots, what may be said from them, and what that costs.
//!
//! In: a catalog of shards, or readers of a data directory. Out, for the questions of [`crate::query`]: the tenant where
//! it is ([`mod@locate`]), as of an instant ([`tenant_as_of`]), how fresh that is ([`freshness`]), and whether something may
//! be reported as not there ([`ready`]).
//!
//! # What holds for every answer
//!
//! - It rests on one snapshot of each shard it is about, and says how fresh that was ([`FreshnessJson`]).
//! - Events dated after the instant that is asked for are not in it, even those that are recorded by now.
//! - A tenant that two shards have is refused, by name and with a code: neither has its whole history.
//! - A shard that stopped still answers, and its answers say so (`stale`). What a shard might have that was not read
//!   to its end, cannot be asked, or is fed by another process of the group, is never reported as not there
//!   ([`ready`]).

mod budget;
mod cache;
mod error;
mod freshness;
mod locate;
mod long_history;
mod merged;
mod page_bytes;
mod reading;
mod ready;
mod shards;
mod state;
mod tenant_as_of;
mod timelines;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ledger_core::ids::ClientKey;
use ledger_core::time::Timestamp;
use ledger_record::proof::line::LedgerSecret;
use ledger_store::{
    Catalog, Elsewhere, Halted, HistoryEvent, KnowledgeCut, ReadTier, Reader, ShardId, Snapshot, StopCode,
    TornTenants,
};

pub(crate) use cache::{Cache, CacheKey, Lru};
pub use error::{QueryError, check_span, listed};
pub(crate) use freshness::of_unread;
pub use freshness::{FreshnessJson, HaltedJson, RefusedTenant};
#[cfg(test)]
pub(crate) use freshness::{of_absent, of_failed};
pub(crate) use merged::{Seqs, records_of};
pub(crate) use page_bytes::PageBytes;
pub(crate) use reading::{LoadedHistory, Reading};
pub use ready::NotReady;
pub(crate) use shards::{Located, ShardHandle, ShardSnapshot, Shards, locate, shards_with};
pub use state::InstallationState;
pub(crate) use tenant_as_of::{TenantAsOf, Viewpoint, cut, is_all_of, row_serves};

use crate::access::Grants;
use crate::limits::{CACHE_BYTES, HISTORIES_BYTES, HISTORY_RESERVED_AT_A_TIME_BYTES, PAGE_FULL_BYTES};
use budget::{HistoryBudget, Reservation};

/// A set of shards that is asked as one ledger. Every question takes `now`, the caller's clock. A copy is the
/// same ledger.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub(crate) shards: Arc<Shards>,
    /// For the questions that follow.
    pub(crate) cache: Arc<Cache>,
    /// For the histories of all questions.
    budget: Arc<HistoryBudget>,
    /// What proofs are made with.
    pub(crate) secret: Option<LedgerSecret>,
    /// When the client goes away; none: it waits for ever.
    until: Option<Instant>,
    /// The client, where it can be gone before.
    asker: Option<Weak<()>>,
    /// How far a question reads.
    tier: ReadTier,
    /// A page ends once its items have so many bytes as JSON.
    pub(crate) page_bytes: usize,
    /// The apps whose installations there are, for who asks.
    pub(crate) grants: Grants,
    /// With a grant of some apps: a tenant was asked for that is not seen, or not there. Whoever tries one key after the
    /// other is found in the log by that.
    missed: Option<Arc<AtomicBool>>,
}

/// Someone who waits for an answer, as long as this is kept: see [`Ledger::asked_by`].
#[derive(Debug, Default)]
pub struct Asker(Arc<()>);

impl Ledger {
    /// The shards that this process serves, as the catalog lists them at the moment of each question.
    pub fn from_catalog(catalog: Arc<Catalog>) -> Self {
        Self::over(Shards::Served(catalog))
    }

    /// Shards opened for reading beside a server, or without one: how fresh they are is not known.
    pub fn from_readers(mut readers: Vec<(ShardId, Reader)>) -> Self {
        readers.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self::over(Shards::Opened(readers, TornTenants::default()))
    }

    fn over(shards: Shards) -> Self {
        Self {
            shards: Arc::new(shards),
            cache: Arc::new(Cache::new(CACHE_BYTES)),
            budget: Arc::new(HistoryBudget::new(HISTORIES_BYTES)),
            secret: None,
            until: None,
            asker: None,
            tier: ReadTier::Disk,
            page_bytes: PAGE_FULL_BYTES,
            grants: Grants::All,
            missed: None,
        }
    }

    /// The same ledger, for someone who sees the installations of some apps: what is of others does not exist there.
    /// Their records in a tenant's log are places without content.
    #[must_use]
    pub fn seen_with(&self, grants: &Grants) -> Self {
        let missed = grants.apps().is_some().then(Arc::default);
        Self { grants: grants.clone(), missed, ..self.clone() }
    }

    /// Notes whether a tenant that was asked for is not seen.
    pub(crate) fn note_missed(&self, is_missed: bool) {
        if let Some(missed) = &self.missed {
            missed.store(is_missed, Ordering::Relaxed);
        }
    }

    /// Whether a tenant that was asked for is not seen, as far as that matters.
    pub(crate) fn has_missed(&self) -> bool {
        self.missed.as_ref().is_some_and(|missed| missed.load(Ordering::Relaxed))
    }

    /// The same ledger, which keeps and reads no more than so many bytes in memory, and no more than without that.
    #[must_use]
    pub fn with_memory(self, bytes: usize) -> Self {
        let kept = CACHE_BYTES.min(bytes / 4);
        let histories = u32::try_from(bytes - bytes / 4).unwrap_or(u32::MAX).min(HISTORIES_BYTES);
        Self { cache: Arc::new(Cache::new(kept)), budget: Arc::new(HistoryBudget::new(histories)), ..self }
    }

    /// The same ledger, for someone who waits so long and no longer: a question that is not answered by then
    /// ends as [`QueryError::GivenUp`], so that it takes no time of others.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        Self { until: Instant::now().checked_add(limit), ..self.clone() }
    }

    /// The same ledger, for someone who may go away: a question ends as [`QueryError::GivenUp`] once the asker is
    /// dropped.
    #[must_use]
    pub fn asked_by(&self, asker: &Asker) -> Self {
        Self { asker: Some(Arc::downgrade(&asker.0)), ..self.clone() }
    }

    /// The same ledger, for someone who must not wait for the disk, nor for a history to be folded: a question that
    /// takes either is an error.
    #[must_use]
    pub(crate) fn in_memory(&self) -> Self {
        Self { tier: ReadTier::Memory, ..self.clone() }
    }

    /// Whether a question may take what takes long.
    pub(crate) fn may_wait(&self) -> Result<(), QueryError> {
        if self.tier == ReadTier::Memory { Err(QueryError::GivenUp) } else { Ok(()) }
    }

    /// Whether a client still waits for the answer. Every loop that reads checks this for each item.
    pub(crate) fn in_time(&self) -> Result<(), QueryError> {
        let is_over = self.until.is_some_and(|until| until <= Instant::now());
        let is_gone = self.asker.as_ref().is_some_and(|asker| asker.strong_count() == 0);
        if is_over || is_gone { Err(QueryError::GivenUp) } else { Ok(()) }
    }

    /// The same, able to prove: it takes the secret that the leaves are made with.
    #[must_use]
    pub fn with_secret(self, secret: Option<LedgerSecret>) -> Self {
        Self { secret, ..self }
    }

    /// The same ledger, for someone who takes so many bytes of a list at a time.
    #[must_use]
    pub fn in_pages_of(&self, page_bytes: usize) -> Self {
        Self { page_bytes, ..self.clone() }
    }

    /// A tenant's events, within the budget for histories.
    pub(crate) fn events(
        &self,
        snapshot: &Snapshot<'_>,
        client: &ClientKey,
        cut: KnowledgeCut,
    ) -> Result<(Vec<HistoryEvent>, Reservation<'_>), QueryError> {
        self.may_wait()?;
        self.in_time()?;
        let (mut reserved, mut unreserved) = (self.budget.reserve(), 0);
        let events = snapshot.events(client, cut, |bytes| {
            unreserved += bytes;
            if unreserved < HISTORY_RESERVED_AT_A_TIME_BYTES {
                return Ok(());
            }
            self.in_time()?;
            let is_reserved = reserved.grow(std::mem::take(&mut unreserved), self.until);
            if is_reserved { Ok(()) } else { Err(QueryError::GivenUp) }
        })?;
        Ok((events, reserved))
    }

    /// How fresh every shard is that is here, in order, those that could not be opened included.
    pub fn freshness(&self, now: Timestamp) -> Vec<FreshnessJson> {
        let handles = self.shards.all();
        self.here(&handles.iter().map(|handle| handle.snapshot(self.tier)).collect::<Vec<_>>(), now)
    }

    /// Why the brokers give this process nothing, if so.
    pub fn away(&self) -> Option<HaltedJson> {
        self.shards.away().as_ref().map(HaltedJson::of)
    }

    /// The shards that this process speaks for, in order.
    pub(crate) fn assigned_shards(&self) -> Vec<ShardHandle> {
        let is_assigned =
            |handle: &ShardHandle| handle.status.as_ref().is_none_or(|status| status.freshness().is_ours);
        self.shards_here().into_iter().filter(is_assigned).collect()
    }

    /// The shards that are on this machine, in order, whoever speaks for them.
    pub(crate) fn shards_here(&self) -> Vec<ShardHandle> {
        self.shards.all()
    }

    /// The assigned shards that are being opened.
    pub(crate) fn opening(&self) -> Vec<ShardId> {
        self.shards.opening()
    }

    /// The topics of which the brokers give this process nothing, and the code: those that it knows no partitions of, and
    /// all, where they give it nothing at all.
    pub(crate) fn away_topics(&self) -> Vec<(String, &'static str)> {
        let away = self.shards.away();
        let topics = self.shards.elsewhere().into_iter().filter_map(|part| match part {
            Elsewhere::Topic(topic) => Some(topic),
            Elsewhere::Shard(ShardId { topic, .. }) => away.is_some().then_some(topic),
        });
        let code = away.as_ref().map_or(StopCode::SourceUnreachable.as_str(), |away| away.code);
        topics.collect::<BTreeSet<_>>().into_iter().map(|topic| (topic, code)).collect()
    }

    fn here(&self, shards: &[ShardSnapshot<'_>], now: Timestamp) -> Vec<FreshnessJson> {
        let of = |shard| {
            freshness::of(shard, now).unwrap_or_else(|error| {
                freshness::of_unread(shard, HaltedJson::of(&Halted::of_error(shard.id, &error)))
            })
        };
        let mut here: Vec<_> = shards.iter().map(of).collect();
        here.extend(self.shards.failed().iter().map(|(id, halted)| freshness::of_failed(id, halted)));
        in_order(here)
    }
}

pub(crate) fn in_order(mut shards: Vec<FreshnessJson>) -> Vec<FreshnessJson> {
    shards.sort_by(|one, other| (&one.topic, one.partition).cmp(&(&other.topic, other.partition)));
    shards
}
