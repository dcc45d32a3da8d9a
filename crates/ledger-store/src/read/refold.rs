//! A tenant's row from zero: what the row must be at all times (I-1).

use ledger_core::ids::ClientKey;
use ledger_core::tenant::Tenant;
use ledger_core::timeline::AppTimelines;
use ledger_record::key::{self, Family};
use ledger_record::rows::TenantRow;

use crate::error::ReadError;
use crate::read::history::{HistoryEvent, KnowledgeCut, entries};
use crate::read::snapshot::Snapshot;

/// The row of a tenant with these events; none without events.
pub(crate) fn row_of(events: &[HistoryEvent], apps: &AppTimelines) -> Option<TenantRow> {
    let last = events.last()?;
    let tenant = Tenant::from_history(&entries(events), apps);
    Some(TenantRow { seq: last.seq, position: last.position, tenant })
}

/// Whether a tenant's stored row is the fold of its log, byte for byte.
pub(crate) fn row_is_fold(snapshot: &Snapshot<'_>, client: &ClientKey) -> Result<bool, ReadError> {
    let history = snapshot.history_until(client, KnowledgeCut::Open)?;
    let folded = row_of(&history.events, &history.apps).map(|row| row.encode());
    let stored = snapshot.database().get(Family::Tenants, key::tenant(client), &snapshot.options())?;
    Ok(folded.as_deref() == stored.as_deref())
}
