//! Folded tenants that a writer keeps between batches: decoded as long as there is room for that, and behind those
//! the ones that have not come for longer as the bytes of their rows.
//!
//! ```text
//!   put ─► decoded: some 3.5 kB each ──least recently used──► stored bytes: some 0.6 kB ──least recently used──► gone
//!            └─ take: as it is                                  └─ take: decoded, nothing is read
//! ```
//!
//! What is decoded gives way first, down to a part of the budget: a tenant that must be decoded costs a third of one
//! that must be read. One table says where a tenant is; both kinds stand in the order of their last use.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::RandomState;
use foldhash::{HashMap, HashMapExt};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::state::Installation;
use ledger_record::rows::TenantRow;

use crate::db::memory::{Memory, MemoryPart, MemoryUse, WriterMemory};

/// Bounded by the bytes its rows take, roughly.
#[derive(Debug)]
pub(crate) struct TenantCache {
    /// Where the tenant is, by the hash of its key.
    places: HashMap<u64, CachePlace>,
    hasher: RandomState,
    decoded: ClockRing<Box<DecodedTenant>>,
    stored: ClockRing<Stored>,
    counted: MemoryUse,
    budget: WriterMemory,
}

#[derive(Debug, Clone, Copy)]
enum CachePlace {
    Decoded(u64),
    Stored(u64),
}

#[derive(Debug)]
struct DecodedTenant {
    client: ClientKey,
    row: TenantRow,
    stored_bytes: usize,
}

/// The length of the client key, the key, and the row, in one piece.
#[derive(Debug)]
struct Stored(Box<[u8]>);

/// What is decoded keeps at least so much of the budget.
const DECODED_PERCENT: usize = 20;

impl TenantCache {
    pub(crate) fn new(memory: Arc<Memory>) -> Self {
        Self {
            places: HashMap::new(),
            hasher: RandomState::default(),
            decoded: ClockRing::default(),
            stored: ClockRing::default(),
            counted: MemoryUse::new(Arc::clone(&memory), MemoryPart::Tenants),
            budget: WriterMemory::new(memory),
        }
    }

    pub(crate) fn budget(&self) -> &Arc<Memory> {
        self.budget.memory()
    }

    /// Takes a row out, with its bytes when stored, to be changed; [`Self::put`] brings it back.
    pub(crate) fn take(&mut self, client: &ClientKey) -> Option<(TenantRow, usize)> {
        let (hash, place) = self.find(client)?;
        self.places.remove(&hash);
        match place {
            CachePlace::Decoded(at) => self.decoded.take(at).map(|kept| (kept.row, kept.stored_bytes)),
            CachePlace::Stored(at) => self.stored.take(at)?.decode(),
        }
    }

    pub(crate) fn contains(&self, client: &ClientKey) -> bool {
        self.find(client).is_some()
    }

    /// Where a tenant is, with the hash of its key; another one may have the same.
    fn find(&self, client: &ClientKey) -> Option<(u64, CachePlace)> {
        let hash = self.hash(client.as_bytes());
        let place = *self.places.get(&hash)?;
        let found = match place {
            CachePlace::Decoded(at) => self.decoded.get(at)?.client.as_bytes(),
            CachePlace::Stored(at) => self.stored.get(at)?.client(),
        };
        (found == client.as_bytes()).then_some((hash, place))
    }

    /// Looks at a row, and how many bytes it has when stored, without counting it as a use.
    pub(crate) fn peek(&self, client: &ClientKey) -> Option<(Cow<'_, TenantRow>, usize)> {
        match self.find(client)?.1 {
            CachePlace::Decoded(at) => {
                self.decoded.get(at).map(|kept| (Cow::Borrowed(&kept.row), kept.stored_bytes))
            }
            CachePlace::Stored(at) => {
                self.stored.get(at)?.decode().map(|(row, bytes)| (Cow::Owned(row), bytes))
            }
        }
    }

    /// Keeps a row whose stored form has so many bytes.
    pub(crate) fn put(&mut self, client: ClientKey, row: TenantRow, stored_bytes: usize) {
        let hash = self.hash(client.as_bytes());
        self.remove(hash);
        let at = self.decoded.push(Box::new(DecodedTenant { client, row, stored_bytes }));
        self.places.insert(hash, CachePlace::Decoded(at));
        self.make_room();
        self.close_holes();
        self.counted.set(self.bytes());
    }

    fn hash(&self, client: &[u8]) -> u64 {
        self.hasher.hash_one(client)
    }

    fn bytes(&self) -> usize {
        self.decoded.bytes + self.stored.bytes
    }

    fn remove(&mut self, hash: u64) {
        match self.places.remove(&hash) {
            Some(CachePlace::Decoded(at)) => drop(self.decoded.take(at)),
            Some(CachePlace::Stored(at)) => drop(self.stored.take(at)),
            None => {}
        }
    }

    fn make_room(&mut self) {
        let limit = self.budget().shard_share(MemoryPart::Tenants);
        while self.bytes() > limit {
            if self.decoded.bytes > limit / 100 * DECODED_PERCENT || self.stored.bytes == 0 {
                let Some(oldest) = self.decoded.pop_oldest() else { return };
                let stored = Stored::from_decoded(&oldest);
                let hash = self.hash(stored.client());
                if stored.bytes() > limit {
                    self.places.remove(&hash);
                } else {
                    self.places.insert(hash, CachePlace::Stored(self.stored.push(stored)));
                }
            } else if let Some(oldest) = self.stored.pop_oldest() {
                let hash = self.hash(oldest.client());
                self.places.remove(&hash);
            }
        }
    }

    fn close_holes(&mut self) {
        let (places, hasher) = (&mut self.places, &self.hasher);
        self.decoded.close_holes(|kept, at| {
            places.insert(hasher.hash_one(kept.client.as_bytes()), CachePlace::Decoded(at));
        });
        self.stored.close_holes(|kept, at| {
            places.insert(hasher.hash_one(kept.client()), CachePlace::Stored(at));
        });
    }
}

impl Stored {
    fn from_decoded(decoded: &DecodedTenant) -> Self {
        let key = decoded.client.as_bytes();
        let mut bytes = Vec::with_capacity(1 + key.len() + decoded.stored_bytes);
        // Keys of clients have at most 255 bytes.
        bytes.push(u8::try_from(key.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(key);
        decoded.row.encode_into(&mut bytes);
        Self(bytes.into_boxed_slice())
    }

    fn parts(&self) -> (&[u8], &[u8]) {
        let (length, rest) = self.0.split_first().unwrap_or((&0, &[]));
        rest.split_at_checked(usize::from(*length)).unwrap_or_default()
    }

    fn client(&self) -> &[u8] {
        self.parts().0
    }

    fn decode(&self) -> Option<(TenantRow, usize)> {
        let (_, row) = self.parts();
        // What was encoded here decodes; were it not so, the row would be read from the store.
        Some((TenantRow::decode(row).ok()?, row.len()))
    }
}

/// What an entry of a ring takes, about.
trait Weight {
    fn bytes(&self) -> usize;
}

/// What an entry takes in the table and the ring.
const PLACE_BYTES: usize = 64;

impl Weight for Box<DecodedTenant> {
    /// Its map, the states beside it, and on the heap beside those about what is stored.
    fn bytes(&self) -> usize {
        const OVERHEAD_BYTES: usize = 768;
        // A node of the map may be half empty.
        let installation_bytes = size_of::<Installation>() + 2 * size_of::<(AppKey, Box<Installation>)>();
        OVERHEAD_BYTES
            + PLACE_BYTES
            + self.row.tenant.installations.len() * installation_bytes
            + self.stored_bytes
    }
}

impl Weight for Stored {
    fn bytes(&self) -> usize {
        // Allocators round up, by an eighth at most.
        PLACE_BYTES + self.0.len() + self.0.len() / 8
    }
}

/// Entries in the order in which they came. An entry that is taken leaves a hole.
#[derive(Debug)]
struct ClockRing<T> {
    entries: VecDeque<Option<T>>,
    /// Number of the first entry.
    first: u64,
    live: usize,
    bytes: usize,
}

impl<T> Default for ClockRing<T> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), first: 0, live: 0, bytes: 0 }
    }
}

/// Below so many it is not worth the while to close holes.
const HOLES_AT_LEAST: usize = 64;

impl<T: Weight> ClockRing<T> {
    fn push(&mut self, entry: T) -> u64 {
        self.live += 1;
        self.bytes += entry.bytes();
        self.entries.push_back(Some(entry));
        self.first + self.entries.len() as u64 - 1
    }

    fn index(&self, at: u64) -> Option<usize> {
        usize::try_from(at.checked_sub(self.first)?).ok()
    }

    fn get(&self, at: u64) -> Option<&T> {
        self.entries.get(self.index(at)?)?.as_ref()
    }

    fn take(&mut self, at: u64) -> Option<T> {
        let index = self.index(at)?;
        let entry = self.entries.get_mut(index)?.take()?;
        Some(self.without(entry))
    }

    fn pop_oldest(&mut self) -> Option<T> {
        loop {
            let entry = self.entries.pop_front()?;
            self.first += 1;
            if let Some(entry) = entry {
                return Some(self.without(entry));
            }
        }
    }

    fn without(&mut self, entry: T) -> T {
        self.live -= 1;
        self.bytes -= entry.bytes();
        entry
    }

    /// Gives entries new numbers when most are holes.
    fn close_holes(&mut self, mut moved: impl FnMut(&T, u64)) {
        if self.entries.len() <= 2 * self.live + HOLES_AT_LEAST {
            return;
        }
        self.first += self.entries.len() as u64;
        self.entries.retain(Option::is_some);
        for (at, entry) in (self.first..).zip(self.entries.iter().flatten()) {
            moved(entry, at);
        }
    }
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

    /// What an empty row takes, decoded and stored.
    const DECODED: usize = 768 + PLACE_BYTES + 100;

    fn memory(tenant_bytes: usize) -> Arc<Memory> {
        // A quarter of so little is divided, and three sixteenths of that are for tenants.
        Arc::new(Memory::new(Some(tenant_bytes.div_ceil(3) * 64)))
    }

    fn seqs(cache: &mut TenantCache, names: &[&str]) -> Vec<Option<u64>> {
        names.iter().map(|name| cache.peek(&client(name)).map(|(row, _)| row.seq)).collect()
    }

    #[test]
    fn writers_share_the_budget() {
        let memory = memory(4 * DECODED);
        let mut one = TenantCache::new(Arc::clone(&memory));
        let fill = |cache: &mut TenantCache| {
            for (seq, name) in (0..).zip(["a", "b", "c", "d"]) {
                cache.put(client(name), row(seq), 100);
            }
            cache.decoded.live
        };
        assert_eq!(fill(&mut one), 4);
        let mut other = TenantCache::new(memory);
        assert_eq!((fill(&mut one), fill(&mut other)), (1, 1));
        assert!(one.bytes() <= 2 * DECODED);
        drop(other);
        assert_eq!(fill(&mut one), 4);
    }

    #[test]
    fn rows_that_have_not_come_for_longest_are_kept_as_bytes_and_then_not_at_all() {
        let mut cache = TenantCache::new(memory(3 * DECODED));
        for (seq, name) in (1..).zip(["a", "b", "c"]) {
            cache.put(client(name), row(seq), 100);
        }
        let (a, bytes) = cache.take(&client("a")).unwrap();
        assert!(!cache.contains(&client("a")));
        cache.put(client("a"), a, bytes);
        cache.put(client("d"), row(4), 100);
        assert!(matches!(cache.places[&cache.hash(b"b")], CachePlace::Stored(_)));
        assert_eq!(seqs(&mut cache, &["a", "b", "c", "d"]), [Some(1), Some(2), Some(3), Some(4)]);
        let (b, bytes) = cache.take(&client("b")).unwrap();
        let mut encoded = Vec::new();
        b.encode_into(&mut encoded);
        assert_eq!((b.seq, bytes), (2, encoded.len()), "the length of what is stored");
        for number in 0..100 {
            cache.put(client(&format!("other-{number}")), row(number), 100);
            assert!(cache.bytes() <= 3 * DECODED);
        }
        assert_eq!(seqs(&mut cache, &["a", "c", "other-99"]), [None, None, Some(99)]);
        assert_eq!(cache.places.len(), cache.decoded.live + cache.stored.live);
        assert!(cache.stored.live > cache.decoded.live);
    }

    #[test]
    fn nothing_is_kept_without_a_budget() {
        let mut cache = TenantCache::new(memory(0));
        cache.put(client("a"), row(1), 100);
        assert!(!cache.contains(&client("a")));
        assert_eq!((cache.bytes(), cache.places.len()), (0, 0));
    }

    #[test]
    fn holes_are_closed_and_rows_still_found() {
        let mut cache = TenantCache::new(memory(1 << 20));
        cache.put(client("first"), row(7), 100);
        for _ in 0..1000 {
            for name in ["a", "b"] {
                cache.put(client(name), row(1), 100);
            }
        }
        assert!(cache.decoded.entries.len() <= 6 + HOLES_AT_LEAST + 1, "{}", cache.decoded.entries.len());
        assert_eq!(seqs(&mut cache, &["a", "b", "first"]), [Some(1), Some(1), Some(7)]);
    }
}
