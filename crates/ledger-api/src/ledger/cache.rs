//! What questions keep for the ones that follow: the least recently used is let go first, so that all of it together
//! has a bound (I-8).

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ledger_core::ids::{AppKey, ClientKey};
use ledger_store::{KnowledgeCut, ShardId};

/// Values by key, up to a total weight.
pub(crate) struct Lru<K, V> {
    most: usize,
    weight: usize,
    turn: u64,
    /// With when each was used last, and its weight.
    values: BTreeMap<K, (u64, usize, V)>,
    by_turn: BTreeMap<u64, K>,
}

impl<K: Ord + Clone, V> Lru<K, V> {
    pub(crate) const fn new(most: usize) -> Self {
        Self { most, weight: 0, turn: 0, values: BTreeMap::new(), by_turn: BTreeMap::new() }
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.values.contains_key(key)
    }

    /// Takes a value out.
    pub(crate) fn take(&mut self, key: &K) -> Option<V> {
        let (turn, weight, value) = self.values.remove(key)?;
        self.by_turn.remove(&turn);
        self.weight -= weight;
        Some(value)
    }

    /// Keeps a value, the most recently used now.
    pub(crate) fn put(&mut self, key: K, value: V, weight: usize) {
        self.take(&key);
        self.turn += 1;
        self.weight += weight;
        self.by_turn.insert(self.turn, key.clone());
        self.values.insert(key, (self.turn, weight, value));
        while self.weight > self.most {
            let Some((_, oldest)) = self.by_turn.first_key_value() else { break };
            let oldest = oldest.clone();
            self.take(&oldest);
        }
    }

    /// Uses a value.
    pub(crate) fn get(&mut self, key: &K) -> Option<&V> {
        let (turn, _, value) = self.values.get_mut(key)?;
        let key = self.by_turn.remove(turn)?;
        self.turn += 1;
        *turn = self.turn;
        self.by_turn.insert(self.turn, key);
        Some(value)
    }

    /// Lets go the values that are not to be kept.
    pub(crate) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        let gone = self.values.iter().filter(|(_, (_, _, value))| !keep(value));
        for key in gone.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.take(&key);
        }
    }
}

impl<K, V> fmt::Debug for Lru<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lru").field("weight", &self.weight).field("most", &self.most).finish_non_exhaustive()
    }
}

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CacheKey {
    /// The timeline of an app.
    Timeline(ShardId, AppKey),
    /// The states of a long history, as known up to a cut.
    History(ShardId, ClientKey, KnowledgeCut),
    /// Windows of the past, of a list, for those who see these apps; none: all.
    Windows(ShardId, u64, Option<Arc<BTreeSet<AppKey>>>),
    /// What came before the corrections from a position on.
    Corrections(ShardId, ClientKey, u64),
}

/// The cache of a ledger. A value is never changed; its weight is in bytes, about.
#[derive(Debug)]
pub(crate) struct Cache(Mutex<Lru<CacheKey, Arc<dyn Any + Send + Sync>>>);

impl Cache {
    pub(crate) const fn new(bytes: usize) -> Self {
        Self(Mutex::new(Lru::new(bytes)))
    }

    pub(crate) fn get<V: Any + Send + Sync>(&self, key: &CacheKey) -> Option<Arc<V>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(kept.get(key)?).downcast().ok()
    }

    /// The value of that key, a new one when there is none.
    pub(crate) fn get_or_default<V: Any + Send + Sync + Default>(&self, key: &CacheKey) -> Arc<V> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = kept.get(key).and_then(|value| Arc::clone(value).downcast().ok()) {
            return value;
        }
        let value = Arc::<V>::default();
        let shared: Arc<dyn Any + Send + Sync> = Arc::clone(&value) as _;
        kept.put(key.clone(), shared, size_of::<V>());
        value
    }

    pub(crate) fn put<V: Any + Send + Sync>(&self, key: CacheKey, value: Arc<V>, bytes: usize) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.put(key, value, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_recently_used_value_is_evicted() {
        let mut kept = Lru::new(6);
        for name in ["one", "two", "three"] {
            kept.put(name, name.len(), 2);
        }
        assert_eq!(kept.get(&"one"), Some(&3));
        kept.put("four", 4, 2);
        assert_eq!(
            ["one", "two", "three", "four"].map(|name| kept.contains(&name)),
            [true, false, true, true]
        );
        kept.retain(|length| *length == 4);
        assert_eq!((kept.weight, kept.by_turn.len(), kept.take(&"four")), (2, 1, Some(4)));
        kept.put("giant", 1, 7);
        assert_eq!((kept.weight, kept.values.len()), (0, 0), "a value over the bound is not kept");
    }

    #[test]
    fn value_is_found_by_key_and_type() {
        let cache = Cache::new(10);
        let shard = ShardId { topic: "t".to_owned(), partition: 0 };
        let key = CacheKey::Windows(shard.clone(), 7, None);
        cache.put(key.clone(), Arc::new("kept".to_owned()), 4);
        assert_eq!(cache.get::<String>(&key).as_deref().map(String::as_str), Some("kept"));
        assert!(cache.get::<u64>(&key).is_none());
        assert!(cache.get::<String>(&CacheKey::Windows(shard, 8, None)).is_none());
    }
}
