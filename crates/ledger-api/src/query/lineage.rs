//! Which installation goes on from which: links that were recorded, and links that are only proposed.
//!
//! A site that is imported, or made anew, gets another client key, and for Atlassian that is a fresh installation. Where
//! the partner knows better, it records `continued` or `superseded`; those are the links here. Where nothing was
//! recorded, two client keys that have one app, and share a site host, an entitlement id or an installation id, are
//! proposed, if the older one has been silent since the newer one appeared. A proposal is evidence for a person, and
//! changes nothing.
//!
//! Links come first, by client key and app; then proposals, by what is shared. A name that more tenants have than
//! [`LINEAGE_SHARED_MOST`] tells none from the others, and proposes nothing.

mod proposal;

use std::collections::BTreeMap;

use ledger_core::ids::{AppKey, ClientKey, InstallationKey};
use ledger_core::state::Predecessor;
use ledger_record::key::IndexEntry;
use ledger_store::{List, TornTenants};
use serde::{Deserialize, Serialize};

use super::cursor::{Cursor, CursorPlace, Page, fingerprint, page_limit};
use super::left_out::without_unread;
use super::parameters::text;
use super::{LineSink, Raw};
use crate::ledger::{FreshnessJson, PageBytes, QueryError, Reading};
use crate::limits::{LIST_DEFAULT, LIST_MAX, LOOKED_AT_PER_PAGE};
use proposal::Groups;
pub use proposal::{NewerInstallation, OlderInstallation, ProposedLink, SharedName};

/// Links, and proposals.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LineageQuery {
    /// Of this app.
    #[serde(rename = "appKey", with = "text")]
    pub app: Option<AppKey>,
    /// With this tenant.
    #[serde(rename = "clientKey", with = "text")]
    pub client: Option<ClientKey>,
    /// Where to go on, and how far.
    pub page: Page,
}

/// A page of links and proposals. A page can be short, or empty, and not the last: go on while there is a cursor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LineagePage<L = LinkedInstallation, P = ProposedLink> {
    /// Installations with a recorded link, by client key then app key.
    pub links: Vec<L>,
    /// What may belong together.
    pub proposals: Vec<P>,
    /// Where the next page begins; absent on the last.
    pub next_cursor: Option<Cursor>,
    /// Of every shard.
    pub freshness: Vec<FreshnessJson>,
}

/// A page as a client reads it.
pub type ReadLineagePage = LineagePage<Raw, Raw>;

/// An installation with a recorded link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkedInstallation {
    /// The tenant.
    pub client_key: ClientKey,
    /// The app.
    pub app_key: AppKey,
    /// What it goes on from.
    pub predecessor: Option<Predecessor>,
    /// What goes on from it.
    pub successor: Option<InstallationKey>,
}

type Link = (ClientKey, AppKey);
type FoundLinks = BTreeMap<Link, usize>;

/// A page that is being filled.
struct FilledLineage<'a> {
    reading: &'a Reading<'a>,
    asked: &'a LineageQuery,
    torn: &'a TornTenants,
    limit: usize,
    links: Vec<LinkedInstallation>,
    proposals: Vec<ProposedLink>,
    bytes: PageBytes,
    looked_at: usize,
}

impl LineageQuery {
    pub(super) fn answer(&self, reading: &Reading<'_>, _: LineSink<'_>) -> Result<LineagePage, QueryError> {
        let Self { app, client, page: Page { cursor, limit } } = self;
        let limit = page_limit(*limit, LIST_DEFAULT, LIST_MAX)?;
        let of = [app.as_ref().map_or("", AppKey::as_str), client.as_ref().map_or("", ClientKey::as_str)];
        let list = fingerprint(&["lineage", of[0], of[1]]);
        let after = cursor.as_ref().map(|cursor| match &cursor.after {
            after @ (CursorPlace::Key(..) | CursorPlace::Name(..)) if cursor.list == list => Ok(after),
            _ => Err(QueryError::ForeignCursor),
        });
        let after = after.transpose()?;
        let (filled, freshness) = without_unread(reading, |reading, torn| {
            let mut page = FilledLineage {
                reading,
                asked: self,
                torn,
                limit,
                links: Vec::new(),
                proposals: Vec::new(),
                bytes: PageBytes::new(reading.ledger.page_bytes),
                looked_at: 0,
            };
            let place = page.fill(after)?;
            Ok((page.links, page.proposals, place.map(|after| Cursor { list, after })))
        })?;
        let (links, proposals, next_cursor) = filled;
        Ok(LineagePage { links, proposals, next_cursor, freshness })
    }
}

impl FilledLineage<'_> {
    fn is_full(&self) -> bool {
        self.links.len() + self.proposals.len() >= self.limit
            || self.bytes.is_full()
            || self.looked_at >= LOOKED_AT_PER_PAGE
    }

    /// Where the next page begins, if there is one.
    fn fill(&mut self, after: Option<&CursorPlace>) -> Result<Option<CursorPlace>, QueryError> {
        let group = match after {
            Some(CursorPlace::Name(number, client)) => Some((*number, client.clone())),
            Some(CursorPlace::Key(client, app)) => {
                if let Some(place) = self.fill_links(Some((client, app)))? {
                    return Ok(Some(place));
                }
                None
            }
            _ => {
                if let Some(place) = self.fill_links(None)? {
                    return Ok(Some(place));
                }
                None
            }
        };
        self.fill_proposals(group)
    }

    fn fill_links(
        &mut self,
        after: Option<(&ClientKey, &AppKey)>,
    ) -> Result<Option<CursorPlace>, QueryError> {
        let (links, end) = self.links(after)?;
        let mut last = None;
        for ((client, app), index) in links {
            if self.is_full() || end.as_ref().is_some_and(|end| (&client, &app) > (&end.0, &end.1)) {
                return Ok(last);
            }
            self.looked_at += 1;
            last = Some(CursorPlace::Key(client.clone(), app.clone()));
            if self.asked.leaves_out(&client, &app) || self.torn.shards_of(&client).is_some() {
                continue;
            }
            let shard = &self.reading.shards[index];
            let row = shard.snapshot.tenant(&client).map_err(|error| shard.unread(error))?;
            let installation = row.and_then(|mut row| row.tenant.installations.remove(&app));
            if let Some(one) = installation {
                let (predecessor, successor) = (one.predecessor, one.successor);
                let link = LinkedInstallation { client_key: client, app_key: app, predecessor, successor };
                self.bytes.add(&link);
                self.links.push(link);
            }
        }
        Ok(last.filter(|_| end.is_some()))
    }

    /// The next links of all shards, with the number of the shard, and up to where none is missing; none: these are all.
    fn links(&self, after: Option<(&ClientKey, &AppKey)>) -> Result<(FoundLinks, Option<Link>), QueryError> {
        let (mut links, mut end) = (FoundLinks::new(), None::<Link>);
        let start = after.map(|(client, app)| {
            let (client, app) = (client.clone(), app.clone());
            // Nothing lies between a key and the same with a zero.
            [IndexEntry::Link { client, app }.encode(), vec![0]].concat()
        });
        for (index, shard) in self.reading.shards.iter().enumerate() {
            self.reading.ledger.in_time()?;
            let page = shard.snapshot.list(&List::Links, start.as_deref(), LIST_MAX);
            let page = page.map_err(|error| shard.unread(error))?;
            if let Some(last) = page.installations.last().filter(|_| page.next.is_some())
                && end.as_ref().is_none_or(|end| last < end)
            {
                end = Some(last.clone());
            }
            links.extend(page.installations.into_iter().map(|link| (link, index)));
        }
        Ok((links, end))
    }

    fn fill_proposals(&mut self, after: Option<(u64, ClientKey)>) -> Result<Option<CursorPlace>, QueryError> {
        let mut groups = Groups::new(self.reading, self.asked.client.as_ref(), after)?;
        let mut last = None;
        loop {
            if self.is_full() {
                return Ok(last);
            }
            self.reading.ledger.in_time()?;
            let Some(group) = groups.next()? else { return Ok(None) };
            self.looked_at += group.looked_at;
            last = Some(CursorPlace::Name(group.number, group.last.clone()));
            for proposal in group.proposals(self.reading, self.torn, self.asked.app.as_ref())? {
                let has_client = |asked: &ClientKey| {
                    *asked == proposal.older.client_key || *asked == proposal.newer.client_key
                };
                if self.asked.client.as_ref().is_none_or(has_client) {
                    self.bytes.add(&proposal);
                    self.proposals.push(proposal);
                }
            }
        }
    }
}

impl LineageQuery {
    fn leaves_out(&self, client: &ClientKey, app: &AppKey) -> bool {
        self.client.as_ref().is_some_and(|asked| asked != client)
            || self.app.as_ref().is_some_and(|asked| asked != app)
    }
}
