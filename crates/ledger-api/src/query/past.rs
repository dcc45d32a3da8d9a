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
use ledger_store::{Cut, Known, ReadError};

use super::error::QueryError;
use super::filter::AsOf;
use super::reading::Reading;
use super::shards::Moment;
use super::state::State;

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
    /// What was not known yet.
    cut: Cut,
}

impl Instant {
    pub(super) fn of(as_of: AsOf, now: Timestamp) -> Self {
        Self { at: as_of.at.unwrap_or(now), known: as_of.known }
    }
}

impl Past {
    /// The tenant as of the instant; `row` is what the snapshot has of it.
    pub(super) fn of(
        reading: &Reading<'_>,
        moment: &Moment<'_>,
        client: &ClientKey,
        row: TenantRow,
        instant: Instant,
    ) -> Result<Self, QueryError> {
        let cut = cut(moment, client, &row, instant.known)?;
        if cut == Cut::Open && row_serves(&row.tenant, instant.at) {
            return Ok(Self { tenant: row.tenant, seq: row.seq, cut });
        }
        let told = reading.history(moment, client, cut).map_err(|error| moment.unread(error))?;
        let tenant = Tenant::as_of(&told.entries(), &told.apps, instant.at);
        Ok(Self { tenant, seq: told.seq(), cut })
    }

    /// The timeline of an app, as known.
    pub(super) fn timeline(
        &self,
        reading: &Reading<'_>,
        moment: &Moment<'_>,
        app: &AppKey,
    ) -> Result<Arc<AppTimeline>, QueryError> {
        reading.timeline(moment, app, self.cut)
    }

    /// The installation of an app, if there is one, with all that is derived for the instant.
    pub(super) fn state(
        mut self,
        reading: &Reading<'_>,
        moment: &Moment<'_>,
        client: &ClientKey,
        app: &AppKey,
        at: Timestamp,
    ) -> Result<Option<State>, QueryError> {
        let Some(installation) = self.tenant.installations.remove(app) else {
            return Ok(None);
        };
        let timeline = self.timeline(reading, moment, app)?;
        Ok(Some(self.shown(client, app.clone(), installation, timeline, at)))
    }

    /// All installations, by app key.
    pub(super) fn states(
        mut self,
        reading: &Reading<'_>,
        moment: &Moment<'_>,
        client: &ClientKey,
        at: Timestamp,
    ) -> Result<Vec<State>, QueryError> {
        let installations = std::mem::take(&mut self.tenant.installations);
        let states = installations.into_iter().map(|(app, installation)| {
            let timeline = self.timeline(reading, moment, &app)?;
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
fn row_serves(tenant: &Tenant, at: Timestamp) -> bool {
    let installations = tenant.installations.values();
    let latest = installations.map(|installation| installation.latest).max().flatten();
    latest.max(tenant.shared_latest) <= Some(at)
}

/// What was not known of a tenant; nothing, where the knowledge is of all that is recorded.
pub(super) fn cut(
    moment: &Moment<'_>,
    client: &ClientKey,
    row: &TenantRow,
    known: Known,
) -> Result<Cut, QueryError> {
    let is_all = match known {
        Known::All => true,
        Known::Recorded(_) => is_all_of(moment, known)?,
        Known::Seq(seq) => seq == row.seq && apps_end_before(moment, row)?,
    };
    if is_all { Ok(Cut::Open) } else { Ok(moment.snapshot.cut(client, known)?) }
}

/// Whether the knowledge is of all that the shard has.
pub(super) fn is_all_of(moment: &Moment<'_>, known: Known) -> Result<bool, ReadError> {
    Ok(match known {
        Known::All => true,
        Known::Recorded(until) => moment.snapshot.head()?.recorded <= Some(until),
        Known::Seq(_) => false,
    })
}

/// Whether nothing was recorded of the tenant's apps after its own last record.
fn apps_end_before(moment: &Moment<'_>, row: &TenantRow) -> Result<bool, ReadError> {
    for app in row.tenant.installations.keys() {
        let Some(seq) = moment.snapshot.app(app)?.map(|row| row.seq).filter(|seq| *seq > 0) else { continue };
        let last = moment.snapshot.records(&Stream::App(app.clone()), seq)?.next().transpose()?;
        if last.is_some_and(|last| last.position > row.position) {
            return Ok(false);
        }
    }
    Ok(true)
}
