//! Lists over all installations: candidates in the order of the list, each looked at as of the instant.
//!
//! A shard's candidates come out of its index where that is enough, else out of all its tenants ([`plan`]);
//! the shards are merged ([`source`]), and every candidate is folded as of the instant and looked at again
//! before it is listed, so the index only ever saves work.
//!
//! A shard that does not read is left out, and the freshness of the answer says so.
//!
//! Torn tenants are named first, whatever the filter: half a history does not tell whether it lets them through.
//! The order is by client key then app key, with a window filter by end of the window, then by key. A page
//! ends when it is full, in number or in weight, or when enough was looked at (the records that were folded for
//! it count), and names the last candidate it looked at: the next one begins there, whatever was appended
//! between the two.

mod gathered;
mod plan;
mod source;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use ledger_core::ids::ClientKey;
use ledger_core::time::Timestamp;
use ledger_store::{Known, ShardId, TornTenant, TornTenants};

use super::answer::{FreshnessJson, HaltedJson, InstallationList, RefusedTenant};
use super::cursor::{Cursor, Place};
use super::error::QueryError;
use super::filter::{AsOf, Filter};
use super::past::{Instant, Past};
use super::reading::Reading;
use super::shards::{Moment, Part, moments};
use super::state::State;
use super::weight::Weight;
use super::{Ledger, freshness, in_order};
use crate::limits::LOOKED_AT_PER_PAGE;
pub(super) use gathered::Kept as GatheredKept;
use source::{Candidate, Merge};

/// What a page is made from.
#[derive(Debug, Clone, Copy)]
struct Asked<'a> {
    reading: &'a Reading<'a>,
    filter: &'a Filter,
    instant: Instant,
    after: Option<&'a Place>,
    /// Which list, as cursors have it.
    list: u64,
}

/// A page that is being filled.
#[derive(Debug)]
struct Page {
    states: Vec<State>,
    refused: Vec<RefusedTenant>,
    weight: Weight,
    /// The last tenant that was folded: its other installations come next.
    folded: Option<(usize, ClientKey, Past)>,
}

impl Ledger {
    /// A page of installations; go on with `next_cursor` until there is none.
    pub fn installations(
        &self,
        filter: &Filter,
        cursor: Option<&Cursor>,
        limit: usize,
        as_of: AsOf,
        now: Timestamp,
    ) -> Result<InstallationList, QueryError> {
        if let Known::Seq(_) = as_of.known {
            return Err(QueryError::SeqOfNoTenant);
        }
        let list = filter.fingerprint(as_of);
        let after = cursor.map(|cursor| place_in(cursor, list, filter)).transpose()?;
        let (instant, limit) = (Instant::of(as_of, now), limit.max(1));
        let reading = Reading::of(self);
        let asked = Asked { reading: &reading, filter, instant, after, list };
        let mut parts = self.shards.all();
        let (torn, unread) = self.shards.torn_of_those_that_read();
        let mut lacking = Lacking::default();
        for (shard, error) in unread {
            lacking.leave_out(&mut parts, QueryError::Read(error).in_shard(&shard))?;
        }
        loop {
            let error = {
                let moments = moments(&parts);
                match self.page(&asked, torn, limit, &moments) {
                    Ok((page, next_cursor)) => {
                        let freshness = lacking.told_among(self.freshness_of(&moments, now));
                        return Ok(page.answer(next_cursor, freshness));
                    }
                    Err(error) => error,
                }
            };
            lacking.leave_out(&mut parts, error)?;
        }
    }

    fn page(
        &self,
        asked: &Asked<'_>,
        torn: &TornTenants,
        limit: usize,
        moments: &[Moment<'_>],
    ) -> Result<(Page, Option<Cursor>), QueryError> {
        let (list, reading) = (asked.list, asked.reading);
        let mut page = Page::up_to(self.page_bytes);
        if let Some(next_cursor) = page.name_torn(torn, asked, limit) {
            return Ok((page, Some(next_cursor)));
        }
        let mut candidates = Merge::of(plan::sources(asked, moments)?, moments)?;
        // What had to be looked at before the first could be told buys the page no less.
        let (mut looked_at, before) = (0, reading.records());
        let mut reached: Option<Place> = None;
        let next_cursor = loop {
            let Some(candidate) = candidates.next()? else {
                break reached.filter(|_| candidates.is_cut_off()).map(|after| Cursor { list, after });
            };
            let is_enough = looked_at + reading.records() - before >= LOOKED_AT_PER_PAGE;
            if page.len() >= limit || page.weight.is_full() || is_enough {
                // Not the place of this one: it is still to be looked at. One was, whatever it cost.
                if let Some(after) = reached {
                    break Some(Cursor { list, after });
                }
            }
            self.in_time()?;
            looked_at += 1;
            reached = Some(candidate.place.clone());
            let moment = &moments[candidate.shard];
            page.look_at(asked, torn, moments, candidate).map_err(|error| moment.unread(error))?;
        };
        Ok((page, next_cursor))
    }
}

/// Shards that do not read: a list goes on without them, and says so.
#[derive(Debug, Default)]
struct Lacking(Vec<FreshnessJson>);

/// Of which shards that was told.
static TOLD: Mutex<BTreeSet<ShardId>> = Mutex::new(BTreeSet::new());

impl Lacking {
    /// Leaves out the shard that an error is of. With no other shard there is nobody to ask.
    fn leave_out(&mut self, parts: &mut Vec<Part>, error: QueryError) -> Result<(), QueryError> {
        let QueryError::ShardUnread { shard, code, message } = &error else { return Err(error) };
        let Some(place) = parts.iter().position(|part| part.id == *shard).filter(|_| parts.len() > 1) else {
            return Err(error);
        };
        // Once: every page meets it again.
        if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(shard.clone()) {
            tracing::error!(%shard, code, reason = message, "lists go on without a shard that does not read");
        }
        let halted = HaltedJson { code, message: message.clone() };
        self.0.push(freshness::of_unread(&parts[place].moment(), halted));
        parts.remove(place);
        Ok(())
    }

    fn told_among(self, mut others: Vec<FreshnessJson>) -> Vec<FreshnessJson> {
        let is_same = |one: &FreshnessJson, other: &FreshnessJson| {
            (&one.topic, one.partition) == (&other.topic, other.partition)
        };
        others.retain(|other| !self.0.iter().any(|one| is_same(one, other)));
        others.extend(self.0);
        in_order(others)
    }
}

impl Page {
    fn up_to(bytes: usize) -> Self {
        Self { states: Vec::new(), refused: Vec::new(), weight: Weight::up_to(bytes), folded: None }
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
        moments: &[Moment<'_>],
        candidate: Candidate,
    ) -> Result<(), QueryError> {
        let Candidate { client, app, shard, row, .. } = candidate;
        let moment = &moments[shard];
        let known = self.folded.take().filter(|(place, of, _)| *place == shard && *of == client);
        let past = match (known, row) {
            (Some((_, _, past)), _) => past,
            (None, Some(row)) => Past::of(asked.reading, moment, &client, row, asked.instant)?,
            (None, None) => match moment.snapshot.tenant(&client)? {
                Some(row) => Past::of(asked.reading, moment, &client, row, asked.instant)?,
                None => return Ok(()),
            },
        };
        if let Some(installation) = past.tenant.installations.get(&app) {
            let timeline = past.timeline(asked.reading, moment, &app)?;
            let (product, at) = (past.tenant.product_realm, asked.instant.at);
            if asked.filter.takes(&app, installation, product, &timeline, at) {
                if let Some(shards) = torn.shards_of(&client) {
                    self.refuse(&TornTenant { client: client.clone(), shards });
                } else {
                    let installation = installation.clone();
                    let state = past.shown(&client, app, installation, timeline, at);
                    self.weight.add(&state);
                    self.states.push(state);
                }
            }
        }
        self.folded = Some((shard, client, past));
        Ok(())
    }

    /// Leaves a tenant out, and says so once.
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
