//! The signed checkpoints of a shard, between whoever signs them and whoever proves with them.
//!
//! A proof needs the checkpoint of the very seal that its snapshot ends with, and a log under load is sealed
//! faster than it is signed. So who proves says which size it holds ([`Checkpoints::wait_for`]), and who signs
//! stops there on the way to the last seal ([`Checkpoints::next_awaited`]). Nothing is kept for anybody who no
//! longer waits.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ledger_record::proof::note::Checkpoint;

/// A signed checkpoint that the shard's log agrees with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The signed note.
    pub note: String,
}

/// The last checkpoint of a shard, and those that are waited for.
#[derive(Debug, Default)]
pub struct Checkpoints {
    known: Mutex<Known>,
    signed: Condvar,
}

#[derive(Debug, Default)]
struct Known {
    last: Option<Arc<SignedCheckpoint>>,
    awaited: BTreeMap<u64, AwaitedSize>,
}

/// A size that somebody waits for.
#[derive(Debug, Default)]
struct AwaitedSize {
    waiting: usize,
    signed: Option<Arc<SignedCheckpoint>>,
}

impl Checkpoints {
    /// The last one that is known and that the log agrees with.
    pub fn last(&self) -> Option<Arc<SignedCheckpoint>> {
        self.lock().last.clone()
    }

    /// Another one instead.
    pub fn set(&self, signed: SignedCheckpoint) {
        let signed = Arc::new(signed);
        let mut known = self.lock();
        if let Some(awaited) = known.awaited.get_mut(&signed.checkpoint.size) {
            awaited.signed = Some(Arc::clone(&signed));
        }
        known.last = Some(signed);
        self.signed.notify_all();
    }

    /// The checkpoint of this size, as soon as there is one; none when a larger one was signed without it, or
    /// when the time is over.
    pub fn wait_for(&self, size: u64, until: Instant) -> Option<Arc<SignedCheckpoint>> {
        let mut known = self.lock();
        if let Some(last) = known.last.clone().filter(|last| last.checkpoint.size >= size) {
            return Some(last).filter(|last| last.checkpoint.size == size);
        }
        known.awaited.entry(size).or_default().waiting += 1;
        let left = until.saturating_duration_since(Instant::now());
        let is_open = |known: &mut Known| known.last_size().is_none_or(|last| last < size);
        let waited = self.signed.wait_timeout_while(known, left, is_open);
        waited.unwrap_or_else(PoisonError::into_inner).0.leave(size)
    }

    /// Where to stop next on the way from one size to a larger one: at the first that somebody waits for.
    pub fn next_awaited(&self, after: u64, up_to: u64) -> u64 {
        let known = self.lock();
        known.awaited.range(after.saturating_add(1)..).next().map_or(up_to, |(size, _)| up_to.min(*size))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn last_size(&self) -> Option<u64> {
        self.last.as_ref().map(|last| last.checkpoint.size)
    }

    /// One waits no longer; with the last of them the size is forgotten.
    fn leave(&mut self, size: u64) -> Option<Arc<SignedCheckpoint>> {
        let awaited = self.awaited.get_mut(&size)?;
        let signed = awaited.signed.clone();
        awaited.waiting -= 1;
        if awaited.waiting == 0 {
            self.awaited.remove(&size);
        }
        signed
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use ledger_record::proof::tree::empty_root;

    use super::*;

    fn of_size(size: u64) -> SignedCheckpoint {
        let checkpoint = Checkpoint { origin: "o/0".to_owned(), size, root: empty_root() };
        SignedCheckpoint { checkpoint, note: format!("note {size}") }
    }

    fn size(found: Option<Arc<SignedCheckpoint>>) -> Option<u64> {
        found.map(|found| found.checkpoint.size)
    }

    #[test]
    fn waiter_gets_its_size_although_a_larger_one_follows() {
        let checkpoints = Checkpoints::default();
        checkpoints.set(of_size(3));
        let late = Instant::now() + Duration::from_secs(20);
        thread::scope(|scope| {
            let wait = |size| checkpoints.wait_for(size, late);
            let waiting = [5, 5, 9].map(|size| scope.spawn(move || wait(size)));
            while checkpoints.lock().awaited.values().map(|awaited| awaited.waiting).sum::<usize>() < 3 {
                thread::yield_now();
            }
            // The signer is at 3 and sees 12 leaves.
            let mut signed = 3;
            while signed < 12 {
                signed = checkpoints.next_awaited(signed, 12);
                checkpoints.set(of_size(signed));
            }
            let found = waiting.map(|waiting| size(waiting.join().unwrap()));
            assert_eq!(found, [Some(5), Some(5), Some(9)]);
        });
        assert_eq!(size(checkpoints.last()), Some(12));
        assert!(checkpoints.lock().awaited.is_empty(), "nobody waits any more");
    }

    #[test]
    fn passed_or_late_size_is_not_awaited() {
        let checkpoints = Checkpoints::default();
        checkpoints.set(of_size(7));
        let late = Instant::now() + Duration::from_secs(20);
        assert_eq!(size(checkpoints.wait_for(7, late)), Some(7));
        assert_eq!(size(checkpoints.wait_for(6, late)), None);
        assert_eq!(size(checkpoints.wait_for(8, Instant::now())), None);
        assert!(checkpoints.lock().awaited.is_empty());
        assert_eq!(checkpoints.next_awaited(7, 20), 20);
    }
}
