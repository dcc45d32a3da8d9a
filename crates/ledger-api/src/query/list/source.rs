//! Where a shard's candidates come from, in the order of the list.
//!
//! The index is kept for the fold of everything recorded. It answers for an instant where no event of the tenant
//! lies after it. A producer whose clock is a moment ahead must not turn the index off, so the tenants at the end
//! of the log that may have such an event are candidates by name ([`NamedTenants`]) and left out of the lists. Where those
//! are too many, and where knowledge is cut, every tenant is a candidate, or with an app every tenant that ever had
//! it; that is the price of a question about the tenant. A page pays for what it looks at, so it is short then, but
//! never late.
//!
//! Drift follows from pin, product realm and the descriptor in force, which is the published one or one that
//! the installation brought itself. So it is in a class that drifts by the published descriptor, or in the
//! list of those that drift by their own.
//!
//! With a grant of some apps the candidates are the installations of these apps, whatever the filter: other lists have those of
//! all apps, so a page would walk over what is hidden, without end, and its time would tell how much that is.

use std::collections::BTreeSet;
use std::sync::Arc;

use ledger_core::descriptor::aligned;
use ledger_core::ids::ClientKey;
use ledger_record::rows::TenantRow;
use ledger_store::{AlignmentClass, KnowledgeCut, List, ReadError};

use super::candidate::{Asked, IndexEntries, ListCandidate, end_of};
use super::sorted_windows::SortedWindows;
use crate::ledger::{QueryError, ShardSnapshot, TenantAsOf, is_all_of};
use crate::limits::{AHEAD_LOOKED_AT, INDEX_ENTRIES_AT_A_TIME};
use crate::query::cursor::CursorPlace;
use crate::query::filter::WindowFilter;

/// Candidates of one shard, in the order of the list.
pub(super) enum CandidateSource<'m> {
    /// Out of the index.
    List(IndexEntries<'m>),
    /// Of tenants that are known by name.
    NamedTenants(NamedTenants),
    /// All installations of all tenants.
    Tenants(Tenants<'m>),
    /// Windows of the past, or of a grant of some apps.
    Sorted(SortedWindows),
}

/// All tenants of a shard. Every installation they ever had is a candidate: whether they had it then follows from the
/// fold, and the page pays for that.
pub(super) struct Tenants<'m> {
    index: usize,
    after: Option<CursorPlace>,
    rows: Box<dyn Iterator<Item = Result<(ClientKey, TenantRow), ReadError>> + 'm>,
    of_tenant: std::vec::IntoIter<ListCandidate>,
}

/// Fewest entries of a list that are fetched at a time.
const FEWEST_AT_A_TIME: usize = 8;

/// The candidates of every shard.
pub(super) fn sources<'m>(asked: &Asked<'m>) -> Result<Vec<CandidateSource<'m>>, QueryError> {
    let shards = &asked.reading.shards;
    let mut sources = Vec::new();
    // Of an app that is not seen there is nothing, however much that is.
    if asked.filter.app.as_ref().is_some_and(|app| !asked.reading.ledger.grants.has(app)) {
        return Ok(sources);
    }
    let mut lists = Vec::new();
    let is_limited = asked.reading.ledger.grants.apps().is_some();
    for (index, shard) in shards.iter().enumerate() {
        let unread = |error: QueryError| shard.unread(error);
        if is_limited {
            if asked.filter.window.is_some() {
                let sorted = SortedWindows::new(asked, index, shard).map_err(unread)?;
                sources.push(CandidateSource::Sorted(sorted));
            } else {
                let of_apps = asked.lists_of_apps().unwrap_or_default();
                lists.extend(of_apps.into_iter().map(|list| (index, list, Arc::default())));
            }
            continue;
        }
        let ahead = ahead_of(asked, shard).map_err(unread)?;
        match lists_of(asked, shard, ahead.is_some()).map_err(unread)? {
            Some(found) => {
                let ahead = Arc::new(ahead.unwrap_or_default());
                if !ahead.is_empty() {
                    sources.push(CandidateSource::NamedTenants(
                        NamedTenants::new(asked, index, shard, &ahead).map_err(unread)?,
                    ));
                }
                lists.extend(found.into_iter().map(|list| (index, list, Arc::clone(&ahead))));
            }
            None if asked.filter.window.is_some() => {
                sources
                    .push(CandidateSource::Sorted(SortedWindows::new(asked, index, shard).map_err(unread)?));
            }
            None => sources.push(CandidateSource::tenants(asked, index, shard).map_err(unread)?),
        }
    }
    let at_a_time =
        (16 * INDEX_ENTRIES_AT_A_TIME / lists.len().max(1)).clamp(FEWEST_AT_A_TIME, INDEX_ENTRIES_AT_A_TIME);
    for (index, list, but) in lists {
        sources.push(CandidateSource::list(&shards[index], index, list, but, asked.after, at_a_time));
    }
    Ok(sources)
}

/// The tenants for which the index does not answer; none: that may be any tenant.
fn ahead_of(asked: &Asked<'_>, shard: &ShardSnapshot<'_>) -> Result<Option<BTreeSet<ClientKey>>, QueryError> {
    if !is_all_of(shard, asked.viewpoint.known)? {
        return Ok(None);
    }
    if !lies_ahead(asked, shard)? {
        return Ok(Some(BTreeSet::new()));
    }
    Ok(shard.snapshot.tenants_ahead_of(asked.viewpoint.at, AHEAD_LOOKED_AT)?)
}

/// The lists that have every candidate of the shard; none when only all its tenants will do.
fn lists_of(
    asked: &Asked<'_>,
    shard: &ShardSnapshot<'_>,
    index_answers: bool,
) -> Result<Option<Vec<List>>, QueryError> {
    let filter = asked.filter;
    if !index_answers {
        // An installation never leaves the list of its app.
        return Ok(if filter.window.is_none() { asked.lists_of_apps() } else { None });
    }
    if let Some(window) = filter.window {
        let from = Some(asked.viewpoint.at.plus_millis(1));
        let before = match window {
            WindowFilter::Open => None,
            WindowFilter::ClosingBefore(end) => Some(end),
        };
        return Ok(Some(vec![List::Windows { from, before }]));
    }
    if filter.drift == Some(true) {
        return drifting(asked, shard).map(Some);
    }
    let one = if filter.migration.is_some() {
        List::Migrations
    } else if filter.split_brain == Some(true) {
        List::SplitBrain
    } else if filter.anomalous == Some(true) {
        List::Anomalous
    } else if let Some(realm) = filter.realm {
        List::Realm(realm)
    } else {
        return Ok(asked.lists_of_apps());
    };
    Ok(Some(vec![one]))
}

/// Whether an event lies after the instant, so that the index may not know how it looks there.
fn lies_ahead(asked: &Asked<'_>, shard: &ShardSnapshot<'_>) -> Result<bool, QueryError> {
    let at = Some(asked.viewpoint.at);
    if let Some(app) = &asked.filter.app {
        return Ok(shard.snapshot.app(app)?.is_some_and(|row| row.latest > at));
    }
    for app in shard.snapshot.apps()? {
        if app?.1.latest > at {
            return Ok(true);
        }
    }
    Ok(false)
}

fn drifting(asked: &Asked<'_>, shard: &ShardSnapshot<'_>) -> Result<Vec<List>, QueryError> {
    let mut lists = vec![List::OwnDrift];
    for class in shard.snapshot.alignment_classes(asked.filter.app.as_ref())? {
        let AlignmentClass { app, pinned, product } = &class;
        if asked.filter.realm.is_some_and(|realm| realm != *pinned) {
            continue;
        }
        let timeline = asked.reading.timeline(shard, app, KnowledgeCut::Open)?;
        let published = timeline.descriptor_at(asked.viewpoint.at).map(|(_, descriptor)| descriptor);
        if aligned(Some(*product), published).is_some_and(|aligned| aligned != *pinned) {
            lists.push(List::Alignment(class));
        }
    }
    Ok(lists)
}

impl<'m> CandidateSource<'m> {
    pub(super) fn list(
        shard: &'m ShardSnapshot<'m>,
        index: usize,
        list: List,
        but: Arc<BTreeSet<ClientKey>>,
        after: Option<&CursorPlace>,
        at_a_time: usize,
    ) -> Self {
        Self::List(IndexEntries::new(shard, index, list, after, at_a_time).without(but))
    }

    pub(super) fn tenants(
        asked: &Asked<'_>,
        index: usize,
        shard: &'m ShardSnapshot<'m>,
    ) -> Result<Self, QueryError> {
        let from = asked.after.and_then(|after| match after {
            CursorPlace::Key(client, _) => Some(client),
            _ => None,
        });
        Ok(Self::Tenants(Tenants {
            index,
            after: asked.after.cloned(),
            rows: Box::new(shard.snapshot.tenants(from)?),
            of_tenant: Vec::new().into_iter(),
        }))
    }

    /// Which of the shards it reads on in; none: it was read already.
    pub(super) const fn index(&self) -> Option<usize> {
        match self {
            Self::List(listed) => Some(listed.index),
            Self::Tenants(tenants) => Some(tenants.index),
            Self::NamedTenants(_) | Self::Sorted(_) => None,
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<ListCandidate>, QueryError> {
        match self {
            Self::List(listed) => listed.next(),
            Self::NamedTenants(named) => Ok(named.0.next()),
            Self::Tenants(tenants) => tenants.next(),
            Self::Sorted(windows) => Ok(windows.next()),
        }
    }
}

/// Installations of tenants that are known by name, in the order of the list.
pub(super) struct NamedTenants(std::vec::IntoIter<ListCandidate>);

impl NamedTenants {
    fn new(
        asked: &Asked<'_>,
        index: usize,
        shard: &ShardSnapshot<'_>,
        clients: &BTreeSet<ClientKey>,
    ) -> Result<Self, QueryError> {
        let mut candidates = Vec::new();
        for client in clients {
            asked.reading.ledger.in_time()?;
            let Some(row) = shard.snapshot.tenant(client)? else { continue };
            let tenant = TenantAsOf::new(asked.reading, shard, client, row, asked.viewpoint)?;
            for (app, installation) in &tenant.tenant.installations {
                let (client, app) = (client.clone(), app.clone());
                let place = match asked.filter.window {
                    None => CursorPlace::Key(client.clone(), app.clone()),
                    Some(_) => CursorPlace::Window(end_of(installation), client.clone(), app.clone()),
                };
                if asked.after.is_none_or(|after| place > *after) {
                    candidates.push(ListCandidate { place, client, app, index, row: None });
                }
            }
        }
        candidates.sort_unstable_by(|a, b| a.place.cmp(&b.place));
        Ok(Self(candidates.into_iter()))
    }
}

impl Tenants<'_> {
    fn next(&mut self) -> Result<Option<ListCandidate>, QueryError> {
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
                .map(|app| ListCandidate {
                    place: CursorPlace::Key(client.clone(), app.clone()),
                    client: client.clone(),
                    app: app.clone(),
                    index: self.index,
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
