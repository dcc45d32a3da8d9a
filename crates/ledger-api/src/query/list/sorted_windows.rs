//! Windows of the past, and those that a grant of some apps shows. No index has them in their order, so every tenant is looked at,
//! or every one that ever had one of the apps; what was found is kept sorted for the next pages, which would look at all of them again.
//!
//! A page takes from what was sorted for the page before, never from before its own list began: a first page
//! always sorts anew. What it takes is looked at again before it is listed, as every candidate is.

use std::collections::BinaryHeap;
use std::sync::Arc;

use ledger_core::ids::{AppKey, ClientKey};
use ledger_record::rows::TenantRow;

use super::candidate::{Asked, IndexEntries, ListCandidate, end_of};
use crate::ledger::{CacheKey, QueryError, ShardSnapshot, TenantAsOf};
use crate::limits::{INDEX_ENTRIES_AT_A_TIME, WINDOWS_SORTED_AT_A_TIME};
use crate::query::cursor::CursorPlace;

/// The windows of one list and shard that come after a place.
#[derive(Debug)]
struct WindowRun {
    after: Option<CursorPlace>,
    places: Vec<CursorPlace>,
    /// There are more behind them.
    cut: bool,
}

/// What is left of a run.
#[derive(Debug)]
pub(super) struct SortedWindows {
    index: usize,
    run: Arc<WindowRun>,
    next: usize,
}

impl SortedWindows {
    pub(super) fn new(
        asked: &Asked<'_>,
        index: usize,
        shard: &ShardSnapshot<'_>,
    ) -> Result<Self, QueryError> {
        let cache = &asked.reading.ledger.cache;
        let grants = asked.reading.ledger.grants.apps().cloned();
        let key = CacheKey::Windows(shard.id.clone(), asked.list, grants);
        let kept = asked
            .after
            .and_then(|after| cache.get::<WindowRun>(&key).filter(|run| run.goes_on_beyond(after)));
        let run = if let Some(run) = kept {
            run
        } else {
            let run = Arc::new(sort(asked, shard)?);
            cache.put(key, Arc::clone(&run), run.bytes());
            run
        };
        let next = asked.after.map_or(0, |after| run.places.partition_point(|place| place <= after));
        Ok(Self { index, run, next })
    }

    pub(super) fn next(&mut self) -> Option<ListCandidate> {
        let place = self.run.places.get(self.next)?.clone();
        self.next += 1;
        let CursorPlace::Window(_, client, app) = &place else { return None };
        Some(ListCandidate { client: client.clone(), app: app.clone(), place, index: self.index, row: None })
    }

    /// All was taken, and more is there: the page ends, as what the other shards have may come behind that.
    pub(super) fn is_cut_off(&self) -> bool {
        self.run.cut && self.next == self.run.places.len()
    }
}

impl WindowRun {
    /// Whether it goes on beyond a place, and that place is within it.
    fn goes_on_beyond(&self, after: &CursorPlace) -> bool {
        let has_more = !self.cut || self.places.last().is_some_and(|last| last > after);
        self.after.as_ref() <= Some(after) && has_more
    }

    /// About: a place and its keys.
    fn bytes(&self) -> usize {
        self.places.len() * 256
    }
}

/// Looks at all there are.
fn sort(asked: &Asked<'_>, shard: &ShardSnapshot<'_>) -> Result<WindowRun, QueryError> {
    let mut first = First { asked, shard, places: BinaryHeap::new(), cut: false };
    if let Some(lists) = asked.lists_of_apps() {
        for list in lists {
            let mut listed = IndexEntries::new(shard, 0, list, None, INDEX_ENTRIES_AT_A_TIME);
            while let Some((client, app)) = listed.entry()? {
                if let Some(row) = shard.snapshot.tenant(&client)? {
                    first.take(&client, row, Some(&app))?;
                }
            }
        }
    } else {
        for row in shard.snapshot.tenants(None)? {
            let (client, row) = row?;
            first.take(&client, row, None)?;
        }
    }
    Ok(WindowRun { after: asked.after.cloned(), cut: first.cut, places: first.places.into_sorted_vec() })
}

/// The first windows, while all are looked at.
struct First<'g> {
    asked: &'g Asked<'g>,
    shard: &'g ShardSnapshot<'g>,
    places: BinaryHeap<CursorPlace>,
    cut: bool,
}

impl First<'_> {
    /// Looks at the installations of a tenant, or at the one of an app.
    fn take(&mut self, client: &ClientKey, row: TenantRow, only: Option<&AppKey>) -> Result<(), QueryError> {
        let Asked { reading, filter, viewpoint, after, .. } = *self.asked;
        reading.ledger.in_time()?;
        let tenant = TenantAsOf::new(reading, self.shard, client, row, viewpoint)?;
        let installations = tenant.tenant.installations.iter();
        for (app, installation) in installations.filter(|(app, _)| only.is_none_or(|only| only == *app)) {
            let timeline = tenant.timeline(reading, self.shard, app)?;
            if !filter.takes(app, installation, tenant.tenant.product_realm, &timeline, viewpoint.at) {
                continue;
            }
            let place = CursorPlace::Window(end_of(installation), client.clone(), app.clone());
            if after.is_none_or(|after| place > *after) {
                self.places.push(place);
            }
            if self.places.len() > WINDOWS_SORTED_AT_A_TIME {
                self.places.pop();
                self.cut = true;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ledger_core::time::Timestamp;

    use super::*;

    fn place(end: i64) -> CursorPlace {
        let (client, app) = (ClientKey::new("t").unwrap(), AppKey::new("a").unwrap());
        CursorPlace::Window(Timestamp::from_millis(end), client, app)
    }

    fn run(after: Option<i64>, ends: &[i64], cut: bool) -> WindowRun {
        WindowRun { after: after.map(place), places: ends.iter().map(|end| place(*end)).collect(), cut }
    }

    #[test]
    fn a_page_goes_on_within_a_run_and_not_outside() {
        let kept = run(Some(2), &[3, 5, 9], true);
        assert_eq!([2, 3, 8].map(|after| kept.goes_on_beyond(&place(after))), [true; 3]);
        assert!(!kept.goes_on_beyond(&place(1)), "what comes first is not in it");
        assert!(!kept.goes_on_beyond(&place(9)), "there is more, but not here");
        assert!(run(None, &[3, 5, 9], false).goes_on_beyond(&place(9)), "there is no more");
    }

    #[test]
    fn a_run_that_is_cut_off_ends_the_page() {
        let mut windows = SortedWindows { index: 0, run: Arc::new(run(None, &[3, 5], true)), next: 1 };
        assert!(!windows.is_cut_off());
        assert_eq!(windows.next().map(|candidate| candidate.place), Some(place(5)));
        assert!(windows.is_cut_off() && windows.next().is_none());
        let whole = SortedWindows { index: 0, run: Arc::new(run(None, &[3], false)), next: 1 };
        assert!(!whole.is_cut_off());
    }
}
