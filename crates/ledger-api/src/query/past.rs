//! A tenant as it was at an instant, as far as it was known (rules 2.4).
//!
//! The stored row is the fold of everything recorded, so it serves wherever nothing of the tenant lies after
//! the instant that is asked for. Elsewhere the history is folded: an event may be dated a day ahead, and the
//! past is asked for on purpose. App-level events need no such care, they are looked up by time.

use std::sync::Arc;

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::state::Installation;
use ledger_core::tenant::Tenant;
use ledger_core::time::Timestamp;
use ledger_core::timeline::{AppTimeline, AppTimelines};
use ledger_record::rows::TenantRow;
use ledger_store::{Known, ReadError};

use super::error::QueryError;
use super::filter::AsOf;
use super::shards::Moment;
use super::state::State;
use super::timelines::Timelines;

/// What was true at an instant, as far as it was known then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instant {
    pub(super) at: Timestamp,
    pub(super) known: Known,
}

/// A tenant as of an instant.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) tenant: Tenant,
    /// The highest seq that was recorded up to `known`, whatever the instant is.
    pub(super) seq: u64,
    apps: Apps,
}

/// Where the timelines are.
#[derive(Debug)]
enum Apps {
    /// With the shard, as recorded by now.
    Kept,
    /// As they were known.
    Known(AppTimelines),
}

impl Instant {
    pub(super) fn of(as_of: AsOf, now: Timestamp) -> Self {
        Self { at: as_of.at.unwrap_or(now), known: as_of.known }
    }
}

impl Past {
    /// The tenant as of the instant; `row` is what the snapshot has of it.
    pub(super) fn of(
        moment: &Moment<'_>,
        client: &ClientKey,
        row: TenantRow,
        instant: Instant,
    ) -> Result<Self, QueryError> {
        if row_serves(&row.tenant, instant) {
            return Ok(Self { tenant: row.tenant, seq: row.seq, apps: Apps::Kept });
        }
        let history = moment.snapshot.history(client, instant.known)?;
        let seq = history.events.last().map_or(0, |event| event.seq);
        let tenant = Tenant::as_of(&history.entries(), &history.apps, instant.at);
        Ok(Self { tenant, seq, apps: Apps::Known(history.apps) })
    }

    /// The timeline of an app, as known.
    pub(super) fn timeline(
        &self,
        moment: &Moment<'_>,
        app: &AppKey,
        timelines: &Timelines,
    ) -> Result<Arc<AppTimeline>, ReadError> {
        match &self.apps {
            Apps::Kept => timelines.of(moment.id, &moment.snapshot, app),
            Apps::Known(apps) => Ok(Arc::new(apps.of(app).clone())),
        }
    }

    /// The installation of an app, if there is one, with all that is derived for the instant.
    pub(super) fn state(
        mut self,
        moment: &Moment<'_>,
        client: &ClientKey,
        app: &AppKey,
        at: Timestamp,
        timelines: &Timelines,
    ) -> Result<Option<State>, ReadError> {
        let Some(installation) = self.tenant.installations.remove(app) else {
            return Ok(None);
        };
        let timeline = self.timeline(moment, app, timelines)?;
        Ok(Some(self.shown(client, app.clone(), installation, timeline, at)))
    }

    /// All installations, by app key.
    pub(super) fn states(
        mut self,
        moment: &Moment<'_>,
        client: &ClientKey,
        at: Timestamp,
        timelines: &Timelines,
    ) -> Result<Vec<State>, ReadError> {
        let installations = std::mem::take(&mut self.tenant.installations);
        let states = installations.into_iter().map(|(app, installation)| {
            let timeline = self.timeline(moment, &app, timelines)?;
            Ok(self.shown(client, app, installation, timeline, at))
        });
        states.collect()
    }

    /// An installation of this tenant as it is shown.
    pub(super) fn shown(
        &self,
        client: &ClientKey,
        app: AppKey,
        installation: Installation,
        timeline: Arc<AppTimeline>,
        as_of: Timestamp,
    ) -> State {
        State {
            client: client.clone(),
            app,
            installation,
            product_realm: self.tenant.product_realm,
            timeline,
            seq: self.seq,
            as_of,
        }
    }
}

/// Whether the fold of everything is the fold as of the instant.
fn row_serves(tenant: &Tenant, instant: Instant) -> bool {
    let installations = tenant.installations.values();
    let latest = installations.map(|installation| installation.latest).max().flatten();
    instant.known == Known::All && latest.max(tenant.shared_latest) <= Some(instant.at)
}
