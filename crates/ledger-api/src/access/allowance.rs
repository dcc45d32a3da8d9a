//! What a principal may do at a time, with all its credentials: requests a second, and a part of the places.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::rate::{Bucket, Rate};

/// What there are places for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlaceKind {
    /// Questions of any kind.
    Question,
    /// Those that read much, and those that wait.
    Much,
    /// Those about the whole log, and backups.
    Everything,
    /// Subscriptions to decisions.
    Subscription,
}

const KINDS: usize = 4;

/// What is left to a principal.
#[derive(Debug)]
pub(crate) struct Allowance {
    bucket: Bucket,
    held: [AtomicUsize; KINDS],
}

/// A place that a principal has, until it is dropped.
#[derive(Debug)]
pub(crate) struct HeldPlace {
    of: Arc<Allowance>,
    kind: PlaceKind,
}

impl Allowance {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { bucket: Bucket::new(rate), held: Default::default() }
    }

    /// Takes a request out of the bucket; false if there is none left.
    pub(super) fn take_request(&self, now: Instant) -> bool {
        self.bucket.take(now)
    }

    /// A place, if the principal does not have half of them already.
    pub(crate) fn hold(self: &Arc<Self>, kind: PlaceKind, most: usize) -> Option<HeldPlace> {
        let half = Self::part_of(most);
        let one_more = |held| (held < half).then_some(held + 1);
        self.count(kind).fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        Some(HeldPlace { of: Arc::clone(self), kind })
    }

    /// So many of them are for one principal.
    pub(crate) const fn part_of(most: usize) -> usize {
        if most < 2 { most } else { most / 2 }
    }

    const fn count(&self, kind: PlaceKind) -> &AtomicUsize {
        &self.held[kind as usize]
    }
}

impl Drop for HeldPlace {
    fn drop(&mut self) {
        self.of.count(self.kind).fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_has_half_of_the_places_and_gives_them_back() {
        let of = Arc::new(Allowance::new(Rate::default()));
        let take = |kind, most| of.hold(kind, most);
        let held: Vec<_> = (0..2).map(|_| take(PlaceKind::Much, 5).unwrap()).collect();
        assert!(take(PlaceKind::Much, 5).is_none());
        let one = take(PlaceKind::Everything, 1).unwrap();
        assert!(take(PlaceKind::Everything, 1).is_none());
        drop((held, one));
        assert!(take(PlaceKind::Much, 2).is_some() && take(PlaceKind::Everything, 3).is_some());
        let other = Arc::new(Allowance::new(Rate::default()));
        let _one = take(PlaceKind::Subscription, 2).unwrap();
        assert!(other.hold(PlaceKind::Subscription, 2).is_some());
    }
}
