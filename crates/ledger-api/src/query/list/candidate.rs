//! What a page of a list is made from, and the entries of the index.

use std::collections::BTreeSet;
use std::sync::Arc;

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::state::Installation;
use ledger_core::time::Timestamp;
use ledger_record::rows::TenantRow;
use ledger_store::{AlignmentClass, List};

use crate::ledger::{QueryError, Reading, ShardSnapshot, Viewpoint};
use crate::query::cursor::CursorPlace;
use crate::query::filter::Filter;

/// What a page is made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) reading: &'a Reading<'a>,
    pub(super) filter: &'a Filter,
    pub(super) viewpoint: Viewpoint,
    pub(super) after: Option<&'a CursorPlace>,
    /// Which list, as cursors have it.
    pub(super) list: u64,
}

impl Asked<'_> {
    /// The lists of the app that is asked for, or of those that are seen; none: of all.
    pub(super) fn lists_of_apps(&self) -> Option<Vec<List>> {
        if let Some(app) = &self.filter.app {
            return Some(vec![List::App(app.clone())]);
        }
        let apps = self.reading.ledger.grants.apps()?;
        Some(apps.iter().cloned().map(List::App).collect())
    }
}

/// An installation that may belong on the list.
#[derive(Debug)]
pub(super) struct ListCandidate {
    pub(super) place: CursorPlace,
    pub(super) client: ClientKey,
    pub(super) app: AppKey,
    /// Which of the shards.
    pub(super) index: usize,
    /// The tenant, where it was read already.
    pub(super) row: Option<TenantRow>,
}

/// Entries of one list of the index, some at a time.
pub(super) struct IndexEntries<'m> {
    shard: &'m ShardSnapshot<'m>,
    pub(super) index: usize,
    list: List,
    /// Tenants that another source has.
    but: Arc<BTreeSet<ClientKey>>,
    at_a_time: usize,
    fetched: std::vec::IntoIter<(ClientKey, AppKey)>,
    /// Where to go on; none when all was fetched.
    next: NextEntry,
}

enum NextEntry {
    First(Option<Vec<u8>>),
    At(Vec<u8>),
    Nothing,
}

impl<'m> IndexEntries<'m> {
    pub(super) fn new(
        shard: &'m ShardSnapshot<'m>,
        index: usize,
        list: List,
        after: Option<&CursorPlace>,
        at_a_time: usize,
    ) -> Self {
        let next = NextEntry::First(after.and_then(|after| key_after(&list, after)));
        Self { shard, index, list, but: Arc::default(), at_a_time, fetched: Vec::new().into_iter(), next }
    }

    /// Without tenants that another source has.
    pub(super) fn without(self, but: Arc<BTreeSet<ClientKey>>) -> Self {
        Self { but, ..self }
    }

    pub(super) fn next(&mut self) -> Result<Option<ListCandidate>, QueryError> {
        self.entry()?.map(|(client, app)| self.candidate(client, app)).transpose()
    }

    pub(super) fn entry(&mut self) -> Result<Option<(ClientKey, AppKey)>, QueryError> {
        loop {
            if let Some(entry) = self.fetched.find(|(client, _)| !self.but.contains(client)) {
                return Ok(Some(entry));
            }
            let start = match std::mem::replace(&mut self.next, NextEntry::Nothing) {
                NextEntry::First(start) => start,
                NextEntry::At(start) => Some(start),
                NextEntry::Nothing => return Ok(None),
            };
            let page = self.shard.snapshot.list(&self.list, start.as_deref(), self.at_a_time)?;
            self.fetched = page.installations.into_iter();
            self.next = page.next.map_or(NextEntry::Nothing, NextEntry::At);
        }
    }

    fn candidate(&self, client: ClientKey, app: AppKey) -> Result<ListCandidate, QueryError> {
        let index = self.index;
        let List::Windows { .. } = self.list else {
            let place = CursorPlace::Key(client.clone(), app.clone());
            return Ok(ListCandidate { place, client, app, index, row: None });
        };
        // The entry is ordered by the end, which only the tenant has. An index that contradicts it puts
        // the candidate at the end of all; it is not listed then.
        let row = self.shard.snapshot.tenant(&client)?;
        let installation = row.as_ref().and_then(|row| row.tenant.installations.get(&app));
        let place =
            CursorPlace::Window(installation.map_or(Timestamp::MAX, end_of), client.clone(), app.clone());
        Ok(ListCandidate { place, client, app, index, row })
    }
}

pub(super) fn end_of(installation: &Installation) -> Timestamp {
    installation.window.and_then(|window| window.end).unwrap_or(Timestamp::MAX)
}

/// The first key of the index, within the list, that comes after a place.
fn key_after(list: &List, after: &CursorPlace) -> Option<Vec<u8>> {
    use ledger_record::key::IndexEntry as Entry;
    let (client, app) = match after {
        CursorPlace::Key(client, app) | CursorPlace::Window(_, client, app) => (client.clone(), app.clone()),
        _ => return None,
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
        (List::Named(of, number), _) => (Some(of), Entry::Name { app: of.clone(), number: *number, client }),
        (List::Windows { .. }, CursorPlace::Window(end, ..)) => {
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
