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
    heads: BinaryHeap<Reverse<ByPlace<SourceHead>>>,
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
            && let Some(Reverse(ByPlace(SourceHead { candidate, source }))) = self.heads.pop()
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
            self.heads.push(Reverse(ByPlace(SourceHead { candidate, source })));
        } else if let CandidateSource::Sorted(windows) = &self.sources[source] {
            self.cut_off |= windows.is_cut_off();
        }
        Ok(())
    }
}

/// Ordered by place, then by shard.
struct ByPlace<T>(T);

trait Placed {
    fn place(&self) -> (&CursorPlace, usize);
}

impl Placed for ListCandidate {
    fn place(&self) -> (&CursorPlace, usize) {
        (&self.place, self.index)
    }
}

impl Placed for SourceHead {
    fn place(&self) -> (&CursorPlace, usize) {
        self.candidate.place()
    }
}

impl<T: Placed> Ord for ByPlace<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.place().cmp(&other.0.place())
    }
}

impl<T: Placed> PartialOrd for ByPlace<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Placed> PartialEq for ByPlace<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T: Placed> Eq for ByPlace<T> {}
