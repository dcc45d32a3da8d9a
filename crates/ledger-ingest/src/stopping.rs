//! Threads that end when they are told to, and those that wait for them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long stopping may take when the caller sets no deadline.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_mins(1);

/// What a thread ended with; none if it still runs at the deadline.
pub(crate) fn join_until<T>(thread: JoinHandle<T>, deadline: Instant) -> Option<thread::Result<T>> {
    while !thread.is_finished() {
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
    Some(thread.join())
}

/// Sleeps, but no longer than until it is told to stop.
pub(crate) fn sleep_unless_stopped(time: Duration, stop: &AtomicBool) {
    let until = Instant::now() + time;
    while Instant::now() < until && !stop.load(Ordering::Acquire) {
        thread::sleep(Duration::from_millis(20));
    }
}

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
}
