//! How many requests a principal may send: a bucket that fills at a rate, and a request takes one out of it.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How a bucket fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rate {
    /// Requests a second; 0: any number.
    pub(crate) per_second: u32,
    /// So many at once after a pause.
    pub(crate) burst: u32,
}

/// What is left to a principal.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    left: Mutex<Left>,
}

#[derive(Debug)]
struct Left {
    requests: f64,
    at: Option<Instant>,
}

impl Bucket {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, left: Mutex::new(Left { requests: f64::from(rate.burst), at: None }) }
    }

    /// Takes a request out; false if there is none left.
    pub(super) fn take(&self, now: Instant) -> bool {
        if self.rate.per_second == 0 {
            return true;
        }
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let since = left.at.map_or(0.0, |before| now.saturating_duration_since(before).as_secs_f64());
        left.at = Some(now);
        let filled = left.requests + since * f64::from(self.rate.per_second);
        left.requests = filled.min(f64::from(self.rate.burst));
        if left.requests < 1.0 {
            return false;
        }
        left.requests -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let bucket = Bucket::new(Rate { per_second: 10, burst: 3 });
        let begin = Instant::now();
        let taken = |ms| bucket.take(begin + Duration::from_millis(ms));
        assert_eq!([0, 0, 0, 0].map(taken), [true, true, true, false]);
        assert_eq!([99, 100, 150, 200].map(taken), [false, true, false, true]);
        assert_eq!([60_000; 4].map(taken), [true, true, true, false], "no more than the burst is kept");
        let unlimited = Bucket::new(Rate { per_second: 0, burst: 0 });
        assert!((0..10_000).all(|_| unlimited.take(begin)));
    }
}
