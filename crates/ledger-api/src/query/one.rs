//! Questions about one tenant.

use std::time::{Duration, Instant as Clock};

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::preview::preview;
use ledger_core::time::Timestamp;
use ledger_record::json::state::DecisionJson;
use ledger_record::record::Stream;
use ledger_store::Known;

use super::answer::{InstallationAnswer, LogAnswer, PreviewAnswer, TenantAnswer};
use super::error::QueryError;
use super::filter::{AsOf, Preview};
use super::logged::Logged;
use super::past::{Instant, Past};
use super::shards::{Located, Moment, locate, moments};
use super::{Ledger, freshness};
use crate::limits::POSITION_RETRY;

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
        let Located { moment, row } = self.found(&moments, client)?;
        let instant = Instant::of(as_of, now);
        let past = Past::of(moment, client, row, instant)?;
        let state = past.state(moment, client, app, instant.at, &self.timelines)?;
        let unknown = || QueryError::UnknownInstallation { client: client.clone(), app: app.clone() };
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
        let Located { moment, row } = self.found(&moments, client)?;
        let instant = Instant::of(as_of, now);
        let past = Past::of(moment, client, row, instant)?;
        let installations = past.states(moment, client, instant.at, &self.timelines)?;
        Ok(TenantAnswer { installations, freshness: vec![freshness::of(moment, now)?] })
    }

    /// Waits until the tenant's shard has the record at `position`; questions asked afterwards see it. A
    /// tenant that no shard has yet is waited for too.
    pub fn await_position(
        &self,
        client: &ClientKey,
        position: u64,
        timeout: Duration,
    ) -> Result<(), QueryError> {
        let deadline = Clock::now() + timeout;
        loop {
            let parts = self.shards.all();
            let left = deadline.saturating_duration_since(Clock::now());
            match self.found(&moments(&parts), client) {
                Ok(Located { moment, .. }) => {
                    moment.reader.snapshot_at_least(position, left)?;
                    return Ok(());
                }
                Err(QueryError::UnknownTenant { .. }) if left > Duration::ZERO => {
                    std::thread::sleep(POSITION_RETRY.min(left));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Records of a tenant, in order of arrival, from `from_seq` on (1: from the beginning).
    pub fn log(
        &self,
        client: &ClientKey,
        from_seq: u64,
        limit: usize,
        now: Timestamp,
    ) -> Result<LogAnswer, QueryError> {
        let parts = self.shards.all();
        let moments = moments(&parts);
        let Located { moment, row } = self.found(&moments, client)?;
        let stream = Stream::Tenant(client.clone());
        let records = moment.snapshot.records(&stream, from_seq)?.take(limit);
        let records = records.map(|record| record.map(Logged)).collect::<Result<Vec<_>, _>>()?;
        let last = records.last().map(|Logged(record)| record.seq);
        Ok(LogAnswer {
            next_seq: last.filter(|last| *last < row.seq).map(|last| last + 1),
            records,
            freshness: vec![freshness::of(moment, now)?],
        })
    }

    /// The decision that an install would get. Nothing needs to be known of the tenant; of the app something.
    pub fn preview(&self, asked: &Preview, now: Timestamp) -> Result<PreviewAnswer, QueryError> {
        let Preview { client, app, product_realm, at } = asked;
        let parts = self.shards.all();
        let moments = moments(&parts);
        let instant = Instant { at: at.unwrap_or(now), known: Known::All };
        let unknown = || self.shards.not_found(QueryError::UnknownApp { app: app.clone() });
        let (moment, decision) = if let Some(Located { moment, row }) = locate(&moments, client)? {
            let past = Past::of(moment, client, row, instant)?;
            let installation = past.tenant.installations.get(app);
            if installation.is_none() && moment.snapshot.app(app)?.is_none() {
                return Err(unknown());
            }
            // Of an app that is new to the tenant, its history as known has no timeline.
            let timeline = self.timelines.of(moment.id, &moment.snapshot, app)?;
            let product = product_realm.or(past.tenant.product_realm);
            (moment, preview(installation, product, &timeline, instant.at))
        } else {
            let moment = shard_of_app(&moments, app)?.ok_or_else(unknown)?;
            let timeline = self.timelines.of(moment.id, &moment.snapshot, app)?;
            (moment, preview(None, *product_realm, &timeline, instant.at))
        };
        let freshness = vec![freshness::of(moment, now)?];
        Ok(PreviewAnswer { decision: DecisionJson::of(decision), freshness })
    }

    /// The tenant where it is, or why there is no answer.
    pub(super) fn found<'a>(
        &self,
        moments: &'a [Moment<'a>],
        client: &ClientKey,
    ) -> Result<Located<'a>, QueryError> {
        let unknown = || self.shards.not_found(QueryError::UnknownTenant { client: client.clone() });
        locate(moments, client)?.ok_or_else(unknown)
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
