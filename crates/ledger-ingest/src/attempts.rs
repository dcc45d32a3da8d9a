//! Trying again: until it is done, with longer rests, and with one report for a time of failures.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::stopping::sleep_unless_stopped;

/// Tries until it is done, or until it is to stop: none then. What fails because brokers are away does not fail for
/// good.
pub(crate) fn until_done<T, E>(
    stop: &AtomicBool,
    rest: Duration,
    mut attempt: impl FnMut() -> Result<T, E>,
    mut failed: impl FnMut(&E),
) -> Option<T> {
    while !stop.load(Ordering::Acquire) {
        match attempt() {
            Ok(done) => return Some(done),
            Err(error) => failed(&error),
        }
        sleep_unless_stopped(rest, stop);
    }
    None
}

/// Rests between attempts that fail: each is twice as long as the one before, up to the longest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, longest }
    }

    /// How long to rest before the next attempt.
    pub(crate) fn rest(&mut self) -> Duration {
        let rest = self.next;
        self.next = (rest * 2).min(self.longest);
        rest
    }
}

/// A time in which something fails. Its begin and its end are reported, and the failures in between are not.
#[derive(Debug, Default)]
pub(crate) struct Episode(Option<Instant>);

impl Episode {
    /// It failed. Returns whether it did not before.
    pub(crate) fn fails(&mut self) -> bool {
        let is_new = self.0.is_none();
        self.0.get_or_insert_with(Instant::now);
        is_new
    }

    /// It did not fail. Returns for how long it did, if it did before.
    pub(crate) fn ends(&mut self) -> Option<Duration> {
        self.0.take().map(|since| since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_brokers_do_not_answer_is_asked_until_they_do_or_nobody_wants_to_know() {
        let (stop, mut asked, mut failed) = (AtomicBool::new(false), 0, 0);
        let mut ask = |answers_at: u32| {
            asked += 1;
            if asked == answers_at { Ok(asked) } else { Err(asked) }
        };
        assert_eq!(until_done(&stop, Duration::ZERO, || ask(600), |_| failed += 1), Some(600));
        assert_eq!(failed, 599);
        assert_eq!(
            until_done(&stop, Duration::ZERO, || ask(0), |_| stop.store(true, Ordering::Release)),
            None
        );
    }

    #[test]
    fn the_first_failure_and_the_end_are_told() {
        let mut episode = Episode::default();
        assert_eq!(episode.ends(), None);
        assert_eq!([episode.fails(), episode.fails(), episode.fails()], [true, false, false]);
        assert!(episode.ends().is_some());
        assert_eq!((episode.ends(), episode.fails()), (None, true));
    }
}
