//! The notices that were read last, of all shards, for every live subscription: read once, however many there are.
//!
//! ```text
//!   shard 0   … log …│ a │   c   │ e │►            covered_from of each shard: where its oldest kept batch begins
//!   shard 1   … log …   │ b │ d │►                  next: where the tail goes on
//!   ring              a b c d e                     in the order in which they were read
//! ```
//!
//! A subscription whose place in every shard is at `covered_from` or behind it needs the log no longer: from any batch of
//! the ring on, what it had is skipped by place, and what it did not have is there. That is the whole of the border
//! between catching up and being live.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use ledger_store::{Follower, ShardId};

use super::filter::{DecisionFilter, Traits};
use super::mark::LogMark;
use super::notices::{Notice, Portion};
use super::place::{Place, end_of};
use crate::ledger::ShardHandle;
use crate::limits::SubscriptionBounds;

/// Notices of one shard, as they were read together.
#[derive(Debug)]
pub(super) struct NoticeBatch {
    pub(super) shard: Arc<ShardId>,
    pub(super) first: Place,
    pub(super) next: Place,
    pub(super) mark: Option<LogMark>,
    notices: Vec<Notice>,
    bytes: usize,
    /// Which of them have the same traits: a filter looks at each kind once, however many subscriptions it has.
    kinds: BTreeMap<Traits, Vec<usize>>,
}

impl NoticeBatch {
    pub(super) fn new(shard: Arc<ShardId>, first: Place, portion: Portion) -> Self {
        let Portion { notices, next, mark, bytes } = portion;
        let mut kinds: BTreeMap<Traits, Vec<usize>> = BTreeMap::new();
        for (index, notice) in notices.iter().enumerate() {
            if let Some(of_kind) = kinds.get_mut(&notice.traits) {
                of_kind.push(index);
            } else {
                kinds.insert(notice.traits.clone(), vec![index]);
            }
        }
        Self { shard, first, next, mark, notices, bytes, kinds }
    }

    /// The notices that pass, from a place on.
    pub(super) fn passing<'b>(
        &'b self,
        filter: &DecisionFilter,
        from: &'b Place,
    ) -> impl Iterator<Item = &'b Notice> {
        let passing = self.kinds.iter().filter(|(traits, _)| filter.passes(traits));
        let mut indices: Vec<usize> = passing.flat_map(|(_, of_kind)| of_kind).copied().collect();
        indices.sort_unstable();
        let notices = indices.into_iter().filter_map(|index| self.notices.get(index));
        notices.filter(move |notice| notice.place >= *from)
    }
}

/// A shard that is followed.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) id: Arc<ShardId>,
    pub(super) handle: ShardHandle,
    /// Where it was when it appeared.
    pub(super) appeared: (Place, Option<LogMark>),
    /// From here on everything up to `next` is in the ring.
    pub(super) covered_from: Place,
    /// Where the tail goes on.
    pub(super) next: Place,
    /// It does not read, and until when it is left alone.
    pub(super) unread: Option<(String, Instant)>,
}

/// How much was ever put into the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    /// The number of the batch that comes next.
    pub(super) batch: u64,
    pub(super) notices: u64,
    pub(super) bytes: u64,
}

/// The ring, and the shards it is filled from.
#[derive(Debug, Default)]
pub(super) struct Ring {
    pub(super) bounds: SubscriptionBounds,
    batches: VecDeque<Arc<NoticeBatch>>,
    mark: Mark,
    held: (usize, usize),
    pub(super) followed: BTreeMap<ShardId, Followed>,
    /// Grows whenever a shard is added, goes away, does not read any more, or does again.
    pub(super) generation: u64,
    /// How many of the shards do not read.
    pub(super) unread: usize,
    pub(super) subscriptions: usize,
    pub(super) has_tail: bool,
    pub(super) is_closed: bool,
}

impl Ring {
    pub(super) fn new(bounds: SubscriptionBounds) -> Self {
        Self { bounds, ..Self::default() }
    }

    /// Follows these shards, and no others.
    pub(super) fn follow(&mut self, shards: Vec<ShardHandle>) {
        let gone = self.followed.extract_if(.., |id, _| shards.iter().all(|handle| handle.id != *id));
        let mut is_news = false;
        for (_, followed) in gone {
            followed.handle.reader.leave_recent(Follower::Subscriptions);
            is_news = true;
        }
        for handle in shards {
            if !self.followed.contains_key(&handle.id) {
                let id = Arc::new(handle.id.clone());
                // One that does not read is reported when its notices are read.
                let appeared = end_of(&handle);
                let appeared =
                    appeared.unwrap_or_else(|_| (Place::start(handle.reader.next_position()), None));
                let (covered_from, next) = (appeared.0.clone(), appeared.0.clone());
                let followed = Followed { id, handle, appeared, covered_from, next, unread: None };
                self.followed.insert((*followed.id).clone(), followed);
                is_news = true;
            }
        }
        self.generation += u64::from(is_news);
    }

    /// Nobody is live: nothing is kept.
    pub(super) fn clear(&mut self) {
        self.follow(Vec::new());
        (self.batches, self.held) = (VecDeque::new(), (0, 0));
    }

    /// Puts what was read of a shard behind the rest. What was begun before the shard went away, and perhaps came
    /// back, is not.
    pub(super) fn push(&mut self, batch: NoticeBatch) {
        let Some(followed) = self.followed.get_mut(&batch.shard) else { return };
        if followed.next != batch.first {
            return;
        }
        followed.next = batch.next.clone();
        self.mark.batch += 1;
        self.mark.notices += batch.notices.len() as u64;
        self.mark.bytes += batch.bytes as u64;
        self.held = (self.held.0 + batch.notices.len(), self.held.1 + batch.bytes);
        self.batches.push_back(Arc::new(batch));
        let SubscriptionBounds { kept_notices, kept_bytes, .. } = self.bounds;
        while self.held.0 > kept_notices || self.held.1 > kept_bytes || self.batches.len() > kept_notices {
            let Some(oldest) = self.batches.pop_front() else { break };
            self.held = (self.held.0 - oldest.notices.len(), self.held.1 - oldest.bytes);
            if let Some(followed) = self.followed.get_mut(&oldest.shard)
                && followed.covered_from < oldest.next
            {
                followed.covered_from = oldest.next.clone();
            }
        }
    }

    /// What was put into the ring so far.
    pub(super) const fn mark(&self) -> Mark {
        self.mark
    }

    /// The number of the oldest batch that is kept.
    pub(super) fn first(&self) -> u64 {
        self.mark.batch - self.batches.len() as u64
    }

    /// The batches from a number on; none: it is not kept any more.
    pub(super) fn from(&self, batch: u64) -> Option<impl Iterator<Item = &Arc<NoticeBatch>>> {
        let skipped = usize::try_from(batch.checked_sub(self.first())?).ok()?;
        Some(self.batches.iter().skip(skipped))
    }

    /// Notices and bytes that came since a mark and pass, if they are more than a client may be behind. Where not all
    /// of them are kept nothing counts them.
    pub(super) fn behind(&self, since: Mark, filter: &DecisionFilter) -> Option<(u64, u64)> {
        let SubscriptionBounds { behind_notices, behind_bytes, .. } = self.bounds;
        let is_behind = |(notices, bytes): &(u64, u64)| *notices > behind_notices || *bytes > behind_bytes;
        let all = (self.mark.notices - since.notices, self.mark.bytes - since.bytes);
        let all = Some(all).filter(is_behind)?;
        if filter.passes_all() {
            return Some(all);
        }
        let start = Place::start(0);
        let passing = self.from(since.batch)?.flat_map(|batch| batch.passing(filter, &start));
        let count = |(notices, bytes), notice: &Notice| (notices + 1, bytes + notice.bytes() as u64);
        Some(passing.fold((0, 0), count)).filter(is_behind)
    }
}
