//! The memory for the histories that questions about the past fold.
//!
//! A history is as long as its tenant is old and as heavy as its events are, and many questions come at a time: they
//! share a budget of bytes. A question reserves bytes while it reads, and waits where too few are free. The oldest
//! reservation never waits, so two that grow cannot wait for each other: all histories together exceed the budget by
//! one history at most.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Bytes for all histories together.
#[derive(Debug)]
pub(crate) struct HistoryBudget {
    state: Mutex<BudgetState>,
    freed: Condvar,
}

#[derive(Debug)]
struct BudgetState {
    /// Below zero while the oldest reservation is larger than all.
    free: i64,
    /// The reservations that are held, in the order they began.
    held: BTreeSet<u64>,
    next: u64,
}

/// Bytes that are reserved; given back in the end.
#[derive(Debug)]
pub(crate) struct Reservation<'b> {
    budget: &'b HistoryBudget,
    number: u64,
    bytes: i64,
}

impl HistoryBudget {
    pub(crate) fn new(bytes: u32) -> Self {
        let state = BudgetState { free: i64::from(bytes), held: BTreeSet::new(), next: 0 };
        Self { state: Mutex::new(state), freed: Condvar::new() }
    }

    /// Begins a reservation of no bytes.
    pub(crate) fn reserve(&self) -> Reservation<'_> {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.held.insert(number);
        Reservation { budget: self, number, bytes: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, BudgetState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation<'_> {
    /// Reserves more bytes, or waits for them until an instant. `false`: too few were free in time.
    #[must_use]
    pub(crate) fn grow(&mut self, bytes: usize, until: Option<Instant>) -> bool {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let mut state = self.budget.lock();
        while state.free < bytes && state.held.first() != Some(&self.number) {
            state = match until {
                None => self.budget.freed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let Some(left) = until.checked_duration_since(Instant::now()) else { return false };
                    let waited = self.budget.freed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        state.free = state.free.saturating_sub(bytes);
        self.bytes = self.bytes.saturating_add(bytes);
        true
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.free = state.free.saturating_add(self.bytes);
        state.held.remove(&self.number);
        drop(state);
        self.budget.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    #[test]
    fn a_reservation_waits_until_others_give_back() {
        let budget = HistoryBudget::new(10);
        let (mut first, mut second, mut third) = (budget.reserve(), budget.reserve(), budget.reserve());
        assert!(first.grow(6, Some(soon())));
        assert!(second.grow(4, Some(soon())));
        assert!(!third.grow(1, Some(soon())), "all of it is reserved");
        drop(second);
        assert!(third.grow(4, Some(soon())));
        assert!(!third.grow(1, Some(soon())));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(move || third.grow(6, None));
            std::thread::sleep(Duration::from_millis(20));
            drop(first);
            assert!(waiting.join().unwrap());
        });
    }

    #[test]
    fn the_oldest_reservation_exceeds_the_budget_and_the_others_wait_for_it() {
        let budget = HistoryBudget::new(10);
        let (mut oldest, mut other) = (budget.reserve(), budget.reserve());
        assert!(other.grow(8, Some(soon())));
        assert!(oldest.grow(1_000, Some(soon())), "both would wait for each other otherwise");
        assert!(!other.grow(1, Some(soon())));
        drop(oldest);
        assert!(other.grow(1_000, Some(soon())), "it is the oldest now");
    }
}
