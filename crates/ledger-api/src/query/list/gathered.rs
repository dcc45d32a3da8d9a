//! Windows of the past. No index has them in their order, so every tenant is looked at, or every one that ever had
//! the app; what was found is kept for the next pages, which would look at all of them again.
//!
//! A page takes from what was gathered for the page before, never from before its own list began: a first page
//! always gathers anew. What it takes is looked at again before it is listed, as every candidate is.

use std::collections::{BinaryHeap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use ledger_core::ids::ClientKey;
use ledger_record::rows::TenantRow;
use ledger_store::{List, ShardId};

use super::source::{Candidate, Listed, end_of};
use super::{Asked, Place};
use crate::limits::{GATHERED_AT_A_TIME, GATHERED_KEPT, INDEX_ENTRIES_AT_A_TIME};
use crate::query::error::QueryError;
use crate::query::past::Past;
use crate::query::shards::Moment;

/// What was gathered last, of some lists.
#[derive(Debug, Default)]
pub(in crate::query) struct Kept(Mutex<VecDeque<Run>>);

/// The windows of one list and shard that come after a place.
#[derive(Debug, Clone)]
struct Run {
    shard: ShardId,
    list: u64,
    after: Option<Place>,
    places: Arc<[Place]>,
    /// There are more behind them.
    cut: bool,
}

/// What is left of a run.
#[derive(Debug)]
pub(super) struct Gathered {
    shard: usize,
    run: Run,
    next: usize,
}

impl Gathered {
    pub(super) fn of(asked: &Asked<'_>, shard: usize, moment: &Moment<'_>) -> Result<Self, QueryError> {
        let kept = &asked.reading.ledger.gathered;
        let run = match asked.after.and_then(|after| kept.beyond(moment.id, asked.list, after)) {
            Some(run) => run,
            None => kept.keep(gather(asked, moment)?),
        };
        let next = asked.after.map_or(0, |after| run.places.partition_point(|place| place <= after));
        Ok(Self { shard, run, next })
    }

    pub(super) fn next(&mut self) -> Option<Candidate> {
        let place = self.run.places.get(self.next)?.clone();
        self.next += 1;
        let Place::Window(_, client, app) = &place else { return None };
        Some(Candidate { client: client.clone(), app: app.clone(), place, shard: self.shard, row: None })
    }

    /// All was taken, and more is there: the page ends, as what the other shards have may come behind that.
    pub(super) fn is_cut_off(&self) -> bool {
        self.run.cut && self.next == self.run.places.len()
    }
}

impl Kept {
    /// A run that goes on beyond a place within it.
    fn beyond(&self, shard: &ShardId, list: u64, after: &Place) -> Option<Run> {
        let runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let run = runs.iter().find(|run| run.list == list && run.shard == *shard)?;
        let goes_on = !run.cut || run.places.last().is_some_and(|last| last > after);
        (run.after.as_ref() <= Some(after) && goes_on).then(|| run.clone())
    }

    fn keep(&self, run: Run) -> Run {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        runs.retain(|kept| kept.list != run.list || kept.shard != run.shard);
        runs.push_back(run.clone());
        let kept = |runs: &VecDeque<Run>| runs.iter().map(|run| run.places.len()).sum::<usize>();
        while kept(&runs) > GATHERED_KEPT {
            runs.pop_front();
        }
        run
    }
}

/// Looks at all there are.
fn gather(asked: &Asked<'_>, moment: &Moment<'_>) -> Result<Run, QueryError> {
    let mut first = First { asked, moment, places: BinaryHeap::new(), cut: false };
    match &asked.filter.app {
        Some(app) => {
            let of_app = List::App(app.clone());
            let mut listed = Listed::of(moment, 0, of_app, None, INDEX_ENTRIES_AT_A_TIME);
            while let Some((client, _)) = listed.entry()? {
                if let Some(row) = moment.snapshot.tenant(&client)? {
                    first.take(&client, row)?;
                }
            }
        }
        None => {
            for row in moment.snapshot.tenants(None)? {
                let (client, row) = row?;
                first.take(&client, row)?;
            }
        }
    }
    Ok(Run {
        shard: moment.id.clone(),
        list: asked.list,
        after: asked.after.cloned(),
        cut: first.cut,
        places: first.places.into_sorted_vec().into(),
    })
}

/// The first windows, while all are looked at.
struct First<'g> {
    asked: &'g Asked<'g>,
    moment: &'g Moment<'g>,
    places: BinaryHeap<Place>,
    cut: bool,
}

impl First<'_> {
    fn take(&mut self, client: &ClientKey, row: TenantRow) -> Result<(), QueryError> {
        let Asked { reading, filter, instant, after, .. } = *self.asked;
        reading.ledger.in_time()?;
        let past = Past::of(reading, self.moment, client, row, instant)?;
        for (app, installation) in &past.tenant.installations {
            let timeline = past.timeline(reading, self.moment, app)?;
            if !filter.takes(app, installation, past.tenant.product_realm, &timeline, instant.at) {
                continue;
            }
            let place = Place::Window(end_of(installation), client.clone(), app.clone());
            if after.is_none_or(|after| place > *after) {
                self.places.push(place);
            }
            if self.places.len() > GATHERED_AT_A_TIME {
                self.places.pop();
                self.cut = true;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ledger_core::ids::AppKey;
    use ledger_core::time::Timestamp;

    use super::*;

    fn place(end: i64) -> Place {
        let (client, app) = (ClientKey::new("t").unwrap(), AppKey::new("a").unwrap());
        Place::Window(Timestamp::from_millis(end), client, app)
    }

    fn shard() -> ShardId {
        ShardId { topic: "t".to_owned(), partition: 0 }
    }

    fn run(after: Option<i64>, ends: &[i64], cut: bool) -> Run {
        let places = ends.iter().map(|end| place(*end)).collect();
        Run { shard: shard(), list: 7, after: after.map(place), places, cut }
    }

    #[test]
    fn a_page_goes_on_within_what_was_gathered_and_not_outside() {
        let kept = Kept::default();
        kept.keep(run(Some(2), &[3, 5, 9], true));
        let found = |list, after| kept.beyond(&shard(), list, &place(after)).is_some();
        assert_eq!([found(7, 2), found(7, 3), found(7, 8)], [true; 3]);
        assert!(!found(7, 1), "what comes first was not gathered");
        assert!(!found(7, 9), "there is more, but not here");
        assert!(!found(8, 3), "another list");
        kept.keep(run(None, &[3, 5, 9], false));
        assert!(found(7, 9), "there is no more");
    }

    #[test]
    fn what_is_cut_off_ends_the_page() {
        let mut gathered = Gathered { shard: 0, run: run(None, &[3, 5], true), next: 1 };
        assert!(!gathered.is_cut_off());
        assert_eq!(gathered.next().map(|candidate| candidate.place), Some(place(5)));
        assert!(gathered.is_cut_off() && gathered.next().is_none());
        let whole = Gathered { shard: 0, run: run(None, &[3], false), next: 1 };
        assert!(!whole.is_cut_off());
    }
}
