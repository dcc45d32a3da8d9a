//! Long histories: folded once, with the states at intervals kept for the questions that follow.
//!
//! What was known up to a cut does not change; what is known now does with each record of the tenant, and of its apps,
//! and is folded anew then. Of many questions at a time one folds, and the others wait for it.

use std::sync::{Arc, Mutex, PoisonError};

use ledger_core::history::FoldedHistory;
use ledger_core::ids::ClientKey;
use ledger_core::tenant::Tenant;
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimelines;
use ledger_record::rows::TenantRow;
use ledger_store::{KnowledgeCut, entries};

use super::cache::CacheKey;
use super::error::QueryError;
use super::reading::Reading;
use super::shards::ShardSnapshot;
use crate::limits::{HISTORY_STATES_BYTES, LONG_HISTORY_RECORDS, RECORDS_PER_STATE};

/// What is kept of one history; nothing before it is folded.
type Slot = Mutex<Option<Arc<KeptStates>>>;

#[derive(Debug)]
struct KeptStates {
    /// Seq of the tenant's last record, of what is known now.
    version: Option<u64>,
    /// Seq of the last record in it.
    seq: u64,
    apps: AppTimelines,
    folded: FoldedHistory,
}

/// About the memory that a state takes, by the bytes of its row.
const MEMORY_PER_ROW_BYTE: usize = 4;

fn state_bytes(row: &TenantRow) -> usize {
    MEMORY_PER_ROW_BYTE * row.encode().len()
}

/// How many records lie between two states of a history that is worth keeping: a state is never larger than the last
/// one, and all together have a bound. None of a short one, and where they would lie too far apart.
pub(super) fn interval(row: &TenantRow) -> Option<usize> {
    let records = usize::try_from(row.seq).ok().filter(|records| *records >= LONG_HISTORY_RECORDS)?;
    let states = (HISTORY_STATES_BYTES / state_bytes(row)).max(1);
    Some(records.div_ceil(states).max(RECORDS_PER_STATE)).filter(|interval| *interval < LONG_HISTORY_RECORDS)
}

impl Reading<'_> {
    /// A tenant with a long history as of an instant, and the seq of its last record, as known up to a cut.
    pub(super) fn long_as_of(
        &self,
        shard: &ShardSnapshot<'_>,
        client: &ClientKey,
        (row, interval): (&TenantRow, usize),
        cut: KnowledgeCut,
        at: Timestamp,
    ) -> Result<(Tenant, u64), QueryError> {
        self.ledger.may_wait()?;
        let kept = self.kept(shard, client, (row, interval), cut)?;
        let events = shard.snapshot.events_of(client, &kept.folded.missing(at))?;
        self.count(events.len());
        Ok((kept.folded.as_of(&entries(&events), &kept.apps, at), kept.seq))
    }

    fn kept(
        &self,
        shard: &ShardSnapshot<'_>,
        client: &ClientKey,
        (row, interval): (&TenantRow, usize),
        cut: KnowledgeCut,
    ) -> Result<Arc<KeptStates>, QueryError> {
        let mut apps = AppTimelines::default();
        for app in row.tenant.installations.keys() {
            apps.share(app.clone(), self.timeline(shard, app, cut)?);
        }
        let version = (cut == KnowledgeCut::Open).then_some(row.seq);
        let key = CacheKey::History(shard.id.clone(), client.clone(), cut);
        let slot = self.ledger.cache.get_or_default::<Slot>(&key);
        let mut place = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |kept: &&Arc<KeptStates>| kept.version == version && kept.apps == apps;
        if let Some(kept) = place.as_ref().filter(is_same) {
            return Ok(Arc::clone(kept));
        }
        let history = self.history(shard, client, cut)?;
        let folded = FoldedHistory::new(&history.entries(), &apps, interval);
        let order_bytes = folded.records() * size_of::<(Timestamp, u64)>();
        let bytes = order_bytes + folded.states() * state_bytes(row);
        let kept = Arc::new(KeptStates { version, seq: history.seq(), apps, folded });
        *place = Some(Arc::clone(&kept));
        self.ledger.cache.put(key, Arc::clone(&slot), bytes);
        Ok(kept)
    }
}
