//! Lists over all installations: candidates in the order of the list, each looked at as of the instant.
//!
//! A shard's candidates come out of its index where that is enough, else out of all its tenants ([`source`]);
//! the shards are merged ([`merge`]), and every candidate is folded as of the instant and looked at again
//! before it is listed, so the index only ever saves work.
//!
//! A shard that does not read is left out, and the freshness of the answer says so ([`super::left_out`]).
//!
//! Torn tenants are named first, whatever the filter: half a history does not show whether it lets them through.
//! The order is by client key then app key, with a window filter by end of the window, then by key. A page
//! ends when it is full, in number or in weight, or when enough was looked at (the records that were folded for
//! it count), and names the last candidate it looked at: the next one begins there, whatever was appended
//! between the two.

mod candidate;
mod merge;
mod sorted_windows;
mod source;

use ledger_core::ids::{AppKey, ClientKey};
use ledger_store::{TornTenant, TornTenants};
use serde::{Deserialize, Serialize};

use super::cursor::{Cursor, CursorPlace, Page, page_limit};
use super::filter::{Filter, MigrationFilter};
use super::left_out::without_unread;
use super::parameters::{flag_alone, text};
use super::{AsOfAll, LineSink};
use crate::ledger::{
    FreshnessJson, InstallationState, PageBytes, QueryError, Reading, RefusedTenant, TenantAsOf,
};
use crate::limits::{LIST_DEFAULT, LIST_MAX, LOOKED_AT_PER_PAGE};
use candidate::{Asked, ListCandidate};
use merge::CandidateMerge;

/// Installations that match a filter.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InstallationsQuery {
    /// Which.
    pub filter: Filter,
    /// As of when.
    pub as_of: AsOfAll,
    /// Where to go on, and how far.
    pub page: Page,
}

/// Installations with a pending migration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MigrationsQuery {
    /// Of this app.
    #[serde(rename = "appKey", with = "text")]
    pub app: Option<AppKey>,
    /// Those that are overdue, or those that are not yet; all unless given.
    #[serde(deserialize_with = "flag_alone")]
    pub overdue: Option<bool>,
    /// As of when.
    pub as_of: AsOfAll,
    /// Where to go on, and how far.
    pub page: Page,
}

/// A page of installations. A page can be short, or empty, and not the last: go on while there is a cursor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstallationList<T = InstallationState> {
    /// Their states, by client key then app key; with a window filter by end of the window.
    pub installations: Vec<T>,
    /// Torn tenants, whatever the filter: half a history does not show what of theirs would be here. They come first,
    /// before any installation, and a tenant that is found to be torn later where it would be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedTenant>,
    /// Where the next page begins; absent on the last.
    pub next_cursor: Option<Cursor>,
    /// Of every shard.
    pub freshness: Vec<FreshnessJson>,
}

impl InstallationsQuery {
    pub(super) fn answer(
        &self,
        reading: &Reading<'_>,
        _: LineSink<'_>,
    ) -> Result<InstallationList, QueryError> {
        list(reading, &self.filter, self.as_of, &self.page)
    }
}

impl MigrationsQuery {
    pub(super) fn answer(
        &self,
        reading: &Reading<'_>,
        _: LineSink<'_>,
    ) -> Result<InstallationList, QueryError> {
        let migration = Some(MigrationFilter { overdue: self.overdue });
        let filter = Filter { app: self.app.clone(), migration, ..Filter::default() };
        list(reading, &filter, self.as_of, &self.page)
    }
}

/// A page that is being filled.
#[derive(Debug)]
struct FilledPage {
    states: Vec<InstallationState>,
    refused: Vec<RefusedTenant>,
    bytes: PageBytes,
    /// The last tenant that was folded: its other installations come next.
    folded: Option<(usize, ClientKey, TenantAsOf)>,
}

/// A page of installations.
fn list(
    first: &Reading<'_>,
    filter: &Filter,
    as_of: AsOfAll,
    page: &Page,
) -> Result<InstallationList, QueryError> {
    let list = filter.fingerprint(as_of.at, as_of.known_at);
    let after = page.cursor.as_ref().map(|cursor| place_in(cursor, list, filter)).transpose()?;
    let limit = page_limit(page.limit, LIST_DEFAULT, LIST_MAX)?;
    let viewpoint = as_of.viewpoint(first.now);
    let ((page, next_cursor), freshness) = without_unread(first, |reading, torn| {
        fill(&Asked { reading, filter, viewpoint, after, list }, torn, limit)
    })?;
    Ok(page.answer(next_cursor, freshness))
}

/// A page, and where the next one begins.
fn fill(
    asked: &Asked<'_>,
    torn: &TornTenants,
    limit: usize,
) -> Result<(FilledPage, Option<Cursor>), QueryError> {
    let (list, reading) = (asked.list, asked.reading);
    let mut page = FilledPage::new(reading.ledger.page_bytes);
    if let Some(next_cursor) = page.name_torn(torn, asked, limit)? {
        return Ok((page, Some(next_cursor)));
    }
    let mut candidates = CandidateMerge::new(source::sources(asked)?, &reading.shards)?;
    // Work to find the start of the page does not count against its budget.
    let (mut looked_at, before) = (0, reading.records());
    let mut reached: Option<CursorPlace> = None;
    let next_cursor = loop {
        let Some(candidate) = candidates.next()? else {
            break reached.filter(|_| candidates.is_cut_off()).map(|after| Cursor { list, after });
        };
        let is_enough = looked_at + reading.records() - before >= LOOKED_AT_PER_PAGE;
        if page.len() >= limit || page.bytes.is_full() || is_enough {
            // Resume before this candidate. At least one is looked at per page.
            if let Some(after) = reached {
                break Some(Cursor { list, after });
            }
        }
        reading.ledger.in_time()?;
        // No source has it; none that would may name it in a cursor.
        if !reading.ledger.grants.has(&candidate.app) {
            continue;
        }
        looked_at += 1;
        reached = Some(candidate.place.clone());
        let shard = &reading.shards[candidate.index];
        page.look_at(asked, torn, candidate).map_err(|error| shard.unread(error))?;
    };
    Ok((page, next_cursor))
}

impl FilledPage {
    fn new(bytes: usize) -> Self {
        Self { states: Vec::new(), refused: Vec::new(), bytes: PageBytes::new(bytes), folded: None }
    }

    /// Names the torn tenants, before any installation. Answers where to go on if they are more than a page.
    fn name_torn(
        &mut self,
        torn: &TornTenants,
        asked: &Asked<'_>,
        limit: usize,
    ) -> Result<Option<Cursor>, QueryError> {
        let mut after = match asked.after {
            None => None,
            Some(CursorPlace::Torn(client)) => Some(client.clone()),
            Some(_) => return Ok(None),
        };
        while self.refused.len() < limit {
            asked.reading.ledger.in_time()?;
            let found = torn.page(after.as_ref(), limit);
            let Some(last) = found.last() else { return Ok(None) };
            after = Some(last.client.clone());
            for torn in &found {
                if asked.reading.sees_some_of(torn)? {
                    self.refused.push(torn.into());
                }
                if self.refused.len() == limit {
                    after = Some(torn.client.clone());
                    break;
                }
            }
        }
        Ok(after.map(|client| Cursor { list: asked.list, after: CursorPlace::Torn(client) }))
    }

    fn answer(self, next_cursor: Option<Cursor>, freshness: Vec<FreshnessJson>) -> InstallationList {
        let Self { states: installations, refused, .. } = self;
        InstallationList { installations, refused, next_cursor, freshness }
    }

    fn len(&self) -> usize {
        self.states.len() + self.refused.len()
    }

    fn look_at(
        &mut self,
        asked: &Asked<'_>,
        torn: &TornTenants,
        candidate: ListCandidate,
    ) -> Result<(), QueryError> {
        let ListCandidate { client, app, index, row, .. } = candidate;
        let shard = &asked.reading.shards[index];
        let known = self.folded.take().filter(|(place, of, _)| *place == index && *of == client);
        let tenant = match (known, row) {
            (Some((_, _, tenant)), _) => tenant,
            (None, Some(row)) => TenantAsOf::new(asked.reading, shard, &client, row, asked.viewpoint)?,
            (None, None) => match shard.snapshot.tenant(&client)? {
                Some(row) => TenantAsOf::new(asked.reading, shard, &client, row, asked.viewpoint)?,
                None => return Ok(()),
            },
        };
        if let Some(installation) = tenant.tenant.installations.get(&app) {
            let timeline = tenant.timeline(asked.reading, shard, &app)?;
            let (product, at) = (tenant.tenant.product_realm, asked.viewpoint.at);
            if asked.filter.takes(&app, installation, product, &timeline, at) {
                if let Some(shards) = torn.shards_of(&client) {
                    self.refuse(&TornTenant { client: client.clone(), shards });
                } else {
                    let installation = installation.clone();
                    let state = tenant.shown(&client, app, installation, timeline, at);
                    self.bytes.add(&state);
                    self.states.push(state);
                }
            }
        }
        self.folded = Some((index, client, tenant));
        Ok(())
    }

    /// Leaves a tenant out, and names it once.
    fn refuse(&mut self, torn: &TornTenant) {
        if self.refused.iter().all(|refused| refused.client_key != torn.client.as_str()) {
            self.refused.push(torn.into());
        }
    }
}

/// The place of a cursor, if it is one of this list.
fn place_in<'a>(cursor: &'a Cursor, list: u64, filter: &Filter) -> Result<&'a CursorPlace, QueryError> {
    let fits = match &cursor.after {
        CursorPlace::Key(..) => filter.window.is_none(),
        CursorPlace::Window(..) => filter.window.is_some(),
        CursorPlace::Torn(_) => true,
        CursorPlace::Item(..) | CursorPlace::Client(_) | CursorPlace::Link(..) | CursorPlace::Name(..) => {
            false
        }
    };
    if fits && cursor.list == list { Ok(&cursor.after) } else { Err(QueryError::ForeignCursor) }
}
