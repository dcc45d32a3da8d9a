//! How far a shard's writer is: what readers wait for.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Poison, WaitError};

/// Written by the one writer after each commit, read by everyone.
#[derive(Debug)]
pub(crate) struct Progress {
    now: Mutex<Now>,
    moved: Condvar,
}

#[derive(Debug)]
struct Now {
    next_position: u64,
    poison: Option<Arc<Poison>>,
    /// Nothing will ever move: a read-only opening.
    still: bool,
}

impl Progress {
    pub(crate) fn new(next_position: u64, still: bool) -> Self {
        Self { now: Mutex::new(Now { next_position, poison: None, still }), moved: Condvar::new() }
    }

    pub(crate) fn next_position(&self) -> u64 {
        self.lock().next_position
    }

    pub(crate) fn poison(&self) -> Option<Arc<Poison>> {
        self.lock().poison.clone()
    }

    pub(crate) fn advance(&self, next_position: u64) {
        self.lock().next_position = next_position;
        self.moved.notify_all();
    }

    pub(crate) fn set_poison(&self, poison: Arc<Poison>) {
        self.lock().poison = Some(poison);
        self.moved.notify_all();
    }

    /// Waits until the record at `position` is durable.
    pub(crate) fn wait_for(&self, position: u64, timeout: Duration) -> Result<(), WaitError> {
        let deadline = Instant::now().checked_add(timeout);
        let mut now = self.lock();
        loop {
            if now.next_position > position {
                return Ok(());
            }
            if let Some(poison) = &now.poison {
                return Err(WaitError::Poisoned(Arc::clone(poison)));
            }
            // A deadline beyond the clock's range is none; waiting is then cut into hours.
            let left = deadline.map_or(Duration::from_hours(1), |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if now.still || left.is_zero() {
                return Err(WaitError::TimedOut { asked: position, next: now.next_position });
            }
            now = self.moved.wait_timeout(now, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        // Nothing panics while it holds the lock, and every state of it is whole.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
