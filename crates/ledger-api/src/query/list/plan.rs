//! Where a shard's candidates come from.
//!
//! The index is kept for the fold of everything recorded. It answers for an instant where no event of the tenant
//! lies after it. A producer whose clock is a moment ahead must not turn the index off, so the tenants at the end
//! of the log that may have such an event are candidates by name ([`Named`]) and left out of the lists. Where those
//! are too many, and where knowledge is cut, every tenant is a candidate, or with an app every tenant that ever had
//! it; that is the price of a question about the past. A page pays for what it looks at, so it is short then, but
//! never late.
//!
//! Drift follows from pin, product realm and the descriptor in force, which is the published one or one that
//! the installation brought itself. So it is in a class that drifts by the published descriptor, or in the
//! list of those that drift by their own.

use std::collections::BTreeSet;
use std::sync::Arc;

use ledger_core::descriptor::aligned;
use ledger_core::ids::ClientKey;
use ledger_store::{AlignmentClass, Cut, List};

use super::gathered::Gathered;
use super::source::{Named, Source};
use super::{Asked, Place};
use crate::limits::{AHEAD_LOOKED_AT, INDEX_ENTRIES_AT_A_TIME};
use crate::query::error::QueryError;
use crate::query::filter::WindowFilter;
use crate::query::past::is_all_of;
use crate::query::shards::Moment;

/// Fewest entries of a list that are fetched at a time.
const FEWEST_AT_A_TIME: usize = 8;

/// The candidates of every shard.
pub(super) fn sources<'m>(
    asked: &Asked<'_>,
    moments: &'m [Moment<'m>],
) -> Result<Vec<Source<'m>>, QueryError> {
    let mut sources = Vec::new();
    let mut lists = Vec::new();
    for (shard, moment) in moments.iter().enumerate() {
        let unread = |error: QueryError| moment.unread(error);
        let ahead = ahead_of(asked, moment).map_err(unread)?;
        match lists_of(asked, moment, ahead.is_some()).map_err(unread)? {
            Some(found) => {
                let ahead = Arc::new(ahead.unwrap_or_default());
                if !ahead.is_empty() {
                    sources.push(Source::Named(Named::of(asked, shard, moment, &ahead).map_err(unread)?));
                }
                lists.extend(found.into_iter().map(|list| (shard, list, Arc::clone(&ahead))));
            }
            None if asked.filter.window.is_some() => {
                sources.push(Source::Gathered(Gathered::of(asked, shard, moment).map_err(unread)?));
            }
            None => sources.push(Source::tenants(asked, shard, moment).map_err(unread)?),
        }
    }
    let at_a_time =
        (16 * INDEX_ENTRIES_AT_A_TIME / lists.len().max(1)).clamp(FEWEST_AT_A_TIME, INDEX_ENTRIES_AT_A_TIME);
    for (shard, list, but) in lists {
        sources.push(Source::list(&moments[shard], shard, list, but, asked.after, at_a_time));
    }
    Ok(sources)
}

/// The tenants for which the index does not answer; none: that may be any tenant.
fn ahead_of(asked: &Asked<'_>, moment: &Moment<'_>) -> Result<Option<BTreeSet<ClientKey>>, QueryError> {
    if !is_all_of(moment, asked.instant.known)? {
        return Ok(None);
    }
    if !lies_ahead(asked, moment)? {
        return Ok(Some(BTreeSet::new()));
    }
    Ok(moment.snapshot.tenants_ahead_of(asked.instant.at, AHEAD_LOOKED_AT)?)
}

/// The lists that have every candidate of the shard; none when only all its tenants will do.
fn lists_of(
    asked: &Asked<'_>,
    moment: &Moment<'_>,
    index_answers: bool,
) -> Result<Option<Vec<List>>, QueryError> {
    let filter = asked.filter;
    if !index_answers {
        // An installation never leaves the list of its app.
        let of_app = filter.app.clone().filter(|_| filter.window.is_none());
        return Ok(of_app.map(|app| vec![List::App(app)]));
    }
    if let Some(window) = filter.window {
        let from = Some(asked.instant.at.plus_millis(1));
        let before = match window {
            WindowFilter::Open => None,
            WindowFilter::ClosingBefore(end) => Some(end),
        };
        return Ok(Some(vec![List::Windows { from, before }]));
    }
    if filter.drift == Some(true) {
        return drifting(asked, moment).map(Some);
    }
    let one = if filter.migration.is_some() {
        List::Migrations
    } else if filter.split_brain == Some(true) {
        List::SplitBrain
    } else if filter.anomalous == Some(true) {
        List::Anomalous
    } else if let Some(realm) = filter.realm {
        List::Realm(realm)
    } else if let Some(app) = &filter.app {
        List::App(app.clone())
    } else {
        return Ok(None);
    };
    Ok(Some(vec![one]))
}

/// Whether an event lies after the instant, so that the index may not know how it looks there.
fn lies_ahead(asked: &Asked<'_>, moment: &Moment<'_>) -> Result<bool, QueryError> {
    let at = Some(asked.instant.at);
    if let Some(app) = &asked.filter.app {
        return Ok(moment.snapshot.app(app)?.is_some_and(|row| row.latest > at));
    }
    for app in moment.snapshot.apps()? {
        if app?.1.latest > at {
            return Ok(true);
        }
    }
    Ok(false)
}

fn drifting(asked: &Asked<'_>, moment: &Moment<'_>) -> Result<Vec<List>, QueryError> {
    let mut lists = vec![List::OwnDrift];
    for class in moment.snapshot.alignment_classes(asked.filter.app.as_ref())? {
        let AlignmentClass { app, pinned, product } = &class;
        if asked.filter.realm.is_some_and(|realm| realm != *pinned) {
            continue;
        }
        let timeline = asked.reading.timeline(moment, app, Cut::Open)?;
        let published = timeline.descriptor_at(asked.instant.at).map(|(_, descriptor)| descriptor);
        if aligned(Some(*product), published).is_some_and(|aligned| aligned != *pinned) {
            lists.push(List::Alignment(class));
        }
    }
    Ok(lists)
}

/// The first key of the index, within the list, that comes after a place.
pub(super) fn key_after(list: &List, after: &Place) -> Option<Vec<u8>> {
    use ledger_record::key::IndexEntry as Entry;
    let (client, app) = match after {
        Place::Key(client, app) | Place::Window(_, client, app) => (client.clone(), app.clone()),
        Place::Item(..) | Place::Torn(_) => return None,
    };
    // These are ordered by client alone: the place is before the client's entry when its app is.
    let (of, entry) = match (list, after) {
        (List::App(of), _) => (Some(of), Entry::App { app: of.clone(), client }),
        (List::Alignment(class), _) => {
            let AlignmentClass { app: of, pinned, product } = class;
            (Some(of), Entry::Alignment { app: of.clone(), pinned: *pinned, product: *product, client })
        }
        (List::Realm(realm), _) => (None, Entry::Realm { realm: *realm, client, app: app.clone() }),
        (List::SplitBrain, _) => (None, Entry::SplitBrain { client, app: app.clone() }),
        (List::Anomalous, _) => (None, Entry::Anomalous { client, app: app.clone() }),
        (List::OwnDrift, _) => (None, Entry::OwnDrift { client, app: app.clone() }),
        (List::Migrations, _) => (None, Entry::Migration { client, app: app.clone() }),
        (List::Windows { .. }, Place::Window(end, ..)) => {
            (None, Entry::WindowEnd { end: *end, client, app: app.clone() })
        }
        (List::Windows { .. }, _) => return None,
    };
    let mut key = entry.encode();
    if of.is_none_or(|of| *of <= app) {
        // Nothing lies between a key and the same with a zero.
        key.push(0);
    }
    Some(key)
}
