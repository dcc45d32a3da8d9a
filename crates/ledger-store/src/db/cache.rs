//! Folded tenants that the writers keep decoded between batches: of each writer the least recently used go first.
//!
//! All writers of a data directory share one budget in equal parts, so that it holds whatever the number of shards.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::{HashMap, HashMapExt};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::state::Installation;
use ledger_record::rows::TenantRow;

use crate::db::options::{LATE_RECORDS_KEPT, StoreOptions};

/// What the writers of a data directory may keep decoded, together.
#[derive(Debug)]
pub(crate) struct WriterBudget {
    tenant_bytes: usize,
    writers: AtomicUsize,
}

impl WriterBudget {
    pub(crate) fn new(options: &StoreOptions) -> Self {
        Self { tenant_bytes: options.tenant_cache_bytes, writers: AtomicUsize::new(0) }
    }

    fn share_of(&self, all: usize) -> usize {
        all / self.writers.load(Ordering::Relaxed).max(1)
    }

    /// Records in histories that one writer keeps.
    pub(crate) fn late_records(&self) -> usize {
        self.share_of(LATE_RECORDS_KEPT)
    }
}

/// Bounded by the bytes its rows take, roughly.
#[derive(Debug)]
pub(crate) struct TenantCache {
    rows: HashMap<ClientKey, Cached>,
    /// Every use, oldest first. Of a row only its last one counts: the others are passed over.
    by_use: VecDeque<(u64, ClientKey)>,
    uses: u64,
    bytes: usize,
    budget: Arc<WriterBudget>,
}

#[derive(Debug)]
struct Cached {
    row: TenantRow,
    bytes: usize,
    used: u64,
}

impl TenantCache {
    pub(crate) fn new(budget: Arc<WriterBudget>) -> Self {
        budget.writers.fetch_add(1, Ordering::Relaxed);
        Self { rows: HashMap::new(), by_use: VecDeque::new(), uses: 0, bytes: 0, budget }
    }

    pub(crate) fn budget(&self) -> &WriterBudget {
        &self.budget
    }

    /// Takes a row out, to be changed; [`Self::put`] brings it back.
    pub(crate) fn take(&mut self, client: &ClientKey) -> Option<(TenantRow, usize)> {
        let cached = self.rows.remove(client)?;
        self.bytes -= cost(&cached.row, cached.bytes);
        Some((cached.row, cached.bytes))
    }

    /// Looks at a row, and how many bytes it has when stored, without counting it as a use.
    pub(crate) fn peek(&self, client: &ClientKey) -> Option<(&TenantRow, usize)> {
        self.rows.get(client).map(|cached| (&cached.row, cached.bytes))
    }

    /// Keeps a row whose stored form has so many bytes.
    pub(crate) fn put(&mut self, client: ClientKey, row: TenantRow, stored_bytes: usize) {
        self.take(&client);
        self.uses += 1;
        self.bytes += cost(&row, stored_bytes);
        self.by_use.push_back((self.uses, client.clone()));
        self.rows.insert(client, Cached { row, bytes: stored_bytes, used: self.uses });
        let limit_bytes = self.budget.share_of(self.budget.tenant_bytes);
        while self.bytes > limit_bytes {
            let Some((used, client)) = self.by_use.pop_front() else { return };
            if is_last_use(&self.rows, &client, used) {
                self.take(&client);
            }
        }
        if self.by_use.len() > 4 * self.rows.len() + USES_AT_LEAST {
            let rows = &self.rows;
            self.by_use.retain(|(used, client)| is_last_use(rows, client, *used));
        }
    }
}

impl Drop for TenantCache {
    fn drop(&mut self) {
        self.budget.writers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Below so many it is not worth the while to clear out old uses.
const USES_AT_LEAST: usize = 64;

fn is_last_use(rows: &HashMap<ClientKey, Cached>, client: &ClientKey, used: u64) -> bool {
    rows.get(client).is_some_and(|cached| cached.used == used)
}

/// About what a row takes when decoded: its map, the states beside it, and on the heap beside those about
/// what is stored.
fn cost(row: &TenantRow, stored_bytes: usize) -> usize {
    const OVERHEAD_BYTES: usize = 768;
    // A node of the map may be half empty.
    let installation_bytes = size_of::<Installation>() + 2 * size_of::<(AppKey, Box<Installation>)>();
    OVERHEAD_BYTES + row.tenant.installations.len() * installation_bytes + stored_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(name: &str) -> ClientKey {
        ClientKey::new(name).unwrap()
    }

    fn row(seq: u64) -> TenantRow {
        TenantRow { seq, ..TenantRow::default() }
    }

    fn budget(tenant_cache_bytes: usize) -> Arc<WriterBudget> {
        Arc::new(WriterBudget::new(&StoreOptions { tenant_cache_bytes, ..StoreOptions::default() }))
    }

    #[test]
    fn writers_share_the_budget() {
        let budget = budget(4 * cost(&row(0), 100));
        let mut one = TenantCache::new(Arc::clone(&budget));
        let fill = |cache: &mut TenantCache| {
            for (seq, name) in (0..).zip(["a", "b", "c", "d"]) {
                cache.put(client(name), row(seq), 100);
            }
            cache.rows.len()
        };
        assert_eq!(fill(&mut one), 4);
        let mut other = TenantCache::new(budget);
        assert_eq!((fill(&mut one), fill(&mut other)), (2, 2));
        drop(other);
        assert_eq!(fill(&mut one), 4);
    }

    #[test]
    fn least_recently_used_rows_are_evicted() {
        let mut cache = TenantCache::new(budget(3 * cost(&row(0), 100)));
        for (seq, name) in ["a", "b", "c"].into_iter().enumerate() {
            cache.put(client(name), row(seq as u64), 100);
        }
        let (a, bytes) = cache.take(&client("a")).unwrap();
        cache.put(client("a"), a, bytes);
        cache.put(client("d"), row(9), 100);
        assert!(cache.peek(&client("b")).is_none());
        for name in ["a", "c", "d"] {
            assert!(cache.peek(&client(name)).is_some(), "{name}");
        }
        cache.put(client("big"), row(1), 10_000);
        assert!(cache.rows.is_empty());
        assert_eq!(cache.bytes, 0);
        assert!(cache.by_use.is_empty());
    }

    #[test]
    fn use_queue_stays_near_the_row_count() {
        let mut cache = TenantCache::new(budget(1 << 20));
        for _ in 0..1000 {
            for name in ["a", "b"] {
                cache.put(client(name), row(1), 100);
            }
        }
        assert!(cache.by_use.len() <= 8 + USES_AT_LEAST + 1, "{}", cache.by_use.len());
        assert!(["a", "b"].iter().all(|name| cache.peek(&client(name)).is_some()));
    }
}
