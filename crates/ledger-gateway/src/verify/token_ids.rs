//! Ids of tokens that were used, for as long as one could be sent again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Refusal;
use crate::limits::{ID_MAX_BYTES, REPLAY_MEMORY, TOKEN_IDS_MAX};

/// The ids of the last minutes.
#[derive(Debug, Default, Clone)]
pub(crate) struct TokenIds(Arc<Mutex<Ids>>);

#[derive(Debug, Default)]
struct Ids {
    used: HashMap<Arc<str>, Instant>,
    in_order: VecDeque<(Instant, Arc<str>)>,
}

/// An id that is used from now on, unless its call comes to nothing.
#[derive(Debug)]
pub(crate) struct UsedId {
    ids: TokenIds,
    id: Arc<str>,
}

impl TokenIds {
    fn lock(&self) -> MutexGuard<'_, Ids> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses an id, which no other call did in the last minutes.
    pub(super) fn take(&self, id: Option<&str>, now: Instant) -> Result<UsedId, Refusal> {
        let id: Arc<str> =
            id.filter(|id| (1..=ID_MAX_BYTES).contains(&id.len())).ok_or(Refusal::NoTokenId)?.into();
        let mut ids = self.lock();
        while ids.in_order.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= REPLAY_MEMORY)
        {
            if let Some((at, old)) = ids.in_order.pop_front()
                && ids.used.get(&old) == Some(&at)
            {
                ids.used.remove(&old);
            }
        }
        if ids.used.contains_key(&id) {
            return Err(Refusal::Replayed);
        }
        // None is forgotten before its time, as it could be sent again then.
        if ids.in_order.len() >= TOKEN_IDS_MAX {
            return Err(Refusal::Busy);
        }
        ids.used.insert(Arc::clone(&id), now);
        ids.in_order.push_back((now, Arc::clone(&id)));
        Ok(UsedId { ids: self.clone(), id })
    }
}

impl UsedId {
    /// The call was sent back to be sent again, and may come with the same token.
    pub(crate) fn give_back(self) {
        self.ids.lock().used.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_good_once_and_again_after_its_memory_or_when_it_is_given_back() {
        let (ids, begin) = (TokenIds::default(), Instant::now());
        let first = ids.take(Some("a"), begin).unwrap();
        assert_eq!(ids.take(Some("a"), begin).unwrap_err(), Refusal::Replayed);
        assert!(ids.take(Some("b"), begin).is_ok());
        first.give_back();
        assert!(ids.take(Some("a"), begin + REPLAY_MEMORY / 2).is_ok());
        assert!(ids.take(Some("b"), begin + REPLAY_MEMORY).is_ok());
        assert_eq!(ids.take(Some("a"), begin + REPLAY_MEMORY).unwrap_err(), Refusal::Replayed);
        assert_eq!(ids.take(None, begin).unwrap_err(), Refusal::NoTokenId);
        assert_eq!(ids.take(Some(""), begin).unwrap_err(), Refusal::NoTokenId);
    }
}
