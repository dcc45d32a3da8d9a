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
use ledger_core::timeline::AppTimeline;
use ledger_record::record::Stream;
use ledger_record::rows::TenantRow;
use ledger_store::{KnowledgeBound, KnowledgeCut, ReadError};

use super::error::QueryError;
use super::long_history;
use super::reading::Reading;
use super::shards::ShardSnapshot;
use super::state::InstallationState;

/// What was true at an instant, as far as it was known then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Viewpoint {
    pub(crate) at: Timestamp,
    pub(crate) known: KnowledgeBound,
}

/// A tenant as of an viewpoint.
#[derive(Debug)]
pub(crate) struct TenantAsOf {
    pub(crate) tenant: Tenant,
    /// The highest seq that was recorded up to `known`, whatever the instant is.
    pub(crate) seq: u64,
    /// What was not known yet.
    pub(crate) cut: KnowledgeCut,
}

impl TenantAsOf {
    /// The tenant as of the instant, with the installations that are seen; `row` is what the snapshot has of it.
    pub(crate) fn new(
        reading: &Reading<'_>,
        shard: &ShardSnapshot<'_>,
        client: &ClientKey,
        row: TenantRow,
        viewpoint: Viewpoint,
    ) -> Result<Self, QueryError> {
        let mut found = Self::whole(reading, shard, client, row, viewpoint)?;
        reading.ledger.grants.retain_in(&mut found.tenant);
        Ok(found)
    }

    fn whole(
        reading: &Reading<'_>,
        shard: &ShardSnapshot<'_>,
        client: &ClientKey,
        row: TenantRow,
        viewpoint: Viewpoint,
    ) -> Result<Self, QueryError> {
        let cut = cut(shard, client, &row, viewpoint.known)?;
        if cut == KnowledgeCut::Open && row_serves(&row.tenant, viewpoint.at) {
            return Ok(Self { tenant: row.tenant, seq: row.seq, cut });
        }
        if let Some(interval) = long_history::interval(&row) {
            let (tenant, seq) = reading
                .long_as_of(shard, client, (&row, interval), cut, viewpoint.at)
                .map_err(|error| shard.unread(error))?;
            return Ok(Self { tenant, seq, cut });
        }
        let history = reading.history(shard, client, cut).map_err(|error| shard.unread(error))?;
        let tenant = Tenant::as_of(&history.entries(), &history.apps, viewpoint.at);
        Ok(Self { tenant, seq: history.seq(), cut })
    }

    /// The timeline of an app, as known.
    pub(crate) fn timeline(
        &self,
        reading: &Reading<'_>,
        shard: &ShardSnapshot<'_>,
        app: &AppKey,
    ) -> Result<Arc<AppTimeline>, QueryError> {
        reading.timeline(shard, app, self.cut)
    }

    /// The installation of an app, if there is one, with all that is derived for the viewpoint.
    pub(crate) fn state(
        mut self,
        reading: &Reading<'_>,
        shard: &ShardSnapshot<'_>,
        client: &ClientKey,
        app: &AppKey,
        at: Timestamp,
    ) -> Result<Option<InstallationState>, QueryError> {
        let Some(installation) = self.tenant.installations.remove(app) else {
            return Ok(None);
        };
        let timeline = self.timeline(reading, shard, app)?;
        Ok(Some(self.shown(client, app.clone(), installation, timeline, at)))
    }

    /// All installations, by app key.
    pub(crate) fn states(
        mut self,
        reading: &Reading<'_>,
        shard: &ShardSnapshot<'_>,
        client: &ClientKey,
        at: Timestamp,
    ) -> Result<Vec<InstallationState>, QueryError> {
        let installations = std::mem::take(&mut self.tenant.installations);
        let states = installations.into_iter().map(|(app, installation)| {
            let timeline = self.timeline(reading, shard, &app)?;
            Ok(self.shown(client, app, installation, timeline, at))
        });
        states.collect()
    }

    /// An installation of this tenant as it is shown.
    pub(crate) fn shown(
        &self,
        client: &ClientKey,
        app: AppKey,
        installation: Installation,
        timeline: Arc<AppTimeline>,
        as_of: Timestamp,
    ) -> InstallationState {
        InstallationState {
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

/// Whether the fold of everything is the fold as of the viewpoint.
pub(crate) fn row_serves(tenant: &Tenant, at: Timestamp) -> bool {
    let installations = tenant.installations.values();
    let latest = installations.map(|installation| installation.latest).max().flatten();
    latest.max(tenant.shared_latest) <= Some(at)
}

/// What was not known of a tenant; nothing, where the knowledge is of all that is recorded.
pub(crate) fn cut(
    shard: &ShardSnapshot<'_>,
    client: &ClientKey,
    row: &TenantRow,
    known: KnowledgeBound,
) -> Result<KnowledgeCut, QueryError> {
    let is_all = match known {
        KnowledgeBound::All => true,
        KnowledgeBound::Recorded(_) => is_all_of(shard, known)?,
        KnowledgeBound::Seq(seq) => seq == row.seq && apps_end_before(shard, row)?,
    };
    if is_all { Ok(KnowledgeCut::Open) } else { Ok(shard.snapshot.cut(client, known)?) }
}

/// Whether the knowledge is of all that the shard has.
pub(crate) fn is_all_of(shard: &ShardSnapshot<'_>, known: KnowledgeBound) -> Result<bool, ReadError> {
    Ok(match known {
        KnowledgeBound::All => true,
        KnowledgeBound::Recorded(until) => shard.snapshot.head()?.recorded <= Some(until),
        KnowledgeBound::Seq(_) => false,
    })
}

/// Whether nothing was recorded of the tenant's apps after its own last record.
fn apps_end_before(shard: &ShardSnapshot<'_>, row: &TenantRow) -> Result<bool, ReadError> {
    for app in row.tenant.installations.keys() {
        let Some(seq) = shard.snapshot.app(app)?.map(|row| row.seq).filter(|seq| *seq > 0) else { continue };
        let last = shard.snapshot.records(&Stream::App(app.clone()), seq)?.next().transpose()?;
        if last.is_some_and(|last| last.position > row.position) {
            return Ok(false);
        }
    }
    Ok(true)
}
