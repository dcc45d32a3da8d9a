//! Lists over all installations: candidates in the order of the list, each looked at as of the instant.
//!
//! A shard's candidates come out of its index where that is enough, else out of all its tenants ([`source`]);
//! the shards are merged ([`merge`]), and every candidate is folded as of the instant and looked at again
//! before it is listed, so the index only ever saves work.
//!
//! A shard that does not read is left out, and the freshness of the answer says so ([`left_out`]).
//!
//! Torn tenants are named first, whatever the filter: half a history does not show whether it lets them through.
//! The order is by client key then app key, with a window filter by end of the window, then by key. A page
//! ends when it is full, in number or in weight, or when enough was looked at (the records that were folded for
//! it count), and names the last candidate it looked at: the next one begins there, whatever was appended
//! between the two.

mod candidate;
mod left_out;
mod merge;
mod sorted_windows;
mod source;

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::time::Timestamp;
use ledger_store::{TornTenant, TornTenants};
use serde::{Deserialize, Serialize};

use super::cursor::{Cursor, Page, Place, page_limit};
use super::filter::{Filter, MigrationFilter};
use super::parameters::{flag_alone, text};
use super::{AsOfAll, LineSink};
use crate::ledger::{
    FreshnessJson, Ledger, PageBytes, QueryError, Reading, RefusedTenant, ShardSnapshot, State, TenantAsOf,
    moments,
};
use crate::limits::{LIST_DEFAULT, LIST_MAX, LOOKED_AT_PER_PAGE};
use candidate::{Asked, Candidate};
use left_out::LeftOut;
use merge::Merge;

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
pub struct InstallationList<T = State> {
    /// Their states, by client key then app key; with a window filter by end of the window.
    pub installations: Vec<T>,
    /// Torn tenants, whatever the filter: half a history does not show what of theirs would be here. They come first,
    /// before any installation, and a tenant that is found to be torn later where it would be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedTenant>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<Cursor>,
    /// Of every shard.
    pub freshness: Vec<FreshnessJson>,
}

impl InstallationsQuery {
    pub(super) fn answer(
        &self,
        ledger: &Ledger,
        now: Timestamp,
        _: LineSink<'_>,
    ) -> Result<InstallationList, QueryError> {
        list(ledger, &self.filter, self.as_of, &self.page, now)
    }
}

impl MigrationsQuery {
    pub(super) fn answer(
        &self,
        ledger: &Ledger,
        now: Timestamp,
        _: LineSink<'_>,
    ) -> Result<InstallationList, QueryError> {
        let migration = Some(MigrationFilter { overdue: self.overdue });
        let filter = Filter { app: self.app.clone(), migration, ..Filter::default() };
        list(ledger, &filter, self.as_of, &self.page, now)
    }
}

/// A page that is being filled.
#[derive(Debug)]
struct FilledPage {
    states: Vec<State>,
    refused: Vec<RefusedTenant>,
    bytes: PageBytes,
    /// The last tenant that was folded: its other installations come next.
    folded: Option<(usize, ClientKey, TenantAsOf)>,
}

/// A page of installations.
fn list(
    ledger: &Ledger,
    filter: &Filter,
    as_of: AsOfAll,
    page: &Page,
    now: Timestamp,
) -> Result<InstallationList, QueryError> {
    let list = filter.fingerprint(as_of.at, as_of.known_at);
    let after = page.cursor.as_ref().map(|cursor| place_in(cursor, list, filter)).transpose()?;
    let (viewpoint, limit) = (as_of.viewpoint(now), page_limit(page.limit, LIST_DEFAULT, LIST_MAX)?);
    let reading = Reading::new(ledger);
    let asked = Asked { reading: &reading, filter, viewpoint, after, list };
    let mut parts = ledger.shards.all();
    let (torn, unread) = ledger.shards.torn_of_those_that_read();
    let mut left_out = LeftOut::default();
    for (shard, error) in unread {
        left_out.leave_out(&mut parts, QueryError::Read(error).in_shard(&shard))?;
    }
    loop {
        let error = {
            let moments = moments(&parts);
            match fill(&asked, torn, limit, &moments) {
                Ok((page, next_cursor)) => {
                    let freshness = left_out.among(ledger.freshness_of(&moments, now));
                    return Ok(page.answer(next_cursor, freshness));
                }
                Err(error) => error,
            }
        };
        left_out.leave_out(&mut parts, error)?;
    }
}

/// A page out of these shards, and where the next one begins.
fn fill(
    asked: &Asked<'_>,
    torn: &TornTenants,
    limit: usize,
    moments: &[ShardSnapshot<'_>],
) -> Result<(FilledPage, Option<Cursor>), QueryError> {
    let (list, reading) = (asked.list, asked.reading);
    let mut page = FilledPage::new(reading.ledger.page_bytes);
    if let Some(next_cursor) = page.name_torn(torn, asked, limit) {
        return Ok((page, Some(next_cursor)));
    }
    let mut candidates = Merge::new(source::sources(asked, moments)?, moments)?;
    // Work to find the start of the page does not count against its budget.
    let (mut looked_at, before) = (0, reading.records());
    let mut reached: Option<Place> = None;
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
        looked_at += 1;
        reached = Some(candidate.place.clone());
        let moment = &moments[candidate.shard];
        page.look_at(asked, torn, moments, candidate).map_err(|error| moment.unread(error))?;
    };
    Ok((page, next_cursor))
}

impl FilledPage {
    fn new(bytes: usize) -> Self {
        Self { states: Vec::new(), refused: Vec::new(), bytes: PageBytes::new(bytes), folded: None }
    }

    /// Names the torn tenants, before any installation. Answers where to go on if they are more than a page.
    fn name_torn(&mut self, torn: &TornTenants, asked: &Asked<'_>, limit: usize) -> Option<Cursor> {
        let after = match asked.after {
            None => None,
            Some(Place::Torn(client)) => Some(client),
            Some(_) => return None,
        };
        let found = torn.page(after, limit);
        self.refused.extend(found.iter().map(RefusedTenant::from));
        let last = found.last().filter(|_| found.len() == limit)?;
        Some(Cursor { list: asked.list, after: Place::Torn(last.client.clone()) })
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
        moments: &[ShardSnapshot<'_>],
        candidate: Candidate,
    ) -> Result<(), QueryError> {
        let Candidate { client, app, shard, row, .. } = candidate;
        let moment = &moments[shard];
        let known = self.folded.take().filter(|(place, of, _)| *place == shard && *of == client);
        let tenant = match (known, row) {
            (Some((_, _, tenant)), _) => tenant,
            (None, Some(row)) => TenantAsOf::new(asked.reading, moment, &client, row, asked.viewpoint)?,
            (None, None) => match moment.snapshot.tenant(&client)? {
                Some(row) => TenantAsOf::new(asked.reading, moment, &client, row, asked.viewpoint)?,
                None => return Ok(()),
            },
        };
        if let Some(installation) = tenant.tenant.installations.get(&app) {
            let timeline = tenant.timeline(asked.reading, moment, &app)?;
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
        self.folded = Some((shard, client, tenant));
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
fn place_in<'a>(cursor: &'a Cursor, list: u64, filter: &Filter) -> Result<&'a Place, QueryError> {
    let fits = match &cursor.after {
        Place::Key(..) => filter.window.is_none(),
        Place::Window(..) => filter.window.is_some(),
        Place::Torn(_) => true,
        Place::Item(..) => false,
    };
    if fits && cursor.list == list { Ok(&cursor.after) } else { Err(QueryError::ForeignCursor) }
}
