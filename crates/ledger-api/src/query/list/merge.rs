//! Many sources as one, in order.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::candidate::Candidate;
use super::source::Source;
use crate::ledger::{QueryError, ShardSnapshot};
use crate::query::cursor::Place;

/// The candidates of all sources. An installation that several sources of a shard have comes once.
pub(super) struct Merge<'m> {
    moments: &'m [ShardSnapshot<'m>],
    sources: Vec<Source<'m>>,
    heads: BinaryHeap<Reverse<ByPlace<Head>>>,
    last: Option<(Place, usize)>,
    /// A source has more than it holds now: what follows is for the next page.
    cut_off: bool,
}

struct Head {
    candidate: Candidate,
    source: usize,
}

impl<'m> Merge<'m> {
    pub(super) fn new(
        sources: Vec<Source<'m>>,
        moments: &'m [ShardSnapshot<'m>],
    ) -> Result<Self, QueryError> {
        let mut merge = Self { moments, sources, heads: BinaryHeap::new(), last: None, cut_off: false };
        for source in 0..merge.sources.len() {
            merge.refill(source)?;
        }
        Ok(merge)
    }

    pub(super) fn is_cut_off(&self) -> bool {
        self.cut_off
    }

    pub(super) fn next(&mut self) -> Result<Option<Candidate>, QueryError> {
        while !self.cut_off
            && let Some(Reverse(ByPlace(Head { candidate, source }))) = self.heads.pop()
        {
            self.refill(source)?;
            let place = (candidate.place.clone(), candidate.shard);
            if self.last.as_ref() != Some(&place) {
                self.last = Some(place);
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }

    fn refill(&mut self, source: usize) -> Result<(), QueryError> {
        let candidate = self.sources[source].next();
        let shard = self.sources[source].shard();
        let candidate = candidate.map_err(|error| match shard {
            Some(shard) => self.moments[shard].unread(error),
            None => error,
        })?;
        if let Some(candidate) = candidate {
            self.heads.push(Reverse(ByPlace(Head { candidate, source })));
        } else if let Source::Sorted(windows) = &self.sources[source] {
            self.cut_off |= windows.is_cut_off();
        }
        Ok(())
    }
}

/// Ordered by place, then by shard.
struct ByPlace<T>(T);

trait Placed {
    fn place(&self) -> (&Place, usize);
}

impl Placed for Candidate {
    fn place(&self) -> (&Place, usize) {
        (&self.place, self.shard)
    }
}

impl Placed for Head {
    fn place(&self) -> (&Place, usize) {
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
