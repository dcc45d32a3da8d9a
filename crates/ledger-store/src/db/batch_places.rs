//! Places for large batches: the few that the memory has room for, whichever shards are catching up.
//!
//! A large batch costs less an event than many small ones, and few cores fill and write few batches at a time. So the
//! part of the memory for batches is not cut into as many pieces as there are shards: who is far behind waits for one of
//! [`PLACES`] places, first come, first served, and has it until the batch is durable. A quarter of the part is left for
//! batches without a place: those of shards that are live, and of those that waited in vain because whoever has the
//! places does not get on (I-9).

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Large batches at a time. Three keep a shard that is alone busy: one is filled, one applied, one written.
pub(crate) const PLACES: usize = 3;

/// The places, and who waits for one.
#[derive(Debug, Default)]
pub struct BatchPlaces {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    taken: usize,
    /// How often a place was given back.
    returned: u64,
    next_ticket: u64,
    waiting: VecDeque<u64>,
}

/// A place for a large batch, until it is dropped.
#[derive(Debug)]
pub struct BatchPlace(Arc<BatchPlaces>);

impl BatchPlaces {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is its turn; in vain if no place is given back for so long, or it should stop waiting.
    fn take(&self, patience: Duration, stops: impl Fn() -> bool) -> bool {
        let mut queue = self.queue();
        let ticket = queue.next_ticket;
        queue.next_ticket += 1;
        queue.waiting.push_back(ticket);
        let mut returned = queue.returned;
        loop {
            if queue.taken < PLACES && queue.waiting.front() == Some(&ticket) {
                queue.waiting.pop_front();
                queue.taken += 1;
                // There may be a place for the next one as well.
                self.changed.notify_all();
                return true;
            }
            let (changed, waited) =
                self.changed.wait_timeout(queue, patience).unwrap_or_else(PoisonError::into_inner);
            queue = changed;
            if waited.timed_out() && queue.returned == returned || stops() {
                queue.waiting.retain(|other| *other != ticket);
                self.changed.notify_all();
                return false;
            }
            returned = queue.returned;
        }
    }

    fn give_back(&self) {
        let mut queue = self.queue();
        queue.taken -= 1;
        queue.returned += 1;
        self.changed.notify_all();
    }
}

impl BatchPlace {
    /// A place, once there is one; none if none is given back for so long, or `stops` says so when something changes.
    pub fn wait(places: &Arc<BatchPlaces>, patience: Duration, stops: impl Fn() -> bool) -> Option<Self> {
        places.take(patience, stops).then(|| Self(Arc::clone(places)))
    }
}

impl Drop for BatchPlace {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn who_waits_gets_the_place_that_is_given_back_and_waits_in_vain_for_none() {
        let places = Arc::new(BatchPlaces::default());
        let mut held: Vec<BatchPlace> =
            (0..PLACES).filter_map(|_| BatchPlace::wait(&places, LONG, || false)).collect();
        assert_eq!(held.len(), PLACES);
        assert!(BatchPlace::wait(&places, SOON, || false).is_none());
        assert!(BatchPlace::wait(&places, SOON, || true).is_none());
        let waiter = {
            let places = Arc::clone(&places);
            thread::spawn(move || BatchPlace::wait(&places, LONG, || false).is_some())
        };
        held.pop();
        assert!(waiter.join().unwrap());
        assert!(BatchPlace::wait(&places, LONG, || false).is_some(), "the waiter's place is free again");
    }

    #[test]
    fn places_go_round_in_the_order_of_asking() {
        let places = Arc::new(BatchPlaces::default());
        let mut held: Vec<BatchPlace> =
            (0..PLACES).filter_map(|_| BatchPlace::wait(&places, LONG, || false)).collect();
        let got = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for asker in 1..=16 {
                let (places, got) = (&places, &got);
                scope.spawn(move || {
                    let _place = BatchPlace::wait(places, LONG, || false).unwrap();
                    got.lock().unwrap().push(asker);
                });
                while places.queue().waiting.len() < asker {
                    thread::yield_now();
                }
            }
            // One place for all of them.
            held.pop();
        });
        assert_eq!(got.into_inner().unwrap(), (1..=16).collect::<Vec<_>>());
        assert_eq!(places.queue().taken, PLACES - 1);
    }
}
