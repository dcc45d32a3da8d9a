//! Which installation goes on from which: links that were recorded, and links that are only proposed.
//!
//! A site that is imported, or made anew, gets another client key, and for Atlassian that is a fresh installation. An
//! operator who knows better records `continued` and `superseded`: those are the links here, one for both. Where neither
//! was recorded, two client keys that have one app and share a site host, an entitlement id or an installation id are
//! proposed, if the older one has been silent since the newer one appeared ([`proposal`]). A proposal is evidence for a
//! person, and changes nothing.
//!
//! All links come first, by app key then client key of the installation that recorded them; then all proposals, by app key
//! then by the number of a name. Lineage has no instant: everything that is recorded counts.

mod merge;
mod proposal;

use ledger_core::ids::{AppKey, ClientKey, InstallationKey};
use ledger_core::state::{Installation, Predecessor};
use ledger_store::{AppsWith, TornTenant, TornTenants};
use serde::{Deserialize, Serialize};

use super::cursor::{Cursor, CursorPlace, Page, fingerprint, page_limit};
use super::left_out::without_unread;
use super::parameters::text;
use super::{LineSink, Raw};
use crate::ledger::{FreshnessJson, PageBytes, QueryError, Reading, RefusedTenant};
use crate::limits::{LIST_DEFAULT, LIST_MAX, LOOKED_AT_PER_PAGE};
use merge::Merge;
pub use proposal::{CommonName, ProposedInstallation, ProposedLink, SharedName};

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
pub struct LineagePage<L = RecordedLink, P = ProposedLink, C = CommonName> {
    /// Links that were recorded.
    pub links: Vec<L>,
    /// What may belong together.
    pub proposals: Vec<P>,
    /// Names that so many tenants have that they tell none from the others: they propose nothing.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub common_names: Vec<C>,
    /// Tenants that are found and left out, as no shard has their whole history.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedTenant>,
    /// Where the next page begins; absent on the last.
    pub next_cursor: Option<Cursor>,
    /// Of every shard.
    pub freshness: Vec<FreshnessJson>,
}

/// A page as a client reads it.
pub type ReadLineagePage = LineagePage<Raw, Raw, Raw>;

/// A link between two installations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordedLink {
    /// The one that is left behind, and where it was, if that was recorded.
    pub from: Predecessor,
    /// The one that goes on.
    pub to: InstallationKey,
    /// The types of the events that are in force: `continued` at the one that goes on, `superseded` at the other.
    pub recorded: Vec<&'static str>,
}

const CONTINUED: &str = "continued";
const SUPERSEDED: &str = "superseded";

/// A page that is being filled.
struct FilledLineage<'a> {
    reading: &'a Reading<'a>,
    asked: &'a LineageQuery,
    torn: &'a TornTenants,
    limit: usize,
    page: LineagePage,
    bytes: PageBytes,
    looked_at: usize,
    /// The last place that was looked at.
    last: Option<CursorPlace>,
}

impl LineageQuery {
    pub(super) fn answer(&self, reading: &Reading<'_>, _: LineSink<'_>) -> Result<LineagePage, QueryError> {
        let Self { app, client, page: Page { cursor, limit } } = self;
        let limit = page_limit(*limit, LIST_DEFAULT, LIST_MAX)?;
        let of = [app.as_ref().map_or("", AppKey::as_str), client.as_ref().map_or("", ClientKey::as_str)];
        let list = fingerprint(&["lineage", of[0], of[1]]);
        let after = cursor.as_ref().map(|cursor| match &cursor.after {
            after @ (CursorPlace::Link(..) | CursorPlace::Name(..)) if cursor.list == list => Ok(after),
            _ => Err(QueryError::ForeignCursor),
        });
        let after = after.transpose()?;
        let (page, freshness) = without_unread(reading, |reading, torn| {
            let page = LineagePage {
                links: Vec::new(),
                proposals: Vec::new(),
                common_names: Vec::new(),
                refused: Vec::new(),
                next_cursor: None,
                freshness: Vec::new(),
            };
            let bytes = PageBytes::new(reading.ledger.page_bytes);
            let mut filling = FilledLineage {
                reading,
                asked: self,
                torn,
                limit,
                page,
                bytes,
                looked_at: 0,
                last: after.cloned(),
            };
            let is_cut_off = !(filling.fill_links()? && filling.fill_proposals()?);
            let next_cursor = filling.last.filter(|_| is_cut_off).map(|after| Cursor { list, after });
            Ok(LineagePage { next_cursor, ..filling.page })
        })?;
        Ok(LineagePage { freshness, ..page })
    }
}

impl FilledLineage<'_> {
    /// Whether the page has all that was asked for.
    fn has_enough(&self) -> bool {
        let LineagePage { links, proposals, common_names, .. } = &self.page;
        links.len() + proposals.len() + common_names.len() >= self.limit || self.bytes.is_full()
    }

    fn is_full(&self) -> bool {
        self.has_enough() || self.page.refused.len() >= self.limit || self.looked_at >= LOOKED_AT_PER_PAGE
    }

    /// Leaves a tenant out if it is torn, and names it once.
    fn refuses(&mut self, client: &ClientKey) -> bool {
        let Some(shards) = self.torn.shards_of(client) else { return false };
        if self.page.refused.iter().all(|refused| refused.client_key != client.as_str()) {
            self.page.refused.push(RefusedTenant::from(&TornTenant { client: client.clone(), shards }));
        }
        true
    }

    /// Links from the place on. Answers whether there are no more.
    fn fill_links(&mut self) -> Result<bool, QueryError> {
        let after = match self.last.clone() {
            Some(CursorPlace::Link(app, client)) => Some((app, client)),
            Some(_) => return Ok(true),
            None => None,
        };
        let reading = self.reading;
        for app in reading.apps_with(AppsWith::Links, self.asked.app.as_ref())? {
            let behind = after.as_ref().filter(|(of, _)| *of >= app);
            if behind.is_some_and(|(of, _)| *of > app) {
                continue;
            }
            let behind = behind.map(|(_, client)| client);
            let mut linked = Merge::<ClientKey>::new(reading, |shard| {
                Ok(Box::new(shard.snapshot.tenants_linked(&app, behind)?))
            })?;
            while let Some((client, index)) = linked.next()? {
                if self.is_full() {
                    return Ok(false);
                }
                reading.ledger.in_time()?;
                self.looked_at += 1;
                self.last = Some(CursorPlace::Link(app.clone(), client.clone()));
                self.look_at(InstallationKey { client, app: app.clone() }, index)?;
            }
        }
        Ok(true)
    }

    /// Lists the links that an installation has, unless the other one lists them.
    fn look_at(&mut self, here: InstallationKey, index: usize) -> Result<(), QueryError> {
        let shard = &self.reading.shards[index];
        let row = shard.snapshot.tenant(&here.client).map_err(|error| shard.unread(error))?;
        let installation = row.and_then(|mut row| row.tenant.installations.remove(&here.app));
        let Some(Installation { predecessor, successor, .. }) = installation else { return Ok(()) };
        if self.refuses(&here.client) {
            return Ok(());
        }
        if let Some(from) = predecessor {
            let other = self.installation(&from.installation)?;
            let is_both = other.is_some_and(|other| other.successor.as_ref() == Some(&here));
            let recorded = if is_both { vec![CONTINUED, SUPERSEDED] } else { vec![CONTINUED] };
            self.add(RecordedLink { from, to: here.clone(), recorded });
        }
        if let Some(to) = successor {
            let other = self.installation(&to)?.and_then(|other| other.predecessor);
            match other.filter(|other| other.installation == here) {
                None => {
                    let from = Predecessor { installation: here, realm: None };
                    self.add(RecordedLink { from, to, recorded: vec![SUPERSEDED] });
                }
                // Of an app that is not asked for, it is not listed there.
                Some(from) if self.asked.app.as_ref().is_some_and(|app| *app != to.app) => {
                    self.add(RecordedLink { from, to, recorded: vec![CONTINUED, SUPERSEDED] });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// An installation, wherever it is, if it is seen.
    fn installation(&mut self, of: &InstallationKey) -> Result<Option<Installation>, QueryError> {
        if !self.reading.ledger.grants.has(&of.app) {
            return Ok(None);
        }
        for shard in &self.reading.shards {
            let row = shard.snapshot.tenant(&of.client).map_err(|error| shard.unread(error))?;
            if let Some(found) = row.and_then(|mut row| row.tenant.installations.remove(&of.app)) {
                return Ok(Some(found).filter(|_| !self.refuses(&of.client)));
            }
        }
        Ok(None)
    }

    fn add(&mut self, link: RecordedLink) {
        let has = |asked: &ClientKey| *asked == link.from.installation.client || *asked == link.to.client;
        if self.asked.client.as_ref().is_none_or(has) {
            self.bytes.add(&link);
            self.page.links.push(link);
        }
    }
}
