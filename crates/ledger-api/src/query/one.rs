//! Questions about one tenant.

use std::time::{Duration, Instant as Clock};

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::preview::preview;
use ledger_core::state::Status;
use ledger_core::time::Timestamp;
use ledger_record::record::{Content, Record, Stream};
use ledger_store::{Cut, Known};

use super::answer::{InstallationAnswer, LogAnswer, PreviewAnswer, TenantAnswer};
use super::error::QueryError;
use super::filter::{AsOf, Preview};
use super::logged::Logged;
use super::past::{Instant, Past, cut};
use super::reading::Reading;
use super::shards::{Located, Moment, locate, moments};
use super::weight::Weight;
use super::{Ledger, freshness};
use crate::limits::{LOG_MAX, POSITION_RETRY};

impl Ledger {
    /// One installation.
    pub fn installation(
        &self,
        client: &ClientKey,
        app: &AppKey,
        as_of: AsOf,
        now: Timestamp,
    ) -> Result<InstallationAnswer, QueryError> {
        let parts = self.shards.all();
        let moments = moments(&parts);
        let Located { moment, row } = self.found(&moments, client, as_of.known, now)?;
        let instant = Instant::of(as_of, now);
        let reading = Reading::of(self);
        let past = Past::of(&reading, moment, client, row, instant)?;
        let state = past.state(&reading, moment, client, app, instant.at)?;
        let unknown = || {
            let error = QueryError::UnknownInstallation { client: client.clone(), app: app.clone() };
            self.not_found_in(moment.id, &moments, now, error)
        };
        Ok(InstallationAnswer {
            installation: state.ok_or_else(unknown)?,
            freshness: vec![freshness::of(moment, now)?],
        })
    }

    /// All installations of a tenant. A tenant that is known and had none then: an empty answer.
    pub fn tenant(
        &self,
        client: &ClientKey,
        as_of: AsOf,
        now: Timestamp,
    ) -> Result<TenantAnswer, QueryError> {
        let parts = self.shards.all();
        let moments = moments(&parts);
        let Located { moment, row } = self.found(&moments, client, as_of.known, now)?;
        let instant = Instant::of(as_of, now);
        let reading = Reading::of(self);
        let past = Past::of(&reading, moment, client, row, instant)?;
        let installations = past.states(&reading, moment, client, instant.at)?;
        if installations.is_empty() {
            self.ready_in(moment.id, &moments, now)?;
        }
        Ok(TenantAnswer { installations, freshness: vec![freshness::of(moment, now)?] })
    }

    /// Waits until the tenant's shard has the record at `position`; questions asked afterwards see it. A
    /// tenant that no shard has yet is waited for too.
    pub fn await_position(
        &self,
        client: &ClientKey,
        position: u64,
        timeout: Duration,
        now: Timestamp,
    ) -> Result<(), QueryError> {
        let deadline = Clock::now() + timeout;
        loop {
            self.in_time()?;
            let parts = self.shards.all();
            let left = deadline.saturating_duration_since(Clock::now());
            match self.found(&moments(&parts), client, Known::All, now) {
                Ok(Located { moment, .. }) => {
                    halted_before(moment, position)?;
                    moment.reader.snapshot_at_least(position, left)?;
                    return Ok(());
                }
                Err(error) if !may_come(&error) || left.is_zero() => return Err(error),
                Err(_) => std::thread::sleep(POSITION_RETRY.min(left)),
            }
        }
    }

    /// Records of a tenant, in order of arrival, from `from_seq` on (1: from the beginning). With an instant,
    /// those that had happened by then; with knowledge, those that were recorded by then.
    pub fn log(
        &self,
        client: &ClientKey,
        from_seq: u64,
        limit: usize,
        as_of: AsOf,
        now: Timestamp,
    ) -> Result<LogAnswer, QueryError> {
        let parts = self.shards.all();
        let moments = moments(&parts);
        let Located { moment, .. } = self.found(&moments, client, as_of.known, now)?;
        let cut = moment.snapshot.cut(client, as_of.known)?;
        let stream = Stream::Tenant(client.clone());
        let (mut records, mut next_seq) = (Vec::new(), None);
        let mut weight = Weight::up_to(self.page_bytes);
        let (limit, mut looked_at) = (limit.max(1), 0);
        for record in moment.snapshot.records(&stream, from_seq)? {
            self.in_time()?;
            let record = record.map_err(|error| moment.unread(error))?;
            if !cut.knows(record.position, record.recorded) {
                break;
            }
            // What is left out for the instant costs as well.
            if records.len() >= limit || looked_at >= LOG_MAX.max(limit) || weight.is_full() {
                next_seq = Some(record.seq);
                break;
            }
            looked_at += 1;
            if happened_by(&record, as_of.at) {
                let record = Logged(record);
                weight.add(&record);
                records.push(record);
            }
        }
        // Behind the last record there is nothing yet, and whoever pages on asks again.
        if records.is_empty() && next_seq.is_none() && from_seq <= 1 {
            self.ready_in(moment.id, &moments, now)?;
        }
        Ok(LogAnswer { records, next_seq, freshness: vec![freshness::of(moment, now)?] })
    }

    /// The decision that an install would get. Nothing needs to be known of the tenant; of the app something. That it
    /// was never installed, every shard must have said that could know of it.
    pub fn preview(&self, asked: &Preview, now: Timestamp) -> Result<PreviewAnswer, QueryError> {
        let Preview { client, app, product_realm, as_of } = asked;
        let parts = self.shards.all();
        let moments = moments(&parts);
        let instant = Instant::of(*as_of, now);
        let unknown = || self.not_found(&moments, now, QueryError::UnknownApp { app: app.clone() });
        let reading = Reading::of(self);
        let (moment, decision) = if let Some(located) = locate(&moments, client)? {
            self.ready_for(instant.known, &located, &moments, now)?;
            let Located { moment, row } = located;
            let cut = cut(moment, client, &row, instant.known)?;
            let past = Past::of(&reading, moment, client, row, instant)?;
            let installation = past.tenant.installations.get(app);
            if installation.is_none_or(|installation| installation.status == Status::None) {
                self.ready_in(moment.id, &moments, now)?;
            }
            // An app that is new to the tenant may have been published to other shards first.
            let (of_app, cut) = match (installation, cut) {
                (None, Cut::Open | Cut::AfterInstant(_)) => {
                    (shard_of_app(&moments, app)?.ok_or_else(unknown)?, cut)
                }
                (None, _) if moment.snapshot.app(app)?.is_none() => return Err(unknown()),
                _ => (moment, cut),
            };
            let timeline = reading.timeline(of_app, app, cut)?;
            let product = product_realm.or(past.tenant.product_realm);
            (moment, preview(installation, product, &timeline, instant.at))
        } else {
            self.ready(&moments, now)?;
            let moment = shard_of_app(&moments, app)?.ok_or_else(unknown)?;
            let timeline = reading.timeline(moment, app, moment.snapshot.cut(client, instant.known)?)?;
            (moment, preview(None, *product_realm, &timeline, instant.at))
        };
        let freshness = vec![freshness::of(moment, now)?];
        Ok(PreviewAnswer { decision, freshness })
    }

    /// The tenant where it is, or why there is no answer.
    pub(super) fn found<'a>(
        &self,
        moments: &'a [Moment<'a>],
        client: &ClientKey,
        known: Known,
        now: Timestamp,
    ) -> Result<Located<'a>, QueryError> {
        let unknown = || self.not_found(moments, now, QueryError::UnknownTenant { client: client.clone() });
        let located = locate(moments, client)?.ok_or_else(unknown)?;
        self.ready_for(known, &located, moments, now)?;
        Ok(located)
    }
}

/// Whether something that was not found can still be taken in here.
fn may_come(error: &QueryError) -> bool {
    match error {
        QueryError::UnknownTenant { .. } => true,
        QueryError::NotReady(not_ready) => not_ready.is_read_on(),
        _ => false,
    }
}

/// A log without an instant has what lies ahead too: it was recorded.
pub(super) fn happened_by(record: &Record, at: Option<Timestamp>) -> bool {
    match &record.content {
        Content::Event { event, .. } => at.is_none_or(|at| event.time <= at),
        Content::Refused(_) | Content::Seal(_) | Content::Succession(_) => false,
    }
}

/// Waiting, and asking again, helps only with a shard that still takes something in.
fn halted_before(moment: &Moment<'_>, position: u64) -> Result<(), QueryError> {
    match moment.freshness.as_ref().and_then(|freshness| freshness.halted.as_ref()) {
        Some(halted) if moment.reader.next_position() <= position => Err(QueryError::ShardHalted {
            shard: moment.id.clone(),
            position,
            message: halted.message.clone(),
        }),
        _ => Ok(()),
    }
}

/// Every partition has a copy of all app-level events; the one that has read most of them answers.
fn shard_of_app<'a>(moments: &'a [Moment<'a>], app: &AppKey) -> Result<Option<&'a Moment<'a>>, QueryError> {
    let mut best = None;
    for moment in moments {
        let Some(row) = moment.snapshot.app(app)? else { continue };
        if best.is_none_or(|(seq, _)| row.seq > seq) {
            best = Some((row.seq, moment));
        }
    }
    Ok(best.map(|(_, moment)| moment))
}
