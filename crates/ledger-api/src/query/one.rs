//! Questions about one tenant.

use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::preview::preview;
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimeline;
use ledger_record::json::state::DecisionJson;
use ledger_record::record::{Content, Record, Stream};
use ledger_store::Known;

use super::answer::{InstallationAnswer, LogAnswer, PreviewAnswer, TenantAnswer};
use super::error::QueryError;
use super::filter::{AsOf, Preview};
use super::logged::Logged;
use super::past::{Instant, Past};
use super::shards::{Located, Moment, locate, moments};
use super::weight::Weight;
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
        let unknown = || {
            let error = QueryError::UnknownInstallation { client: client.clone(), app: app.clone() };
            self.shards.not_found_in(moment.id, error)
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
        let Located { moment, row } = self.found(&moments, client)?;
        let cut = moment.snapshot.cut(client, as_of.known)?;
        let stream = Stream::Tenant(client.clone());
        let (mut records, mut next_seq, mut weight) = (Vec::new(), None, Weight::default());
        for record in moment.snapshot.records(&stream, from_seq)?.take(limit) {
            let record = record?;
            next_seq = (record.seq < row.seq).then_some(record.seq + 1);
            if !cut.knows(record.position, record.recorded) {
                next_seq = None;
                break;
            }
            if happened_by(&record, as_of.at) {
                let record = Logged(record);
                weight.add(&record);
                records.push(record);
            }
            if weight.is_full() {
                break;
            }
        }
        Ok(LogAnswer { records, next_seq, freshness: vec![freshness::of(moment, now)?] })
    }

    /// The decision that an install would get. Nothing needs to be known of the tenant; of the app something.
    pub fn preview(&self, asked: &Preview, now: Timestamp) -> Result<PreviewAnswer, QueryError> {
        let Preview { client, app, product_realm, as_of } = asked;
        let parts = self.shards.all();
        let moments = moments(&parts);
        let instant = Instant::of(*as_of, now);
        let unknown = || self.shards.not_found(QueryError::UnknownApp { app: app.clone() });
        let (moment, decision) = if let Some(Located { moment, row }) = locate(&moments, client)? {
            let past = Past::of(moment, client, row, instant)?;
            let installation = past.tenant.installations.get(app);
            if installation.is_none() && moment.snapshot.app(app)?.is_none() {
                return Err(unknown());
            }
            // Of an app that is new to the tenant, its history as known has no timeline.
            let timeline = self.timeline_known(moment, client, app, instant.known)?;
            let product = product_realm.or(past.tenant.product_realm);
            (moment, preview(installation, product, &timeline, instant.at))
        } else {
            // Where it may be known after all, "never installed" would be a guess.
            if let Some(gap) = self.shards.gap() {
                return Err(gap);
            }
            let moment = shard_of_app(&moments, app)?.ok_or_else(unknown)?;
            let timeline = self.timeline_known(moment, client, app, instant.known)?;
            (moment, preview(None, *product_realm, &timeline, instant.at))
        };
        let freshness = vec![freshness::of(moment, now)?];
        Ok(PreviewAnswer { decision: DecisionJson::of(decision), freshness })
    }

    /// The timeline of an app as it was known.
    fn timeline_known(
        &self,
        moment: &Moment<'_>,
        client: &ClientKey,
        app: &AppKey,
        known: Known,
    ) -> Result<Arc<AppTimeline>, QueryError> {
        if known == Known::All {
            return Ok(self.timelines.of(moment.id, &moment.snapshot, app)?);
        }
        let cut = moment.snapshot.cut(client, known)?;
        Ok(Arc::new(moment.snapshot.timelines_of([app], cut)?.of(app).clone()))
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

/// A log without an instant has what lies ahead too: it was recorded.
pub(super) fn happened_by(record: &Record, at: Option<Timestamp>) -> bool {
    match &record.content {
        Content::Event { event, .. } => at.is_none_or(|at| event.time <= at),
        Content::Refused(_) | Content::Seal(_) => false,
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
