//! Candidates in the order of the list, and many sources of them as one.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::state::Installation;
use ledger_core::time::Timestamp;
use ledger_record::rows::TenantRow;
use ledger_store::{List, ReadError};

use super::gathered::Gathered;
use super::plan::key_after;
use super::{Asked, Place};
use crate::query::error::QueryError;
use crate::query::past::Past;
use crate::query::shards::Moment;

/// An installation that may belong on the list.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) place: Place,
    pub(super) client: ClientKey,
    pub(super) app: AppKey,
    /// Which of the shards.
    pub(super) shard: usize,
    /// The tenant, where it was read already.
    pub(super) row: Option<TenantRow>,
}

/// Candidates of one shard, in the order of the list.
pub(super) enum Source<'m> {
    /// Out of the index.
    List(Listed<'m>),
    /// Of tenants that are known by name.
    Named(Named),
    /// All installations of all tenants.
    Tenants(Tenants<'m>),
    /// Windows of the past.
    Gathered(Gathered),
}

/// Entries of one list of the index, some at a time.
pub(super) struct Listed<'m> {
    moment: &'m Moment<'m>,
    shard: usize,
    list: List,
    /// Tenants that another source has.
    but: Arc<BTreeSet<ClientKey>>,
    at_a_time: usize,
    fetched: std::vec::IntoIter<(ClientKey, AppKey)>,
    /// Where to go on; none when all was fetched.
    next: Next,
}

enum Next {
    First(Option<Vec<u8>>),
    At(Vec<u8>),
    Nothing,
}

/// All tenants of a shard. What they ever had is a candidate: whether they had it then is told by the fold, and
/// that is for the page to pay.
pub(super) struct Tenants<'m> {
    shard: usize,
    after: Option<Place>,
    rows: Box<dyn Iterator<Item = Result<(ClientKey, TenantRow), ReadError>> + 'm>,
    of_tenant: std::vec::IntoIter<Candidate>,
}

impl<'m> Source<'m> {
    pub(super) fn list(
        moment: &'m Moment<'m>,
        shard: usize,
        list: List,
        but: Arc<BTreeSet<ClientKey>>,
        after: Option<&Place>,
        at_a_time: usize,
    ) -> Self {
        Self::List(Listed { but, ..Listed::of(moment, shard, list, after, at_a_time) })
    }

    pub(super) fn tenants(
        asked: &Asked<'_>,
        shard: usize,
        moment: &'m Moment<'m>,
    ) -> Result<Self, QueryError> {
        let from = asked.after.and_then(|after| match after {
            Place::Key(client, _) => Some(client),
            Place::Window(..) | Place::Item(..) | Place::Torn(_) => None,
        });
        Ok(Self::Tenants(Tenants {
            shard,
            after: asked.after.cloned(),
            rows: Box::new(moment.snapshot.tenants(from)?),
            of_tenant: Vec::new().into_iter(),
        }))
    }

    /// Which of the shards it reads on in; none: it was read already.
    const fn shard(&self) -> Option<usize> {
        match self {
            Self::List(listed) => Some(listed.shard),
            Self::Tenants(tenants) => Some(tenants.shard),
            Self::Named(_) | Self::Gathered(_) => None,
        }
    }

    fn next(&mut self) -> Result<Option<Candidate>, QueryError> {
        match self {
            Self::List(listed) => listed.next(),
            Self::Named(named) => Ok(named.0.next()),
            Self::Tenants(tenants) => tenants.next(),
            Self::Gathered(gathered) => Ok(gathered.next()),
        }
    }
}

impl<'m> Listed<'m> {
    pub(super) fn of(
        moment: &'m Moment<'m>,
        shard: usize,
        list: List,
        after: Option<&Place>,
        at_a_time: usize,
    ) -> Self {
        let next = Next::First(after.and_then(|after| key_after(&list, after)));
        Self { moment, shard, list, but: Arc::default(), at_a_time, fetched: Vec::new().into_iter(), next }
    }

    fn next(&mut self) -> Result<Option<Candidate>, QueryError> {
        self.entry()?.map(|(client, app)| self.candidate(client, app)).transpose()
    }

    pub(super) fn entry(&mut self) -> Result<Option<(ClientKey, AppKey)>, QueryError> {
        loop {
            if let Some(entry) = self.fetched.find(|(client, _)| !self.but.contains(client)) {
                return Ok(Some(entry));
            }
            let start = match std::mem::replace(&mut self.next, Next::Nothing) {
                Next::First(start) => start,
                Next::At(start) => Some(start),
                Next::Nothing => return Ok(None),
            };
            let page = self.moment.snapshot.list(&self.list, start.as_deref(), self.at_a_time)?;
            self.fetched = page.installations.into_iter();
            self.next = page.next.map_or(Next::Nothing, Next::At);
        }
    }

    fn candidate(&self, client: ClientKey, app: AppKey) -> Result<Candidate, QueryError> {
        let shard = self.shard;
        let List::Windows { .. } = self.list else {
            let place = Place::Key(client.clone(), app.clone());
            return Ok(Candidate { place, client, app, shard, row: None });
        };
        // The entry is ordered by the end, which only the tenant tells. An index that contradicts it puts
        // the candidate at the end of all; it is not listed then.
        let row = self.moment.snapshot.tenant(&client)?;
        let installation = row.as_ref().and_then(|row| row.tenant.installations.get(&app));
        let place = Place::Window(installation.map_or(Timestamp::MAX, end_of), client.clone(), app.clone());
        Ok(Candidate { place, client, app, shard, row: None })
    }
}

/// Installations of tenants that are known by name, in the order of the list.
pub(super) struct Named(std::vec::IntoIter<Candidate>);

impl Named {
    pub(super) fn of(
        asked: &Asked<'_>,
        shard: usize,
        moment: &Moment<'_>,
        clients: &BTreeSet<ClientKey>,
    ) -> Result<Self, QueryError> {
        let mut candidates = Vec::new();
        for client in clients {
            asked.reading.ledger.in_time()?;
            let Some(row) = moment.snapshot.tenant(client)? else { continue };
            let past = Past::of(asked.reading, moment, client, row, asked.instant)?;
            for (app, installation) in &past.tenant.installations {
                let (client, app) = (client.clone(), app.clone());
                let place = match asked.filter.window {
                    None => Place::Key(client.clone(), app.clone()),
                    Some(_) => Place::Window(end_of(installation), client.clone(), app.clone()),
                };
                if asked.after.is_none_or(|after| place > *after) {
                    candidates.push(Candidate { place, client, app, shard, row: None });
                }
            }
        }
        candidates.sort_unstable_by(|a, b| a.place.cmp(&b.place));
        Ok(Self(candidates.into_iter()))
    }
}

impl Tenants<'_> {
    fn next(&mut self) -> Result<Option<Candidate>, QueryError> {
        loop {
            if let Some(candidate) = self.of_tenant.next() {
                return Ok(Some(candidate));
            }
            let Some(row) = self.rows.next() else { return Ok(None) };
            let (client, row) = row?;
            let mut candidates: Vec<_> = row
                .tenant
                .installations
                .keys()
                .map(|app| Candidate {
                    place: Place::Key(client.clone(), app.clone()),
                    client: client.clone(),
                    app: app.clone(),
                    shard: self.shard,
                    row: None,
                })
                .filter(|candidate| self.after.as_ref().is_none_or(|after| candidate.place > *after))
                .collect();
            if let Some(first) = candidates.first_mut() {
                // The others of the tenant follow at once and find it folded.
                first.row = Some(row);
            }
            self.of_tenant = candidates.into_iter();
        }
    }
}

pub(super) fn end_of(installation: &Installation) -> Timestamp {
    installation.window.and_then(|window| window.end).unwrap_or(Timestamp::MAX)
}

/// Many sources as one, in order. An installation that several sources of a shard have comes once.
pub(super) struct Merge<'m> {
    moments: &'m [Moment<'m>],
    sources: Vec<Source<'m>>,
    heads: BinaryHeap<Reverse<ByPlace<Head>>>,
    last: Option<(Place, usize)>,
    /// A source has more than it can tell now: what follows is for the next page.
    cut_off: bool,
}

struct Head {
    candidate: Candidate,
    source: usize,
}

impl<'m> Merge<'m> {
    pub(super) fn of(sources: Vec<Source<'m>>, moments: &'m [Moment<'m>]) -> Result<Self, QueryError> {
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
        } else if let Source::Gathered(gathered) = &self.sources[source] {
            self.cut_off |= gathered.is_cut_off();
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
