//! Room for the histories that questions about the past hold in memory while they fold them.
//!
//! A history is as long as its tenant is old, and many questions come at a time: so they share a number of
//! records, and whoever finds no room waits. One history may be longer than the whole room: it waits until it
//! is alone.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

/// Room for so many records.
#[derive(Debug)]
pub(super) struct Room {
    all: u64,
    free: Mutex<u64>,
    freed: Condvar,
}

/// Room that is taken; given back in the end.
#[derive(Debug)]
pub(super) struct Place<'r> {
    room: &'r Room,
    records: u64,
}

impl Room {
    pub(super) fn of(records: u64) -> Self {
        Self { all: records, free: Mutex::new(records), freed: Condvar::new() }
    }

    /// Takes room, or waits for it until then; none: there was not enough in time.
    pub(super) fn take(&self, records: u64, until: Option<Instant>) -> Option<Place<'_>> {
        let records = records.min(self.all);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free < records {
            free = match until {
                None => self.freed.wait(free).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.checked_duration_since(Instant::now())?;
                    self.freed.wait_timeout(free, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        *free -= records;
        Some(Place { room: self, records })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.room.free.lock().unwrap_or_else(PoisonError::into_inner) += self.records;
        self.room.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn whoever_finds_no_room_waits_for_it() {
        let room = Room::of(10);
        let soon = || Some(Instant::now() + Duration::from_millis(20));
        let first = room.take(6, soon()).unwrap();
        let second = room.take(4, soon()).unwrap();
        assert!(room.take(1, soon()).is_none(), "all of it is taken");
        drop(second);
        assert!(room.take(5, soon()).is_none());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| room.take(10, None).is_some());
            std::thread::sleep(Duration::from_millis(20));
            drop(first);
            assert!(waiting.join().unwrap());
        });
        assert!(room.take(1_000_000, soon()).is_some(), "longer than the room, and alone in it");
    }
}
