//! Many sources as one, in order.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::candidate::ListCandidate;
use super::source::CandidateSource;
use crate::ledger::{QueryError, ShardSnapshot};
use crate::query::cursor::CursorPlace;

/// The candidates of all sources. An installation that several sources of a shard have comes once.
pub(super) struct CandidateMerge<'m> {
    shards: &'m [ShardSnapshot<'m>],
    sources: Vec<CandidateSource<'m>>,
    heads: BinaryHeap<Reverse<SourceHead>>,
    last: Option<(CursorPlace, usize)>,
    /// A source has more than it holds now: what follows is for the next page.
    cut_off: bool,
}

struct SourceHead {
    candidate: ListCandidate,
    source: usize,
}

impl<'m> CandidateMerge<'m> {
    pub(super) fn new(
        sources: Vec<CandidateSource<'m>>,
        shards: &'m [ShardSnapshot<'m>],
    ) -> Result<Self, QueryError> {
        let mut merge = Self { shards, sources, heads: BinaryHeap::new(), last: None, cut_off: false };
        for source in 0..merge.sources.len() {
            merge.refill(source)?;
        }
        Ok(merge)
    }

    pub(super) fn is_cut_off(&self) -> bool {
        self.cut_off
    }

    pub(super) fn next(&mut self) -> Result<Option<ListCandidate>, QueryError> {
        while !self.cut_off
            && let Some(Reverse(SourceHead { candidate, source })) = self.heads.pop()
        {
            self.refill(source)?;
            let place = (candidate.place.clone(), candidate.index);
            if self.last.as_ref() != Some(&place) {
                self.last = Some(place);
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }

    fn refill(&mut self, source: usize) -> Result<(), QueryError> {
        let candidate = self.sources[source].next();
        let index = self.sources[source].index();
        let candidate = candidate.map_err(|error| match index {
            Some(index) => self.shards[index].unread(error),
            None => error,
        })?;
        if let Some(candidate) = candidate {
            self.heads.push(Reverse(SourceHead { candidate, source }));
        } else if let CandidateSource::Sorted(windows) = &self.sources[source] {
            self.cut_off |= windows.is_cut_off();
        }
        Ok(())
    }
}

/// Ordered by place, then by shard.
impl Ord for SourceHead {
    fn cmp(&self, other: &Self) -> Ordering {
        let (own, other) = (&self.candidate, &other.candidate);
        (&own.place, own.index).cmp(&(&other.place, other.index))
    }
}

impl PartialOrd for SourceHead {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for SourceHead {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for SourceHead {}
